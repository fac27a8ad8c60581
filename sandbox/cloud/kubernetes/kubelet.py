"""Runs what pods that are meant to end say is to be run, and serves their logs, as a kubelet does.

kwok plays everything else of a kubelet. There are no images here: a container's command is run as a
process on this machine, in an empty directory and with the container's own environment.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import kubernetes.client
import kubernetes.config
import kubernetes.watch
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes.control_plane import API_SERVER
from sandbox.machine.program import DIRECTORY

# Kubernetes gives no other policy to pods that end: Jobs' pods and Airflow's.
ENDING: Final = "spec.restartPolicy!=Always"
PATIENCE: Final = 5.0
"""How many seconds a container may take to end after it was told to."""
NOTICE: Final = 3.0
"""How many seconds may pass until a pod that kwok lets run is seen here."""
NOT_STARTED: Final = 128
KILLED: Final = 137


@dataclass
class Container:
    """A container, which is a process here."""

    name: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    process: subprocess.Popen[bytes] | None = None
    exit_code: int | None = None
    reported: bool = False
    """Whether the API server knows that it has ended: from then on its log is whole."""
    lines: list[tuple[datetime, bytes]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def print(self, line: bytes) -> None:
        """Add a line to its log."""
        with self.changed:
            self.lines.append((datetime.now(UTC), line))
            self.changed.notify_all()

    def run(self, command: list[str], environment: dict[str, str], image: str) -> None:
        """Run until the command ends."""
        code = NOT_STARTED
        try:
            if not command:
                self.print(f"sandbox: {image} names its own command, which is not run".encode())
                code = 0
                return
            with tempfile.TemporaryDirectory(prefix="container-") as directory:
                code = self._run(command, environment, directory)
        except OSError as error:
            self.print(f"sandbox: {command[0]} was not started: {error}".encode())
        finally:
            with self.changed:
                self.exit_code = code
                self.changed.notify_all()

    def _run(self, command: list[str], environment: dict[str, str], directory: str) -> int:
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={
                "HOME": directory,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with self.process as process:
            for line in process.stdout or ():
                self.print(line.removesuffix(b"\n"))
        return 128 - process.returncode if process.returncode < 0 else process.returncode

    def end(self) -> None:
        """End its process and what that has started: asked first, and killed if need be."""
        for kill in (signal.SIGTERM, signal.SIGKILL):
            if self.process is None:
                return
            try:
                os.killpg(self.process.pid, kill)
            except ProcessLookupError:
                return
            with self.changed:
                self.changed.wait_for(lambda: self.exit_code is not None, PATIENCE)

    def log(self, *, follow: bool, since: datetime) -> Iterator[tuple[datetime, bytes]]:
        """Yield what it has printed, and what it prints until it ends."""
        position = 0
        while True:
            with self.changed:
                while follow and len(self.lines) == position and not self.reported:
                    self.changed.wait()
                new = self.lines[position:]
                over = not follow or (self.reported and not new)
            position += len(new)
            yield from (line for line in new if line[0] >= since)
            if over:
                return


class Pods:
    """The pods whose containers are run here."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401  (the client is only partly annotated)
        self._api = api
        # Of what ran before, nothing is known; and what must not be restarted is not run again.
        self._since = datetime.now(UTC) - timedelta(seconds=1)
        self._running: dict[str, dict[str, Container]] = {}
        self._names: dict[tuple[str, str], str] = {}

    def follow(self) -> None:
        """Start and end containers as pods come and go, for ever."""
        while True:
            try:
                watch = kubernetes.watch.Watch()
                for event in watch.stream(
                    self._api.list_pod_for_all_namespaces, field_selector=ENDING
                ):
                    self._see(event["object"], gone=event["type"] == "DELETED")
            except (kubernetes.client.ApiException, HTTPError) as error:
                print(f"the API server does not tell of pods: {error}", flush=True)
            time.sleep(1)

    def _see(self, pod: Any, *, gone: bool) -> None:  # noqa: ANN401
        uid = pod.metadata.uid
        if gone or pod.metadata.deletion_timestamp:
            for container in self._running.pop(uid, {}).values():
                threading.Thread(target=container.end, daemon=True).start()
        elif pod.status.phase == "Running" and uid not in self._running:
            containers = {one.name: Container(one.name) for one in pod.spec.containers}
            self._running[uid] = containers
            self._names[pod.metadata.namespace, pod.metadata.name] = uid
            lost = pod.status.start_time and pod.status.start_time < self._since
            target = self._lose if lost else self._run
            threading.Thread(target=target, args=(pod, containers), daemon=True).start()

    def _run(self, pod: Any, containers: dict[str, Container]) -> None:  # noqa: ANN401
        threads = []
        for one in pod.spec.containers:
            environment = {v.name: v.value or "" for v in one.env or () if not v.value_from}
            command = [*(one.command or ()), *(one.args or ())] if one.command else []
            arguments = (command, {"HOSTNAME": pod.metadata.name, **environment}, one.image)
            threads.append(threading.Thread(target=containers[one.name].run, args=arguments))
            threads[-1].start()
        for thread in threads:
            thread.join()
        self._close(pod, containers)

    def _lose(self, pod: Any, containers: dict[str, Container]) -> None:  # noqa: ANN401
        for container in containers.values():
            container.print(b"sandbox: lost with the kubelet that ran it")
            container.exit_code = KILLED
        self._close(pod, containers)

    def _close(self, pod: Any, containers: dict[str, Container]) -> None:  # noqa: ANN401
        if pod.metadata.uid in self._running:
            self._report(pod, containers)
        for container in containers.values():
            with container.changed:
                container.reported = True
                container.changed.notify_all()

    def _report(self, pod: Any, containers: dict[str, Container]) -> None:  # noqa: ANN401
        now = datetime.now(UTC).isoformat()
        failed = any(container.exit_code for container in containers.values())
        statuses = [
            {
                "name": one.name,
                "image": one.image,
                "imageID": "",
                "ready": False,
                "started": False,
                "restartCount": 0,
                "state": {"terminated": _terminated(containers[one.name], now)},
            }
            for one in pod.spec.containers
        ]
        conditions = [
            {"type": kind, "status": "False", "reason": "PodFailed" if failed else "PodCompleted"}
            for kind in ("ContainersReady", "Ready")
        ]
        status = {
            "phase": "Failed" if failed else "Succeeded",
            "conditions": conditions,
            "containerStatuses": statuses,
        }
        try:
            self._api.patch_namespaced_pod_status(
                pod.metadata.name,
                pod.metadata.namespace,
                {"metadata": {"uid": pod.metadata.uid}, "status": status},
            )
        except kubernetes.client.ApiException as error:
            if error.status != http.client.NOT_FOUND:  # it was deleted meanwhile
                print(f"{pod.metadata.name}: {error}", flush=True)

    def container(self, namespace: str, pod: str, name: str) -> Container | None:
        """Return a container, if it is run here or about to be."""
        deadline = time.monotonic() + NOTICE
        while True:
            uid = self._names.get((namespace, pod), "")
            found = self._running.get(uid, {}).get(name)
            if found is not None or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def end(self) -> None:
        """End every process."""
        for containers in self._running.values():
            for container in containers.values():
                if container.process is not None and container.exit_code is None:
                    container.end()


