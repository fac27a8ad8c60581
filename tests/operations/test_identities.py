"""By which id Pulumi would know what watches a stack."""

from __future__ import annotations

import pytest
from moto import mock_aws

from operations.identities import Account, find

ALARMS = "arn:aws:sns:us-west-2:123456789012:alarms"


def test_what_watches_is_known_by_its_name_and_topics_and_who_listens_by_what_aws_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    with mock_aws():
        account = Account("us-west-2")
        sns = account.client("sns")
        topic = {"name": "alarms"}
        assert find(account, "aws:sns/topic:Topic", topic) is None
        sns.create_topic(Name="alarms")
        sns.create_topic(Name="key-alarms")
        assert find(account, "aws:sns/topic:Topic", topic) == ALARMS
        assert find(account, "aws:sns/topicPolicy:TopicPolicy", {"arn": ALARMS}) == ALARMS
        queue = "arn:aws:sqs:us-west-2:123456789012:queue"
        given = {"topic": ALARMS, "protocol": "sqs", "endpoint": queue}
        kind = "aws:sns/topicSubscription:TopicSubscription"
        assert find(account, kind, given) is None
        account.client("sqs").create_queue(QueueName="queue")
        made = sns.subscribe(TopicArn=ALARMS, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]
        assert find(account, kind, given) == made
        for kind, given, found in (
            ("metricAlarm:MetricAlarm", {"name": "silent"}, "silent"),
            ("dashboard:Dashboard", {"dashboardName": "all"}, "all"),
            ("eventRule:EventRule", {"name": "jobs"}, "jobs"),
            ("eventTarget:EventTarget", {"rule": "jobs", "targetId": "topic-0"}, "jobs-topic-0"),
        ):
            assert find(account, f"aws:cloudwatch/{kind}", given) == found
