"""What plugins run in: forks of a process of the sandbox that has their packages imported.

The engine starts a plugin as ever. It asks the fork server for a fork, hands it all that a process
is started with, and waits for its end. Where there is no such fork, it does its work itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Final

from sandbox.machine.program import DIRECTORY

# A path of 108 bytes at most, so that it is used from the directory in which it is.
SOCKET: Final = "fork-server"
# On a machine that has more to do than it can.
_PATIENCE: Final = 2.0

# The fork server is started without a variable of these: packages, and the interpreter, read them
# once, as they start (sandbox/tests/test_forks.py finds those that are missing here).
READ_AT_IMPORT: Final = (
    "AWS_NEW_RETRIES_2026",
    "GRPC_",
    "OPENSSL_",
    "OTEL_",
    "PARVER_",
    "PROTOCOL_BUFFERS_",
    "PSUTIL_",
    "PULUMI_ENABLE_LEGACY_APPLY",
    "PULUMI_OTEL_",
    "PYDANTIC_",
    "PYTHON",
    "_PYTHON",
    "TEMPORARILY_DISABLE_PROTOBUF_",
    "TRACEPARENT",
)
# With a channel that has TLS; and by a fork, as it begins.
_READ_LATER: Final = {
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
}


def run(module: str, function: str) -> None:
    """Run a function of a module as if it were imported and called here."""
    status = _run_in_fork(module, function)
    if status is None:
        # It lives for one run of the engine, a sixth of which would go into collecting garbage.
        gc.disable()
        getattr(importlib.import_module(module), function)()
    else:
        os._exit(status)


def serving() -> bytes | None:
    """Return with which packages the sandbox's fork server serves, if it does."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            return _packages_of_server(connection)
        except OSError:
            return None


def packages() -> bytes:
    """Return what tells this interpreter, with the packages installed now, from any other."""
    found = sorted(
        (entry.name, entry.stat().st_mtime_ns)
        for directory in sys.path
        if directory.endswith("site-packages")
        for entry in os.scandir(directory)
        if entry.name.endswith(".dist-info")
    )
    interpreter = [sys.version, os.path.realpath(sys.prefix), sys.getfilesystemencoding()]
    home = os.path.expanduser("~")  # noqa: PTH111  (pathlib fails where there is none)
    return json.dumps([interpreter, home, found]).encode() + b"\n"


def _packages_of_server(connection: socket.socket) -> bytes:
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(DIRECTORY)
        connection.settimeout(_PATIENCE)
        connection.connect(SOCKET)
    finally:
        os.fchdir(here)
        os.close(here)
    with connection.makefile("rb") as told:
        return told.readline()


def _run_in_fork(module: str, function: str) -> int | None:
    if sys.platform != "linux":  # macOS lets forks that start nothing else do little
        return None
    if any(one.startswith(READ_AT_IMPORT) for one in os.environ.keys() - _READ_LATER):
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            if _packages_of_server(connection) != packages():
                return None
            _hand_over(connection, module, function)
        except OSError:
            return None  # a fork that has not been told all does nothing
        return _wait(connection)


def _hand_over(connection: socket.socket, module: str, function: str) -> None:
    umask = os.umask(0o077)
    os.umask(umask)
    request = {
        "module": module,
        "function": function,
        "arguments": sys.argv,
        "path": sys.path,
        "environment": dict(os.environ),
        "umask": umask,
        "ignored": [
            number
            for number in signal.valid_signals()
            if signal.getsignal(number) is signal.SIG_IGN
        ],
    }
    here = os.open(".", os.O_RDONLY)
    try:
        socket.send_fds(connection, [b"\n"], [here, 0, 1, 2])
    finally:
        os.close(here)
    connection.sendall(json.dumps(request).encode() + b"\n")


def _wait(connection: socket.socket) -> int:
    """Return the status with which the fork ends, which ends before this process does."""

    def end(*_: object) -> None:
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(None)
        connection.recv(1)
        os._exit(0)

    engine = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    connection.settimeout(1)
    while True:
        try:
            return (connection.recv(1) or b"\1")[0]
        except TimeoutError:
            if os.getppid() != engine:
                end()
