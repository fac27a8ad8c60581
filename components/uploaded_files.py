"""Files that the program puts into a bucket into which others may write, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError
from pulumi import Input, Resource, ResourceOptions

from components.aws_account import AwsAccount
from components.written_files import BucketContents, WrittenFile, WrittenFiles, contents_of


@dataclass(frozen=True, kw_only=True)
class File:
    """What is to be uploaded, and the hash that tells whether it has changed."""

    asset: pulumi.Asset
    content: str


@dataclass(frozen=True, kw_only=True)
class UploadedFiles:
    """The objects by key, and what each was uploaded for."""

    objects: Mapping[str, aws.s3.BucketObjectv2]
    source_hashes: Mapping[str, str]

    def record(
        self, name: str, *, pinned: Mapping[str, Input[str]], parent: Resource
    ) -> WrittenFiles:
        """Let the stack know which versions are its own."""
        return WrittenFiles(
            f"{name}-written",
            files={
                key: {
                    "sourceHash": self.source_hashes[key],
                    "version": one.version_id,
                    "pinned": pinned.get(key, one.version_id),
                }
                for key, one in self.objects.items()
            },
            opts=ResourceOptions(parent=parent),
        )


def upload_files(
    name: str,
    files: Mapping[str, File],
    *,
    bucket: Input[str],
    contents: BucketContents | None,
    written: Mapping[str, WrittenFile],
    parent: Resource,
) -> UploadedFiles:
    """Upload what has changed, and what somebody else has written or deleted since.

    contents: what is in the bucket, as far as it was looked; written: what the stack has written.
    """
    source_hashes = {
        key: contents.source_hash(key, file.content, written[key])
        if contents and key in written
        else written[key].source_hash
        if key in written and written[key].content == file.content
        else file.content
        for key, file in files.items()
    }
    objects = {
        key: aws.s3.BucketObjectv2(
            f"{name}-{key}",
            bucket=bucket,
            key=key,
            source=file.asset,
            source_hash=source_hashes[key],
            # Else old versions go with the object, and those of others with them.
            opts=ResourceOptions(parent=parent, retain_on_delete=True),
        )
        for key, file in files.items()
    }
    return UploadedFiles(objects=objects, source_hashes=source_hashes)


def look_into(
    bucket: str,
    account: AwsAccount,
    written: Mapping[str, WrittenFile],
    *,
    instead: str,
    prefix: str = "",
) -> BucketContents | None:
    """Look into a bucket, and warn of files of the program's that somebody else has written.

    instead: what becomes of such a version.
    prefix: where the files are; of what else is in the bucket, not even the names are asked for.
    """
    try:
        contents = contents_of(bucket, account.region, account.id, prefix)
    except (BotoCoreError, ClientError) as error:
        pulumi.log.warn(
            f"whether somebody else has written into bucket {bucket} is not known ({error}): "
            "it takes s3:ListBucketVersions"
        )
        return None
    if contents is None:
        return None
    for key, one in written.items():
        if contents.is_foreign(key, one):
            latest = contents.latest.get(key)
            what = (
                f"version {latest.id} is not this program's, somebody wrote it at "
                f"{latest.written_at}; {instead}"
                if latest
                else "somebody deleted it"
            )
            pulumi.log.warn(
                f"{key} in bucket {bucket}: {what}. `pulumi up` writes this program's again"
            )
    return contents
