"""The bucket that Airflow reads its DAGs, requirements and plugins from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.dag_folder import (
    DAG_FOLDER,
    PLUGINS,
    REQUIREMENTS,
    STARTUP_SCRIPT,
    files_to_upload,
)
from components.environment_files import EnvironmentFiles, PinnedFile
from components.plugins import zip_file
from components.private_bucket import PrivateBucket, PrivateBucketArgs
from components.removed_files import RemovedFiles

NO_SCRIPT = "#!/bin/bash\n"


@dataclass(frozen=True, kw_only=True)
class DagBucketArgs:
    bucket_name: str
    kms_key_arn: Input[str]
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
    region: str


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
                force_destroy=args.force_destroy,
                noncurrent_version_days=args.noncurrent_version_days,
                # MWAA stays pinned to a version of the other files, however old, until another one
                # is rolled out.
                expiring_prefix=f"{DAG_FOLDER}/",
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
        objects = {
            key: aws.s3.BucketObjectv2(
                f"{name}-{key}",
                bucket=bucket.name,
                key=key,
                source=pulumi.FileAsset(str(path)) if path else pulumi.StringAsset(NO_SCRIPT),
                source_hash=_hash(path),
                # Else old versions go with the object, and a pipeline's with them.
                opts=ResourceOptions(parent=self, retain_on_delete=True),
            )
            for key, path in files.items()
        }
        if args.upload:
            RemovedFiles(
                f"{name}-removed",
                bucket=bucket.name,
                region=args.region,
                # MWAA is pinned to a version of the other ones.
                keys=[key for key in files if key.startswith(f"{DAG_FOLDER}/")],
                opts=ResourceOptions(parent=self),
            )

        self.name = bucket.name
        uploaded = [stored.urn for stored in objects.values()]
        self.arn = Output.all(bucket.arn, *uploaded).apply(lambda all_: all_[0])
        self.environment_files = None
        if args.upload:
            pinned = {key: PinnedFile(one.key, one.version_id) for key, one in objects.items()}
            self.environment_files = EnvironmentFiles(
                requirements=pinned[REQUIREMENTS],
                plugins=pinned[PLUGINS],
                startup_script=pinned[STARTUP_SCRIPT],
            )
        self.register_outputs({"name": self.name, "arn": self.arn})


def _hash(path: Path | None) -> str:
    if path is None:
        return hashlib.md5(NO_SCRIPT.encode(), usedforsecurity=False).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
