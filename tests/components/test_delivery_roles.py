"""Decisions of DeliveryRoles."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from components.delivery_roles import DagDelivery, DeliveryRoles, DeliveryRolesArgs
from sandbox.cloud.aws.authorization import is_allowed
from tests.components.conftest import ACCOUNT, Engine, Resource

KEY = "arn:aws:kms:us-west-2:123456789012:key/1234abcd"
ARGS = DeliveryRolesArgs(
    repository="acme/platform",
    oidc_provider_arn=None,
    state_bucket_arn=None,
    state_key_arns=(),
    cluster_name="mwaa-on-eks-test",
    dag_bucket_arn="arn:aws:s3:::dags",
    job_bucket_arn="arn:aws:s3:::jobs",
    kms_key_arn=KEY,
    secrets_prefix="airflow/mwaa-on-eks-test",
    tags={"project": "mwaa-on-eks", "stack": "test"},
    dags=None,
    account=ACCOUNT,
)
GITHUB = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
PROVIDER = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ASSOCIATION = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"


def run(engine: Engine, **changes: Any) -> dict[str, Resource]:  # noqa: ANN401
    return engine.run(lambda: DeliveryRoles("delivery", replace(ARGS, **changes)))


def trust(engine: Engine) -> dict[str, Any]:
    (statement,) = json.loads(engine.one(ROLE, "-preview").inputs["assumeRolePolicy"])["Statement"]
    found: dict[str, Any] = statement
    return found


def allowed(engine: Engine) -> dict[str, dict[str, Any]]:
    """The statements of the preview's policy, all of them Allow."""
    document = json.loads(engine.one(POLICY, "-preview").inputs["policy"])
    assert {one["Effect"] for one in document["Statement"]} == {"Allow"}
    return {one["Sid"]: one for one in document["Statement"]}


def test_the_role_is_for_pull_requests_and_the_main_branch_of_one_repository(
    engine: Engine,
) -> None:
    run(engine)

    assert trust(engine)["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust(engine)["Principal"] == {"Federated": "arn:aws:mock:::delivery-github"}
    assert trust(engine)["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": [
                "repo:acme/platform:pull_request",
                "repo:acme/platform:ref:refs/heads/main",
            ],
        }
    }


def test_a_repository_may_have_the_name_that_cannot_be_taken_over(engine: Engine) -> None:
    run(engine, repository="acme@1/platform@2")

    subjects = trust(engine)["Condition"]["StringEquals"]
    assert subjects["token.actions.githubusercontent.com:sub"][0] == (
        "repo:acme@1/platform@2:pull_request"
    )


def test_the_provider_is_made_for_aws_alone(engine: Engine) -> None:
    run(engine)

    assert engine.one(PROVIDER).inputs == {
        "url": "https://token.actions.githubusercontent.com",
        "clientIdLists": ["sts.amazonaws.com"],
    }


def test_a_provider_that_is_there_is_used(engine: Engine) -> None:
    run(engine, oidc_provider_arn=GITHUB)

    assert not engine.all(PROVIDER)
    assert trust(engine)["Principal"] == {"Federated": GITHUB}


def test_the_claims_are_those_of_the_providers_issuer(engine: Engine) -> None:
    run(engine, oidc_provider_arn=f"{GITHUB}/acme")

    assert set(trust(engine)["Condition"]["StringEquals"]) == {
        "token.actions.githubusercontent.com/acme:aud",
        "token.actions.githubusercontent.com/acme:sub",
    }


def test_a_preview_may_look_up_what_the_program_looks_up(engine: Engine) -> None:
    run(engine)

    assert allowed(engine) == {
        "WhatTheProgramLooksUp": {
            "Sid": "WhatTheProgramLooksUp",
            "Effect": "Allow",
            "Action": [
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeVpcEndpointServices",
                "eks:DescribeAddonVersions",
            ],
            "Resource": "*",
        },
        "WhetherImagesAreThere": {
            "Sid": "WhetherImagesAreThere",
            "Effect": "Allow",
            "Action": "ecr:DescribeImages",
            "Resource": "arn:aws:ecr:us-west-2:123456789012:repository/*",
        },
        "WhoHasWrittenDags": {
            "Sid": "WhoHasWrittenDags",
            "Effect": "Allow",
            "Action": "s3:ListBucketVersions",
            "Resource": "arn:aws:s3:::dags",
        },
        "WhoHasWrittenPodTemplates": {
            "Sid": "WhoHasWrittenPodTemplates",
            "Effect": "Allow",
            "Action": "s3:ListBucketVersions",
            "Resource": "arn:aws:s3:::jobs",
            "Condition": {"StringEquals": {"s3:prefix": "pod_templates/"}},
        },
    }


