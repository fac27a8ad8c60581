"""Runs pods as a kubelet does: those that are meant to end, and those of known images.

kwok plays the nodes and the other pods. There are no images here: a container's command is run as
a process on this machine. Whether a node could pull the image is asked of the emulated AWS all the
same, for either kind of pod.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import kubernetes.client
import kubernetes.config

from sandbox.cloud.kubernetes import certificates
from sandbox.cloud.kubernetes.kubelet.claims import Driver
from sandbox.cloud.kubernetes.kubelet.containers import why_no_view
from sandbox.cloud.kubernetes.kubelet.identity import PodIdentity
from sandbox.cloud.kubernetes.kubelet.images import Images
from sandbox.cloud.kubernetes.kubelet.known import KnownImages, is_run
from sandbox.cloud.kubernetes.kubelet.network import Network
from sandbox.cloud.kubernetes.kubelet.played import Played
from sandbox.cloud.kubernetes.kubelet.pods import Machine, Pod
from sandbox.cloud.kubernetes.kubelet.server import Server
from sandbox.cloud.kubernetes.watching import follow
from sandbox.machine import processes
from sandbox.machine.aws_api import Aws
from sandbox.machine.program import DIRECTORY

PLACED: Final = "spec.nodeName!="


class Pods:
    """The pods that are run here."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._pods: dict[str, Pod] = {}

    def follow(self) -> None:
        """Start and end pods as they come and go, for ever."""
        listing = self._machine.api.list_pod_for_all_namespaces
        follow(listing, self._see, self._forget, field_selector=PLACED)

    def _forget(self, uid: str) -> None:
        if pod := self._pods.pop(uid, None):
            pod.vanish()

    def _see(self, found: Any) -> None:  # noqa: ANN401
        uid = found.metadata.uid
        if uid not in self._pods:
            if not is_run(found) or found.status.phase in ("Failed", "Succeeded"):
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
    """Serve on the loopback ports given: the kubelet's own, and the one of EKS Pod Identity."""
    # As on a node: users within a pod have files in common. Nobody else gets at DIRECTORY.
    os.umask(0o022)
    processes.collect_garbage_seldom()
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
    aws = Aws(os.environ["AWS_REGION"])
    images = Images(aws)
    api = kubernetes.client.CoreV1Api(client)
    network = Network(api)
    known = KnownImages(
        DIRECTORY / "images", client.configuration.host, os.environ["AWS_ENDPOINT_URL_S3"]
    )
    identity = PodIdentity(client, aws, int(sys.argv[2]))
    machine = Machine(api, DIRECTORY / "pods", services, no_view, images, known, identity, network)
    Server.pods = pods = Pods(machine)

    def end(*_: object) -> None:
        pods.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Server)
    certificates.demand(server, keys, "kubelet")
    for following in (
        network.follow,
        pods.follow,
        Played(api, images).follow,
        Driver(client, aws).follow,
    ):
        threading.Thread(target=following, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
