"""Every setting changed on a live stack, in the order of this file: what a preview shows is what
`up` does, and what cannot change is refused before anything else happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from sandbox.clone import Clone
from settings.sections import MODELS, names_of
from settings.versions import AIRFLOW, KUBERNETES_PROVIDER
from tests.operations.github import github_tokens
from tests.platform import aws_rights, docs_security
from tests.platform.of_the_account import make_principals, take_access_logs
from tests.platform.steps import run

Json = Any

_AUTOSCALER = "kubernetes:apps/v1:Deployment"  # its image has the cluster's minor version
ZONES = ["us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d"]
ACCOUNT = "123456789012"
PRINCIPALS = {
    name: f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("admin", "viewer", "analyst")
}
LOGS = "arn:aws:s3:::flow-logs-of-others"
ACCESS_LOGS = "access-logs-of-others"
STATE = "arn:aws:s3:::state-of-stacks"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/0a1b2c3d-0000-0000-0000-000000000000"
TOPIC = f"arn:aws:sns:us-west-2:{ACCOUNT}:on-call"
ISSUER = "token.actions.githubusercontent.com/acme"
BEGINNING: dict[str, Any] = {
    "network.zones": 2,
    "airflow.version": "2.11.0",
}


@dataclass(frozen=True)
class Round:
    """Settings that change together, since each touches other resources."""

    changes: dict[str, Any]
    replaces: frozenset[str] = frozenset()
    """The types of which something is made anew, or goes."""


ENVIRONMENT = "aws:mwaa/environment:Environment"
BOUNDS = "pulumi-python:dynamic:Resource"
# With the group goes what holds its bounds.
NODES = frozenset({"aws:eks/nodeGroup:NodeGroup", BOUNDS})

ROUNDS = {
    "a zone, a team, pods": Round(
        {
            "network.zones": 3,
            "spark.teams[0].name": "mwaa",
            "spark.teams[1].name": "risk",
            "spark.teams[1].cpu": "8",
            "spark.teams[1].memory": "32Gi",
            "spark.teams[1].storage": "500Gi",
            "spark.teams[1].pods": "10",
            "spark.teams[1].data[0].bucket": aws_rights.LAKE,
            "spark.teams[1].data[0].prefix": "trades",
            "spark.teams[1].data[1].bucket": aws_rights.LAKE,
            "spark.teams[1].data[1].prefix": "risk",
            "spark.teams[1].data[1].access": "readWrite",
            "spark.teams[1].data[1].kmsKeyArn": KEY,
            "spark.teams[1].data[2].bucket": aws_rights.IMPOSTOR,
            "spark.teams[1].data[2].accountId": "999999999999",
            "spark.teams[1].glueDatabases[0].database": "trades",
            "spark.teams[1].glueDatabases[1].database": "risk",
            "spark.teams[1].glueDatabases[1].access": "readWrite",
            "spark.teams[1].members": [PRINCIPALS["analyst"]],
            "airflow.podQuota.cpu": "8",
            "airflow.podQuota.memory": "32Gi",
            "airflow.podQuota.storage": "200Gi",
            "airflow.podQuota.pods": "10",
            "airflow.podServiceAccounts[0].name": "reader",
            "airflow.podServiceAccounts[0].policyArns": [
                "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
            ],
            "airflow.podEgress[0].cidr": "10.20.0.0/16",
            "airflow.podEgress[0].port": 5432,
            "airflow.options": {"core.default_task_retries": "2"},
            "airflow.metadataBackups": True,
            "airflow.metricNamespaces": ["Sales"],
            "monitoring.monthlyBudgetUsd": 900,
            "airflow.plugins": "plugins",
            "airflow.startupScript": "startup.sh",
            "account.forceDestroy": False,
            "monitoring.level": "full",
            "monitoring.emails": ["on-call@example.com"],
        },
        NODES,
    ),
    "ways out, ways in, size": Round(
        {
            "network.nat": "perZone",
            "network.interfaceEndpoints": ["sts", "ecr.api"],
            "network.forbiddenCidrs": ["10.99.0.0/16"],
            "cluster.publicAccessCidrs": ["192.0.2.0/25"],
            "cluster.adminPrincipalArns": [PRINCIPALS["admin"]],
            "cluster.viewerPrincipalArns": [PRINCIPALS["viewer"]],
            "cluster.privateAccessCidrs": ["192.168.0.0/16"],
            "cluster.networkPolicyMode": "strict",
            "cluster.imageRegistry": "registry.example.com/mirror",
            "cluster.nodeMin": 5,
            "cluster.nodeMax": 12,
            "airflow.environmentClass": "mw1.large",
            "airflow.minWorkers": 2,
            "airflow.maxWorkers": 12,
            "airflow.schedulers": 3,
            "airflow.minWebservers": 3,
            "airflow.maxWebservers": 4,
            "airflow.webserverAccess": "PRIVATE_ONLY",
            "airflow.weeklyMaintenanceWindow": "SUN:03:30",
            "airflow.logLevel": "WARNING",
            "airflow.podXcom": True,
            "airflow.egress": "https",
            "spark.releaseLabel": "emr-7.13.0-latest",
            "spark.spot.instanceTypes": ["r7i.xlarge", "r6i.xlarge"],
            "spark.spot.max": 4,
            "delivery.githubRepository": "acme/platform",
            "delivery.stateBucketArn": f"{STATE}/platform",
            "delivery.stateKeyArns": [KEY],
            "monitoring.topicArns": [TOPIC],
            "monitoring.thresholds.failedTasksPercent": 40,
            "monitoring.thresholds.failedTasksMinCount": 20,
            "monitoring.thresholds.stuckQueueMinutes": 30,
            "monitoring.thresholds.unschedulablePodsMinutes": 20,
            "monitoring.thresholds.apiServerErrorsPercent": 2,
            "monitoring.thresholds.apiServerThrottlingMinutes": 30,
            "monitoring.thresholds.etcdMegabytes": 6000,
        },
        frozenset({"aws:secretsmanager/secretVersion:SecretVersion"}),  # what connections say
    ),
    "a zone by name, where flow logs go, versions": Round(
        {
            "network.availabilityZones": ZONES,
            "network.flowLogs": LOGS,
            "cluster.kubernetesVersion": "1.36",
            "cluster.authenticationMode": "API",
            "airflow.version": "2.11.2",
            "account.unprotected": ["environment"],
        },
        NODES
        | {"aws:ec2/flowLog:FlowLog"}
        | {"aws:cloudwatch/logGroup:LogGroup", "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"}
        | {"kubernetes:core/v1:ConfigMap"},
    ),
    "sleep": Round({"account.asleep": True}, frozenset({ENVIRONMENT, BOUNDS})),
    "tags, care": Round(
        {
            "account.asleep": False,
            "account.tags": {"owner": "data-platform"},
            "account.logRetentionDays": 400,
            "account.accessLogBucket": ACCESS_LOGS,
            "account.production": True,
            "account.acceptedRisks": ["publicEndpoint", "forceDestroy"],
            "cluster.deletionProtection": True,
            "spark.podSecurity": "restricted",
            "delivery.githubOidcProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}",
        },
        frozenset({BOUNDS}) | frozenset({"aws:iam/openIdConnectProvider:OpenIdConnectProvider"}),
    ),
    "nodes, who delivers": Round(
        {
            "cluster.instanceTypes": ["m7g.xlarge", "m6g.xlarge"],
            "cluster.architecture": "arm64",
            "cluster.nodeDiskGib": 120,
            "airflow.dagDelivery": "pipeline",
            "airflow.plugins": None,
            "airflow.startupScript": None,
            # Late, since each round that replaces nodes starts it anew, as Java does: slowly.
            "spark.historyServer": True,
            "spark.spot": None,
            "account.unprotected": ["namespaces", "virtualClusters"],
        },
        NODES
        | {"aws:s3/bucketObjectv2:BucketObjectv2"}
        | {"aws:secretsmanager/secretVersion:SecretVersion"}  # where executors are to run
        | {"eks:index:ManagedNodeGroup"}
        | {"aws:cloudwatch/metricAlarm:MetricAlarm"},  # of the nodes on spot capacity
    ),
}

REFUSED = {
    "account.id": "123456789013",
    "account.region": "eu-west-1",
    "airflow.podNamespace": "elsewhere",
    "cluster.kubernetesVersion": "1.34",
    "network.cidrBlock": "10.1.0.0/16",
    "spark.teams[0].name": "renamed",
}
"""Changes that cannot be made, each with a finding of its own."""

ELSEWHERE = {
    "cluster.privateAccessSecurityGroupIds": "needs the id of a group that is there: tested below",
}


def _leaf(key: str) -> str:
    return re.sub(r"\[\d+\]", "", key)


def test_every_setting_is_changed_here() -> None:
    leaves = {f"{path}.{name}" for path, model in MODELS.items() for name in names_of(model)}
    changed = {_leaf(key) for each in ROUNDS.values() for key in each.changes}
    changed |= {_leaf(key) for key in REFUSED} | ELSEWHERE.keys()
    assert changed - MODELS.keys() == leaves - MODELS.keys()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone of its own, whose sandbox holds nothing but what the settings below name."""
    clone = Clone.make(tmp_path_factory.mktemp("changes"))
    (clone.directory / "plugins").mkdir()
    (clone.directory / "plugins/helper.py").write_text("ANSWER = 42\n")
    (clone.directory / "startup.sh").write_text("export ANSWER=42\n")
    clone.start()
    clone.pulumi("stack", "init")
    make_principals(clone, PRINCIPALS.values())
    clone.aws("s3").create_bucket(
        Bucket=LOGS.rpartition(":")[2],
        CreateBucketConfiguration={"LocationConstraint": "us-west-2"},
    )
    take_access_logs(clone, ACCESS_LOGS)
    clone.aws("sns").create_topic(Name=TOPIC.rpartition(":")[2])
    clone.aws("iam").create_open_id_connect_provider(
        Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com"]
    )
    yield clone
    clone.stop()


