"""Decisions of JobNamespace."""

from dataclasses import replace
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.job_namespace import (
    JOB_VIEWER_RULES,
    Egress,
    JobNamespace,
    JobNamespaceArgs,
    Quota,
    pod_operator_rules,
)
from tests.components.conftest import Engine, Resource

ARGS = JobNamespaceArgs(
    namespace="mwaa",
    pod_security="restricted",
    group="mwaa-on-eks-test:airflow",
    rules=pod_operator_rules(xcom=False),
    quota=Quota(cpu="8", memory="32Gi", storage="1Ti", pods="20"),
    limited=True,
    allow_within_namespace=False,
)
NAMESPACE = "kubernetes:core/v1:Namespace"
QUOTA = "kubernetes:core/v1:ResourceQuota"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
ANYWHERE = "0.0.0.0/0"


def run(engine: Engine, args: JobNamespaceArgs = ARGS) -> dict[str, Resource]:
    return engine.run(
        lambda: JobNamespace(
            "mwaa",
            args,
            pulumi.ResourceOptions(providers=[k8s.Provider("cluster", kubeconfig="{}")]),
        )
    )


def granted(engine: Engine) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in engine.one(ROLE).inputs["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def policies(engine: Engine) -> dict[str, dict[str, Any]]:
    return {
        policy.inputs["metadata"]["name"]: policy.inputs["spec"] for policy in engine.all(POLICY)
    }


def test_airflow_may_do_what_the_pod_operator_does_and_nothing_else(engine: Engine) -> None:
    run(engine)

    assert granted(engine) == {
        ("", "pods"): {"create", "get", "list", "patch", "delete"},
        ("", "pods/log"): {"get"},
        ("", "events"): {"list", "watch"},
    }


def test_with_xcom_airflow_may_run_commands_in_pods_too(engine: Engine) -> None:
    run(engine, replace(ARGS, rules=pod_operator_rules(xcom=True)))

    found = granted(engine)
    assert found.pop(("", "pods/exec")) == {"create", "get"}
    assert set(found) == {("", "pods"), ("", "pods/log"), ("", "events")}


def test_a_team_may_only_look(engine: Engine) -> None:
    run(engine, replace(ARGS, rules=JOB_VIEWER_RULES))

    found = granted(engine)
    assert set(found) == {("", "pods"), ("", "pods/log"), ("", "events"), ("batch", "jobs")}
    assert set().union(*found.values()) == {"get", "list", "watch"}


def test_the_binding_joins_the_group_and_the_role_that_is_there(engine: Engine) -> None:
    run(engine)

    binding, role = engine.one(BINDING), engine.one(ROLE)
    assert binding.inputs["roleRef"]["kind"] == "Role"
    assert binding.inputs["roleRef"]["name"] == role.inputs["metadata"]["name"]
    assert role.name in engine.waits_for(binding)
    assert [(s["kind"], s["name"]) for s in binding.inputs["subjects"]] == [
        ("Group", "mwaa-on-eks-test:airflow")
    ]


def test_where_nobody_may_do_anything_there_is_no_role(engine: Engine) -> None:
    run(engine, replace(ARGS, group=None))

    assert not engine.all(ROLE) + engine.all(BINDING)


def test_pod_security_is_enforced_as_told_and_watched_at_the_strictest(engine: Engine) -> None:
    run(engine, replace(ARGS, pod_security="baseline"))

    assert engine.one(NAMESPACE).inputs["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }


def _hard(engine: Engine) -> dict[str, str]:
    found: dict[str, str] = engine.one(QUOTA, "-quota").inputs["spec"]["hard"]
    return found


def test_the_quota_counts_all_that_pods_ask_for_and_leave_behind(engine: Engine) -> None:
    run(engine, replace(ARGS, limited=False))

    assert _hard(engine) == {
        "requests.cpu": "8",
        "requests.memory": "32Gi",
        "requests.storage": "1Ti",
        "requests.ephemeral-storage": "1Ti",
        "persistentvolumeclaims": "20",
        "pods": "20",
        "services.loadbalancers": "0",  # they would outlive the stack
        "services.nodeports": "0",
    }


def test_no_container_asks_for_nothing_or_fails_for_saying_nothing(engine: Engine) -> None:
    run(engine, replace(ARGS, limited=False))

    (limit,) = engine.one("kubernetes:core/v1:LimitRange").inputs["spec"]["limits"]
    counted = {"cpu", "memory", "ephemeral-storage"}
    assert set(limit["defaultRequest"]) == set(limit["min"]) == counted
    assert "default" not in limit  # it would refuse a pod that asks for more and has no limit


def test_where_pods_are_limited_the_quota_counts_limits_too(engine: Engine) -> None:
    run(engine)

    hard = _hard(engine)
    assert (hard["limits.memory"], hard["limits.ephemeral-storage"]) == ("32Gi", "1Ti")
    (limit,) = engine.one("kubernetes:core/v1:LimitRange").inputs["spec"]["limits"]
    assert set(limit["default"]) == {"memory", "ephemeral-storage"}


def test_nothing_in_it_evicts_what_keeps_the_cluster_alive(engine: Engine) -> None:
    run(engine)

    spec = engine.one(QUOTA, "-no-critical").inputs["spec"]
    assert spec["hard"] == {"pods": "0"}
    (match,) = spec["scopeSelector"]["matchExpressions"]
    assert (match["scopeName"], match["operator"]) == ("PriorityClass", "In")
    assert set(match["values"]) == {"system-cluster-critical", "system-node-critical"}


def test_no_service_takes_traffic_that_is_for_others(engine: Engine) -> None:
    run(engine)

    group = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
    policy, binding = engine.one(group), engine.one(f"{group}Binding").inputs["spec"]
    assert binding["policyName"] == policy.inputs["metadata"]["name"] == "mwaa-no-external-ips"
    assert binding["validationActions"] == ["Deny"]
    assert binding["matchResources"]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "mwaa"
    }
    assert policy.inputs["spec"].get("failurePolicy", "Fail") == "Fail"


def test_all_is_denied_both_ways_but_names_https_and_pod_identity(engine: Engine) -> None:
    run(engine)

    found = policies(engine)
    assert found.pop("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert not any("ingress" in spec for spec in found.values())
    allowed = {
        (
            target.get("ipBlock", {}).get("cidr")
            or target["podSelector"]["matchLabels"]["k8s-app"],
            port["protocol"],
            port["port"],
        )
        for spec in found.values()
        for rule in spec["egress"]
        for target in rule["to"]
        for port in rule["ports"]
    }
    assert allowed == {
        ("kube-dns", "UDP", 53),
        ("kube-dns", "TCP", 53),
        (ANYWHERE, "TCP", 443),
        ("169.254.170.23/32", "TCP", 80),
    }
    assert all(spec["podSelector"] == {} for spec in found.values())


def test_databases_are_reached_at_their_ports_and_nothing_beside(engine: Engine) -> None:
    egress = (Egress(cidr="10.1.0.0/16", port=5432), Egress(cidr="10.2.3.4/32", port=1433))
    run(engine, replace(ARGS, egress=egress))

    assert policies(engine)["allow-egress"] == {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
                "ports": [{"protocol": "TCP", "port": 5432}],
            },
            {
                "to": [{"ipBlock": {"cidr": "10.2.3.4/32"}}],
                "ports": [{"protocol": "TCP", "port": 1433}],
            },
        ],
    }


