"""Decisions of DeliveryRoles."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from components.delivery_roles import DeliveryRoles, DeliveryRolesArgs
from tests.components.conftest import ACCOUNT, Engine, Resource

ARGS = DeliveryRolesArgs(
    repository="acme/platform",
    oidc_provider_arn=None,
    state_bucket_arn=None,
    state_key_arns=(),
    cluster_name="mwaa-on-eks-test",
    account=ACCOUNT,
)
GITHUB = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1234abcd"
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

    entry = engine.one(ENTRY).inputs
    assert entry["principalArn"] == "arn:aws:mock:::delivery-preview"
    assert not entry.get("kubernetesGroups")
    granted = engine.one(ASSOCIATION).inputs
    assert granted["policyArn"] == "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    assert "delivery-preview" in engine.waits_for(engine.one(ASSOCIATION))


def test_everything_lies_under_the_component(engine: Engine) -> None:
    run(engine)

    assert engine.tops() == {"delivery", "preview_role_arn"}
