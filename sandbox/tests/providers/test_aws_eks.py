"""EKS in the aws stand-in: a cluster, its nodes and its add-ons."""

from __future__ import annotations

import zlib
from typing import Any

import kubernetes.client
import pytest
from botocore.exceptions import ClientError
from kubernetes.client import AppsV1Api
from moto.ec2.models.instance_types import INSTANCE_TYPES
from urllib3.exceptions import HTTPError

from sandbox.cloud.aws.eks import in_cluster
from sandbox.cloud.kubernetes import nodes
from sandbox.providers.protocol import Properties
from sandbox.tests.aws_account import Account, Made, given, sent


@pytest.fixture
def platform(account: Account) -> tuple[Made, list[Made]]:
    subnets = account.subnets_with_a_way_out(account.vpc())
    return account.cluster(subnets), subnets


def nodes_of(group: Made) -> list[Any]:
    selector = f"eks.amazonaws.com/nodegroup={group.state['nodeGroupName']}"
    found: list[Any] = nodes.core_api().list_node(label_selector=selector).items
    return found


def test_a_node_group_has_nodes_in_every_zone(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    group = account.node_group(cluster, subnets, labels={"tier": "work"})
    found = nodes_of(group)
    labels = [node.metadata.labels for node in found]
    zones = {one["topology.kubernetes.io/zone"] for one in labels}
    assert zones == {"us-west-2a", "us-west-2b"}
    assert {one["node.kubernetes.io/instance-type"] for one in labels} == {"m7i.xlarge"}
    assert {one["kubernetes.io/arch"] for one in labels} == {"amd64"}
    assert {one["tier"] for one in labels} == {"work"}
    assert {node.metadata.annotations["kwok.x-k8s.io/node"] for node in found} == {"fake"}
    status = found[0].status
    # 255 MiB, 11 for each of 58 pods, and 100 that are kept free.
    usable = int(16384 * 0.925)
    assert status.capacity["memory"] == f"{usable}Mi"
    assert status.allocatable == {
        "cpu": "3920m",
        "ephemeral-storage": "17Gi",
        "memory": f"{usable - 255 - 11 * 58 - 100}Mi",
        "pods": "58",
    }


@pytest.mark.parametrize(
    ("kind", "cpu", "pods"),
    [
        ("m7g.medium", "940m", "8"),
        ("m7i.large", "1930m", "29"),
        ("m7i.2xlarge", "7910m", "58"),
        ("m7i.4xlarge", "15890m", "110"),
        ("m7i.16xlarge", "63770m", "250"),
    ],
)
def test_what_pods_can_have_of_a_node_depends_on_its_type(kind: str, cpu: str, pods: str) -> None:
    found = nodes.room(INSTANCE_TYPES[kind], 100).allocatable
    assert (found["cpu"], found["pods"]) == (cpu, pods)


def test_a_node_has_the_disk_of_its_launch_template(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    device = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 50}}
    template = account.make(
        "ec2/launchTemplate:LaunchTemplate", name="of-50", blockDeviceMappings=[device]
    )
    group = account.node_group(cluster, subnets, launchTemplate={"id": template.id, "version": "1"})
    assert nodes_of(group)[0].status.capacity["ephemeral-storage"] == "50Gi"


