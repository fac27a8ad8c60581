"""What the API server tells of pods, and what it is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import kubernetes.watch
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

TIMEOUT: Final = 10.0
"""Seconds, for one request."""
RETRY: Final = 1.0
"""After how many seconds it is looked again whether what is missing is there."""


def follow(
    api: Any,  # noqa: ANN401
    selector: str,
    see: Callable[[Any], None],
    forget: Callable[[str], None],
) -> None:
    """Tell of the pods that a selector selects, as they come, change and go, for ever.

    see: gets a pod; forget: gets the uid of one that is there no longer.
    """
    known: set[str] = set()

    def come(pod: Any) -> None:  # noqa: ANN401
        known.add(pod.metadata.uid)
        see(pod)

    def go(uid: str) -> None:
        known.discard(uid)
        forget(uid)

    while True:
        try:
            listed = api.list_pod_for_all_namespaces(field_selector=selector)
            for uid in known - {pod.metadata.uid for pod in listed.items}:
                go(uid)
            for pod in listed.items:
                come(pod)
            for event in kubernetes.watch.Watch().stream(
                api.list_pod_for_all_namespaces,
                field_selector=selector,
                resource_version=listed.metadata.resource_version,
            ):
                if event["type"] == "DELETED":
                    go(event["object"].metadata.uid)
                else:
                    come(event["object"])
        except (ApiException, HTTPError) as error:
            print(f"the API server does not tell of pods: {error}", flush=True)
        time.sleep(RETRY)


def warn(api: Any, pod: Any, reason: str, message: str) -> None:  # noqa: ANN401
    """Let a reader of a pod's events know."""
    now = datetime.now(UTC).isoformat()
    event = {
        "metadata": {"generateName": f"{pod.metadata.name[:57]}."},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "uid": pod.metadata.uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message[:1024],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": "kubelet", "host": pod.spec.node_name},
    }
    try:
        api.create_namespaced_event(pod.metadata.namespace, event, _request_timeout=TIMEOUT)
    except (ApiException, HTTPError) as error:  # such as a namespace that goes
        print(f"{pod.metadata.name}: {error}", flush=True)
