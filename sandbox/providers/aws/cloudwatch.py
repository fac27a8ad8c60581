"""Log groups."""

from __future__ import annotations

from typing import ClassVar

from sandbox.providers.aws.resource import LOCAL, UPDATES, AutoName, Input, ResourceType
from sandbox.providers.aws.tags import retag
from sandbox.providers.protocol import Properties

_RETENTIONS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096),
    *(1827, 2192, 2557, 2922, 3288, 3653),
)


class LogGroup(ResourceType):
    pulumi_type = "aws:cloudwatch/logGroup:LogGroup"
    service = "logs"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "kmsKeyId": UPDATES,
        "logGroupClass": Input(computed=True, replaces=True, allowed=("STANDARD",)),
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "retentionInDays": Input(default=0, allowed=_RETENTIONS),
        "skipDestroy": LOCAL,
        "tags": UPDATES,
    }
    api_inputs = ("CreateLogGroup", "PutRetentionPolicy")
    members: ClassVar = {"name": "logGroupName", "skipDestroy": None}
    outputs = ("arn",)

    def create(self, inputs: Properties) -> str:
        key = inputs.get("kmsKeyId")
        tags = inputs.get("tagsAll")
        self.api.create_log_group(
            logGroupName=inputs["name"],
            **({"kmsKeyId": key} if key else {}),
            **({"tags": tags} if tags else {}),
        )
        return str(inputs["name"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._retain(resource_id, inputs.get("retentionInDays", 0))

    def _retain(self, name: str, days: int) -> None:
        if days:
            self.api.put_retention_policy(logGroupName=name, retentionInDays=days)
        else:
            self.api.delete_retention_policy(logGroupName=name)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        groups = self.api.describe_log_groups(logGroupNamePrefix=resource_id)["logGroups"]
        group = next((one for one in groups if one["logGroupName"] == resource_id), None)
        if group is None:
            return None
        arn = group["arn"].removesuffix(":*")
        return {
            "arn": arn,
            "kmsKeyId": group.get("kmsKeyId"),
            "logGroupClass": group.get("logGroupClass", "STANDARD"),
            "name": resource_id,
            "retentionInDays": group.get("retentionInDays", 0),
            "tagsAll": self.api.list_tags_for_resource(resourceArn=arn)["tags"],
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._retain(resource_id, new.get("retentionInDays", 0))
        key = new.get("kmsKeyId")
        if old.get("kmsKeyId") != key and key:
            self.api.associate_kms_key(logGroupName=resource_id, kmsKeyId=key)
        elif old.get("kmsKeyId") != key:
            self.api.disassociate_kms_key(logGroupName=resource_id)
        arn = self.aws.arn("logs", f"log-group:{resource_id}")
        retag(self.api, arn, old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        if not inputs.get("skipDestroy"):
            self.api.delete_log_group(logGroupName=resource_id)
