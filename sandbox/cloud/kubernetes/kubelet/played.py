"""The pods that kwok plays: they begin to run once their images are there."""

from __future__ import annotations

import http.client
import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes.kubelet.environment import NotYetError
from sandbox.cloud.kubernetes.kubelet.images import Images, Pulls, failure
from sandbox.cloud.kubernetes.kubelet.known import is_run
from sandbox.cloud.kubernetes.watching import RETRY, TIMEOUT, follow, warn

PLAYED: Final = "spec.restartPolicy=Always,spec.nodeName!=,status.phase=Pending"
PULLED: Final = "ImagesPulled"
"""The condition that stages.yaml waits for."""

Waiting = dict[str, tuple[str, str]]
"""Reason and message, by the name of a container."""


class Played:
    """The pods that wait for their images."""

    def __init__(self, api: Any, images: Images) -> None:  # noqa: ANN401
        self._api = api
        self._images = images
        self._over: dict[str, threading.Event] = {}

    def follow(self) -> None:
        """Let pods have their images as they come, for ever."""
        listing = self._api.list_pod_for_all_namespaces
        follow(listing, self._see, self._forget, field_selector=PLAYED)

    def _see(self, pod: Any) -> None:  # noqa: ANN401
        if is_run(pod):
            return
        if pod.metadata.deletion_timestamp:
            self._forget(pod.metadata.uid)
        if (uid := pod.metadata.uid) not in self._over:
            self._over[uid] = over = threading.Event()
            act = self._delete if pod.metadata.deletion_timestamp else self._pull
            threading.Thread(target=act, args=(pod, over), daemon=True).start()

    def _forget(self, uid: str) -> None:
        if over := self._over.pop(uid, None):
            over.set()

    def _delete(self, pod: Any, over: threading.Event) -> None:  # noqa: ANN401
        """Let a pod go that has not begun to run; what has, kwok lets go."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
        while not over.is_set():
            try:
                self._api.delete_namespaced_pod(
                    pod.metadata.name, pod.metadata.namespace, body=body, _request_timeout=TIMEOUT
                )
                return
            except ApiException as error:
                if error.status in (http.client.NOT_FOUND, http.client.CONFLICT):
                    return
                print(f"{pod.metadata.name}: {error}", flush=True)
            except HTTPError as error:
                print(f"{pod.metadata.name}: {error}", flush=True)
            over.wait(RETRY)

    def _pull(self, pod: Any, over: threading.Event) -> None:  # noqa: ANN401
        pulls, told = Pulls(self._images), Waiting()
        while not over.is_set():
            try:
                node = self._api.read_node(pod.spec.node_name, _request_timeout=TIMEOUT)
                waiting = _waiting(pulls, pod, node)
                if waiting != told or not waiting:
                    self._tell(pod, waiting)
                if not waiting:
                    return
                told = waiting
            except (ApiException, HTTPError) as error:
                print(f"{pod.metadata.name}: {error}", flush=True)
            over.wait(RETRY)

    def _tell(self, pod: Any, waiting: Waiting) -> None:  # noqa: ANN401
        condition = {
            "type": PULLED,
            "status": "False" if waiting else "True",
            "lastTransitionTime": datetime.now(UTC).isoformat(),
        }
        status: dict[str, Any] = {"conditions": [condition]}
        starting, main = pod.spec.init_containers or [], pod.spec.containers
        if waiting:
            other = "PodInitializing" if starting else "ContainerCreating"
            state = partial(_status, waiting=waiting, other=other)
            status["initContainerStatuses"] = [state(one) for one in starting]
            status["containerStatuses"] = [state(one) for one in main]
        for container in [*starting, *main]:
            if found := waiting.get(container.name):
                warn(self._api, pod, "Failed", failure(container.image, *found))
        body = {"metadata": {"uid": pod.metadata.uid}, "status": status}
        self._api.patch_namespaced_pod_status(
            pod.metadata.name, pod.metadata.namespace, body, _request_timeout=TIMEOUT
        )


def _waiting(pulls: Pulls, pod: Any, node: Any) -> Waiting:  # noqa: ANN401
    """Return the containers that lack their image; before it has come, no later one is pulled."""
    for group in [*([one] for one in pod.spec.init_containers or ()), pod.spec.containers]:
        waiting: Waiting = {}
        for container in group:
            try:
                pulls.require(container.image, container.image_pull_policy, node)
            except NotYetError as error:
                waiting[container.name] = (error.reason, str(error))
        if waiting:
            return waiting
    return {}


def _status(container: Any, waiting: Waiting, other: str) -> dict[str, Any]:  # noqa: ANN401
    reason, message = waiting.get(container.name, (other, ""))
    return {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message or None}},
    }
