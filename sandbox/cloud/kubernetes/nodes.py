"""The nodes of a node group: Node objects that kwok keeps alive."""

from __future__ import annotations

import functools
import ipaddress
import os
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

CoreApi: TypeAlias = Any


class UnknownInstanceTypeError(Exception):
    """An instance type of which the sandbox does not know what pods can have of it."""


GROUP_LABEL = "eks.amazonaws.com/nodegroup"
ZONE_LABEL = "topology.kubernetes.io/zone"
# What EC2 knows of a node's instance: annotations, since there are no instances here.
SUBNET = "sandbox/subnet"
ROLE = "sandbox/role"
REGION = "sandbox/region"


@functools.cache
def core_api() -> CoreApi:
    """Return a client of the API server that KUBECONFIG names."""
    from kubernetes import client, config  # noqa: PLC0415  (slow, and not every start needs it)

    return client.CoreV1Api(config.new_client_from_config(os.environ["KUBECONFIG"]))


def namespace_exists(name: str) -> bool:
    """Tell whether the namespace is there and not on its way out."""
    namespaces = core_api().list_namespace(field_selector=f"metadata.name={name}").items
    return bool(namespaces) and namespaces[0].status.phase == "Active"


@dataclass(frozen=True)
class Zone:
    """A subnet in which nodes run."""

    name: str
    cidr_block: str
    subnet_id: str


@dataclass(frozen=True)
class NodeGroup:
    """What the nodes of a group have in common."""

    name: str
    cluster: str
    instance_type: str
    architecture: str
    capacity_type: str
    version: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    zones: Sequence[Zone]
    role: str
    """The ARN of the nodes' IAM role."""

    def scale(self, wanted: int) -> None:
        """Make the number of nodes what is wanted; the youngest go first."""
        found = of_group(self.name)
        names = [node.metadata.name for node in found]
        taken = Counter(node.metadata.labels[ZONE_LABEL] for node in found)
        for _ in range(len(names), wanted):
            zone = min(self.zones, key=lambda zone: taken[zone.name])
            taken[zone.name] += 1
            core_api().create_node(self._node(zone))
        for name in reversed(names[wanted:]):
            remove(name)

    def _node(self, zone: Zone) -> dict[str, Any]:
        region = zone.name.rstrip("abcdefghijklmnopqrstuvwxyz")
        network = ipaddress.ip_network(zone.cidr_block)
        # AWS keeps the first four addresses and the last one of a subnet.
        address = network[random.randrange(4, network.num_addresses - 1)]  # noqa: S311
        name = f"ip-{str(address).replace('.', '-')}.{region}.compute.internal"
        instance = f"i-{random.getrandbits(68):017x}"
        return {
            "metadata": {
                "name": name,
                # kwok plays the kubelet of nodes that carry this.
                "annotations": {
                    "kwok.x-k8s.io/node": "fake",
                    SUBNET: zone.subnet_id,
                    ROLE: self.role,
                    REGION: region,
                },
                "labels": {
                    "eks.amazonaws.com/capacityType": self.capacity_type,
                    "kubernetes.io/arch": self.architecture,
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "node.kubernetes.io/instance-type": self.instance_type,
                    "topology.kubernetes.io/region": region,
                    ZONE_LABEL: zone.name,
                    **self.labels,
                    GROUP_LABEL: self.name,
                },
            },
            "spec": {
                "providerID": f"aws:///{zone.name}/{instance}",
                "taints": [
                    {**one, "effect": _EFFECTS.get(one["effect"], one["effect"])}
                    for one in self.taints
                ],
            },
            "status": {
                "addresses": [{"type": "InternalIP", "address": str(address)}],
                "allocatable": allocatable(self.instance_type),
                "capacity": allocatable(self.instance_type),
                "nodeInfo": {
                    "architecture": self.architecture,
                    "bootID": "",
                    "containerRuntimeVersion": "containerd://2.1.0",
                    "kernelVersion": "6.12.0",
                    "kubeProxyVersion": f"v{self.version}.0",
                    "kubeletVersion": f"v{self.version}.0-eks-sandbox",
                    "machineID": "",
                    "operatingSystem": "linux",
                    "osImage": "Amazon Linux 2023",
                    "systemUUID": "",
                },
            },
        }


# EKS and Kubernetes spell a taint's effect differently.
_EFFECTS = {
    "NO_EXECUTE": "NoExecute",
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
}


def of_group(name: str) -> list[Any]:
    """Return the nodes of a group that exist, the oldest first."""
    nodes: list[Any] = core_api().list_node(label_selector=f"{GROUP_LABEL}={name}").items
    nodes.sort(key=lambda node: (node.metadata.creation_timestamp, node.metadata.name))
    return nodes


def is_ready(node: Any) -> bool:  # noqa: ANN401
    """Tell whether a node says of itself that it takes pods."""
    conditions = node.status.conditions or ()
    return any(one.type == "Ready" and one.status == "True" for one in conditions)


def remove(name: str) -> None:
    """Cordon a node, delete the pods on it and the node itself."""
    api = core_api()
    api.patch_node(name, {"spec": {"unschedulable": True}})
    for pod in api.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}").items:
        api.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
    api.delete_node(name)


# GiB of memory per CPU: https://aws.amazon.com/ec2/instance-types/
_MEMORY_PER_CPU = {"c": 2, "m": 4, "r": 8, "t": 4, "x": 16}
# https://github.com/awslabs/amazon-eks-ami/blob/main/templates/shared/runtime/eni-max-pods.txt
_PODS = {"medium": 17, "large": 29, "xlarge": 58, "2xlarge": 58, "4xlarge": 234}


def allocatable(instance_type: str) -> dict[str, str]:
    """Return about what pods can have of an instance."""
    match = re.fullmatch(r"([a-z])[a-z0-9-]*\.(?:(\d*)(xlarge)|(large|medium))", instance_type)
    if match is None:
        raise UnknownInstanceTypeError(f"instance type {instance_type} is not part of the sandbox")
    family, factor, _, _ = match.groups()
    size = instance_type.partition(".")[2]
    cpus = 4 * int(factor or 1) if size.endswith("xlarge") else 2
    memory = cpus * _MEMORY_PER_CPU.get(family, 4)
    return {
        # The kubelet keeps some of both: https://docs.aws.amazon.com/eks/latest/userguide/
        # choosing-instance-type.html
        "cpu": f"{cpus * 1000 - 80}m",
        "ephemeral-storage": "90Gi",
        "memory": f"{memory * 1024 - 900}Mi",
        "pods": str(_PODS.get(size, 110)),
    }
