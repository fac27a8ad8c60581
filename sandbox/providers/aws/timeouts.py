"""When pulumi-aws gives up waiting, which it takes from terraform-provider-aws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.machine.injection import Operation

_MINUTE: Final = 60.0
DEFAULT: Final = 20 * _MINUTE
"""The SDK's own, for what a type says nothing of; customTimeouts do not change it."""
EXPIRED: Final = (
    "context deadline exceeded: AWS did not answer, or did not finish, in {seconds:g} s"
)


def _minutes(**given: float) -> Mapping[Operation, float]:
    operations: tuple[Operation, ...] = ("create", "read", "update", "delete")
    return {one: given[one] * _MINUTE for one in operations if one in given}


_ROUTES: Final = _minutes(create=5, update=2, delete=5)
DECLARED: Final[Mapping[str, Mapping[Operation, float]]] = {
    "aws:ec2/eip:Eip": _minutes(read=15, update=5, delete=3),
    "aws:ec2/internetGateway:InternetGateway": _minutes(create=20, update=20, delete=20),
    "aws:ec2/natGateway:NatGateway": _minutes(create=10, update=10, delete=30),
    "aws:ec2/route:Route": _ROUTES,
    "aws:ec2/routeTable:RouteTable": _ROUTES,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _ROUTES,
    "aws:ec2/securityGroup:SecurityGroup": _minutes(create=10, delete=15),
    "aws:ec2/subnet:Subnet": _minutes(create=10, delete=20),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _minutes(create=10, update=10, delete=10),
    "aws:eks/accessEntry:AccessEntry": _minutes(create=20, delete=40),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": _minutes(create=20, delete=40),
    "aws:eks/addon:Addon": _minutes(create=20, update=20, delete=40),
    "aws:eks/cluster:Cluster": _minutes(create=30, update=60, delete=15),
    "aws:eks/nodeGroup:NodeGroup": _minutes(create=60, update=60, delete=60),
    "aws:emrcontainers/virtualCluster:VirtualCluster": _minutes(delete=90),
    "aws:kms/key:Key": _minutes(create=2),
    "aws:mwaa/environment:Environment": _minutes(create=120, update=90, delete=90),
    "aws:s3/bucket:Bucket": _minutes(create=20, read=20, update=20, delete=60),
}
ENDLESS: Final = frozenset(
    {
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)
"""Types made with Terraform's newer framework, whose requests wait as long as the connection holds;
Pulumi's bridge hands them no customTimeouts (pulumi/pulumi-terraform-bridge #827)."""


def of(kind: str, operation: Operation) -> float | None:
    """Return after how many seconds an operation on a type ends, if ever."""
    if kind in ENDLESS:
        return None
    return DECLARED.get(kind, {}).get(operation, DEFAULT)
