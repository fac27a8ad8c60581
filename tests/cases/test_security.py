"""What holds for every example stack, whatever it sets: who gets in, who may do what, what is
encrypted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from tests.cases.conftest import ROOT, Program, Run

EXAMPLES = sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml"))
KEY = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd"
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module", params=[*EXAMPLES, "all"])
def stack(request: pytest.FixtureRequest, run: Run) -> Program:
    """An example stack, or one with all that gives anybody a right."""
    if request.param != "all":
        return run(request.param)
    role = "arn:aws:iam::444455556666:role/"
    policy = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    team = {
        "name": "risk",
        "members": [f"{role}analyst"],
        "data": [
            {"bucket": "lake", "prefix": "trades"},
            {"bucket": "lake", "prefix": "risk", "access": "readWrite", "kmsKeyArn": KEY},
            {"bucket": "theirs", "accountId": "777788889999"},
        ],
        "glueDatabases": [
            {"database": "trades"},
            {"database": "risk", "access": "readWrite"},
        ],
    }
    return run(
        "prod",
        airflow_podXcom=True,
        airflow_metadataBackups=True,
        airflow_podServiceAccounts=[{"name": "reader", "policyArns": [policy]}],
        airflow_dagDelivery="pipeline",
        spark_teams=[team],
        spark_historyServer=True,
        delivery_githubRepository="acme/platform",
        delivery_stateBucketArn="arn:aws:s3:::state/platform",
    )


def _of(stack: Program, typ: str) -> list[dict[str, Any]]:
    """The inputs of the resources of a type, which there may be none of."""
    recorded = stack.engine.recorded.values()
    return [one.inputs for one in recorded if one.typ.split(":", 1)[-1] == typ]


def _names(stack: Program, typ: str) -> set[tuple[str, str]]:
    metadata = (one["metadata"] for one in _of(stack, typ))
    return {(one.get("namespace", ""), one["name"]) for one in metadata}


def _statements(stack: Program, effect: str = "Allow") -> Iterator[tuple[str, dict[str, Any]]]:
    for owner, document in stack.documents():
        statements = document["Statement"]
        for statement in [statements] if isinstance(statements, dict) else statements:
            if statement["Effect"] == effect:
                yield f"{owner.typ} {owner.name}", statement


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_every_binding_is_of_a_role_that_is_there_and_of_somebody(stack: Program) -> None:
    groups = {
        group
        for entry in _of(stack, "eks/accessEntry:AccessEntry")
        for group in entry.get("kubernetesGroups", [])
    }
    accounts = _names(stack, "core/v1:ServiceAccount")
    for kind in ("Role", "ClusterRole"):
        roles = _names(stack, f"{RBAC}:{kind}")
        for binding in _of(stack, f"{RBAC}:{kind}Binding"):
            namespace = binding["metadata"].get("namespace", "")
            assert binding["roleRef"]["kind"] == kind
            assert (namespace, binding["roleRef"]["name"]) in roles
            for subject in binding["subjects"]:
                if subject["kind"] == "Group":
                    assert subject["name"] in groups
                else:
                    assert (subject["namespace"], subject["name"]) in accounts


def test_nobody_administers_the_cluster_who_is_not_named(stack: Program) -> None:
    associations = _of(stack, "eks/accessPolicyAssociation:AccessPolicyAssociation")
    for association in associations:
        policy = association["policyArn"].rpartition("/")[2]
        assert policy in {"AmazonEKSClusterAdminPolicy", "AmazonEKSViewPolicy"}
        admin = association["principalArn"].endswith(":role/platform-admin")
        assert (policy == "AmazonEKSClusterAdminPolicy") is admin
    assert "system:masters" not in str([one.inputs for one in stack.engine.recorded.values()])


def test_no_rule_of_the_cluster_gives_all_or_secrets_or_rights(stack: Program) -> None:
    for kind in ("Role", "ClusterRole"):
        for role in _of(stack, f"{RBAC}:{kind}"):
            for rule in role["rules"]:
                assert not {"*", "bind", "escalate", "impersonate"} & set(rule["verbs"])
                resources = set(rule["resources"])
                assert not {"*", "secrets", "serviceaccounts/token", "nodes/proxy"} & resources
                if RBAC.partition("/")[0] in rule["apiGroups"]:  # who looks for drift, reads them
                    assert set(rule["verbs"]) == {"get"}


def test_every_namespace_is_closed(stack: Program) -> None:
    spaces = _names(stack, "core/v1:Namespace")
    assert spaces
    for _, space in spaces:
        (labels,) = (
            one["metadata"]["labels"]
            for one in _of(stack, "core/v1:Namespace")
            if one["metadata"]["name"] == space
        )
        assert labels["pod-security.kubernetes.io/enforce"] in {"baseline", "restricted"}
        for typ, name in (
            ("core/v1:ResourceQuota", "jobs"),
            ("core/v1:ResourceQuota", "no-critical-pods"),
            ("core/v1:LimitRange", "jobs"),
            ("networking.k8s.io/v1:NetworkPolicy", "default-deny"),
            ("core/v1:ServiceAccountPatch", "default"),
        ):
            assert (space, name) in _names(stack, typ)
    for typ in ("core/v1:ServiceAccountPatch", "core/v1:ServiceAccount"):
        for account in _of(stack, typ):
            if account["metadata"]["namespace"] != "kube-system":
                assert account["automountServiceAccountToken"] is False
    assert not _of(stack, "core/v1:Secret")


def test_a_role_is_for_one_purpose(stack: Program) -> None:
    trusts = [(name, one) for name, one in _statements(stack) if "Principal" in one]
    for name, trust in trusts:
        if not name.startswith("aws:iam/role:Role"):
            continue
        conditions = {
            key: value for one in trust.get("Condition", {}).values() for key, value in one.items()
        }
        if "Federated" in trust["Principal"]:
            claims = {key.rpartition(":")[2] for key in conditions}
            assert {"aud", "sub"} <= claims, name
        elif "AWS" in trust["Principal"]:
            named = trust["Principal"]["AWS"]
            assert all(re.fullmatch(r"arn:aws:iam::\d{12}:(role|user)/[^*]+", n) for n in named)
        elif trust["Principal"] != {"Service": "ec2.amazonaws.com"}:  # which names no source
            assert "Service" in trust["Principal"], name
            assert {"aws:SourceAccount", "aws:SourceArn"} <= conditions.keys(), name
        if "pods.eks.amazonaws.com" in str(trust["Principal"]):
            tags = {key.rpartition("/")[2] for key in conditions}
            assert {"kubernetes-namespace", "kubernetes-service-account"} <= tags, name


def test_a_topic_is_for_alarms_and_rules(stack: Program) -> None:
    topics = {one["name"]: one.get("kmsMasterKeyId") for one in _of(stack, "sns/topic:Topic")}
    # The one that tells of the key must do without it.
    assert [name.endswith("-key-alarms") for name, key in topics.items() if key is None] == [True]
    policies = [one["policy"] for one in _of(stack, "sns/topicPolicy:TopicPolicy")]
    assert len(policies) == len(topics) == 2
    for policy in map(json.loads, policies):
        allowed = [one for one in policy["Statement"] if one["Effect"] == "Allow"]
        services = [one["Principal"]["Service"] for one in allowed]
        assert sorted(services) == ["cloudwatch.amazonaws.com", "events.amazonaws.com"]
        (denied,) = (one for one in policy["Statement"] if one["Effect"] == "Deny")
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    told = {one["endpoint"] for one in _of(stack, "sns/topicSubscription:TopicSubscription")}
    assert all(one.endswith("@example.com") for one in told)
    for alarm in _of(stack, "cloudwatch/metricAlarm:MetricAlarm"):
        assert alarm["alarmActions"]


def test_no_policy_gives_what_it_does_not_name(stack: Program) -> None:
    for name, statement in _statements(stack):
        assert not any(key.startswith("Not") for key in statement), name
        actions = _list(statement["Action"])
        if "iam:PassRole" in actions:
            assert "*" not in "".join(_list(statement["Resource"])), name
            assert "iam:PassedToService" in str(statement["Condition"]), name
        if "emr-containers:StartJobRun" in actions:
            assert "emr-containers:ExecutionRoleArn" in str(statement["Condition"]), name
        if name.startswith("aws:iam/") and any(one.startswith("s3:") for one in actions):
            buckets = [one for one in _list(statement["Resource"]) if one.startswith("arn:aws:s3")]
            assert not any(one.startswith("arn:aws:s3:::*") for one in buckets), name


def test_nothing_lies_unencrypted(stack: Program) -> None:
    for typ, key in (
        ("cloudwatch/logGroup:LogGroup", "kmsKeyId"),
        ("mwaa/environment:Environment", "kmsKey"),
        ("secretsmanager/secret:Secret", "kmsKeyId"),
        ("eks:index:Cluster", "encryptionConfigKeyArn"),
    ):
        found = _of(stack, typ) or [
            one.inputs for one in stack.engine.recorded.values() if one.typ == typ
        ]
        assert found, typ
        assert all(one.get(key) for one in found), typ
    buckets = len(_of(stack, "s3/bucket:Bucket"))
    for setting in (
        "bucketPolicy:BucketPolicy",
        "bucketPublicAccessBlock:BucketPublicAccessBlock",
        "bucketVersioning:BucketVersioning",
        "bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    ):
        assert len(_of(stack, f"s3/{setting}")) == buckets
    for template in _of(stack, "ec2/launchTemplate:LaunchTemplate"):
        assert template["metadataOptions"]["httpTokens"] == "required"
        assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
        assert all(one["ebs"]["encrypted"] == "true" for one in template["blockDeviceMappings"])
        assert "networkInterfaces" not in template  # none has a public address


def test_the_control_plane_is_watched_and_not_open_to_all(stack: Program) -> None:
    (cluster,) = (
        one.inputs for one in stack.engine.recorded.values() if one.typ == "eks:index:Cluster"
    )
    assert len(cluster["enabledClusterLogTypes"]) == 5
    assert cluster["endpointPrivateAccess"] is True
    cidrs = cluster.get("publicAccessCidrs") or []
    assert cluster["endpointPublicAccess"] is bool(cidrs)
    assert all(ip_network(one).prefixlen > 8 for one in cidrs)


def test_what_comes_in_is_named(stack: Program) -> None:
    for rule in _of(stack, "vpc/securityGroupIngressRule:SecurityGroupIngressRule"):
        assert rule.get("cidrIpv4") != "0.0.0.0/0"
        assert not {"cidrIpv6", "prefixListId"} & rule.keys()
    for group in _of(stack, "ec2/securityGroup:SecurityGroup"):
        assert not {"ingress", "egress"} & group.keys()


def test_interface_endpoints_are_for_the_account(stack: Program) -> None:
    for endpoint in _of(stack, "ec2/vpcEndpoint:VpcEndpoint"):
        if endpoint["vpcEndpointType"] == "Interface":
            assert endpoint["privateDnsEnabled"] is True
            assert len(endpoint["subnetIds"]) >= 2
            assert len(endpoint["securityGroupIds"]) == 1


def test_everything_is_known_by_its_tags(stack: Program) -> None:
    (provider,) = (
        one for one in stack.engine.recorded.values() if one.typ == "pulumi:providers:aws"
    )
    assert {"project", "stack"} <= set(json.loads(provider.inputs["defaultTags"])["tags"])


def test_every_test_that_the_document_names_is_there() -> None:
    document = (ROOT / "docs/security.md").read_text()
    named = re.findall(r"`((?:sandbox/)?tests/\S+?\.py)::(test_\w+)`", document)
    assert len(named) == document.count("::test_") > 30
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"
    before = document.partition("## Rotate and revoke")[0]
    claims = re.findall(r"^(?:- (?:.+\n)(?:  .+\n)*)", before, re.MULTILINE)
    assert claims
    assert [one for one in claims if "::test_" not in one] == []


# What Kubernetes' ClusterRole `view` shows of the kinds that a program like this makes.
VIEWED = {
    "apps": {"deployments"},
    "core": {"configmaps", "limitranges", "namespaces", "resourcequotas", "serviceaccounts"},
    "networking.k8s.io": {"networkpolicies"},
    "policy": {"poddisruptionbudgets"},
}


def test_who_looks_for_drift_may_look_at_every_kind_of_object(run: Run) -> None:
    program = run("prod", delivery_githubRepository="acme/platform", spark_historyServer=True)
    seen = {group: set(resources) for group, resources in VIEWED.items()}
    (drift,) = (
        one for one in _of(program, f"{RBAC}:ClusterRole") if one["metadata"]["name"] == "drift"
    )
    for rule in drift["rules"]:
        for group in rule["apiGroups"]:
            seen.setdefault(group, set()).update(rule["resources"])
    made = {
        tuple(one.typ.removeprefix("kubernetes:").split(":"))
        for one in program.engine.recorded.values()
        if one.typ.startswith("kubernetes:")
    }
    plural = {(version.partition("/")[0], _plural(kind)) for version, kind in made}
    assert len(plural) > 10
    assert {(group, kind) for group, kind in plural if kind not in seen.get(group, ())} == set()


def _plural(kind: str) -> str:
    name = kind.removesuffix("Patch").lower()
    return re.sub("y$", "ie", name) + ("es" if name.endswith("s") else "s")
