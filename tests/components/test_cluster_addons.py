"""Decisions of ClusterAddons."""

import json
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s

from components.cluster_addons import ClusterAddons, ClusterAddonsArgs
from tests.components.conftest import ACCOUNT, Engine, Resource

CLUSTER_ARN = "arn:aws:eks:us-west-2:123456789012:cluster/mwaa-on-eks-test"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1"
ADDON = "aws:eks/addon:Addon"


def run(
    engine: Engine, network_policy_mode: Literal["standard", "strict"] = "standard"
) -> dict[str, Resource]:
    def program() -> ClusterAddons:
        ready = pulumi.CustomResource("test:index:Nodes", "nodes", {"name": "mwaa-on-eks-test"})
        return ClusterAddons(
            "addons",
            ClusterAddonsArgs(
                cluster_name=ready.id.apply(lambda _: "mwaa-on-eks-test"),
                cluster_arn=CLUSTER_ARN,
                kubernetes_version="1.35",
                kms_key_arn=KEY,
                network_policy_mode=network_policy_mode,
                tags={"team": "data"},
                account=ACCOUNT,
            ),
            pulumi.ResourceOptions(providers=[k8s.Provider("cluster", kubeconfig="{}")]),
        )

    return engine.run(program)


def test_every_addon_starts_after_the_nodes_and_ends_with_its_deletion(engine: Engine) -> None:
    run(engine)

    addons = engine.all(ADDON)
    assert {addon.inputs["addonName"] for addon in addons} == {
        "coredns",
        "aws-ebs-csi-driver",
        "metrics-server",
    }
    for addon in addons:
        assert "nodes" in engine.waits_for(addon)
        assert addon.inputs["preserve"] is False


def test_every_addon_moves_with_the_version_of_kubernetes(engine: Engine) -> None:
    run(engine)

    for addon in engine.all(ADDON):
        assert addon.inputs["addonVersion"] == f"{addon.inputs['addonName']} for 1.35"


def test_where_no_policy_means_no_traffic_the_addons_pods_have_one_before(engine: Engine) -> None:
    run(engine, "strict")

    policy = engine.one("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    assert policy.inputs["metadata"]["namespace"] == "kube-system"
    assert policy.inputs["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{}],
        "egress": [{}],
    }
    assert all(policy in engine.before(addon) for addon in engine.all(ADDON))


def test_ready_waits_for_every_addon(engine: Engine) -> None:
    ready = run(engine)["ready"]

    assert ready.inputs["value"] == "mwaa-on-eks-test"
    assert engine.waits_for(ready) >= {addon.name for addon in engine.all(ADDON)}


def test_only_the_volume_controller_of_this_cluster_gets_the_volume_role(engine: Engine) -> None:
    run(engine)

    trust = engine.one("aws:iam/role:Role").inputs["assumeRolePolicy"]
    (statement,) = json.loads(trust)["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:RequestTag/kubernetes-namespace": "kube-system",
            "aws:RequestTag/kubernetes-service-account": "ebs-csi-controller-sa",
        },
        "ArnEquals": {"aws:SourceArn": CLUSTER_ARN},
    }
    driver = engine.one(ADDON, "aws-ebs-csi-driver")
    assert json.loads(driver.inputs["configurationValues"]) == {
        "controller": {"extraVolumeTags": {"team": "data"}}
    }
    (association,) = driver.inputs["podIdentityAssociations"]
    assert association["serviceAccount"] == "ebs-csi-controller-sa"
    attachment = engine.one("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert attachment.inputs["policyArn"] == "arn:aws:iam::aws:policy/AmazonEBSCSIDriverPolicyV2"
    assert attachment.name in engine.waits_for(driver)


def test_volumes_are_encrypted_by_default(engine: Engine) -> None:
    run(engine)

    storage = engine.one("kubernetes:storage.k8s.io/v1:StorageClass")
    assert storage.inputs["parameters"] == {"type": "gp3", "encrypted": "true", "kmsKeyId": KEY}
    annotations = storage.inputs["metadata"]["annotations"]
    assert annotations["storageclass.kubernetes.io/is-default-class"] == "true"
    assert storage.inputs["volumeBindingMode"] == "WaitForFirstConsumer"
    assert "addons-aws-ebs-csi-driver" in engine.waits_for(storage)  # volumes before the driver


def test_it_leaves_nothing_beside_itself(engine: Engine) -> None:
    run(engine)

    assert engine.tops() == {"addons", "nodes", "cluster", "ready"}