def test_an_add_on_takes_its_room_in_the_cluster(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    account.node_group(cluster, subnets)
    api: Any = AppsV1Api(nodes.core_api().api_client)
    addon = account.make("eks/addon:Addon", clusterName=cluster.id, addonName="aws-ebs-csi-driver")
    (each,) = api.list_namespaced_daemon_set("kube-system").items
    (deployed,) = api.list_namespaced_deployment("kube-system").items
    asked = [one.spec.template.spec.containers[0].resources.requests for one in (each, deployed)]
    assert asked == [{"cpu": "30m", "memory": "120Mi"}, {"cpu": "60m", "memory": "240Mi"}]
    assert deployed.spec.replicas == 2
    addon.delete()
    assert not api.list_namespaced_daemon_set("kube-system").items
    assert not api.list_namespaced_deployment("kube-system").items


def test_a_node_group_scales_its_nodes(account: Account, platform: tuple[Made, list[Made]]) -> None:
    cluster, subnets = platform
    group = account.node_group(cluster, subnets)
    for size in (4, 1):
        scaling = {"desiredSize": size, "maxSize": 5, "minSize": 1}
        new = given(group, scalingConfig=scaling)
        assert group.diff(new).replaces == frozenset()
        group.update(new)
        assert len(nodes_of(group)) == size
        described = account.api("eks").describe_nodegroup(
            clusterName=cluster.id, nodegroupName=group.state["nodeGroupName"]
        )
        assert described["nodegroup"]["scalingConfig"] == scaling
    group.delete()
    assert nodes_of(group) == []


def test_a_node_goes_with_the_pods_on_it(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    group = account.node_group(cluster, subnets)
    (first, *_) = nodes_of(group)
    api = nodes.core_api()
    # The work of the controller manager, which these tests do without.
    api.create_namespaced_service_account("default", {"metadata": {"name": "default"}})
    pod = {
        "metadata": {"name": f"pod-{account.suffix}"},
        "spec": {
            "nodeName": first.metadata.name,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "one", "image": "none"}],
        },
    }
    api.create_namespaced_pod("default", pod)
    group.delete()
    pods = api.list_namespaced_pod("default").items
    assert [one for one in pods if one.metadata.name == f"pod-{account.suffix}"] == []


def test_what_was_in_a_cluster_goes_with_it(account: Account) -> None:
    core = nodes.core_api()

    def objects() -> dict[str, Any]:
        kinds = (core.list_namespace, core.list_config_map_for_all_namespaces, core.list_node)
        return {
            f"{one.metadata.namespace}/{one.metadata.name}": getattr(one, "data", None)
            for kind in kinds
            for one in kind().items
        }

    name = f"kept-{account.suffix}"
    for key in ("changed", "deleted"):
        core.create_namespaced_config_map(
            "default", {"metadata": {"name": f"{name}-{key}"}, "data": {"by": "us"}}
        )
    before = objects()
    subnets = account.subnets_with_a_way_out(account.vpc())
    cluster = account.cluster(subnets)
    account.node_group(cluster, subnets).delete()
    finalizers = {"metadata": {"name": name, "finalizers": ["example.com/never"]}}
    core.create_namespace({**finalizers, "spec": {"finalizers": ["kubernetes"]}})
    for number in range(120):
        core.create_namespaced_config_map(name, {"metadata": {"name": f"{name}-{number}"}})
    core.patch_namespaced_config_map(f"{name}-changed", "default", {"data": {"by": "others"}})
    core.delete_namespaced_config_map(f"{name}-deleted", "default")
    assert len(objects()) > 120
    cluster.delete()
    assert objects() == before
    for key in ("changed", "deleted"):
        core.delete_namespaced_config_map(f"{name}-{key}", "default")


def test_what_is_null_is_not_given(account: Account) -> None:
    subnets = account.subnets_with_a_way_out(account.vpc())
    network = {"subnetIds": [one.id for one in subnets], "endpointPrivateAccess": True}
    private = {"endpointPublicAccess": False, "publicAccessCidrs": None}
    cluster = account.cluster(subnets, vpcConfig=network | private)
    assert "publicAccessCidrs" not in cluster.inputs["vpcConfig"]
    assert cluster.state["vpcConfig"]["endpointPublicAccess"] is False


def test_of_a_cluster_that_did_not_come_up_nothing_is_left(account: Account) -> None:
    vpc = account.vpc()
    subnets = account.subnets_with_a_way_out(vpc)
    eks, ec2, name = account.api("eks"), account.api("ec2"), f"cluster-{account.suffix}"
    taken = ec2.create_security_group(
        GroupName=f"eks-cluster-sg-{name}-{zlib.crc32(name.encode())}",
        Description="in the way",
        VpcId=vpc.id,
    )["GroupId"]
    with pytest.raises(ClientError):
        account.cluster(subnets)
    assert name not in eks.list_clusters()["clusters"]
    ec2.delete_security_group(GroupId=taken)
    cluster = account.cluster(subnets)
    group = cluster.state["vpcConfig"]["clusterSecurityGroupId"]
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]


