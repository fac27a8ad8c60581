"""What moto's SNS lacks: who may publish as a service, and who has to confirm before he is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import authorization
from sandbox.cloud.aws.refusals.front import RefusedError

Json: TypeAlias = Any
Module: TypeAlias = Any

_ASKED: Final = ("email", "email-json", "http", "https")
"""Protocols by which SNS asks the endpoint to confirm, which nobody here can."""
KEY_ACTIONS: Final = ("kms:GenerateDataKey", "kms:Decrypt")
"""What a publisher does with the key of an encrypted topic."""


def complete(log: Path | None = None) -> None:
    """Let subscriptions wait for a confirmation, and tell nobody before it.

    log: where all that is published is written down.
    """
    models: Module = import_module("moto.sns.models")
    backend, subscription = models.SNSBackend, models.Subscription
    subscribe, unsubscribe, publish = backend.subscribe, backend.unsubscribe, subscription.publish

    def wait(self: Json, topic_arn: str, endpoint: str, protocol: str) -> Json:
        one = subscribe(self, topic_arn, endpoint, protocol)
        if protocol in _ASKED:
            one.attributes |= {"PendingConfirmation": True, "ConfirmationWasAuthenticated": False}
        return one

    def leave(self: Json, subscription_arn: str) -> None:
        one = self.subscriptions.get(subscription_arn)
        if one is not None and one.attributes["PendingConfirmation"]:
            raise models.SNSInvalidParameter(
                "Invalid parameter: SubscriptionArn Reason: Cannot unsubscribe a subscription that "
                "is pending confirmation"
            )
        unsubscribe(self, subscription_arn)

    def tell(self: Json, *told: Json, **named: Json) -> None:
        pending = self.attributes["PendingConfirmation"]
        if not pending and (self.protocol != "sqs" or _takes(self.endpoint, self.topic.arn)):
            publish(self, *told, **named)

    backend.subscribe, backend.unsubscribe, subscription.publish = wait, leave, tell
    if log is not None:
        models.Topic.publish = _written_down(models.Topic.publish, log)


def _written_down(publish: Callable[..., str], log: Path) -> Callable[..., str]:
    def published(self: Json, message: str, subject: str | None = None, **named: Json) -> str:
        log.touch(mode=0o600)
        with log.open("a") as file:
            print(f"{datetime.now(UTC):%H:%M:%S} {self.name}: {subject or ''}", file=file)
            print(message, end="\n\n", file=file)
        return publish(self, message, subject=subject, **named)

    return published


def _takes(queue_arn: str, topic_arn: str) -> bool:
    """Tell whether a queue is there and lets SNS send what is published to a topic."""
    *_, region, account, name = queue_arn.split(":")
    queue = import_module("moto.sqs.models").sqs_backends[account][region].queues.get(name)
    if queue is None or not queue.policy:
        return False
    context = {**_of_service(account), "aws:SourceArn": topic_arn, "aws:SourceAccount": account}
    return authorization.is_trusted(
        json.loads(queue.policy),
        "Service",
        "sns.amazonaws.com",
        "sqs:SendMessage",
        context,
        resource=queue_arn,
    )


def _of_service(account: str) -> dict[str, str]:
    return {
        "aws:PrincipalIsAWSService": "true",
        "aws:ResourceAccount": account,
        "aws:SecureTransport": "true",
    }


def publish(
    service: str,
    topic_arn: str,
    message: str,
    source: Mapping[str, str],
    subject: str | None = None,
) -> None:
    """Publish as a service of AWS, or raise what it would be refused.

    source: what the service says of whom it does so for, as conditions know it.
    """
    *_, region, account, _ = topic_arn.split(":")
    backend = import_module("moto.sns.models").sns_backends[account][region]
    topic = backend.topics.get(topic_arn)
    if topic is None:
        raise RefusedError("NotFound", "Topic does not exist")
    context = {**_of_service(account), **source}
    trusted = authorization.is_trusted(
        json.loads(topic.policy), "Service", service, "sns:Publish", context, resource=topic_arn
    )
    if not trusted:
        message = f"{service} is not authorized to perform: SNS:Publish on resource: {topic_arn}"
        raise RefusedError("AuthorizationError", message)
    if topic.kms_master_key_id:
        _require_key(service, topic, context)
    topic.publish(message, subject=subject)


def key_of(topic: Json) -> Json:
    """Return the key that a topic is encrypted with, as moto keeps it; None if it is none."""
    *_, region, account, _ = topic.arn.split(":")
    backend = import_module("moto.kms.models").kms_backends[account][region]
    return backend.keys.get(backend.any_id_to_key_id(topic.kms_master_key_id))


def _require_key(service: str, topic: Json, context: Mapping[str, str]) -> None:
    key = key_of(topic)
    if key is None or key.key_state != "Enabled":
        state = "does not exist" if key is None else f"is {key.key_state}"
        raise RefusedError("KMSInvalidState", f"{topic.kms_master_key_id} {state}.")
    in_use = {**context, "kms:EncryptionContext:aws:sns:topicArn": topic.arn}
    policy = json.loads(key.policy)
    for action in KEY_ACTIONS:
        # The policy of the key that AWS manages for SNS names no other service.
        if topic.kms_master_key_id == "alias/aws/sns" or not authorization.is_trusted(
            policy, "Service", service, action, in_use, resource=key.arn
        ):
            message = f"{service} is not authorized to perform: {action} on resource: {key.arn}"
            raise RefusedError("KMSAccessDenied", message)
