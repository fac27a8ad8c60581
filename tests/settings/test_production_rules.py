"""What is weak for production."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import PRODUCTION, Load, assert_mistake, assert_right, assert_warning


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (PRODUCTION | {"network.nat": "single"}, "network.nat", "add singleNat"),
        (
            PRODUCTION | {"cluster.deletionProtection": False},
            "cluster.deletionProtection",
            "add noDeletionProtection",
        ),
        (PRODUCTION | {"account.forceDestroy": True}, "account.forceDestroy", "add forceDestroy"),
        *(
            (
                PRODUCTION | {"airflow.webserverAccess": access},
                "airflow.webserverAccess",
                f'"{access}": lets the whole internet try Airflow\'s sign-in: choose PRIVATE_ONLY; '
                "or add publicWebServer to account.acceptedRisks",
            )
            for access in ("PUBLIC_ONLY", "PUBLIC_AND_PRIVATE")
        ),
        (
            PRODUCTION | {"cluster.publicAccessCidrs": ["203.0.113.0/24"]},
            "cluster.publicAccessCidrs",
            "add publicEndpoint",
        ),
        (
            PRODUCTION | {"cluster.adminPrincipalArns": []},
            "cluster.adminPrincipalArns",
            "add deployerOnlyAdmin",
        ),
        (
            PRODUCTION | {"account.accessLogBucket": None},
            "account.accessLogBucket",
            "add noAccessLogs",
        ),
        (
            PRODUCTION | {"account.logRetentionDays": 180},
            "account.logRetentionDays",
            "add shortLogRetention",
        ),
        (PRODUCTION | {"monitoring": {"level": "none"}}, "monitoring.level", "add noAlarms"),
        (PRODUCTION | {"monitoring.emails": []}, "monitoring.emails", "add noSubscribers"),
        *(
            (PRODUCTION | {"airflow.podEgress": egress}, "airflow.podEgress", "add openPodEgress")
            for egress in (
                [{"cidr": "0.0.0.0/0", "port": 5432}],
                [{"cidr": cidr, "port": 5432} for cidr in ("0.0.0.0/1", "128.0.0.0/1")],
                [{"cidr": f"{first}.0.0.0/8", "port": 5432} for first in (3, 4)],
            )
        ),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        PRODUCTION,
        PRODUCTION | {"airflow.podEgress": [{"cidr": "10.0.0.0/8", "port": 5432}]},
        PRODUCTION | {"network.nat": "single", "account.acceptedRisks": ["singleNat"]},
        PRODUCTION | {"monitoring": {"topicArns": ["arn:aws:sns:us-west-2:111122223333:pager"]}},
        PRODUCTION | {"monitoring": {"level": "none"}, "account.acceptedRisks": ["noAlarms"]},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (
            PRODUCTION | {"account.acceptedRisks": ["singleNat"]},
            "account.acceptedRisks",
            "singleNat is accepted without need",
        ),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    assert_warning(load, warnings, changes, key, text)
