"""The one key that the platform's data is encrypted with."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components.aws_account import AwsAccount
from components.budget import publishing


@dataclass(frozen=True, kw_only=True)
class EncryptionKeyArgs:
    alias_name: str
    """Without the `alias/` that AWS begins it with."""
    deletion_window_days: int
    """7 to 30: until then a deleted key, and so what it encrypted, can be had back."""
    alarm_topic_name: str | None
    """What alarms and rules publish to; None where there is no such topic."""
    budget: bool
    """Whether a budget publishes to it, too."""
    account: AwsAccount


class EncryptionKey(pulumi.ComponentResource):
    """A customer managed key, rotated each year, that the account's IAM policies give out."""

    arn: Output[str]

    def __init__(
        self, name: str, args: EncryptionKeyArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:EncryptionKey", name, None, opts)
        # Single-Region, since MWAA accepts no multi-Region key.
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Everything that {args.alias_name} stores",
            enable_key_rotation=True,
            deletion_window_in_days=args.deletion_window_days,
            policy=Output.json_dumps(_key_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        aws.kms.Alias(
            f"{name}-alias",
            name=f"alias/{args.alias_name}",
            target_key_id=key.id,
            opts=ResourceOptions(parent=self),
        )

        self.arn = key.arn
        self.register_outputs({"arn": self.arn})


def _key_policy(args: EncryptionKeyArgs) -> dict[str, object]:
    log_groups = args.account.arn("logs", "log-group:*")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "IamPoliciesOfTheAccountDecide",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{args.account.partition}:iam::{args.account.id}:root"},
                "Action": "kms:*",
                "Resource": "*",  # in a key policy: this key
            },
            {
                # CloudWatch Logs acts under its own name, so IAM cannot let it in. Flow logs come
                # this way too. The group names are many, and some are AWS's choice.
                "Sid": "LogGroupsOfTheAccount",
                "Effect": "Allow",
                "Principal": {"Service": f"logs.{args.account.region}.amazonaws.com"},
                "Action": [
                    "kms:Encrypt*",
                    "kms:Decrypt*",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:Describe*",
                ],
                "Resource": "*",
                "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
            },
            {
                # What AWS's own key for volumes says. Nodes are started by the service-linked role
                # of EC2 Auto Scaling, which no policy of the account can let in, and which cannot
                # be named here before the account's first group has made it.
                "Sid": "VolumesOfTheAccount",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:CreateGrant",
                    "kms:DescribeKey",
                ],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {
                        "kms:CallerAccount": args.account.id,
                        "kms:ViaService": f"ec2.{args.account.region}.amazonaws.com",
                    }
                },
            },
            *_of_alarms(args),
        ],
    }


def _of_alarms(args: EncryptionKeyArgs) -> list[dict[str, object]]:
    """Let publish to the topic of alarms who does that under a name of AWS's."""
    if args.alarm_topic_name is None:
        return []
    topic = args.account.arn("sns", args.alarm_topic_name)
    use = {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
    }
    # With each call SNS tells the topic.
    to_topic = {"kms:EncryptionContext:aws:sns:topicArn": topic}
    return [
        {
            "Sid": "AlarmsOfTheAccount",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Condition": {"StringEquals": {"aws:SourceAccount": args.account.id, **to_topic}},
            **use,
        },
        {
            # With aws:SourceAccount or aws:SourceArn nothing would arrive: SNS does not support
            # them for what EventBridge publishes ("Managing Amazon SNS encryption keys and costs").
            "Sid": "RulesToTheTopic",
            "Principal": {"Service": "events.amazonaws.com"},
            "Condition": {"StringEquals": to_topic},
            **use,
        },
        *([{"Sid": "Budget", **use, **publishing(args.account)}] if args.budget else []),
    ]
