"""What ministack's EKS lacks."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from urllib3.exceptions import HTTPError

from sandbox.cloud import ways_out
from sandbox.cloud.aws import rights
from sandbox.cloud.aws.auto_scaling import BY_AUTO_SCALING
from sandbox.cloud.aws.keys import Asked
from sandbox.cloud.aws.refusals import front
from sandbox.cloud.aws.refusals.clusters import minor
from sandbox.cloud.kubernetes import addons, storage_driver, store
from sandbox.cloud.kubernetes.nodes import NodeGroup, Zone, room
from sandbox.machine.aws_api import Aws, error_code

Json: TypeAlias = Any
Module: TypeAlias = Any


_ARN_IN_PATH = re.compile(r"(?<=/access-entries/)arn:.+?(?=/access-policies|$)")


@dataclass(frozen=True)
class ControlPlane:
    """What a cluster has of Kubernetes."""

    endpoint: str
    endpoint_for_airflow: str
    """The address of the API server for whoever calls as the execution role of an environment."""
    authority: Path
    """The certificate that the API server's own is signed with."""
    store: store.Etcd
    """Where all of it is kept."""


def complete(aws: Aws, control_plane: ControlPlane, known: Asked) -> None:
    """Let a cluster have our API server, keep what it is told, do what EKS does, and be refused."""
    eks: Module = import_module("ministack.services.eks")
    _serve_real_endpoint(eks, control_plane)
    _know_callers(eks, known)
    _keep_cluster(eks, aws, control_plane.store)
    _keep_node_groups(eks, aws)
    _name_users(eks)
    _own_pod_identities(eks, aws)
    _tag_pod_identities(eks)
    serve = eks._handle_request_sync

    def handle(method: str, path: str, headers: Json, body: bytes, query: Json) -> Json:
        # ministack hands over a decoded path, in which an ARN's slashes divide it.
        encoded = _ARN_IN_PATH.sub(lambda arn: quote(arn[0], safe=""), path)
        request = front.request_of(method, encoded, headers, body, query)
        if refused := rights.refused(aws, known, "eks", request):
            return eks._error(400, refused.code, refused.message)
        for pattern, update in _UPDATES.items():
            match = re.fullmatch(pattern, path)
            if match and method == "POST":
                return update(eks, aws, json.loads(body or b"{}"), *match.groups())
        if method == "GET" and (match := re.fullmatch(_UPDATES_OF, path)):
            return _told_updates(eks, query, *match.groups())
        if method == "GET" and (listed := _listed(path, query)):
            return eks._json_resp(200, listed)
        answer = serve(method, path, headers, body, query)
        described = method == "GET" and re.fullmatch(rf"/clusters/{_NAME}", path)
        if described and answer[0] == 200 and _is_airflow(eks, front.access_key(request)):
            return _with_endpoint(eks, answer, control_plane.endpoint_for_airflow)
        return answer

    eks._handle_request_sync = handle


def _listed(path: str, query: Json) -> Json:
    if path == "/addons/supported-versions":
        return {"addons": _addon_versions(query)}
    if re.fullmatch(rf"/clusters/{_NAME}/fargate-profiles", path):
        return {"fargateProfileNames": []}  # nobody can make one here
    return None


def _serve_real_endpoint(eks: Module, control_plane: ControlPlane) -> None:
    certificate = base64.b64encode(control_plane.authority.read_bytes()).decode()
    describe = eks._sanitize

    def sanitize(cluster: Json) -> Json:
        real = {
            "endpoint": control_plane.endpoint,
            "certificateAuthority": {"data": certificate},
        }
        return {**describe(cluster), **real}

    eks._sanitize = sanitize


def _is_airflow(eks: Module, access_key: str | None) -> bool:
    """Tell whether who calls has assumed the execution role of an environment."""
    if access_key is None or not access_key.startswith("ASIA"):
        return False  # the key of a user
    session = eks.resolve_caller_identity(access_key)["userArn"]  # …:assumed-role/<role>/<name>
    environments = import_module("ministack.services.mwaa")._environments.values()
    roles = {one["ExecutionRoleArn"].rpartition("/")[2] for one in environments}
    return session.split("/")[1] in roles


