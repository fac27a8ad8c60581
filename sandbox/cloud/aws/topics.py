"""Who is told of what is published to a topic: whoever has confirmed."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
Module: TypeAlias = Any

_ASKED: Final = ("email", "email-json", "http", "https")
"""Protocols by which SNS asks the endpoint to confirm, which nobody here can."""


def complete() -> None:
    """Let subscriptions wait for a confirmation, and tell nobody before it."""
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
        if not self.attributes["PendingConfirmation"]:
            publish(self, *told, **named)

    backend.subscribe, backend.unsubscribe, subscription.publish = wait, leave, tell
