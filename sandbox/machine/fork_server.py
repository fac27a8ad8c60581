"""The process of the sandbox that has the packages of plugins imported, and forks for each plugin.

It starts no thread and makes nothing of gRPC, which a fork would not have. Of the repository it
imports nothing that a plugin runs, so that what is edited counts.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from sandbox.machine import forks
from sandbox.machine.program import DIRECTORY

# What plugins have imported after an `up` of the program; the packages of the SDKs load when they
# are first looked into.
MODULES: Final = (
    "boto3",
    "botocore.session",
    "dill",
    "google.protobuf.json_format",
    "grpc.aio",
    "grpc.experimental",
    "packaging.requirements",
    "pulumi.automation._server",
    "pulumi.dynamic",
    "pulumi.policy",
    "pulumi.provider.server",
    "pydantic.main",
    "pydantic.type_adapter",
    "pydantic.types",
    "urllib3",
    "yaml",
    *(
        f"pulumi_aws.{name}"
        for name in (
            *("budgets", "cloudwatch", "ec2", "eks", "emrcontainers", "iam", "kms", "mwaa", "s3"),
            *("secretsmanager", "sns", "vpc"),
        )
    ),
    "pulumi_eks",
    *(
        f"pulumi_kubernetes.{name}.v1"
        for name in (
            *("admissionregistration", "apps", "core", "meta", "networking", "policy", "rbac"),
            "storage",
        )
    ),
)


def load() -> None:
    """Import all that plugins need."""
    for name in MODULES:
        hasattr(importlib.import_module(name), "__all__")


def main() -> None:
    """Fork for who connects, until this process is ended; its forks end with it."""
    del sys.path[0]  # where the program is
    gc.disable()  # as in a plugin, which lives for one run of the engine
    packages = forks.packages()
    load()
    gc.freeze()
    _serve(packages)()


def _serve(packages: bytes) -> Callable[[], object]:
    """Return in forks alone, with what each is to do."""
    started: dict[int, socket.socket] = {}
    signal.signal(signal.SIGCHLD, lambda *_: tell_how_they_ended(started))
    lives, living = os.pipe()  # whose other end is this process's alone
    os.chdir(DIRECTORY)
    Path(forks.SOCKET).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(forks.SOCKET)
    Path(forks.SOCKET).chmod(0o600)
    listening.listen()
    while True:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        connection, _ = listening.accept()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        try:
            fork = os.fork()
        except OSError:
            connection.close()
            continue
        if fork:
            started[fork] = connection
            continue
        os.close(living)
        for one in (listening, *started.values()):
            one.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        return partial(_become, connection, lives, packages)


def tell_how_they_ended(started: dict[int, socket.socket]) -> None:
    """Tell those who wait for a fork that has ended its status, and forget it."""
    # There may be none left, also where one was a moment ago: a signal that comes meanwhile is
    # handled within this.
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            with started.pop(ended[0]) as connection, suppress(OSError):
                connection.send(bytes([code if code >= 0 else 128 - code]))


def _become(connection: socket.socket, lives: int, packages: bytes) -> None:
    """Take over what a process was started with, and do its work."""
    line = b""
    with suppress(OSError), connection.makefile("rb") as told:
        connection.sendall(packages)
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 4)
        line = told.readline()
    if not line.endswith(b"\n"):
        os._exit(0)  # who asked does its work itself
    os.setsid()
    threading.Thread(target=_end_with, args=(connection, lives), daemon=True).start()
    request = json.loads(line)
    os.fchdir(descriptors[0])
    os.umask(request["umask"])
    _ignore(request["ignored"])
    # Nothing was read or written through sys.stdin and the others yet.
    for number, descriptor in enumerate(descriptors[1:]):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    tempfile.tempdir = None
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if os.environ.get("PYTHONUNBUFFERED"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    sys.argv[:], sys.path[:] = request["arguments"], request["path"]
    sys.path_importer_cache.clear()
    for name in [one for one in sys.modules if one.partition(".")[0] == "sandbox"]:
        del sys.modules[name]
    getattr(importlib.import_module(request["module"]), request["function"])()


def _ignore(numbers: Collection[int]) -> None:
    """Ignore the signals that a plugin does, as one that a shell has begun in the background."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if number in numbers:
            signal.signal(number, signal.SIG_IGN)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        elif signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _end_with(connection: socket.socket, lives: int) -> None:
    """End with the plugin or the server, and with what this process has started."""
    either: list[socket.socket | int] = [connection, lives]
    select.select(either, [], [])
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
