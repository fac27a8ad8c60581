"""Clusters, node groups, add-ons, access entries and pod identities."""

from __future__ import annotations

from typing import ClassVar

from sandbox.machine.aws_api import Answer, find
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    LOCAL,
    OFF,
    ON,
    REPLACES,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    same,
    shape,
)
from sandbox.providers.aws.tags import retag
from sandbox.providers.protocol import PluginError, Properties, Value


class EksType(ResourceType):
    """A resource of EKS, tagged by its ARN."""

    service = "eks"

    def tags(self, arn: str) -> dict[str, str]:
        answer: dict[str, str] = self.api.list_tags_for_resource(resourceArn=arn)["tags"]
        return answer


def _time(value: Value) -> str:
    return str(value.isoformat()) if value else ""


class Cluster(EksType):
    pulumi_type = "aws:eks/cluster:Cluster"
    auto_name = AutoName()
    inputs: ClassVar = {
        "accessConfig": Input(
            computed=True,
            shape=shape(
                authenticationMode=CHOSEN,
                # What is not said is not recorded as true, though AWS takes it so.
                bootstrapClusterCreatorAdminPermissions=Input(default=False, replaces=True),
            ),
        ),
        "bootstrapSelfManagedAddons": Input(local=True, replaces=True, default=True),
        "deletionProtection": OFF,
        "enabledClusterLogTypes": UPDATES,
        "encryptionConfig": Input(shape=shape("resources", provider=shape("keyArn"))),
        "forceUpdateVersion": LOCAL,
        "kubernetesNetworkConfig": Input(
            computed=True, replaces=True, shape=shape(ipFamily=CHOSEN, serviceIpv4Cidr=CHOSEN)
        ),
        "name": Input(replaces=True),
        "roleArn": KEY,
        "tags": UPDATES,
        "upgradePolicy": Input(computed=True, shape=shape(supportType=CHOSEN)),
        "version": CHOSEN,
        "vpcConfig": Input(
            required=True,
            adds=shape("clusterSecurityGroupId", "vpcId"),
            shape=shape(
                "securityGroupIds",
                "subnetIds",
                endpointPrivateAccess=OFF,
                endpointPublicAccess=ON,
                publicAccessCidrs=CHOSEN,
            ),
        ),
    }
    api_inputs = ("CreateCluster", "UpdateClusterVersion")
    members: ClassVar = {
        "enabledClusterLogTypes": "logging.clusterLogging[].types",
        "encryptionConfig": "encryptionConfig[]",
        "forceUpdateVersion": "force",
        "vpcConfig": "resourcesVpcConfig",
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
        encryption = inputs.get("encryptionConfig")
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
        self.api.create_cluster(
            name=inputs["name"],
            roleArn=inputs["roleArn"],
            resourcesVpcConfig=inputs["vpcConfig"],
            logging=_logging(inputs),
            tags=inputs.get("tagsAll", {}),
            **given,
        )
        return str(inputs["name"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        wait_for(
            lambda: self.api.describe_cluster(name=resource_id)["cluster"]["status"] == "ACTIVE",
            f"cluster {resource_id}",
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.describe_cluster, name=resource_id)
        if answer is None:
            return None
        cluster = answer["cluster"]
        network = cluster["resourcesVpcConfig"]
        encryption = (cluster.get("encryptionConfig") or [None])[0]
        bootstrap = inputs.get("accessConfig", {}).get(
            "bootstrapClusterCreatorAdminPermissions", False
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
        if key == "encryptionConfig":
            # Another key is an update, in which nothing is done.
            return key not in new
        return super()._replaces(key, old, new)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if "encryptionConfig" in new and "encryptionConfig" not in old:
            encryption = [new["encryptionConfig"]]
            self.api.associate_encryption_config(
                clusterName=resource_id, encryptionConfig=encryption
            )
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
        retag(self.api, self.aws.arn("eks", f"cluster/{resource_id}"), old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_cluster(name=resource_id)


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
        "instanceTypes": Input(replaces=True, computed=True, ordered=True),
        "labels": UPDATES,
        "launchTemplate": Input(
            shape=shape(
                "version",
                id=Input(computed=True, replaces=True),
                name=Input(computed=True, replaces=True),
            )
        ),
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
    api_inputs = ("CreateNodegroup", "UpdateNodegroupVersion")
    members: ClassVar = {
        "forceUpdateVersion": "force",
        "nodeRoleArn": "nodeRole",
        "subnetIds": "subnets",
    }
    outputs = ("arn", "resources", "status")

    def create(self, inputs: Properties) -> str:
        cluster_name, name = inputs["clusterName"], inputs["nodeGroupName"]
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

    def finish(self, resource_id: str, inputs: Properties) -> None:
        _require_ready("Node Group", resource_id, self._describe(resource_id))

    def _describe(self, resource_id: str) -> Answer:
        cluster_name, name = resource_id.split(":", 1)
        answer = find(self.api.describe_nodegroup, clusterName=cluster_name, nodegroupName=name)
        return answer["nodegroup"] if answer else None

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
        if "launchTemplate" in versions:  # by its id alone, though the name is known
            template = versions["launchTemplate"]
            versions["launchTemplate"] = {key: template[key] for key in ("id", "version")}
        if versions:
            self.api.update_nodegroup_version(**here, **versions)
        retag(self.api, self._describe(resource_id)["nodegroupArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, name = resource_id.split(":", 1)
        self.api.delete_nodegroup(clusterName=cluster_name, nodegroupName=name)


class Addon(EksType):
    pulumi_type = "aws:eks/addon:Addon"
    inputs: ClassVar = {
        "addonName": KEY,
        "addonVersion": CHOSEN,
        "clusterName": KEY,
        "configurationValues": CHOSEN,
        "podIdentityAssociations": Input(shape=shape("roleArn", "serviceAccount")),
        "preserve": LOCAL,
        "resolveConflictsOnCreate": Input(local=True, allowed=("NONE", "OVERWRITE")),
        "resolveConflictsOnUpdate": LOCAL,
        "serviceAccountRoleArn": UPDATES,
        "tags": UPDATES,
    }
    api_inputs = ("CreateAddon", "DeleteAddon")
    members: ClassVar = {
        "resolveConflictsOnCreate": "resolveConflicts",
        "resolveConflictsOnUpdate": "resolveConflicts",
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
        self.api.create_addon(
            clusterName=cluster_name,
            addonName=name,
            tags=inputs.get("tagsAll", {}),
            **{key: inputs[key] for key in self._settings if key in inputs},
        )
        return f"{cluster_name}:{name}"

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
            self.api.update_addon(clusterName=cluster_name, addonName=name, **changes)
        retag(self.api, self._describe(resource_id)["addonArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, name = resource_id.split(":", 1)
        self.api.delete_addon(
            clusterName=cluster_name, addonName=name, preserve=inputs.get("preserve", False)
        )


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
    api_inputs = ("CreateAccessEntry",)
    outputs = ("accessEntryArn", "createdAt", "modifiedAt")

    def create(self, inputs: Properties) -> str:
        given = {
            api: inputs[key]
            for key, api in {"kubernetesGroups": "kubernetesGroups", "userName": "username"}.items()
            if key in inputs
        }
        self.api.create_access_entry(
            clusterName=inputs["clusterName"],
            principalArn=inputs["principalArn"],
            type=inputs.get("type", "STANDARD"),
            tags=inputs.get("tagsAll", {}),
            **given,
        )
        return f"{inputs['clusterName']}:{inputs['principalArn']}"

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
        retag(self.api, found["accessEntryArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        cluster_name, arn = resource_id.split(":", 1)
        self.api.delete_access_entry(clusterName=cluster_name, principalArn=arn)


class AccessPolicyAssociation(EksType):
    pulumi_type = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
    inputs: ClassVar = {
        "accessScope": Input(required=True, replaces=True, shape=shape("namespaces", "type")),
        "clusterName": KEY,
        "policyArn": KEY,
        "principalArn": KEY,
    }
    api_inputs = ("AssociateAccessPolicy",)
    outputs = ("associatedAt", "modifiedAt")

    def create(self, inputs: Properties) -> str:
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
    api_inputs = ("CreatePodIdentityAssociation",)
    outputs = ("associationArn", "associationId", "externalId")

    def imported(self, given: str) -> tuple[str, Properties]:
        cluster_name, _, association = given.partition(",")
        if not association:
            raise PluginError(f"unexpected format for ID ([{given}]), expected more than one part")
        return association, {"clusterName": cluster_name}

    def create(self, inputs: Properties) -> str:
        answer = self.api.create_pod_identity_association(
            clusterName=inputs["clusterName"],
            namespace=inputs["namespace"],
            serviceAccount=inputs["serviceAccount"],
            roleArn=inputs["roleArn"],
            disableSessionTags=inputs.get("disableSessionTags", False),
            tags=inputs.get("tagsAll", {}),
        )
        return str(answer["association"]["associationId"])

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
            self.api.update_pod_identity_association(
                clusterName=new["clusterName"],
                associationId=resource_id,
                roleArn=new["roleArn"],
                disableSessionTags=new.get("disableSessionTags", False),
            )
        found = self.read(resource_id, new) or {}
        retag(self.api, found["associationArn"], old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_pod_identity_association(
            clusterName=inputs["clusterName"], associationId=resource_id
        )
