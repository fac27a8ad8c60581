"""/usr/local/airflow, where MWAA's containers have their files: a directory of the sandbox here.

Airflow and what belongs to it are started with a view of this machine in which that directory lies
there. Where the machine gives no such views, they find the directory itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from sandbox.cloud.kubernetes.kubelet.containers import Command, Mount, View, why_no_view
from sandbox.machine.processes import SandboxError
from sandbox.machine.program import DIRECTORY

FILES: Final = DIRECTORY / "airflow"
ON_MWAA: Final = Path("/usr/local/airflow")


@cache
def why_not() -> str:
    """Tell why this machine gives no views; nothing, if it does."""
    return why_no_view(_root())


def place() -> Path:
    """Return where those that are started here find the directory."""
    return FILES if why_not() else ON_MWAA


def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    **streams: Any,  # noqa: ANN401  (those of Popen)
) -> subprocess.Popen[bytes]:
    """Start a command in the directory, in a session of its own, which no Ctrl-C reaches."""
    view = None
    if not why_not():
        mount = Mount(FILES, str(ON_MWAA))
        view = View(_root(), (mount,), os.getuid(), os.getgid(), socket.gethostname())
    return Command(tuple(command), str(place()), environment, view).start(**streams)


def run(command: Sequence[str], environment: Mapping[str, str], doing: str) -> None:
    """Run a command to its end; if it fails, what it printed is the error."""
    process = start(
        command,
        environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        told, _ = process.communicate()
    finally:
        process.kill()
    if process.returncode != 0:
        raise SandboxError(f"{doing} failed:\n{told.decode(errors='replace')}")


def log_file(name: str) -> Path:
    """Return where a part of Airflow prints to."""
    return DIRECTORY / "logs" / f"airflow-{name}.log"


def _root() -> Path:
    root = DIRECTORY / "airflow-root"
    root.mkdir(parents=True, exist_ok=True)
    return root
