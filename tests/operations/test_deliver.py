"""What a pipeline brings to Airflow: an emulated S3, and an MWAA that does what a test says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import boto3
import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from operations import deliver as module
from operations.deliver import DeliveryError, Environment, Sources, deliver
from operations.identities import Account

REGION: Final = "us-west-2"
BUCKET = "mwaa-on-eks-test-dags-123456789012"


class Mwaa:
    """One environment; `ends` are what its next updates become."""

    def __init__(self) -> None:
        self.environment: dict[str, Any] = {
            "Name": "test",
            "Status": "AVAILABLE",
            "SourceBucketArn": f"arn:aws:s3:::{BUCKET}",
            "Tags": {"dag-delivery": "pipeline"},
        }
        self.told: list[dict[str, str]] = []
        self.errors: list[dict[str, str]] = []
        self.coming: list[dict[str, Any]] = []
        self._times = itertools.count(1)

    def get_environment(self, Name: str) -> dict[str, Any]:  # noqa: N803
        assert Name == "test"
        if self.coming:
            self.environment |= self.coming.pop(0)
        return {"Environment": dict(self.environment)}

    def update_environment(self, Name: str, **told: str) -> None:  # noqa: N803
        assert Name == "test"
        assert self.environment["Status"] == "AVAILABLE", "ValidationException"
        self.told.append(told)
        last: dict[str, Any] = {"CreatedAt": next(self._times)}
        if self.errors:
            failed = last | {"Status": "FAILED", "Error": self.errors.pop(0)}
            ends: list[dict[str, Any]] = [
                {"Status": "ROLLING_BACK"},
                {"Status": "AVAILABLE", "LastUpdate": failed},
            ]
        else:
            ends = [{"Status": "AVAILABLE", "LastUpdate": last | {"Status": "SUCCESS"}, **told}]
        # MWAA tells of an update a moment later.
        self.coming = [{}, {"Status": "UPDATING"}, *ends]


class StubbedAccount(Account):
    def __init__(self, mwaa: Mwaa) -> None:
        super().__init__(REGION)
        others = self.client
        self.client = lambda service: mwaa if service == "mwaa" else others(service)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """A versioned bucket, found as in a workflow: through the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(module, "POLL_SECONDS", 0)
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield s3
    found = s3.list_object_versions(Bucket=BUCKET)
    for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
    server.stop()


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "requirements.txt").write_text("--no-index\n")
    (dags / "one.py").write_text("ONE = 1\n")
    return Sources(dags=dags)


def run(mwaa: Mwaa, sources: Sources) -> list[str]:
    said: list[str] = []
    account = StubbedAccount(mwaa)
    deliver(Environment(account, "test", said.append), account, sources, said.append)
    return said


