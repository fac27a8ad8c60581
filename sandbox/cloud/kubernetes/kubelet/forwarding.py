"""`kubectl port-forward`: connections to the ports of a pod, all in one from the API server."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from sandbox.cloud.kubernetes.kubelet import spdy
from sandbox.cloud.kubernetes.kubelet.streams import Socket

Connect = Callable[[int], socket.socket]
"""Connects to a port of the pod; OSError says why it cannot."""


@dataclass(frozen=True)
class Opened:
    """The client wants a connection to a port."""

    connection: int
    port: int


@dataclass(frozen=True)
class Received:
    """The client has sent something for a connection; nothing is the end of what it sends."""

    connection: int
    content: bytes


class Client(Protocol):
    """Who wants connections, in one of the protocols for that."""

    def begin(self) -> list[Opened]:
        """Return what is wanted beforehand."""

    def fileno(self) -> int:
        """Return what to wait for."""

    def receive(self) -> Iterator[Opened | Received]:
        """Yield what has come; OSError if the client has gone."""

    def send(self, connection: int, content: bytes) -> None:
        """Send what has come from the pod."""

    def end(self, connection: int, problem: str) -> bool:
        """Tell that a connection is over, and why if it did not come about.

        False: so is everything.
        """


def forward(client: Client, connect: Connect) -> None:
    """Pass on what client and pod say, until the client has had enough."""
    pod: dict[int, socket.socket] = {}
    try:
        if not all(_take(event, client, pod, connect) for event in client.begin()):
            return
        while True:
            watched: list[Any] = [client.fileno(), *pod.values()]
            readable, _, _ = select.select(watched, [], [])
            talking = [key for key, one in pod.items() if one in readable]
            if client.fileno() in readable and not all(
                _take(event, client, pod, connect) for event in client.receive()
            ):
                return
            if not all(_pass_on(key, client, pod) for key in talking):
                return
    except OSError:
        pass  # the client has gone
    finally:
        for one in pod.values():
            one.close()


def _take(
    event: Opened | Received, client: Client, pod: dict[int, socket.socket], connect: Connect
) -> bool:
    if isinstance(event, Opened):
        try:
            pod[event.connection] = connect(event.port)
        except OSError as error:
            return client.end(event.connection, f"error forwarding port {event.port}: {error}")
    elif to := pod.get(event.connection):
        try:
            if event.content:
                to.sendall(event.content)
            else:
                to.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # what is read of it next, is its end
    return True


def _pass_on(connection: int, client: Client, pod: dict[int, socket.socket]) -> bool:
    try:
        content = pod[connection].recv(65536)
    except OSError:
        content = b""
    if content:
        client.send(connection, content)
        return True
    pod.pop(connection).close()
    return client.end(connection, "")


class WebSocketClient:
    """Who names the ports beforehand, as Kubernetes's Python client: two channels for each."""

    def __init__(self, handler: BaseHTTPRequestHandler, query: Mapping[str, list[str]]) -> None:
        ports = [int(one) for given in query.get("port", ()) for one in given.split(",")]
        self._socket = Socket(handler, ("v4.channel.k8s.io",))
        self._wanted = [Opened(number, port) for number, port in enumerate(ports)]
        self._left = {one.connection for one in self._wanted}

    def begin(self) -> list[Opened]:
        """Return the ports that it has named; each of their channels begins with the number."""
        for one in self._wanted:
            for channel in (2 * one.connection, 2 * one.connection + 1):
                self._socket.send(channel, one.port.to_bytes(2, "little"))
        return self._wanted

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._socket.fileno()

    def receive(self) -> Iterator[Opened | Received]:
        """Yield what has come; OSError if the client has gone."""
        for message in self._socket.receive():
            if len(message) > 1 and message[0] % 2 == 0:
                yield Received(message[0] // 2, message[1:])

    def send(self, connection: int, content: bytes) -> None:
        """Send what has come from the pod."""
        self._socket.send(2 * connection, content)

    def end(self, connection: int, problem: str) -> bool:
        """Tell that a connection is over; with the last one, so is everything."""
        if problem:
            self._socket.send(2 * connection + 1, problem.encode())
        self._left.discard(connection)
        if not self._left:
            self._socket.leave()
        return bool(self._left)


class SpdyClient:
    """Who asks for connections as it needs them, as kubectl: two streams for each."""

    PROTOCOL = "portforward.k8s.io"

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._session = spdy.Session(handler, {"X-Stream-Protocol-Version": self.PROTOCOL})
        self._errors: dict[str, int] = {}
        """The streams for errors, by what pairs them with others."""
        self._pairs: dict[int, int] = {}
        """The same by the stream with the data."""

    def begin(self) -> list[Opened]:
        """Return nothing: its streams say what it wants."""
        return []

    def fileno(self) -> int:
        """Return what to wait for."""
        return self._session.fileno()

    def receive(self) -> Iterator[Opened | Received]:
        """Yield what has come; OSError if the client has gone."""
        for event in self._session.receive():
            if isinstance(event, spdy.Stream):
                number, kind = event.number, event.headers.get("streamtype")
                pair = event.headers.get("requestid", "")
                if kind == "error":
                    self._errors[pair] = number
                elif pair in self._errors:  # kubectl makes that one first
                    self._pairs[number] = self._errors.pop(pair)
                    yield Opened(number, int(event.headers["port"]))
            elif event.stream in self._pairs:
                if event.content:
                    yield Received(event.stream, event.content)
                if event.last:
                    yield Received(event.stream, b"")

    def send(self, connection: int, content: bytes) -> None:
        """Send what has come from the pod."""
        self._session.send(connection, content)

    def end(self, connection: int, problem: str) -> bool:
        """Tell that a connection is over; there may be others."""
        self._session.send(self._pairs.pop(connection), problem.encode(), last=True)
        self._session.send(connection, b"", last=True)
        return True