def test_no_addresses_are_all_addresses(account: Account) -> None:
    subnets = account.subnets_with_a_way_out(account.vpc())
    network = {"subnetIds": [one.id for one in subnets], "endpointPublicAccess": True}
    cluster = account.cluster(subnets, vpcConfig={**network, "publicAccessCidrs": []})
    assert cluster.state["vpcConfig"]["publicAccessCidrs"] == ["0.0.0.0/0"]


def test_the_security_group_of_a_cluster_is_real_and_goes_with_it(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    network = cluster.state["vpcConfig"]
    ec2 = account.api("ec2")
    (group,) = ec2.describe_security_groups(GroupIds=[network["clusterSecurityGroupId"]])[
        "SecurityGroups"
    ]
    assert group["VpcId"] == network["vpcId"] == subnets[0].state["vpcId"]
    cluster.delete()
    names = [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]]
    assert group["GroupId"] not in names


def test_the_storage_driver_comes_and_goes_with_its_addon(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    storage: Any = kubernetes.client.StorageV1Api(nodes.core_api().api_client)
    eks, addon = account.api("eks"), {"clusterName": cluster.id, "addonName": "aws-ebs-csi-driver"}

    def drivers() -> list[str]:
        return [one.metadata.name for one in storage.list_csi_driver().items]

    eks.create_addon(**addon)
    assert drivers() == ["ebs.csi.aws.com"]
    eks.delete_addon(**addon)
    assert drivers() == []


def test_the_roles_of_an_addon_are_pod_identities(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    role = account.role("pods.eks.amazonaws.com").state["arn"]
    addon = account.make(
        "eks/addon:Addon",
        clusterName=cluster.id,
        addonName="vpc-cni",
        podIdentityAssociations=[{"roleArn": role, "serviceAccount": "aws-node"}],
    )
    eks = account.api("eks")
    (found,) = eks.list_pod_identity_associations(clusterName=cluster.id)["associations"]
    assert (found["namespace"], found["serviceAccount"]) == ("kube-system", "aws-node")
    described = eks.describe_addon(clusterName=cluster.id, addonName="vpc-cni")["addon"]
    assert described["podIdentityAssociations"] == [found["associationArn"]]
    addon.delete()
    assert eks.list_pod_identity_associations(clusterName=cluster.id)["associations"] == []


def test_an_update_leaves_alone_what_is_no_longer_given_and_aws_had_chosen(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    network = cluster.inputs["vpcConfig"]
    addresses = ["203.0.113.0/24"]
    cluster.update(given(cluster, vpcConfig={**network, "publicAccessCidrs": addresses}))
    updates = sent(account.api("eks"), "UpdateClusterConfig")
    without = given(cluster, vpcConfig=network, deletionProtection=True)
    del without["accessConfig"]
    cluster.update(without)
    assert [one.keys() - {"name"} for one in updates] == [{"deletionProtection"}]
    assert cluster.state["vpcConfig"]["publicAccessCidrs"] == addresses
    cluster.update({**without, "deletionProtection": False})


def test_a_cluster_gets_a_key_and_keeps_it(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    one, other = (account.make("kms/key:Key").state["arn"] for _ in range(2))

    def encrypted(key: str) -> Properties:
        return {"provider": {"keyArn": key}, "resources": ["secrets"]}

    cluster.update(given(cluster, encryptionConfig=encrypted(one)))
    assert cluster.state["encryptionConfig"] == encrypted(one)
    cluster.update(given(cluster, encryptionConfig=encrypted(other)))
    assert cluster.state["encryptionConfig"] == encrypted(one)


def test_what_needs_a_cluster_that_does_not_answer_fails_and_is_there() -> None:
    made: dict[str, Any] = {"status": "ACTIVE", "health": {"issues": []}}

    def act() -> None:
        raise HTTPError("connection refused")

    in_cluster(made, act)
    assert made["status"] == "CREATE_FAILED"
    assert [one["code"] for one in made["health"]["issues"]] == ["ClusterUnreachable"]