def _file(clone: Clone, stack: str = "sandbox") -> Path:
    return clone.directory / f"Pulumi.{stack}.yaml"


def _change(clone: Clone, changes: dict[str, Any]) -> None:
    """Write settings into the stack's file, named as in section.setting[0].field."""
    document = yaml.safe_load(_file(clone).read_text())
    for key, value in changes.items():
        section, *parts = re.findall(r"[^.\[\]]+", key)
        where: Any = document["config"].setdefault(f"mwaa-on-eks:{section}", {})
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            if isinstance(where, list):
                index = int(part)
                where.extend([] if index < len(where) else [{}])
                where = where[index]
            elif following is None:
                where[part] = value
            else:
                where = where.setdefault(part, [] if following.isdigit() else {})
        if parts[0] == "version" and section == "airflow":
            _require(clone, value)
    _file(clone).write_text(yaml.safe_dump(document))


def _require(clone: Clone, airflow: str) -> None:
    """Write the requirements of an Airflow version."""
    version = AIRFLOW[airflow]
    (clone.directory / "dags/requirements.txt").write_text(
        f"--constraint {version.constraints_url(airflow)}\n"
        f"{KUBERNETES_PROVIDER}=={version.pins[KUBERNETES_PROVIDER]}\n"
    )


def test_a_half_made_stack_is_refused_another_network_and_completed_by_going_back(
    clone: Clone,
) -> None:
    _change(clone, BEGINNING)
    beginning = _file(clone).read_text()
    faults = clone.directory / ".sandbox/faults.json"
    faults.write_text(json.dumps({"aws:ec2/natGateway:NatGateway": {"create": {"1": "fail"}}}))
    with mock.patch.dict(clone.environment, {"SANDBOX_FAULTS": str(faults)}):
        run(clone, "up", "--yes", "--skip-preview", ok=False)
    for changes, text in (
        ({"network.cidrBlock": "10.1.0.0/16"}, "not the range of the live VPC, 10.0.0.0/16"),
        ({"network.availabilityZones": ZONES[1::-1]}, "in their order (us-west-2a, us-west-2b)"),
        ({"network.availabilityZones": ZONES[1:3]}, "in their order (us-west-2a, us-west-2b)"),
    ):
        _change(clone, changes)
        steps, told = run(clone, "up", "--yes", "--skip-preview", ok=False)
        assert steps == set()
        assert text in told
        _file(clone).write_text(beginning)
    run(clone, "up", "--yes", "--skip-preview")