def test_pods_meet_within_the_namespace_where_that_is_allowed_and_no_farther(
    engine: Engine,
) -> None:
    run(engine, replace(ARGS, allow_within_namespace=True))

    within = policies(engine)["allow-within-namespace"]
    assert within["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert within["egress"] == [{"to": [{"podSelector": {}}]}]


def test_pods_get_no_kubernetes_token_unless_they_name_an_account(engine: Engine) -> None:
    run(engine)

    account = engine.one("kubernetes:core/v1:ServiceAccountPatch").inputs
    assert account["metadata"] == {"name": "default", "namespace": "mwaa"}
    assert account["automountServiceAccountToken"] is False


def test_nobody_works_in_it_before_its_rules_are_in_force(engine: Engine) -> None:
    namespace = run(engine)["namespace"]

    assert namespace.inputs["value"] == "mwaa"
    within = {
        resource.name
        for resource in engine.recorded.values()
        if resource.typ.startswith("kubernetes:") and resource.typ != NAMESPACE
    }
    assert len(within) == 11  # a policy and its binding have one name
    assert engine.waits_for(namespace) == within | {"mwaa-namespace"}


def test_everything_in_it_is_deleted_before_it(engine: Engine) -> None:
    run(engine)

    for resource in engine.recorded.values():
        if resource.typ.startswith("kubernetes:") and resource.typ != NAMESPACE:
            assert "mwaa-namespace" in engine.waits_for(resource)
