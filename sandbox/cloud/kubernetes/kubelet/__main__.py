"""Runs the pods that are meant to end, as a kubelet does; kwok plays the nodes and the other pods.

There are no images here: a container's command is run as a process on this machine.
"""

from __future__ import annotations

import os
import signal
import ssl
import sys
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import kubernetes.client
import kubernetes.config
import kubernetes.watch
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes.kubelet.claims import Driver
from sandbox.cloud.kubernetes.kubelet.containers import why_no_view
from sandbox.cloud.kubernetes.kubelet.pods import Machine, Pod
from sandbox.cloud.kubernetes.kubelet.server import Server
from sandbox.machine.program import DIRECTORY

# Kubernetes gives no other policy to pods that end: Jobs' pods and Airflow's. stages.yaml has the
# others.
ENDING: Final = "spec.restartPolicy!=Always,spec.nodeName!="


class Pods:
    """The pods that are run here."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._pods: dict[str, Pod] = {}

    def follow(self) -> None:
        """Start and end pods as they come and go, for ever."""
        api = self._machine.api
        while True:
            try:
                listed = api.list_pod_for_all_namespaces(field_selector=ENDING)
                for uid in self._pods.keys() - {pod.metadata.uid for pod in listed.items}:
                    self._pods.pop(uid).vanish()
                for pod in listed.items:
                    self._see(pod)
                for event in kubernetes.watch.Watch().stream(
                    api.list_pod_for_all_namespaces,
                    field_selector=ENDING,
                    resource_version=listed.metadata.resource_version,
                ):
                    if event["type"] != "DELETED":
                        self._see(event["object"])
                    elif pod := self._pods.pop(event["object"].metadata.uid, None):
                        pod.vanish()
            except (kubernetes.client.ApiException, HTTPError) as error:
                print(f"the API server does not tell of pods: {error}", flush=True)
            time.sleep(1)

    def _see(self, found: Any) -> None:  # noqa: ANN401
        uid = found.metadata.uid
        if uid not in self._pods:
            if found.status.phase in ("Failed", "Succeeded"):
                return
            self._pods[uid] = Pod(self._machine, found)
            self._pods[uid].start()
        pod = self._pods[uid]
        pod.found = found
        pod.correct()
        if found.metadata.deletion_timestamp:
            pod.delete()

    def find(self, namespace: str, name: str) -> Pod | None:
        """Return a pod, if it is run here."""
        for pod in list(self._pods.values()):
            if (pod.found.metadata.namespace, pod.found.metadata.name) == (namespace, name):
                return pod
        return None

    def end(self) -> None:
        """End every process."""
        for pod in self._pods.values():
            pod.vanish()


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    keys = DIRECTORY / "pki"
    client: Any = kubernetes.config.new_client_from_config(str(keys / "kubelet.kubeconfig"))
    address = urlsplit(client.configuration.host)
    services = {
        "KUBERNETES_SERVICE_HOST": str(address.hostname),
        "KUBERNETES_SERVICE_PORT": str(address.port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(address.port),
    }
    with tempfile.TemporaryDirectory() as empty:
        no_view = why_no_view(Path(empty))
    if no_view:
        print(f"containers see this machine's files only: {no_view}", flush=True)
    machine = Machine(kubernetes.client.CoreV1Api(client), DIRECTORY / "pods", services, no_view)
    Server.pods = pods = Pods(machine)

    def end(*_: object) -> None:
        pods.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(keys / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(keys / "kubelet.crt", keys / "kubelet.key")
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for follow in (pods.follow, Driver(client).follow):
        threading.Thread(target=follow, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
