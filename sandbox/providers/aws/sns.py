"""Topics, their policies and who subscribes to them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import ClassVar

from sandbox.machine.aws_api import error_code, find
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    OFF,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
)
from sandbox.providers.aws.tags import retag_listed, tag_list, tag_map
from sandbox.providers.protocol import UNKNOWN, Failure, Properties, Value

# Which attribute of a topic or a subscription a property is; SNS has all of them as text.
_OF_TOPICS = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deliveryPolicy": "DeliveryPolicy",
    "displayName": "DisplayName",
    "fifoTopic": "FifoTopic",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
}
_OF_SUBSCRIPTIONS = {
    "filterPolicy": "FilterPolicy",
    "filterPolicyScope": "FilterPolicyScope",
    "rawMessageDelivery": "RawMessageDelivery",
    "redrivePolicy": "RedrivePolicy",
}
_BOOLEAN = {"contentBasedDeduplication", "fifoTopic", "rawMessageDelivery"}


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(key: str, attributes: dict[str, str], name: str) -> Value:
    found = attributes.get(name)
    if key in _BOOLEAN:
        return found == "true"
    return found or None


class Topic(ResourceType):
    pulumi_type = "aws:sns/topic:Topic"
    service = "sns"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "contentBasedDeduplication": OFF,
        "deliveryPolicy": Input(json=True),
        "displayName": UPDATES,
        "fifoTopic": Input(default=False, replaces=True, allowed=(True, False)),
        "kmsMasterKeyId": UPDATES,
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "policy": Input(json=True, computed=True),
        "tags": UPDATES,
    }
    api_inputs = ("CreateTopic",)
    members: ClassVar = dict.fromkeys(_OF_TOPICS, None)
    outputs = ("arn", "owner")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        name, fifo = inputs.get("name"), inputs.get("fifoTopic", False)
        if UNKNOWN in (name, fifo):
            return
        form = r"[0-9A-Za-z_-]{1,251}\.fifo" if fifo else "[0-9A-Za-z_-]{1,256}"
        if not re.fullmatch(form, str(name)):
            yield Failure("name", f"invalid topic name: {name}")
        if inputs.get("contentBasedDeduplication") is True and not fifo:
            reason = "content-based deduplication can only be set for FIFO topics"
            yield Failure("contentBasedDeduplication", reason)

    def create(self, inputs: Properties) -> str:
        fifo = {"Attributes": {"FifoTopic": "true"}} if inputs.get("fifoTopic") else {}
        tags = tag_list(inputs.get("tagsAll", {}))
        return str(self.api.create_topic(Name=inputs["name"], Tags=tags, **fifo)["TopicArn"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._set(resource_id, {}, inputs)

    def _set(self, arn: str, old: Properties, new: Properties) -> None:
        for key, name in _OF_TOPICS.items():
            before, after = (one.get(key, self.inputs[key].default) for one in (old, new))
            if before != after and key != "fifoTopic" and (key != "policy" or after):
                value = "" if after is None else _text(after)
                self.api.set_topic_attributes(
                    TopicArn=arn, AttributeName=name, AttributeValue=value
                )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_topic_attributes, TopicArn=resource_id)
        if answer is None:
            return None
        found = answer["Attributes"]
        tags = self.api.list_tags_for_resource(ResourceArn=resource_id)["Tags"]
        return {
            **{key: _value(key, found, name) for key, name in _OF_TOPICS.items()},
            "arn": resource_id,
            "name": resource_id.rpartition(":")[2],
            "owner": found["Owner"],
            "tagsAll": tag_map(tags),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._set(resource_id, old, new)
        retag_listed(self.api, old, new, ResourceArn=resource_id)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_topic(TopicArn=resource_id)


class TopicPolicy(ResourceType):
    pulumi_type = "aws:sns/topicPolicy:TopicPolicy"
    service = "sns"
    inputs: ClassVar = {"arn": KEY, "policy": Input(json=True, required=True)}
    api_inputs = ("SetTopicAttributes",)
    members: ClassVar = {"arn": "TopicArn", "policy": "AttributeValue"}
    outputs = ("owner",)

    def create(self, inputs: Properties) -> str:
        self._put(inputs["arn"], inputs["policy"])
        return str(inputs["arn"])

    def _put(self, arn: str, policy: str) -> None:
        self.api.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_topic_attributes, TopicArn=resource_id)
        if answer is None:
            return None
        found = answer["Attributes"]
        return {"arn": resource_id, "owner": found["Owner"], "policy": found["Policy"]}

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._put(resource_id, new["policy"])

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        """Give the topic the policy back with which SNS makes one: it has no way to be without."""
        actions = (
            *("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission"),
            *("DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish"),
        )
        statement = {
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [f"SNS:{action}" for action in actions],
            "Resource": resource_id,
            "Condition": {"StringEquals": {"AWS:SourceOwner": state["owner"]}},
        }
        default = {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}
        self._put(resource_id, json.dumps(default))


class TopicSubscription(ResourceType):
    pulumi_type = "aws:sns/topicSubscription:TopicSubscription"
    service = "sns"
    inputs: ClassVar = {
        "confirmationTimeoutInMinutes": Input(default=1, local=True),
        "endpoint": KEY,
        "endpointAutoConfirms": Input(default=False, local=True),
        "filterPolicy": Input(json=True),
        "filterPolicyScope": CHOSEN,
        "protocol": Input(
            required=True,
            replaces=True,
            allowed=("email", "email-json", "http", "https", "lambda", "sms", "sqs"),
        ),
        "rawMessageDelivery": OFF,
        "redrivePolicy": Input(json=True),
        "topic": KEY,
    }
    api_inputs = ("Subscribe",)
    members: ClassVar = {
        "confirmationTimeoutInMinutes": None,
        "endpointAutoConfirms": None,
        "topic": "TopicArn",
        **dict.fromkeys(_OF_SUBSCRIPTIONS, None),
    }
    outputs = ("arn", "confirmationWasAuthenticated", "ownerId", "pendingConfirmation")

    def create(self, inputs: Properties) -> str:
        given = {
            name: _text(inputs[key]) for key, name in _OF_SUBSCRIPTIONS.items() if inputs.get(key)
        }
        answer = self.api.subscribe(
            TopicArn=inputs["topic"],
            Protocol=inputs["protocol"],
            Endpoint=inputs["endpoint"],
            Attributes=given,
            ReturnSubscriptionArn=True,
        )
        return str(answer["SubscriptionArn"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_subscription_attributes, SubscriptionArn=resource_id)
        if answer is None:
            return None
        found = answer["Attributes"]
        return {
            **{key: _value(key, found, name) for key, name in _OF_SUBSCRIPTIONS.items()},
            "arn": resource_id,
            "confirmationWasAuthenticated": found["ConfirmationWasAuthenticated"] == "true",
            "endpoint": found["Endpoint"],
            "ownerId": found["Owner"],
            "pendingConfirmation": found["PendingConfirmation"] == "true",
            "protocol": found["Protocol"],
            "topic": found["TopicArn"],
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        for key, name in _OF_SUBSCRIPTIONS.items():
            before, after = (one.get(key, self.inputs[key].default) for one in (old, new))
            if before != after:
                empty = "{}" if key == "filterPolicy" else ""
                value = empty if after is None else _text(after)
                self.api.set_subscription_attributes(
                    SubscriptionArn=resource_id, AttributeName=name, AttributeValue=value
                )

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        """Leave one that nobody has confirmed: SNS forgets it after 48 hours, or with its topic."""
        try:
            self.api.unsubscribe(SubscriptionArn=resource_id)
        except Exception as error:
            pending = "a subscription that is pending confirmation" in str(error)
            if not (pending and error_code(error) == "InvalidParameter"):
                raise