def _terminated(container: Container, now: str) -> dict[str, Any]:
    code = container.exit_code or 0
    reason = {0: "Completed", NOT_STARTED: "StartError"}.get(code, "Error")
    return {
        "exitCode": code,
        "reason": reason,
        "startedAt": container.started.isoformat(),
        "finishedAt": now,
    }


class Server(BaseHTTPRequestHandler):
    """Answers the API server's requests for logs."""

    pods: Pods

    def do_GET(self) -> None:
        """Send a container's log."""
        address = urlsplit(self.path)
        certificate: Any = self.connection.getpeercert()
        names = [value for part in certificate["subject"] for key, value in part]
        parts = address.path.strip("/").split("/")
        if API_SERVER not in names:
            self._refuse(http.client.FORBIDDEN, f"only {API_SERVER} is answered")
        elif len(parts) != 4 or parts[0] != "containerLogs":
            self._refuse(http.client.NOT_IMPLEMENTED, "the sandbox has logs of containers only")
        elif (container := self.pods.container(*parts[1:])) is None:
            self._refuse(http.client.NOT_FOUND, "the sandbox does not run this container")
        else:
            self._send(container, {k: v[0] for k, v in parse_qs(address.query).items()})

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"message": message}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, container: Container, query: dict[str, str]) -> None:
        since = datetime.fromtimestamp(0, UTC)
        if "sinceTime" in query:
            since = datetime.fromisoformat(query["sinceTime"])
        if "sinceSeconds" in query:
            since = datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
        self.send_response(http.client.OK)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        lines = container.log(follow=query.get("follow") == "true", since=since)
        if "tailLines" in query and query.get("follow") != "true":
            wanted = int(query["tailLines"])
            lines = iter(list(lines)[-wanted:] if wanted else [])
        for moment, line in lines:
            stamp = f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z " if query.get("timestamps") else ""
            self.wfile.write(stamp.encode() + line + b"\n")
            self.wfile.flush()


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    keys = DIRECTORY / "pki"
    api = kubernetes.config.new_client_from_config(str(keys / "kubelet.kubeconfig"))
    Server.pods = pods = Pods(kubernetes.client.CoreV1Api(api))

    def end(*_: object) -> None:
        pods.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(keys / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(keys / "kubelet.crt", keys / "kubelet.key")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=pods.follow, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
