"""Decisions of DagBucket."""

from pathlib import Path

import pytest

from components.dag_bucket import DagBucket, DagBucketArgs
from tests.components.conftest import ACCOUNT, Engine

OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("spark_pi.py", "sql/report.sql", "requirements.txt", ".env"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def args(source: Path, *, upload: bool = True) -> DagBucketArgs:
    return DagBucketArgs(
        bucket_name="mwaa-on-eks-test-dags-123456789012",
        kms_key_arn="arn:aws:kms:us-west-2:123456789012:key/1",
        force_destroy=False,
        noncurrent_version_days=90,
        source=source,
        upload=upload,
        region=ACCOUNT.region,
    )


def test_the_folder_is_uploaded_with_the_requirements_beside_it(
    engine: Engine, source: Path
) -> None:
    engine.run(lambda: DagBucket("dags", args(source)))

    assert {stored.inputs["key"] for stored in engine.all(OBJECT)} == {
        "dags/spark_pi.py",
        "dags/sql/report.sql",
        "requirements.txt",
    }


def test_a_changed_file_is_a_changed_object(engine: Engine, source: Path) -> None:
    def program() -> None:
        DagBucket("before", args(source))
        (source / "spark_pi.py").write_text("changed")
        DagBucket("after", args(source))

    engine.run(program)

    before = engine.one(OBJECT, "before-dags/spark_pi.py").inputs["sourceHash"]
    after = engine.one(OBJECT, "after-dags/spark_pi.py").inputs["sourceHash"]
    assert before != after


def test_no_version_is_deleted_and_a_removed_file_is_hidden(engine: Engine, source: Path) -> None:
    engine.run(lambda: DagBucket("dags", args(source)))

    objects = engine.all(OBJECT)
    assert all(stored.request.retainOnDelete for stored in objects)
    removed = engine.one("pulumi-python:dynamic:Resource")
    assert removed.inputs["bucket"] == "mwaa-on-eks-test-dags-123456789012"
    assert set(removed.inputs["keys"]) == {
        stored.inputs["key"] for stored in objects if stored.inputs["key"] != "requirements.txt"
    }


def test_objects_wait_for_the_settings_of_the_bucket(engine: Engine, source: Path) -> None:
    engine.run(lambda: DagBucket("dags", args(source)))

    for stored in engine.all(OBJECT):
        assert {"dags-versioning", "dags-encryption"} <= engine.waits_for(stored)


def test_who_uses_the_arn_waits_for_every_object(engine: Engine, source: Path) -> None:
    outputs = engine.run(lambda: DagBucket("dags", args(source)))

    waits = engine.waits_for(outputs["arn"])
    assert {stored.name for stored in engine.all(OBJECT)} <= waits
    assert "dags-versioning" in waits


def test_requirements_are_the_top_ones_with_the_version_of_their_object(
    engine: Engine, source: Path
) -> None:
    engine.outputs[OBJECT] = {"versionId": "version-7"}
    outputs = engine.run(lambda: DagBucket("dags", args(source)))

    stored = engine.one(OBJECT, "dags-requirements.txt")
    assert stored.inputs["source"].path == str(source / "requirements.txt")
    assert outputs["requirements_key"].inputs["value"] == "requirements.txt"
    assert outputs["requirements_version"].inputs["value"] == "version-7"


def test_a_version_of_the_requirements_that_mwaa_may_be_pinned_to_never_expires(
    engine: Engine, source: Path
) -> None:
    engine.run(lambda: DagBucket("dags", args(source)))

    lifecycle = engine.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    expiring = [r for r in lifecycle.inputs["rules"] if "noncurrentVersionExpiration" in r]
    assert [rule["filter"]["prefix"] for rule in expiring] == ["dags/"]


def test_nothing_is_uploaded_where_a_pipeline_delivers(engine: Engine, source: Path) -> None:
    outputs = engine.run(lambda: DagBucket("dags", args(source, upload=False)))

    assert not engine.all(OBJECT)
    assert not engine.all("pulumi-python:dynamic:Resource")  # what there is stays as it is
    assert set(outputs) == {"name", "arn"}  # no requirements


def test_a_folder_that_is_not_there_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"typo is no folder.*create it"):
        engine.run(lambda: DagBucket("dags", args(tmp_path / "typo")))


def test_two_buckets_do_not_collide_and_own_their_children(engine: Engine, source: Path) -> None:
    engine.run(lambda: (DagBucket("one", args(source)), DagBucket("two", args(source))))

    assert engine.tops() == {"one", "two"}
    assert len(engine.all("aws:s3/bucket:Bucket")) == 2
