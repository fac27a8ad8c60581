"""What EKS refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final

from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.cloud.aws.refusals.roles import require_role
from sandbox.machine.aws_api import Answer, Aws, error_code, find

_ACCESS_ENTRY_MODES: Final = frozenset({"API", "API_AND_CONFIG_MAP"})
_OWNED_PREFIXES: Final = ("system:", "eks:", "aws:", "amazon:", "iam:")

# https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
_ACCESS_POLICIES: Final = frozenset(
    {
        "AmazonEKSAdminPolicy",
        "AmazonEKSAdminViewPolicy",
        "AmazonEKSClusterAdminPolicy",
        "AmazonEKSEditPolicy",
        "AmazonEKSSecretAdminPolicy",
        "AmazonEKSSecretReaderPolicy",
        "AmazonEKSViewPolicy",
        "AmazonEMRJobPolicy",
    }
)


def active_cluster(aws: Aws, name: str) -> Answer:
    """Return the cluster, or refuse when it is not there or not yet ready."""
    answer = find(aws.client("eks").describe_cluster, name=name)
    if answer is None:
        raise RefusedError("ResourceNotFoundException", f"No cluster found for name: {name}.")
    if answer["cluster"]["status"] != "ACTIVE":
        raise RefusedError("InvalidRequestException", f"Cluster '{name}' is not in ACTIVE status")
    return answer["cluster"]


def has_access_entries(cluster: Answer) -> bool:
    """Tell whether the cluster's authentication mode knows access entries."""
    return cluster["accessConfig"].get("authenticationMode") in _ACCESS_ENTRY_MODES


@refuses("eks", "CreateCluster")
def _cluster(aws: Aws, told: Told) -> None:
    if told["name"] in aws.client("eks").list_clusters()["clusters"]:
        message = f"Cluster already exists with name: {told['name']}"
        raise RefusedError("ResourceInUseException", message)
    ministack: Any = import_module("ministack.services.eks")
    others = [name for (_, _, name), _ in ministack._clusters.all_items()]
    if others:
        # EKS would make a second one; in this one's API server both would collide.
        message = (
            f"the sandbox has one control plane, which is that of the cluster {others[0]}: delete "
            "that one first, or make this one from another clone, which has a sandbox of its own"
        )
        raise RefusedError("ResourceLimitExceededException", message)
    require_role(aws, told["roleArn"], "eks.amazonaws.com")
    subnet_ids = told["resourcesVpcConfig"].get("subnetIds", [])
    subnets = aws.client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    if not subnet_ids or len({subnet["AvailabilityZone"] for subnet in subnets}) < 2:
        message = "Subnets specified must be in at least two different AZs"
        raise RefusedError("InvalidParameterException", message)


@refuses("eks", "CreateCluster", "UpdateClusterConfig")
def _unreachable(aws: Aws, told: Told) -> None:
    ways = {"endpointPrivateAccess": False, "endpointPublicAccess": True}
    live = find(aws.client("eks").describe_cluster, name=told["name"])
    if live is not None:
        ways = {way: live["cluster"]["resourcesVpcConfig"][way] for way in ways}
    wanted = ways | told.get("resourcesVpcConfig", {})
    if not any(wanted[way] for way in ways):
        message = "Both private and public endpoint access cannot be false"
        raise RefusedError("InvalidParameterException", message)


@refuses("eks", "DeleteCluster")
def _cluster_in_use(aws: Aws, told: Told) -> None:
    eks, name = aws.client("eks"), told["name"]
    answer = find(eks.describe_cluster, name=name)
    if answer is None:
        return
    if answer["cluster"].get("deletionProtection"):
        message = f"Cluster {name} has deletion protection enabled"
        raise RefusedError("InvalidRequestException", message)
    if groups := eks.list_nodegroups(clusterName=name)["nodegroups"]:
        message = f"Cluster has nodegroups attached: {', '.join(groups)}"
        raise RefusedError("ResourceInUseException", message)


@refuses("eks", "UpdateClusterConfig")
def _moved_cluster(aws: Aws, told: Told) -> None:
    wanted = told.get("resourcesVpcConfig", {}).get("subnetIds")
    if not wanted:
        return
    vpc, zones = _place(aws, active_cluster(aws, told["name"])["resourcesVpcConfig"]["subnetIds"])
    new_vpc, new_zones = _place(aws, wanted)
    if new_vpc != vpc:
        message = f"Provided subnets are in {new_vpc}, and the cluster was created in {vpc}"
        raise RefusedError("InvalidParameterException", message)
    # "Amazon EKS VPC and subnet requirements and considerations", Amazon EKS user guide.
    if new_zones != zones:
        message = (
            f"Provided subnets belong to the AZs {new_zones}, but they should belong to the exact "
            f"set of AZs {zones} in which subnets were provided during cluster creation"
        )
        raise RefusedError("InvalidParameterException", message)


def _place(aws: Aws, subnet_ids: Sequence[str]) -> tuple[str, str]:
    """The VPC and the zones that subnets are in."""
    subnets = aws.client("ec2").describe_subnets(SubnetIds=list(subnet_ids))["Subnets"]
    vpcs, zones = ({one[key] for one in subnets} for key in ("VpcId", "AvailabilityZone"))
    return ",".join(sorted(vpcs)), ",".join(sorted(zones))


