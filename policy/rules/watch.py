"""What tells people that something is wrong."""

from __future__ import annotations

from .documents import condition_keys, principals, statements
from .rule import Findings, Resource, listed, rule, truth


@rule(
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    demand="An alarm tells somebody.",
    sources="CKV_AWS_319, CloudWatch.15, CloudWatch.17",
    way_out="give it alarmActions, and leave actionsEnabled on",
)
def alarm_told(alarm: Resource) -> Findings:
    if not listed(alarm.props.get("alarmActions")):
        yield "it has no alarmActions"
    if not truth(alarm.props.get("actionsEnabled", True)):
        yield "actionsEnabled is off"


@rule(
    "aws:sns/topicPolicy:TopicPolicy",
    demand="A topic's policy lets nobody in whom it does not name.",
    sources="CKV_AWS_169, SNS.4",
    way_out="name the services and principals that publish",
)
def topic_policy_named(policy: Resource) -> Findings:
    for statement in statements(policy.props["policy"]):
        if statement["Effect"] == "Allow" and not condition_keys(statement):
            yield from (
                "everybody is allowed something"
                for kind, name in principals(statement)
                if name == "*" and kind in {"*", "AWS"}
            )
