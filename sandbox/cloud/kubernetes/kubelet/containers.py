"""Containers, which are processes of this machine here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

NOT_STARTED: Final = 128
KILLED: Final = 137
VIEW: Final = Path(__file__).parent / "view.py"
LINGERING: Final = 2.0
"""How many seconds the output of a container that has ended is waited for."""
MESSAGE_LIMIT: Final = 4096


class StartError(Exception):
    """Why a command was not started."""


@dataclass
class Log:
    """What a container has printed since it was last started."""

    lines: list[tuple[datetime, bytes]] = field(default_factory=list)
    over: bool = False
    """Whether the API server knows that the container has ended: from then on the log is whole."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def print(self, line: bytes) -> None:
        """Add a line, with what ends it."""
        with self.changed:
            self.lines.append((datetime.now(UTC), line))
            self.changed.notify_all()

    def close(self) -> None:
        """Let those who follow it go."""
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def read(self, *, follow: bool, since: datetime) -> Iterator[tuple[datetime, bytes]]:
        """Yield what was printed, and what is printed until the container ends."""
        position = 0
        while True:
            with self.changed:
                while follow and len(self.lines) == position and not self.over:
                    self.changed.wait()
                new = self.lines[position:]
                last = not follow or (self.over and not new)
            position += len(new)
            yield from (line for line in new if line[0] >= since)
            if last:
                return


