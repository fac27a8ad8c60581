"""Who is told, and which of Airflow's options blind alarms."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import (
    Load,
    assert_mistake,
    assert_right,
    assert_warning,
    mistakes,
)

TWO = {"airflow.version": "2.11.2", "airflow.dagDelivery": "pipeline"}
SNS = "arn:aws:sns:us-west-2:111122223333"


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        *(
            (
                {"monitoring.emails": [wrong]},
                f'monitoring.emails[0] = "{wrong}"',
                "must be an e-mail address such as data-platform@example.com",
            )
            for wrong in ("on-call", "on-call@example", "a b@example.com", "Me <me@example.com>")
        ),
        *(
            (
                {"monitoring.topicArns": [wrong]},
                "monitoring.topicArns[0]",
                "must be the ARN of an SNS topic, not a FIFO one, which alarms cannot publish to",
            )
            for wrong in (f"{SNS}:alarms.fifo", "alarms", "arn:aws:sqs:us-west-2:111122223333:q")
        ),
        (
            {"monitoring.topicArns": [f"{SNS}:{name}" for name in "abcde"]},
            "monitoring.topicArns",
            "at most 4 items",
        ),
        (
            {"monitoring.topicArns": ["arn:aws:sns:eu-west-1:111122223333:pager"]},
            "monitoring.topicArns",
            "is in eu-west-1, and alarms publish in their own region alone, 111122223333 in "
            "us-west-2: name a topic there",
        ),
        (
            {"monitoring.topicArns": ["arn:aws:sns:us-west-2:444455556666:pager"]},
            "monitoring.topicArns",
            "is of account 444455556666, and EventBridge publishes in its own account alone",
        ),
        (
            {"monitoring.emails": ["a@example.com", "a@example.com"]},
            "monitoring.emails",
            "is listed 2 times",
        ),
        (
            {"monitoring.level": "none", "monitoring.emails": ["a@example.com"]},
            "monitoring.emails",
            "gets no message with monitoring.level none: choose essential, or leave it out",
        ),
        (
            {"monitoring.thresholds": {"stuckQueueMinutes": 7}},
            "monitoring.thresholds.stuckQueueMinutes = 7",
            "must be a multiple of 5",
        ),
        (
            {"monitoring.thresholds": {"unschedulablePodsMinutes": 1441}},
            "monitoring.thresholds.unschedulablePodsMinutes",
            "must be less than or equal to 1440",  # CloudWatch looks back a day
        ),
        (
            {"monitoring.thresholds": {"etcdMegabytes": 9000}},
            "monitoring.thresholds.etcdMegabytes",
            "must be less than or equal to 8000",
        ),
        ({"monitoring.level": "all"}, "monitoring.level", "must be 'none', 'essential' or 'full'"),
    ],
)
def test_a_mistake_is_named_with_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    ("options", "airflow", "text"),
    [
        ({"metrics.metrics_allow_list": "ti"}, {}, "leaves airflow-scheduler-silent, "),
        ({"metrics.metrics_allow_list": "scheduler,triggerer"}, {}, "executor.queued_tasks"),
        (
            {"metrics.metrics_block_list": "ti_fail"},
            {},
            "airflow-tasks-failing without the metrics",
        ),
        ({"metrics.metrics_block_list": "heartbeat"}, {}, "scheduler_heartbeat"),
        ({"metrics.metrics_block_list": "dag_processing"}, TWO, "airflow-dags-broken without"),
        # With an allow list, Airflow does not read the other one.
        (
            {"metrics.metrics_allow_list": "pool", "metrics.metrics_block_list": "dagrun"},
            {},
            "scheduler_heartbeat",
        ),
        ({"metrics.statsd_on": "False"}, {}, "scheduler_heartbeat"),
    ],
)
def test_what_blinds_an_alarm_is_warned_about(
    load: Load, warnings: list[str], options: dict[str, str], airflow: dict[str, Any], text: str
) -> None:
    option = next(iter(options))
    changes = {"airflow.options": options} | airflow
    assert_warning(load, warnings, changes, f"airflow.options.{option}", text)


@pytest.mark.parametrize(
    "changes",
    [
        {"airflow.options": {"metrics.metrics_allow_list": "."}},
        {"airflow.options": {"metrics.metrics_block_list": "pool,dagrun"}},
        {"airflow.options": {"metrics.statsd_on": "True"}},
        # In Airflow 2 an entry is how a name begins, and none begins so.
        {"airflow.options": {"metrics.metrics_block_list": "heartbeat"}} | TWO,
        {"airflow.options": {"metrics.metrics_allow_list": "pool"}, "monitoring.level": "none"},
        {"monitoring.topicArns": [f"{SNS}:pager"], "monitoring.emails": ["a.b+c@mail.example.com"]},
        {"monitoring.level": "full", "monitoring.thresholds": {"stuckQueueMinutes": 30}},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


def test_what_is_watched_follows_from_the_other_settings(load: Load) -> None:
    assert load({"monitoring.level": "none"}).watched(()) is None
    assert load({"monitoring.level": "none"}).alarm_topic_name is None
    assert load({}).alarm_topic_name == "mwaa-on-eks-dev-alarms"
    spot = {"instanceTypes": ["m7i.xlarge"], "max": 2}
    watched = load({"spark.spot": spot, "cluster.nodeMin": 2}).watched(("a",))
    assert watched is not None
    assert watched.has_spot_nodes
    assert watched.has_workers_of_their_own
    assert watched.node_min == 2
    assert watched.level == "essential"
    assert watched.nat_gateways == ("a",)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"monitoring.monthlyBudgetUsd": 0}, "monitoring.monthlyBudgetUsd", "greater than"),
        (
            {"monitoring.monthlyBudgetUsd": 800, "monitoring.level": "none"},
            "monitoring.monthlyBudgetUsd",
            "tells nobody with monitoring.level none",
        ),
    ],
)
def test_a_budget_that_cannot_be_is_refused(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


def test_a_budget_in_another_currency_is_refused(load: Load) -> None:
    changes = {
        "account.region": "cn-north-1",
        "account.acceptedRisks": ["unlistedRegion"],
        "monitoring.monthlyBudgetUsd": 800,
    }
    told = mistakes(load, changes)
    assert any("is in dollars of AWS's partition aws, and cn-north-1" in line for line in told)


def test_more_addresses_than_a_budget_writes_to_are_a_warning(
    load: Load, warnings: list[str]
) -> None:
    emails = [f"{number}@example.com" for number in range(11)]
    budget = {"monitoring.monthlyBudgetUsd": 800, "monitoring.emails": emails}
    assert_warning(load, warnings, budget, "monitoring.emails", "more addresses than the 10")
    warnings.clear()
    assert_right(load, warnings, budget | {"monitoring.emails": emails[:10]})
