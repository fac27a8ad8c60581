"""`kubectl exec`: a process in a container, and its streams in a WebSocket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pty
import queue
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Request,
)
from wsproto.utilities import LocalProtocolError

from sandbox.cloud.kubernetes.kubelet.containers import Container, StartError

# In the first one a client can close its input.
PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
INPUT, OUTPUT, ERROR, STATUS, SIZE, CLOSE = 0, 1, 2, 3, 4, 255
SUCCESS: Final = {"metadata": {}, "status": "Success"}


def is_websocket(handler: BaseHTTPRequestHandler) -> bool:
    """Tell whether a client speaks what is spoken here."""
    return handler.headers.get("Upgrade", "").lower() == "websocket"


class Socket:
    """A WebSocket with numbered channels."""

    def __init__(
        self, handler: BaseHTTPRequestHandler, protocols: Iterable[str] = PROTOCOLS
    ) -> None:
        self._connection: Any = handler.connection
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._part = b""
        headers = [(k.lower().encode(), v.encode()) for k, v in handler.headers.items()]
        self._protocol.initiate_upgrade_connection(headers, handler.path)
        (request,) = self._protocol.events()
        assert isinstance(request, Request)  # noqa: S101
        offered = (one for one in protocols if one in request.subprotocols)
        self._write(AcceptConnection(subprotocol=next(offered, None)))

    def fileno(self) -> int:
        """Return what to wait for."""
        return int(self._connection.fileno())

    def _write(self, event: Event) -> None:
        self._connection.sendall(self._protocol.send(event))

    def send(self, channel: int, content: bytes) -> None:
        """Send something in a channel."""
        self._write(BytesMessage(bytes([channel]) + content))

    def receive(self) -> list[bytes]:
        """Return what has come; OSError if the client has gone."""
        content = self._connection.recv(65536)
        while self._connection.pending():
            content += self._connection.recv(65536)
        self._protocol.receive_data(content or None)
        messages = []
        for event in self._protocol.events():
            if isinstance(event, CloseConnection):
                raise ConnectionResetError
            if isinstance(event, Ping):
                self._write(event.response())
            if isinstance(event, Message):
                data = event.data
                self._part += data.encode() if isinstance(data, str) else bytes(data)
                if event.message_finished:
                    messages.append(self._part)
                    self._part = b""
        return messages

    def close(self, status: Mapping[str, Any]) -> None:
        """Say what came of it, and end."""
        with contextlib.suppress(OSError, LocalProtocolError):  # the client has gone
            self.send(STATUS, json.dumps(status).encode())
        self.leave()

    def leave(self) -> None:
        """End."""
        with contextlib.suppress(OSError, LocalProtocolError):  # the client has gone
            self._write(CloseConnection(code=1000))


def execute(
    handler: BaseHTTPRequestHandler, container: Container, query: Mapping[str, list[str]]
) -> None:
    """Run what a client asks for, with its streams at the client."""
    socket = Socket(handler)
    handler.close_connection = True
    terminal = query.get("tty") == ["1"]
    ours, theirs = pty.openpty() if terminal else (-1, -1)
    try:
        process = container.start_another(
            query["command"],
            stdin=theirs if terminal else subprocess.PIPE,
            stdout=theirs if terminal else subprocess.PIPE,
            stderr=theirs if terminal else subprocess.PIPE,
        )
    except StartError as error:
        socket.close({"metadata": {}, "status": "Failure", "message": str(error)})
        return
    finally:
        if terminal:
            os.close(theirs)
    if terminal:
        outputs, sink = {ours: OUTPUT}, ours
    else:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018, S101
        outputs = {process.stdout.fileno(): OUTPUT, process.stderr.fileno(): ERROR}
        sink = process.stdin.fileno()
    given: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_feed, args=(given, os.dup(sink)), daemon=True).start()
    if process.stdin:
        process.stdin.close()
    if query.get("input") != ["1"]:
        given.put(b"")
    try:
        socket.send(OUTPUT, b"")  # lets the client know that it has begun
        _pass_on(socket, outputs, given, ours)
    except OSError:
        process.kill()
    given.put(b"")
    code = process.wait()
    if terminal:
        os.close(ours)
    socket.close(_status(128 - code if code < 0 else code))


def _feed(given: queue.SimpleQueue[bytes], sink: int) -> None:
    """Write what a client gives; nothing is the end."""
    try:
        while content := given.get():
            while content:
                content = content[os.write(sink, content) :]
    except OSError:
        pass  # the process has ended
    finally:
        os.close(sink)


def _pass_on(
    socket: Socket, outputs: dict[int, int], given: queue.SimpleQueue[bytes], terminal: int
) -> None:
    """Pass on what either side says, until the process has said everything."""
    left = set(outputs)
    while left:
        readable, _, _ = select.select([socket.fileno(), *left], [], [])
        for one in readable:
            if one == socket.fileno():
                for message in socket.receive():
                    _take(message, given, terminal)
            elif content := _read(one):
                socket.send(outputs[one], content)
            else:
                left.remove(one)


def _read(source: int) -> bytes:
    try:
        return os.read(source, 65536)
    except OSError as error:
        if error.errno == errno.EIO:  # the other end of a terminal has been closed
            return b""
        raise


def _take(message: bytes, given: queue.SimpleQueue[bytes], terminal: int) -> None:
    channel, content = message[0] if message else None, message[1:]
    if channel == INPUT and content:
        given.put(content)
    elif channel == CLOSE and content == bytes([INPUT]):
        given.put(b"")
    elif channel == SIZE and terminal >= 0:
        size = json.loads(content)
        packed = struct.pack("HHHH", size["Height"], size["Width"], 0, 0)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)


def _status(code: int) -> Mapping[str, Any]:
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
