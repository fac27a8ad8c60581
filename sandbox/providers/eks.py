"""Stand-in for the components of pulumi-eks 4.4.0, as far as the program uses them.

It makes the children that the real component makes of the same arguments (nodejs/eks/cluster and
nodejs/eks/nodes in pulumi/pulumi-eks). Arguments that would make others are refused.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
from pulumi.provider import ConstructResult, Provider, main

from sandbox.machine.lifetime import end_with_engine
from sandbox.machine.neighbours import keep_out

Value: TypeAlias = Any
"""An input as Pulumi hands it to a component: a plain value, an output or a resource."""

Inputs = Mapping[str, Value]

# The AWS SDK that pulumi-eks 4.4.0 was built with: without an explicit provider, its children
# bring a second default provider of this version.
_AWS_VERSION = "7.48.0"

_CLUSTER_INPUTS = {
    "accessEntries",
    "authenticationMode",
    "bootstrapSelfManagedAddons",
    "clusterSecurityGroup",
    "clusterTags",
    "corednsAddonOptions",
    "createInstanceRole",
    "createOidcProvider",
    "deletionProtection",
    "enabledClusterLogTypes",
    "encryptionConfigKeyArn",
    "endpointPrivateAccess",
    "endpointPublicAccess",
    "kubeProxyAddonOptions",
    "name",
    "privateSubnetIds",
    "publicAccessCidrs",
    "publicSubnetIds",
    "serviceRole",
    "skipDefaultNodeGroup",
    "skipDefaultSecurityGroups",
    "subnetIds",
    "tags",
    "upgradePolicy",
    "useDefaultVpcCni",
    "version",
    "vpcId",
}
# With any other value the real component makes node groups, security groups, add-ons and so on.
_CLUSTER_VALUES: Mapping[str, tuple[Any, ...]] = {
    "corednsAddonOptions": (None, {"enabled": False}),
    "createInstanceRole": (None, False),
    "createOidcProvider": (None, False),
    "kubeProxyAddonOptions": ({"enabled": False},),
    "skipDefaultNodeGroup": (True,),
    "skipDefaultSecurityGroups": (True,),
    "useDefaultVpcCni": (True,),
}
_ACCESS_ENTRY_INPUTS = {
    "accessPolicies",
    "kubernetesGroups",
    "principalArn",
    "tags",
    "type",
    "username",
}
_NODE_GROUP_INPUTS = {
    "amiType",
    "capacityType",
    "cluster",
    "clusterName",
    "diskSize",
    "forceUpdateVersion",
    "ignoreScalingChanges",
    "instanceTypes",
    "labels",
    "launchTemplate",
    "nodeGroupName",
    "nodeGroupNamePrefix",
    "nodeRole",
    "nodeRoleArn",
    "releaseVersion",
    "scalingConfig",
    "subnetIds",
    "tags",
    "taints",
    "version",
}

_READINESS_ATTEMPTS = 60
_READINESS_PAUSE = 5.0


def _refuse_unknown(kind: str, inputs: Inputs, known: set[str]) -> None:
    unknown = sorted(inputs.keys() - known)
    if unknown:
        raise pulumi.InputPropertyError(
            unknown[0], f"the sandbox's {kind} does not know the input {', '.join(unknown)}"
        )


def _refusal(message: str) -> pulumi.InputPropertiesError:
    # With no list of properties, the SDK's server fails on its own error.
    return pulumi.InputPropertiesError(message, [])


def _children(parent: pulumi.Resource, **options: Value) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=parent, version=_AWS_VERSION, **options)


class Cluster(pulumi.ComponentResource):
    """An EKS control plane with access entries and a Kubernetes provider."""

    def __init__(
        self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        _check_cluster_inputs(inputs)
        super().__init__("eks:index:Cluster", name, None, opts)
        mode = inputs.get("authenticationMode")
        service_role = pulumi.Output.from_input(inputs["serviceRole"])
        subnet_ids = _cluster_subnet_ids(inputs)

        own_group = inputs.get("clusterSecurityGroup")
        if own_group is not None:
            own_group = pulumi.Output.from_input(own_group)
        encryption_config = None
        if inputs.get("encryptionConfigKeyArn"):
            encryption_config = pulumi.Output.from_input(inputs["encryptionConfigKeyArn"]).apply(
                lambda arn: {"provider": {"keyArn": arn}, "resources": ["secrets"]}
            )
        properties: dict[str, Value] = {
            "access_config": {
                "authentication_mode": mode,
                "bootstrap_cluster_creator_admin_permissions": True,
            }
            if mode
            else None,
            "bootstrap_self_managed_addons": inputs.get("bootstrapSelfManagedAddons", True),
            "deletion_protection": inputs.get("deletionProtection"),
            "enabled_cluster_log_types": inputs.get("enabledClusterLogTypes"),
            "encryption_config": encryption_config,
            "name": inputs.get("name"),
            "role_arn": service_role.apply(lambda role: role.arn),
            "tags": pulumi.Output.all(inputs.get("clusterTags"), inputs.get("tags")).apply(
                lambda tags: {"Name": f"{name}-eksCluster", **(tags[0] or {}), **(tags[1] or {})}
            ),
            "upgrade_policy": inputs.get("upgradePolicy"),
            "version": inputs.get("version"),
            "vpc_config": {
                "endpoint_private_access": inputs.get("endpointPrivateAccess"),
                "endpoint_public_access": inputs.get("endpointPublicAccess"),
                "public_access_cidrs": inputs.get("publicAccessCidrs"),
                "security_group_ids": None if own_group is None else [own_group.id],
                "subnet_ids": subnet_ids,
            },
        }
        cluster = aws.eks.Cluster(
            f"{name}-eksCluster",
            **properties,
            opts=_children(
                self,
                ignore_changes=[
                    "accessConfig.bootstrapClusterCreatorAdminPermissions",
                    "bootstrapSelfManagedAddons",
                ],
            ),
        )

        endpoint = cluster.endpoint
        if inputs.get("endpointPublicAccess") and not pulumi.runtime.is_dry_run():
            endpoint = endpoint.apply(_wait_until_ready)
        kubeconfig = pulumi.Output.all(
            name=cluster.name,
            arn=cluster.arn,
            endpoint=endpoint,
            authority=cluster.certificate_authority.apply(lambda authority: authority["data"]),
        ).apply(lambda of: _kubeconfig(**of))
        kubeconfig_json = kubeconfig.apply(lambda config: json.dumps(config, separators=(",", ":")))
        provider = k8s.Provider(
            f"{name}-eks-k8s",
            kubeconfig=kubeconfig_json,
            opts=pulumi.ResourceOptions(parent=self),
        )
        node_access = _node_access(name, self, provider) if mode != "API" else None
        access_entries = inputs.get("accessEntries") or {}
        for key, entry in access_entries.items():
            _access_entry(f"{name}-{key}", self, cluster, entry)

        issuer = cluster.identities.apply(_issuer)
        core = {
            "accessEntries": list(access_entries.values()),
            "autoModeNodeRoleName": "",
            "cluster": cluster,
            "clusterIamRole": service_role,
            "clusterSecurityGroup": own_group,
            "eksNodeAccess": node_access,
            "encryptionConfig": encryption_config,
            "endpoint": endpoint,
            "instanceRoles": [],
            "kubeconfig": kubeconfig,
            "nodeGroupOptions": _given({"version": inputs.get("version")}),
            "privateSubnetIds": inputs.get("privateSubnetIds"),
            "provider": provider,
            "publicSubnetIds": inputs.get("publicSubnetIds"),
            "storageClasses": {},
            "subnetIds": subnet_ids,
            "tags": inputs.get("tags"),
            "vpcId": inputs["vpcId"],
        }
        security_group_id = cluster.vpc_config.apply(lambda vpc: vpc.cluster_security_group_id)
        self.state: dict[str, Value] = {
            "autoModeNodeRoleName": "",
            "clusterIngressRuleId": "",
            "clusterSecurityGroupId": security_group_id,
            "core": pulumi.Output.from_input(_given(core)),
            "defaultNodeGroupAsgName": "",
            "eksCluster": cluster,
            "fargateProfileId": "",
            "fargateProfileStatus": "",
            "instanceRoles": [],
            "kubeconfig": kubeconfig,
            "kubeconfigJson": kubeconfig_json,
            "nodeSecurityGroupId": security_group_id,
            "oidcIssuer": issuer.apply(lambda url: url.replace("https://", "")),
            "oidcProviderArn": "",
            "oidcProviderUrl": issuer,
        }
        self.register_outputs(self.state)


def _issuer(identities: Sequence[aws.eks.outputs.ClusterIdentity]) -> str:
    oidcs = identities[0].oidcs if identities else None
    return oidcs[0].issuer or "" if oidcs else ""


def _given(values: Mapping[str, Any]) -> dict[str, Value]:
    return {key: value for key, value in values.items() if value is not None}


def _check_cluster_inputs(inputs: Inputs) -> None:
    _refuse_unknown("eks.Cluster", inputs, _CLUSTER_INPUTS)
    for name, allowed in _CLUSTER_VALUES.items():
        if inputs.get(name) not in allowed:
            raise pulumi.InputPropertyError(
                name,
                f"{name} is {inputs.get(name)}: the sandbox's eks.Cluster needs {allowed[-1]}, "
                "with anything else pulumi-eks makes resources that the sandbox does not",
            )
    for name in ("serviceRole", "vpcId"):
        if inputs.get(name) is None:
            raise pulumi.InputPropertyError(
                name,
                f"the sandbox's eks.Cluster needs {name}: without it, pulumi-eks brings its own",
            )
    for key, entry in (inputs.get("accessEntries") or {}).items():
        _refuse_unknown(f"access entry {key}", entry, _ACCESS_ENTRY_INPUTS)
    if not shutil.which("aws"):
        raise _refusal(
            "Could not find aws CLI for EKS. See https://docs.aws.amazon.com/cli/latest/userguide/"
            "getting-started-install.html for installation instructions."
        )
    mode = inputs.get("authenticationMode")
    if mode not in {None, "API", "API_AND_CONFIG_MAP", "CONFIG_MAP"}:
        raise _refusal(
            f"Invalid value for authenticationMode: {mode}. "
            "Allowed values are: CONFIG_MAP, API_AND_CONFIG_MAP, API."
        )
    if inputs.get("accessEntries") and mode not in {"API", "API_AND_CONFIG_MAP"}:
        given = f"set to '{mode}'" if mode else "not set"
        raise _refusal(
            f"The 'accessEntries' property is not supported when 'authenticationMode' is {given}."
        )
    if inputs.get("publicAccessCidrs") and not inputs.get("endpointPublicAccess", True):
        raise _refusal("`publicAccessCidrs` can only be set when `endpointPublicAccess` is true")


def _cluster_subnet_ids(inputs: Inputs) -> pulumi.Output[list[str]]:
    public, private = inputs.get("publicSubnetIds"), inputs.get("privateSubnetIds")
    if inputs.get("subnetIds") is None:
        return pulumi.Output.all(public or [], private or []).apply(
            lambda both: [*both[0], *both[1]]
        )
    if public is not None or private is not None:
        raise _refusal(
            "subnetIds, and the use of publicSubnetIds and/or privateSubnetIds are mutually "
            "exclusive. Choose a single approach."
        )
    return pulumi.Output.from_input(inputs["subnetIds"])


def _access_entry(
    name: str, component: Cluster, cluster: aws.eks.Cluster, entry: Mapping[str, Any]
) -> None:
    access_entry = aws.eks.AccessEntry(
        name,
        cluster_name=cluster.name,
        kubernetes_groups=entry.get("kubernetesGroups"),
        principal_arn=entry["principalArn"],
        tags=entry.get("tags"),
        type=entry.get("type"),
        user_name=entry.get("username"),
        opts=_children(component, depends_on=[cluster]),
    )
    for key, policy in (entry.get("accessPolicies") or {}).items():
        association = pulumi.Output.from_input(policy)
        aws.eks.AccessPolicyAssociation(
            f"{name}-{key}",
            access_scope=association.apply(lambda of: of["accessScope"]),
            cluster_name=cluster.name,
            policy_arn=association.apply(lambda of: of["policyArn"]),
            principal_arn=entry["principalArn"],
            opts=_children(access_entry, depends_on=[access_entry]),
        )


def _node_access(name: str, component: Cluster, provider: k8s.Provider) -> k8s.core.v1.ConfigMap:
    return k8s.core.v1.ConfigMap(
        f"{name}-nodeAccess",
        immutable=False,
        metadata={
            "name": "aws-auth",
            "namespace": "kube-system",
            "annotations": {"pulumi.com/patchForce": "true"},
        },
        data={"mapRoles": "[]\n"},
        opts=pulumi.ResourceOptions(parent=component, provider=provider),
    )


def _kubeconfig(name: str, arn: str, endpoint: str, authority: str) -> dict[str, Value]:
    region = arn.split(":")[3]
    cluster = {"server": endpoint, "certificate-authority-data": authority}
    token = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": f"--region {region} eks get-token --cluster-name {name} --output json".split(),
        "env": [
            {
                "name": "KUBERNETES_EXEC_INFO",
                "value": '{"apiVersion": "client.authentication.k8s.io/v1beta1"}',
            }
        ],
    }
    return {
        "apiVersion": "v1",
        "clusters": [{"cluster": cluster, "name": "kubernetes"}],
        "contexts": [{"context": {"cluster": "kubernetes", "user": "aws"}, "name": "aws"}],
        "current-context": "aws",
        "kind": "Config",
        "users": [{"name": "aws", "user": {"exec": token}}],
    }


async def _wait_until_ready(endpoint: str) -> str:
    """Return the endpoint when it answers, or after five minutes in any case."""
    for attempt in range(_READINESS_ATTEMPTS):
        if await asyncio.to_thread(_is_healthy, endpoint):
            break
        left = round((_READINESS_ATTEMPTS - attempt) * _READINESS_PAUSE)
        pulumi.log.info(
            f"Waiting up to ({left}) more seconds for cluster readiness...", ephemeral=True
        )
        await asyncio.sleep(_READINESS_PAUSE)
    return endpoint


def _is_healthy(endpoint: str) -> bool:
    # The API server's certificate is signed by an authority of the cluster's own.
    context = ssl._create_unverified_context()  # noqa: S323
    address = urlsplit(endpoint)
    connection = http.client.HTTPSConnection(
        address.hostname or "", address.port, timeout=1, context=context
    )
    try:
        connection.request("GET", f"{address.path}/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


class ManagedNodeGroup(pulumi.ComponentResource):
    """A managed node group of a cluster."""

    def __init__(
        self, name: str, inputs: Inputs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        _refuse_unknown("eks.ManagedNodeGroup", inputs, _NODE_GROUP_INPUTS)
        if (inputs.get("nodeRole") is None) == (inputs.get("nodeRoleArn") is None):
            raise pulumi.InputPropertyError(
                "nodeRole",
                "exactly one of nodeRole and nodeRoleArn must be given to a managed node group",
            )
        super().__init__("eks:index:ManagedNodeGroup", name, None, opts)
        core = pulumi.Output.from_input(inputs["cluster"])
        cluster = core.apply(_cluster_of)

        node_role_arn = inputs.get("nodeRoleArn")
        if node_role_arn is None:
            node_role_arn = pulumi.Output.from_input(inputs["nodeRole"]).apply(lambda r: r.arn)
        release = inputs.get("version")
        if release is None and inputs.get("launchTemplate") is None:
            release = cluster.apply(lambda c: c.version)
        properties: dict[str, Value] = {
            "ami_type": inputs.get("amiType"),
            "capacity_type": inputs.get("capacityType"),
            "cluster_name": inputs.get("clusterName") or cluster.apply(lambda c: c.name),
            "disk_size": inputs.get("diskSize"),
            "force_update_version": inputs.get("forceUpdateVersion"),
            "instance_types": inputs.get("instanceTypes"),
            "labels": inputs.get("labels"),
            "launch_template": inputs.get("launchTemplate"),
            "node_group_name": inputs.get("nodeGroupName"),
            "node_group_name_prefix": inputs.get("nodeGroupNamePrefix"),
            "node_role_arn": node_role_arn,
            "release_version": inputs.get("releaseVersion"),
            "scaling_config": pulumi.Output.from_input(inputs.get("scalingConfig") or {}).apply(
                lambda of: {"desiredSize": 2, "minSize": 1, "maxSize": 2, **of}
            ),
            "subnet_ids": inputs.get("subnetIds") or core.apply(lambda c: c["subnetIds"]),
            "tags": inputs.get("tags"),
            "taints": inputs.get("taints"),
            "version": release,
        }
        ignored = ["scalingConfig.desiredSize"] if inputs.get("ignoreScalingChanges") else None
        node_group = aws.eks.NodeGroup(
            name,
            **properties,
            opts=_children(self, depends_on=core.apply(_node_access_of), ignore_changes=ignored),
        )
        self.state: dict[str, Value] = {"nodeGroup": node_group, "placementGroupName": ""}
        self.register_outputs(self.state)


def _cluster_of(core: Value) -> Value:
    if not isinstance(core, Mapping):
        raise pulumi.InputPropertyError("cluster", "give cluster.core, not the cluster itself")
    return core["cluster"]


def _node_access_of(core: Mapping[str, Any]) -> list[pulumi.Resource]:
    return [core["eksNodeAccess"]] if core.get("eksNodeAccess") is not None else []


_COMPONENTS: Mapping[str, Callable[[str, Inputs, pulumi.ResourceOptions | None], Value]] = {
    "eks:index:Cluster": Cluster,
    "eks:index:ManagedNodeGroup": ManagedNodeGroup,
}


class Eks(Provider):
    """The components under the tokens of pulumi-eks."""

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Inputs,
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        if resource_type not in _COMPONENTS:
            raise _refusal(f"{resource_type} is not part of the sandbox")
        component = _COMPONENTS[resource_type](name, inputs, options)
        return ConstructResult(component.urn, component.state)


def serve() -> None:
    """Answer the engine until it ends this process or goes away itself."""
    end_with_engine()
    keep_out()
    main(Eks(version("pulumi-eks")), sys.argv[1:])