@refuses("eks", "UpdateClusterConfig")
def _authentication_mode(aws: Aws, told: Told) -> None:
    after = told.get("accessConfig", {}).get("authenticationMode")
    modes = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
    before = active_cluster(aws, told["name"])["accessConfig"].get("authenticationMode")
    if after in modes and before in modes and modes.index(after) < modes.index(before):
        message = f"Unsupported authentication mode update from {before} to {after}"
        raise RefusedError("InvalidParameterException", message)


def minor(version: str) -> int:
    """Return the minor version of a version of Kubernetes."""
    return int(version.split(".")[1])


@refuses("eks", "UpdateClusterVersion")
def _skipped_version(aws: Aws, told: Told) -> None:
    before, after = active_cluster(aws, told["name"])["version"], told["version"]
    nodes_of = {name: group["version"] for name, group in _node_groups(aws, told["name"])}
    match minor(after) - minor(before):
        case 1:
            wrong = [name for name, version in nodes_of.items() if version != before]
            message = f"Nodegroups {wrong} must be updated to match cluster version {before} first"
        case -1:
            _require_rollback(aws, told["name"], before, after)
            wrong = [name for name, version in nodes_of.items() if minor(version) > minor(after)]
            wrong = [] if told.get("force") else wrong
            message = f"Rollback readiness: nodegroups {wrong} run a newer kubelet than {after}"
        case _:
            message = f"Unsupported Kubernetes minor version update from {before} to {after}"
            raise RefusedError("InvalidParameterException", message)
    if wrong:
        raise RefusedError("InvalidRequestException", message)


# "Rollback cluster to previous Kubernetes version", Amazon EKS user guide.
ROLLBACK_WINDOW: Final = timedelta(days=7)


def _require_rollback(aws: Aws, name: str, before: str, after: str) -> None:
    client = aws.client("eks")
    ids = client.list_updates(name=name)["updateIds"]
    updates = [client.describe_update(name=name, updateId=one)["update"] for one in ids]
    last = next((one for one in reversed(updates) if one["type"].startswith("Version")), None)
    if last is None or last["type"] != "VersionUpdate":
        message = f"Cannot roll back to {after}: the cluster was not upgraded in place to {before}"
    elif datetime.now(UTC) - last["createdAt"] > ROLLBACK_WINDOW:
        message = f"Cannot roll back to {after}: the upgrade to {before} ended over 7 days ago"
    else:
        return
    raise RefusedError("InvalidRequestException", message)


def _node_groups(aws: Aws, name: str) -> Iterator[tuple[str, Answer]]:
    client = aws.client("eks")
    for group in client.list_nodegroups(clusterName=name)["nodegroups"]:
        found = client.describe_nodegroup(clusterName=name, nodegroupName=group)
        yield group, found["nodegroup"]


@refuses("eks", "CreateNodegroup")
def _node_group(aws: Aws, told: Told) -> None:
    cluster = active_cluster(aws, told["clusterName"])
    for subnet in aws.client("ec2").describe_subnets(SubnetIds=told["subnets"])["Subnets"]:
        if subnet["VpcId"] != cluster["resourcesVpcConfig"]["vpcId"]:
            message = f"Subnet {subnet['SubnetId']} is not in the cluster's VPC"
            raise RefusedError("InvalidParameterException", message)
    if "launchTemplate" in told:
        if "diskSize" in told:
            message = "Disk size must be specified within the launch template."
            raise RefusedError("InvalidParameterException", message)
        _require_version(aws, told["launchTemplate"])
    role = told["nodeRole"]
    require_role(aws, role, "ec2.amazonaws.com")
    attached = aws.client("iam").list_attached_role_policies(RoleName=role.rpartition("/")[2])
    names = {one["PolicyName"] for one in attached["AttachedPolicies"]}
    if not names & {"AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy"}:
        message = f"Instances failed to join the kubernetes cluster: {role} has no node policy"
        raise RefusedError("NodeCreationFailure", message)
    for kind in told.get("instanceTypes", []):
        if not _exists(aws, kind):
            message = f"The following supplied instance types do not exist: [{kind}]"
            raise RefusedError("InvalidParameterException", message)


def _exists(aws: Aws, kind: str) -> bool:
    try:
        return bool(
            aws.client("ec2").describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
        )
    except Exception as error:
        if error_code(error) == "InvalidInstanceType":
            return False
        raise


@refuses("eks", "CreateNodegroup")
def _node_counts(_: Aws, told: Told) -> None:
    counts = told["scalingConfig"]
    if counts["minSize"] > counts["desiredSize"]:
        raise RefusedError("InvalidParameterException", "minSize can't be greater than desiredSize")
    _require_room(counts)


