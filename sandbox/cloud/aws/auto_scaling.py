"""The Auto Scaling groups that EKS makes for its managed node groups, as moto answers about them.

They are looked up in EKS each time, so that there is one truth; what is asked of them, EKS does.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final, TypeAlias

from sandbox.cloud.kubernetes import nodes
from sandbox.machine.aws_api import Aws, find, in_region

Json: TypeAlias = Any
Module: TypeAlias = Any

BY_AUTO_SCALING: Final = "auto-scaling"
"""The client's token of a change that Auto Scaling makes, of which EKS lists no update."""


@dataclass
class Instance:
    """An instance of a group: a node of the cluster."""

    id: str
    node: str
    zone: str
    instance_type: str
    ready: bool
    autoscaling_group: Group
    # As moto tells of it.
    instance_id: str = field(init=False)
    availability_zone: str = field(init=False)
    auto_scaling_group_name: str = field(init=False)
    lifecycle_state: str = field(init=False)
    health_status: str = "Healthy"
    protected_from_scale_in: bool = False

    def __post_init__(self) -> None:
        self.instance_id, self.availability_zone = self.id, self.zone
        self.auto_scaling_group_name = self.autoscaling_group.name
        self.lifecycle_state = "InService" if self.ready else "Pending"

    @property
    def instance(self) -> Instance:
        """Return what moto would keep apart."""
        return self


class Group:
    """The Auto Scaling group of a node group."""

    def __init__(self, aws: Aws, backend: Json, name: str) -> None:
        self._aws = aws
        self._backend = backend
        self.name = name
        self.arn = (
            f"arn:{aws.partition}:autoscaling:{backend.region_name}:{backend.account_id}:"
            f"autoScalingGroup:{uuid.uuid4()}:autoScalingGroupName/{name}"
        )
        role = "autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        self.service_linked_role_arn = (
            f"arn:{aws.partition}:iam::{backend.account_id}:role/aws-service-role/{role}"
        )
        self.created_time = datetime.now(UTC).isoformat()
        self.default_cooldown = 300
        self.health_check_type, self.health_check_grace_period = "EC2", 15
        self.termination_policies = [
            "AllocationStrategy",
            "OldestLaunchTemplate",
            "OldestInstance",
        ]
        self.new_instances_protected_from_scale_in = False
        self.load_balancer_names: list[str] = []
        self.target_group_arns: list[str] = []
        self.suspended_processes: list[Json] = []
        self.enabled_metrics: list[Json] = []
        self.tags: list[Json] = []
        self.availability_zones: list[str] = []
        self._of: Json = {}

    def follow(self, of: Json) -> None:
        """Be what EKS tells of the node group."""
        if not self._of:
            cluster = of["clusterName"]
            own = {
                "eks:cluster-name": cluster,
                "eks:nodegroup-name": of["nodegroupName"],
                "k8s.io/cluster-autoscaler/enabled": "true",
                f"k8s.io/cluster-autoscaler/{cluster}": "owned",
                f"kubernetes.io/cluster/{cluster}": "owned",
            }
            self.tags = [self._tag(key, value) for key, value in own.items()]
            subnets = self._aws.client("ec2").describe_subnets(SubnetIds=of["subnets"])["Subnets"]
            self.availability_zones = sorted({one["AvailabilityZone"] for one in subnets})
        self._of = of
        self.vpc_zone_identifier = ",".join(of["subnets"])
        self.capacity_rebalance = of["capacityType"] == "SPOT"
        scaling = of["scalingConfig"]
        self.min_size, self.max_size = scaling["minSize"], scaling["maxSize"]
        self.desired_capacity = scaling["desiredSize"]
        spot = of["capacityType"] == "SPOT"
        # EKS's launch template, made after the one that it was given.
        template = {"LaunchTemplateName": f"eks-{self.name}", "Version": "1"}
        self.mixed_instances_policy = {
            "LaunchTemplate": {
                "LaunchTemplateSpecification": template,
                "Overrides": [{"InstanceType": kind} for kind in of["instanceTypes"]],
            },
            "InstancesDistribution": {
                "OnDemandAllocationStrategy": "prioritized",
                "OnDemandBaseCapacity": 0,
                "OnDemandPercentageAboveBaseCapacity": 0 if spot else 100,
                "SpotAllocationStrategy": "price-capacity-optimized",
            },
        }

    def _tag(self, key: str, value: str) -> Json:
        return {
            "Key": key,
            "Value": value,
            "ResourceId": self.name,
            "ResourceType": "auto-scaling-group",
            "PropagateAtLaunch": True,
        }

    @property
    def instance_states(self) -> list[Instance]:
        """The instances, as moto calls them."""
        return [
            Instance(
                id=node.spec.provider_id.rpartition("/")[2],
                node=node.metadata.name,
                zone=node.metadata.labels["topology.kubernetes.io/zone"],
                instance_type=node.metadata.labels["node.kubernetes.io/instance-type"],
                ready=nodes.is_ready(node),
                autoscaling_group=self,
            )
            for node in nodes.of_group(self._of["nodegroupName"])
        ]

    def active_instances(self) -> list[Instance]:
        """Return those that are in service, which moto would tell load balancers of."""
        return [one for one in self.instance_states if one.ready]

    @property
    def instances(self) -> list[Instance]:
        """The same, as it is told."""
        return self.instance_states

    def set_desired_capacity(self, wanted: int | None) -> None:
        """Let there be so many nodes, within the bounds."""
        size = self.min_size if wanted is None else wanted
        for bound, beyond, word in (
            (self.max_size, size > self.max_size, "above max"),
            (self.min_size, size < self.min_size, "below min"),
        ):
            if beyond:
                raise _invalid(
                    f"New SetDesiredCapacity value {size} is {word} value {bound} for the "
                    "AutoScalingGroup."
                )
        self._change(desiredSize=size)

    def update(self, **told: Json) -> None:
        """Move the bounds, and the size as far as it must."""
        low = self.min_size if told.get("min_size") is None else told["min_size"]
        high = self.max_size if told.get("max_size") is None else told["max_size"]
        size = told.get("desired_capacity")
        wanted = max(low, min(self.desired_capacity if size is None else size, high))
        self._change(minSize=low, maxSize=high, desiredSize=wanted)

    def terminate(self, instance: Instance, *, decrement: bool) -> None:
        """Take one node away, and have another one in its place or one fewer."""
        if decrement and self.desired_capacity <= self.min_size:
            raise _invalid(
                "Currently, desiredSize equals minSize "
                f"({self.min_size}). Terminating instance without replacement will violate "
                "group's min size constraint. Either set shouldDecrementDesiredCapacity flag to "
                "false or lower group's min size."
            )
        nodes.remove(instance.node)
        self._change(desiredSize=self.desired_capacity - decrement)

    def _change(self, **scaling: int) -> None:
        self._aws.client("eks").update_nodegroup_config(
            clusterName=self._of["clusterName"],
            nodegroupName=self._of["nodegroupName"],
            scalingConfig=scaling,
            clientRequestToken=BY_AUTO_SCALING,
        )
        self._of["scalingConfig"].update(scaling)
        self.follow(self._of)


