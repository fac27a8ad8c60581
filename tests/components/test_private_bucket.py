"""Decisions of PrivateBucket."""

import json
from dataclasses import replace

import pytest

from components.private_bucket import PrivateBucket, PrivateBucketArgs
from tests.components.conftest import ACCOUNT, Engine

ARGS = PrivateBucketArgs(
    bucket_name="mwaa-on-eks-test-jobs-123456789012",
    kms_key_arn="arn:aws:kms:us-west-2:123456789012:key/1",
    access_log_bucket=None,
    force_destroy=False,
    noncurrent_version_days=30,
    expiring_prefix="data/",
    account=ACCOUNT,
)
SETTINGS = {"tls-only", "closed", "no-acls", "encryption", "versioning", "lifecycle"}


def test_the_bucket_is_closed_to_the_public(engine: Engine) -> None:
    engine.run(lambda: PrivateBucket("jobs", ARGS))

    block = engine.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    ownership = engine.one("aws:s3/bucketOwnershipControls:BucketOwnershipControls").inputs
    assert {key: value for key, value in block.items() if key != "bucket"} == {
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }
    assert ownership["rule"] == {"objectOwnership": "BucketOwnerEnforced"}


def test_the_bucket_policy_gives_nothing_and_refuses_other_accounts_and_old_tls(
    engine: Engine,
) -> None:
    engine.outputs["aws:s3/bucket:Bucket"] = {"arn": "arn:aws:s3:::jobs"}
    engine.run(lambda: PrivateBucket("jobs", ARGS))

    policy = json.loads(engine.one("aws:s3/bucketPolicy:BucketPolicy").inputs["policy"])
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Deny"
        assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
        assert statement["Resource"] == ["arn:aws:s3:::jobs", "arn:aws:s3:::jobs/*"]
    assert [statement["Condition"] for statement in policy["Statement"]] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
        {
            "StringNotEquals": {"aws:PrincipalAccount": "123456789012"},
            "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
        },
    ]


def test_access_is_logged_where_somebody_keeps_the_logs(engine: Engine) -> None:
    engine.run(lambda: PrivateBucket("jobs", replace(ARGS, access_log_bucket="access-logs")))

    logging = engine.one("aws:s3/bucketLogging:BucketLogging").inputs
    assert logging["targetBucket"] == "access-logs"
    # Below a name of its own: the bucket takes those of others too.
    assert logging["targetPrefix"] == f"{ARGS.bucket_name}/"


def test_without_such_a_bucket_nothing_is_logged(engine: Engine) -> None:
    engine.run(lambda: PrivateBucket("jobs", ARGS))
    assert engine.all("aws:s3/bucketLogging:BucketLogging") == []


def test_objects_are_encrypted_with_the_given_key(engine: Engine) -> None:
    engine.run(lambda: PrivateBucket("jobs", ARGS))

    encryption = engine.one(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    (rule,) = encryption.inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {
        "sseAlgorithm": "aws:kms",
        "kmsMasterKeyId": ARGS.kms_key_arn,
    }
    assert rule["bucketKeyEnabled"] is True


def test_old_versions_exist_and_expire(engine: Engine) -> None:
    engine.run(lambda: PrivateBucket("jobs", ARGS))

    versioning = engine.one("aws:s3/bucketVersioning:BucketVersioning")
    lifecycle = engine.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    old_versions, broken_uploads = lifecycle.inputs["rules"]
    assert versioning.inputs["versioningConfiguration"] == {"status": "Enabled"}
    assert old_versions["status"] == broken_uploads["status"] == "Enabled"
    assert old_versions["filter"] == {"prefix": "data/"}
    assert old_versions["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert broken_uploads["filter"] == {"prefix": ""}
    assert "abortIncompleteMultipartUpload" in broken_uploads
    assert versioning.name in engine.waits_for(lifecycle)


def test_access_settings_change_one_after_the_other(engine: Engine) -> None:
    engine.run(lambda: PrivateBucket("jobs", ARGS))

    public_access = engine.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    ownership = engine.one("aws:s3/bucketOwnershipControls:BucketOwnershipControls")
    assert "jobs-tls-only" in engine.waits_for(public_access)
    assert "jobs-closed" in engine.waits_for(ownership)


@pytest.mark.parametrize("output", ["name", "arn"])
def test_whoever_uses_the_bucket_waits_for_its_settings(engine: Engine, output: str) -> None:
    outputs = engine.run(lambda: PrivateBucket("jobs", ARGS))

    waits = engine.waits_for(outputs[output])
    assert {f"jobs-{setting}" for setting in SETTINGS} <= waits


def test_two_buckets_do_not_collide_and_own_their_children(engine: Engine) -> None:
    engine.run(lambda: (PrivateBucket("one", ARGS), PrivateBucket("two", ARGS)))

    assert engine.tops() == {"one", "two"}
    assert len(engine.all("aws:s3/bucket:Bucket")) == 2
