"""What EKS's add-ons run in a cluster: pods that are played, and take their room on the nodes."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sandbox.cloud.kubernetes.nodes import core_api

Json: TypeAlias = Any

NAMESPACE: Final = "kube-system"
ON_EACH_NODE: Final = 0
"""Instead of a number of pods."""
# EKS's own images ("View Amazon container image registries for Amazon EKS add-ons").
_REGISTRY: Final = "602401143452.dkr.ecr.{region}.amazonaws.com"


@dataclass(frozen=True)
class Workload:
    """Pods of one kind, and what each of them asks for."""

    name: str
    pods: int
    cpu: str | None = None
    memory: str | None = None

    @property
    def requests(self) -> dict[str, str]:
        """What one of them asks for."""
        asked = {"cpu": self.cpu, "memory": self.memory}
        return {name: amount for name, amount in asked.items() if amount}


WORKLOADS: Final[Mapping[str, Sequence[Workload]]] = {
    # Two containers of 25m.
    "vpc-cni": (Workload("aws-node", ON_EACH_NODE, cpu="50m"),),
    "kube-proxy": (Workload("kube-proxy", ON_EACH_NODE, cpu="100m"),),
    "eks-pod-identity-agent": (Workload("eks-pod-identity-agent", ON_EACH_NODE),),
    "coredns": (Workload("coredns", 2, cpu="100m", memory="70Mi"),),
    "metrics-server": (Workload("metrics-server", 2, cpu="100m", memory="200Mi"),),
    # Each container asks for 10m and 40Mi: three on each node, and six of the controller.
    "aws-ebs-csi-driver": (
        Workload("ebs-csi-node", ON_EACH_NODE, cpu="30m", memory="120Mi"),
        Workload("ebs-csi-controller", 2, cpu="60m", memory="240Mi"),
    ),
}
"""By add-on, as their manifests have it by default."""


def install(addon: str, region: str) -> None:
    """Run what an add-on runs."""
    for workload in WORKLOADS.get(addon, ()):
        kind, body = _object(workload, region)
        _do("create", kind, NAMESPACE, body, unless=http.client.CONFLICT)


def remove(addon: str) -> None:
    """End it."""
    for workload in WORKLOADS.get(addon, ()):
        kind, _ = _object(workload, "")
        _do("delete", kind, workload.name, NAMESPACE, unless=http.client.NOT_FOUND)


def _do(verb: str, kind: str, *arguments: Json, unless: int) -> None:
    from kubernetes.client import ApiException, AppsV1Api  # noqa: PLC0415  (slow)

    api = AppsV1Api(core_api().api_client)
    try:
        getattr(api, f"{verb}_namespaced_{kind}")(*arguments)
    except ApiException as error:
        if error.status != unless:
            raise


def _object(workload: Workload, region: str) -> tuple[str, Json]:
    labels = {"app.kubernetes.io/name": workload.name}
    each = workload.pods == ON_EACH_NODE
    pod = {
        "priorityClassName": "system-node-critical" if each else "system-cluster-critical",
        # Of the others, none goes where a taint keeps pods away.
        "tolerations": [{"operator": "Exists"}] if each else [],
        "hostNetwork": each,
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": workload.name,
                "image": f"{_REGISTRY.format(region=region)}/eks/{workload.name}:latest",
                "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": workload.requests},
            }
        ],
    }
    spec: Json = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if not each:
        spec["replicas"] = workload.pods
    body = {"metadata": {"name": workload.name, "labels": labels}, "spec": spec}
    return ("daemon_set" if each else "deployment"), body
