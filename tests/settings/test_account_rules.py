"""Region and tags."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import PRODUCTION, Load, assert_mistake, assert_right, assert_warning


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        *(
            ({"account.region": typo}, "account.region", f"is no AWS region; did you mean {meant}?")
            for typo, meant in (
                ("us-west", "us-west-2"),
                ("US-WEST-2", "us-west-2"),
                (" us-west-2", "us-west-2"),
                ("us-west-2a", "us-west-2"),
                ("uswest2", "us-west-2"),
                ("eu_west_1", "eu-west-1"),
            )
        ),
        *(
            ({"account.region": no}, "account.region", "is no AWS region, such as us-west-2")
            for no in ("", "global", "Oregon")
        ),
        *(
            (
                {"account.region": typo},
                "account.region",
                "has no MWAA and no EKS and no EMR on EKS, as far as this botocore knows; did you "
                f"mean {meant}? Or choose another region, or add unlistedRegion",
            )
            for typo, meant in (
                ("us-wset-2", "us-west-2"),
                ("us-west-22", "us-west-2"),
                ("eu-centrall-1", "eu-central-1"),
            )
        ),
        ({"account.region": "ap-east-2"}, "account.region", "has no MWAA and no EMR on EKS"),
        ({"account.region": "ca-west-1"}, "account.region", "has no EMR on EKS,"),
        ({"account.region": "us-gov-west-1"}, "account.region", "AWS's partition aws-us-gov"),
        ({"account.region": "cn-north-1"}, "account.region", "AWS's partition aws-cn"),
        (
            {"account.region": "us-iso-east-1", "account.acceptedRisks": ["unlistedRegion"]},
            "account.region",
            "AWS's partition aws-iso",
        ),
        ({"account.tags": {f"t{n}": "x" for n in range(8)}}, "account.tags", "more tags than 7"),
        (
            {"account.tags": {f"t{n}": "x" for n in range(38)}, "airflow.dagDelivery": "pipeline"},
            "account.tags",
            "more tags than 37",
        ),
        (
            {"account.accessLogBucket": "mwaa-on-eks-dev-dags-111122223333"},
            "account.accessLogBucket",
            "each log would make another",
        ),
        ({"account.tags": {"Stack": "x"}}, "account.tags.Stack", "whatever its capitals"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        {"account.region": "ca-west-1", "account.acceptedRisks": ["unlistedRegion"]},
        {"account.tags": {f"t{n}": "x" for n in range(7)}},
        {"account.unprotected": ["vpc"]},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


def test_what_is_unprotected_in_production_is_warned_about(load: Load, warnings: list[str]) -> None:
    changes = PRODUCTION | {"account.unprotected": ["environment"]}
    assert_warning(load, warnings, changes, "account.unprotected", "remove it after the change")


def test_sleep_is_for_development_and_for_what_may_be_deleted(
    load: Load, warnings: list[str]
) -> None:
    asleep: dict[str, Any] = {"account.asleep": True}
    assert_mistake(load, PRODUCTION | asleep, "account.asleep", "is for development")
    assert_mistake(load, asleep, "account.asleep", "add environment to account.unprotected")
    asleep |= {"account.unprotected": ["environment"]}
    assert_warning(load, warnings, asleep, "account.asleep", "loses what Airflow has")
    warnings.clear()
    assert_right(load, warnings, asleep | {"airflow.metadataBackups": True})
