"""What every service refuses that is given a key of KMS."""

from __future__ import annotations

from functools import partial
from typing import Final

import jmespath

from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.machine.aws_api import Aws, find

_OF_VOLUMES: Final = "LaunchTemplateData.BlockDeviceMappings[].Ebs.KmsKeyId"
_OF_BUCKETS: Final = (
    "ServerSideEncryptionConfiguration.Rules[].ApplyServerSideEncryptionByDefault.KMSMasterKeyID"
)
# Where an operation is given keys, as JMESPath expressions.
_GIVEN: Final = {
    ("ec2", "CreateLaunchTemplate"): _OF_VOLUMES,
    ("ec2", "CreateLaunchTemplateVersion"): _OF_VOLUMES,
    ("eks", "AssociateEncryptionConfig"): "encryptionConfig[].provider.keyArn",
    ("eks", "CreateCluster"): "encryptionConfig[].provider.keyArn",
    ("kms", "CreateAlias"): "TargetKeyId",
    ("kms", "UpdateAlias"): "TargetKeyId",
    ("logs", "AssociateKmsKey"): "kmsKeyId",
    ("logs", "CreateLogGroup"): "kmsKeyId",
    ("mwaa", "CreateEnvironment"): "KmsKey",
    ("s3", "CopyObject"): "SSEKMSKeyId",
    ("s3", "CreateMultipartUpload"): "SSEKMSKeyId",
    ("s3", "PutBucketEncryption"): _OF_BUCKETS,
    ("s3", "PutObject"): "SSEKMSKeyId",
    ("secretsmanager", "CreateSecret"): "KmsKeyId",
    ("secretsmanager", "UpdateSecret"): "KmsKeyId",
    ("sns", "CreateTopic"): "Attributes.KmsMasterKeyId",
    ("sns", "SetTopicAttributes"): "AttributeName=='KmsMasterKeyId' && AttributeValue",
}


def _unusable(expression: str, aws: Aws, told: Told) -> None:
    found = jmespath.search(expression, told)
    for key in found if isinstance(found, list) else [found]:
        if key:
            require_usable(aws, key)


def require_usable(aws: Aws, key: str) -> None:
    """Refuse a key that does not exist, is disabled or is about to be deleted."""
    answer = find(aws.client("kms").describe_key, KeyId=key)
    if answer is None:
        raise RefusedError("NotFoundException", f"Key '{key}' does not exist")
    state = answer["KeyMetadata"]["KeyState"]
    if state != "Enabled":
        raise RefusedError("KMSInvalidStateException", f"{key} is {state}.")


for (_service, _operation), _expression in _GIVEN.items():
    refuses(_service, _operation)(partial(_unusable, _expression))
