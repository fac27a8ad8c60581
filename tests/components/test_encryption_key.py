"""Decisions of EncryptionKey."""

import json
from dataclasses import replace

from components.encryption_key import EncryptionKey, EncryptionKeyArgs
from tests.components.conftest import ACCOUNT, Engine

ARGS = EncryptionKeyArgs(
    alias_name="mwaa-on-eks-test",
    deletion_window_days=7,
    alarm_topic_name=None,
    budget=False,
    account=ACCOUNT,
)


def test_the_key_is_rotated(engine: Engine) -> None:
    engine.run(lambda: EncryptionKey("platform", ARGS))

    assert engine.one("aws:kms/key:Key").inputs["enableKeyRotation"] is True


def test_the_key_opens_to_the_account_its_log_groups_and_its_volumes_only(engine: Engine) -> None:
    engine.run(lambda: EncryptionKey("platform", ARGS))

    policy = json.loads(engine.one("aws:kms/key:Key").inputs["policy"])
    account, logs, volumes = policy["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert logs["Principal"] == {"Service": "logs.us-west-2.amazonaws.com"}
    assert "kms:*" not in logs["Action"]
    assert logs["Condition"] == {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:us-west-2:123456789012:log-group:*"
        }
    }
    # Whoever that is: AWS's key for volumes, which accounts have otherwise, says the same.
    assert volumes["Principal"] == {"AWS": "*"}
    assert volumes["Condition"] == {
        "StringEquals": {
            "kms:CallerAccount": "123456789012",
            "kms:ViaService": "ec2.us-west-2.amazonaws.com",
        }
    }
    assert "kms:CreateGrant" in volumes["Action"]


def test_who_tells_of_something_uses_the_key_for_the_topic_of_alarms(engine: Engine) -> None:
    engine.run(lambda: EncryptionKey("platform", replace(ARGS, alarm_topic_name="alarms")))

    policy = json.loads(engine.one("aws:kms/key:Key").inputs["policy"])
    *_, alarms, rules = policy["Statement"]
    topic = {"kms:EncryptionContext:aws:sns:topicArn": "arn:aws:sns:us-west-2:123456789012:alarms"}
    assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012", **topic}}
    assert rules["Principal"] == {"Service": "events.amazonaws.com"}
    # SNS supports no source there: with one, no message would arrive.
    assert rules["Condition"] == {"StringEquals": topic}
    for one in (alarms, rules):
        assert one["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]


def test_two_keys_do_not_collide_and_own_their_children(engine: Engine) -> None:
    engine.run(lambda: (EncryptionKey("one", ARGS), EncryptionKey("two", ARGS)))

    assert engine.tops() == {"one", "two"}
    assert len(engine.all("aws:kms/key:Key")) == 2


def test_a_budget_of_the_account_uses_the_key_where_there_is_one(engine: Engine) -> None:
    engine.run(
        lambda: EncryptionKey("platform", replace(ARGS, alarm_topic_name="alarms", budget=True))
    )
    *_, budget = json.loads(engine.one("aws:kms/key:Key").inputs["policy"])["Statement"]
    assert budget["Principal"] == {"Service": "budgets.amazonaws.com"}
    assert budget["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:budgets::123456789012:*"},
    }
