"""Decisions of Monitoring: who may publish, who is told, and what each alarm looks at."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from pulumi import Input

from components.alarms import (
    CLUSTERS_PER_RULE,
    JOB_RUN_FAILED,
    KEY_IN_DANGER,
    Live,
    Thresholds,
    Watched,
    alarms,
    anchor,
)
from components.monitoring import Monitoring, MonitoringArgs
from tests.components.cloudwatch import AlarmWidget, Body, is_metric, metrics_of
from tests.components.conftest import ACCOUNT, Engine, Resource
from tests.settings.conftest import botocore_shape

ROOT = Path(__file__).parents[2]
NAME = "mwaa-on-eks-test"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1234abcd"
PAGER = "arn:aws:sns:us-west-2:123456789012:pager"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
RULE = "aws:cloudwatch/eventRule:EventRule"
TARGET = "aws:cloudwatch/eventTarget:EventTarget"
TOPIC = "aws:sns/topic:Topic"
ZONES = ("us-west-2a", "us-west-2b")
SERVICES = ("ecr.api", "sts")
WATCHED = Watched(
    name=NAME,
    level="full",
    thresholds=Thresholds(50, 10, 15, 20, 1, 15, 6400),
    has_workers_of_their_own=True,
    node_min=3,
    has_spot_nodes=True,
    nat_gateways=ZONES,
    endpoints=SERVICES,
    region="us-west-2",
    virtual_clusters=2,
)
LIVE: dict[Live, Input[str]] = {
    Live("environment"): NAME,
    Live("cluster"): NAME,
    Live("vpc"): "vpc-1",
    Live("autoscalingGroup", "nodes"): "eks-nodes",
    Live("autoscalingGroup", "spot"): "eks-spot",
    **{Live("natGateway", zone): f"nat-{zone}" for zone in ZONES},
    **{Live("endpoint", service): f"vpce-{service}" for service in SERVICES},
}
ARGS = MonitoringArgs(
    watched=WATCHED,
    topic_name=f"{NAME}-alarms",
    emails=("on-call@example.com",),
    topic_arns=(PAGER,),
    live=LIVE,
    virtual_cluster_ids=("cluster-1", "cluster-2"),
    monthly_budget_usd=None,
    tags={"project": "mwaa-on-eks", "stack": "test"},
    asleep=False,
    kms_key_arn=KEY,
    account=ACCOUNT,
)


def run(engine: Engine, **changes: Any) -> dict[str, Resource]:  # noqa: ANN401
    watched = {key: changes.pop(key) for key in [*changes] if hasattr(WATCHED, key)}
    args = replace(ARGS, watched=replace(WATCHED, **watched), **changes)
    return engine.run(lambda: Monitoring("monitoring", args))


def names(engine: Engine) -> set[str]:
    return {one.inputs["name"].removeprefix(f"{NAME}-") for one in engine.all(ALARM)}


def named(engine: Engine, name: str) -> dict[str, Any]:
    (found,) = (one.inputs for one in engine.all(ALARM) if one.inputs["name"] == f"{NAME}-{name}")
    return found


def looked_at(alarm: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    queries = alarm.get("metricQueries", [])
    metrics = [query["metric"] for query in queries if "metric" in query] or [alarm]
    return [(one["namespace"], one["metricName"], one["dimensions"]) for one in metrics]


def policy(engine: Engine, name: str = "monitoring-alarms") -> dict[str, dict[str, Any]]:
    (found,) = (
        one.inputs["policy"]
        for one in engine.all("aws:sns/topicPolicy:TopicPolicy")
        if one.name == name
    )
    return {one["Sid"]: one for one in json.loads(found)["Statement"]}


@pytest.mark.parametrize("topic", ["monitoring-alarms", "monitoring-key-alarms"])
def test_alarms_and_rules_of_the_stack_publish_and_nobody_in_plain_text(
    engine: Engine, topic: str
) -> None:
    run(engine)

    assert {name: one["Principal"] for name, one in policy(engine, topic).items()} == {
        "AlarmsOfTheStack": {"Service": "cloudwatch.amazonaws.com"},
        "Rules": {"Service": "events.amazonaws.com"},
        "NobodyInPlainText": "*",
    }
    for one in policy(engine, topic).values():
        assert one["Action"] == "sns:Publish"
        assert one["Resource"] == f"arn:aws:mock:::{topic}"
    assert policy(engine, topic)["AlarmsOfTheStack"]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:us-west-2:123456789012:alarm:{NAME}-*"},
    }
    # AWS meets none: with one, no message would arrive.
    assert "Condition" not in policy(engine, topic)["Rules"]
    assert policy(engine, topic)["NobodyInPlainText"]["Effect"] == "Deny"
    assert policy(engine, topic)["NobodyInPlainText"]["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"}
    }


def test_the_topic_is_encrypted_and_the_one_that_tells_of_the_key_is_not(engine: Engine) -> None:
    outputs = run(engine)

    topics = {one.inputs["name"]: one.inputs.get("kmsMasterKeyId") for one in engine.all(TOPIC)}
    assert topics == {f"{NAME}-alarms": KEY, f"{NAME}-key-alarms": None}
    assert outputs["topic_arn"].inputs["value"] == "arn:aws:mock:::monitoring-alarms"
    told = {
        target.inputs["arn"] for target in engine.all(TARGET) if f"{NAME}-key" in str(target.inputs)
    }
    assert told == {"arn:aws:mock:::monitoring-key-alarms", PAGER}


def test_everybody_is_told_of_everything(engine: Engine) -> None:
    run(engine, emails=("a@example.com", "b@example.com"))

    told = ["arn:aws:mock:::monitoring-alarms", PAGER]
    assert engine.all(ALARM)
    for alarm in engine.all(ALARM):
        assert alarm.inputs["alarmActions"] == told
        assert alarm.inputs.get("okActions", told) == told
    # Of what is counted it is no news that it has not happened again.
    counted = {
        one.inputs["namespace"] for one in engine.all(ALARM) if "okActions" not in one.inputs
    }
    assert counted == {"AWS/Events"}
    subscriptions = engine.all("aws:sns/topicSubscription:TopicSubscription")
    assert {(one.inputs["topic"], one.inputs["endpoint"]) for one in subscriptions} == {
        (f"arn:aws:mock:::monitoring-{topic}", f"{who}@example.com")
        for topic in ("alarms", "key-alarms")
        for who in "ab"
    }
    assert {one.inputs["protocol"] for one in subscriptions} == {"email"}


def test_there_is_an_alarm_for_all_that_there_is(engine: Engine) -> None:
    run(engine)

    assert len(names(engine)) == len(engine.all(ALARM))
    for zone in ZONES:
        for kind in ("ports", "drops"):
            for _, _, dimensions in looked_at(named(engine, f"nat-{kind}-{zone}")):
                assert dimensions == {"NatGatewayId": f"nat-{zone}"}
    for service in SERVICES:
        ((_, _, dimensions),) = looked_at(
            named(engine, f"endpoint-drops-{service.replace('.', '-')}")
        )
        assert dimensions["VPC Endpoint Id"] == f"vpce-{service}"
    assert looked_at(named(engine, "nodes-missing"))[0][2] == {"AutoScalingGroupName": "eks-nodes"}
    assert named(engine, "nodes-missing")["threshold"] == 3
    for _, _, dimensions in looked_at(named(engine, "spot-nodes-missing")):
        assert dimensions == {"AutoScalingGroupName": "eks-spot"}


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"has_workers_of_their_own": False}, {"airflow-worker-cpu", "airflow-worker-memory"}),
        ({"has_spot_nodes": False}, {"spot-nodes-missing"}),
        (
            {"nat_gateways": ()},
            {f"nat-{kind}-{zone}" for kind in ("ports", "drops") for zone in ZONES},
        ),
        ({"endpoints": ()}, {"endpoint-drops-ecr-api", "endpoint-drops-sts"}),
    ],
)
def test_there_is_none_for_what_there_is_not(changes: dict[str, Any], gone: set[str]) -> None:
    every = {alarm.name for alarm in alarms(WATCHED)}

    assert {alarm.name for alarm in alarms(replace(WATCHED, **changes))} == every - gone


def test_the_essential_ones_are_those_to_get_up_for() -> None:
    assert {alarm.name for alarm in alarms(replace(WATCHED, level="essential"))} == {
        *("airflow-scheduler-silent", "airflow-triggerer-silent", "airflow-dags-broken"),
        *("airflow-tasks-waiting", "airflow-queue-stuck", "airflow-tasks-failing"),
        *("airflow-database-memory", "pods-unschedulable", "api-server-errors", "etcd-size"),
        *("nodes-missing", "nat-ports-us-west-2a", "nat-ports-us-west-2b"),
        *("job-run-messages-lost-1", "key-messages-lost"),
    }


def test_silence_is_an_alarm_where_there_must_be_a_sign_of_life(engine: Engine) -> None:
    run(engine)

    breaching = {
        alarm.inputs["name"].removeprefix(f"{NAME}-")
        for alarm in engine.all(ALARM)
        if alarm.inputs["treatMissingData"] == "breaching"
    }
    assert breaching == {"airflow-scheduler-silent", "airflow-triggerer-silent"}
    # What counts something says nothing while there is nothing to count.
    for alarm in engine.all(ALARM):
        if alarm.inputs.get("namespace") == "AWS/Events":
            assert alarm.inputs["treatMissingData"] == "notBreaching"


def test_an_alarm_is_one_that_cloudwatch_takes(engine: Engine) -> None:
    run(engine)

    longest = botocore_shape("cloudwatch", "AlarmDescription")["max"]
    for alarm in engine.all(ALARM):
        found = alarm.inputs
        assert len(found["alarmDescription"]) <= longest
        queries = found.get("metricQueries", [])
        periods = {one["metric"]["period"] for one in queries if "metric" in one} or {
            found["period"]
        }
        (period,) = periods
        assert period in {60, 300, 900}
        assert period * found["evaluationPeriods"] <= 24 * 3600
        assert found["datapointsToAlarm"] == found["evaluationPeriods"]
        if queries:
            assert not {"namespace", "metricName", "dimensions", "statistic", "period"} & {*found}
            assert [one["id"] for one in queries if one.get("returnData")] == ["watched"]
            assert len(queries) <= 10
            (expression,) = (one["expression"] for one in queries if "expression" in one)
            for one in queries:
                if "metric" in one:
                    assert re.search(rf"\b{one['id']}\b", expression), one["id"]
                    assert re.fullmatch(r"[a-z]\w*", one["id"])


def test_the_lines_are_where_the_settings_draw_them(engine: Engine) -> None:
    run(engine, thresholds=Thresholds(20, 7, 30, 45, 3, 90, 5000))

    assert named(engine, "airflow-tasks-failing")["threshold"] == 20
    assert ">= 7," in str(named(engine, "airflow-tasks-failing")["metricQueries"])
    assert named(engine, "airflow-queue-stuck")["evaluationPeriods"] == 6
    assert named(engine, "pods-unschedulable")["evaluationPeriods"] == 45
    assert named(engine, "api-server-errors")["threshold"] == 3
    assert named(engine, "api-server-throttling")["evaluationPeriods"] == 90
    assert named(engine, "etcd-size")["threshold"] == 5_000_000_000


@pytest.mark.parametrize(
    "changes",
    [{}, {"has_spot_nodes": False, "nat_gateways": (), "has_workers_of_their_own": False}],
)
def test_every_metric_is_one_of_aws(engine: Engine, changes: dict[str, Any]) -> None:
    run(engine, **changes)

    found = [one for alarm in engine.all(ALARM) for one in looked_at(alarm.inputs)]
    dashboard = engine.one("aws:cloudwatch/dashboard:Dashboard").inputs["dashboardBody"]
    shown = metrics_of(Body.model_validate_json(dashboard))
    assert len(found) > 20
    assert len(shown) > 25
    assert [one for one in (*found, *shown) if not is_metric(*one)] == []
    # What an alarm looks at, somebody whom it has woken can see.
    graphs = [(namespace, name) for namespace, name, _ in shown]
    unseen = {one[:2] for one in found} - {*graphs}
    assert unseen <= {
        ("AmazonMWAA", "TriggerHeartbeat"),
        ("AWS/NATGateway", "PacketsInFromSource"),
        ("AWS/NATGateway", "PacketsInFromDestination"),
    }


def test_the_dashboard_is_one_that_cloudwatch_takes_and_begins_with_what_is_wrong(
    engine: Engine,
) -> None:
    run(engine)

    inputs = engine.one("aws:cloudwatch/dashboard:Dashboard").inputs
    assert inputs["dashboardName"] == NAME
    body = Body.model_validate_json(inputs["dashboardBody"])
    first, *others = body.widgets
    assert isinstance(first, AlarmWidget)
    assert (first.x, first.y, first.width) == (0, 0, 24)
    assert first.properties.states == ["ALARM", "INSUFFICIENT_DATA"]
    prefix = "arn:aws:cloudwatch:us-west-2:123456789012:alarm:"
    assert sorted(first.properties.alarms) == sorted(
        f"{prefix}{one.inputs['name']}" for one in engine.all(ALARM)
    )
    assert [one.properties.markdown for one in others if one.type == "text"] == [
        *("## Airflow", "## EKS", "## Spark on EMR", "## Network")
    ]
    taken = [
        {(x, y) for x in range(w.x, w.x + w.width) for y in range(w.y, w.y + w.height)}
        for w in body.widgets
    ]
    assert not any(one & other for one, other in combinations(taken, 2))
    assert all(widget.x + widget.width <= 24 for widget in body.widgets)


def test_a_message_tells_which_job_run_failed_and_why(engine: Engine) -> None:
    run(engine)

    (rule,) = (one for one in engine.all(RULE) if "failed-jobs" in one.name)
    assert json.loads(rule.inputs["eventPattern"]) == {
        "source": ["aws.emr-containers"],
        "detail-type": ["EMR Job Run State Change"],
        "detail": {"state": ["FAILED"], "virtualClusterId": ["cluster-1", "cluster-2"]},
    }
    targets = [one for one in engine.all(TARGET) if one.inputs["rule"] == rule.inputs["name"]]
    assert {one.inputs["arn"] for one in targets} == {"arn:aws:mock:::monitoring-alarms", PAGER}
    for target in targets:
        transformer = target.inputs["inputTransformer"]
        # People would read a backslash and an n.
        assert r"\n" not in transformer["inputTemplate"]
        text = "\n".join(map(json.loads, transformer["inputTemplate"].splitlines()))
        used = set(re.findall(r"<(\w+)>", text))
        assert used == set(transformer["inputPaths"])
        assert {"run", "name", "cluster", "details"} <= used
        assert text.endswith("docs/runbook.md#a-spark-job-failed")
        # As in a template it stands for a word, it must not be one of EventBridge's.
        assert not any(one.startswith("aws.") for one in used)
        assert len(transformer["inputPaths"]) <= 100
        assert len(transformer["inputTemplate"]) <= 8192


def test_the_danger_to_the_key_is_matched_by_its_id_and_its_arn(engine: Engine) -> None:
    run(engine)

    (rule,) = (one for one in engine.all(RULE) if one.name.endswith("-key"))
    detail = json.loads(rule.inputs["eventPattern"])["detail"]
    assert detail["eventName"] == ["DisableKey", "ScheduleKeyDeletion"]
    assert detail["requestParameters"] == {"keyId": ["1234abcd", KEY]}
    assert detail["errorCode"] == [{"exists": False}]


def test_a_hundred_teams_fit_into_the_patterns(engine: Engine) -> None:
    longest = [f"{number:064}" for number in range(100)]  # botocore's ResourceIdString
    assert botocore_shape("emr-containers", "ResourceIdString")["max"] == 64
    run(engine, virtual_clusters=100, virtual_cluster_ids=longest)

    rules = [one for one in engine.all(RULE) if "failed-jobs" in one.name]
    assert len(rules) == 100 // CLUSTERS_PER_RULE
    seen = []
    for rule in rules:
        assert len(rule.inputs["eventPattern"]) <= 2048
        assert len(rule.inputs["name"]) <= botocore_shape("events", "RuleName")["max"]
        seen += json.loads(rule.inputs["eventPattern"])["detail"]["virtualClusterId"]
    assert sorted(seen) == longest


def test_the_runbook_has_each_alarm_and_nothing_else() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    every = {alarm.heading for alarm in alarms(WATCHED)} | {JOB_RUN_FAILED, KEY_IN_DANGER}

    assert len(headings) == len(set(headings))
    assert set(headings) == every
    anchors = {anchor(heading) for heading in headings}
    for alarm in alarms(WATCHED):
        (file, found) = alarm.description.rsplit(" ", 1)[1].split("#")
        assert (ROOT / file).exists()
        assert found in anchors
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


def test_monitoring_owns_its_children(engine: Engine) -> None:
    run(engine)

    assert engine.tops() == {"monitoring", "topic_arn"}


BUDGET = "aws:budgets/budget:Budget"


def test_there_is_a_budget_only_where_one_is_set(engine: Engine) -> None:
    run(engine)
    assert not [one for one in engine.recorded.values() if one.typ == BUDGET]
    assert "Budget" not in policy(engine)


def test_a_budget_of_the_stacks_tags_tells_of_halves_most_all_and_what_is_to_come(
    engine: Engine,
) -> None:
    emails = tuple(f"{number}@example.com" for number in range(12))
    run(engine, monthly_budget_usd=800, emails=emails)
    budget = engine.one(BUDGET).inputs
    assert (budget["limitAmount"], budget["limitUnit"], budget["timeUnit"]) == (
        "800",
        "USD",
        "MONTHLY",
    )
    assert budget["costFilters"] == [
        {"name": "TagKeyValue", "values": ["user:project$mwaa-on-eks", "user:stack$test"]}
    ]
    told = budget["notifications"]
    assert [(one["notificationType"], one["threshold"]) for one in told] == [
        ("ACTUAL", 50),
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    for one in told:
        assert one["thresholdType"] == "PERCENTAGE"
        assert one["subscriberEmailAddresses"] == list(emails[:10])
        assert one["subscriberSnsTopicArns"] == ["arn:aws:mock:::monitoring-alarms"]
    publishes = policy(engine)["Budget"]
    assert publishes["Principal"] == {"Service": "budgets.amazonaws.com"}
    assert publishes["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT.id},
        "ArnLike": {"aws:SourceArn": f"arn:aws:budgets::{ACCOUNT.id}:*"},
    }
    assert "Budget" not in policy(engine, "monitoring-key-alarms")


def test_asleep_no_alarm_tells_anybody(engine: Engine) -> None:
    run(engine, asleep=True)
    assert {one.inputs["actionsEnabled"] for one in engine.all(ALARM)} == {False}
