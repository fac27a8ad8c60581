"""What is in a cluster, asked as the stack's own provider would ask."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import yaml
from kubernetes import config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError

MANAGER: Final = "pulumi-kubernetes-"
"""How the name begins under which Pulumi's provider applies a resource; the rest is random."""


def live_object(kubeconfig: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the object that the program asked for as the cluster has it; None if it has not."""
    client = _client(kubeconfig)
    kind = client.resources.get(api_version=inputs["apiVersion"], kind=inputs["kind"])
    metadata = inputs["metadata"]
    try:
        found = client.get(kind, name=metadata["name"], namespace=metadata.get("namespace"))
    except NotFoundError:
        return None
    told: dict[str, Any] = found.to_dict()
    return told


def field_manager(kubeconfig: str, inputs: Mapping[str, Any], *, is_patch: bool) -> str | None:
    """Return under which name Pulumi last applied an object; None if it has not.

    The provider gives up fields under the name that it has set them with, and no other.

    is_patch: somebody else makes the object, so that it may be there without Pulumi.
    """
    found = live_object(kubeconfig, inputs)
    if found is None:
        return None
    entries = found["metadata"].get("managedFields") or []
    if not entries and not is_patch:  # made of nothing but a name: there is no field to hold
        return f"{MANAGER}recovered"
    ours = [one for one in entries if one["manager"].startswith(MANAGER)]
    return max(ours, key=lambda one: str(one["time"]))["manager"] if ours else None


@cache  # it asks for every kind that there is
def _client(kubeconfig: str) -> DynamicClient:
    return DynamicClient(config.new_client_from_config_dict(yaml.safe_load(kubeconfig)))


def object_id(inputs: Mapping[str, Any]) -> str:
    """Return the id by which Pulumi knows an object."""
    metadata = inputs["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
