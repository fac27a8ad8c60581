"""When pulumi-aws gives up waiting: the defaults of terraform-provider-aws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.machine.injection import Limit, Operation

_MINUTE: Final = 60.0


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
"""By type, in seconds. Types that are not here have no time of their own, and operations neither.

These end the waiting for what AWS works on. A request that is never answered ends with its
connection alone: the provider makes all of its calls outside of the time that Terraform's SDK would
limit them to (CreateWithoutTimeout and its like), or with a framework that knows none.
"""


def of(kind: str, operation: Operation, custom: float | None) -> Limit | None:
    """Return how long an operation on a type may take, with the customTimeouts of a resource."""
    declared = DECLARED.get(kind, {}).get(operation)
    if declared is None:
        return None
    seconds = custom or declared
    return Limit(seconds, f"timeout while waiting for AWS to finish (timeout: {seconds:g}s)")
