"""Secrets and their versions."""

from __future__ import annotations

from typing import ClassVar

from sandbox.machine.aws_api import find
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
)
from sandbox.providers.aws.tags import retag_listed, tag_list, tag_map
from sandbox.providers.protocol import Properties


class Secret(ResourceType):
    pulumi_type = "aws:secretsmanager/secret:Secret"
    service = "secretsmanager"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "description": UPDATES,
        "kmsKeyId": UPDATES,
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "policy": Input(json=True, computed=True),
        "recoveryWindowInDays": Input(local=True, allowed=(0, *range(7, 31))),
        "tags": UPDATES,
    }
    api_inputs = ("CreateSecret", "PutResourcePolicy", "DeleteSecret")
    members: ClassVar = {"policy": "ResourcePolicy"}
    outputs = ("arn",)

    def create(self, inputs: Properties) -> str:
        key = inputs.get("kmsKeyId")
        answer = self.api.create_secret(
            Name=inputs["name"],
            Description=inputs.get("description", ""),
            Tags=tag_list(inputs.get("tagsAll", {})),
            **({"KmsKeyId": key} if key else {}),
        )
        return str(answer["ARN"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._put_policy(resource_id, inputs)

    def _put_policy(self, resource_id: str, inputs: Properties) -> None:
        policy = inputs.get("policy")
        if policy:
            self.api.put_resource_policy(SecretId=resource_id, ResourcePolicy=policy)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        secret = find(self.api.describe_secret, SecretId=resource_id)
        if secret is None or secret.get("DeletedDate"):
            return None
        policy = find(self.api.get_resource_policy, SecretId=resource_id) or {}
        return {
            "arn": secret["ARN"],
            "description": secret.get("Description") or None,
            "kmsKeyId": secret.get("KmsKeyId"),
            "name": secret["Name"],
            "policy": policy.get("ResourcePolicy"),
            "tagsAll": tag_map(secret.get("Tags")),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if any(old.get(key) != new.get(key) for key in ("description", "kmsKeyId")):
            key = new.get("kmsKeyId")
            self.api.update_secret(
                SecretId=resource_id,
                Description=new.get("description", ""),
                **({"KmsKeyId": key} if key else {}),
            )
        if old.get("policy") != new.get("policy"):
            self._put_policy(resource_id, new)
        retag_listed(self.api, old, new, SecretId=resource_id)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        days = inputs.get("recoveryWindowInDays", 30)
        how = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
        self.api.delete_secret(SecretId=resource_id, **how)


class SecretVersion(ResourceType):
    pulumi_type = "aws:secretsmanager/secretVersion:SecretVersion"
    service = "secretsmanager"
    inputs: ClassVar = {
        "secretId": KEY,
        "secretString": Input(replaces=True, required=True),
        "versionStages": CHOSEN,
    }
    api_inputs = ("PutSecretValue",)
    outputs = ("secretArn", "versionId")

    def create(self, inputs: Properties) -> str:
        stages = inputs.get("versionStages")
        answer = self.api.put_secret_value(
            SecretId=inputs["secretId"],
            SecretString=inputs["secretString"],
            **({"VersionStages": stages} if stages else {}),
        )
        return f"{inputs['secretId']}|{answer['VersionId']}"

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        secret_id, version_id = resource_id.split("|", 1)
        answer = find(self.api.get_secret_value, SecretId=secret_id, VersionId=version_id)
        if answer is None:
            return None
        return {
            "secretArn": answer["ARN"],
            "secretId": secret_id,
            "secretString": answer.get("SecretString"),
            "versionId": version_id,
            "versionStages": answer.get("VersionStages", []),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        secret_id, version_id = resource_id.split("|", 1)
        for stage in new.get("versionStages", []):
            self.api.update_secret_version_stage(
                SecretId=secret_id, VersionStage=stage, MoveToVersionId=version_id
            )

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        """Leave the current version, which goes with its secret; AWS drops the others."""