def _invalid(message: str) -> Exception:
    error: Exception = import_module("moto.autoscaling.exceptions").ValidationError(message)
    return error


def complete(aws: Aws) -> None:
    """Let moto tell of the groups of EKS, and change them."""
    models: Module = import_module("moto.autoscaling.models")
    backend = models.AutoScalingBackend
    terminate = backend.terminate_instance

    def get(self: Json) -> Json:
        _follow(aws, self)
        return self.__dict__["_groups"]

    def keep(self: Json, groups: Json) -> None:
        self.__dict__["_groups"] = groups

    def terminate_instance(self: Json, instance_id: str, should_decrement: bool) -> Json:
        for group in self.autoscaling_groups.values():
            for one in group.instance_states:
                if one.instance.id != instance_id:
                    continue
                if not isinstance(group, Group):
                    return terminate(self, instance_id, should_decrement)
                before = group.desired_capacity
                group.terminate(one, decrement=should_decrement)
                return models.TerminateInstanceActivity(one, before)
        raise _invalid(
            f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
        )

    backend.autoscaling_groups = property(get, keep)
    backend.terminate_instance = terminate_instance


def _follow(aws: Aws, backend: Json) -> None:
    groups = backend.__dict__["_groups"]
    with in_region(backend.region_name):
        found = {one["resources"]["autoScalingGroups"][0]["name"]: one for one in _told(aws)}
        for name in [n for n, one in groups.items() if isinstance(one, Group) and n not in found]:
            del groups[name]
        for name, one in found.items():
            if name not in groups:
                groups[name] = Group(aws, backend, name)
            groups[name].follow(one)


def _told(aws: Aws) -> Iterator[Json]:
    """Yield what EKS tells of each node group."""
    eks = aws.client("eks")
    for cluster in eks.list_clusters()["clusters"]:
        listed = find(eks.list_nodegroups, clusterName=cluster) or {"nodegroups": []}
        for name in listed["nodegroups"]:
            if answer := find(eks.describe_nodegroup, clusterName=cluster, nodegroupName=name):
                yield answer["nodegroup"]
