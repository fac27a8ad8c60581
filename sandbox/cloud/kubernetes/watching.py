"""What the API server tells of pods and other objects, and what it is told of pods."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import kubernetes.watch
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes.events import event

TIMEOUT: Final = 10.0
"""Seconds, for one request."""
RETRY: Final = 1.0
"""After how many seconds it is looked again whether what is missing is there."""


def follow(
    list_all: Callable[..., Any],
    see: Callable[[Any], None],
    forget: Callable[[str], None],
    **selection: str,
) -> None:
    """Tell of the objects that a call lists, as they come, change and go, for ever.

    see: gets an object; forget: gets the uid of one that is there no longer.
    """
    known: set[str] = set()

    def come(found: Any) -> None:  # noqa: ANN401
        known.add(found.metadata.uid)
        see(found)

    def go(uid: str) -> None:
        known.discard(uid)
        forget(uid)

    while True:
        try:
            listed = list_all(**selection)
            for uid in known - {found.metadata.uid for found in listed.items}:
                go(uid)
            for found in listed.items:
                come(found)
            for change in kubernetes.watch.Watch().stream(
                list_all,
                resource_version=listed.metadata.resource_version,
                **selection,
            ):
                if change["type"] == "DELETED":
                    go(change["object"].metadata.uid)
                else:
                    come(change["object"])
        except (ApiException, HTTPError) as error:
            print(f"the API server does not answer {list_all.__name__}: {error}", flush=True)
        time.sleep(RETRY)


def warn(api: Any, pod: Any, reason: str, message: str) -> None:  # noqa: ANN401
    """Let a reader of a pod's events know."""
    source = {"component": "kubelet", "host": pod.spec.node_name}
    body = event(pod, "Warning", reason, message, source)
    try:
        api.create_namespaced_event(pod.metadata.namespace, body, _request_timeout=TIMEOUT)
    except (ApiException, HTTPError) as error:  # such as a namespace that goes
        print(f"{pod.metadata.name}: {error}", flush=True)
