"""What is kept: buckets, keys, logs and secrets."""

from __future__ import annotations

from .documents import actions, conditions, principals, statements
from .rule import Findings, Resource, Stack, listed, rule, stack_rule, truth

BUCKET = "aws:s3/bucket:Bucket"
OLDER_BUCKET = "aws:s3/bucketV2:BucketV2"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
KEY = "aws:kms/key:Key"


def _parts(bucket: Resource, stack: Stack, kind: str) -> list[Resource]:
    """The resources of a kind that configure the bucket; what is older ends in V2."""
    kinds = [kind, f"{kind}V2"]
    found = stack.of(*(f"aws:s3/{one[0].lower()}{one[1:]}:{one}" for one in kinds))
    return [one for one in found if one.refers_to("bucket", bucket)]


def _takes_logs(bucket: Resource, stack: Stack) -> bool:
    logging = stack.of("aws:s3/bucketLogging:BucketLogging")
    return any(one.refers_to("targetBucket", bucket) for one in logging)


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="A bucket answers over TLS only.",
    sources="S3.5, prowler s3_bucket_secure_transport_policy",
    way_out="deny s3:* to everybody where aws:SecureTransport is false",
)
def bucket_tls_only(bucket: Resource, stack: Stack) -> Findings:
    policies = _parts(bucket, stack, "BucketPolicy")
    if not any(
        one["Effect"] == "Deny"
        and any(name == "*" for _, name in principals(one))
        and {"s3:*", "*"} & set(actions(one))
        and any(
            key == "aws:securetransport" and values == ["false"]
            for _, key, values in conditions(one)
        )
        for policy in policies
        for one in statements(policy.props["policy"])
    ):
        yield "no policy of it denies what comes without"


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="A bucket cannot be made public.",
    sources="CKV_AWS_53 to CKV_AWS_56, CKV2_AWS_6, S3.1, S3.8",
    way_out="add an aws.s3.BucketPublicAccessBlock with all four set",
)
def bucket_closed_to_public(bucket: Resource, stack: Stack) -> Findings:
    blocks = _parts(bucket, stack, "BucketPublicAccessBlock")
    if not blocks:
        yield "it has no public access block"
    for one in blocks:
        for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls"):
            if not truth(one.props.get(key)):
                yield f"{one.name}.{key} is off"
        if not truth(one.props.get("restrictPublicBuckets")):
            yield f"{one.name}.restrictPublicBuckets is off"


@rule(
    "aws:s3/bucketPolicy:BucketPolicy",
    demand="A bucket's policy lets nobody in whom it does not name.",
    sources="CKV_AWS_70, CKV_AWS_93, S3.6, cfn-guard s3_bucket_policy_no_wildcard_principal",
    way_out="name the principals",
)
def bucket_policy_named(policy: Resource) -> Findings:
    for statement in statements(policy.props["policy"]):
        if statement["Effect"] == "Allow" and not statement.get("Condition"):
            yield from (
                "everybody is allowed something"
                for kind, name in principals(statement)
                if name == "*" and kind in {"*", "AWS"}
            )


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="What is overwritten or deleted in a bucket can be brought back.",
    sources="CKV_AWS_21, S3.14",
    way_out="add an aws.s3.BucketVersioning with status Enabled",
)
def bucket_versioned(bucket: Resource, stack: Stack) -> Findings:
    if not any(
        one.props["versioningConfiguration"]["status"] == "Enabled"
        for one in _parts(bucket, stack, "BucketVersioning")
    ):
        yield "its versioning is not Enabled"


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="A bucket is encrypted with a key of the account.",
    sources="CKV_AWS_19, CKV_AWS_145, S3.17",
    way_out="add an aws.s3.BucketServerSideEncryptionConfiguration with aws:kms and a key",
)
def bucket_encrypted(bucket: Resource, stack: Stack) -> Findings:
    kinds = [
        rule_["applyServerSideEncryptionByDefault"]["sseAlgorithm"]
        for one in _parts(bucket, stack, "BucketServerSideEncryptionConfiguration")
        for rule_ in listed(one.props["rules"])
    ]
    if _takes_logs(bucket, stack):  # AWS's guide knows S3's own keys alone there
        return
    if not kinds or any(not kind.startswith("aws:kms") for kind in kinds):
        yield f"it is encrypted with {', '.join(kinds) or 'a key that S3 keeps'}"


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="Objects of a bucket belong to its owner, and have no access lists.",
    sources="CKV2_AWS_65, S3.12",
    way_out="add an aws.s3.BucketOwnershipControls with BucketOwnerEnforced",
)
def bucket_without_access_lists(bucket: Resource, stack: Stack) -> Findings:
    if not any(
        one.props["rule"]["objectOwnership"] == "BucketOwnerEnforced"
        for one in _parts(bucket, stack, "BucketOwnershipControls")
    ):
        yield "its objectOwnership is not BucketOwnerEnforced"


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="A bucket forgets what nobody needs: uploads that have broken off, at least.",
    sources="CKV2_AWS_61, CKV_AWS_300, S3.13",
    way_out="add an aws.s3.BucketLifecycleConfiguration with abortIncompleteMultipartUpload",
)
def bucket_tidied(bucket: Resource, stack: Stack) -> Findings:
    if not any(
        rule_.get("abortIncompleteMultipartUpload") and rule_["status"] == "Enabled"
        for one in _parts(bucket, stack, "BucketLifecycleConfiguration")
        for rule_ in listed(one.props["rules"])
    ):
        yield "it keeps uploads that have broken off"


