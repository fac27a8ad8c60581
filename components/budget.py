"""What a stack may cost in a month, and who is told when it costs more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components.aws_account import AwsAccount

EMAILS = 10
"""To how many addresses a budget writes itself ("Quotas and restrictions" of AWS Budgets)."""

_OF_SPENT = (50, 80, 100)


def monthly_budget(
    name: str,
    *,
    budget_name: str,
    usd: int,
    tags: Mapping[str, str],
    emails: Sequence[str],
    topic_arn: Input[str],
    account: AwsAccount,
    opts: ResourceOptions,
) -> aws.budgets.Budget:
    """Make a budget of what has these tags, as far as they are cost allocation tags.

    It writes to people itself, too: that reaches who has not confirmed the topic's subscription.
    """

    def alert(kind: str, percent: int) -> aws.budgets.BudgetNotificationArgs:
        return aws.budgets.BudgetNotificationArgs(
            notification_type=kind,
            threshold=percent,
            threshold_type="PERCENTAGE",
            comparison_operator="GREATER_THAN",
            subscriber_email_addresses=list(emails[:EMAILS]) or None,
            subscriber_sns_topic_arns=[topic_arn],
        )

    return aws.budgets.Budget(
        name,
        name=budget_name,
        account_id=account.id,
        budget_type="COST",
        time_unit="MONTHLY",
        limit_amount=str(usd),
        limit_unit="USD",
        cost_filters=[
            {
                "name": "TagKeyValue",
                # "user:" begins the tags that AWS has not made itself.
                "values": [f"user:{key}${value}" for key, value in tags.items()],
            }
        ],
        notifications=[
            *(alert("ACTUAL", percent) for percent in _OF_SPENT),
            alert("FORECASTED", 100),
        ],
        opts=opts,
    )


def publishing(account: AwsAccount) -> dict[str, object]:
    """Return who publishes a budget's alerts, in a statement of a policy."""
    return {
        "Principal": {"Service": "budgets.amazonaws.com"},
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account.id},
            "ArnLike": {"aws:SourceArn": f"arn:{account.partition}:budgets::{account.id}:*"},
        },
    }
