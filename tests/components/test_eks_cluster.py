"""Decisions of EksCluster. What pulumi-eks makes of them is seen on the sandbox only: its
components run elsewhere, so that a test has to give their outputs."""

import json
from dataclasses import replace

import pulumi
import pulumi_aws as aws
import pytest

from components import eks_cluster
from components.capacity import EXECUTORS, NodeGroup
from components.eks_cluster import EksCluster, EksClusterArgs
from tests.components.conftest import (
    ACCOUNT,
    AUTO_SCALING,
    Engine,
    Resource,
    leave_references_alone,
    made,
)

NAME = "mwaa-on-eks-test"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1"
ADMIN = "arn:aws:iam::123456789012:role/team/admin"
VIEWER = "arn:aws:iam::123456789012:role/viewer"

ARGS = EksClusterArgs(
    cluster_name=NAME,
    kubernetes_version="1.35",
    authentication_mode="API_AND_CONFIG_MAP",
    vpc_id="vpc-1",
    control_plane_subnet_ids=["subnet-a", "subnet-b"],
    subnet_ids=["subnet-a", "subnet-b", "subnet-c"],
    kms_key_arn=KEY,
    public_access_cidrs=("203.0.113.0/24",),
    private_access_cidrs=(),
    private_access_security_group_ids=(),
    admin_principal_arns=(ADMIN,),
    viewer_principal_arns=(VIEWER,),
    network_policy_mode="standard",
    node_group=NodeGroup(
        instance_types=("m7i.xlarge", "m6i.xlarge"),
        ami_type="AL2023_x86_64_STANDARD",
        min_size=3,
        max_size=9,
        disk_gib=100,
    ),
    spot_node_group=None,
    asleep=False,
    log_retention_days=365,
    deletion_protection=False,
    after=(),
    account=ACCOUNT,
    tags={"team": "data"},
)

ENTRY = "aws:eks/accessEntry:AccessEntry"
GRANT = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
ADDON = "aws:eks/addon:Addon"
ROLE = "aws:iam/role:Role"


