"""The node groups that a cluster autoscaler knows, as it asks AWS about them with its own role."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from botocore.exceptions import ClientError

from sandbox.cloud.kubernetes.autoscaler.fitting import STARTING, Place, amounts

Json: TypeAlias = Any
ClientOf: TypeAlias = Callable[[str], Any]

_DISCOVERY: Final = "--node-group-auto-discovery=asg:tag="
_RESOURCES: Final = "k8s.io/cluster-autoscaler/node-template/resources/"
_LABELS: Final = "k8s.io/cluster-autoscaler/node-template/label/"
_TAINTS: Final = "k8s.io/cluster-autoscaler/node-template/taint/"
# EKS and Kubernetes spell a taint's effect differently.
_EFFECTS: Final = {"NO_EXECUTE": "NoExecute", "NO_SCHEDULE": "NoSchedule"}
_ARCHITECTURES: Final = {"arm64": "arm64", "x86_64": "amd64"}


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group, with the bounds within which its size may move."""

    name: str
    low: int
    high: int
    size: int
    instances: Mapping[str, str]
    """The provider's ids of its nodes, by which Kubernetes knows them, and their own."""
    of: Json


def discovered(client_of: ClientOf, arguments: Iterable[str]) -> list[Group]:
    """Return the groups that have all tags of one of the arguments that tell how to find them."""
    found = {}
    for argument in arguments:
        if not argument.startswith(_DISCOVERY):
            continue
        filters = []
        for tag in argument.removeprefix(_DISCOVERY).split(","):
            key, _, value = tag.partition("=")
            named = {"Name": f"tag:{key}", "Values": [value]}
            filters.append(named if value else {"Name": "tag-key", "Values": [key]})
        pages = client_of("autoscaling").get_paginator("describe_auto_scaling_groups")
        for page in pages.paginate(Filters=filters):
            for one in page["AutoScalingGroups"]:
                found[one["AutoScalingGroupName"]] = Group(
                    one["AutoScalingGroupName"],
                    one["MinSize"],
                    one["MaxSize"],
                    one["DesiredCapacity"],
                    {
                        f"aws:///{each['AvailabilityZone']}/{each['InstanceId']}": each[
                            "InstanceId"
                        ]
                        for each in one["Instances"]
                    },
                    one,
                )
    return list(found.values())


def like(node: Json) -> Place:
    """Return what another node of the same group would be, from one that is ready."""
    name = f"template-node-for-{node.metadata.labels.get('eks.amazonaws.com/nodegroup', '')}"
    labels = {**node.metadata.labels, "kubernetes.io/hostname": name}
    taints = tuple(
        (one.key, one.value or "", one.effect)
        for one in node.spec.taints or ()
        if one.key not in STARTING
    )
    return Place(name, labels, taints, amounts(node.status.allocatable))


def imagined(client_of: ClientOf, group: Group, say: Callable[[str], None]) -> Place:
    """Return what the first node of a group would be, from what AWS tells.

    As aws_manager.go of kubernetes/autoscaler does: by the first instance type and zone, with all
    of the instance for pods, and of the disk only what a tag says.
    """
    kind = _instance_type(client_of, group)
    (told,) = client_of("ec2").describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
    zone = group.of["AvailabilityZones"][0]
    name = f"template-node-for-{group.name}"
    tags = {one["Key"]: one["Value"] for one in group.of["Tags"]}
    (architecture, *_) = told["ProcessorInfo"]["SupportedArchitectures"]
    labels = {
        "kubernetes.io/arch": _ARCHITECTURES.get(architecture, architecture),
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": kind,
        "topology.ebs.csi.aws.com/zone": zone,
        "topology.kubernetes.io/region": re.sub("[a-z]+$", "", zone),
        "topology.kubernetes.io/zone": zone,
        **_tagged(tags, _LABELS),
    }
    capacity = {
        "cpu": str(told["VCpuInfo"]["DefaultVCpus"]),
        "memory": f"{told['MemoryInfo']['SizeInMiB']}Mi",
        "pods": "110",
        **_tagged(tags, _RESOURCES),
    }
    taints = [
        (key, *value.rsplit(":", 1))
        for key, value in _tagged(tags, _TAINTS).items()
        if ":" in value
    ]
    cluster, node_group = tags.get("eks:cluster-name"), tags.get("eks:nodegroup-name")
    if cluster and node_group:
        try:
            managed = client_of("eks").describe_nodegroup(
                clusterName=cluster, nodegroupName=node_group
            )["nodegroup"]
        except ClientError as error:
            say(f"labels and taints of node group {node_group} are not known: {error}")
        else:
            labels |= {
                "eks.amazonaws.com/capacityType": managed["capacityType"],
                "eks.amazonaws.com/nodegroup": node_group,
                **managed["labels"],
            }
            capacity |= _tagged(managed["tags"], _RESOURCES)
            taints += [
                (one["key"], one["value"], _EFFECTS.get(one["effect"], one["effect"]))
                for one in managed["taints"]
                if one.get("value") is not None
            ]
    return Place(name, labels, tuple((k, v, e) for k, v, e in taints), amounts(capacity))


def _tagged(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)
    }


def _instance_type(client_of: ClientOf, group: Group) -> str:
    policy = group.of.get("MixedInstancesPolicy", {})
    for one in policy.get("LaunchTemplate", {}).get("Overrides", []):
        kind: str = one["InstanceType"]
        return kind
    template = group.of["LaunchTemplate"]
    (version,) = client_of("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"],
        Versions=[template.get("Version", "$Default")],
    )["LaunchTemplateVersions"]
    of_template: str = version["LaunchTemplateData"]["InstanceType"]
    return of_template
