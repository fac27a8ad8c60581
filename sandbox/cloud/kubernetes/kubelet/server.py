"""What the API server asks a kubelet for: containers' logs, to run something in them, and ports."""

from __future__ import annotations

import http.client
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from sandbox.cloud.kubernetes.control_plane import API_SERVER
from sandbox.cloud.kubernetes.kubelet import forwarding, spdy, streams
from sandbox.cloud.kubernetes.kubelet.containers import Container, Log
from sandbox.cloud.kubernetes.kubelet.pods import Pod


class Pods(Protocol):
    """The pods that are run here."""

    def find(self, namespace: str, name: str) -> Pod | None:
        """Return a pod, if it is run here."""


class Server(BaseHTTPRequestHandler):
    """Answers the API server."""

    pods: Pods

    def do_GET(self) -> None:
        """Send a container's log, run something in it, or connect to ports of its pod."""
        address = urlsplit(self.path)
        certificate: Any = self.connection.getpeercert()
        names = [value for part in certificate["subject"] for key, value in part]
        what, *place = address.path.strip("/").split("/")
        query = parse_qs(address.query)
        if API_SERVER not in names:
            self._refuse(http.client.FORBIDDEN, f"only {API_SERVER} is answered")
        elif what == "portForward" and len(place) in (2, 3):
            self._forward(self.pods.find(place[0], place[1]), query)
        elif what not in ("containerLogs", "exec") or len(place) != 3:
            self._refuse(http.client.NOT_IMPLEMENTED, f"the sandbox's kubelet has no {what}")
        elif (container := self._container(*place)) is None:
            self._refuse(http.client.NOT_FOUND, "the sandbox does not run this container")
        elif what == "exec":
            self._execute(container, query)
        elif isinstance(log := _log(container, place[1], query), str):
            self._refuse(http.client.BAD_REQUEST, log)
        else:
            self._send(log, {key: values[0] for key, values in query.items()})

    do_POST = do_GET  # noqa: N815

    def _execute(self, container: Container, query: dict[str, list[str]]) -> None:
        if not streams.is_websocket(self):
            message = "the sandbox's kubelet speaks WebSocket, and not SPDY, to run something"
            self._refuse(http.client.NOT_IMPLEMENTED, message)
        elif container.process is None:
            self._refuse(http.client.BAD_REQUEST, f"container {container.name} does not run")
        else:
            streams.execute(self, container, query)

    def _forward(self, pod: Pod | None, query: dict[str, list[str]]) -> None:
        if pod is None:
            self._refuse(http.client.NOT_FOUND, "the sandbox does not run this pod")
        elif not any(one.process for one in pod.containers):
            self._refuse(http.client.BAD_REQUEST, "no container of this pod runs")
        elif spdy.is_spdy(self):
            self.close_connection = True
            forwarding.forward(forwarding.SpdyClient(self), pod.connect)
        elif streams.is_websocket(self):
            self.close_connection = True
            forwarding.forward(forwarding.WebSocketClient(self, query), pod.connect)
        else:
            self._refuse(http.client.BAD_REQUEST, "unable to upgrade: missing upgrade headers")

    def _container(self, namespace: str, pod: str, name: str) -> Container | None:
        found = self.pods.find(namespace, pod)
        return next((one for one in found.containers if one.name == name), None) if found else None

    def _refuse(self, status: int, message: str) -> None:
        body = message.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, log: Log, query: dict[str, str]) -> None:
        since = datetime.fromtimestamp(0, UTC)
        if "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"])
        if "sinceSeconds" in query:
            since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
        self.send_response(http.client.OK)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        lines = log.read(follow=query.get("follow") == "true", since=since)
        if "tailLines" in query and query.get("follow") != "true":
            wanted = int(query["tailLines"])
            lines = iter(list(lines)[-wanted:] if wanted else [])
        left = int(query.get("limitBytes", -1))
        for moment, line in lines:
            stamp = f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z " if query.get("timestamps") else ""
            text = stamp.encode() + line
            self.wfile.write(text if left < 0 else text[:left])
            self.wfile.flush()
            left = left if left < 0 else max(left - len(text), 0)


def _log(container: Container, pod: str, query: dict[str, list[str]]) -> Log | str:
    """Return the log that is asked for, or why there is none."""
    if query.get("previous") == ["true"]:
        return container.previous or (
            f'previous terminated container "{container.name}" in pod "{pod}" not found'
        )
    if container.waiting and container.terminated is None:
        reason, _ = container.waits_for
        return f'container "{container.name}" in pod "{pod}" is waiting to start: {reason}'
    return container.log