@pytest.fixture(autouse=True)
def _references(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_references_alone(monkeypatch)


def run(engine: Engine, args: EksClusterArgs = ARGS) -> dict[str, Resource]:
    engine.outputs["eks:index:Cluster"] = {
        "eksCluster": made(
            engine,
            "aws:eks/cluster:Cluster",
            "control-plane",
            {"name": NAME, "vpcConfig": {"clusterSecurityGroupId": "sg-cluster"}},
        ),
        "kubeconfigJson": "{}",
    }
    engine.outputs["eks:index:ManagedNodeGroup"] = {
        "nodeGroup": made(
            engine,
            "aws:eks/nodeGroup:NodeGroup",
            "node-group",
            {"clusterName": NAME, "nodeGroupName": "nodes-1a2b3c4", **AUTO_SCALING},
        )
    }

    def program() -> EksCluster:
        provider = aws.Provider("aws", region="us-west-2")
        return EksCluster("platform", args, pulumi.ResourceOptions(providers=[provider]))

    return engine.run(program)


def test_the_control_plane_is_closed_encrypted_and_logged(engine: Engine) -> None:
    run(engine)

    inputs = engine.one("eks:index:Cluster").inputs
    assert inputs["endpointPrivateAccess"] is True
    assert inputs["publicAccessCidrs"] == ["203.0.113.0/24"]
    assert inputs["encryptionConfigKeyArn"] == KEY
    assert set(inputs["enabledClusterLogTypes"]) == {
        "api",
        "audit",
        "authenticator",
        "controllerManager",
        "scheduler",
    }
    assert inputs["authenticationMode"] == "API_AND_CONFIG_MAP"
    assert inputs["upgradePolicy"] == {"supportType": "STANDARD"}


def test_the_group_of_the_nodes_has_the_name_that_eks_gave_it(engine: Engine) -> None:
    outputs = run(engine)

    assert outputs["autoscaling_group_name"].inputs["value"] == "eks-nodes-1a2b3c4"


def test_without_cidrs_nobody_comes_from_the_internet(engine: Engine) -> None:
    run(engine, replace(ARGS, public_access_cidrs=()))

    inputs = engine.one("eks:index:Cluster").inputs
    assert inputs["endpointPrivateAccess"] is True
    assert inputs["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in inputs  # pulumi-eks refuses it when access is off


def test_who_is_named_reaches_the_api_server_privately_before_there_is_one(
    engine: Engine,
) -> None:
    private = replace(
        ARGS,
        public_access_cidrs=(),
        private_access_cidrs=("10.8.0.0/16",),
        private_access_security_group_ids=("sg-0a1b2c3d",),
    )
    run(engine, private)

    rules = engine.all("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert {rule.inputs["securityGroupId"] for rule in rules} == {"platform-callers-id"}
    peers = {
        (rule.inputs.get("cidrIpv4"), rule.inputs.get("referencedSecurityGroupId"))
        for rule in rules
    }
    assert peers == {("10.8.0.0/16", None), (None, "sg-0a1b2c3d")}
    ports = [[rule.inputs[key] for key in ("ipProtocol", "fromPort", "toPort")] for rule in rules]
    assert ports == [["tcp", 443, 443]] * 2
    # pulumi-eks makes aws-auth in the cluster before it tells of anything.
    cluster = engine.one("eks:index:Cluster")
    assert "platform-callers" in cluster.inputs["clusterSecurityGroup"]
    assert {rule.name for rule in rules} <= engine.waits_for(cluster)


def test_what_is_let_in_besides_is_let_into_the_group_that_eks_made(engine: Engine) -> None:
    consumers = run(engine)

    assert consumers["cluster_security_group_id"].inputs["value"] == "sg-cluster"


def test_pulumi_eks_makes_the_control_plane_and_nothing_else(engine: Engine) -> None:
    run(engine)

    inputs = engine.one("eks:index:Cluster").inputs
    assert inputs["bootstrapSelfManagedAddons"] is False
    assert inputs["useDefaultVpcCni"] is True
    assert inputs["corednsAddonOptions"] == {"enabled": False}
    assert inputs["kubeProxyAddonOptions"] == {"enabled": False}
    assert inputs["skipDefaultNodeGroup"] is True
    assert inputs["skipDefaultSecurityGroups"] is True
    assert inputs["createOidcProvider"] is False
    assert inputs["vpcId"] == "vpc-1"  # it would look for a default VPC


def test_the_log_group_is_there_before_eks_would_make_it(engine: Engine) -> None:
    run(engine)

    logs = engine.one("aws:cloudwatch/logGroup:LogGroup")
    assert logs.inputs["name"] == f"/aws/eks/{NAME}/cluster"
    assert logs.inputs["retentionInDays"] == 365
    assert logs.inputs["kmsKeyId"] == KEY
    assert logs.name in engine.waits_for(engine.one("eks:index:Cluster"))


def test_the_control_plane_may_work_from_its_start_to_its_end(engine: Engine) -> None:
    run(engine)

    assert "platform-cluster-policy" in engine.waits_for(engine.one("eks:index:Cluster"))


def test_remote_components_get_the_one_aws_provider(engine: Engine) -> None:
    run(engine)

    for typ in ("eks:index:Cluster", "eks:index:ManagedNodeGroup"):
        provider = engine.one(typ).request.providers["aws"]
        assert provider.endswith("pulumi:providers:aws::aws::aws-id")


def test_nodes_wait_for_their_addons_and_policies_and_go_before_them(engine: Engine) -> None:
    run(engine)

    waits = engine.waits_for(engine.one("eks:index:ManagedNodeGroup"))
    assert waits >= {addon.name for addon in engine.all(ADDON)}
    assert waits >= {
        attachment.name
        for attachment in engine.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
        if attachment.name.startswith(("platform-node", "platform-cni"))
    }
    assert {addon.inputs["addonName"] for addon in engine.all(ADDON)} == {
        "vpc-cni",
        "kube-proxy",
        "eks-pod-identity-agent",
    }


def test_no_addon_outlives_its_deletion(engine: Engine) -> None:
    run(engine)

    assert [addon.inputs["preserve"] for addon in engine.all(ADDON)] == [False] * 3


def test_network_policies_are_enforced(engine: Engine) -> None:
    run(engine)

    cni = engine.one(ADDON, "vpc-cni").inputs
    assert json.loads(cni["configurationValues"]) == {"enableNetworkPolicy": "true"}
    (association,) = cni["podIdentityAssociations"]
    assert association == {
        "serviceAccount": "aws-node",
        "roleArn": "arn:aws:mock:::platform-cni",
    }


def test_network_policies_may_come_before_a_pods_first_connection(engine: Engine) -> None:
    run(engine, replace(ARGS, network_policy_mode="strict"))

    cni = engine.one(ADDON, "vpc-cni").inputs
    assert json.loads(cni["configurationValues"]) == {
        "enableNetworkPolicy": "true",
        "env": {"NETWORK_POLICY_ENFORCING_MODE": "strict"},
    }


def test_a_node_is_encrypted_and_hides_its_role_from_pods(engine: Engine) -> None:
    run(engine)

    template = engine.one("aws:ec2/launchTemplate:LaunchTemplate").inputs
    (disk,) = template["blockDeviceMappings"]
    assert (disk["ebs"]["volumeType"], disk["ebs"]["encrypted"]) == ("gp3", "true")
    assert disk["ebs"]["volumeSize"] == 100
    assert disk["ebs"]["kmsKeyId"] == KEY  # not the account's default key, which may be anybody's
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert {s["resourceType"]: s["tags"]["team"] for s in template["tagSpecifications"]} == {
        "instance": "data",
        "volume": "data",
        "network-interface": "data",
    }
    nodes = engine.one("eks:index:ManagedNodeGroup").inputs
    assert nodes["launchTemplate"]["id"] == "platform-nodes-id"


def test_the_autoscaler_owns_the_number_of_nodes(engine: Engine) -> None:
    run(engine)

    group = engine.one("eks:index:ManagedNodeGroup")
    assert group.inputs["scalingConfig"] == {"desiredSize": 3, "minSize": 3, "maxSize": 9}
    assert len(group.request.transforms) == 1
    bounds = engine.one("pulumi-python:dynamic:Resource", "platform-node-bounds")
    bounded = {k: v for k, v in bounds.inputs.items() if k != "__provider"}
    assert bounded == {
        "cluster_name": NAME,
        "node_group_name": "nodes-1a2b3c4",
        "min_size": 3,
        "max_size": 9,
        "region": "us-west-2",
        "account_id": "123456789012",
    }
    assert "node-group" in engine.waits_for(bounds)


SPOT = replace(
    ARGS.node_group, instance_types=("r7i.2xlarge", "r6i.2xlarge"), min_size=0, max_size=20
)


def test_nodes_for_executors_are_on_spot_capacity_in_all_zones_and_none_at_first(
    engine: Engine,
) -> None:
    run(engine, replace(ARGS, spot_node_group=SPOT))

    spot = engine.one("eks:index:ManagedNodeGroup", "platform-spot-nodes").inputs
    others = engine.one("eks:index:ManagedNodeGroup", "platform-nodes").inputs
    assert spot["capacityType"] == "SPOT"
    assert spot["instanceTypes"] == ["r7i.2xlarge", "r6i.2xlarge"]
    assert spot["scalingConfig"] == {"desiredSize": 0, "minSize": 0, "maxSize": 20}
    for same in ("amiType", "launchTemplate", "nodeRoleArn", "subnetIds", "version"):
        assert spot[same] == others[same]
    for other in ("capacityType", "labels", "tags", "taints"):
        assert other not in others
    bounds = engine.one("pulumi-python:dynamic:Resource", "platform-spot-node-bounds").inputs
    assert (bounds["min_size"], bounds["max_size"]) == (0, 20)


def test_the_autoscaler_knows_nodes_for_executors_before_there_is_one(engine: Engine) -> None:
    run(engine, replace(ARGS, spot_node_group=SPOT))

    spot = engine.one("eks:index:ManagedNodeGroup", "platform-spot-nodes").inputs
    key, value = EXECUTORS
    assert spot["labels"] == {key: value}
    # It overlooks taints without a value (kubernetes/autoscaler, aws_wrapper.go).
    assert spot["taints"] == [{"key": key, "value": value, "effect": "NO_SCHEDULE"}]
    # Less than the whole disk: the kubelet keeps a tenth, and then some.
    resources = "k8s.io/cluster-autoscaler/node-template/resources"
    assert spot["tags"] == {f"{resources}/ephemeral-storage": "85Gi"}


def test_nodes_for_executors_are_there_as_long_as_anything_in_the_cluster(engine: Engine) -> None:
    run(engine, replace(ARGS, spot_node_group=SPOT))

    spot = engine.one("eks:index:ManagedNodeGroup", "platform-spot-nodes")
    assert engine.waits_for(spot) == engine.waits_for(
        engine.one("eks:index:ManagedNodeGroup", "platform-nodes")
    )
    assert len(spot.request.transforms) == 1


def test_a_group_that_exists_keeps_its_numbers_whatever_else_of_it_changes() -> None:
    def transformed(typ: str) -> pulumi.ResourceTransformResult | None:
        given = pulumi.ResourceOptions(ignore_changes=["version"])
        return eks_cluster.leave_scaling_alone(
            pulumi.ResourceTransformArgs(True, typ, "nodes", {"version": "1.35"}, given)
        )

    group = transformed("aws:eks/nodeGroup:NodeGroup")
    assert group is not None
    assert group.opts.ignore_changes == ["version", "scalingConfig"]
    assert group.props == {"version": "1.35"}
    assert transformed("eks:index:ManagedNodeGroup") is None


def test_a_node_may_join_and_pull_images_and_no_more(engine: Engine) -> None:
    run(engine)

    policies = {
        (attachment.inputs["role"], attachment.inputs["policyArn"].rsplit("/", 1)[-1])
        for attachment in engine.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    assert policies == {
        ("platform-cluster-auto", "AmazonEKSClusterPolicy"),
        ("platform-node-auto", "AmazonEKSWorkerNodePolicy"),
        ("platform-node-auto", "AmazonEC2ContainerRegistryPullOnly"),
        ("platform-cni-auto", "AmazonEKS_CNI_Policy"),
    }


def test_services_assume_roles_for_this_account_and_cluster_only(engine: Engine) -> None:
    run(engine)

    for role in engine.all(ROLE):
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        if statement["Principal"] == {"Service": "ec2.amazonaws.com"}:
            continue  # names no source
        condition = statement["Condition"]
        assert condition["StringEquals"]["aws:SourceAccount"] == "123456789012"
        assert condition["ArnEquals"]["aws:SourceArn"] == (
            f"arn:aws:eks:us-west-2:123456789012:cluster/{NAME}"
        )


def test_the_cni_role_is_for_the_cni_only(engine: Engine) -> None:
    run(engine)

    (statement,) = json.loads(engine.one(ROLE, "cni").inputs["assumeRolePolicy"])["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    tags = statement["Condition"]["StringEquals"]
    assert tags["aws:RequestTag/kubernetes-namespace"] == "kube-system"
    assert tags["aws:RequestTag/kubernetes-service-account"] == "aws-node"


def test_administrators_administer_and_viewers_see_no_secrets(engine: Engine) -> None:
    run(engine)

    policies = {
        grant.inputs["principalArn"]: grant.inputs["policyArn"] for grant in engine.all(GRANT)
    }
    prefix = "arn:aws:eks::aws:cluster-access-policy"
    assert policies == {
        ADMIN: f"{prefix}/AmazonEKSClusterAdminPolicy",
        VIEWER: f"{prefix}/AmazonEKSViewPolicy",
    }
    assert {entry.inputs["principalArn"] for entry in engine.all(ENTRY)} == {ADMIN, VIEWER}


def test_who_is_listed_as_both_gets_one_entry_and_administers(engine: Engine) -> None:
    run(engine, replace(ARGS, viewer_principal_arns=(ADMIN,)))

    assert len(engine.all(ENTRY)) == 1
    assert engine.one(GRANT).inputs["policyArn"].endswith("AmazonEKSClusterAdminPolicy")


def test_kubernetes_objects_keep_nodes_and_access_until_they_are_gone(engine: Engine) -> None:
    outputs = run(engine)

    needed = {"node-group", *(grant.name for grant in engine.all(GRANT))}
    provider = engine.one("pulumi:providers:kubernetes")
    assert engine.waits_for(provider) >= needed
    assert engine.waits_for(outputs["name"]) >= needed
    assert outputs["name"].inputs["value"] == NAME


def test_an_unknown_kubeconfig_replaces_no_object(engine: Engine) -> None:
    run(engine)

    assert engine.one("pulumi:providers:kubernetes").inputs["clusterIdentifier"] == NAME


@pytest.mark.parametrize("typ", [ENTRY, ADDON])
def test_what_belongs_to_the_cluster_is_deleted_before_it(engine: Engine, typ: str) -> None:
    run(engine)

    assert all("control-plane" in engine.waits_for(resource) for resource in engine.all(typ))


def test_every_addon_moves_with_the_version_of_kubernetes(engine: Engine) -> None:
    run(engine, replace(ARGS, kubernetes_version="1.36"))

    addons = {addon.inputs["addonName"]: addon.inputs for addon in engine.all(ADDON)}
    assert set(addons) == {"eks-pod-identity-agent", "kube-proxy", "vpc-cni"}
    for name, inputs in addons.items():
        assert inputs["addonVersion"] == f"{name} for 1.36"