def test_a_renamed_stack_is_refused_until_it_has_its_name_back(clone: Clone) -> None:
    clone.pulumi("stack", "rename", "renamed")
    told = clone.pulumi("up", "--yes", "--skip-preview", stack="renamed", check=False)
    assert told.returncode != 0
    assert 'stack = "renamed": names everything mwaa-on-eks-renamed, and what' in told.stdout
    clone.pulumi("stack", "rename", "sandbox", stack="renamed")
    clone.pulumi("preview", "--expect-no-changes")


@pytest.mark.parametrize("name", ROUNDS)
def test_a_preview_shows_what_up_does(clone: Clone, name: str) -> None:
    one = ROUNDS[name]
    _change(clone, one.changes)
    previewed, _ = run(clone, "preview")
    done, _ = run(clone, "up", "--yes", "--skip-preview")
    assert done
    assert previewed == done
    gone = {kind for operation, kind, _ in done if operation in {"delete", "replace"}}
    assert gone == one.replaces


def test_kubernetes_goes_back_as_eks_documents_it(clone: Clone) -> None:
    _change(clone, {"cluster.kubernetesVersion": "1.35"})
    steps, told = run(clone, "up", "--yes", "--skip-preview", ok=False)
    assert steps == set()
    assert "is older than the live 1.36" in told
    eks, name = clone.aws("eks"), "mwaa-on-eks-sandbox"
    for group in eks.list_nodegroups(clusterName=name)["nodegroups"]:
        eks.update_nodegroup_version(clusterName=name, nodegroupName=group, version="1.35")
    eks.update_cluster_version(name=name, version="1.35")
    clone.pulumi("refresh", "--yes")
    done, _ = run(clone, "up", "--yes", "--skip-preview")
    kinds = {(operation, kind) for operation, kind, _ in done}
    assert kinds == {("update", "aws:eks/addon:Addon"), ("update", _AUTOSCALER)}


