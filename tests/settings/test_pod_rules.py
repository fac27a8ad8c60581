"""The pods that DAGs start."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import PRODUCTION, Load, assert_mistake, assert_right, assert_warning

S3 = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
OWN = "arn:aws:iam::111122223333:policy/team/reports"


def accounts(*accounts: dict[str, Any]) -> dict[str, Any]:
    return {"airflow.podServiceAccounts": list(accounts)}


def egress(*ways: tuple[str, int]) -> dict[str, Any]:
    return {"airflow.podEgress": [{"cidr": cidr, "port": port} for cidr, port in ways]}


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (
            accounts({"name": "a", "policyArns": [S3]}, {"name": "a", "policyArns": [OWN]}),
            "airflow.podServiceAccounts",
            "is listed 2 times",
        ),
        (
            accounts({"name": "a", "policyArns": [S3, S3]}),
            "airflow.podServiceAccounts",
            "is listed 2 times",
        ),
        (
            accounts({"name": "a", "policyArns": [OWN.replace("1111", "9999")]}),
            "airflow.podServiceAccounts",
            "is of another account",
        ),
        (
            accounts({"name": "a", "policyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]}),
            "airflow.podServiceAccounts",
            "whoever writes a DAG administrator",
        ),
        (
            accounts({"name": "default", "policyArns": [S3]}),
            "airflow.podServiceAccounts[0].name",
            "not default",
        ),
        (
            accounts({"name": "a", "policyArns": []}),
            "airflow.podServiceAccounts[0].policyArns",
            "at least 1 item",
        ),
        (
            accounts({"name": "a", "policyArns": ["AmazonS3ReadOnlyAccess"]}),
            "airflow.podServiceAccounts[0].policyArns[0]",
            "must be the ARN of an IAM policy",
        ),
        (egress(("10.1.0.0/16", 0)), "airflow.podEgress[0].port", "greater than or equal to 1"),
        (egress(("10.1.0.0", 5432)), "airflow.podEgress[0].cidr", "canonical form: 10.1.0.0/32"),
        (
            egress(("10.1.0.0/16", 5432), ("10.1.0.0/16", 5432)),
            "airflow.podEgress",
            "is listed 2 times",
        ),
        (
            PRODUCTION | egress(("10.1.0.0/16", 5432), ("0.0.0.0/1", 5432)),
            "airflow.podEgress",
            "the whole internet: name the ranges that they need; or add openPodEgress",
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
        {"airflow.podXcom": True},
        accounts({"name": "reports", "policyArns": [S3, OWN]}),
        egress(("0.0.0.0/0", 22)),
        PRODUCTION | egress(("10.0.0.0/8", 5432), ("10.1.2.3/32", 5432)),
        PRODUCTION | egress(("0.0.0.0/0", 22)) | {"account.acceptedRisks": ["openPodEgress"]},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


def test_xcom_with_an_older_provider_needs_the_help_of_dags(
    load: Load, warnings: list[str]
) -> None:
    changes = {
        "airflow.podXcom": True,
        "airflow.version": "3.2.1",
        "airflow.dagDelivery": "pipeline",
    }
    assert_warning(load, warnings, changes, "airflow.podXcom", "let DAGs give it one")


def test_a_cluster_has_five_thousand_pod_identities(load: Load, warnings: list[str]) -> None:
    many = [{"name": f"account-{number}", "policyArns": [S3]} for number in range(4992)]
    changes = {"spark.teams": [{"name": "mwaa"}, {"name": "risk"}]}
    assert_mistake(
        load,
        changes | accounts(*many),
        "airflow.podServiceAccounts = 4992: ",
        "are more service accounts than 4991: a cluster has 5000 pod identity associations, of "
        "which each Spark team takes 3; let DAGs share some",
    )
    assert_right(load, warnings, changes | accounts(*many[1:]))
    assert_mistake(
        load,
        changes | {"spark.historyServer": True} | accounts(*many[2:]),
        "airflow.podServiceAccounts = 4990: ",
        "are more service accounts than 4989: a cluster has 5000 pod identity associations, of "
        "which each Spark team takes 4; let DAGs share some",
    )


def test_a_role_takes_twenty_policies(load: Load, warnings: list[str]) -> None:
    policies = [f"{OWN}-{number}" for number in range(21)]
    assert_mistake(
        load,
        accounts({"name": "a", "policyArns": policies}),
        "airflow.podServiceAccounts[0].policyArns",
        "at most 20 items",
    )
    assert_right(load, warnings, accounts({"name": "a", "policyArns": policies[:20]}))


@pytest.mark.parametrize(
    ("cidr", "fitting", "text"),
    [
        (
            "10.8.0.0/16",
            24,
            "has 25 ports, and EKS keeps 24 for one range: leave some out, or name",
        ),
        ("0.0.0.0/0", 23, "has 25 ports, HTTPS among them, and EKS keeps 24 for one range: leave"),
    ],
)
def test_a_range_has_twenty_four_ports(
    load: Load, warnings: list[str], cidr: str, fitting: int, text: str
) -> None:
    ways = [(cidr, port) for port in range(5000, 5000 + fitting + 1)]
    assert_mistake(load, egress(*ways, ("10.9.0.0/16", 1)), "airflow.podEgress", text)
    assert_right(load, warnings, egress(*ways[1:], ("10.9.0.0/16", 1)))


def test_https_that_is_named_too_counts_once(load: Load, warnings: list[str]) -> None:
    ways = [("0.0.0.0/0", port) for port in (443, *range(5000, 5023))]
    assert_right(load, warnings, egress(*ways))
