"""The bucket that Airflow reads its DAGs, requirements and plugins from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.dag_folder import (
    DAG_FOLDER,
    NO_SCRIPT,
    PLUGINS,
    REQUIREMENTS,
    STARTUP_SCRIPT,
    files_to_upload,
)
from components.environment_files import EnvironmentFiles, PinnedFile
from components.plugins import zip_file
from components.private_bucket import PrivateBucket, PrivateBucketArgs
from components.removed_files import RemovedFiles
from components.uploaded_files import File, look_into, upload_files
from components.written_files import BucketContents, WrittenFile, content_hash


@dataclass(frozen=True, kw_only=True)
class DagBucketArgs:
    bucket_name: str
    kms_key_arn: Input[str]
    access_log_bucket: str | None
    force_destroy: bool
    noncurrent_version_days: int
    source: Path
    """The folder of the DAGs, with a requirements.txt at its top."""
    plugins: Path | None
    """A folder, or a zip file, of what becomes Airflow's plugins folder."""
    startup_script: Path | None
    """A shell script that MWAA runs in each container before Airflow."""
    upload: bool
    """False where a pipeline of its own delivers all of these."""
    written: Mapping[str, WrittenFile] | None
    """What the stack has written by key; None where it has no such bucket yet."""
    pinned: Mapping[str, str]
    """The versions by key that the environment reads, as far as the stack knows."""
    account: AwsAccount


class DagBucket(pulumi.ComponentResource):
    """A private bucket that holds what Airflow needs to start, unless a pipeline delivers it.

    `arn` waits for every object, so that Airflow starts with all of them in place.
    """

    name: Output[str]
    arn: Output[str]
    environment_files: EnvironmentFiles | None
    """None where a pipeline delivers them."""

    def __init__(self, name: str, args: DagBucketArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mwaa-on-eks:index:DagBucket", name, None, opts)
        bucket = PrivateBucket(
            name,
            PrivateBucketArgs(
                bucket_name=args.bucket_name,
                kms_key_arn=args.kms_key_arn,
                access_log_bucket=args.access_log_bucket,
                force_destroy=args.force_destroy,
                noncurrent_version_days=args.noncurrent_version_days,
                # MWAA stays pinned to a version of the other files, however old, until another one
                # is rolled out.
                expiring_prefix=f"{DAG_FOLDER}/",
                account=args.account,
            ),
            opts=ResourceOptions(parent=self),
        )
        files: dict[str, Path | None] = {}
        if args.upload:
            files = {
                **dict(files_to_upload(args.source)),
                PLUGINS: zip_file(args.plugins),
                STARTUP_SCRIPT: args.startup_script,
            }
        written = args.written or {}
        contents = _look(args, [*files, *written])
        hashes = {key: _hash(path) for key, path in files.items()}
        stored = upload_files(
            name,
            {
                key: File(
                    asset=pulumi.FileAsset(str(path)) if path else pulumi.StringAsset(NO_SCRIPT),
                    content=hashes[key],
                )
                for key, path in files.items()
            },
            bucket=bucket.name,
            contents=contents,
            written=written,
            parent=self,
        )
        objects = stored.objects
        pinned: dict[str, Input[str]] = {
            key: _kept_pin(args, key, files[key], hashes[key], contents) or one.version_id
            for key, one in objects.items()
            if not key.startswith(f"{DAG_FOLDER}/")
        }
        uploaded: list[pulumi.Resource] = [*objects.values()]
        if args.upload:
            RemovedFiles(
                f"{name}-removed",
                bucket=bucket.name,
                region=args.account.region,
                # MWAA is pinned to a version of the other ones.
                keys=[key for key in files if key.startswith(f"{DAG_FOLDER}/")],
                opts=ResourceOptions(parent=self),
            )
            uploaded.append(stored.record(name, pinned=pinned, parent=self))

        self.name = bucket.name
        # Who uses the bucket finds it filled.
        filled = [one.urn for one in uploaded]
        self.arn = Output.all(bucket.arn, *filled).apply(lambda all_: all_[0])
        self.environment_files = None
        if args.upload:
            self.environment_files = EnvironmentFiles(
                **{
                    kind: PinnedFile(objects[key].key, pinned[key])
                    for kind, key in (
                        ("requirements", REQUIREMENTS),
                        ("plugins", PLUGINS),
                        ("startup_script", STARTUP_SCRIPT),
                    )
                }
            )
        self.register_outputs({"name": self.name, "arn": self.arn})


def _hash(path: Path | None) -> str:
    if path is None:
        return hashlib.md5(NO_SCRIPT.encode(), usedforsecurity=False).hexdigest()
    return content_hash(path)


def _look(args: DagBucketArgs, known: list[str]) -> BucketContents | None:
    """Look into the bucket, and warn of what somebody else has written there."""
    if not args.upload or args.written is None:
        return None
    bucket = args.bucket_name
    contents = look_into(
        bucket,
        args.account,
        args.written,
        instead="it stays as an older one, and no environment gets it",
    )
    if contents is None:
        return None
    for key in sorted(contents.latest.keys() - set(known)):
        if key.startswith(f"{DAG_FOLDER}/") and not key.endswith("/"):
            pulumi.log.warn(
                f"{key} in bucket {bucket}: somebody else put it there, and Airflow runs it. "
                f"`aws s3 rm s3://{bucket}/{key}` hides it; what is to stay belongs into "
                f"{args.source.name}/"
            )
    return contents


def _kept_pin(
    args: DagBucketArgs, key: str, path: Path | None, content: str, contents: BucketContents | None
) -> str | None:
    """Return the version that has the content already: another one would restart Airflow."""
    written = (args.written or {}).get(key)
    if written is not None:
        gone = contents is not None and (key, written.pinned) not in contents.versions
        return None if gone or written.content != content else written.pinned
    if contents is None:
        return None
    # A pipeline may have delivered it, which the stack knows after a refresh only.
    latest = contents.latest.get(key)
    candidates = (args.pinned.get(key), latest.id if latest else None)
    body = path.read_bytes() if path else NO_SCRIPT.encode()
    return next((one for one in candidates if one and contents.holds(key, one, body)), None)