def test_a_security_group_may_be_let_in(clone: Clone) -> None:
    groups = clone.aws("ec2").describe_security_groups()["SecurityGroups"]
    group = next(one["GroupId"] for one in groups if one["GroupName"] == "default")
    _change(clone, {"cluster.privateAccessSecurityGroupIds": [group]})
    previewed, _ = run(clone, "preview")
    done, _ = run(clone, "up", "--yes", "--skip-preview")
    assert previewed == done
    assert {(operation, kind) for operation, kind, _ in done} == {
        ("create", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    }


def test_docs_security_tells_who_may_do_what_in_the_cluster(clone: Clone) -> None:
    assert docs_security.write(docs_security.cluster_rights(clone)), (
        f"{docs_security.FILE} told other rights, and is written anew: are the new ones meant?"
    )


def test_each_role_may_do_in_aws_what_it_must_and_nothing_else(clone: Clone) -> None:
    aws_rights.make_what_is_of_others(clone)
    assert aws_rights.wrong(clone) == []
    aws_rights.delete_what_is_of_others(clone)


def test_nothing_secret_is_told(clone: Clone) -> None:
    secrets = clone.aws("secretsmanager")
    values = [
        secrets.get_secret_value(SecretId=one["ARN"])["SecretString"]
        for one in secrets.list_secrets()["SecretList"]
    ]
    assert len(values) >= 4
    quoted = (json.dumps(value)[1:-1] for value in values)
    known = {*values, *quoted, clone.environment["AWS_SECRET_ACCESS_KEY"]}
    told = {
        "state": clone.pulumi("stack", "export").stdout,
        "outputs": clone.pulumi("stack", "output", "--json").stdout,
        "preview": clone.pulumi("preview", "--json").stdout,
        "events": (clone.directory / ".sandbox/events.json").read_text(),
        **{log.name: log.read_text() for log in clone.directory.glob(".sandbox/logs/*")},
    }
    assert [
        (where, value) for where, text in told.items() for value in known if value in text
    ] == []


REVIEWED = {
    "airflow.environmentClass": "mw1.xlarge",  # AWS alone
    "airflow.podEgress[1].cidr": "10.30.0.0/16",  # an object in the cluster
    "airflow.podEgress[1].port": 5439,
    "airflow.podServiceAccounts[1].name": "writer",  # a role whose name and ARN nobody knows yet
    "airflow.podServiceAccounts[1].policyArns": ["arn:aws:iam::aws:policy/AmazonS3FullAccess"],
    "cluster.nodeMax": 13,  # by a dynamic provider
}
PLAN = "plan.json"


@pytest.fixture(scope="module")
def reviewed(clone: Clone) -> tuple[str, Json]:
    """What an administrator's preview of a change shows, which is left in a plan too."""
    _change(clone, REVIEWED)
    with mock.patch.dict(clone.environment, {"PULUMI_EXPERIMENTAL": "true"}):
        shown = _shown(clone, "--save-plan", PLAN)
    assert {operation for operation, *_ in shown[1]} >= {"create", "update"}
    return shown


def _shown(clone: Clone, *options: str, role: str | None = None) -> tuple[str, Json]:
    """Run the step of the workflow; return the comment, and what changes in detail.

    role: whose rights it has, by a token as GitHub issues it to a pull request.
    """
    step = [".ci/preview", "sandbox", *options]
    if role is None:
        _call(clone, step, {})
    else:
        claims = {"iss": f"https://{ISSUER}", "sub": "repo:acme/platform:pull_request"}
        with github_tokens(clone.environment, **claims) as job:
            as_role = ["-m", "operations.workflow_identity", "--role", role, "--"]
            _call(clone, [sys.executable, *as_role, *step], job)
    preview = json.loads((clone.directory / "preview.json").read_text())
    details = [
        (
            one["op"],
            one["urn"],
            one.get("detailedDiff"),
            one.get("replaceReasons"),
            # What is new gets names by chance.
            one["newState"]["inputs"] if one["op"] == "update" else None,
        )
        for one in preview["steps"]
        if one["op"] != "same"
    ]
    return (clone.directory / "comment.md").read_text(), sorted(details, key=lambda one: one[1])


def _call(
    clone: Clone, command: list[str], more: dict[str, str], *, ok: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=clone.directory,
        env={**clone.environment, **more},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) is ok, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def test_a_pull_request_is_previewed_by_who_may_only_read(
    clone: Clone, reviewed: tuple[str, Json]
) -> None:
    assert _shown(clone, role=clone.outputs()["preview_role_arn"]) == reviewed


def test_a_pull_request_is_previewed_by_who_the_cluster_does_not_know(
    clone: Clone, reviewed: tuple[str, Json]
) -> None:
    eks, role = clone.aws("eks"), clone.outputs()["preview_role_arn"]
    entry = {"clusterName": "mwaa-on-eks-sandbox", "principalArn": role}
    before = eks.describe_access_entry(**entry)["accessEntry"]
    (policy,) = eks.list_associated_access_policies(**entry)["associatedAccessPolicies"]
    eks.delete_access_entry(**entry)
    assert _shown(clone, role=role) == reviewed
    eks.create_access_entry(**entry, tags=before["tags"])
    granted = {key: policy[key] for key in ("policyArn", "accessScope")}
    eks.associate_access_policy(**entry, **granted)


def test_a_pull_request_is_previewed_while_the_cluster_does_not_answer(
    clone: Clone, reviewed: tuple[str, Json]
) -> None:
    record = json.loads((clone.directory / ".sandbox/cloud.json").read_text())
    os.kill(record["processes"]["kube-apiserver"]["pid"], signal.SIGKILL)
    assert _shown(clone, role=clone.outputs()["preview_role_arn"]) == reviewed
    clone.start()


def test_whoever_previews_may_do_nothing_else(clone: Clone) -> None:
    claims = {"iss": f"https://{ISSUER}", "sub": "repo:acme/platform:pull_request"}
    with github_tokens(clone.environment, **claims) as job:
        role = clone.outputs()["preview_role_arn"]
        as_role = ["-m", "operations.workflow_identity", "--role", role, "--"]
        for service, operation in (
            ("eks", "describe-cluster --name mwaa-on-eks-sandbox"),
            ("secretsmanager", "list-secrets"),
        ):
            command = ["aws", service, *operation.split()]
            done = _call(clone, [sys.executable, *as_role, *command], job, ok=False)
            assert "AccessDenied" in done.stderr


def _deploy(clone: Clone, *, ok: bool) -> str:
    before = clone.resources()
    done = _call(clone, [".ci/deploy", "sandbox", PLAN], {}, ok=ok)
    assert (clone.resources() == before) is not ok
    return done.stdout + done.stderr


def test_what_was_not_reviewed_is_not_deployed(clone: Clone, reviewed: tuple[str, Json]) -> None:
    assert reviewed
    as_reviewed = _file(clone).read_text()
    _change(clone, {"airflow.podQuota.pods": "11"})
    assert "violates plan" in _deploy(clone, ok=False)
    _file(clone).write_text(as_reviewed)


def test_what_others_have_changed_since_is_not_undone(
    clone: Clone, reviewed: tuple[str, Json]
) -> None:
    assert reviewed
    state = clone.pulumi("stack", "export").stdout
    changed = json.loads(state)
    (retention,) = (
        one for one in changed["deployment"]["resources"] if one["urn"].endswith("::cluster-logs")
    )
    retention["inputs"]["retentionInDays"] = retention["outputs"]["retentionInDays"] = 731
    file = clone.directory / "state.json"
    for content, ok in ((json.dumps(changed), False), (state, True)):
        file.write_text(content)
        clone.pulumi("stack", "import", "--file", str(file))
        if not ok:
            assert "violates plan" in _deploy(clone, ok=ok)


def test_what_was_reviewed_is_deployed(clone: Clone, reviewed: tuple[str, Json]) -> None:
    assert reviewed
    plan = json.loads((clone.directory / PLAN).read_text())["resourcePlans"]
    (role,) = (one["goal"] for urn, one in plan.items() if urn.endswith("::pods-writer-role"))
    _deploy(clone, ok=True)
    assert clone.aws("iam").get_role(RoleName=role["inputDiff"]["adds"]["name"])


def test_what_cannot_change_is_refused_before_anything_else(clone: Clone) -> None:
    before = _file(clone).read_text()
    _change(clone, {**REFUSED, "account.unprotected": []})
    steps, told = run(clone, "up", "--yes", "--skip-preview", ok=False)
    assert steps == set()
    for key in REFUSED:
        assert f"mwaa-on-eks:{_leaf(key).removesuffix('.name')} = " in told
    _file(clone).write_text(before)


def test_a_team_goes_where_the_stack_says_so(clone: Clone) -> None:
    document = yaml.safe_load(_file(clone).read_text())
    document["config"]["mwaa-on-eks:spark"]["teams"].pop()
    document["config"]["mwaa-on-eks:airflow"]["podNamespace"] = "pods"
    _file(clone).write_text(yaml.safe_dump(document))
    previewed, _ = run(clone, "preview")
    done, _ = run(clone, "up", "--yes", "--skip-preview")
    assert previewed == done
    gone = {name for operation, _, name in done if operation in {"delete", "replace"}}
    assert {"risk-virtual-cluster", "spark-risk-namespace", "pods-namespace"} <= gone


def test_airflow_3_is_found_where_aws_has_upgraded_in_place(clone: Clone) -> None:
    _change(clone, {"airflow.version": "3.3.1"})
    _, told = run(clone, "preview", ok=False)
    assert "unable to replace" in told
    assert "is a major version above 2.11.2, as this stack knows it" in told
    clone.aws("mwaa").update_environment(Name="mwaa-on-eks-sandbox", AirflowVersion="3.3.1")
    done, _ = run(clone, "up", "--yes", "--refresh")
    assert not {operation for operation, _, _ in done} & {"replace", "delete", "create"}
    clone.pulumi("preview", "--expect-no-changes")


def test_what_has_changed_can_be_destroyed(clone: Clone) -> None:
    _change(clone, {"account.production": False, "cluster.deletionProtection": False})
    _change(clone, {"account.forceDestroy": True})
    clone.pulumi("up", "--yes", "--skip-preview")
    clone.unprotect()
    clone.pulumi("destroy", "--yes", "--skip-preview")
    assert clone.resources() == []
