"""Buckets, what configures them, and objects."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import ClassVar

from sandbox.machine.aws_api import Answer, find
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    LOCAL,
    OFF,
    REQUIRED,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    Shape,
    same,
    shape,
)
from sandbox.providers.aws.tags import tag_list, tag_map
from sandbox.providers.protocol import (
    UNKNOWN,
    Asset,
    Diff,
    Failure,
    PluginError,
    Properties,
    Value,
)


class Bucket(ResourceType):
    pulumi_type = "aws:s3/bucket:Bucket"
    service = "s3"
    auto_name = AutoName("bucket", longest=63, lower=True, by_prefix="bucketPrefix")
    inputs: ClassVar = {
        "bucket": Input(replaces=True),
        "bucketPrefix": Input(replaces=True, local=True),
        "forceDestroy": LOCAL,
        "tags": UPDATES,
    }
    api_inputs = ("CreateBucket", "PutBucketTagging.Tagging")
    members: ClassVar = {"forceDestroy": None, "tags": "TagSet"}
    outputs = (
        "arn",
        "bucketDomainName",
        "bucketRegion",
        "bucketRegionalDomainName",
        "hostedZoneId",
    )

    def create(self, inputs: Properties) -> str:
        location = {}
        if self.aws.region != "us-east-1":
            location = {"CreateBucketConfiguration": {"LocationConstraint": self.aws.region}}
        self.api.create_bucket(Bucket=inputs["bucket"], **location)
        return str(inputs["bucket"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._tag(resource_id, inputs)

    def _tag(self, name: str, inputs: Properties) -> None:
        tags = inputs.get("tagsAll")
        if tags:
            self.api.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list(tags)})
        else:
            self.api.delete_bucket_tagging(Bucket=name)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        if find(self.api.head_bucket, Bucket=resource_id) is None:
            return None
        tags = find(self.api.get_bucket_tagging, Bucket=resource_id)
        region = self.aws.region
        return {
            "arn": f"arn:{self.aws.partition}:s3:::{resource_id}",
            "bucket": resource_id,
            "bucketDomainName": f"{resource_id}.s3.amazonaws.com",
            "bucketRegion": region,
            "bucketRegionalDomainName": f"{resource_id}.s3.{region}.amazonaws.com",
            # The hosted zone of S3's own names in us-west-2.
            "hostedZoneId": "Z3BJ6K6RIION7M",
            "tagsAll": tag_map(tags["TagSet"]) if tags else {},
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._tag(resource_id, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        if inputs.get("forceDestroy"):
            for one in list(_versions(self, resource_id)):
                which = {"Key": one["Key"], "VersionId": one["VersionId"]}
                self.api.delete_object(Bucket=resource_id, **which)
        self.api.delete_bucket(Bucket=resource_id)


def _versions(one: ResourceType, bucket: str, key: str | None = None) -> Iterator[Answer]:
    """Yield every version and delete marker."""
    prefix = {"Prefix": key} if key else {}
    for page in one.api.get_paginator("list_object_versions").paginate(Bucket=bucket, **prefix):
        for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            if key in {None, version["Key"]}:
                yield version


class BucketPart(ResourceType):
    """One side of a bucket's configuration, whose id is the bucket's name."""

    service = "s3"

    def create(self, inputs: Properties) -> str:
        self.put(inputs)
        return str(inputs["bucket"])

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self.put(new)

    def put(self, inputs: Properties) -> None:
        """Write the configuration."""
        raise NotImplementedError


class BucketVersioning(BucketPart):
    pulumi_type = "aws:s3/bucketVersioning:BucketVersioning"
    inputs: ClassVar = {
        "bucket": KEY,
        "versioningConfiguration": Input(required=True, shape=shape("status")),
    }
    api_inputs = ("PutBucketVersioning",)
    members: ClassVar = {"versioningConfiguration": None}  # Disabled is the provider's own
    _statuses = ("Enabled", "Suspended", "Disabled")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        configuration = inputs["versioningConfiguration"]
        status = UNKNOWN if configuration is UNKNOWN else configuration.get("status")
        if status is not UNKNOWN and status not in self._statuses:
            place = "versioningConfiguration.status"
            choices = ", ".join(self._statuses)
            yield Failure(place, f"expected {place} to be one of [{choices}], got {status}")

    def diff(self, old: Properties, state: Properties, new: Properties) -> Diff:
        key = "versioningConfiguration"
        before, after = (
            one[key].get("status") if isinstance(one.get(key), dict) else UNKNOWN
            for one in (old, new)
        )
        if after == "Disabled" and before in {"Enabled", "Suspended"}:
            raise PluginError(
                f"versioning_configuration.status cannot be updated from '{before}' to '{after}'"
            )
        return super().diff(old, state, new)

    def put(self, inputs: Properties) -> None:
        status = inputs["versioningConfiguration"]["status"]
        if status == "Disabled":  # as each bucket is at first
            return
        self.api.put_bucket_versioning(
            Bucket=inputs["bucket"], VersioningConfiguration={"Status": status}
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_bucket_versioning, Bucket=resource_id)
        if answer is None:
            return None
        return {
            "bucket": resource_id,
            "versioningConfiguration": {"status": answer.get("Status", "Disabled")},
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        if inputs["versioningConfiguration"]["status"] == "Disabled":
            return
        # A bucket that was versioned can only be suspended.
        self.api.put_bucket_versioning(
            Bucket=resource_id, VersioningConfiguration={"Status": "Suspended"}
        )


class BucketPublicAccessBlock(BucketPart):
    pulumi_type = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    _switches = (
        "blockPublicAcls",
        "blockPublicPolicy",
        "ignorePublicAcls",
        "restrictPublicBuckets",
    )
    inputs: ClassVar = {"bucket": KEY, **dict.fromkeys(_switches, OFF)}
    api_inputs = ("PutPublicAccessBlock", "PutPublicAccessBlock.PublicAccessBlockConfiguration")

    def put(self, inputs: Properties) -> None:
        self.api.put_public_access_block(
            Bucket=inputs["bucket"],
            PublicAccessBlockConfiguration={
                key[:1].upper() + key[1:]: inputs.get(key, False) for key in self._switches
            },
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_public_access_block, Bucket=resource_id)
        if answer is None:
            return None
        block = answer["PublicAccessBlockConfiguration"]
        live = {key: block.get(key[:1].upper() + key[1:], False) for key in self._switches}
        return {"bucket": resource_id, **live}

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_public_access_block(Bucket=resource_id)


class BucketServerSideEncryptionConfiguration(BucketPart):
    pulumi_type = (
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    inputs: ClassVar = {
        "bucket": KEY,
        "rules": Input(
            required=True,
            shape=shape(
                "bucketKeyEnabled",
                applyServerSideEncryptionByDefault=shape("kmsMasterKeyId", "sseAlgorithm"),
            ),
        ),
    }
    api_inputs = ("PutBucketEncryption",)
    members: ClassVar = {"rules": "ServerSideEncryptionConfiguration.Rules"}

    def put(self, inputs: Properties) -> None:
        rules = []
        for rule in inputs["rules"]:
            default = rule.get("applyServerSideEncryptionByDefault", {})
            key = default.get("kmsMasterKeyId")
            rules.append(
                {
                    "ApplyServerSideEncryptionByDefault": {
                        "SSEAlgorithm": default["sseAlgorithm"],
                        **({"KMSMasterKeyID": key} if key else {}),
                    },
                    "BucketKeyEnabled": rule.get("bucketKeyEnabled", False),
                }
            )
        self.api.put_bucket_encryption(
            Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules}
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_bucket_encryption, Bucket=resource_id)
        if answer is None:
            return None
        rules = []
        for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
            default = rule.get("ApplyServerSideEncryptionByDefault", {})
            rules.append(
                {
                    "applyServerSideEncryptionByDefault": {
                        "kmsMasterKeyId": default.get("KMSMasterKeyID"),
                        "sseAlgorithm": default.get("SSEAlgorithm"),
                    },
                    "bucketKeyEnabled": rule.get("BucketKeyEnabled", False),
                }
            )
        return {"bucket": resource_id, "rules": rules}

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_bucket_encryption(Bucket=resource_id)


class BucketOwnershipControls(BucketPart):
    pulumi_type = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    inputs: ClassVar = {
        "bucket": KEY,
        "rule": Input(required=True, shape=shape("objectOwnership")),
    }
    api_inputs = ("PutBucketOwnershipControls",)
    members: ClassVar = {"rule": "OwnershipControls.Rules[]"}

    def put(self, inputs: Properties) -> None:
        rule = {"ObjectOwnership": inputs["rule"]["objectOwnership"]}
        self.api.put_bucket_ownership_controls(
            Bucket=inputs["bucket"], OwnershipControls={"Rules": [rule]}
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_bucket_ownership_controls, Bucket=resource_id)
        if answer is None:
            return None
        rule = answer["OwnershipControls"]["Rules"][0]
        return {"bucket": resource_id, "rule": {"objectOwnership": rule["ObjectOwnership"]}}

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_bucket_ownership_controls(Bucket=resource_id)


class BucketLogging(BucketPart):
    pulumi_type = "aws:s3/bucketLogging:BucketLogging"
    inputs: ClassVar = {
        "bucket": KEY,
        "targetBucket": REQUIRED,
        "targetPrefix": REQUIRED,
    }
    api_inputs = ("PutBucketLogging", "PutBucketLogging.BucketLoggingStatus.LoggingEnabled")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        if inputs["bucket"] is not UNKNOWN and not 1 <= len(inputs["bucket"]) <= 63:
            text = f"expected length of bucket to be in the range (1 - 63), got {inputs['bucket']}"
            yield Failure("bucket", text)

    def put(self, inputs: Properties) -> None:
        target = {"TargetBucket": inputs["targetBucket"], "TargetPrefix": inputs["targetPrefix"]}
        self.api.put_bucket_logging(
            Bucket=inputs["bucket"], BucketLoggingStatus={"LoggingEnabled": target}
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_bucket_logging, Bucket=resource_id)
        if answer is None or "LoggingEnabled" not in answer:
            return None
        target = answer["LoggingEnabled"]
        return {
            "bucket": resource_id,
            "targetBucket": target["TargetBucket"],
            "targetPrefix": target["TargetPrefix"],
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.put_bucket_logging(Bucket=resource_id, BucketLoggingStatus={})


# Pulumi's names of a lifecycle rule and the API's, level by level.
_LIFECYCLE: dict[str, tuple[str, dict[str, tuple[str, dict[str, object]]]]] = {
    "abortIncompleteMultipartUpload": (
        "AbortIncompleteMultipartUpload",
        {"daysAfterInitiation": ("DaysAfterInitiation", {})},
    ),
    "expiration": (
        "Expiration",
        {
            "days": ("Days", {}),
            "expiredObjectDeleteMarker": ("ExpiredObjectDeleteMarker", {}),
        },
    ),
    "filter": ("Filter", {"prefix": ("Prefix", {})}),
    "id": ("ID", {}),
    "noncurrentVersionExpiration": (
        "NoncurrentVersionExpiration",
        {
            "newerNoncurrentVersions": ("NewerNoncurrentVersions", {}),
            "noncurrentDays": ("NoncurrentDays", {}),
        },
    ),
    "status": ("Status", {}),
}


# What AWS chose of it stays when the program says it no longer.
_LIFECYCLE_CHOSEN = {"days", "expiredObjectDeleteMarker", "newerNoncurrentVersions", "prefix"}


def _lifecycle_shape() -> Shape:
    return {
        key: Input(
            shape={one: CHOSEN if one in _LIFECYCLE_CHOSEN else UPDATES for one in below} or None
        )
        for key, (_, below) in _LIFECYCLE.items()
    }


class BucketLifecycleConfiguration(BucketPart):
    pulumi_type = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    inputs: ClassVar = {
        "bucket": KEY,
        "rules": Input(required=True, ordered=True, shape=_lifecycle_shape()),
    }
    api_inputs = ("PutBucketLifecycleConfiguration",)
    members: ClassVar = {"rules": "LifecycleConfiguration.Rules"}

    def put(self, inputs: Properties) -> None:
        rules = []
        for rule in inputs["rules"]:
            written: dict[str, Value] = {}
            for key, value in rule.items():
                name, below = _LIFECYCLE[key]
                written[name] = (
                    {below[one][0]: item for one, item in value.items()} if below else value
                )
            # A rule without a filter is one for all objects.
            written.setdefault("Filter", {"Prefix": ""})
            if not written["Filter"]:
                written["Filter"] = {"Prefix": ""}
            rules.append(written)
        self.api.put_bucket_lifecycle_configuration(
            Bucket=inputs["bucket"], LifecycleConfiguration={"Rules": rules}
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_bucket_lifecycle_configuration, Bucket=resource_id)
        if answer is None:
            return None
        rules = []
        for rule in answer["Rules"]:
            found = {}
            for key, (name, below) in _LIFECYCLE.items():
                value = rule.get(name)
                if value is not None and below:
                    value = {
                        one: value[inner] for one, (inner, _) in below.items() if inner in value
                    }
                found[key] = value
            rules.append(found)
        return {"bucket": resource_id, "rules": rules}

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_bucket_lifecycle(Bucket=resource_id)


class BucketPolicy(BucketPart):
    pulumi_type = "aws:s3/bucketPolicy:BucketPolicy"
    inputs: ClassVar = {"bucket": KEY, "policy": Input(json=True, required=True)}
    api_inputs = ("PutBucketPolicy",)

    def put(self, inputs: Properties) -> None:
        self.api.put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_bucket_policy, Bucket=resource_id)
        return {"bucket": resource_id, "policy": answer["Policy"]} if answer else None

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_bucket_policy(Bucket=resource_id)


class BucketObjectv2(ResourceType):
    pulumi_type = "aws:s3/bucketObjectv2:BucketObjectv2"
    service = "s3"
    auto_name = AutoName("key", longest=1024, plain=True)
    inputs: ClassVar = {
        "bucket": KEY,
        "bucketKeyEnabled": CHOSEN,
        "content": LOCAL,
        "contentBase64": LOCAL,
        "contentType": CHOSEN,
        "forceDestroy": LOCAL,
        "key": Input(replaces=True),
        "kmsKeyId": CHOSEN,
        "metadata": UPDATES,
        "overrideProvider": Input(local=True, shape=shape(defaultTags=shape("tags"))),
        "serverSideEncryption": CHOSEN,
        "source": LOCAL,
        "sourceHash": LOCAL,
        "tags": UPDATES,
    }
    api_inputs = ("PutObject", "PutObjectTagging.Tagging")
    members: ClassVar = {
        **dict.fromkeys(("content", "contentBase64", "source", "sourceHash")),
        "forceDestroy": None,
        "kmsKeyId": "SSEKMSKeyId",
        "overrideProvider": None,
        "tags": "TagSet",
    }
    outputs = ("arn", "etag", "versionId")
    # Whatever makes a new version, which tags do not.
    _body = (
        *("bucketKeyEnabled", "content", "contentBase64", "contentType", "kmsKeyId", "metadata"),
        *("serverSideEncryption", "source", "sourceHash"),
    )

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        given = [key for key in ("content", "contentBase64", "source") if key in inputs]
        if len(given) > 1:
            yield Failure(given[1], f"{given[0]} and {given[1]} cannot be set together")

    def check(
        self, name: str, old: Properties, given: Properties, seed: bytes, default_tags: Value
    ) -> tuple[Properties, list[Failure]]:
        override = given.get("overrideProvider")
        if isinstance(override, dict):
            tags = override.get("defaultTags", {})
            default_tags = tags.get("tags", {}) if isinstance(tags, dict) else tags
        return super().check(name, old, given, seed, default_tags)

    def volatile(self, old: Properties, new: Properties) -> tuple[str, ...]:
        changed = not all(same(old.get(key), new.get(key), UPDATES) for key in self._body)
        return ("versionId",) if changed else ()

    def create(self, inputs: Properties) -> str:
        self._put(inputs)
        return f"{inputs['bucket']}/{inputs['key']}"

    def _put(self, inputs: Properties) -> None:
        key = inputs.get("kmsKeyId")
        names = {
            "bucketKeyEnabled": "BucketKeyEnabled",
            "contentType": "ContentType",
            "kmsKeyId": "SSEKMSKeyId",
            "metadata": "Metadata",
            "serverSideEncryption": "ServerSideEncryption",
        }
        given = {name: inputs[one] for one, name in names.items() if one in inputs}
        if key:
            given.setdefault("ServerSideEncryption", "aws:kms")
        self.api.put_object(
            Bucket=inputs["bucket"], Key=inputs["key"], Body=_content(inputs), **given
        )
        self._tag(inputs)

    def _tag(self, inputs: Properties) -> None:
        where = {"Bucket": inputs["bucket"], "Key": inputs["key"]}
        tags = inputs.get("tagsAll")
        if tags:
            self.api.put_object_tagging(**where, Tagging={"TagSet": tag_list(tags)})
        elif find(self.api.get_object_tagging, **where):
            self.api.delete_object_tagging(**where)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        bucket, key = resource_id.split("/", 1)
        head = find(self.api.head_object, Bucket=bucket, Key=key)
        if head is None:
            return None
        tags = self.api.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        return {
            "arn": f"arn:{self.aws.partition}:s3:::{resource_id}",
            "bucket": bucket,
            "bucketKeyEnabled": head.get("BucketKeyEnabled", False),
            "contentType": head.get("ContentType"),
            "etag": head["ETag"].strip('"'),
            "key": key,
            "kmsKeyId": head.get("SSEKMSKeyId"),
            "metadata": head.get("Metadata") or None,
            "serverSideEncryption": head.get("ServerSideEncryption"),
            "versionId": head.get("VersionId"),
            "tagsAll": tag_map(tags),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        settings = self.inputs.keys() - {"tags"}
        if not all(same(old.get(key), new.get(key), UPDATES) for key in settings):
            self._put(new)
        elif old.get("tagsAll") != new.get("tagsAll"):
            self._tag(new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        bucket, key = resource_id.split("/", 1)
        # All versions, as the provider does.
        for one in list(_versions(self, bucket, key)):
            self.api.delete_object(Bucket=bucket, Key=key, VersionId=one["VersionId"])


def _content(inputs: Properties) -> bytes:
    source = inputs.get("source")
    if isinstance(source, Asset):
        return source.read()
    if "contentBase64" in inputs:
        return base64.b64decode(inputs["contentBase64"])
    return str(inputs.get("content", "")).encode()
