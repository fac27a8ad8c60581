"""What workflows may do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import Load, assert_mistake, assert_right

PROVIDER = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
KEY = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def delivery(repository: str | None = "acme/platform", **settings: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"delivery": {"githubRepository": repository, **settings}}


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (delivery("platform"), "delivery.githubRepository", "owner/name or owner@id/name@id"),
        (delivery("acme/*"), "delivery.githubRepository", "owner/name"),
        (delivery("acme/platform:x"), "delivery.githubRepository", "owner/name"),
        (delivery("acme@1/platform"), "delivery.githubRepository", "sub_claim_prefix"),
        (delivery("acme/platform@2"), "delivery.githubRepository", "sub_claim_prefix"),
        (
            delivery("https://github.com/acme/platform"),
            "delivery.githubRepository",
            "without repo:",
        ),
        (
            delivery(githubOidcProviderArn="token.actions.githubusercontent.com"),
            "delivery.githubOidcProviderArn",
            "the ARN of an OIDC provider",
        ),
        (
            delivery(githubOidcProviderArn=PROVIDER.replace("1111", "9999")),
            "delivery.githubOidcProviderArn",
            "is of another account than account.id, 111122223333",
        ),
        (
            delivery(stateBucketArn="s3://state"),
            "delivery.stateBucketArn",
            "arn:aws:s3:::pulumi-state/platform",
        ),
        (
            delivery(stateBucketArn="arn:aws:s3:::state/"),
            "delivery.stateBucketArn",
            "the ARN of an S3 bucket",
        ),
        (
            delivery(stateBucketArn="arn:aws:s3:::state/*"),
            "delivery.stateBucketArn",
            "the ARN of an S3 bucket",
        ),
        (
            delivery(stateKeyArns=["arn:aws:kms:us-west-2:111122223333:alias/state"]),
            "delivery.stateKeyArns[0]",
            "not of an alias",
        ),
        (delivery(stateKeyArns=[KEY, KEY]), "delivery.stateKeyArns", "is listed 2 times"),
        (
            delivery(None, githubOidcProviderArn=PROVIDER),
            "delivery.githubOidcProviderArn",
            "does nothing without delivery.githubRepository",
        ),
        (
            delivery(None, stateBucketArn="arn:aws:s3:::state"),
            "delivery.stateBucketArn",
            "does nothing without",
        ),
        (delivery(None, stateKeyArns=[KEY]), "delivery.stateKeyArns", "does nothing without"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        delivery(),
        delivery("acme@123456/platform.infra@456789"),
        delivery(
            githubOidcProviderArn=PROVIDER,
            stateBucketArn="arn:aws:s3:::state/platform",
            # The state may be another account's.
            stateKeyArns=[KEY, KEY.replace("111122223333", "444455556666")],
        ),
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)