def _with_endpoint(eks: Module, answer: Json, endpoint: str) -> Json:
    cluster = json.loads(answer[2])["cluster"]
    return eks._json_resp(200, {"cluster": {**cluster, "endpoint": endpoint}})


def _know_callers(eks: Module, known: Asked) -> None:
    """Let STS tell who makes a cluster: users are where IAM is, which is not here."""

    def resolve_caller_identity(access_key: str) -> Json:
        return {"userArn": rights.caller(known, access_key)}

    eks.resolve_caller_identity = resolve_caller_identity


def _keep_cluster(eks: Module, aws: Aws, etcd: store.Etcd) -> None:
    create, delete = eks._create_cluster, eks._delete_cluster

    def create_cluster(body: Json, creator_arn: str | None = None) -> Json:
        name, network = body["name"], body["resourcesVpcConfig"]
        subnets = aws.client("ec2").describe_subnets(SubnetIds=network["subnetIds"])["Subnets"]
        network["vpcId"] = subnets[0]["VpcId"]
        if not network.get("publicAccessCidrs"):  # "VpcConfigRequest", Amazon EKS API reference
            network["publicAccessCidrs"] = ["0.0.0.0/0"]
        before = store.contents(etcd)
        answer = create(body, creator_arn)
        cluster = eks._clusters.get(name)
        if answer[0] != 200 or cluster is None:
            return answer
        cluster["upgradePolicy"] = body.get("upgradePolicy", {"supportType": "EXTENDED"})
        cluster["deletionProtection"] = body.get("deletionProtection", False)
        # Not told by DescribeCluster.
        cluster["_held_before"] = before
        cluster["_brings_network"] = body.get("bootstrapSelfManagedAddons", True)
        try:
            _make_what_belongs_to(cluster, aws, name, network["vpcId"])
        except Exception:
            # Of a cluster that was refused nothing is left.
            delete_cluster(name)
            raise
        return eks._json_resp(200, {"cluster": eks._sanitize(cluster)})

    def delete_cluster(name: str) -> Json:
        cluster = eks._clusters.get(name)
        answer = delete(name)
        for key in [key for key in eks._addons if str(key).startswith(f"{name}/")]:
            del eks._addons[key]
        for key in [key for key in _updates if cluster is not None and key[0] == name]:
            del _updates[key]
        if cluster is not None:
            store.restore(etcd, cluster["_held_before"])
            if group_id := cluster["resourcesVpcConfig"].get("clusterSecurityGroupId"):
                _delete_security_group(aws, group_id)
        return answer

    eks._create_cluster, eks._delete_cluster = create_cluster, delete_cluster


def _make_what_belongs_to(cluster: Json, aws: Aws, name: str, vpc_id: str) -> None:
    network = cluster["resourcesVpcConfig"]
    network["clusterSecurityGroupId"] = None
    network["clusterSecurityGroupId"] = _create_security_group(aws, name, vpc_id)
    if any(setting.get("enabled") for setting in cluster["logging"]["clusterLogging"]):
        ensure_log_group(aws, f"/aws/eks/{name}/cluster")


