"""Clusters, node groups, add-ons, access entries and pod identities."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from typing import ClassVar

from sandbox.cloud.aws.emulators import RESERVED_TAG
from sandbox.providers.aws.calls import Answer, Aws, RefusedError, error_code, find, wait_until
from sandbox.providers.aws.kms import require_usable_key
from sandbox.providers.aws.nodes import NodeGroup as Nodes
from sandbox.providers.aws.nodes import Zone, core_api
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    LOCAL,
    OFF,
    REPLACES,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    same,
    shape,
)
from sandbox.providers.aws.tags import tag_changes, tag_list
from sandbox.providers.protocol import UNKNOWN, Failure, PluginError, Properties, Value


class EksType(ResourceType):
    """A resource of EKS, tagged by its ARN."""

    service = "eks"

    def tags(self, arn: str) -> dict[str, str]:
        answer: dict[str, str] = self.api.list_tags_for_resource(resourceArn=arn)["tags"]
        return answer

    def retag(self, arn: str, old: Properties, new: Properties) -> None:
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_resource(resourceArn=arn, tagKeys=removed)
        if wanted:
            self.api.tag_resource(resourceArn=arn, tags=wanted)


def _time(value: Value) -> str:
    return str(value.isoformat()) if value else ""


def require_role(aws: Aws, operation: str, arn: str, *services: str) -> Answer:
    """Return the role, or refuse one that does not exist or that the services cannot assume."""
    found = find(aws.client("iam").get_role, RoleName=arn.rpartition("/")[2])
    if found is None or found["Role"]["Arn"] != arn:
        message = f"Role with arn: {arn}, could not be assumed because it does not exist"
        raise RefusedError(operation, "InvalidParameterException", message)
    trust = json.dumps(found["Role"]["AssumeRolePolicyDocument"])
    for service in services:
        if service not in trust:
            message = f"Role with arn: {arn} cannot be assumed by {service}: see its trust policy"
            raise RefusedError(operation, "InvalidParameterException", message)
    return found["Role"]


_IMPLIED_ACCESS = "AmazonEKSClusterAdminPolicy"


def principal(caller_arn: str) -> str:
    """Return the role or user behind what STS tells of the caller."""
    session = re.fullmatch(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.*", caller_arn)
    if session:
        return "arn:{}:iam::{}:role/{}".format(*session.groups())
    return caller_arn.replace(":sts:", ":iam:")


class Cluster(EksType):
    pulumi_type = "aws:eks/cluster:Cluster"
    auto_name = AutoName(longest=100)
    inputs: ClassVar = {
        "accessConfig": Input(
            computed=True,
            shape=shape("authenticationMode", "bootstrapClusterCreatorAdminPermissions"),
        ),
        "bootstrapSelfManagedAddons": Input(local=True, replaces=True, default=True),
        "deletionProtection": OFF,
        "enabledClusterLogTypes": UPDATES,
        "encryptionConfig": Input(
            replaces=True, shape=shape("resources", provider=shape("keyArn"))
        ),
        "forceUpdateVersion": LOCAL,
        "kubernetesNetworkConfig": Input(
            computed=True, replaces=True, shape=shape("ipFamily", "serviceIpv4Cidr")
        ),
        "name": Input(replaces=True),
        "roleArn": KEY,
        "tags": UPDATES,
        "upgradePolicy": Input(computed=True, shape=shape("supportType")),
        "version": CHOSEN,
        "vpcConfig": Input(
            required=True,
            adds=shape("clusterSecurityGroupId", "vpcId"),
            shape=shape(
                "endpointPrivateAccess",
                "endpointPublicAccess",
                "publicAccessCidrs",
                "securityGroupIds",
                "subnetIds",
            ),
        ),
    }
    outputs = (
        "arn",
        "certificateAuthority",
        "clusterId",
        "createdAt",
        "endpoint",
        "identities",
        "platformVersion",
        "status",
    )

    def create(self, inputs: Properties) -> str:
        network = inputs["vpcConfig"]
        require_role(self.aws, "CreateCluster", inputs["roleArn"], "eks.amazonaws.com")
        vpc_id = self._require_subnets(network["subnetIds"])
        encryption = inputs.get("encryptionConfig")
        if encryption:
            require_usable_key(self.aws, encryption["provider"]["keyArn"])
        if find(self.api.describe_cluster, name=inputs["name"]):
            message = f"Cluster already exists with name: {inputs['name']}"
            raise RefusedError("CreateCluster", "ResourceInUseException", message)
        group_id = self._create_security_group(inputs["name"], vpc_id)
        given = {
            name: inputs[key]
            for key, name in {
                "accessConfig": "accessConfig",
                "bootstrapSelfManagedAddons": "bootstrapSelfManagedAddons",
                "deletionProtection": "deletionProtection",
                "kubernetesNetworkConfig": "kubernetesNetworkConfig",
                "upgradePolicy": "upgradePolicy",
                "version": "version",
            }.items()
            if key in inputs
        }
        if encryption:
            given["encryptionConfig"] = [encryption]
        # What EKS finds out itself reaches the emulator this way.
        told = {f"{RESERVED_TAG}vpcId": vpc_id, f"{RESERVED_TAG}clusterSecurityGroupId": group_id}
        self.api.create_cluster(
            name=inputs["name"],
            roleArn=inputs["roleArn"],
            resourcesVpcConfig=network,
            logging=_logging(inputs),
            tags={**inputs.get("tagsAll", {}), **told},
            **given,
        )
        return str(inputs["name"])

    def _require_subnets(self, subnet_ids: list[str]) -> str:
        subnets = self.aws.client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
        if len({subnet["AvailabilityZone"] for subnet in subnets}) < 2:
            message = "Subnets specified must be in at least two different AZs"
            raise RefusedError("CreateCluster", "InvalidParameterException", message)
        return str(subnets[0]["VpcId"])

    def _create_security_group(self, name: str, vpc_id: str) -> str:
        ec2 = self.aws.client("ec2")
        # EKS also sets aws:eks:cluster-name, which only AWS itself may.
        tags = {
            "Name": f"eks-cluster-sg-{name}",
            f"kubernetes.io/cluster/{name}": "owned",
        }
        group_id: str = ec2.create_security_group(
            GroupName=f"eks-cluster-sg-{name}-{zlib.crc32(name.encode())}",
            Description="EKS created security group applied to ENI that is attached to EKS "
            "Control Plane master nodes, as well as any managed workloads.",
            VpcId=vpc_id,
        )["GroupId"]
        ec2.create_tags(Resources=[group_id], Tags=tag_list(tags))
        itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}
        ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[itself])
        return group_id

    def finish(self, resource_id: str, inputs: Properties) -> None:
        wait_until(
            lambda: self.api.describe_cluster(name=resource_id)["cluster"]["status"] == "ACTIVE",
            f"cluster {resource_id}",
        )
        access = inputs.get("accessConfig", {})
        self._keep_creator_out(resource_id)
        if access.get("bootstrapClusterCreatorAdminPermissions", True):
            self._let_creator_in(resource_id)
        if inputs.get("enabledClusterLogTypes"):
            self._ensure_log_group(resource_id)

    def _keep_creator_out(self, name: str) -> None:
        """Remove the emulator's own entry, whose principal is not the one of STS."""
        for arn in self.api.list_access_entries(clusterName=name)["accessEntries"]:
            self.api.delete_access_entry(clusterName=name, principalArn=arn)

    def _let_creator_in(self, name: str) -> None:
        creator = principal(self.aws.caller["Arn"])
        self.api.create_access_entry(
            clusterName=name, principalArn=creator, username=creator, type="STANDARD"
        )
        self.api.associate_access_policy(
            clusterName=name,
            principalArn=creator,
            policyArn=_access_policy(self.aws, _IMPLIED_ACCESS),
            accessScope={"type": "cluster"},
        )

    def _ensure_log_group(self, name: str) -> None:
        """Make the log group that EKS makes when nobody has."""
        try:
            self.aws.client("logs").create_log_group(logGroupName=f"/aws/eks/{name}/cluster")
        except Exception as error:
            if error_code(error) != "ResourceAlreadyExistsException":
                raise

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.describe_cluster, name=resource_id)
        if answer is None:
            return None
        cluster = answer["cluster"]
        network = cluster["resourcesVpcConfig"]
        encryption = (cluster.get("encryptionConfig") or [None])[0]
        bootstrap = inputs.get("accessConfig", {}).get(
            "bootstrapClusterCreatorAdminPermissions", True
        )
        return {
            "accessConfig": {
                "authenticationMode": cluster["accessConfig"].get(
                    "authenticationMode", "CONFIG_MAP"
                ),
                "bootstrapClusterCreatorAdminPermissions": bootstrap,
            },
            "arn": cluster["arn"],
            "certificateAuthority": {"data": cluster["certificateAuthority"]["data"]},
            "clusterId": "",
            "createdAt": _time(cluster["createdAt"]),
            "deletionProtection": cluster.get("deletionProtection", False),
            "enabledClusterLogTypes": _enabled_logs(cluster) or None,
            "encryptionConfig": encryption,
            "endpoint": cluster["endpoint"],
            "identities": [{"oidcs": [{"issuer": cluster["identity"]["oidc"]["issuer"]}]}],
            "kubernetesNetworkConfig": {
                key: cluster["kubernetesNetworkConfig"].get(key)
                for key in ("ipFamily", "serviceIpv4Cidr")
            },
            "name": cluster["name"],
            "platformVersion": cluster["platformVersion"],
            "roleArn": cluster["roleArn"],
            "status": cluster["status"],
            "upgradePolicy": cluster.get("upgradePolicy", {"supportType": "EXTENDED"}),
            "version": cluster["version"],
            "vpcConfig": {
                "clusterSecurityGroupId": network["clusterSecurityGroupId"],
                "endpointPrivateAccess": network["endpointPrivateAccess"],
                "endpointPublicAccess": network["endpointPublicAccess"],
                "publicAccessCidrs": network["publicAccessCidrs"],
                "securityGroupIds": network["securityGroupIds"],
                "subnetIds": network["subnetIds"],
                "vpcId": network["vpcId"],
            },
            "tagsAll": self.tags(cluster["arn"]),
        }

    def _replaces(self, key: str, old: Properties, new: Properties) -> bool:
        if key == "accessConfig":
            flag = "bootstrapClusterCreatorAdminPermissions"
            before, after = (one.get(key, {}).get(flag, True) for one in (old, new))
            return not same(before, after, UPDATES)
        return super()._replaces(key, old, new)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if "version" in new and old.get("version") != new["version"]:
            self.api.update_cluster_version(name=resource_id, version=new["version"])
        # One kind of change a call, as EKS demands.
        changes: dict[str, Value] = {
            "accessConfig": {
                "authenticationMode": new.get("accessConfig", {}).get("authenticationMode")
            },
            "deletionProtection": new.get("deletionProtection", False),
            "enabledClusterLogTypes": _logging(new),
            "upgradePolicy": new.get("upgradePolicy"),
            "vpcConfig": new["vpcConfig"],
        }
        names = {"enabledClusterLogTypes": "logging", "vpcConfig": "resourcesVpcConfig"}
        for key, value in changes.items():
            if not same(old.get(key), new.get(key), UPDATES) and (key in new or key in old):
                self.api.update_cluster_config(name=resource_id, **{names.get(key, key): value})
        self.retag(self.aws.arn("eks", f"cluster/{resource_id}"), old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster = self.api.describe_cluster(name=resource_id)["cluster"]
        if cluster.get("deletionProtection"):
            message = f"Cluster {resource_id} has deletion protection enabled"
            raise RefusedError("DeleteCluster", "InvalidRequestException", message)
        groups = self.api.list_nodegroups(clusterName=resource_id)["nodegroups"]
        if groups:
            message = f"Cluster has nodegroups attached: {', '.join(groups)}"
            raise RefusedError("DeleteCluster", "ResourceInUseException", message)
        self.api.delete_cluster(name=resource_id)
        group_id = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
        try:
            self.aws.client("ec2").delete_security_group(GroupId=group_id)
        except Exception as error:
            # EKS leaves it where other rules name it, and the VPC cannot go then.
            if error_code(error) not in {"DependencyViolation", "InvalidGroup.NotFound"}:
                raise


def _logging(inputs: Properties) -> Value:
    every = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
    enabled = inputs.get("enabledClusterLogTypes", [])
    disabled = [one for one in every if one not in enabled]
    settings = [
        {"types": types, "enabled": on} for types, on in ((enabled, True), (disabled, False))
    ]
    return {"clusterLogging": [one for one in settings if one["types"]]}


def _enabled_logs(cluster: Answer) -> list[str]:
    return [
        kind
        for setting in cluster["logging"]["clusterLogging"]
        if setting["enabled"]
        for kind in setting["types"]
    ]


def require_active(eks: ResourceType, operation: str, name: str) -> Answer:
    """Return the cluster, or refuse when it is not there or not yet ready."""
    answer = find(eks.aws.client("eks").describe_cluster, name=name)
    if answer is None:
        message = f"No cluster found for name: {name}."
        raise RefusedError(operation, "ResourceNotFoundException", message)
    if answer["cluster"]["status"] != "ACTIVE":
        message = f"Cluster '{name}' is not in ACTIVE status"
        raise RefusedError(operation, "InvalidRequestException", message)
    return answer["cluster"]


def _require_ready(kind: str, resource_id: str, found: Answer) -> None:
    """Fail as the provider does when it has waited in vain."""
    if found["status"] == "ACTIVE":
        return
    issues = "; ".join(f"{one['code']}: {one['message']}" for one in found["health"]["issues"])
    raise PluginError(
        f"waiting for EKS {kind} ({resource_id}): unexpected state '{found['status']}', wanted "
        f"target 'ACTIVE'. last error: {issues}"
    )


class NodeGroup(EksType):
    pulumi_type = "aws:eks/nodeGroup:NodeGroup"
    auto_name = AutoName("nodeGroupName", longest=63, by_prefix="nodeGroupNamePrefix")
    _fixed = Input(replaces=True, computed=True)
    inputs: ClassVar = {
        "amiType": _fixed,
        "capacityType": _fixed,
        "clusterName": KEY,
        "diskSize": _fixed,
        "forceUpdateVersion": LOCAL,
        "instanceTypes": _fixed,
        "labels": UPDATES,
        "launchTemplate": Input(shape=shape("id", "name", "version")),
        "nodeGroupName": REPLACES,
        "nodeGroupNamePrefix": Input(replaces=True, local=True),
        "nodeRepairConfig": Input(computed=True, shape=shape("enabled")),
        "nodeRoleArn": KEY,
        "releaseVersion": CHOSEN,
        "scalingConfig": Input(required=True, shape=shape("desiredSize", "maxSize", "minSize")),
        "subnetIds": KEY,
        "tags": UPDATES,
        "taints": Input(shape=shape("effect", "key", "value")),
        "updateConfig": Input(
            computed=True, shape=shape("maxUnavailable", "maxUnavailablePercentage")
        ),
        "version": CHOSEN,
    }
    outputs = ("arn", "resources", "status")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        scaling = inputs["scalingConfig"]
        if scaling is UNKNOWN or any(value is UNKNOWN for value in scaling.values()):
            return
        if not scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]:
            yield Failure("scalingConfig", f"desiredSize must be between the others: {scaling}")

    def create(self, inputs: Properties) -> str:
        core_api()  # without a cluster for the nodes nothing is made
        cluster_name, name = inputs["clusterName"], inputs["nodeGroupName"]
        self._require_preconditions(inputs)
        given = {
            api: inputs[key]
            for key, api in {
                "amiType": "amiType",
                "capacityType": "capacityType",
                "diskSize": "diskSize",
                "instanceTypes": "instanceTypes",
                "labels": "labels",
                "launchTemplate": "launchTemplate",
                "nodeRepairConfig": "nodeRepairConfig",
                "releaseVersion": "releaseVersion",
                "taints": "taints",
                "updateConfig": "updateConfig",
                "version": "version",
            }.items()
            if key in inputs
        }
        self.api.create_nodegroup(
            clusterName=cluster_name,
            nodegroupName=name,
            nodeRole=inputs["nodeRoleArn"],
            scalingConfig=inputs["scalingConfig"],
            subnets=inputs["subnetIds"],
            tags=inputs.get("tagsAll", {}),
            **given,
        )
        return f"{cluster_name}:{name}"

    def _require_preconditions(self, inputs: Properties) -> None:
        cluster = require_active(self, "CreateNodegroup", inputs["clusterName"])
        ec2 = self.aws.client("ec2")
        for subnet in ec2.describe_subnets(SubnetIds=inputs["subnetIds"])["Subnets"]:
            if subnet["VpcId"] != cluster["resourcesVpcConfig"]["vpcId"]:
                message = f"Subnet {subnet['SubnetId']} is not in the cluster's VPC"
                raise RefusedError("CreateNodegroup", "InvalidParameterException", message)
        template = inputs.get("launchTemplate")
        if template:
            if "diskSize" in inputs:
                message = "Disk size must be specified within the launch template."
                raise RefusedError("CreateNodegroup", "InvalidParameterException", message)
            which = (
                {"LaunchTemplateId": template["id"]}
                if "id" in template
                else {"LaunchTemplateName": template["name"]}
            )
            self._require_version(which, str(template.get("version", "$Default")))
        role = inputs["nodeRoleArn"]
        require_role(self.aws, "CreateNodegroup", role, "ec2.amazonaws.com")
        attached = self.aws.client("iam").list_attached_role_policies(
            RoleName=role.rpartition("/")[2]
        )
        names = {one["PolicyName"] for one in attached["AttachedPolicies"]}
        if not names & {"AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy"}:
            message = f"Instances failed to join the kubernetes cluster: {role} has no node policy"
            raise RefusedError("CreateNodegroup", "NodeCreationFailure", message)

    def _require_version(self, template: dict[str, str], version: str) -> None:
        answer = self.aws.client("ec2").describe_launch_template_versions(**template)
        numbers = [str(one["VersionNumber"]) for one in answer["LaunchTemplateVersions"]]
        if version not in {*numbers, "$Default", "$Latest"}:
            message = f"Could not find launch template version {version}: it has {numbers}"
            code = "InvalidLaunchTemplateId.VersionNotFound"
            raise RefusedError("CreateNodegroup", code, message)

    def finish(self, resource_id: str, inputs: Properties) -> None:
        group = self._describe(resource_id)
        _require_ready("Node Group", resource_id, group)
        self._let_nodes_in(inputs)
        self._nodes(group).scale(group["scalingConfig"]["desiredSize"])

    def _let_nodes_in(self, inputs: Properties) -> None:
        """Make the access entry for the node role, as EKS does for managed nodes."""
        entry = {"clusterName": inputs["clusterName"], "principalArn": inputs["nodeRoleArn"]}
        if find(self.api.describe_access_entry, **entry) is None:
            self.api.create_access_entry(
                **entry,
                type="EC2_LINUX",
                username="system:node:{{EC2PrivateDNSName}}",
                kubernetesGroups=["system:nodes"],
            )

    def _describe(self, resource_id: str) -> Answer:
        cluster_name, name = resource_id.split(":", 1)
        answer = find(self.api.describe_nodegroup, clusterName=cluster_name, nodegroupName=name)
        return answer["nodegroup"] if answer else None

    def _nodes(self, group: Answer) -> Nodes:
        subnets = self.aws.client("ec2").describe_subnets(SubnetIds=group["subnets"])["Subnets"]
        subnets.sort(key=lambda subnet: str(subnet["AvailabilityZone"]))
        return Nodes(
            name=group["nodegroupName"],
            cluster=group["clusterName"],
            instance_type=group["instanceTypes"][0],
            architecture="arm64" if "ARM" in group["amiType"].upper() else "amd64",
            capacity_type=group["capacityType"],
            version=group["version"],
            labels=group["labels"],
            taints=group["taints"],
            zones=[Zone(one["AvailabilityZone"], one["CidrBlock"]) for one in subnets],
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        group = self._describe(resource_id)
        if group is None:
            return None
        template = group.get("launchTemplate")
        groups = [{"name": one["name"]} for one in group["resources"]["autoScalingGroups"]]
        return {
            "amiType": group["amiType"],
            "arn": group["nodegroupArn"],
            "capacityType": group["capacityType"],
            "clusterName": group["clusterName"],
            "diskSize": group.get("diskSize"),
            "instanceTypes": group["instanceTypes"],
            "labels": group["labels"] or None,
            "launchTemplate": template,
            "nodeGroupName": group["nodegroupName"],
            "nodeRepairConfig": group.get("nodeRepairConfig"),
            "nodeRoleArn": group["nodeRole"],
            "releaseVersion": group["releaseVersion"],
            "resources": [{"autoscalingGroups": groups, "remoteAccessSecurityGroupId": ""}],
            "scalingConfig": group["scalingConfig"],
            "status": group["status"],
            "subnetIds": group["subnets"],
            "taints": group["taints"] or None,
            "updateConfig": group.get("updateConfig", {"maxUnavailable": 1}),
            "version": group["version"],
            "tagsAll": self.tags(group["nodegroupArn"]),
        }

    def _replaces(self, key: str, old: Properties, new: Properties) -> bool:
        if key == "launchTemplate":
            before, after = old.get(key), new.get(key)
            if not before or not after:
                return True
            return any(before.get(part) != after.get(part) for part in ("id", "name"))
        return super()._replaces(key, old, new)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        _require_ready("Node Group", resource_id, self._describe(resource_id))
        cluster_name, name = resource_id.split(":", 1)
        here = {"clusterName": cluster_name, "nodegroupName": name}
        changes: dict[str, Value] = {
            key: new[key]
            for key in ("nodeRepairConfig", "scalingConfig", "updateConfig")
            if key in new and not same(old.get(key), new[key], UPDATES)
        }
        before, after = old.get("labels", {}), new.get("labels", {})
        if before != after:
            changes["labels"] = {
                "addOrUpdateLabels": after,
                "removeLabels": [key for key in before if key not in after],
            }
        before, after = old.get("taints", []), new.get("taints", [])
        if before != after:
            removed = [one for one in before if one not in after]
            changes["taints"] = {"addOrUpdateTaints": after, "removeTaints": removed}
        if changes:
            self.api.update_nodegroup_config(**here, **changes)
        versions = {
            key: new[key]
            for key in ("launchTemplate", "releaseVersion", "version")
            if key in new and not same(old.get(key), new[key], UPDATES)
        }
        if versions:
            self.api.update_nodegroup_version(**here, **versions)
        group = self._describe(resource_id)
        self.retag(group["nodegroupArn"], old, new)
        if "scalingConfig" in changes:
            self._nodes(group).scale(group["scalingConfig"]["desiredSize"])

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, name = resource_id.split(":", 1)
        group = self._describe(resource_id)
        self._nodes(group).scale(0)
        self.api.delete_nodegroup(clusterName=cluster_name, nodegroupName=name)
        roles = {
            self._describe(f"{cluster_name}:{other}")["nodeRole"]
            for other in self.api.list_nodegroups(clusterName=cluster_name)["nodegroups"]
        }
        if group["nodeRole"] not in roles:
            entry = {"clusterName": cluster_name, "principalArn": group["nodeRole"]}
            find(self.api.delete_access_entry, **entry)


class Addon(EksType):
    pulumi_type = "aws:eks/addon:Addon"
    inputs: ClassVar = {
        "addonName": KEY,
        "addonVersion": CHOSEN,
        "clusterName": KEY,
        "configurationValues": Input(computed=True, json=True),
        "podIdentityAssociations": Input(shape=shape("roleArn", "serviceAccount")),
        "preserve": LOCAL,
        "resolveConflictsOnCreate": Input(local=True, allowed=("NONE", "OVERWRITE")),
        "resolveConflictsOnUpdate": Input(local=True, allowed=("NONE", "OVERWRITE", "PRESERVE")),
        "serviceAccountRoleArn": UPDATES,
        "tags": UPDATES,
    }
    outputs = ("arn", "createdAt", "modifiedAt")
    _settings = (
        "addonVersion",
        "configurationValues",
        "podIdentityAssociations",
        "serviceAccountRoleArn",
    )

    def create(self, inputs: Properties) -> str:
        cluster_name, name = inputs["clusterName"], inputs["addonName"]
        require_active(self, "CreateAddon", cluster_name)
        self._require_roles("CreateAddon", inputs)
        self.api.create_addon(
            clusterName=cluster_name,
            addonName=name,
            tags=inputs.get("tagsAll", {}),
            **{key: inputs[key] for key in self._settings if key in inputs},
        )
        return f"{cluster_name}:{name}"

    def _require_roles(self, operation: str, inputs: Properties) -> None:
        for one in inputs.get("podIdentityAssociations", []):
            require_role(self.aws, operation, one["roleArn"], "pods.eks.amazonaws.com")

    def finish(self, resource_id: str, inputs: Properties) -> None:
        _require_ready("Add-On", resource_id, self._describe(resource_id))

    def _describe(self, resource_id: str) -> Answer:
        cluster_name, name = resource_id.split(":", 1)
        answer = find(self.api.describe_addon, clusterName=cluster_name, addonName=name)
        return answer["addon"] if answer else None

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        addon = self._describe(resource_id)
        if addon is None:
            return None
        associations = []
        for arn in addon["podIdentityAssociations"]:
            one = self.api.describe_pod_identity_association(
                clusterName=addon["clusterName"], associationId=arn.rpartition("/")[2]
            )["association"]
            associations.append({key: one[key] for key in ("roleArn", "serviceAccount")})
        return {
            "addonName": addon["addonName"],
            "addonVersion": addon["addonVersion"],
            "arn": addon["addonArn"],
            "clusterName": addon["clusterName"],
            "configurationValues": addon["configurationValues"],
            "createdAt": _time(addon["createdAt"]),
            "modifiedAt": _time(addon["modifiedAt"]),
            "podIdentityAssociations": associations or None,
            "serviceAccountRoleArn": addon["serviceAccountRoleArn"] or None,
            "tagsAll": self.tags(addon["addonArn"]),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        _require_ready("Add-On", resource_id, self._describe(resource_id))
        cluster_name, name = resource_id.split(":", 1)
        changes = {
            key: new.get(key, [] if key == "podIdentityAssociations" else "")
            for key in self._settings
            if not same(old.get(key), new.get(key), UPDATES)
        }
        if changes:
            self._require_roles("UpdateAddon", new)
            self.api.update_addon(clusterName=cluster_name, addonName=name, **changes)
        self.retag(self._describe(resource_id)["addonArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, name = resource_id.split(":", 1)
        self.api.delete_addon(
            clusterName=cluster_name, addonName=name, preserve=inputs.get("preserve", False)
        )


_OWNED_PREFIXES = ("system:", "eks:", "aws:", "amazon:", "iam:")


class AccessEntry(EksType):
    pulumi_type = "aws:eks/accessEntry:AccessEntry"
    inputs: ClassVar = {
        "clusterName": KEY,
        "kubernetesGroups": CHOSEN,
        "principalArn": KEY,
        "tags": UPDATES,
        "type": Input(
            default="STANDARD",
            replaces=True,
            allowed=("EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "STANDARD"),
        ),
        "userName": CHOSEN,
    }
    outputs = ("accessEntryArn", "createdAt", "modifiedAt")

    def create(self, inputs: Properties) -> str:
        self._require_preconditions(inputs)
        given = {
            api: inputs[key]
            for key, api in {"kubernetesGroups": "kubernetesGroups", "userName": "username"}.items()
            if key in inputs
        }
        given.setdefault("username", _default_user_name(inputs["principalArn"]))
        self.api.create_access_entry(
            clusterName=inputs["clusterName"],
            principalArn=inputs["principalArn"],
            type=inputs.get("type", "STANDARD"),
            tags=inputs.get("tagsAll", {}),
            **given,
        )
        return f"{inputs['clusterName']}:{inputs['principalArn']}"

    def _require_preconditions(self, inputs: Properties) -> None:
        operation, code = "CreateAccessEntry", "InvalidParameterException"
        arn = inputs["principalArn"]
        cluster = require_active(self, operation, inputs["clusterName"])
        if cluster["accessConfig"].get("authenticationMode") not in {"API", "API_AND_CONFIG_MAP"}:
            message = (
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP]"
            )
            raise RefusedError(operation, "InvalidRequestException", message)
        if ":role/aws-service-role/" in arn:
            message = (
                "The caller is not allowed to modify access entries with a principalArn value of "
                f"a Service Linked Role: {arn}"
            )
            raise RefusedError(operation, code, message)
        if not _principal_exists(self.aws, arn):
            message = f"The specified principalArn is invalid: invalid principal: {arn}"
            raise RefusedError(operation, code, message)
        names = [*inputs.get("kubernetesGroups", []), inputs.get("userName", "")]
        for name in names:
            if name.startswith(_OWNED_PREFIXES):
                message = f"{name} must not begin with one of {', '.join(_OWNED_PREFIXES)}"
                raise RefusedError(operation, code, message)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        cluster_name, arn = resource_id.split(":", 1)
        answer = find(self.api.describe_access_entry, clusterName=cluster_name, principalArn=arn)
        if answer is None:
            return None
        entry = answer["accessEntry"]
        return {
            "accessEntryArn": entry["accessEntryArn"],
            "clusterName": cluster_name,
            "createdAt": _time(entry["createdAt"]),
            "kubernetesGroups": entry["kubernetesGroups"],
            "modifiedAt": _time(entry["modifiedAt"]),
            "principalArn": arn,
            "type": entry["type"],
            "userName": entry["username"],
            "tagsAll": self.tags(entry["accessEntryArn"]),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        cluster_name, arn = resource_id.split(":", 1)
        names = {"kubernetesGroups": "kubernetesGroups", "userName": "username"}
        changes = {
            api: new[key]
            for key, api in names.items()
            if key in new and not same(old.get(key), new[key], UPDATES)
        }
        if changes:
            self.api.update_access_entry(clusterName=cluster_name, principalArn=arn, **changes)
        found = self.read(resource_id, new) or {}
        self.retag(found["accessEntryArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, arn = resource_id.split(":", 1)
        self.api.delete_access_entry(clusterName=cluster_name, principalArn=arn)


def _default_user_name(arn: str) -> str:
    role = re.fullmatch(r"arn:([\w-]+):iam::(\d+):role/(?:.*/)?([^/]+)", arn)
    if role:
        partition, account, name = role.groups()
        return f"arn:{partition}:sts::{account}:assumed-role/{name}/{{{{SessionName}}}}"
    return arn


def _principal_exists(aws: Aws, arn: str) -> bool:
    iam, name = aws.client("iam"), arn.rpartition("/")[2]
    if ":role/" in arn:
        found = find(iam.get_role, RoleName=name)
        return bool(found and found["Role"]["Arn"] == arn)
    if ":user/" in arn:
        return find(iam.get_user, UserName=name) is not None
    return False


# https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
_ACCESS_POLICIES = frozenset(
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


def _access_policy(aws: Aws, name: str) -> str:
    return f"arn:{aws.partition}:eks::aws:cluster-access-policy/{name}"


class AccessPolicyAssociation(EksType):
    pulumi_type = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
    inputs: ClassVar = {
        "accessScope": Input(required=True, replaces=True, shape=shape("namespaces", "type")),
        "clusterName": KEY,
        "policyArn": KEY,
        "principalArn": KEY,
    }
    outputs = ("associatedAt", "modifiedAt")
    # An entry has a policy once, whatever its scope.
    delete_before_replace = True

    def create(self, inputs: Properties) -> str:
        name = inputs["policyArn"].rpartition("/")[2]
        known = name in _ACCESS_POLICIES and inputs["policyArn"] == _access_policy(self.aws, name)
        if not known:
            message = f"The policyArn parameter format is not valid: {inputs['policyArn']}"
            raise RefusedError("AssociateAccessPolicy", "InvalidParameterException", message)
        self.api.associate_access_policy(
            clusterName=inputs["clusterName"],
            principalArn=inputs["principalArn"],
            policyArn=inputs["policyArn"],
            accessScope=inputs["accessScope"],
        )
        return f"{inputs['clusterName']}#{inputs['principalArn']}#{inputs['policyArn']}"

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        cluster_name, principal_arn, policy_arn = resource_id.split("#")
        answer = find(
            self.api.list_associated_access_policies,
            clusterName=cluster_name,
            principalArn=principal_arn,
        )
        policies = answer["associatedAccessPolicies"] if answer else []
        found = next((one for one in policies if one["policyArn"] == policy_arn), None)
        if found is None:
            return None
        scope = found["accessScope"]
        return {
            "accessScope": {"type": scope["type"], "namespaces": scope.get("namespaces") or None},
            "associatedAt": _time(found["associatedAt"]),
            "clusterName": cluster_name,
            "modifiedAt": _time(found["modifiedAt"]),
            "policyArn": policy_arn,
            "principalArn": principal_arn,
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, principal_arn, policy_arn = resource_id.split("#")
        self.api.disassociate_access_policy(
            clusterName=cluster_name, principalArn=principal_arn, policyArn=policy_arn
        )


class PodIdentityAssociation(EksType):
    pulumi_type = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
    inputs: ClassVar = {
        "clusterName": KEY,
        "disableSessionTags": OFF,
        "namespace": KEY,
        "roleArn": Input(required=True),
        "serviceAccount": KEY,
        "tags": UPDATES,
    }
    outputs = ("associationArn", "associationId", "externalId")
    # A service account has one role.
    delete_before_replace = True

    def create(self, inputs: Properties) -> str:
        operation = "CreatePodIdentityAssociation"
        require_active(self, operation, inputs["clusterName"])
        self._require_trust(operation, inputs["roleArn"])
        answer = self.api.create_pod_identity_association(
            clusterName=inputs["clusterName"],
            namespace=inputs["namespace"],
            serviceAccount=inputs["serviceAccount"],
            roleArn=inputs["roleArn"],
            disableSessionTags=inputs.get("disableSessionTags", False),
            tags=inputs.get("tagsAll", {}),
        )
        return str(answer["association"]["associationId"])

    def _require_trust(self, operation: str, arn: str) -> None:
        wanted = ("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession")
        require_role(self.aws, operation, arn, *wanted)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(
            self.api.describe_pod_identity_association,
            clusterName=inputs["clusterName"],
            associationId=resource_id,
        )
        if answer is None:
            return None
        one = answer["association"]
        return {
            "associationArn": one["associationArn"],
            "associationId": one["associationId"],
            "clusterName": one["clusterName"],
            "disableSessionTags": one.get("disableSessionTags", False),
            "externalId": one.get("externalId", ""),
            "namespace": one["namespace"],
            "roleArn": one["roleArn"],
            "serviceAccount": one["serviceAccount"],
            "tagsAll": self.tags(one["associationArn"]),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        settings = ("disableSessionTags", "roleArn")
        if any(old.get(key) != new.get(key) for key in settings):
            self._require_trust("UpdatePodIdentityAssociation", new["roleArn"])
            self.api.update_pod_identity_association(
                clusterName=new["clusterName"],
                associationId=resource_id,
                roleArn=new["roleArn"],
                disableSessionTags=new.get("disableSessionTags", False),
            )
        found = self.read(resource_id, new) or {}
        self.retag(found["associationArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_pod_identity_association(
            clusterName=inputs["clusterName"], associationId=resource_id
        )
