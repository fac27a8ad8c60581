"""Decisions of TeamMembers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.team_members import TeamMembers, TeamMembersArgs
from sandbox.cloud.aws.authorization import is_allowed
from tests.components.conftest import ACCOUNT, Engine

PEOPLE = tuple(f"arn:aws:iam::{ACCOUNT.id}:role/{name}" for name in ("analyst", "engineer"))
EMR = f"arn:aws:emr-containers:us-west-2:{ACCOUNT.id}:/virtualclusters"
ROLES = f"arn:aws:iam::{ACCOUNT.id}:role"
LOGS = f"arn:aws:logs:us-west-2:{ACCOUNT.id}:log-group"
CLUSTER = f"arn:aws:eks:us-west-2:{ACCOUNT.id}:cluster/one"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT.id}:key/1"
ARGS = TeamMembersArgs(
    team="risk",
    principal_arns=PEOPLE,
    kubernetes_group="spark-risk",
    cluster_name="one",
    cluster_arn=CLUSTER,
    virtual_cluster_arn=f"{EMR}/risk",
    job_role_arn=f"{ROLES}/risk-job",
    log_group_arn=f"{LOGS}:/risk",
    bucket_arn="arn:aws:s3:::jobs",
    kms_key_arn=KEY,
    account=ACCOUNT,
)
OWNED = {"aws:ResourceAccount": ACCOUNT.id}
AS_RISK = {"emr-containers:ExecutionRoleArn": f"{ROLES}/risk-job"}
AS_OTHER = {"emr-containers:ExecutionRoleArn": f"{ROLES}/other-job"}
TO_PODS = {"iam:PassedToService": "pods.eks.amazonaws.com", "iam:AssociatedResourceARN": CLUSTER}


@pytest.fixture
def policy(engine: Engine) -> dict[str, Any]:
    engine.run(lambda: TeamMembers("risk", ARGS))
    document: dict[str, Any] = json.loads(
        engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"]
    )
    return document


ALLOWED = [
    ("emr-containers:StartJobRun", f"{EMR}/risk", AS_RISK),
    ("iam:PassRole", f"{ROLES}/risk-job", TO_PODS),
    ("emr-containers:ListJobRuns", f"{EMR}/risk", {}),
    ("emr-containers:DescribeJobRun", f"{EMR}/risk/jobruns/1", {}),
    ("emr-containers:CancelJobRun", f"{EMR}/risk/jobruns/1", {}),
    ("logs:FilterLogEvents", f"{LOGS}:/risk", {}),
    ("logs:GetLogEvents", f"{LOGS}:/risk:log-stream:one", {}),
    ("s3:GetObject", "arn:aws:s3:::jobs/risk/logs/one", OWNED),
    ("s3:PutObject", "arn:aws:s3:::jobs/risk/input/one", OWNED),
    ("s3:ListBucket", "arn:aws:s3:::jobs", {**OWNED, "s3:prefix": "risk/"}),
    ("kms:Decrypt", KEY, {"kms:ViaService": "s3.us-west-2.amazonaws.com"}),
    ("eks:DescribeCluster", CLUSTER, {}),
]
DENIED = [
    ("emr-containers:StartJobRun", f"{EMR}/risk", AS_OTHER),
    ("emr-containers:StartJobRun", f"{EMR}/other", AS_RISK),
    ("iam:PassRole", f"{ROLES}/other-job", TO_PODS),
    ("iam:PassRole", f"{ROLES}/risk-job", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ("emr-containers:ListJobRuns", f"{EMR}/other", {}),
    ("emr-containers:CancelJobRun", f"{EMR}/other/jobruns/1", {}),
    ("emr-containers:DeleteVirtualCluster", f"{EMR}/risk", {}),
    ("logs:GetLogEvents", f"{LOGS}:/other:log-stream:one", {}),
    ("logs:PutLogEvents", f"{LOGS}:/risk:log-stream:one", {}),
    ("logs:DeleteLogGroup", f"{LOGS}:/risk", {}),
    ("s3:GetObject", "arn:aws:s3:::jobs/other/one", OWNED),
    ("s3:GetObject", "arn:aws:s3:::jobs/risk-2/one", OWNED),
    ("s3:ListBucket", "arn:aws:s3:::jobs", OWNED),
    ("kms:Decrypt", KEY, {}),
]


@pytest.mark.parametrize(("action", "resource", "context"), ALLOWED)
def test_members_run_their_teams_jobs_and_see_what_comes_of_them(
    policy: dict[str, Any], action: str, resource: str, context: dict[str, str]
) -> None:
    assert is_allowed([policy], action, resource, context)


@pytest.mark.parametrize(("action", "resource", "context"), DENIED)
def test_members_do_nothing_else(
    policy: dict[str, Any], action: str, resource: str, context: dict[str, str]
) -> None:
    assert not is_allowed([policy], action, resource, context)


def test_the_role_is_for_those_who_are_named(engine: Engine) -> None:
    engine.run(lambda: TeamMembers("risk", ARGS))

    trust = json.loads(engine.one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    assert trust["Statement"] == [
        {"Effect": "Allow", "Principal": {"AWS": [*PEOPLE]}, "Action": "sts:AssumeRole"}
    ]


def test_in_kubernetes_members_are_their_teams_group_and_nothing_more(engine: Engine) -> None:
    outputs = engine.run(lambda: TeamMembers("risk", ARGS))

    entry = engine.one("aws:eks/accessEntry:AccessEntry").inputs
    assert entry["principalArn"] == outputs["role_arn"].inputs["value"]
    assert entry["kubernetesGroups"] == ["spark-risk"]
    assert not engine.all("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
