"""Events and messages arrive where AWS would let them, and nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.cloud.aws import events
from sandbox.tests.aws_account import Account, Made, trust

ACCOUNT = "123456789012"
EVENTS, CLOUDWATCH = "events.amazonaws.com", "cloudwatch.amazonaws.com"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def let(service: str, action: str, **conditions: Any) -> dict[str, Any]:  # noqa: ANN401
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": action}
    more = {"Condition": conditions} if conditions else {}
    return {**statement, "Resource": "*", **more}


MINE = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
PLAIN_TEXT = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "sns:Publish",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


@dataclass
class Inbox:
    """A topic, and the queue that is told what it gets."""

    topic: Made
    url: str

    def messages(self) -> list[str]:
        """What has arrived since one looked last."""
        answer = boto3.client("sqs").receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        found = answer.get("Messages", [])
        for one in found:
            boto3.client("sqs").delete_message(
                QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"]
            )
        return [json.loads(one["Body"])["Message"] for one in found]


def inbox(account: Account, *statements: dict[str, Any], **given: Any) -> Inbox:  # noqa: ANN401
    sqs, name = boto3.client("sqs"), f"inbox-{account.suffix}-{len(account.made)}"
    topic = account.make("sns/topic:Topic", name=name, policy=policy(*statements), **given)
    fill = let("sns.amazonaws.com", "sqs:SendMessage", ArnEquals={"aws:SourceArn": topic.id})
    url = sqs.create_queue(QueueName=name, Attributes={"Policy": policy(fill)})["QueueUrl"]
    arn = f"arn:aws:sqs:us-west-2:{ACCOUNT}:{name}"
    account.make(
        "sns/topicSubscription:TopicSubscription", topic=topic.id, protocol="sqs", endpoint=arn
    )
    return Inbox(topic, url)


def rule(account: Account, to: Inbox, source: str, **target: Any) -> Made:  # noqa: ANN401
    one = account.make(
        "cloudwatch/eventRule:EventRule", eventPattern=json.dumps({"source": [source]})
    )
    account.make(
        "cloudwatch/eventTarget:EventTarget", rule=one.id, arn=to.topic.id, targetId="a", **target
    )
    return one


def put(source: str, **detail: Any) -> None:  # noqa: ANN401
    entry = {"Source": source, "DetailType": "one", "Detail": json.dumps(detail)}
    (answer,) = boto3.client("events").put_events(Entries=[entry])["Entries"]
    assert "EventId" in answer, answer


def count(name: str, rule_name: str) -> float:
    answer = boto3.client("cloudwatch").get_metric_data(
        StartTime="2020-01-01",
        EndTime="2100-01-01",
        MetricDataQueries=[
            {
                "Id": "one",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/Events",
                        "MetricName": name,
                        "Dimensions": [{"Name": "RuleName", "Value": rule_name}],
                    },
                    "Period": 86400 * 365 * 100,
                    "Stat": "Sum",
                },
            }
        ],
    )
    return float(sum(answer["MetricDataResults"][0]["Values"]))


# Topics.


def test_what_matches_is_told_as_a_whole(account: Account) -> None:
    box = inbox(account, let(EVENTS, "sns:Publish"), PLAIN_TEXT)
    name = rule(account, box, f"all-{account.suffix}").id
    put(f"all-{account.suffix}", state="FAILED")
    put(f"other-{account.suffix}", state="FAILED")
    (message,) = box.messages()
    told = json.loads(message)
    assert told["detail"] == {"state": "FAILED"}
    assert told["account"] == ACCOUNT
    assert told["time"].endswith("Z")
    assert (count("MatchedEvents", name), count("FailedInvocations", name)) == (1, 0)


def test_a_disabled_rule_tells_nobody(account: Account) -> None:
    box, source = inbox(account, let(EVENTS, "sns:Publish")), f"off-{account.suffix}"
    name = rule(account, box, source).id
    boto3.client("events").disable_rule(Name=name)
    put(source)
    assert box.messages() == []


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [let(CLOUDWATCH, "sns:Publish")],
        # EventBridge says neither of a topic's publisher.
        [let(EVENTS, "sns:Publish", **MINE)],
        [let(EVENTS, "sns:Publish", ArnLike={"aws:SourceArn": "*"})],
        [let(EVENTS, "sns:Publish"), {**PLAIN_TEXT, "Condition": {}}],
    ],
)
def test_a_topic_whose_policy_does_not_admit_eventbridge_is_not_told(
    account: Account, statements: list[dict[str, Any]]
) -> None:
    statements = statements or [let("sns.amazonaws.com", "sns:Publish")]
    box, source = inbox(account, *statements), f"out-{account.suffix}"
    name = rule(account, box, source).id
    put(source)
    assert box.messages() == []
    assert count("FailedInvocations", name) == 1


ROOT = {
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    "Action": "kms:*",
    "Resource": "*",
}
OWN_TOPICS = {"StringLike": {"kms:EncryptionContext:aws:sns:topicArn": f"*:{ACCOUNT}:inbox-*"}}


@pytest.mark.parametrize(
    ("of_key", "arrives"),
    [
        ([], False),
        ([let(EVENTS, "kms:Decrypt")], False),
        ([let(EVENTS, "kms:*", **MINE)], False),
        ([let(EVENTS, "kms:Decrypt"), let(EVENTS, "kms:GenerateDataKey*", **OWN_TOPICS)], True),
    ],
)
def test_an_encrypted_topic_is_told_if_its_key_admits_eventbridge(
    account: Account, of_key: list[dict[str, Any]], arrives: bool
) -> None:
    key = account.make("kms/key:Key", policy=policy(ROOT, *of_key), deletionWindowInDays=7)
    box = inbox(account, let(EVENTS, "sns:Publish"), kmsMasterKeyId=key.state["arn"])
    source = f"secret-{account.suffix}"
    name = rule(account, box, source).id
    put(source)
    assert bool(box.messages()) is arrives
    assert count("FailedInvocations", name) == (not arrives)


def test_a_queue_that_does_not_let_sns_in_gets_nothing(account: Account) -> None:
    box = inbox(account, let(EVENTS, "sns:Publish"))
    boto3.client("sqs").set_queue_attributes(QueueUrl=box.url, Attributes={"Policy": ""})
    boto3.client("sns").publish(TopicArn=box.topic.id, Message="one")
    assert box.messages() == []


def test_what_is_published_is_written_down_for_this_user_alone(account: Account) -> None:
    topic = account.make("sns/topic:Topic")
    boto3.client("sns").publish(TopicArn=topic.id, Subject="a job failed", Message="for a reason")
    log = Path(os.environ["SANDBOX_MESSAGES"])
    assert f"{topic.state['name']}: a job failed\nfor a reason\n" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


# Input transformers.

EVENT = {
    "time": "now",
    "detail": {"id": "one", "tags": {"a": "b"}, "list": [1, {"x": 'say "y"'}]},
}


@pytest.mark.parametrize(
    ("paths", "template", "told"),
    [
        ({"id": "$.detail.id"}, '"<id> failed"', '"one failed"'),
        ({"id": "$.detail.id"}, '{"id": <id>, "at": "<id>"}', '{"id": "one", "at": "one"}'),
        ({"tags": "$.detail.tags"}, '{"tags": <tags>}', '{"tags": {"a": "b"}}'),
        ({"x": "$.detail.list[1].x"}, '"<x>"', r'"say \"y\""'),
        ({"x": "$.detail.nothing"}, '"<x>."', '"."'),
        ({}, '"<aws.events.rule-name>"\n"at the end"', '"rule"\n"at the end"'),
    ],
)
def test_a_transformer_writes_text_within_quotes_and_json_elsewhere(
    paths: dict[str, str], template: str, told: str
) -> None:
    transformer = {"InputPathsMap": paths, "InputTemplate": template}
    made = SimpleNamespace(name="rule", arn="arn")
    assert events.transformed(transformer, EVENT, made) == told


def test_a_target_is_told_what_its_transformer_makes(account: Account) -> None:
    box, source = inbox(account, let(EVENTS, "sns:Publish")), f"words-{account.suffix}"
    paths = {"who": "$.detail.who"}
    transformer = {"inputPaths": paths, "inputTemplate": '"<who> did"'}
    rule(account, box, source, inputTransformer=transformer)
    put(source, who="Ada")
    assert box.messages() == ['"Ada did"']


# Event patterns.


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ({"detail": {"id": ["one", "two"]}}, True),
        ({"detail": {"id": ["two"]}}, False),
        ({"detail": {"list": [1]}}, True),
        ({"detail": {"list": [True]}}, False),
        ({"detail": {"list": {"x": [{"prefix": "say"}]}}}, True),
        ({"detail": {"id": [{"suffix": "NE"}]}}, False),
        ({"detail": {"id": [{"suffix": {"equals-ignore-case": "NE"}}]}}, True),
        ({"detail": {"id": [{"anything-but": ["two", "three"]}]}}, True),
        ({"detail": {"id": [{"anything-but": {"prefix": ["o", "t"]}}]}}, False),
        ({"detail": {"list": [{"numeric": [">", 0, "<=", 1]}]}}, True),
        ({"detail": {"error": [{"exists": False}]}}, True),
        ({"detail": {"error": {"code": [{"exists": False}]}}}, True),
        ({"detail": {"id": [{"exists": False}]}}, False),
        ({"detail": {"id": [{"wildcard": "o*e"}]}}, True),
        ({"$or": [{"time": ["then"]}, {"detail": {"id": ["one"]}}]}, True),
        ({"detail": {"id": ["one"]}, "time": ["then"]}, False),
    ],
)
def test_a_pattern_matches_as_eventbridge_does(pattern: dict[str, Any], matched: bool) -> None:
    assert events.matches(pattern, EVENT) is matched


def test_objects_of_a_list_match_as_a_whole() -> None:
    event = {"list": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}
    assert events.matches({"list": {"a": [1], "b": [2]}}, event)
    assert not events.matches({"list": {"a": [1], "b": [4]}}, event)


# What AWS's own services put.


def test_nobody_puts_events_as_aws(emulators: dict[str, str]) -> None:
    entry = {"Source": "aws.kms", "DetailType": "one", "Detail": "{}"}
    (answer,) = boto3.client("events").put_events(Entries=[entry])["Entries"]
    assert answer["ErrorCode"] == "NotAuthorizedForSourceException"


def test_who_takes_a_key_away_is_told(account: Account) -> None:
    key = account.make("kms/key:Key", deletionWindowInDays=7)
    box = inbox(account, let(EVENTS, "sns:Publish"))
    pattern = {
        "source": ["aws.kms"],
        "detail": {
            "eventName": ["DisableKey", "ScheduleKeyDeletion"],
            "requestParameters": {"keyId": [key.id, key.state["arn"]]},
            "errorCode": [{"exists": False}],
        },
    }
    one = account.make("cloudwatch/eventRule:EventRule", eventPattern=json.dumps(pattern))
    account.make("cloudwatch/eventTarget:EventTarget", rule=one.id, arn=box.topic.id)
    kms = boto3.client("kms")
    kms.disable_key(KeyId=key.state["arn"])
    kms.schedule_key_deletion(KeyId=key.id, PendingWindowInDays=7)
    details = [json.loads(message)["detail"] for message in box.messages()]
    assert [one["eventName"] for one in details] == ["DisableKey", "ScheduleKeyDeletion"]
    assert details[0]["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/sandbox"


# Who asks by a role.


def as_role(told: Any, service: str) -> Any:  # noqa: ANN401
    session = told["Credentials"]
    return boto3.client(  # type: ignore[call-overload]
        service,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )


@pytest.mark.parametrize(
    ("action", "resource", "call", "other"),
    [
        (
            "budgets:ViewBudget",
            "arn:aws:budgets::{}:budget/mine",
            lambda of, name: of.describe_budget(AccountId=ACCOUNT, BudgetName=name),
            lambda of: of.delete_budget(AccountId=ACCOUNT, BudgetName="mine"),
        ),
        (
            "cloudwatch:DescribeAlarms",
            "arn:aws:cloudwatch:us-west-2:{}:alarm:mine",
            lambda of, name: of.describe_alarms(AlarmNames=[name]),
            lambda of: of.delete_alarms(AlarmNames=["mine"]),
        ),
        (
            "cloudwatch:GetDashboard",
            "arn:aws:cloudwatch::{}:dashboard/mine",
            lambda of, name: of.get_dashboard(DashboardName=name),
            lambda of: of.delete_dashboards(DashboardNames=["mine"]),
        ),
        (
            "events:DescribeRule",
            "arn:aws:events:us-west-2:{}:rule/mine",
            lambda of, name: of.describe_rule(Name=name),
            lambda of: of.disable_rule(Name="mine"),
        ),
    ],
)
def test_a_role_may_do_what_is_allowed_to_what_is_named(
    account: Account,
    action: str,
    resource: str,
    call: Callable[[Any, str], object],
    other: Callable[[Any], object],
) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource.format(ACCOUNT)}
    role = account.make("iam/role:Role", assumeRolePolicy=trust("ec2.amazonaws.com"))
    account.make("iam/rolePolicy:RolePolicy", role=role.id, policy=policy(statement))
    told = boto3.client("sts").assume_role(RoleArn=role.state["arn"], RoleSessionName="one")
    of = as_role(told, action.partition(":")[0])
    try:
        call(of, "mine")
    except ClientError as error:  # there is none
        assert "not authorized" not in str(error)  # noqa: PT017
    with pytest.raises(ClientError, match="not authorized to perform"):
        call(of, "theirs")
    with pytest.raises(ClientError, match="not authorized to perform"):
        other(of)


@pytest.fixture
def secret_topic(account: Account) -> Made:
    key = account.make("kms/key:Key", deletionWindowInDays=7)
    return account.make("sns/topic:Topic", kmsMasterKeyId=key.id)


@pytest.mark.parametrize(
    ("of_key", "denied"),
    [
        ([], "kms:GenerateDataKey"),
        (["kms:GenerateDataKey"], "kms:Decrypt"),
        (["kms:GenerateDataKey*", "kms:Decrypt"], None),
    ],
)
def test_a_role_needs_the_key_to_publish_to_an_encrypted_topic(
    account: Account, secret_topic: Made, of_key: list[str], denied: str | None
) -> None:
    own = {"Effect": "Allow", "Action": "sns:Publish", "Resource": secret_topic.id}
    via = {"StringEquals": {"kms:ViaService": "sns.us-west-2.amazonaws.com"}}
    key = {"Effect": "Allow", "Action": of_key, "Resource": "*", "Condition": via}
    role = account.make("iam/role:Role", assumeRolePolicy=trust("ec2.amazonaws.com"))
    account.make(
        "iam/rolePolicy:RolePolicy", role=role.id, policy=policy(own, *([key] if of_key else []))
    )
    told = boto3.client("sts").assume_role(RoleArn=role.state["arn"], RoleSessionName="one")
    sns = as_role(told, "sns")
    if denied is None:
        sns.publish(TopicArn=secret_topic.id, Message="one")
    else:
        with pytest.raises(ClientError, match=f"not authorized to perform: {denied} "):
            sns.publish(TopicArn=secret_topic.id, Message="one")
    with pytest.raises(ClientError, match="not authorized to perform: sns:DeleteTopic"):
        sns.delete_topic(TopicArn=secret_topic.id)
