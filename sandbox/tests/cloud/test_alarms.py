"""Alarms look at their metrics as CloudWatch's do, and tell whom they may tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from sandbox.cloud.aws import alarms, metric_math, metrics
from sandbox.machine.waiting import wait_for
from sandbox.tests.aws_account import Account, Made, given
from sandbox.tests.cloud.test_notifications import ACCOUNT, CLOUDWATCH, MINE, Inbox, inbox, let

# "Configuring how CloudWatch alarms treat missing data", CloudWatch User Guide: five periods, of
# which three count; 0 is fine, X is not, - is missing. What becomes of the alarm if missing data is
# missing, ignored, breaching and not breaching; = is no change.
THREE_OF_THREE = {
    "0-X-X": "OK OK OK OK",
    "----0": "OK OK OK OK",
    "-----": "INSUFFICIENT_DATA = ALARM OK",
    "0XX-X": "ALARM ALARM ALARM ALARM",
    "--X--": "ALARM = ALARM OK",
}
TWO_OF_THREE = {
    "0-X-X": "ALARM ALARM ALARM ALARM",
    "00X0X": "ALARM ALARM ALARM ALARM",
    "0-X--": "OK OK ALARM OK",
    "-----": "INSUFFICIENT_DATA = ALARM OK",
    "----0": "OK OK ALARM OK",
    "----X": "ALARM = ALARM OK",
}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


@pytest.mark.parametrize(
    ("needed", "points", "states"),
    [(3, *one) for one in THREE_OF_THREE.items()] + [(2, *one) for one in TWO_OF_THREE.items()],
)
def test_missing_data_is_treated_as_the_guide_says(needed: int, points: str, states: str) -> None:
    values = [{"0": 0.0, "X": 1.0, "-": None}[one] for one in points]
    for treatment, state in zip(TREATMENTS, states.split(), strict=True):
        alarm = SimpleNamespace(
            evaluation_periods=3,
            datapoints_to_alarm=needed,
            treat_missing_data=treatment,
            comparison_operator="GreaterThanThreshold",
            threshold=0.0,
        )
        found = alarms.judge(values, lambda value: value > 0, alarm)
        assert (found.state if found else "=") == state, treatment


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("100 * errors / total", 25.0),
        ("FILL(nothing, 0) + errors", 5.0),
        ("nothing + errors", None),
        ("errors / zero", None),
        ("IF(errors > 0 AND zero == 0, 1, 0)", 1.0),
        ("IF(zero > 0, errors)", None),
        ("IF(zero > 0 || total >= 20, -errors, 0)", -5.0),
        ("share * 2", 50.0),
    ],
)
def test_metric_math(expression: str, value: float | None) -> None:
    series: dict[str, list[float | None]] = {
        "errors": [5.0],
        "total": [20.0],
        "zero": [0.0],
        "nothing": [None],
    }
    expressions = {"share": "100 * errors / total", "wanted": expression}
    assert metric_math.evaluate("wanted", expressions, series, 1) == [value]


@pytest.mark.parametrize("expression", ["1 +", "SEARCH(one)", "one.two", "'text'", "a < b < c"])
def test_what_is_no_metric_math_is_an_error(expression: str) -> None:
    with pytest.raises(metric_math.MetricMathError):
        metric_math.check(expression, ("a", "b", "c", "one"))


def alarm(account: Account, *told: Inbox, **changes: Any) -> Made:  # noqa: ANN401
    topics = [one.topic.id for one in told]
    settings = {
        "namespace": f"test-{account.suffix}",
        "metricName": "Errors",
        "dimensions": {"Of": "one"},
        "statistic": "Sum",
        "comparisonOperator": "GreaterThanThreshold",
        "threshold": 1,
        "period": 60,
        "evaluationPeriods": 1,
        "treatMissingData": "notBreaching",
        "alarmDescription": "Errors occur.",
        "alarmActions": topics,
        "okActions": topics,
    }
    return account.make("cloudwatch/metricAlarm:MetricAlarm", **(settings | changes))


def measured(account: Account, value: float, name: str = "Errors", of: str = "one") -> None:
    boto3.client("cloudwatch").put_metric_data(
        Namespace=f"test-{account.suffix}",
        MetricData=[
            {"MetricName": name, "Dimensions": [{"Name": "Of", "Value": of}], "Value": value}
        ],
    )


def state_of(one: Made) -> str:
    (found,) = boto3.client("cloudwatch").describe_alarms(AlarmNames=[one.id])["MetricAlarms"]
    return str(found["StateValue"])


def becomes(one: Made, state: str) -> None:
    wait_for(lambda: state_of(one) == state, f"{one.id} to be {state}")


def each(box: Inbox) -> Iterator[dict[str, Any]]:
    """Yield what arrives."""
    while True:
        yield from map(json.loads, wait_for(box.messages, "a message"))


def arrived(box: Inbox, count: int) -> list[dict[str, Any]]:
    return list(islice(each(box), count))


def test_an_alarm_tells_that_it_begins_and_that_it_is_over(account: Account) -> None:
    box = inbox(account, let(CLOUDWATCH, "sns:Publish", **MINE))
    one = alarm(account, box)
    becomes(one, "OK")
    measured(account, 1)
    measured(account, 5, of="another")
    measured(account, 2)
    begun, first, second = arrived(box, 3)
    assert (begun["OldStateValue"], begun["NewStateValue"]) == ("INSUFFICIENT_DATA", "OK")
    assert first["AlarmName"] == one.id
    assert (first["OldStateValue"], first["NewStateValue"]) == ("OK", "ALARM")
    assert first["AlarmDescription"] == "Errors occur."
    assert first["Trigger"]["Dimensions"] == [{"name": "Of", "value": "one"}]
    assert "GreaterThanThreshold 1" in first["NewStateReason"]
    assert second["NewStateValue"] == "OK"


def test_an_alarm_on_an_expression(account: Account) -> None:
    box = inbox(account, let(CLOUDWATCH, "sns:Publish"))

    def query(name: str) -> dict[str, Any]:
        metric = {
            "namespace": f"test-{account.suffix}",
            "metricName": name,
            "dimensions": {"Of": "one"},
            "stat": "Sum",
            "period": 60,
        }
        return {"id": name.lower(), "metric": metric}

    plain = ("namespace", "metricName", "dimensions", "statistic", "period")
    share = {"id": "share", "expression": "100 * FILL(errors, 0) / total", "returnData": True}
    queries = [share, query("Errors"), query("Total")]
    one = alarm(account, box, **dict.fromkeys(plain), metricQueries=queries, threshold=10)
    measured(account, 20, "Total")
    measured(account, 3)
    message = next(told for told in each(box) if told["NewStateValue"] == "ALARM")
    assert message["AlarmName"] == one.id
    assert {one["Id"] for one in message["Trigger"]["Metrics"]} == {"share", "errors", "total"}


@pytest.mark.parametrize(
    "statement",
    [
        let("events.amazonaws.com", "sns:Publish"),
        let(CLOUDWATCH, "sns:Publish", StringEquals={"aws:SourceAccount": "999999999999"}),
        let(CLOUDWATCH, "sns:Publish", ArnLike={"aws:SourceArn": "arn:aws:cloudwatch:*:*:alarm:x"}),
    ],
)
def test_a_topic_whose_policy_does_not_admit_the_alarm_is_not_told(
    account: Account, statement: dict[str, Any]
) -> None:
    box = inbox(account, statement)
    one = alarm(account, box)
    boto3.client("cloudwatch").set_alarm_state(
        AlarmName=one.id, StateValue="ALARM", StateReason="try"
    )
    assert box.messages() == []


def test_who_sets_a_state_by_hand_tries_the_actions(account: Account) -> None:
    box = inbox(account, let(CLOUDWATCH, "sns:Publish"))
    one = alarm(account, box)
    boto3.client("cloudwatch").set_alarm_state(
        AlarmName=one.id, StateValue="ALARM", StateReason="try"
    )
    assert "try" in {told["NewStateReason"] for told in arrived(box, 1)}


def test_a_metric_is_listed_once(account: Account) -> None:
    cloudwatch, namespace = boto3.client("cloudwatch"), f"test-{account.suffix}"
    of = [{"Name": "Of", "Value": "one"}, {"Name": "And", "Value": "two"}]
    for dimensions in (of, of[::-1], of[:1]):
        datum: Any = {"MetricName": "one", "Dimensions": dimensions, "Value": 1}
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])
    assert len(cloudwatch.list_metrics(Namespace=namespace)["Metrics"]) == 2


@pytest.mark.parametrize(("hours", "kept"), [(24, ["AWS/EKS", "of-users"]), (1, ["of-users"])])
def test_metrics_are_kept_for_as_long_as_an_alarm_looks_back(hours: int, kept: list[str]) -> None:
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    alarm = SimpleNamespace(
        **{"metric_name": "Errors", "namespace": "AWS/EKS", "dimensions": [], "statistic": "Sum"},
        **{"metric_data_queries": [], "rule": None, "threshold": None},
        **{"period": 300, "evaluation_periods": hours * 12},
    )
    data = [
        SimpleNamespace(namespace=one, name="Errors", dimensions=[], timestamp=half_an_hour_ago)
        for one in ("AWS/EKS", "of-users")
    ]
    backend = SimpleNamespace(alarms={"one": alarm}, metric_data=data)
    alarms._look(backend, ())
    assert [one.namespace for one in backend.metric_data] == kept


def test_actions_that_are_switched_off_are_not_done(account: Account) -> None:
    box = inbox(account, let(CLOUDWATCH, "sns:Publish"))
    one = alarm(account, box, actionsEnabled=False)
    boto3.client("cloudwatch").set_alarm_state(
        AlarmName=one.id, StateValue="ALARM", StateReason="try"
    )
    assert box.messages() == []


def test_a_change_leaves_the_state_and_the_end_takes_the_tags(account: Account) -> None:
    cloudwatch = boto3.client("cloudwatch")
    one = alarm(account, treatMissingData="breaching", evaluationPeriods=100)
    becomes(one, "ALARM")
    one.update(given(one, threshold=2, tags={"a": "b"}))
    assert state_of(one) == "ALARM"
    one.delete()
    again = alarm(account, name=one.id)
    tags = cloudwatch.list_tags_for_resource(ResourceARN=again.state["arn"])["Tags"]
    assert tags == []
    assert ACCOUNT in again.state["arn"]


def test_what_services_measure_is_asked_for_now_and_then_and_put_each_time(tmp_path: Path) -> None:
    environments, moment = ["one"], 10.0
    mwaa = SimpleNamespace(list_environments=lambda: {"Environments": [*environments]})
    aws: Any = SimpleNamespace(client=lambda _: mwaa)
    put: list[str] = []
    backend = SimpleNamespace(
        account_id=ACCOUNT,
        region_name="us-west-2",
        put_metric_data=lambda _, data: put.append(data[0]["Dimensions"][1]["Value"]),
    )
    source = metrics.Measured(aws, tmp_path / "serving", lambda: moment)
    for _ in range(2):
        source(backend, frozenset({metrics.AIRFLOW}))
        environments[:] = ["two"]
    assert put == ["one"] * 4, "two heartbeats each time"
    moment += metrics.ASK_SECONDS
    source(backend, frozenset({metrics.AIRFLOW}))
    assert put[4:] == ["two"] * 2