def _create_security_group(aws: Aws, name: str, vpc_id: str) -> str:
    ec2 = aws.client("ec2")
    # EKS also sets aws:eks:cluster-name, which only AWS itself may.
    tags = {"Name": f"eks-cluster-sg-{name}", f"kubernetes.io/cluster/{name}": "owned"}
    group_id: str = ec2.create_security_group(
        GroupName=f"eks-cluster-sg-{name}-{zlib.crc32(name.encode())}",
        Description="EKS created security group applied to ENI that is attached to EKS "
        "Control Plane master nodes, as well as any managed workloads.",
        VpcId=vpc_id,
    )["GroupId"]
    ec2.create_tags(
        Resources=[group_id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[itself])
    return group_id


def _delete_security_group(aws: Aws, group_id: str) -> None:
    try:
        aws.client("ec2").delete_security_group(GroupId=group_id)
    except Exception as error:
        # EKS leaves it where other rules name it, and the VPC cannot go then.
        if error_code(error) not in {"DependencyViolation", "InvalidGroup.NotFound"}:
            raise


def ensure_log_group(aws: Aws, name: str) -> None:
    """Make a log group that a service writes to, as it does when nobody else has."""
    try:
        aws.client("logs").create_log_group(logGroupName=name)
    except Exception as error:
        if error_code(error) != "ResourceAlreadyExistsException":
            raise


def _keep_node_groups(eks: Module, aws: Aws) -> None:
    create, delete = eks._create_nodegroup, eks._delete_nodegroup
    describe = eks._describe_nodegroup

    def create_nodegroup(cluster_name: str, body: Json) -> Json:
        answer = create(cluster_name, body)
        group = eks._nodegroups.get(f"{cluster_name}/{body.get('nodegroupName', '')}")
        if answer[0] != 200 or group is None:
            return answer
        for key in ("launchTemplate", "nodeRepairConfig", "remoteAccess", "updateConfig"):
            if key in body:
                group[key] = body[key]
        if "launchTemplate" in body:
            group.pop("diskSize", None)
        cluster = eks._clusters[cluster_name]
        if not cluster["_brings_network"] and f"{cluster_name}/vpc-cni" not in eks._addons:
            group["status"] = "CREATE_FAILED"
            message = "Unhealthy nodes in the kubernetes cluster: container network not ready"
            group["health"] = {"issues": [{"code": "NodeCreationFailure", "message": message}]}
            return eks._json_resp(200, {"nodegroup": group})
        if not all(_can_join(eks, aws, cluster_name, one) for one in group["subnets"]):
            group["status"] = "CREATE_FAILED"
            message = "Instances failed to join the kubernetes cluster"
            group["health"] = {"issues": [{"code": "NodeCreationFailure", "message": message}]}
            return eks._json_resp(200, {"nodegroup": group})
        # As EKS does for managed nodes.
        key = eks._ae_key(cluster_name, group["nodeRole"])
        entry = {
            "type": "EC2_LINUX",
            "username": "system:node:{{EC2PrivateDNSName}}",
            "kubernetesGroups": ["system:nodes"],
        }
        if key not in eks._access_entries:
            made = eks._build_access_entry(cluster_name, group["nodeRole"], entry)
            eks._access_entries[key] = made
        in_cluster(group, lambda: _nodes(aws, group).scale(group["scalingConfig"]["desiredSize"]))
        return eks._json_resp(200, {"nodegroup": group})

    def delete_nodegroup(cluster_name: str, name: str) -> Json:
        group = eks._nodegroups.get(f"{cluster_name}/{name}")
        if group is not None:
            _nodes(aws, group).scale(0)
        answer = delete(cluster_name, name)
        if group is not None and not any(
            one["clusterName"] == cluster_name and one["nodeRole"] == group["nodeRole"]
            for one in eks._nodegroups.values()
        ):
            eks._access_entries.pop(eks._ae_key(cluster_name, group["nodeRole"]), None)
        return answer

    def describe_nodegroup(cluster_name: str, name: str) -> Json:
        if group := eks._nodegroups.get(f"{cluster_name}/{name}"):
            group["tags"] = dict(eks._tags.get(group["nodegroupArn"], {}))
        return describe(cluster_name, name)

    eks._create_nodegroup, eks._delete_nodegroup = create_nodegroup, delete_nodegroup
    eks._describe_nodegroup = describe_nodegroup


def in_cluster(made: Json, act: Callable[[], None]) -> None:
    """Do what belongs to a thing in the cluster; if that does not answer, the thing has failed."""
    try:
        act()
    except HTTPError as error:
        made["status"] = "CREATE_FAILED"
        made["health"] = {"issues": [{"code": "ClusterUnreachable", "message": str(error)}]}


def _can_join(eks: Module, aws: Aws, cluster_name: str, subnet_id: str) -> bool:
    """Tell whether a node in a subnet reaches what it needs to become ready."""
    # "Deploy private clusters with limited internet access", Amazon EKS user guide.
    needed = ["ec2", "ecr.api", "ecr.dkr", "s3"]
    network = eks._addons.get(f"{cluster_name}/vpc-cni", {})
    if network.get("podIdentityAssociations"):
        needed.append("eks-auth")
    return ways_out.of_subnet(aws.client("ec2"), subnet_id).lead_to(*needed)


def _nodes(aws: Aws, group: Json) -> NodeGroup:
    subnets = aws.client("ec2").describe_subnets(SubnetIds=group["subnets"])["Subnets"]
    subnets.sort(key=lambda subnet: str(subnet["AvailabilityZone"]))
    kind = group["instanceTypes"][0]
    (told,) = aws.client("ec2").describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
    return NodeGroup(
        name=group["nodegroupName"],
        cluster=group["clusterName"],
        instance_type=kind,
        room=room(told, _disk_gib(aws, group)),
        architecture="arm64" if "ARM" in group["amiType"].upper() else "amd64",
        capacity_type=group["capacityType"],
        version=group["version"],
        labels=group["labels"],
        taints=group["taints"],
        zones=[Zone(one["AvailabilityZone"], one["CidrBlock"], one["SubnetId"]) for one in subnets],
        role=group["nodeRole"],
    )


def _disk_gib(aws: Aws, group: Json) -> int:
    """Return how large the disk of a node is: what the launch template says, or EKS's default."""
    template = group.get("launchTemplate")
    if template is None:
        return int(group.get("diskSize") or 20)
    (version,) = aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["id"], Versions=[str(template.get("version", "$Default"))]
    )["LaunchTemplateVersions"]
    devices = version["LaunchTemplateData"].get("BlockDeviceMappings", [])
    sizes = [one["Ebs"]["VolumeSize"] for one in devices if "VolumeSize" in one.get("Ebs", {})]
    return int(sizes[0]) if sizes else 20


