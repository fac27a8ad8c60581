"""The nodes of a node group: Node objects that kwok keeps alive."""

from __future__ import annotations

import functools
import ipaddress
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

CoreApi: TypeAlias = Any
Json: TypeAlias = Any


GROUP_LABEL = "eks.amazonaws.com/nodegroup"
ZONE_LABEL = "topology.kubernetes.io/zone"
# What EC2 knows of a node's instance: annotations, since there are no instances here.
SUBNET = "sandbox/subnet"
ROLE = "sandbox/role"
REGION = "sandbox/region"
CACHED = "0"
"""The version of what the API server has in memory: milliseconds old, and etcd is not asked."""


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
class Room:
    """What a node has, and what of it pods can have."""

    capacity: Mapping[str, str]
    allocatable: Mapping[str, str]


@dataclass(frozen=True)
class NodeGroup:
    """What the nodes of a group have in common."""

    name: str
    cluster: str
    instance_type: str
    room: Room
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
                "allocatable": dict(self.room.allocatable),
                "capacity": dict(self.room.capacity),
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


# What a virtual machine keeps of its memory before its kernel sees any: Karpenter's own guess.
_OVERHEAD = 0.075
# In millicores of each CPU, the first ones and all others: what the nodes' image has the kubelet
# reserve (awslabs/amazon-eks-ami, nodeadm).
_RESERVED_CPU, _RESERVED_OF_OTHERS = (60, 10, 5, 5), 2.5
_EVICTION_MIB = 100


def room(told: Json, disk_gib: int) -> Room:
    """Return what a node of this instance type has, as EC2 describes it, with so large a disk.

    "Reserve Compute Resources for System Daemons" has the kubelet's formula, awslabs/amazon-eks-ami
    the amounts, and "Choose an optimal Amazon EC2 node instance type" the number of pods.
    """
    cpus, network = told["VCpuInfo"]["DefaultVCpus"], told["NetworkInfo"]
    addresses = network["MaximumNetworkInterfaces"] * (network["Ipv4AddressesPerInterface"] - 1)
    pods = min(addresses + 2, 110 if cpus < 30 else 250)
    memory = int(told["MemoryInfo"]["SizeInMiB"] * (1 - _OVERHEAD))
    first = _RESERVED_CPU[:cpus]
    reserved_cpu = sum(first) + (cpus - len(first)) * _RESERVED_OF_OTHERS
    reserved_memory = 255 + 11 * pods + _EVICTION_MIB
    return Room(
        capacity={
            "cpu": str(cpus),
            "ephemeral-storage": f"{disk_gib}Gi",
            "memory": f"{memory}Mi",
            "pods": str(pods),
        },
        allocatable={
            "cpu": f"{int(cpus * 1000 - reserved_cpu)}m",
            # A tenth is kept free, and 1 GiB reserved.
            "ephemeral-storage": f"{disk_gib * 1024 * 9 // 10 - 1024}Mi",
            "memory": f"{memory - reserved_memory}Mi",
            "pods": str(pods),
        },
    )
