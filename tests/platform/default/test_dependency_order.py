"""The order that AWS hides, asserted from the dependency graph that the engine recorded."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.clone import Clone

Graph = dict[str, set[str]]


@pytest.fixture(scope="module")
def resources(platform: Clone) -> list[dict[str, Any]]:
    return platform.resources()


@pytest.fixture(scope="module")
def graph(resources: list[dict[str, Any]]) -> Graph:
    """For each URN, all that is there before it and goes after it."""
    direct: Graph = {}
    for resource in resources:
        before = set(resource.get("dependencies", ()))
        for urns in (resource.get("propertyDependencies") or {}).values():
            before |= set(urns or ())
        if "provider" in resource:
            before.add(resource["provider"].rpartition("::")[0])
        # A child is made after what its parent waits for, and goes before its parent.
        if "parent" in resource:
            before.add(resource["parent"])
        direct[resource["urn"]] = before

    closed: Graph = {}

    def ancestors(urn: str) -> set[str]:
        if urn not in closed:
            closed[urn] = set()
            for parent in direct.get(urn, ()):
                closed[urn] |= {parent} | ancestors(parent)
        return closed[urn]

    return {urn: ancestors(urn) for urn in direct}


def _of(resources: list[dict[str, Any]], what: str) -> list[str]:
    """URNs of a type (`eks/addon:Addon`), or of one resource (`eks/addon:Addon coredns`)."""
    kind, _, name = what.partition(" ")
    found = [
        r["urn"]
        for r in resources
        if r["type"].split(":", 1)[-1] == kind and name in r["urn"].split("::")[-1]
    ]
    assert found, f"nothing is called {what}"
    return found


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        # Nodes become Ready only with a network plugin, and leave network interfaces behind when
        # it goes before them.
        ("eks/addon:Addon vpc-cni", "eks/nodeGroup:NodeGroup"),
        ("eks/addon:Addon kube-proxy", "eks/nodeGroup:NodeGroup"),
        ("eks/addon:Addon pod-identity-agent", "eks/nodeGroup:NodeGroup"),
        # Add-ons whose pods need nodes stay DEGRADED without, and hang at deletion.
        ("eks/nodeGroup:NodeGroup", "eks/addon:Addon coredns"),
        ("eks/nodeGroup:NodeGroup", "eks/addon:Addon ebs-csi"),
        ("eks/nodeGroup:NodeGroup", "eks/addon:Addon metrics-server"),
        # Namespaces end only while nodes, controllers and metrics.k8s.io answer.
        ("eks/nodeGroup:NodeGroup", "core/v1:Namespace"),
        ("eks/addon:Addon metrics-server", "core/v1:Namespace"),
        # In the cluster nothing can be deleted once the administrators' access is gone.
        ("eks/nodeGroup:NodeGroup", "rbac.authorization.k8s.io/v1:RoleBinding"),
        # EMR on EKS: the virtual cluster is deleted while cluster and namespace are there, after
        # its job runs, which need their role and log group to end.
        ("core/v1:Namespace spark", "emrcontainers/virtualCluster:VirtualCluster"),
        ("eks/nodeGroup:NodeGroup", "emrcontainers/virtualCluster:VirtualCluster"),
        ("eks/addon:Addon coredns", "emrcontainers/virtualCluster:VirtualCluster"),
        # Instances and MWAA have a way out as long as they live.
        ("ec2/route:Route", "eks/nodeGroup:NodeGroup"),
        ("ec2/routeTableAssociation:RouteTableAssociation", "mwaa/environment:Environment"),
        ("ec2/route:Route", "mwaa/environment:Environment"),
        ("ec2/natGateway:NatGateway", "mwaa/environment:Environment"),
        (
            "vpc/securityGroupIngressRule:SecurityGroupIngressRule self",
            "mwaa/environment:Environment",
        ),
        ("s3/bucketVersioning:BucketVersioning dags", "mwaa/environment:Environment"),
        ("s3/bucketPublicAccessBlock:BucketPublicAccessBlock dags", "mwaa/environment:Environment"),
        ("s3/bucketObjectv2:BucketObjectv2 dags", "mwaa/environment:Environment"),
        # The services make these log groups themselves, unencrypted and for ever, if absent.
        ("cloudwatch/logGroup:LogGroup cluster", "eks/cluster:Cluster"),
        ("cloudwatch/logGroup:LogGroup airflow", "mwaa/environment:Environment"),
        # What is encrypted with the key is gone before it: deleted, it can be had back for a time,
        # in which nobody reads any of it.
        ("kms/key:Key", "s3/bucket:Bucket dags"),
        ("kms/key:Key", "s3/bucket:Bucket jobs"),
        ("kms/key:Key", "cloudwatch/logGroup:LogGroup"),
        ("kms/key:Key", "secretsmanager/secret:Secret"),
        ("kms/key:Key", "eks/cluster:Cluster"),
        ("kms/key:Key", "ec2/launchTemplate:LaunchTemplate"),
        ("kms/key:Key", "storage.k8s.io/v1:StorageClass"),
        ("kms/key:Key", "mwaa/environment:Environment"),
        ("kms/key:Key", "sns/topic:Topic monitoring-alarms"),
        # What is not there gives no sign of life: somebody would be woken for nothing.
        ("mwaa/environment:Environment", "cloudwatch/metricAlarm:MetricAlarm airflow-scheduler"),
        ("mwaa/environment:Environment", "cloudwatch/metricAlarm:MetricAlarm airflow-triggerer"),
        ("eks/nodeGroup:NodeGroup", "cloudwatch/metricAlarm:MetricAlarm nodes-missing"),
        ("eks/nodeGroup:NodeGroup", "cloudwatch/metricAlarm:MetricAlarm pods-unschedulable"),
        # An access entry is bound to the role's unique id.
        ("iam/role:Role airflow", "eks/accessEntry:AccessEntry airflow"),
    ],
    ids=lambda what: what.replace("/", "."),
)  # fmt: skip
def test_order(resources: list[dict[str, Any]], graph: Graph, earlier: str, later: str) -> None:
    for urn in _of(resources, later):
        missing = [e for e in _of(resources, earlier) if e not in graph[urn]]
        assert not missing, f"{urn} does not wait for {missing}"


@pytest.mark.parametrize(
    "waited_for",
    ["eks/cluster:Cluster", "eks/nodeGroup:NodeGroup", "eks/addon:Addon", "core/v1:Namespace"],
    ids=lambda what: what.replace("/", "."),
)
def test_airflow_does_not_wait_for_eks(
    resources: list[dict[str, Any]], graph: Graph, waited_for: str
) -> None:
    (environment,) = _of(resources, "mwaa/environment:Environment")
    assert graph[environment].isdisjoint(_of(resources, waited_for))


def test_job_runs_are_drained_before_the_virtual_cluster_goes(
    resources: list[dict[str, Any]], graph: Graph
) -> None:
    (drain,) = _of(resources, "dynamic:Resource mwaa-drain")
    for needed in (
        "emrcontainers/virtualCluster:VirtualCluster",
        "eks/podIdentityAssociation:PodIdentityAssociation mwaa",
        "iam/rolePolicy:RolePolicy mwaa",
    ):
        assert set(_of(resources, needed)) <= graph[drain], needed
    (allowing,) = _of(resources, "iam/rolePolicyAttachment:RolePolicyAttachment airflow-jobs")
    assert drain in graph[allowing], "a job run could start after the drain"


def test_nothing_goes_before_or_beside_the_look_at_what_is_in_the_way(
    resources: list[dict[str, Any]], graph: Graph
) -> None:
    (check,) = _of(resources, "dynamic:Resource destroy-check")
    others = {r["urn"] for r in resources if r["custom"] and ":providers:" not in r["type"]}
    assert others - graph[check] == {check}


def test_control_plane_and_environment_go_in_one_round(
    resources: list[dict[str, Any]], graph: Graph
) -> None:
    rounds: dict[str, int] = {}  # as the engine counts them, the last one first
    for urn in sorted(graph, key=lambda urn: len(graph[urn])):
        rounds[urn] = 1 + max((rounds[before] for before in graph[urn]), default=-1)
    (environment,) = _of(resources, "mwaa/environment:Environment")
    (cluster,) = _of(resources, "eks/cluster:Cluster")
    assert rounds[cluster] == rounds[environment]
