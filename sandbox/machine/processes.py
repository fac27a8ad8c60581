"""Processes that outlive the command that started them."""

from __future__ import annotations

import gc
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

PRIVATE: Final = 0o077
"""Files that the sandbox makes are their owner's alone."""


class SandboxError(Exception):
    """Something that the user must know, in words for the user."""


def run_quietly(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end; if it fails, what it printed is the error."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise SandboxError(f"`{shlex.join(command)}` failed:\n{done.stdout}")


@dataclass(frozen=True)
class Process:
    """A process that was started here, and what tells it from a later one with the same number."""

    name: str
    pid: int
    started: float
    command: tuple[str, ...]


def start(
    name: str, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: Path
) -> Process:
    """Start a process in a session of its own, which no Ctrl-C in this terminal reaches."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=PRIVATE,
        )
    return Process(name, child.pid, psutil.Process(child.pid).create_time(), tuple(command))


def collect_garbage_seldom() -> None:
    """Keep this process from looking again and again through all that it has imported."""
    gc.freeze()
    gc.set_threshold(50_000, 20)


def is_running(process: Process) -> bool:
    """Tell whether this very process is still there."""
    return _find(process) is not None


def end(processes: Sequence[Process], patience: float = 5.0) -> None:
    """End exactly these processes, the last first: each is asked, and killed if it does not go.

    What was started later depends on what was there: the API server waits for etcd as it ends.
    patience: seconds that each has to go.
    """
    for process in reversed(processes):
        for kill in (False, True):
            _signal(process, kill=kill)
            deadline = time.monotonic() + patience
            # psutil's own wait would go on for as long as init takes to bury the dead.
            while is_running(process) and time.monotonic() < deadline:
                time.sleep(0.02)


def _find(process: Process) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        with found.oneshot():
            same = (
                found.status() != psutil.STATUS_ZOMBIE
                # The clock that start times are counted from may be set right by a second or so.
                and abs(found.create_time() - process.started) < 2
                # Linux shows none while the process is still being loaded.
                and tuple(found.cmdline()) in (process.command, ())
            )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return found if same else None


def _signal(process: Process, *, kill: bool) -> None:
    found = _find(process)
    if found is None:
        return
    try:
        if kill:
            found.kill()
        else:
            found.terminate()
    except psutil.NoSuchProcess:
        pass  # it went by itself
