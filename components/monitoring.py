"""Somebody is told when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.alarms import (
    CLUSTERS_PER_RULE,
    JOB_RUN_FAILED,
    KEY_IN_DANGER,
    RUNBOOK,
    Alarm,
    Live,
    Metric,
    Watched,
    alarms,
    anchor,
)
from components.aws_account import AwsAccount
from components.budget import monthly_budget, publishing
from components.dashboard import dashboard


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What Monitoring is made from."""

    watched: Watched
    topic_name: str
    emails: Sequence[str]
    topic_arns: Sequence[str]
    """Topics that are told besides, four at most."""
    live: Mapping[Live, Input[str]]
    """What AWS calls the things that the alarms look at."""
    virtual_cluster_ids: Sequence[Input[str]]
    monthly_budget_usd: int | None
    tags: Mapping[str, str]
    """Those by which the budget tells what is the stack's."""
    asleep: bool
    """Let no alarm tell anybody of what is away on purpose."""
    kms_key_arn: Input[str]
    """The key of all else: what is done to it is told, too."""
    account: AwsAccount


@dataclass(frozen=True)
class _Message:
    """What people read of an event."""

    of: str
    paths: Mapping[str, str]
    """Where in the event a word comes from."""
    lines: Sequence[str]
    """Text, in which <word> is what the path leads to."""
    heading: str
    """Of the runbook."""

    @property
    def transformer(self) -> aws.cloudwatch.EventTargetInputTransformerArgsDict:
        """The same, as EventBridge wants it: each line of text is a string of JSON."""
        lines = [*self.lines, f"{RUNBOOK}#{anchor(self.heading)}"]
        return {
            "input_paths": self.paths,
            "input_template": "\n".join(json.dumps(line) for line in lines),
        }


_JOB_RUN_MESSAGE = _Message(
    "Job runs of EMR on EKS that failed",
    {
        "run": "$.detail.id",
        "name": "$.detail.name",
        "cluster": "$.detail.virtualClusterId",
        "role": "$.detail.executionRoleArn",
        "details": "$.detail.stateDetails",
        "reason": "$.detail.failureReason",
        "time": "$.time",
    },
    [
        "Spark job run <run> (<name>) failed at <time>: <details>",
        "reason: <reason>",
        "virtual cluster: <cluster>",
        "job role, whose name begins with the team's: <role>",
        "aws emr-containers describe-job-run --virtual-cluster-id <cluster> --id <run>",
    ],
    JOB_RUN_FAILED,
)
_KEY_MESSAGE = _Message(
    "What takes the platform's key away",
    {
        "call": "$.detail.eventName",
        "key": "$.detail.requestParameters.keyId",
        "who": "$.detail.userIdentity.arn",
        "time": "$.time",
    },
    [
        "<call> of the platform's key <key>, by <who> at <time>",
        "Buckets, volumes, secrets, logs and Airflow are of no use without it.",
        "aws kms cancel-key-deletion --key-id <key>; aws kms enable-key --key-id <key>",
    ],
    KEY_IN_DANGER,
)


