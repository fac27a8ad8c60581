"""What moto's Budgets lacks: changes, who is told, tags."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, TypeAlias

Json: TypeAlias = Any
Module: TypeAlias = Any


def complete() -> None:
    """Add the calls with which a budget is changed, and its subscribers and tags are read."""
    responses: Module = import_module("moto.budgets.responses")
    models: Module = import_module("moto.budgets.models")
    handler, create = responses.BudgetsResponse, responses.BudgetsResponse.create_budget
    start = models.Budget.__init__

    def begin(self: Json, budget: Json, notifications: Json) -> None:
        start(self, budget, notifications)
        self.budget["TimePeriod"] = _since_the_month_began(models, self.budget["TimePeriod"])
        self.tags = {}

    def found(self: Json) -> Json:
        account, name = self._get_param("AccountId"), self._get_param("BudgetName")
        if arn := self._get_param("ResourceARN"):
            account, name = arn.split(":")[4], arn.partition(":budget/")[2]
        self.backend.describe_budget(account, name)  # or it says that there is none
        return self.backend.budgets[account][name]

    def create_budget(self: Json) -> str:
        answer = create(self)
        told = self._get_param("Budget")["BudgetName"]
        budget = self.backend.budgets[self._get_param("AccountId")][told]
        budget.tags = _tags(self._get_param("ResourceTags"))
        return str(answer)

    def update_budget(self: Json) -> str:
        new = self._get_param("NewBudget")
        self.backend.describe_budget(self._get_param("AccountId"), new["BudgetName"])
        budget = self.backend.budgets[self._get_param("AccountId")][new["BudgetName"]]
        period = {**budget.budget["TimePeriod"], **new.get("TimePeriod", {})}
        budget.budget = {**new, "TimePeriod": period}
        return "{}"

    def describe_subscribers(self: Json) -> str:
        asked = self._get_param("Notification")
        notifications = found(self).notifications
        one = next((one for one in notifications if _same(one.details, asked)), None)
        if one is None:
            message = "Unable to get the subscribers - the notification doesn't exist."
            raise import_module("moto.budgets.exceptions").NotFoundException(message)
        return json.dumps({"Subscribers": one.subscribers})

    def list_tags(self: Json) -> str:
        tags = [{"Key": key, "Value": value} for key, value in found(self).tags.items()]
        return json.dumps({"ResourceTags": tags})

    def tag(self: Json) -> str:
        found(self).tags.update(_tags(self._get_param("ResourceTags")))
        return "{}"

    def untag(self: Json) -> str:
        for key in self._get_param("ResourceTagKeys"):
            found(self).tags.pop(key, None)
        return "{}"

    def delete_notification(self: Json, details: Json) -> None:
        self.notifications = [one for one in self.notifications if not _same(one.details, details)]

    models.Budget.__init__, models.Budget.delete_notification = begin, delete_notification
    handler.create_budget, handler.update_budget = create_budget, update_budget
    handler.describe_subscribers_for_notification = describe_subscribers
    handler.list_tags_for_resource, handler.tag_resource = list_tags, tag
    handler.untag_resource = untag


def _since_the_month_began(models: Module, period: Json) -> Json:
    first = models.datetime.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return {"Start": models.unix_time(first), "End": 3706473600, **period}


def _tags(given: Json) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in given or []}


def _same(one: Json, other: Json) -> bool:
    """Compare notifications: they have no ids, and a threshold is a percentage where not told."""
    first, second = ({"ThresholdType": "PERCENTAGE", **which} for which in (one, other))
    return all(
        first.get(key) == second.get(key)
        for key in ("ComparisonOperator", "NotificationType", "Threshold", "ThresholdType")
    )