@refuses("eks", "UpdateNodegroupConfig", "UpdateNodegroupVersion")
def _node_group_in_change(aws: Aws, told: Told) -> None:
    which = {key: told[key] for key in ("clusterName", "nodegroupName")}
    live = find(aws.client("eks").describe_nodegroup, **which)
    if live is not None and live["nodegroup"]["status"] not in {"ACTIVE", "DEGRADED"}:
        message = "Nodegroup cannot be updated as it is currently not in Active State"
        raise RefusedError("ResourceInUseException", message)


@refuses("eks", "UpdateNodegroupConfig")
def _changed_node_counts(aws: Aws, told: Told) -> None:
    which = {key: told[key] for key in ("clusterName", "nodegroupName")}
    live = find(aws.client("eks").describe_nodegroup, **which)
    if live is None or "scalingConfig" not in told:
        return
    counts = live["nodegroup"]["scalingConfig"] | told["scalingConfig"]
    low, wanted = counts["minSize"], counts["desiredSize"]
    if low > wanted:
        message = f"Minimum capacity {low} can't be greater than desired size {wanted}"
        raise RefusedError("InvalidParameterException", message)
    _require_room(counts)


def _require_room(counts: Told) -> None:
    if counts["desiredSize"] > counts["maxSize"]:
        raise RefusedError("InvalidParameterException", "desiredSize can't be greater than maxSize")


@refuses("eks", "UpdateNodegroupVersion")
def _node_group_version(aws: Aws, told: Told) -> None:
    cluster = active_cluster(aws, told["clusterName"])
    if minor(told.get("version", cluster["version"])) > minor(cluster["version"]):
        message = f"Nodegroups cannot be newer than the cluster, which has {cluster['version']}"
        raise RefusedError("InvalidParameterException", message)
    if "launchTemplate" in told:
        _require_version(aws, told["launchTemplate"])


def _require_version(aws: Aws, template: Told) -> None:
    names = {"id": "LaunchTemplateId", "name": "LaunchTemplateName"}
    which = {name: template[key] for key, name in names.items() if key in template}
    answer = aws.client("ec2").describe_launch_template_versions(**which)
    numbers = [str(one["VersionNumber"]) for one in answer["LaunchTemplateVersions"]]
    version = str(template.get("version", "$Default"))
    if version not in {*numbers, "$Default", "$Latest"}:
        message = f"Could not find launch template version {version}: it has {numbers}"
        raise RefusedError("InvalidLaunchTemplateId.VersionNotFound", message)


@refuses("eks", "CreateAddon")
def _addon(aws: Aws, told: Told) -> None:
    active_cluster(aws, told["clusterName"])


@refuses("eks", "CreateAddon", "UpdateAddon")
def _addon_roles(aws: Aws, told: Told) -> None:
    for one in told.get("podIdentityAssociations", []):
        require_role(aws, one["roleArn"], "pods.eks.amazonaws.com")


@refuses("eks", "CreatePodIdentityAssociation")
def _pod_identity(aws: Aws, told: Told) -> None:
    active_cluster(aws, told["clusterName"])


@refuses("eks", "CreatePodIdentityAssociation", "UpdatePodIdentityAssociation")
def _pod_identity_role(aws: Aws, told: Told) -> None:
    if "roleArn" in told:
        wanted = ("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession")
        require_role(aws, told["roleArn"], *wanted)


@refuses("eks", "CreateAccessEntry")
def _access_entry(aws: Aws, told: Told) -> None:
    arn = told["principalArn"]
    if not has_access_entries(active_cluster(aws, told["clusterName"])):
        message = (
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP]"
        )
        raise RefusedError("InvalidRequestException", message)
    if ":role/aws-service-role/" in arn:
        message = (
            "The caller is not allowed to modify access entries with a principalArn value of a "
            f"Service Linked Role: {arn}"
        )
        raise RefusedError("InvalidParameterException", message)
    if not _principal_exists(aws, arn):
        message = f"The specified principalArn is invalid: invalid principal: {arn}"
        raise RefusedError("InvalidParameterException", message)


@refuses("eks", "CreateAccessEntry", "UpdateAccessEntry")
def _owned_names(_: Aws, told: Told) -> None:
    for name in [*told.get("kubernetesGroups", []), told.get("username", "")]:
        if name.startswith(_OWNED_PREFIXES):
            message = f"{name} must not begin with one of {', '.join(_OWNED_PREFIXES)}"
            raise RefusedError("InvalidParameterException", message)


def _principal_exists(aws: Aws, arn: str) -> bool:
    iam, name = aws.client("iam"), arn.rpartition("/")[2]
    if ":role/" in arn:
        found = find(iam.get_role, RoleName=name)
        return bool(found and found["Role"]["Arn"] == arn)
    if ":user/" in arn:
        return find(iam.get_user, UserName=name) is not None
    return False


@refuses("eks", "AssociateAccessPolicy")
def _access_policy(aws: Aws, told: Told) -> None:
    prefix, _, name = told["policyArn"].rpartition("/")
    if prefix != f"arn:{aws.partition}:eks::aws:cluster-access-policy" or (
        name not in _ACCESS_POLICIES
    ):
        message = f"The policyArn parameter format is not valid: {told['policyArn']}"
        raise RefusedError("InvalidParameterException", message)
