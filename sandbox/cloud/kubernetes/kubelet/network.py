"""Where pods are on this machine, and what the names of services stand for in them."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.cloud.kubernetes.watching import follow

MACHINE = "127.0.0.1"


@dataclass
class _Known:
    """A pod that is run here."""

    namespace: str
    labels: dict[str, str]
    address: str
    hostname: str
    hosts: Path


class Network:
    """The addresses of the pods that are run here: on loopback, one each where there are many."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401
        self._api = api
        self._pods: dict[str, _Known] = {}
        self._services: dict[str, Any] = {}
        self._lock = threading.Lock()

    def join(self, pod: Any, hosts: Path) -> str:  # noqa: ANN401
        """Return a pod's address; in `hosts` are the names that it knows, from now on."""
        with self._lock:
            taken = {one.address for one in self._pods.values()}
            address = MACHINE
            while sys.platform == "linux" and address in {MACHINE, *taken}:
                parts = (random.randint(64, 127), random.randint(0, 255), random.randint(1, 254))  # noqa: S311
                address = ".".join(map(str, (127, *parts)))
            hosts.parent.mkdir(parents=True, exist_ok=True)
            self._pods[pod.metadata.uid] = _Known(
                pod.metadata.namespace,
                pod.metadata.labels or {},
                address,
                pod.spec.hostname or pod.metadata.name,
                hosts,
            )
            self._write()
        return address

    def leave(self, uid: str) -> None:
        """Forget a pod."""
        with self._lock:
            if self._pods.pop(uid, None):
                self._write()

    def follow(self) -> None:
        """Learn of services as they come and go, for ever."""
        follow(self._api.list_service_for_all_namespaces, self._see, self._forget)

    def _see(self, service: Any) -> None:  # noqa: ANN401
        with self._lock:
            self._services[service.metadata.uid] = service
            self._write()

    def _forget(self, uid: str) -> None:
        with self._lock:
            self._services.pop(uid, None)
            self._write()

    def _write(self) -> None:
        """Write what the cluster's DNS would answer, and the kubelet, in each pod's hosts file."""
        named = [line for service in self._services.values() for line in self._named(service)]
        for pod in self._pods.values():
            own = [f"{MACHINE} localhost", f"{pod.address} {pod.hostname}"]
            pod.hosts.write_text("".join(f"{line}\n" for line in (*own, *named)))

    def _named(self, service: Any) -> Iterable[str]:  # noqa: ANN401
        # A service with an address of its own is nowhere on this machine.
        if service.spec.cluster_ip != "None" or not service.spec.selector:
            return
        name, namespace = service.metadata.name, service.metadata.namespace
        wanted = service.spec.selector.items()
        for pod in self._pods.values():
            if pod.namespace == namespace and wanted <= pod.labels.items():
                names = (f"{name}.{namespace}.svc{end}" for end in ("", ".cluster.local"))
                yield f"{pod.address} {' '.join(names)} {name}.{namespace}"
