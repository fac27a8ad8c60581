"""Which objects of a bucket the program has written itself, and who has written since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pulumi import Input, ResourceOptions, dynamic

from components.credentials import BOUNDED


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """An object as the program left it."""

    source_hash: str
    """What it was uploaded for; see `BucketContents.source_hash`."""
    version: str
    pinned: str
    """The version that an environment is to read: an older one if that has the same content."""

    @property
    def content(self) -> str:
        """The hash of its content."""
        return self.source_hash.partition(" ")[0]


@dataclass(frozen=True, kw_only=True)
class Version:
    """The version of an object that counts."""

    id: str
    written_at: str


@dataclass(frozen=True, kw_only=True)
class BucketContents:
    """What a bucket holds, or a part of it, whoever has written it."""

    bucket: str
    region: str
    latest: Mapping[str, Version]
    """By key; deleted objects have none."""
    versions: frozenset[tuple[str, str]]
    """Keys and versions, old ones too."""

    def is_foreign(self, key: str, written: WrittenFile) -> bool:
        """Tell whether somebody else has written or deleted the object since."""
        latest = self.latest.get(key)
        return latest is None or latest.id != written.version

    def source_hash(self, key: str, content: str, written: WrittenFile) -> str:
        """Return what lets the provider upload an object whose content is not ours any more.

        The provider sees that this has changed, and nothing else: it reads no content.
        """
        if self.is_foreign(key, written):
            latest = self.latest.get(key)
            # With the version that was ours, so that the next time differs from this one.
            return f"{content} over {latest.id if latest else 'nothing'} after {written.version}"
        return written.source_hash if written.content == content else content

    def holds(self, key: str, version: str, content: bytes) -> bool:
        """Tell whether a version has this content; False where it may not be read."""
        if (key, version) not in self.versions:
            return False
        client = boto3.client("s3", region_name=self.region, config=BOUNDED)
        try:
            stored = client.get_object(Bucket=self.bucket, Key=key, VersionId=version)
            if stored["ContentLength"] != len(content):
                return False
            found: bytes = stored["Body"].read()
        except (BotoCoreError, ClientError):
            return False
        return found == content


def contents_of(
    bucket: str, region: str, account_id: str, prefix: str = ""
) -> BucketContents | None:
    """Return what the account's bucket holds below a prefix, or None where it has no such bucket.

    Versions tell who has written, and need no right to read or decrypt anything: the ETag of what
    KMS encrypts is no hash of the content, and checksums take the right to decrypt.
    """
    client = boto3.client("s3", region_name=region, config=BOUNDED)
    latest: dict[str, Version] = {}
    versions = set()
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, ExpectedBucketOwner=account_id, Prefix=prefix
    )
    try:
        for page in pages:
            for one in page.get("Versions", []):
                key, version = one["Key"], one["VersionId"]
                versions.add((key, version))
                if one["IsLatest"]:
                    written_at = one["LastModified"].isoformat(timespec="seconds")
                    latest[key] = Version(id=version, written_at=written_at)
    except client.exceptions.NoSuchBucket:
        return None
    return BucketContents(bucket=bucket, region=region, latest=latest, versions=frozenset(versions))


def content_hash(path: Path) -> str:
    """Return the hash that tells whether a file has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class WrittenFilesProvider(dynamic.ResourceProvider):
    """Keeps what it is told, which no refresh changes.

    It is pickled into the state as JobRunDrainProvider is, by its name alone.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Keep what was written."""
        return dynamic.CreateResult("written", {"files": props["files"]})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Tell whether something was written since."""
        return dynamic.DiffResult(changes=_olds.get("files") != _news["files"])

    def update(
        self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
    ) -> dynamic.UpdateResult:
        """Keep what was written."""
        return dynamic.UpdateResult({"files": _news["files"]})


class WrittenFiles(dynamic.Resource):
    """The stack knows which versions of its objects are its own.

    What an object's resource tells is the last version, after a refresh also if somebody else has
    written it.
    """

    def __init__(
        self,
        name: str,
        *,
        files: Mapping[str, Mapping[str, Input[str]]],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__(WrittenFilesProvider(), name, {"files": files}, opts)