def test_a_preview_may_read_the_state_in_its_bucket(engine: Engine) -> None:
    run(engine, state_bucket_arn="arn:aws:s3:::state", state_key_arns=(KEY,))

    assert allowed(engine)["WhatStateThereIs"]["Resource"] == "arn:aws:s3:::state"
    assert allowed(engine)["State"]["Action"] == "s3:GetObject"
    assert allowed(engine)["State"]["Resource"] == "arn:aws:s3:::state/*"
    assert allowed(engine)["KeysOfTheState"]["Action"] == "kms:Decrypt"
    assert allowed(engine)["KeysOfTheState"]["Resource"] == [KEY]


def test_a_preview_may_read_the_state_below_its_prefix_alone(engine: Engine) -> None:
    run(engine, state_bucket_arn="arn:aws:s3:::state/platform")

    listed = allowed(engine)["WhatStateThereIs"]
    assert listed["Resource"] == "arn:aws:s3:::state"
    assert "Condition" not in listed, "else S3 calls a missing object forbidden"
    assert allowed(engine)["State"]["Resource"] == "arn:aws:s3:::state/platform/*"


def test_in_the_cluster_a_preview_may_look_at_all_but_secrets(engine: Engine) -> None:
    run(engine)

    entry = engine.one(ENTRY, "-preview").inputs
    assert entry["principalArn"] == "arn:aws:mock:::delivery-preview"
    assert not entry.get("kubernetesGroups")
    granted = engine.one(ASSOCIATION, "-preview").inputs
    assert granted["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    assert "delivery-preview" in engine.waits_for(engine.one(ASSOCIATION, "-preview"))


def test_everything_lies_under_the_component(engine: Engine) -> None:
    run(engine)

    assert engine.tops() == {"delivery", "preview_role_arn", "drift_role_arn"}


DAGS = DagDelivery(
    bucket_arn="arn:aws:s3:::dags",
    kms_key_arn=KEY,
    environment_arn="arn:aws:airflow:us-west-2:123456789012:environment/test",
    execution_role_arn="arn:aws:iam::123456789012:role/execution",
)


def test_only_the_main_branch_delivers_dags(engine: Engine) -> None:
    run(engine, dags=DAGS)

    role = json.loads(engine.one(ROLE, "-dags").inputs["assumeRolePolicy"])
    condition = role["Statement"][0]["Condition"]["StringEquals"]
    assert condition["token.actions.githubusercontent.com:sub"] == [
        "repo:acme/platform:ref:refs/heads/main"
    ]


def test_where_the_program_delivers_no_workflow_may(engine: Engine) -> None:
    run(engine)

    assert {role.name for role in engine.all(ROLE)} == {"delivery-preview", "delivery-drift"}


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:ListBucket", DAGS.bucket_arn, True),
        ("s3:PutObject", f"{DAGS.bucket_arn}/dags/a.py", True),
        ("s3:DeleteObject", f"{DAGS.bucket_arn}/dags/a.py", True),
        ("s3:GetObjectVersion", f"{DAGS.bucket_arn}/requirements.txt", True),
        ("kms:GenerateDataKey", KEY, True),
        ("airflow:UpdateEnvironment", DAGS.environment_arn, True),
        ("iam:PassRole", DAGS.execution_role_arn, True),
        ("s3:DeleteObjectVersion", f"{DAGS.bucket_arn}/dags/a.py", False),
        ("s3:PutObject", "arn:aws:s3:::jobs/a", False),
        ("s3:PutBucketPolicy", DAGS.bucket_arn, False),
        ("kms:ScheduleKeyDeletion", KEY, False),
        ("airflow:DeleteEnvironment", DAGS.environment_arn, False),
        ("airflow:UpdateEnvironment", f"{DAGS.environment_arn}-other", False),
        ("airflow:CreateWebLoginToken", DAGS.environment_arn, False),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/admin", False),
        ("sts:AssumeRole", DAGS.execution_role_arn, False),
    ],
)
def test_who_delivers_dags_may_do_that_and_nothing_else(
    engine: Engine, action: str, resource: str, allowed: bool
) -> None:
    run(engine, dags=DAGS)

    policy = json.loads(engine.one(POLICY, "-dags").inputs["policy"])
    service = {"kms": "s3.us-west-2", "iam": "airflow"}.get(action.partition(":")[0], "")
    context = dict.fromkeys(("kms:ViaService", "iam:PassedToService"), f"{service}.amazonaws.com")
    assert is_allowed([policy], action, resource, context) is allowed
    if service:
        assert not is_allowed([policy], action, resource, {})


