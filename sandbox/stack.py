"""The sandbox's stack: brought up, previewed and taken down by the Pulumi CLI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psutil

from sandbox.cloud import lifecycle
from sandbox.cloud.lifecycle import Cloud
from sandbox.engine import plugins
from sandbox.engine.environment import PREVIEW, UNSET, environment, official_pulumi
from sandbox.machine import go_builds, spark
from sandbox.machine.processes import SandboxError, run_quietly
from sandbox.machine.program import DIRECTORY, PROJECT, ROOT, STACK

_BACKEND: Final = DIRECTORY / "state" / ".pulumi"
_STATE: Final = _BACKEND / "stacks" / PROJECT / f"{STACK}.json"
_LOCKS: Final = _BACKEND / "locks" / "organization" / PROJECT / STACK


class DamagedStateError(SandboxError):
    """A state of which nobody can tell what it says."""


def build_tools() -> None:
    """Build what is missing of the tools; where the official Pulumi CLI is, it is used."""
    official = official_pulumi(os.environ.get("PATH", os.defpath))
    go_builds.ensure(go_builds.TOOLS.keys() - ({"pulumi"} if official else set()))
    spark.ensure()


def start(report: Callable[[str], None]) -> Cloud:
    """Return a sandbox that serves, on which the Pulumi CLI finds its plugins."""
    running = lifecycle.start(report)
    plugins.install()
    return running


def up(report: Callable[[str], None]) -> int:
    """Bring the platform up on a sandbox that serves, and show its exports."""
    running = _with_stack(report)
    status = _pulumi(
        running, "up", "--stack", STACK, "--yes", "--skip-preview", "--suppress-outputs"
    )
    return status or _pulumi(running, "stack", "output", "--stack", STACK)


def preview(report: Callable[[str], None], packs: Sequence[str] = ()) -> int:
    """Show what bringing the platform up would change, and what policy packs say of it."""
    policies = [option for pack in packs for option in ("--policy-pack", pack)]
    return _pulumi(_with_stack(report), "preview", "--stack", STACK, *policies, **PREVIEW)


def down(report: Callable[[str], None]) -> int:
    """Destroy the platform, then end every process of the sandbox and remove its files."""
    recorded = Cloud.load()
    if recorded is not None and _STATE.exists():
        _refuse_while_locked()
        build_tools()
        if obstacle := _obstacle(recorded):
            report(obstacle)
        elif status := _destroy(start(report), report):
            return status
    report("the sandbox is gone" if lifecycle.stop() else "there is no sandbox")
    return 0


def _obstacle(recorded: Cloud) -> str | None:
    """Tell why there is nothing for `pulumi destroy` to go by."""
    if lost := recorded.lost():
        return f"{', '.join(lost)}: ended since, and the emulated AWS is lost"
    try:
        pending = _pending()
    except DamagedStateError as error:
        return str(error)
    return f"the last run was cut off while it worked on {', '.join(pending)}" if pending else None


def _destroy(running: Cloud, report: Callable[[str], None]) -> int:
    if not _STATE.exists():
        return 0  # the sandbox had to be started afresh
    _unlock(running, report)
    _quietly(running, "state", "unprotect", "--all", "--stack", STACK, "--yes")
    if status := _pulumi(running, "destroy", "--stack", STACK, "--yes", "--skip-preview"):
        report("the sandbox still runs; `python -m sandbox stop` ends it as it is")
        return status
    _quietly(running, "stack", "rm", STACK, "--yes", "--preserve-config")
    _tell_what_is_left(running, report)
    return 0


def _tell_what_is_left(running: Cloud, report: Callable[[str], None]) -> None:
    """Say what a destroy has left in AWS, which here goes with the sandbox."""
    command = [sys.executable, "-m", "operations.sweep", "--stack", STACK]
    done = subprocess.run(
        [*command, "--region", lifecycle.REGION],
        cwd=ROOT,
        env=_environment(running),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        report(f"{done.stdout}{done.stderr}".rstrip())


def _with_stack(report: Callable[[str], None]) -> Cloud:
    """Return a sandbox that serves, with a stack that Pulumi can work on."""
    _refuse_while_locked()
    try:
        pending = _pending()
    except DamagedStateError as error:
        raise SandboxError(
            f"{error}; put {_STATE.name}.bak in its place, which is of the step before, or let "
            "`make down` take everything away"
        ) from None
    build_tools()
    running = start(report)
    # Where the sandbox had to be started afresh, its state went with it.
    if pending and _STATE.exists():
        report(f"the last run was cut off while it worked on {', '.join(pending)}: starting afresh")
        lifecycle.stop()
        running = start(report)
    _unlock(running, report)
    _quietly(running, "stack", "select", "--create", STACK)
    return running


def _pending() -> list[str]:
    """Return the names of resources of which nobody knows whether they exist."""
    try:
        content = _STATE.read_text()
    except FileNotFoundError:
        return []
    try:
        operations = (json.loads(content)["checkpoint"]["latest"] or {}).get("pending_operations")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedStateError(f"the stack's state is damaged: {_STATE}: {error}") from None
    return [operation["resource"]["urn"].rpartition("::")[2] for operation in operations or []]


def _refuse_while_locked() -> None:
    for lock in _LOCKS.glob("*.json"):
        try:
            pid = json.loads(lock.read_text())["pid"]
            holds = psutil.Process(pid).create_time() <= lock.stat().st_mtime
        except (ValueError, psutil.NoSuchProcess):  # cut off as it was written; or has ended
            continue
        if holds:
            raise SandboxError(f"process {pid} works on the stack: wait until it ends, or end it")


def _unlock(running: Cloud, report: Callable[[str], None]) -> None:
    if any(_LOCKS.glob("*.json")):
        report("a run that has ended left the stack locked: unlocking it")
        _quietly(running, "cancel", STACK, "--yes")


def _pulumi(running: Cloud, *arguments: str, **variables: str) -> int:
    """Run the Pulumi CLI in this terminal; return its exit status."""
    given = _environment(running) | variables
    with _interrupts_left_to_the_child():
        return subprocess.run(["pulumi", *arguments], cwd=ROOT, env=given, check=False).returncode


def _quietly(running: Cloud, *arguments: str) -> None:
    run_quietly(
        ["pulumi", *arguments, "--non-interactive"], cwd=ROOT, environment=_environment(running)
    )


def _environment(running: Cloud) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return kept | environment(running, os.environ.get("PATH", os.defpath))


@contextmanager
def _interrupts_left_to_the_child() -> Iterator[None]:
    # Ctrl-C reaches the Pulumi CLI by itself, and it has things to put in order before it ends.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
