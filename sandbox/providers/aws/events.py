"""Rules of EventBridge and where they send what they match."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar

from sandbox.machine.aws_api import find
from sandbox.providers.aws.resource import (
    KEY,
    REQUIRED,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    shape,
)
from sandbox.providers.aws.tags import retag_listed, tag_list, tag_map
from sandbox.providers.protocol import Failure, Properties

_BUS = Input(default="default", replaces=True, allowed=("default",))
_FORCE = Input(default=False, local=True)


class EventRule(ResourceType):
    pulumi_type = "aws:cloudwatch/eventRule:EventRule"
    service = "events"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "description": UPDATES,
        "eventBusName": _BUS,
        "eventPattern": Input(json=True, ordered=True),
        "forceDestroy": _FORCE,
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "roleArn": UPDATES,
        "scheduleExpression": UPDATES,
        "state": Input(computed=True),
        "tags": UPDATES,
    }
    api_inputs = ("PutRule",)
    members: ClassVar = {"forceDestroy": None}
    outputs = ("arn",)

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        if not {"eventPattern", "scheduleExpression"} & inputs.keys():
            reason = "one of eventPattern, scheduleExpression must be specified"
            yield Failure("eventPattern", reason)

    def create(self, inputs: Properties) -> str:
        self._put(inputs, Tags=tag_list(inputs.get("tagsAll", {})))
        return str(inputs["name"])

    def _put(self, inputs: Properties, **more: Any) -> None:  # noqa: ANN401
        names = {
            "description": "Description",
            "eventPattern": "EventPattern",
            "roleArn": "RoleArn",
            "scheduleExpression": "ScheduleExpression",
            "state": "State",
        }
        given = {name: inputs[key] for key, name in names.items() if inputs.get(key)}
        self.api.put_rule(Name=inputs["name"], EventBusName="default", **given, **more)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        rule = find(self.api.describe_rule, Name=resource_id)
        if rule is None:
            return None
        tags = self.api.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]
        return {
            "arn": rule["Arn"],
            "description": rule.get("Description"),
            "eventBusName": rule["EventBusName"],
            "eventPattern": rule.get("EventPattern"),
            "name": rule["Name"],
            "roleArn": rule.get("RoleArn"),
            "scheduleExpression": rule.get("ScheduleExpression"),
            "state": rule["State"],
            "tagsAll": tag_map(tags),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._put(new)
        retag_listed(self.api, old, new, ResourceARN=self.aws.arn("events", f"rule/{resource_id}"))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_rule(Name=resource_id, Force=inputs.get("forceDestroy", False))


class EventTarget(ResourceType):
    pulumi_type = "aws:cloudwatch/eventTarget:EventTarget"
    service = "events"
    inputs: ClassVar = {
        "arn": REQUIRED,
        "deadLetterConfig": Input(shape=shape("arn")),
        "eventBusName": _BUS,
        "forceDestroy": _FORCE,
        "input": Input(json=True, ordered=True),
        "inputPath": UPDATES,
        "inputTransformer": Input(shape=shape("inputPaths", "inputTemplate")),
        "retryPolicy": Input(shape=shape("maximumEventAgeInSeconds", "maximumRetryAttempts")),
        "roleArn": UPDATES,
        "rule": KEY,
        "targetId": Input(computed=True, replaces=True),
    }
    api_inputs = ("PutTargets.Targets[]", "PutTargets")
    members: ClassVar = {"forceDestroy": None, "inputTransformer": None, "targetId": "Id"}

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        given = sorted({"input", "inputPath", "inputTransformer"} & inputs.keys())
        if len(given) > 1:
            yield Failure(given[1], f"conflicts with {given[0]}")

    def imported(self, given: str) -> tuple[str, Properties]:
        rule, _, target = given.removeprefix("default/").partition("/")
        return f"{rule}-{target}", {"rule": rule, "targetId": target}

    def create(self, inputs: Properties) -> str:
        target = inputs.get("targetId") or f"terraform-{time.time_ns()}"
        self._put({**inputs, "targetId": target})
        return f"{inputs['rule']}-{target}"

    def _put(self, inputs: Properties) -> None:
        target = {"Arn": inputs["arn"], "Id": inputs["targetId"]}
        names = {"input": "Input", "inputPath": "InputPath", "roleArn": "RoleArn"}
        target |= {name: inputs[key] for key, name in names.items() if inputs.get(key)}
        if letters := inputs.get("deadLetterConfig"):
            target["DeadLetterConfig"] = {"Arn": letters["arn"]}
        if transformer := inputs.get("inputTransformer"):
            target["InputTransformer"] = {
                "InputPathsMap": transformer.get("inputPaths") or {},
                "InputTemplate": transformer["inputTemplate"],
            }
        if policy := inputs.get("retryPolicy"):
            target["RetryPolicy"] = {
                f"{key[0].upper()}{key[1:]}": value for key, value in policy.items()
            }
        self.api.put_targets(Rule=inputs["rule"], EventBusName="default", Targets=[target])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        rule = inputs["rule"]
        # The name of a rule and the id of a target may have any number of hyphens.
        wanted = resource_id.removeprefix(f"{rule}-")
        answer = find(self.api.list_targets_by_rule, Rule=rule, Limit=100) or {"Targets": []}
        target = next((one for one in answer["Targets"] if one["Id"] == wanted), None)
        if target is None:
            return None
        letters = target.get("DeadLetterConfig") or {}
        transformer = target.get("InputTransformer")
        policy = target.get("RetryPolicy") or {}
        return {
            "arn": target["Arn"],
            "deadLetterConfig": {"arn": letters["Arn"]} if letters.get("Arn") else None,
            "eventBusName": "default",
            "input": target.get("Input"),
            "inputPath": target.get("InputPath"),
            "inputTransformer": transformer
            and {
                "inputPaths": transformer.get("InputPathsMap"),
                "inputTemplate": transformer["InputTemplate"],
            },
            "retryPolicy": {f"{key[0].lower()}{key[1:]}": value for key, value in policy.items()}
            or None,
            "roleArn": target.get("RoleArn"),
            "rule": rule,
            "targetId": wanted,
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._put({**new, "targetId": resource_id.removeprefix(f"{new['rule']}-")})

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.remove_targets(
            Rule=inputs["rule"],
            Ids=[state["targetId"]],
            Force=inputs.get("forceDestroy", False),
        )
