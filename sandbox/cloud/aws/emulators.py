"""What the emulators lack of the services that the sandbox needs, added to them as they start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias
from urllib.parse import unquote

Json: TypeAlias = Any
Module: TypeAlias = Any

RESERVED_TAG = "sandbox:"
"""Tags of a new EKS cluster through which the stand-in tells what EKS itself would find out."""


def complete_ministack() -> None:
    """Let EKS and MWAA keep all that they are told, and update what AWS updates."""
    _complete_eks(import_module("ministack.services.eks"))
    _complete_mwaa(import_module("ministack.services.mwaa"))


def _complete_eks(eks: Module) -> None:
    _keep_cluster(eks)
    _keep_node_groups(eks)
    _own_pod_identities(eks)
    _tag_pod_identities(eks)
    serve = eks._handle_request_sync

    def handle(method: str, path: str, headers: Json, body: bytes, query: Json) -> Json:
        for pattern, update in _EKS_UPDATES.items():
            match = re.fullmatch(pattern, path)
            if match and method == "POST":
                return update(eks, json.loads(body or b"{}"), *match.groups())
        return serve(method, path, headers, body, query)

    eks._handle_request_sync = handle


def _keep_cluster(eks: Module) -> None:
    create, delete = eks._create_cluster, eks._delete_cluster

    def create_cluster(body: Json, creator_arn: str | None = None) -> Json:
        told = {
            key.removeprefix(RESERVED_TAG): body["tags"].pop(key)
            for key in list(body.get("tags", {}))
            if key.startswith(RESERVED_TAG)
        }
        answer = create(body, creator_arn)
        cluster = eks._clusters.get(body.get("name", ""))
        if answer[0] != 200 or cluster is None:
            return answer
        cluster["upgradePolicy"] = body.get("upgradePolicy", {"supportType": "EXTENDED"})
        cluster["deletionProtection"] = body.get("deletionProtection", False)
        # Not told by DescribeCluster: what a node needs to become ready.
        cluster["_brings_network"] = body.get("bootstrapSelfManagedAddons", True)
        cluster["resourcesVpcConfig"].update(told)
        return eks._json_resp(200, {"cluster": eks._sanitize(cluster)})

    def delete_cluster(name: str) -> Json:
        answer = delete(name)
        for key in [key for key in eks._addons if str(key).startswith(f"{name}/")]:
            eks._addons.pop(key, None)
        return answer

    eks._create_cluster, eks._delete_cluster = create_cluster, delete_cluster


def _keep_node_groups(eks: Module) -> None:
    create = eks._create_nodegroup

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

    eks._create_nodegroup = create_nodegroup


# Add-ons whose pods run on nodes of their own choice, so that they need some.
_DEPLOYMENTS = frozenset({"aws-ebs-csi-driver", "coredns", "metrics-server"})


def _own_pod_identities(eks: Module) -> None:
    create, update, delete = eks._create_addon, eks._update_addon, eks._delete_addon

    def create_addon(cluster_name: str, body: Json) -> Json:
        wanted = body.pop("podIdentityAssociations", [])
        answer = create(cluster_name, body)
        addon = eks._addons.get(f"{cluster_name}/{body.get('addonName', '')}")
        if answer[0] != 200 or addon is None:
            return answer
        addon["addonVersion"] = addon["addonVersion"] or "v1.0.0-eksbuild.1"
        addon["podIdentityAssociations"] = _associate(eks, cluster_name, addon, wanted)
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
        return delete(cluster_name, addon_name)

    eks._create_addon, eks._update_addon, eks._delete_addon = (
        create_addon,
        update_addon,
        delete_addon,
    )


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


def _updated(eks: Module, kind: str) -> Json:
    update = {"id": eks.new_uuid(), "status": "Successful", "type": kind, "createdAt": eks._now()}
    return eks._json_resp(200, {"update": update})


def _update_cluster_config(eks: Module, body: Json, name: str) -> Json:
    cluster = eks._clusters.get(name)
    if cluster is None:
        return eks._describe_cluster(name)
    for key in ("deletionProtection", "logging", "upgradePolicy"):
        if key in body:
            cluster[key] = body[key]
    for key in ("accessConfig", "resourcesVpcConfig"):
        cluster[key].update(body.get(key, {}))
    return _updated(eks, "ConfigUpdate")


def _update_cluster_version(eks: Module, body: Json, name: str) -> Json:
    cluster = eks._clusters.get(name)
    if cluster is None:
        return eks._describe_cluster(name)
    before, after = (
        int(version.split(".")[1]) for version in (cluster["version"], body["version"])
    )
    if after != before + 1:
        message = (
            "Unsupported Kubernetes minor version update from "
            f"{cluster['version']} to {body['version']}"
        )
        return eks._error(400, "InvalidParameterException", message)
    cluster["version"] = body["version"]
    return _updated(eks, "VersionUpdate")


def _update_nodegroup_config(eks: Module, body: Json, cluster_name: str, name: str) -> Json:
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
    return _updated(eks, "ConfigUpdate")


def _update_nodegroup_version(eks: Module, body: Json, cluster_name: str, name: str) -> Json:
    group = eks._nodegroups.get(f"{cluster_name}/{name}")
    if group is None:
        return eks._describe_nodegroup(cluster_name, name)
    for key in ("launchTemplate", "releaseVersion", "version"):
        if key in body:
            group[key] = body[key]
    return _updated(eks, "VersionUpdate")


_NAME = r"([A-Za-z0-9_-]+)"
_EKS_UPDATES: dict[str, Callable[..., Json]] = {
    rf"/clusters/{_NAME}/update-config": _update_cluster_config,
    rf"/clusters/{_NAME}/updates": _update_cluster_version,
    rf"/clusters/{_NAME}/node-groups/{_NAME}/update-config": _update_nodegroup_config,
    rf"/clusters/{_NAME}/node-groups/{_NAME}/update-version": _update_nodegroup_version,
}


# The groups are not all named as the settings are.
_LOG_GROUPS = {"DagProcessingLogs": "DAGProcessing", "WebserverLogs": "WebServer"}


def _complete_mwaa(mwaa: Module) -> None:
    create, update, describe = (
        mwaa._create_environment,
        mwaa._update_environment,
        mwaa._build_env_response,
    )

    def keep(path: str, body: bytes) -> None:
        environment = mwaa._environments.get(path.strip("/").split("/")[-1])
        if environment is not None:
            told = json.loads(body) if body else {}
            environment.update({key: value for key, value in told.items() if key != "Tags"})

    def create_environment(method: str, path: str, headers: Json, body: bytes, query: Json) -> Json:
        answer = create(method, path, headers, body, query)
        if answer[0] == 200:
            keep(path, body)
        return answer

    def update_environment(method: str, path: str, headers: Json, body: bytes, query: Json) -> Json:
        answer = update(method, path, headers, body, query)
        if answer[0] == 200:
            keep(path, body)
        return answer

    def build_response(environment: Json) -> Json:
        found = describe(environment)
        _, _, _, region, account, _ = found["Arn"].split(":", 5)
        for kind, settings in found.get("LoggingConfiguration", {}).items():
            kind_of_group = _LOG_GROUPS.get(kind, kind.removesuffix("Logs"))
            group = f"airflow-{found['Name']}-{kind_of_group}"
            settings["CloudWatchLogGroupArn"] = f"arn:aws:logs:{region}:{account}:log-group:{group}"
        return found

    serve = mwaa.handle_request

    async def handle_request(
        method: str, path: str, headers: Json, body: bytes, query: Json
    ) -> Json:
        if not path.startswith("/tags/"):
            return await serve(method, path, headers, body, query)
        return _tag_environment(mwaa, method, unquote(path), body, query)

    mwaa.handle_request = handle_request
    mwaa._create_environment = create_environment
    mwaa._update_environment = update_environment
    mwaa._build_env_response = build_response


def _tag_environment(mwaa: Module, method: str, path: str, body: bytes, query: Json) -> Json:
    environment = mwaa._environments.get(path.rpartition("/")[2])
    if environment is None:
        return mwaa.error_response_json("ResourceNotFoundException", f"{path} not found", 404)
    tags = environment["Tags"]
    if method == "POST":
        tags.update(json.loads(body)["Tags"])
    elif method == "DELETE":
        for key in query.get("tagKeys", []):
            tags.pop(key, None)
    return mwaa.json_response({"Tags": tags} if method == "GET" else {})


def complete_moto() -> None:
    """Let a namespace be used again, tags change, and a bucket's policy have conditions.

    And let a key go that was deleted in a bucket whose versioning was suspended since: moto closes
    the content of every version, also of a delete marker, which has none.
    """
    import_module("moto.s3.models").FakeDeleteMarker.dispose = lambda _: None
    backend: Module = import_module("moto.emrcontainers.models").EMRContainersBackend
    delete = backend.delete_virtual_cluster

    def delete_virtual_cluster(self: Json, cluster_id: str) -> Json:
        cluster = delete(self, cluster_id)
        # Where moto looks whether a namespace is taken; it is told from container_provider.
        cluster.namespace = None
        return cluster

    backend.delete_virtual_cluster = delete_virtual_cluster
    _tag_virtual_clusters()
    _read_conditions()


def _tag_virtual_clusters() -> None:
    """Add the calls that change tags."""
    responses: Module = import_module("moto.emrcontainers.responses")
    handler = responses.EMRContainersResponse

    def tags(self: Json) -> dict[str, str]:
        cluster_id = self._get_param("resourceArn").rpartition("/")[2]
        cluster = self.emrcontainers_backend.describe_virtual_cluster(cluster_id)
        cluster.tags = cluster.tags or {}
        found: dict[str, str] = cluster.tags
        return found

    def tag_resource(self: Json) -> Json:
        tags(self).update(self._get_param("tags"))
        return responses.ActionResult({})

    def untag_resource(self: Json) -> Json:
        for key in self._get_param("tagKeys"):
            tags(self).pop(key, None)
        return responses.ActionResult({})

    handler.tag_resource, handler.untag_resource = tag_resource, untag_resource
    paths = import_module("moto.emrcontainers.urls").url_paths
    paths["{0}/tags/(?P<resourceArn>.+)$"] = handler.dispatch


def _read_conditions() -> None:
    access = import_module("moto.iam.access_control")

    def get_permission(self: Json, action: str, resource: str) -> Json:
        """Leave out statements with a condition, which moto would apply to every request."""
        document = json.loads(self.policy) if self.policy else {}
        statements = document.get("Statement", [])
        statements = [statements] if isinstance(statements, dict) else statements
        plain = [one for one in statements if "Condition" not in one]
        if not plain:
            return access.PermissionResult.NEUTRAL
        policy = access.IAMPolicy(json.dumps({**document, "Statement": plain}))
        return policy.is_action_permitted(action, resource)

    import_module("moto.s3.models").FakeBucket.get_permission = get_permission