def test_only_the_main_branch_looks_for_drift_and_sees_no_more_of_the_account_than_an_auditor(
    engine: Engine,
) -> None:
    run(engine)

    role = json.loads(engine.one(ROLE, "-drift").inputs["assumeRolePolicy"])
    condition = role["Statement"][0]["Condition"]["StringEquals"]
    assert condition["token.actions.githubusercontent.com:sub"] == [
        "repo:acme/platform:ref:refs/heads/main"
    ]
    (attached,) = engine.all("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert attached.inputs["policyArn"] == "arn:aws:iam::aws:policy/SecurityAudit"


PREFIX = "arn:aws:secretsmanager:us-west-2:123456789012:secret:airflow/mwaa-on-eks-test"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", "arn:aws:s3:::dags/dags/a.py", True),
        ("s3:ListBucketVersions", "arn:aws:s3:::dags", True),
        ("secretsmanager:GetSecretValue", f"{PREFIX}/connections/emr_eks-a1b2c3", True),
        ("kms:Decrypt", KEY, True),
        ("s3:GetObject", "arn:aws:s3:::state/platform/.pulumi/stacks/a.json", True),
        ("s3:GetObject", "arn:aws:s3:::jobs/risk/spark-events/.keep", True),
        ("s3:GetObjectTagging", "arn:aws:s3:::jobs/risk/spark-events/.keep", True),
        ("s3:GetObject", "arn:aws:s3:::jobs/job_scripts/sales_report.py", True),
        ("s3:GetObject", "arn:aws:s3:::jobs/risk/spark-events/spark-1", False),
        ("s3:GetObject", "arn:aws:s3:::jobs/pod_templates/driver.yaml", True),
        ("s3:GetObject", "arn:aws:s3:::jobs/a", False),
        ("s3:ListBucketVersions", "arn:aws:s3:::jobs", False),
        ("s3:PutObject", "arn:aws:s3:::dags/dags/a.py", False),
        ("s3:PutObject", "arn:aws:s3:::state/platform/.pulumi/stacks/a.json", False),
        ("secretsmanager:GetSecretValue", f"{PREFIX}/variables/token-a1b2c3", False),
        ("secretsmanager:PutSecretValue", f"{PREFIX}/connections/emr_eks-a1b2c3", False),
        ("kms:Encrypt", KEY, False),
        ("sts:AssumeRole", "arn:aws:iam::123456789012:role/execution", False),
    ],
)
def test_who_looks_for_drift_may_read_what_a_refresh_reads_and_nothing_else(
    engine: Engine, action: str, resource: str, allowed: bool
) -> None:
    run(engine, state_bucket_arn="arn:aws:s3:::state/platform")

    policy = json.loads(engine.one(POLICY, "-drift").inputs["policy"])
    of_the_stack = {"aws:ResourceTag/project": "mwaa-on-eks", "aws:ResourceTag/stack": "test"}
    context = {"kms:ViaService": "secretsmanager.us-west-2.amazonaws.com", **of_the_stack}
    assert is_allowed([policy], action, resource, context) is allowed
    if action in {"kms:Decrypt", "secretsmanager:GetSecretValue"}:
        assert not is_allowed([policy], action, resource, {"aws:ResourceTag/stack": "test"})


def test_who_looks_for_drift_sees_rights_in_the_cluster_and_no_secrets(engine: Engine) -> None:
    run(engine)

    assert engine.one(ENTRY, "-drift").inputs["kubernetesGroups"] == ["drift"]
    granted = engine.one(ASSOCIATION, "-drift").inputs
    assert granted["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    rules = engine.one("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole").inputs["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get"}
    assert "secrets" not in {one for rule in rules for one in rule["resources"]}
    binding = engine.one("kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding").inputs
    assert [one["name"] for one in binding["subjects"]] == ["drift"]
