"""Budgets, whose alerts AWS sends when what is spent, or forecast, passes a share of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from sandbox.machine.aws_api import find
from sandbox.providers.aws.resource import REQUIRED, UPDATES, AutoName, Input, ResourceType, shape
from sandbox.providers.aws.tags import tag_changes, tag_list, tag_map
from sandbox.providers.protocol import UNKNOWN, Failure, Properties, Value

_TIME = "%Y-%m-%d_%H:%M"


def _amount(text: str) -> str:
    try:
        return str(Decimal(text).normalize())
    except InvalidOperation:
        return text


_COST_TYPES = {
    **dict.fromkeys(
        (
            *("includeCredit", "includeDiscount", "includeOtherSubscription", "includeRecurring"),
            *("includeRefund", "includeSubscription", "includeSupport", "includeTax"),
            "includeUpfront",
        ),
        Input(default=True),
    ),
    **dict.fromkeys(("useAmortized", "useBlended"), Input(default=False)),
}


class Budget(ResourceType):
    pulumi_type = "aws:budgets/budget:Budget"
    service = "budgets"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "accountId": Input(computed=True, replaces=True),
        "budgetType": REQUIRED,
        "costFilters": Input(computed=True, shape=shape("name", "values")),
        "costTypes": Input(computed=True, shape=_COST_TYPES),
        "limitAmount": Input(computed=True, meaning=_amount),
        "limitUnit": Input(computed=True),
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "notifications": Input(
            shape=shape(
                *("comparisonOperator", "notificationType", "threshold", "thresholdType"),
                *("subscriberEmailAddresses", "subscriberSnsTopicArns"),
            )
        ),
        "tags": UPDATES,
        "timePeriodEnd": Input(default="2087-06-15_00:00"),
        "timePeriodStart": Input(computed=True),
        "timeUnit": REQUIRED,
    }
    api_inputs = ("CreateBudget.Budget", "CreateBudget")
    members: ClassVar = {
        "costFilters": None,
        "limitAmount": "BudgetLimit.Amount",
        "limitUnit": "BudgetLimit.Unit",
        "name": "BudgetName",
        "notifications": None,
        "tags": "ResourceTags",
        "timePeriodEnd": None,
        "timePeriodStart": None,
    }
    outputs = ("arn",)

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        for key in ("timePeriodEnd", "timePeriodStart"):
            given = inputs.get(key)
            try:
                if given not in (None, UNKNOWN):
                    _time(given)
            except ValueError:
                yield Failure(key, f'"{key}" cannot be parsed as "2006-01-02_15:04": {given}')
        notifications = inputs.get("notifications")
        for one in notifications if isinstance(notifications, list) else []:
            needed = {"comparisonOperator", "notificationType", "threshold", "thresholdType"}
            if isinstance(one, dict) and (missing := needed - one.keys()):
                yield Failure("notifications", f"a notification needs {', '.join(sorted(missing))}")
            for key in _SUBSCRIBERS.values():
                given = one.get(key) if isinstance(one, dict) else None
                if given not in (None, UNKNOWN) and not isinstance(given, list):
                    yield Failure("notifications", f"expected {key} to be a list, got {given}")

    def create(self, inputs: Properties) -> str:
        account = inputs.get("accountId") or self.aws.account
        self.api.create_budget(
            AccountId=account,
            Budget=_budget(inputs),
            ResourceTags=tag_list(inputs.get("tagsAll", {})),
        )
        return f"{account}:{inputs['name']}"

    def finish(self, resource_id: str, inputs: Properties) -> None:
        for one in inputs.get("notifications") or []:
            self._notify(resource_id, one)

    def _notify(self, resource_id: str, notification: Properties) -> None:
        self.api.create_notification(
            **_which(resource_id),
            Notification=_notification(notification),
            Subscribers=[
                {"SubscriptionType": kind, "Address": address}
                for kind, key in _SUBSCRIBERS.items()
                for address in notification.get(key) or []
            ],
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        which = _which(resource_id)
        answer = find(self.api.describe_budget, **which)
        if answer is None:
            return None
        budget = answer["Budget"]
        arn = _arn(self.aws.partition, resource_id)
        tags = self.api.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
        found = self.api.describe_notifications_for_budget(**which)["Notifications"]
        limit, period = budget.get("BudgetLimit", {}), budget["TimePeriod"]
        return {
            "accountId": which["AccountId"],
            "arn": arn,
            "budgetType": budget["BudgetType"],
            "costFilters": [
                {"name": name, "values": values}
                for name, values in budget.get("CostFilters", {}).items()
            ],
            "costTypes": {
                f"{name[0].lower()}{name[1:]}": value
                for name, value in budget.get("CostTypes", {}).items()
            },
            "limitAmount": limit.get("Amount"),
            "limitUnit": limit.get("Unit"),
            "name": which["BudgetName"],
            "notifications": [self._notified(which, one) for one in found] or None,
            "tagsAll": tag_map(tags),
            "timePeriodEnd": _text(period["End"]),
            "timePeriodStart": _text(period["Start"]),
            "timeUnit": budget["TimeUnit"],
        }

    def _notified(self, which: dict[str, str], notification: dict[str, Any]) -> Properties:
        names = ("ComparisonOperator", "NotificationType", "Threshold", "ThresholdType")
        asked = {name: notification[name] for name in names if name in notification}
        answer = self.api.describe_subscribers_for_notification(**which, Notification=asked)
        subscribers = {
            key: [
                one["Address"] for one in answer["Subscribers"] if one["SubscriptionType"] == kind
            ]
            for kind, key in _SUBSCRIBERS.items()
        }
        return {
            "comparisonOperator": notification["ComparisonOperator"],
            "notificationType": notification["NotificationType"],
            "threshold": notification["Threshold"],
            "thresholdType": notification.get("ThresholdType", "PERCENTAGE"),
            **{key: addresses for key, addresses in subscribers.items() if addresses},
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        which = _which(resource_id)
        name = which["BudgetName"]
        account = {"AccountId": which["AccountId"]}
        self.api.update_budget(**account, NewBudget=_budget({**new, "name": name}))
        before, after = (one.get("notifications") or [] for one in (old, new))
        for one in before:
            if one not in after:
                self.api.delete_notification(**which, Notification=_notification(one))
        for one in after:
            if one not in before:
                self._notify(resource_id, one)
        arn = _arn(self.aws.partition, resource_id)
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_resource(ResourceARN=arn, ResourceTagKeys=removed)
        if wanted:
            self.api.tag_resource(ResourceARN=arn, ResourceTags=tag_list(wanted))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_budget(**_which(resource_id))


_SUBSCRIBERS = {"EMAIL": "subscriberEmailAddresses", "SNS": "subscriberSnsTopicArns"}


def _which(resource_id: str) -> dict[str, str]:
    account, _, name = resource_id.partition(":")
    return {"AccountId": account, "BudgetName": name}


def _arn(partition: str, resource_id: str) -> str:
    account, _, name = resource_id.partition(":")
    return f"arn:{partition}:budgets::{account}:budget/{name}"


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime(_TIME)


def _budget(inputs: Properties) -> dict[str, Any]:
    period = {"End": _time(inputs.get("timePeriodEnd") or "2087-06-15_00:00")}
    if inputs.get("timePeriodStart"):
        period["Start"] = _time(inputs["timePeriodStart"])
    budget: dict[str, Any] = {
        "BudgetName": inputs["name"],
        "BudgetType": inputs["budgetType"],
        "TimeUnit": inputs["timeUnit"],
        "TimePeriod": period,
        "CostFilters": {one["name"]: one["values"] for one in inputs.get("costFilters") or []},
    }
    if inputs.get("limitAmount") and inputs.get("limitUnit"):
        budget["BudgetLimit"] = {"Amount": inputs["limitAmount"], "Unit": inputs["limitUnit"]}
    if kinds := inputs.get("costTypes"):
        budget["CostTypes"] = {f"{key[0].upper()}{key[1:]}": one for key, one in kinds.items()}
    return budget


def _notification(one: Properties) -> dict[str, Value]:
    return {
        "ComparisonOperator": one["comparisonOperator"],
        "NotificationType": one["notificationType"],
        "Threshold": one["threshold"],
        "ThresholdType": one["thresholdType"],
    }