def keys(s3: S3Client) -> set[str]:
    return {one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_the_first_delivery_brings_all_and_the_second_finds_nothing_to_do(
    s3: S3Client, sources: Sources
) -> None:
    mwaa = Mwaa()
    run(mwaa, sources)
    assert keys(s3) == {"dags/one.py", "requirements.txt", "plugins.zip", "startup.sh"}
    (told,) = mwaa.told
    versions = {
        one["Key"]: one["VersionId"] for one in s3.list_object_versions(Bucket=BUCKET)["Versions"]
    }
    assert told == {
        "RequirementsS3Path": "requirements.txt",
        "RequirementsS3ObjectVersion": versions["requirements.txt"],
        "PluginsS3Path": "plugins.zip",
        "PluginsS3ObjectVersion": versions["plugins.zip"],
        "StartupScriptS3Path": "startup.sh",
        "StartupScriptS3ObjectVersion": versions["startup.sh"],
    }
    assert run(mwaa, sources) == ["nothing to deliver: test has all of it"]
    assert mwaa.told == [told]


def test_only_what_has_changed_is_written(s3: S3Client, sources: Sources) -> None:
    mwaa = Mwaa()
    run(mwaa, sources)
    before = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    (sources.dags / "one.py").write_text("ONE = 2\n")  # as long as before
    (sources.dags / "sub").mkdir()
    (sources.dags / "sub/two.py").write_text("TWO = 2\n")
    assert run(mwaa, sources) == ["dags/one.py: changed", "dags/sub/two.py: new"]
    (sources.dags / "one.py").unlink()
    assert run(mwaa, sources) == ["dags/one.py: gone"]
    found = s3.list_object_versions(Bucket=BUCKET)
    assert len(found["Versions"]) == len(before) + 2
    assert [one["Key"] for one in found["DeleteMarkers"]] == ["dags/one.py"]
    assert len(mwaa.told) == 1


def test_what_was_uploaded_without_a_checksum_is_compared_by_content(
    s3: S3Client, sources: Sources
) -> None:
    mwaa = Mwaa()
    s3.put_object(Bucket=BUCKET, Key="dags/one.py", Body=b"ONE = 1\n")
    said = run(mwaa, sources)
    assert not any(line.startswith("dags/one.py") for line in said)
    s3.put_object(Bucket=BUCKET, Key="requirements.txt", Body=b"--pwned!!\n")
    assert [line.partition(", ")[0] for line in run(mwaa, sources)] == [
        "requirements.txt: written again"
    ]
    assert len(mwaa.told) == 1  # the environment has never had the other one


def test_a_failed_update_tells_its_reason_keeps_dags_back_and_is_tried_again(
    s3: S3Client, sources: Sources
) -> None:
    mwaa = Mwaa()
    run(mwaa, sources)
    (sources.dags / "requirements.txt").write_text("nonsense\n")
    (sources.dags / "one.py").write_text("ONE = 2\n")
    mwaa.errors = [{"ErrorCode": "INCORRECT_CONFIGURATION", "ErrorMessage": "pip failed"}] * 2
    for _ in range(2):  # the second time, the failure before is not taken for this one
        with pytest.raises(DeliveryError, match="INCORRECT_CONFIGURATION pip failed; no DAG was"):
            run(mwaa, sources)
    assert s3.get_object(Bucket=BUCKET, Key="dags/one.py")["Body"].read() == b"ONE = 1\n"
    said = run(mwaa, sources)
    assert "is there and not rolled out" in said[0]
    assert said[-1] == "dags/one.py: changed"
    versions = [told["RequirementsS3ObjectVersion"] for told in mwaa.told]
    assert len(versions) == 4
    assert len(set(versions[1:])) == 1  # uploaded once


def test_another_update_is_waited_for(s3: S3Client, sources: Sources) -> None:
    mwaa = Mwaa()
    mwaa.coming = [{"Status": "UPDATING"}, {}, {"Status": "AVAILABLE"}]
    said = run(mwaa, sources)
    assert said[0] == "test is UPDATING (0 min)"
    assert len(mwaa.told) == 1


@pytest.mark.parametrize("status", ["DELETING", "CREATE_FAILED", "UNAVAILABLE"])
def test_an_environment_that_takes_no_files_is_named(
    s3: S3Client, sources: Sources, status: str
) -> None:
    mwaa = Mwaa()
    mwaa.environment["Status"] = status
    with pytest.raises(DeliveryError, match=f"test is {status}"):
        run(mwaa, sources)
    assert keys(s3) == set()


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ({"dag-delivery": "pulumi"}, "says that pulumi delivers: set airflow.dagDelivery"),
        ({}, "does not say who delivers: set airflow.dagDelivery"),
    ],
)
def test_where_the_program_delivers_the_pipeline_does_not(
    s3: S3Client, sources: Sources, tags: dict[str, str], text: str
) -> None:
    mwaa = Mwaa()
    mwaa.environment["Tags"] = tags
    with pytest.raises(DeliveryError, match=text):
        run(mwaa, sources)
    assert keys(s3) == set()


def test_an_empty_folder_takes_nothing_away(s3: S3Client, sources: Sources) -> None:
    mwaa = Mwaa()
    run(mwaa, sources)
    (sources.dags / "one.py").unlink()
    with pytest.raises(DeliveryError, match="holds no DAG, and 1 files of the bucket would go"):
        run(mwaa, sources)
    assert "dags/one.py" in keys(s3)


def test_what_the_program_would_refuse_is_refused_at_once_and_together(
    s3: S3Client, sources: Sources, tmp_path: Path
) -> None:
    (sources.dags / "requirements.txt").unlink()
    (sources.dags / "one.py").write_text("def broken(:\n")
    (sources.dags / "key.py").write_text(f"KEY = 'AKIA{'A' * 16}'\n")
    plugins = tmp_path / "plugins.zip"
    with ZipFile(plugins, "w") as archive:
        archive.writestr("../out.py", "")
    script = tmp_path / "start.sh"
    script.write_bytes(b"export A=1\r\n")
    mwaa = Mwaa()
    with pytest.raises(DeliveryError) as error:
        run(mwaa, Sources(dags=sources.dags, plugins=plugins, startup_script=script))
    lines = str(error.value).splitlines()
    for text in (
        "requirements.txt is missing",
        "one.py is not Python",
        "key.py holds an AWS access key",
        "plugins.zip holds ../out.py, which leads out",
        "start.sh has lines that end as on Windows",
    ):
        assert any(text in line for line in lines), text
    assert len(lines) == 5
    assert keys(s3) == set()


def test_plugins_and_startup_script_are_delivered_and_emptied(
    s3: S3Client, sources: Sources, tmp_path: Path
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "own.py").write_text("OWN = 1\n")
    script = tmp_path / "start.sh"
    script.write_text("export A=1\n")
    mwaa = Mwaa()
    run(mwaa, Sources(dags=sources.dags, plugins=plugins, startup_script=script))
    assert s3.get_object(Bucket=BUCKET, Key="startup.sh")["Body"].read() == b"export A=1\n"
    run(mwaa, sources)
    assert s3.get_object(Bucket=BUCKET, Key="startup.sh")["Body"].read() == b"#!/bin/bash\n"
    assert mwaa.told[1].keys() == {
        f"{kind}S3{what}"
        for kind in ("Plugins", "StartupScript")
        for what in ("Path", "ObjectVersion")
    }
