"""Decisions of ClusterAutoscaler."""

import json
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.cluster_autoscaler import ClusterAutoscaler, ClusterAutoscalerArgs
from tests.components.conftest import ACCOUNT, Engine

NAME = "mwaa-on-eks-test"
ARGS = ClusterAutoscalerArgs(
    cluster_name=NAME,
    cluster=NAME,
    image="registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.1",
    account=ACCOUNT,
)
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
WRITES = {"create", "update", "patch", "delete", "deletecollection", "*"}


def run(engine: Engine, args: ClusterAutoscalerArgs = ARGS) -> None:
    engine.run(
        lambda: ClusterAutoscaler(
            "autoscaler",
            args,
            pulumi.ResourceOptions(providers=[k8s.Provider("cluster", kubeconfig="{}")]),
        )
    )


def pod(engine: Engine) -> dict[str, Any]:
    spec: dict[str, Any] = engine.one(DEPLOYMENT).inputs["spec"]["template"]["spec"]
    return spec


def grants(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_it_finds_the_groups_of_its_cluster_by_the_tags_of_eks(engine: Engine) -> None:
    run(engine)

    (container,) = pod(engine)["containers"]
    assert (
        "--node-group-auto-discovery=asg:tag="
        f"k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{NAME}"
    ) in container["command"]
    # the hop limit of the nodes' metadata service keeps it from finding the region itself
    assert {"name": "AWS_REGION", "value": "us-west-2"} in container["env"]


def test_it_changes_the_groups_of_its_cluster_only(engine: Engine) -> None:
    run(engine)

    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    for statement in policy["Statement"]:
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        if any(not action.split(":")[1].startswith(("Describe", "Get")) for action in actions):
            assert set(actions) == {
                "autoscaling:SetDesiredCapacity",
                "autoscaling:TerminateInstanceInAutoScalingGroup",
            }
            assert statement["Condition"] == {
                "StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{NAME}": "owned"}
            }
        assert not any("*" in action for action in actions)


def test_only_its_pods_get_its_role(engine: Engine) -> None:
    run(engine)

    trust = engine.one("aws:iam/role:Role").inputs["assumeRolePolicy"]
    (statement,) = json.loads(trust)["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:RequestTag/kubernetes-namespace": "kube-system",
            "aws:RequestTag/kubernetes-service-account": "cluster-autoscaler",
        },
        "ArnEquals": {"aws:SourceArn": f"arn:aws:eks:us-west-2:123456789012:cluster/{NAME}"},
    }
    association = engine.one("aws:eks/podIdentityAssociation:PodIdentityAssociation").inputs
    assert association["serviceAccount"] == pod(engine)["serviceAccountName"]
    assert association["namespace"] == "kube-system"


def test_it_starts_when_it_may_do_its_work(engine: Engine) -> None:
    run(engine)

    assert engine.waits_for(engine.one(DEPLOYMENT)) >= {
        "autoscaler-identity",
        "autoscaler-policy",
        "autoscaler-cluster-binding",
        "autoscaler-binding",
    }


def test_in_the_cluster_it_writes_events_evictions_and_taints_only(engine: Engine) -> None:
    run(engine)

    written = {
        grant for grant in grants(engine.one(CLUSTER_ROLE).inputs["rules"]) if grant[2] in WRITES
    }
    assert written == {
        ("", "events", "create"),
        ("", "events", "patch"),
        ("", "pods/eviction", "create"),
        ("", "nodes", "update"),
    }
    assert not any("secrets" in grant for grant in grants(engine.one(CLUSTER_ROLE).inputs["rules"]))


def test_in_its_namespace_it_writes_its_own_lease_and_status_only(engine: Engine) -> None:
    run(engine)

    rules = engine.one(ROLE).inputs["rules"]
    named = {tuple(rule["resourceNames"]) for rule in rules if "resourceNames" in rule}
    assert named == {("cluster-autoscaler",), ("cluster-autoscaler-status",)}
    assert {
        grant[2] for rule in rules if "resourceNames" not in rule for grant in grants([rule])
    } == {"create"}


def test_it_reads_all_that_the_scheduler_in_it_lists_at_its_start(engine: Engine) -> None:
    run(engine)

    granted = grants(engine.one(CLUSTER_ROLE).inputs["rules"])
    for group, resource in (
        ("storage.k8s.io", "volumeattachments"),
        ("resource.k8s.io", "resourceslices"),
        ("resource.k8s.io", "resourceclaims"),
        ("resource.k8s.io", "deviceclasses"),
    ):
        assert {(group, resource, "list"), (group, resource, "watch")} <= granted


def test_the_pod_keeps_to_the_restricted_standard(engine: Engine) -> None:
    run(engine)

    spec = pod(engine)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    assert probes == {"/health-check"}
    assert not any("hostPath" in volume for volume in spec.get("volumes", []))


def test_its_own_node_can_be_drained(engine: Engine) -> None:
    run(engine)

    budget = engine.one("kubernetes:policy/v1:PodDisruptionBudget").inputs["spec"]
    labels = engine.one(DEPLOYMENT).inputs["spec"]["template"]["metadata"]["labels"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels.items()