@stack_rule(
    BUCKET,
    OLDER_BUCKET,
    demand="Who reads and writes a bucket is recorded.",
    sources="CKV_AWS_18, S3.9",
    way_out="add an aws.s3.BucketLogging with a targetBucket that takes access logs",
    gate="production",
)
def bucket_access_logged(bucket: Resource, stack: Stack) -> Findings:
    if not _takes_logs(bucket, stack) and not _parts(bucket, stack, "BucketLogging"):
        yield "it has no access logs"


@rule(
    KEY,
    demand="A key is exchanged each year.",
    sources="CKV_AWS_7, KMS.4",
    way_out="set enableKeyRotation to true",
)
def key_rotated(key: Resource) -> Findings:
    if not truth(key.props.get("enableKeyRotation")):
        yield "enableKeyRotation is off"


@rule(
    KEY,
    demand="A key's policy names who uses it.",
    sources="CKV_AWS_33, KMS.5, cfn-guard kms_no_wildcard_principal",
    way_out="name the principals, or add a condition on kms:CallerAccount and kms:ViaService",
)
def key_policy_named(key: Resource) -> Findings:
    for statement in statements(key.props.get("policy")):
        if statement["Effect"] == "Allow" and not statement.get("Condition"):
            yield from (
                "everybody is allowed something"
                for kind, name in principals(statement)
                if name == "*" and kind in {"*", "AWS"}
            )


@rule(
    KEY,
    demand="A key stays in its region.",
    sources="prowler kms_cmk_not_multi_region, MWAA user guide (customer managed keys)",
    way_out="leave multiRegion out",
)
def key_of_one_region(key: Resource) -> Findings:
    if truth(key.props.get("multiRegion")):
        yield "multiRegion is on"


@rule(
    LOG_GROUP,
    demand="Logs are encrypted with a key of the account.",
    sources="CKV_AWS_158",
    way_out="set kmsKeyId",
)
def logs_encrypted(group: Resource) -> Findings:
    if "kmsKeyId" not in group.props:
        yield "kmsKeyId is missing"


@rule(
    LOG_GROUP,
    demand="Logs end some day.",
    sources="CKV_AWS_66",
    way_out="set retentionInDays",
)
def logs_end(group: Resource) -> Findings:
    if not group.props.get("retentionInDays"):
        yield "retentionInDays is missing, which keeps them for good"


@rule(
    LOG_GROUP,
    demand="Logs are kept for a year.",
    sources="CKV_AWS_338",
    way_out="set retentionInDays to 365 or more",
    gate="production",
)
def logs_kept_for_a_year(group: Resource) -> Findings:
    given = group.props.get("retentionInDays") or 0
    if 0 < given < 365:
        yield f"retentionInDays is {given:g}"


@rule(
    "aws:secretsmanager/secret:Secret",
    demand="Secrets are encrypted with a key of the account.",
    sources="CKV_AWS_149",
    way_out="set kmsKeyId",
)
def secrets_encrypted(secret: Resource) -> Findings:
    if "kmsKeyId" not in secret.props:
        yield "kmsKeyId is missing"
