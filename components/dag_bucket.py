"""The bucket that Airflow reads its DAGs and requirements from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.dag_folder import DAG_FOLDER, REQUIREMENTS, files_to_upload
from components.private_bucket import PrivateBucket, PrivateBucketArgs
from components.removed_files import RemovedFiles


@dataclass(frozen=True, kw_only=True)
class DagBucketArgs:
    bucket_name: str
    kms_key_arn: Input[str]
    force_destroy: bool
    noncurrent_version_days: int
    source: Path
    """The folder of the DAGs, with a requirements.txt at its top."""
    upload: bool
    """False where a pipeline of its own delivers DAGs and requirements."""
    region: str


class DagBucket(pulumi.ComponentResource):
    """A private bucket that holds the DAGs and requirements, unless a pipeline delivers them.

    `arn` waits for every object, so that Airflow starts with its DAGs and requirements in place.
    """

    name: Output[str]
    arn: Output[str]
    requirements_key: Output[str] | None
    requirements_version: Output[str] | None

    def __init__(self, name: str, args: DagBucketArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mwaa-on-eks:index:DagBucket", name, None, opts)
        bucket = PrivateBucket(
            name,
            PrivateBucketArgs(
                bucket_name=args.bucket_name,
                kms_key_arn=args.kms_key_arn,
                force_destroy=args.force_destroy,
                noncurrent_version_days=args.noncurrent_version_days,
                # MWAA stays pinned to a version of the requirements, however old, until another
                # one is rolled out.
                expiring_prefix=f"{DAG_FOLDER}/",
            ),
            opts=ResourceOptions(parent=self),
        )
        files = dict(files_to_upload(args.source)) if args.upload else {}
        objects = {
            key: aws.s3.BucketObjectv2(
                f"{name}-{key}",
                bucket=bucket.name,
                key=key,
                source=pulumi.FileAsset(str(path)),
                source_hash=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
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
                keys=[key for key in files if key != REQUIREMENTS],  # MWAA is pinned to one
                opts=ResourceOptions(parent=self),
            )
        requirements = objects.get(REQUIREMENTS)

        self.name = bucket.name
        uploaded = [stored.urn for stored in objects.values()]
        self.arn = Output.all(bucket.arn, *uploaded).apply(lambda all_: all_[0])
        self.requirements_key = requirements.key if requirements else None
        self.requirements_version = requirements.version_id if requirements else None
        self.register_outputs(
            {
                "name": self.name,
                "arn": self.arn,
                "requirements_key": self.requirements_key,
                "requirements_version": self.requirements_version,
            }
        )