def _name_users(eks: Module) -> None:
    """Give entries without a user name the one that EKS makes of the principal."""
    build = eks._build_access_entry

    def build_access_entry(cluster_name: str, principal_arn: str, body: Json) -> Json:
        named = {"username": _user_name(principal_arn), **body}
        return build(cluster_name, principal_arn, named)

    eks._build_access_entry = build_access_entry


def _user_name(arn: str) -> str:
    role = re.fullmatch(r"arn:([\w-]+):iam::(\d+):role/(?:.*/)?([^/]+)", arn)
    if role:
        partition, account, name = role.groups()
        return f"arn:{partition}:sts::{account}:assumed-role/{name}/{{{{SessionName}}}}"
    return arn


# Add-ons whose pods run on nodes of their own choice, so that they need some.
_DEPLOYMENTS = frozenset({"aws-ebs-csi-driver", "coredns", "metrics-server"})


def _own_pod_identities(eks: Module, aws: Aws) -> None:
    create, update, delete = eks._create_addon, eks._update_addon, eks._delete_addon

    def create_addon(cluster_name: str, body: Json) -> Json:
        wanted = body.pop("podIdentityAssociations", [])
        answer = create(cluster_name, body)
        addon = eks._addons.get(f"{cluster_name}/{body.get('addonName', '')}")
        if answer[0] != 200 or addon is None:
            return answer
        addon["addonVersion"] = addon["addonVersion"] or "v1.0.0-eksbuild.1"
        addon["podIdentityAssociations"] = _associate(eks, cluster_name, addon, wanted)
        if addon["addonName"] == storage_driver.ADDON:
            in_cluster(addon, storage_driver.install)
        in_cluster(addon, lambda: addons.install(addon["addonName"], aws.region))
        groups = [key for key in eks._nodegroups if str(key).startswith(f"{cluster_name}/")]
        if addon["addonName"] in _DEPLOYMENTS and not groups:
            message = (
                "The add-on is unhealthy because it doesn't have the desired number of replicas."
            )
            addon["status"] = "DEGRADED"
            addon["health"] = {
                "issues": [{"code": "InsufficientNumberOfReplicas", "message": message}]
            }
        return eks._json_resp(200, {"addon": addon})

    def update_addon(cluster_name: str, addon_name: str, body: Json) -> Json:
        addon = eks._addons.get(f"{cluster_name}/{addon_name}")
        if addon and "podIdentityAssociations" in body:
            wanted = body.pop("podIdentityAssociations")
            _dissociate(eks, addon)
            addon["podIdentityAssociations"] = _associate(eks, cluster_name, addon, wanted)
        return update(cluster_name, addon_name, body)

    def delete_addon(cluster_name: str, addon_name: str) -> Json:
        addon = eks._addons.get(f"{cluster_name}/{addon_name}")
        if addon:
            _dissociate(eks, addon)
            if addon_name == storage_driver.ADDON:
                storage_driver.remove()
            addons.remove(addon_name)
        return delete(cluster_name, addon_name)

    eks._create_addon, eks._update_addon, eks._delete_addon = (
        create_addon,
        update_addon,
        delete_addon,
    )


