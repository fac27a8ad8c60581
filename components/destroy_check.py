"""What stands in the way of `pulumi destroy` stops it before anything is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pulumi
from pulumi import Input, ResourceOptions, dynamic

from components.credentials import BOUNDED, require_account

_OF_MWAA = "AmazonMWAAManaged"
"""The tag of the endpoints that MWAA makes with an environment, and deletes with it."""
_OF_DRIVER = "ebs.csi.aws.com/cluster"
"""The tag of each volume that the EBS CSI driver has made."""
_PROPS = ("account_id", "region", "cluster_name", "vpc_id", "buckets", "tags")


class InTheWayError(Exception):
    """Things that AWS would refuse to delete, or to delete something else because of."""


class DestroyCheckProvider(dynamic.ResourceProvider):
    """Does nothing until it is deleted, and then changes nothing.

    It is pickled into the state as JobRunDrainProvider is, by its name alone.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Note what to look at."""
        return dynamic.CreateResult(props["cluster_name"], _known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Tell whether there is other to look at; never a replacement, which would look at once."""
        return dynamic.DiffResult(changes=_known(_olds) != _known(_news), replaces=[])

    def update(
        self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
    ) -> dynamic.UpdateResult:
        """Note it."""
        return dynamic.UpdateResult(_known(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Look."""
        if found := in_the_way(_props):
            lines = "".join(f"\n- {line}" for line in found)
            raise InTheWayError(f"in the way of destroy, and nothing has been deleted yet:{lines}")


class DestroyCheck(dynamic.Resource):
    """The first to be deleted, if it depends on all others, and only if nothing is in their way.

    It looks at AWS, not at the state: protection may have been switched off since, a bucket filled,
    and what others made is in no state.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        vpc_id: Input[str],
        buckets: Mapping[str, bool],
        tags: Mapping[str, str],
        region: str,
        account_id: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Take for each bucket whether it may be emptied, and the tags that tell what is ours."""
        props: dict[str, Input[str] | dict[str, Any]] = {
            "cluster_name": cluster_name,
            "vpc_id": vpc_id,
            "buckets": dict(buckets),
            "tags": dict(tags),
            "region": region,
            "account_id": account_id,
        }
        super().__init__(DestroyCheckProvider(), name, props, opts)


def let_roles_go() -> None:
    """Let no policy that others have attached to a role of the program keep it from going."""

    def detach(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        if args.type_ != "aws:iam/role:Role":
            return None
        return pulumi.ResourceTransformResult(
            {**args.props, "forceDetachPolicies": True}, args.opts
        )

    pulumi.runtime.register_resource_transform(detach)


def in_the_way(props: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing: what it is, why AWS refuses, and what to do."""
    cluster, vpc = props["cluster_name"], props["vpc_id"]
    require_account(props["account_id"], props["region"], f"cluster {cluster}")
    about = _describe(cluster, props["region"])
    cluster_group = about.get("resourcesVpcConfig", {}).get("clusterSecurityGroupId")
    return [
        *(_of_cluster(cluster, about, props["region"], props["tags"]) if about else ()),
        *_of_buckets(props["buckets"], props["region"]),
        *(_of_volumes(props["region"], props["tags"]) if about else ()),
        *_of_network(vpc, cluster_group, props["region"], props["tags"]),
    ]


def _describe(cluster: str, region: str) -> Mapping[str, Any]:
    client = boto3.client("eks", region_name=region, config=BOUNDED)
    try:
        return client.describe_cluster(name=cluster)["cluster"]
    except client.exceptions.ResourceNotFoundException:  # gone already
        return {}


def _of_cluster(
    cluster: str, about: Mapping[str, Any], region: str, tags: Mapping[str, str]
) -> Iterator[str]:
    if about.get("deletionProtection"):
        yield (
            f"cluster {cluster} has deletion protection: set cluster.deletionProtection to false, "
            "run `pulumi up --refresh`, and destroy again"
        )
    eks = boto3.client("eks", region_name=region, config=BOUNDED)
    groups = []
    for page in eks.get_paginator("list_nodegroups").paginate(clusterName=cluster):
        for name in page["nodegroups"]:
            group = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
            groups.append(group)
            if not tags.items() <= group.get("tags", {}).items():
                yield (
                    f"node group {name} is not of this stack, and EKS deletes no cluster that has "
                    f"one: `aws eks delete-nodegroup --cluster-name {cluster} "
                    f"--nodegroup-name {name}`"
                )
    for profiles in eks.get_paginator("list_fargate_profiles").paginate(clusterName=cluster):
        for name in profiles["fargateProfileNames"]:
            yield (
                f"Fargate profile {name} is not of this stack, and EKS deletes no cluster that has "
                f"one: `aws eks delete-fargate-profile --cluster-name {cluster} "
                f"--fargate-profile-name {name}`"
            )
    sizes = [group["scalingConfig"].get("desiredSize") for group in groups]
    if sizes and not any(sizes):
        # A namespace does not end while metrics-server has no pod (kubernetes/kubernetes #83332).
        yield (
            f"cluster {cluster} has no nodes, without which what is in it does not go: set "
            "account.asleep to false, run `pulumi up`, and destroy again"
        )
    emr = boto3.client("emr-containers", region_name=region, config=BOUNDED)
    for clusters in emr.get_paginator("list_virtual_clusters").paginate(
        containerProviderId=cluster, containerProviderType="EKS", states=["RUNNING"]
    ):
        for one in clusters["virtualClusters"]:
            if not tags.items() <= one.get("tags", {}).items():
                yield (
                    f"virtual cluster {one['id']} ({one['name']}) is not of this stack, and would "
                    "be left without the cluster that its jobs run on: `aws emr-containers "
                    f"delete-virtual-cluster --id {one['id']}`"
                )


def _of_buckets(buckets: Mapping[str, bool], region: str) -> Iterator[str]:
    s3 = boto3.client("s3", region_name=region, config=BOUNDED)
    for bucket in sorted(name for name, may_be_emptied in buckets.items() if not may_be_emptied):
        try:
            page = s3.list_object_versions(Bucket=bucket, MaxKeys=1)
        except s3.exceptions.NoSuchBucket:
            continue
        for one in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            yield (
                f"bucket {bucket} holds {one['Key']} at least, and account.forceDestroy, by which "
                "it may be emptied, is false: set it to true and run `pulumi up`, or delete all "
                "versions of all objects, and destroy again"
            )
            break


def _of_volumes(region: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Yield those of claims, which would outlive a driver that is deleted soon after them."""
    filters = [{"Name": "tag-key", "Values": [_OF_DRIVER]}]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    ec2 = boto3.client("ec2", region_name=region, config=BOUNDED)
    for page in ec2.get_paginator("describe_volumes").paginate(
        Filters=filters  # type: ignore[arg-type]
    ):
        for volume in page["Volumes"]:
            named = {tag["Key"]: tag["Value"] for tag in volume["Tags"]}
            claim, namespace = (
                named.get(f"kubernetes.io/created-for/pvc/{key}", "?")
                for key in ("name", "namespace")
            )
            yield (
                f"volume {volume['VolumeId']} holds what pods have written to the claim {claim} of "
                f"namespace {namespace}, and would be left without the driver that deletes it: "
                f"`kubectl delete persistentvolumeclaim {claim} --namespace {namespace}`, or "
                f"`aws ec2 delete-volume --volume-id {volume['VolumeId']}` where the claim is gone"
            )


def _of_network(
    vpc: str, cluster_group: str | None, region: str, tags: Mapping[str, str]
) -> Iterator[str]:
    ec2 = boto3.client("ec2", region_name=region, config=BOUNDED)
    inside = [{"Name": "vpc-id", "Values": [vpc]}]

    def listed(operation: str, key: str, filters: object) -> list[Any]:
        pages = ec2.get_paginator(operation).paginate(Filters=filters)  # type: ignore[call-overload]
        return [one for page in pages for one in page[key]]

    def is_ours(one: Mapping[str, Any]) -> bool:
        found = {tag["Key"]: tag["Value"] for tag in one.get("Tags") or one.get("TagSet") or []}
        return tags.items() <= found.items() or _OF_MWAA in found

    groups = listed("describe_security_groups", "SecurityGroups", inside)
    own = {
        group["GroupId"]
        for group in groups
        if is_ours(group) or group["GroupName"] == "default" or group["GroupId"] == cluster_group
    }
    for endpoint in listed("describe_vpc_endpoints", "VpcEndpoints", inside):
        if not is_ours(endpoint) and endpoint["State"].lower() not in {"deleted", "deleting"}:
            what = f"VPC endpoint {endpoint['VpcEndpointId']} ({endpoint['ServiceName']})"
            command = f"delete-vpc-endpoints --vpc-endpoint-ids {endpoint['VpcEndpointId']}"
            yield _foreign(what, vpc, command)
    for one in listed("describe_network_interfaces", "NetworkInterfaces", inside):
        # Those of EKS, of its nodes and of MWAA have a group of the stack's.
        has_ours = not own.isdisjoint(group["GroupId"] for group in one["Groups"])
        by_another = one.get("InterfaceType") in {"nat_gateway", "vpc_endpoint"}
        if not (has_ours or by_another or is_ours(one)):
            described = one.get("Description") or "without a description"
            yield _foreign(
                f"network interface {one['NetworkInterfaceId']} ({described})",
                vpc,
                "describe-network-interfaces --network-interface-ids "
                f"{one['NetworkInterfaceId']}` tells what it belongs to: delete that, or `aws ec2 "
                f"delete-network-interface --network-interface-id {one['NetworkInterfaceId']}",
            )
    for group in groups:
        if group["GroupId"] not in own:
            what = f"security group {group['GroupId']} ({group['GroupName']})"
            yield _foreign(what, vpc, f"delete-security-group --group-id {group['GroupId']}")
    for subnet in listed("describe_subnets", "Subnets", inside):
        if not is_ours(subnet):
            what = f"subnet {subnet['SubnetId']} ({subnet['CidrBlock']})"
            yield _foreign(what, vpc, f"delete-subnet --subnet-id {subnet['SubnetId']}")
    # In peered networks, too.
    seen = {group["GroupId"] for group in groups}
    for direction in ("ip-permission", "egress.ip-permission"):
        naming = [{"Name": f"{direction}.group-id", "Values": sorted(own)}]
        for group in listed("describe_security_groups", "SecurityGroups", naming):
            if group["GroupId"] not in seen:
                seen.add(group["GroupId"])
                yield (
                    f"security group {group['GroupId']} ({group['GroupName']}) has a rule that "
                    "names a group of this stack, which AWS does not delete then: delete the rule "
                    "(`aws ec2 describe-security-group-rules --filters "
                    f"Name=group-id,Values={group['GroupId']}` lists its rules)"
                )


def _foreign(what: str, vpc: str, command: str) -> str:
    return f"{what} is not of this stack, and AWS deletes no {vpc} with it: `aws ec2 {command}`"


def _known(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: props.get(key) for key in _PROPS}
