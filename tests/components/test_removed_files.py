"""What RemovedFiles does to objects, on an emulated S3."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client
from pulumi.dynamic.dynamic import serialize_provider

from components.removed_files import RemovedFilesProvider

REGION: Final = "us-west-2"
BUCKET = "mwaa-on-eks-test-dags-123456789012"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """A versioned bucket, found as in a deployment: through the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for key in ("dags/kept.py", "dags/removed.py"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"first")
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"second")
    yield s3
    s3.delete_objects(
        Bucket=BUCKET,
        Delete={"Objects": [{"Key": k, "VersionId": v} for k, v in versions(s3)]},
    )
    s3.delete_bucket(Bucket=BUCKET)
    server.stop()


def versions(s3: S3Client) -> list[tuple[str, str]]:
    found = s3.list_object_versions(Bucket=BUCKET)
    markers = found.get("DeleteMarkers", [])
    return [(one["Key"], one["VersionId"]) for one in [*found["Versions"], *markers]]


def listed(s3: S3Client) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]


def props(*keys: str, bucket: str = BUCKET) -> dict[str, object]:
    return {"bucket": bucket, "region": REGION, "keys": list(keys)}


def test_a_removed_file_is_hidden_and_its_versions_stay(s3: S3Client) -> None:
    before = versions(s3)

    RemovedFilesProvider().update(
        BUCKET, props("dags/kept.py", "dags/removed.py"), props("dags/kept.py", "dags/new.py")
    )

    assert listed(s3) == ["dags/kept.py"]
    assert set(before) < set(versions(s3))


def test_nothing_is_hidden_when_somebody_else_takes_over(s3: S3Client) -> None:
    before = versions(s3)

    RemovedFilesProvider().delete(BUCKET, props("dags/kept.py", "dags/removed.py"))

    assert versions(s3) == before


def test_only_other_files_are_an_update() -> None:
    provider, old = RemovedFilesProvider(), props("dags/a.py")

    assert not provider.diff(BUCKET, old, {**old, "__provider": "other"}).changes
    fewer = provider.diff(BUCKET, old, props())
    assert (fewer.changes, fewer.replaces) == (True, [])
    moved = provider.diff(BUCKET, old, props("dags/a.py", bucket="other"))
    assert (moved.changes, moved.replaces) == (True, ["bucket"])


def test_the_state_names_the_class_and_holds_no_code() -> None:
    pickled = base64.b64decode(serialize_provider(RemovedFilesProvider()))

    assert b"components.removed_files" in pickled
    assert b"delete_object" not in pickled