@dataclass(frozen=True)
class Mount:
    """What a container sees at a path."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class View:
    """How a container sees this machine: without one, as everybody else does."""

    root: Path
    """An empty directory."""
    mounts: tuple[Mount, ...]
    user: int
    group: int
    hostname: str
    read_only_root: bool = False


@dataclass(frozen=True)
class Command:
    """What is to be run, where and with what."""

    arguments: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    view: View | None

    def start(self, **streams: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        """Start it; StartError says why that did not work."""
        if self.view is None:
            try:
                return subprocess.Popen(
                    self.arguments,
                    cwd=self.directory,
                    env=self.environment,
                    start_new_session=True,
                    **streams,
                )
            except (OSError, ValueError) as error:
                raise StartError(str(error)) from None
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as report:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(VIEW), self._view(self.view, writing)],
                    env=self.environment,
                    start_new_session=True,
                    pass_fds=[writing],
                    **streams,
                )
            except (OSError, ValueError) as error:
                raise StartError(str(error)) from None
            finally:
                os.close(writing)
            if problem := report.read():  # closed once the command runs
                process.wait()
                raise StartError(problem.decode())
        return process

    def _view(self, view: View, report: int) -> str:
        return json.dumps(
            {
                "root": str(view.root),
                "mounts": [[str(one.source), one.target, one.read_only] for one in view.mounts],
                "user": view.user,
                "group": view.group,
                "hostname": view.hostname,
                "read_only_root": view.read_only_root,
                "directory": self.directory,
                "command": self.arguments,
                "report": report,
            }
        )


def why_no_view(directory: Path) -> str:
    """Tell why containers cannot have a view of their own on this machine; nothing, if they can."""
    view = View(directory, (Mount(directory, "/mnt/sandbox/try"),), os.getuid(), os.getgid(), "try")
    try:
        process = Command(("true",), "/", {"PATH": os.defpath}, view).start()
    except StartError as error:
        return str(error)
    return "" if process.wait() == 0 else "`true` failed"


@dataclass
class Container:
    """A container and what has become of it."""

    spec: Any
    policy: str
    """Always, OnFailure or Never."""
    address: str
    """That of its pod."""
    starting: bool = False
    """Whether it is an init container."""
    waits_for: tuple[str, str] = ("ContainerCreating", "")
    """Reason and message, while it has no process and is to have one."""
    running_since: datetime | None = None
    terminated: dict[str, Any] | None = None
    """How it ended last."""
    waiting: bool = True
    started: bool = False
    ready: bool = False
    restarts: int = 0
    log: Log = field(default_factory=Log)
    previous: Log | None = None
    command: Command | None = None
    process: subprocess.Popen[bytes] | None = None
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """What probes, hooks and `kubectl exec` have started in it."""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec.name)

    @property
    def is_sidecar(self) -> bool:
        """Whether it is started before the others and ends after them."""
        return self.starting and self.policy == "Always"

    @property
    def exit_code(self) -> int:
        """How it ended last."""
        return int(self.terminated["exitCode"]) if self.terminated else 0

    @property
    def wants_restart(self) -> bool:
        """Whether it is to be started again, now that it has ended."""
        return self.policy == "Always" or (self.policy == "OnFailure" and self.exit_code != 0)

    def run(self, command: Command, message: Path, changed: Callable[[], None]) -> None:
        """Run until the command ends; `message` is where it may leave one."""
        if self.terminated:
            self.restarts += 1
            self.previous, self.log = self.log, Log()
        self.command = command
        self.ended.clear()
        begun = datetime.now(UTC)
        try:
            self.process = process = command.start(
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except StartError as error:
            self.refuse(f"{command.arguments[0]} was not started: {error}", "StartError")
            return
        self.waiting, self.running_since = False, begun
        self.started = self.spec.startup_probe is None
        self.ready = self.started and self.spec.readiness_probe is None
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        changed()
        code = process.wait()
        for one in (process, *self.others):  # nothing outlives the first process of a container
            signal_group(one, signal.SIGKILL)
        self.others.clear()
        reader.join(LINGERING)
        code = 128 - code if code < 0 else code
        self.stop(code, "Error" if code else "Completed", self._message(message, code))

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        log = self.log
        for line in process.stdout or ():
            log.print(line)

    def _message(self, file: Path, code: int) -> str:
        text = file.read_text(errors="replace")
        if not text and code and self.spec.termination_message_policy == "FallbackToLogsOnError":
            text = b"".join(line for _, line in self.log.lines[-80:]).decode(errors="replace")
        return text[-MESSAGE_LIMIT:]

    def start_another(self, arguments: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        """Start another process in it."""
        if self.command is None or self.process is None:
            raise StartError(f"container {self.name} does not run")
        process = replace(self.command, arguments=tuple(arguments)).start(**streams)
        self.others.append(process)
        return process

    def refuse(self, message: str, reason: str) -> None:
        """End without having run, for a reason that its log tells too."""
        self.log.print(f"sandbox: {message}\n".encode())
        self.stop(NOT_STARTED, reason, message)

    def stop(self, code: int, reason: str, message: str = "") -> None:
        """Note how it ended."""
        now = datetime.now(UTC)
        self.terminated = {
            "exitCode": code,
            "reason": reason,
            "message": message,
            "startedAt": (self.running_since or now).isoformat(),
            "finishedAt": now.isoformat(),
        }
        self.waiting = self.started = self.ready = False
        self.running_since = self.process = None
        self.ended.set()

    def end(self, patience: float) -> None:
        """End its process: it is asked first, and killed if need be."""
        process = self.process
        if process is None:
            return
        if patience > 0:
            process.terminate()
            self.ended.wait(patience)
        if not self.ended.is_set():
            signal_group(process, signal.SIGKILL)

    def status(self) -> dict[str, Any]:
        """Return what the API server is to know."""
        state: dict[str, Any] = {"waiting": None, "running": None, "terminated": None}
        last = None
        if self.running_since:
            state["running"] = {"startedAt": self.running_since.isoformat()}
            last = self.terminated
        elif self.waiting:
            reason, message = self.waits_for
            state["waiting"] = {"reason": reason, "message": message or None}
            last = self.terminated
        else:
            state["terminated"] = self.terminated
        return {
            "name": self.name,
            "image": self.spec.image,
            "imageID": "",
            # An init container is ready once it has done its work.
            "ready": self.ready
            or (self.starting and bool(state["terminated"]) and self.exit_code == 0),
            "started": self.started,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {"terminated": last},
        }


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a process that was started here and all that it has started."""
    # macOS refuses it for those that have ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