# Its versions here, newest first, the second one being EKS's default; what the minor version of
# Kubernetes decides is in braces.
_ADDON_VERSIONS = {
    "aws-ebs-csi-driver": ("v1.54.0-eksbuild.1", "v1.53.0-eksbuild.1"),
    "coredns": ("v1.{coredns}.2-eksbuild.1", "v1.{coredns}.1-eksbuild.1"),
    "eks-pod-identity-agent": ("v1.3.10-eksbuild.2", "v1.3.9-eksbuild.3"),
    "kube-proxy": ("v1.{minor}.0-eksbuild.4", "v1.{minor}.0-eksbuild.2"),
    "metrics-server": ("v0.8.0-eksbuild.7", "v0.8.0-eksbuild.6"),
    "vpc-cni": ("v1.21.1-eksbuild.1", "v1.20.4-eksbuild.2"),
}


def _asked(query: Json) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in query.items()}


def _addon_versions(query: Json) -> Json:
    """Answer DescribeAddonVersions about one add-on and one version of Kubernetes."""
    asked = _asked(query)
    name, kubernetes = asked.get("addonName", ""), asked.get("kubernetesVersion", "")
    minor = int(kubernetes.partition(".")[2] or 0)
    versions = [
        {
            "addonVersion": version.format(minor=minor, coredns=minor - 22),
            "compatibilities": [{"clusterVersion": kubernetes, "defaultVersion": place == 1}],
        }
        for place, version in enumerate(_ADDON_VERSIONS.get(name, ()))
    ]
    return [{"addonName": name, "addonVersions": versions}] if versions else []


_ADDON_NAMESPACE = "kube-system"


def _associate(eks: Module, cluster_name: str, addon: Json, wanted: Json) -> list[str]:
    """Make the associations that an add-on owns, and return their ARNs."""
    arns = []
    for one in wanted:
        body = {**one, "namespace": _ADDON_NAMESPACE}
        status, _, content = eks._create_pod_identity_association(cluster_name, body)
        if status != 200:
            continue
        made = json.loads(content)["association"]
        key = eks._pia_key(cluster_name, made["associationId"])
        eks._pod_identity_associations[key]["ownerArn"] = addon["addonArn"]
        arns.append(made["associationArn"])
    return arns


def _dissociate(eks: Module, addon: Json) -> None:
    for arn in addon.get("podIdentityAssociations", []):
        association_id = arn.rpartition("/")[2]
        eks._delete_pod_identity_association(addon["clusterName"], association_id)


def _tag_pod_identities(eks: Module) -> None:
    resolve = eks._resolve_tag_resource_arn

    def resolve_tag_resource_arn(arn: str) -> Json:
        associations = eks._pod_identity_associations.values()
        if any(one["associationArn"] == arn for one in associations):
            return arn, None
        return resolve(arn)

    eks._resolve_tag_resource_arn = resolve_tag_resource_arn


_updates: dict[tuple[str, str | None, str], Json] = {}
"""By cluster, node group if it is one of that, and id."""


def _updated(
    eks: Module, kind: str, cluster_name: str, node_group: str | None = None, **params: str
) -> Json:
    update = {
        "id": eks.new_uuid(),
        "status": "Successful",
        "type": kind,
        "createdAt": eks._now(),
        "params": [{"type": name, "value": value} for name, value in params.items()],
    }
    _updates[cluster_name, node_group, update["id"]] = update
    return eks._json_resp(200, {"update": update})