class Monitoring(pulumi.ComponentResource):
    """Alarms, and messages of failed job runs and of danger to the key, that reach somebody; and a
    dashboard."""

    topic_arn: Output[str]
    """Who publishes to it reaches all whom alarms reach."""

    def __init__(
        self, name: str, args: MonitoringArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:Monitoring", name, None, opts)
        self._args = args
        topic, policy = self._topic(
            f"{name}-alarms",
            args.topic_name,
            args.kms_key_arn,
            budget=args.monthly_budget_usd is not None,
        )
        self._told: list[Input[str]] = [topic.arn, *args.topic_arns]

        found = alarms(args.watched)
        for alarm in found:
            self._alarm(f"{name}-{alarm.name}", alarm)
        aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=args.watched.name,
            dashboard_body=Output.json_dumps(
                dashboard(args.watched, found, args.account, self._resolved)
            ),
            opts=ResourceOptions(parent=self),
        )

        for number, rule in enumerate(args.watched.job_run_rules):
            start = number * CLUSTERS_PER_RULE
            self._rule(
                f"{name}-failed-jobs-{number + 1}",
                rule,
                _failed_job_runs(args.virtual_cluster_ids[start : start + CLUSTERS_PER_RULE]),
                _JOB_RUN_MESSAGE,
                self._told,
            )
        # Without the key nobody could publish to a topic that is encrypted with it.
        beside, _ = self._topic(f"{name}-key-alarms", f"{args.watched.name}-key-alarms", None)
        self._rule(
            f"{name}-key",
            args.watched.key_rule,
            Output.from_input(args.kms_key_arn).apply(_danger_to_key),
            _KEY_MESSAGE,
            [beside.arn, *args.topic_arns],
        )

        if args.monthly_budget_usd is not None:
            monthly_budget(
                f"{name}-budget",
                budget_name=args.watched.name,
                usd=args.monthly_budget_usd,
                tags=args.tags,
                emails=args.emails,
                topic_arn=topic.arn,
                account=args.account,
                # It is refused a topic that does not let it publish.
                opts=ResourceOptions(parent=self, depends_on=[policy]),
            )

        self.topic_arn = topic.arn
        self.register_outputs({"topic_arn": self.topic_arn})

    def _topic(
        self,
        name: str,
        topic_name: str,
        kms_key_arn: Input[str] | None,
        *,
        budget: bool = False,
    ) -> tuple[aws.sns.Topic, aws.sns.TopicPolicy]:
        """Make a topic that alarms and rules publish to, and let people listen."""
        topic = aws.sns.Topic(
            name,
            name=topic_name,
            kms_master_key_id=kms_key_arn,
            opts=ResourceOptions(parent=self),
        )
        policy = aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=Output.json_dumps(_topic_policy(topic.arn, self._args, budget=budget)),
            opts=ResourceOptions(parent=self),
        )
        for email in self._args.emails:
            aws.sns.TopicSubscription(
                f"{name}-{email}",
                topic=topic.arn,
                protocol="email",
                endpoint=email,
                opts=ResourceOptions(parent=self),
            )
        return topic, policy

    def _alarm(self, name: str, alarm: Alarm) -> None:
        # A metric by itself is told in other properties than those of an expression.
        single = None if alarm.expression else next(iter(alarm.metrics.values()))
        aws.cloudwatch.MetricAlarm(
            name,
            name=f"{self._args.watched.name}-{alarm.name}",
            alarm_description=alarm.description,
            namespace=single.namespace if single else None,
            metric_name=single.name if single else None,
            dimensions=self._dimensions(single) if single else None,
            statistic=single.statistic if single else None,
            period=alarm.period if single else None,
            metric_queries=None if single else self._queries(alarm),
            comparison_operator=alarm.comparison,
            threshold=alarm.threshold,
            evaluation_periods=alarm.periods,
            datapoints_to_alarm=alarm.periods,
            treat_missing_data=alarm.missing,
            actions_enabled=not self._args.asleep,
            alarm_actions=self._told,
            ok_actions=self._told if alarm.tells_the_end else None,
            opts=ResourceOptions(parent=self),
        )

    def _queries(self, alarm: Alarm) -> list[aws.cloudwatch.MetricAlarmMetricQueryArgsDict]:
        return [
            *(
                aws.cloudwatch.MetricAlarmMetricQueryArgsDict(
                    id=key,
                    metric={
                        "namespace": metric.namespace,
                        "metric_name": metric.name,
                        "dimensions": self._dimensions(metric),
                        "stat": metric.statistic,
                        "period": alarm.period,
                    },
                )
                for key, metric in alarm.metrics.items()
            ),
            {
                "id": "watched",
                "expression": alarm.expression,
                "label": alarm.name,
                "return_data": True,
            },
        ]

    def _dimensions(self, metric: Metric) -> dict[str, Input[str]]:
        return {name: self._resolved(value) for name, value in metric.dimensions.items()}

    def _resolved(self, value: str | Live) -> Input[str]:
        return self._args.live[value] if isinstance(value, Live) else value

    def _rule(
        self,
        name: str,
        rule_name: str,
        pattern: Input[str],
        message: _Message,
        told: Sequence[Input[str]],
    ) -> None:
        rule = aws.cloudwatch.EventRule(
            name,
            name=rule_name,
            description=message.of,
            event_pattern=pattern,
            opts=ResourceOptions(parent=self),
        )
        for number, topic_arn in enumerate(told):
            aws.cloudwatch.EventTarget(
                f"{name}-{number}",
                rule=rule.name,
                target_id=f"topic-{number}",
                arn=topic_arn,
                input_transformer=message.transformer,
                opts=ResourceOptions(parent=self),
            )


def _topic_policy(
    topic_arn: Output[str], args: MonitoringArgs, *, budget: bool
) -> dict[str, object]:
    publish = {"Action": "sns:Publish", "Resource": topic_arn}
    of_budget = {"Sid": "Budget", "Effect": "Allow", **publishing(args.account), **publish}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AlarmsOfTheStack",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": args.account.id},
                    "ArnLike": {
                        "aws:SourceArn": args.account.arn(
                            "cloudwatch", f"alarm:{args.watched.name}-*"
                        )
                    },
                },
                **publish,
            },
            {
                # Without a condition, since EventBridge meets none here ("Using resource-based
                # policies for Amazon EventBridge").
                "Sid": "Rules",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                **publish,
            },
            *([of_budget] if budget else []),
            {
                "Sid": "NobodyInPlainText",
                "Effect": "Deny",
                "Principal": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                **publish,
            },
        ],
    }


def _failed_job_runs(virtual_cluster_ids: Sequence[Input[str]]) -> Output[str]:
    return Output.json_dumps(
        {
            "source": ["aws.emr-containers"],
            "detail-type": ["EMR Job Run State Change"],
            "detail": {"state": ["FAILED"], "virtualClusterId": [*virtual_cluster_ids]},
        }
    )


def _danger_to_key(key_arn: str) -> str:
    """Match what CloudTrail tells of the calls after which the key is of no use.

    They take the key's id or its ARN, and no alias.
    """
    return json.dumps(
        {
            "source": ["aws.kms"],
            "detail-type": ["AWS API Call via CloudTrail"],
            "detail": {
                "eventSource": ["kms.amazonaws.com"],
                "eventName": ["DisableKey", "ScheduleKeyDeletion"],
                "requestParameters": {"keyId": [key_arn.rpartition("/")[2], key_arn]},
                "errorCode": [{"exists": False}],  # it was tried, and refused
            },
        }
    )
