"""Decisions of DagBucket."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pulumi
import pytest
from botocore.exceptions import ClientError

from components.dag_bucket import DagBucket, DagBucketArgs
from components.dag_folder import NO_SCRIPT
from components.written_files import BucketContents, Version, WrittenFile
from tests.components.conftest import ACCOUNT, Engine

OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("spark_pi.py", "sql/report.sql", "requirements.txt", ".env"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


def args(
    source: Path,
    *,
    upload: bool = True,
    plugins: Path | None = None,
    startup_script: Path | None = None,
    written: Mapping[str, WrittenFile] | None = None,
    pinned: Mapping[str, str] | None = None,
) -> DagBucketArgs:
    return DagBucketArgs(
        bucket_name="mwaa-on-eks-test-dags-123456789012",
        kms_key_arn="arn:aws:kms:us-west-2:123456789012:key/1",
        access_log_bucket=None,
        force_destroy=False,
        noncurrent_version_days=90,
        source=source,
        plugins=plugins,
        startup_script=startup_script,
        upload=upload,
        written=written,
        pinned=pinned or {},
        account=ACCOUNT,
    )


def test_the_folder_is_uploaded_with_what_the_environment_reads_beside_it(
    engine: Engine, source: Path
) -> None:
    engine.run(lambda: DagBucket("dags", args(source)))

    assert {stored.inputs["key"] for stored in engine.all(OBJECT)} == {
        "dags/spark_pi.py",
        "dags/sql/report.sql",
        "requirements.txt",
        "plugins.zip",
        "startup.sh",
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
    removed = engine.one("pulumi-python:dynamic:Resource", "dags-removed")
    assert removed.inputs["bucket"] == "mwaa-on-eks-test-dags-123456789012"
    assert set(removed.inputs["keys"]) == {
        key for stored in objects if (key := stored.inputs["key"]).startswith("dags/")
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


def test_the_environment_reads_the_versions_of_the_objects(engine: Engine, source: Path) -> None:
    engine.outputs[OBJECT] = {"versionId": "version-7"}
    pinned: dict[str, object] = {}

    def program() -> None:
        files = DagBucket("dags", args(source)).environment_files
        assert files
        for one in (files.requirements, files.plugins, files.startup_script):
            pulumi.Output.all(one.key, one.version).apply(
                lambda all_: pinned.update({all_[0]: all_[1]})
            )

    engine.run(program)

    stored = engine.one(OBJECT, "dags-requirements.txt")
    assert stored.inputs["source"].path == str(source / "requirements.txt")
    assert pinned == dict.fromkeys(("requirements.txt", "plugins.zip", "startup.sh"), "version-7")


def test_plugins_are_zipped_and_a_zip_file_is_taken_as_it_is(
    engine: Engine, source: Path, tmp_path: Path
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "own.py").write_text("one")
    ready = tmp_path / "ready.zip"
    ready.write_bytes(b"PK")
    script = tmp_path / "prepare.sh"
    script.write_text("export STAGE=dev")

    def program() -> None:
        DagBucket("folder", args(source, plugins=plugins, startup_script=script))
        DagBucket("file", args(source, plugins=ready))
        DagBucket("none", args(source))

    engine.run(program)

    def sent(key: str) -> Any:  # noqa: ANN401
        return engine.one(OBJECT, key).inputs["source"]

    assert ZipFile(sent("folder-plugins.zip").path).namelist() == ["own.py"]
    assert sent("folder-startup.sh").path == str(script)
    assert sent("file-plugins.zip").path == str(ready)
    # Once there are plugins or a script, MWAA can only be given empty ones.
    assert ZipFile(sent("none-plugins.zip").path).namelist() == []
    assert sent("none-startup.sh").text == "#!/bin/bash\n"
    hashes = {engine.one(OBJECT, key).inputs["sourceHash"] for key in (
        "folder-plugins.zip", "file-plugins.zip", "none-plugins.zip", "none-startup.sh",
    )}  # fmt: skip
    assert len(hashes) == 4


def test_a_version_that_mwaa_may_be_pinned_to_never_expires(engine: Engine, source: Path) -> None:
    engine.run(lambda: DagBucket("dags", args(source)))

    lifecycle = engine.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    expiring = [r for r in lifecycle.inputs["rules"] if "noncurrentVersionExpiration" in r]
    assert [rule["filter"]["prefix"] for rule in expiring] == ["dags/"]


WRITTEN = "dags-written"


def look(monkeypatch: pytest.MonkeyPatch, **latest: str) -> None:
    """Let the bucket hold these versions, by key."""
    versions = {
        key.replace("__", "."): Version(id=one, written_at="2026-11-25T19:00:00+00:00")
        for key, one in latest.items()
    }
    contents = BucketContents(
        bucket="b",
        region="us-west-2",
        latest=versions,
        versions=frozenset({("startup.sh", "v1"), ("requirements.txt", "v0")}),
    )
    monkeypatch.setattr("components.uploaded_files.contents_of", lambda *_: contents)


def test_a_foreign_version_is_written_over_and_the_environment_keeps_ours(
    engine: Engine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    script = hashlib.md5(NO_SCRIPT.encode(), usedforsecurity=False).hexdigest()
    requirements = hashlib.md5(b"requirements.txt", usedforsecurity=False).hexdigest()
    written = {
        "startup.sh": WrittenFile(
            source_hash=f"{script} over v8 after v7", version="v9", pinned="v1"
        ),
        "requirements.txt": WrittenFile(source_hash=requirements, version="v1", pinned="v1"),
    }
    look(monkeypatch, startup__sh="v9", requirements__txt="theirs", **{"dags/evil__py": "x"})
    engine.outputs[OBJECT] = {"versionId": "new"}
    engine.run(lambda: DagBucket("dags", args(source, written=written)))

    def sent(key: str) -> object:
        return engine.one(OBJECT, f"dags-{key}").inputs["sourceHash"]

    assert sent("startup.sh") == f"{script} over v8 after v7"  # nothing is to be done again
    assert sent("requirements.txt") == f"{requirements} over theirs after v1"
    files = engine.one("pulumi-python:dynamic:Resource", WRITTEN).inputs["files"]
    assert files["startup.sh"]["pinned"] == "v1"
    assert files["requirements.txt"]["pinned"] == "new"  # v1 is gone for good
    first, second = warned
    assert "requirements.txt in bucket mwaa-on-eks-test-dags-123456789012: version theirs" in first
    assert "dags/evil.py" in second


@pytest.mark.parametrize(
    ("ours", "kept"),
    [
        ({"pinned", "latest"}, "pinned"),  # not the last one with this content
        ({"latest"}, "latest"),  # which a stack that was not refreshed does not know
        (set(), "new"),
    ],
)
def test_what_a_pipeline_has_delivered_stays_the_environments(
    engine: Engine, source: Path, monkeypatch: pytest.MonkeyPatch, ours: set[str], kept: str
) -> None:
    look(monkeypatch, startup__sh="latest")
    monkeypatch.setattr(
        BucketContents,
        "holds",
        lambda _, key, version, body: body == NO_SCRIPT.encode() and version in ours,
    )
    engine.outputs[OBJECT] = {"versionId": "new"}
    before = {"startup.sh": "pinned"}
    engine.run(lambda: DagBucket("dags", args(source, written={}, pinned=before)))

    files = engine.one("pulumi-python:dynamic:Resource", WRITTEN).inputs["files"]
    assert files["startup.sh"]["pinned"] == kept
    assert files["requirements.txt"]["pinned"] == "new"


def test_a_bucket_that_may_not_be_looked_into_stops_nothing(
    engine: Engine, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)

    def denied(*_: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectVersions")

    monkeypatch.setattr("components.uploaded_files.contents_of", denied)
    requirements = hashlib.md5(b"requirements.txt", usedforsecurity=False).hexdigest()
    written = {"requirements.txt": WrittenFile(source_hash=requirements, version="v1", pinned="v1")}
    # As after a refresh that has found another version.
    engine.outputs[OBJECT] = {"versionId": "theirs"}
    engine.run(lambda: DagBucket("dags", args(source, written=written)))

    (warning,) = warned
    assert "it takes s3:ListBucketVersions" in warning
    files = engine.one("pulumi-python:dynamic:Resource", WRITTEN).inputs["files"]
    assert files["requirements.txt"]["pinned"] == "v1"


def test_nothing_is_uploaded_where_a_pipeline_delivers(engine: Engine, source: Path) -> None:
    def program() -> None:
        assert DagBucket("dags", args(source, upload=False)).environment_files is None

    engine.run(program)

    assert not engine.all(OBJECT)
    assert not engine.all("pulumi-python:dynamic:Resource")  # what there is stays as it is


def test_a_folder_that_is_not_there_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"typo is no folder.*create it"):
        engine.run(lambda: DagBucket("dags", args(tmp_path / "typo")))


def test_two_buckets_do_not_collide_and_own_their_children(engine: Engine, source: Path) -> None:
    engine.run(lambda: (DagBucket("one", args(source)), DagBucket("two", args(source))))

    assert engine.tops() == {"one", "two"}
    assert len(engine.all("aws:s3/bucket:Bucket")) == 2