def _told_updates(eks: Module, query: Json, cluster_name: str, update_id: str | None) -> Json:
    """Answer ListUpdates, or DescribeUpdate about one."""
    owner = (cluster_name, _asked(query).get("nodegroupName"))
    found = {one: update for (*others, one), update in _updates.items() if tuple(others) == owner}
    if update_id is None:
        return eks._json_resp(200, {"updateIds": [*found]})
    if update_id not in found:
        return eks._error(404, "ResourceNotFoundException", f"No update found for ID: {update_id}")
    return eks._json_resp(200, {"update": found[update_id]})


def _update_cluster_config(eks: Module, _: Aws, body: Json, name: str) -> Json:
    cluster = eks._clusters.get(name)
    if cluster is None:
        return eks._describe_cluster(name)
    for key in ("deletionProtection", "logging", "upgradePolicy"):
        if key in body:
            cluster[key] = body[key]
    for key in ("accessConfig", "resourcesVpcConfig"):
        cluster[key].update(body.get(key, {}))
    return _updated(eks, "ConfigUpdate", name)


def _update_cluster_version(eks: Module, _: Aws, body: Json, name: str) -> Json:
    cluster = eks._clusters.get(name)
    if cluster is None:
        return eks._describe_cluster(name)
    back = minor(body["version"]) < minor(cluster["version"])
    cluster["version"] = body["version"]
    kind = "VersionRollback" if back else "VersionUpdate"
    return _updated(eks, kind, name, Version=body["version"])


def _update_nodegroup_config(
    eks: Module, aws: Aws, body: Json, cluster_name: str, name: str
) -> Json:
    group = eks._nodegroups.get(f"{cluster_name}/{name}")
    if group is None:
        return eks._describe_nodegroup(cluster_name, name)
    for key in ("nodeRepairConfig", "scalingConfig", "updateConfig"):
        if key in body:
            group[key] = {**group.get(key, {}), **body[key]}
    labels = body.get("labels", {})
    kept = {k: v for k, v in group["labels"].items() if k not in labels.get("removeLabels", [])}
    group["labels"] = {**kept, **labels.get("addOrUpdateLabels", {})}
    taints = body.get("taints", {})
    changed = [*taints.get("removeTaints", []), *taints.get("addOrUpdateTaints", [])]
    names = {(one["key"], one["effect"]) for one in changed}
    kept_taints = [one for one in group["taints"] if (one["key"], one["effect"]) not in names]
    group["taints"] = [*kept_taints, *taints.get("addOrUpdateTaints", [])]
    if "scalingConfig" in body:
        _nodes(aws, group).scale(group["scalingConfig"]["desiredSize"])
    if body.get("clientRequestToken") == BY_AUTO_SCALING:
        return eks._json_resp(200, {"update": {"status": "Successful"}})
    return _updated(eks, "ConfigUpdate", cluster_name, name)


def _update_nodegroup_version(
    eks: Module, _: Aws, body: Json, cluster_name: str, name: str
) -> Json:
    group = eks._nodegroups.get(f"{cluster_name}/{name}")
    if group is None:
        return eks._describe_nodegroup(cluster_name, name)
    for key in ("launchTemplate", "releaseVersion", "version"):
        if key in body:
            group[key] = body[key]
    return _updated(eks, "VersionUpdate", cluster_name, name)


_NAME = r"([A-Za-z0-9_-]+)"
_UPDATES_OF = rf"/clusters/{_NAME}/updates(?:/{_NAME})?"
_UPDATES: dict[str, Callable[..., Json]] = {
    rf"/clusters/{_NAME}/update-config": _update_cluster_config,
    rf"/clusters/{_NAME}/updates": _update_cluster_version,
    rf"/clusters/{_NAME}/node-groups/{_NAME}/update-config": _update_nodegroup_config,
    rf"/clusters/{_NAME}/node-groups/{_NAME}/update-version": _update_nodegroup_version,
}
