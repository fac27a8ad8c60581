"""A bucket that only the account's own roles can reach."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    bucket_name: str
    kms_key_arn: Input[str]
    access_log_bucket: str | None
    """A bucket of the account's that takes the access logs, below this one's name."""
    force_destroy: bool
    """Empty the bucket when it is deleted. AWS does it only if it was set before the deletion."""
    noncurrent_version_days: int
    """How long a replaced or deleted object below the prefix can be brought back."""
    expiring_prefix: str
    """Old versions of what lies elsewhere are kept for good."""
    account: AwsAccount


class PrivateBucket(pulumi.ComponentResource):
    """A versioned, encrypted bucket, closed to other accounts and to connections without TLS 1.2.

    Its outputs wait for those settings, so that nothing is stored without them.
    """

    name: Output[str]
    arn: Output[str]

    def __init__(
        self, name: str, args: PrivateBucketArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:PrivateBucket", name, None, opts)
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            bucket=args.bucket_name,
            force_destroy=args.force_destroy,
            opts=ResourceOptions(parent=self),
        )
        policy = aws.s3.BucketPolicy(
            f"{name}-tls-only",
            bucket=bucket.id,
            policy=Output.json_dumps(_policy(bucket.arn, args.account)),
            opts=ResourceOptions(parent=self),
        )
        # One after the other: S3 answers OperationAborted ("a conflicting conditional operation
        # is currently in progress") when a bucket's access settings change at the same time.
        public_access = aws.s3.BucketPublicAccessBlock(
            f"{name}-closed",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )
        ownership = aws.s3.BucketOwnershipControls(
            f"{name}-no-acls",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=ResourceOptions(parent=self, depends_on=[public_access]),
        )
        encryption = aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": args.kms_key_arn,
                    },
                    "bucket_key_enabled": True,  # one KMS request for many objects
                }
            ],
            opts=ResourceOptions(parent=self),
        )
        versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.id,
            versioning_configuration={"status": "Enabled"},
            opts=ResourceOptions(parent=self),
        )
        lifecycle = aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.id,
            rules=[
                {
                    "id": "old-versions",
                    "status": "Enabled",
                    "filter": {"prefix": args.expiring_prefix},
                    "noncurrent_version_expiration": {
                        "noncurrent_days": args.noncurrent_version_days
                    },
                    "expiration": {"expired_object_delete_marker": True},
                },
                {
                    "id": "broken-uploads",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                },
            ],
            # A rule about old versions means nothing before versioning is on.
            opts=ResourceOptions(parent=self, depends_on=[versioning]),
        )
        if args.access_log_bucket is not None:
            aws.s3.BucketLogging(
                f"{name}-access-logs",
                bucket=bucket.id,
                target_bucket=args.access_log_bucket,
                target_prefix=f"{args.bucket_name}/",
                opts=ResourceOptions(parent=self),
            )

        # URNs, which a preview knows: the bucket stays known while one of its settings is new.
        settings = [ownership.urn, encryption.urn, versioning.urn, lifecycle.urn]
        self.name = Output.all(bucket.bucket, *settings).apply(lambda all_: all_[0])
        self.arn = Output.all(bucket.arn, *settings).apply(lambda all_: all_[0])
        self.register_outputs({"name": self.name, "arn": self.arn})


def _policy(bucket_arn: Input[str], account: AwsAccount) -> dict[str, object]:
    denied = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, Output.concat(bucket_arn, "/*")],
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DenyWithoutTls",
                **denied,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                "Sid": "DenyOldTls",
                **denied,
                "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
            },
            {
                # Nobody lets them in, and nobody who one day does so by mistake.
                "Sid": "DenyOtherAccounts",
                **denied,
                "Condition": {
                    "StringNotEquals": {"aws:PrincipalAccount": account.id},
                    # Services of AWS that act under their own name are of no account of ours.
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                },
            },
        ],
    }
