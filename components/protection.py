"""What neither a change nor `pulumi destroy` takes away unless the stack says that it may."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pulumi

# What cannot be made again as it was: data, or a name, a key and addresses that all else hangs on.
PROTECTED: Mapping[str, str] = {
    "aws:ec2/subnet:Subnet": "subnets",
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:eks/cluster:Cluster": "cluster",
    "aws:emrcontainers/virtualCluster:VirtualCluster": "virtualClusters",
    "aws:kms/key:Key": "key",
    "aws:mwaa/environment:Environment": "environment",
    "aws:s3/bucket:Bucket": "buckets",
    "kubernetes:core/v1:Namespace": "namespaces",
}


def all_resources() -> list[pulumi.Resource]:
    """Return the list to which each resource that the program makes from now on is added."""
    made: list[pulumi.Resource] = []

    def note(args: pulumi.ResourceTransformationArgs) -> None:
        if isinstance(args.resource, pulumi.CustomResource):
            made.append(args.resource)

    pulumi.runtime.register_stack_transformation(note)
    return made


def anything_is_protected(unprotected: Collection[str]) -> bool:
    """Tell whether `pulumi destroy` is to end at something."""
    return not {*PROTECTED.values()} <= {*unprotected}


def protect_all_but(unprotected: Collection[str]) -> None:
    """Let the engine refuse, by name and at preview, to delete or replace these resources.

    For the whole program, since pulumi-eks makes the cluster where no option reaches it alone.
    """

    def protect(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        what = PROTECTED.get(args.type_)
        if what is None or what in unprotected:
            return None
        args.opts.protect = True
        return pulumi.ResourceTransformResult(args.props, args.opts)

    pulumi.runtime.register_resource_transform(protect)
