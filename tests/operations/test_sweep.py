"""What a sweep finds, on an emulated AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from operations.identities import Account
from operations.sweep import sweep

NAME = "mwaa-on-eks-test"
TAGS = {"project": "mwaa-on-eks", "stack": "test"}
OTHERS = {**TAGS, "stack": "other"}


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


class WithoutMwaa(Account):
    """moto lists no environments."""

    def pages(self, service: str, operation: str, **told: object) -> list[Any]:
        return [] if service == "mwaa" else super().pages(service, operation, **told)


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One for all, in which each test finds what it has made."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(key, "test")
        yield WithoutMwaa("us-west-2")


def _volume(account: Account, tags: dict[str, str]) -> str:
    made = account.client("ec2").create_volume(
        AvailabilityZone="us-west-2a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": _pairs(tags)}],
    )
    return f"volume {made['VolumeId']}"


def _log_group(account: Account, name: str) -> str:
    account.client("logs").create_log_group(logGroupName=name)
    return f"log group {name}"


def _secret(account: Account, name: str, tags: dict[str, str]) -> str:
    account.client("secretsmanager").create_secret(Name=name, SecretString="x", Tags=_pairs(tags))
    return f"secret {name}"


def _role(account: Account, name: str, tags: dict[str, str]) -> str:
    account.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument="{}", Tags=_pairs(tags)
    )
    return f"role {name}"


def test_what_watches_the_stack_is_left(account: Account) -> None:
    cloudwatch, events, sns = map(account.client, ("cloudwatch", "events", "sns"))
    for name, tags in ((NAME, TAGS), (f"{NAME}-2", OTHERS)):
        cloudwatch.put_metric_alarm(
            AlarmName=f"{name}-silent",
            ComparisonOperator="LessThanThreshold",
            EvaluationPeriods=1,
            MetricName="Beats",
            Namespace="Hearts",
            Period=60,
            Statistic="Sum",
            Threshold=1,
            Tags=_pairs(tags),
        )
        cloudwatch.put_dashboard(DashboardName=name, DashboardBody='{"widgets": []}')
        events.put_rule(Name=f"{name}-key", EventPattern='{"source": ["x"]}', Tags=_pairs(tags))
        sns.create_topic(Name=f"{name}-alarms", Tags=_pairs(tags))
    left = sweep(account, "mwaa-on-eks", "test").left
    assert {one for one in left if one.split()[0] in {"alarm", "dashboard", "rule", "topic"}} == {
        f"alarm {NAME}-silent",
        f"dashboard {NAME}",
        f"rule {NAME}-key",
        f"topic {NAME}-alarms",
    }
    cloudwatch.delete_alarms(AlarmNames=[f"{NAME}-silent"])
    cloudwatch.delete_dashboards(DashboardNames=[NAME])
    events.delete_rule(Name=f"{NAME}-key")
    sns.delete_topic(TopicArn=f"arn:aws:sns:us-west-2:123456789012:{NAME}-alarms")


def test_what_has_the_tags_or_a_name_of_the_stack_is_left(account: Account) -> None:
    made = {
        _volume(account, TAGS),
        _volume(account, {f"kubernetes.io/cluster/{NAME}": "owned"}),
        _log_group(account, f"/aws/eks/{NAME}/cluster"),
        _log_group(account, f"airflow-{NAME}-Task"),
        _secret(account, f"airflow/{NAME}/connections/by-hand", {}),
        _role(account, "ours", TAGS),
    }
    _volume(account, OTHERS)
    _log_group(account, "/aws/eks/mwaa-on-eks-test2/cluster")
    _secret(account, "airflow/mwaa-on-eks-test2/connections/one", OTHERS)
    _role(account, "theirs", OTHERS)
    found = sweep(account, "mwaa-on-eks", "test")
    assert set(found.left) == made
    assert found.going == []


def test_what_aws_deletes_by_itself_is_told_and_is_not_left(account: Account) -> None:
    kms = account.client("kms")
    key = kms.create_key(Tags=[{"TagKey": k, "TagValue": v} for k, v in TAGS.items()])
    key_id = key["KeyMetadata"]["KeyId"]
    before: Any = sweep(account, "mwaa-on-eks", "test")
    assert f"key {key_id}" in before.left
    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    secret = f"airflow/{NAME}/variables/going"
    _secret(account, secret, {})
    account.client("secretsmanager").delete_secret(SecretId=secret)
    found = sweep(account, "mwaa-on-eks", "test")
    assert [line.partition(",")[0] for line in found.going] == [f"key {key_id}", f"secret {secret}"]
    assert f"key {key_id}" not in found.left
