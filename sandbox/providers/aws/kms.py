"""Keys and their aliases."""

from __future__ import annotations

from typing import ClassVar

from sandbox.machine.aws_api import find
from sandbox.providers.aws.resource import (
    CHOSEN,
    LOCAL,
    OFF,
    ON,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
)
from sandbox.providers.aws.tags import tag_changes, tag_map
from sandbox.providers.protocol import Properties


class Key(ResourceType):
    pulumi_type = "aws:kms/key:Key"
    service = "kms"
    inputs: ClassVar = {
        "bypassPolicyLockoutSafetyCheck": LOCAL,
        "customerMasterKeySpec": Input(default="SYMMETRIC_DEFAULT", replaces=True),
        # The provider's own range: the API's is 1 to 365.
        "deletionWindowInDays": Input(local=True, allowed=tuple(range(7, 31))),
        "description": CHOSEN,
        "enableKeyRotation": OFF,
        "isEnabled": ON,
        "keyUsage": Input(default="ENCRYPT_DECRYPT", replaces=True),
        "multiRegion": Input(computed=True, replaces=True),
        "policy": Input(json=True, computed=True),
        "rotationPeriodInDays": Input(computed=True),
        "tags": UPDATES,
    }
    api_inputs = ("CreateKey", "EnableKeyRotation", "ScheduleKeyDeletion")
    members: ClassVar = {
        "customerMasterKeySpec": "KeySpec",
        "deletionWindowInDays": "PendingWindowInDays",
        "enableKeyRotation": None,
        "isEnabled": None,
    }
    outputs = ("arn", "keyId")

    def create(self, inputs: Properties) -> str:
        policy = {}
        if "policy" in inputs:
            policy = {"Policy": inputs["policy"]}
        answer = self.api.create_key(
            Description=inputs.get("description", ""),
            KeySpec=inputs.get("customerMasterKeySpec", "SYMMETRIC_DEFAULT"),
            KeyUsage=inputs.get("keyUsage", "ENCRYPT_DECRYPT"),
            MultiRegion=inputs.get("multiRegion", False),
            BypassPolicyLockoutSafetyCheck=inputs.get("bypassPolicyLockoutSafetyCheck", False),
            Tags=_tags(inputs.get("tagsAll", {})),
            **policy,
        )
        return str(answer["KeyMetadata"]["KeyId"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        if inputs.get("enableKeyRotation"):
            self._rotate(resource_id, inputs)
        if not inputs.get("isEnabled", True):
            self.api.disable_key(KeyId=resource_id)

    def _rotate(self, resource_id: str, inputs: Properties) -> None:
        if not inputs.get("enableKeyRotation"):
            self.api.disable_key_rotation(KeyId=resource_id)
            return
        days = inputs.get("rotationPeriodInDays")
        period = {"RotationPeriodInDays": days} if days else {}
        self.api.enable_key_rotation(KeyId=resource_id, **period)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.describe_key, KeyId=resource_id)
        if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        key = answer["KeyMetadata"]
        rotation = self.api.get_key_rotation_status(KeyId=resource_id)
        policy = self.api.get_key_policy(KeyId=resource_id, PolicyName="default")["Policy"]
        tags = self.api.list_resource_tags(KeyId=resource_id)["Tags"]
        return {
            "arn": key["Arn"],
            "customerMasterKeySpec": key.get("KeySpec", key.get("CustomerMasterKeySpec")),
            "description": key.get("Description") or None,
            "enableKeyRotation": rotation["KeyRotationEnabled"],
            "isEnabled": key["KeyState"] == "Enabled",
            "keyId": key["KeyId"],
            "keyUsage": key["KeyUsage"],
            "multiRegion": key.get("MultiRegion", False),
            "policy": policy,
            "rotationPeriodInDays": rotation.get("RotationPeriodInDays"),
            "tagsAll": tag_map({"Key": one["TagKey"], "Value": one["TagValue"]} for one in tags),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if old.get("isEnabled", True) != new.get("isEnabled", True):
            switch = self.api.enable_key if new.get("isEnabled", True) else self.api.disable_key
            switch(KeyId=resource_id)
        rotation = ("enableKeyRotation", "rotationPeriodInDays")
        if any(old.get(key) != new.get(key) for key in rotation):
            self._rotate(resource_id, new)
        if old.get("description") != new.get("description"):
            self.api.update_key_description(
                KeyId=resource_id, Description=new.get("description", "")
            )
        if "policy" in new and old.get("policy") != new["policy"]:
            self.api.put_key_policy(KeyId=resource_id, PolicyName="default", Policy=new["policy"])
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_resource(KeyId=resource_id, TagKeys=removed)
        if wanted:
            self.api.tag_resource(KeyId=resource_id, Tags=_tags(wanted))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        days = inputs.get("deletionWindowInDays", 30)
        self.api.schedule_key_deletion(KeyId=resource_id, PendingWindowInDays=days)


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]


class Alias(ResourceType):
    pulumi_type = "aws:kms/alias:Alias"
    service = "kms"
    auto_name = AutoName(prefix="alias/", by_prefix="namePrefix")
    inputs: ClassVar = {
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        # The id or the ARN.
        "targetKeyId": Input(required=True, meaning=lambda key: key.rpartition("/")[2]),
    }
    api_inputs = ("CreateAlias",)
    members: ClassVar = {"name": "AliasName"}
    outputs = ("arn", "targetKeyArn")

    def create(self, inputs: Properties) -> str:
        self.api.create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
        return str(inputs["name"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        pages = self.api.get_paginator("list_aliases").paginate()
        aliases = {one["AliasName"]: one for page in pages for one in page["Aliases"]}
        alias = aliases.get(resource_id)
        if alias is None:
            return None
        key_id = alias["TargetKeyId"]
        key_arn = self.aws.arn("kms", f"key/{key_id}")
        return {
            "arn": alias["AliasArn"],
            "name": alias["AliasName"],
            "targetKeyArn": key_arn,
            "targetKeyId": key_id,
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self.api.update_alias(AliasName=resource_id, TargetKeyId=new["targetKeyId"])

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_alias(AliasName=resource_id)
