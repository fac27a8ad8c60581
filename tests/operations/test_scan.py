"""What checkov reads of a stack, and what becomes of what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from operations.scan import (
    Failure,
    Waiver,
    complaints,
    objects,
    plan,
    read_waivers,
    terraform_type,
)

Json = Any
ROOT = Path(__file__).resolve().parents[2]
BUCKET = "aws:s3/bucket:Bucket"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"


def state(*resources: Json) -> Json:
    return {"deployment": {"resources": list(resources)}}


def made(kind: str, name: str, inputs: Json, **made_of: list[str]) -> Json:
    urn = f"urn:pulumi:dev::mwaa-on-eks::{kind}::{name}"
    return {"type": kind, "urn": urn, "inputs": inputs, "propertyDependencies": made_of}


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (BUCKET, "aws_s3_bucket"),
        (VERSIONING, "aws_s3_bucket_versioning"),
        ("aws:s3/bucketObjectv2:BucketObjectv2", "aws_s3_object"),
        ("aws:ec2/vpc:Vpc", "aws_vpc"),
        ("aws:ec2/launchTemplate:LaunchTemplate", "aws_launch_template"),
        (
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            "aws_vpc_security_group_ingress_rule",
        ),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "aws_iam_role_policy_attachment"),
        (
            "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
            "aws_iam_openid_connect_provider",
        ),
        ("aws:emrcontainers/virtualCluster:VirtualCluster", "aws_emrcontainers_virtual_cluster"),
        ("aws:cloudwatch/logGroup:LogGroup", "aws_cloudwatch_log_group"),
        ("aws:mwaa/environment:Environment", "aws_mwaa_environment"),
    ],
)
def test_a_type_has_the_name_that_terraform_gives_it(token: str, told: str) -> None:
    assert terraform_type(token) == told


def test_a_plan_tells_values_and_what_they_are_made_of() -> None:
    bucket = made(BUCKET, "dags/one", {"bucket": "b", "tags": {"aKey": "x"}, "__defaults": []})
    versioning = made(
        VERSIONING,
        "v",
        {"bucket": "b", "versioningConfiguration": {"status": "Enabled"}, "mfa": UNKNOWN},
        bucket=[bucket["urn"]],
    )
    told = plan(state({"type": "pulumi:pulumi:Stack", "urn": "urn"}, bucket, versioning))
    first, second = told["planned_values"]["root_module"]["resources"]
    assert first["address"] == "aws_s3_bucket.dags_one"
    assert first["values"] == {"bucket": "b", "tags": {"aKey": "x"}}
    assert second["values"] == {
        "bucket": "b",
        "versioning_configuration": [{"status": "Enabled"}],
    }
    assert [one["change"]["after"] for one in told["resource_changes"]] == [
        first["values"],
        second["values"],
    ]
    configured = told["configuration"]["root_module"]["resources"][1]
    assert configured["expressions"] == {"bucket": {"references": ["aws_s3_bucket.dags_one"]}}


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def test_blocks_have_the_names_of_blocks() -> None:
    kind = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    told = plan(state(made(kind, "l", {"rules": [{"status": "Enabled", "filter": {"a": "b"}}]})))
    (one,) = told["planned_values"]["root_module"]["resources"]
    assert one["values"] == {"rule": [{"status": "Enabled", "filter": [{"a": "b"}]}]}


def test_no_secret_is_written_where_checkov_reads() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47", "ciphertext": "v1:abc"}
    told = plan(state(made("aws:secretsmanager/secretVersion:SecretVersion", "s", {"s": secret})))
    assert "v1:abc" not in json.dumps(told)


def test_objects_are_manifests_and_patches_are_none() -> None:
    inputs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "jobs"}}
    namespace = made("kubernetes:core/v1:Namespace", "n", {**inputs, "__x": 1})
    patch = made("kubernetes:core/v1:ServiceAccountPatch", "p", inputs)
    assert objects(state(namespace, patch)) == [inputs]


def test_what_is_on_its_way_out_is_not_judged() -> None:
    assert objects(state({**made("kubernetes:core/v1:Pod", "p", {}), "delete": True})) == []


FAILED = Failure("CKV_AWS_18", "Log access", "aws_s3_bucket.dags-bucket")


@pytest.mark.parametrize(
    ("waivers", "told"),
    [
        ([], ["CKV_AWS_18 aws_s3_bucket.dags-bucket: Log access: mend it, or waive it"]),
        ([Waiver("CKV_AWS_18", ("aws_s3_bucket.*",), "r")], []),
        (
            [Waiver("CKV_AWS_18", ("aws_s3_bucket.dags-bucket", "aws_s3_bucket.jobs"), "r")],
            ["CKV_AWS_18 aws_s3_bucket.jobs: nothing needs this waiver"],
        ),
        (
            [Waiver("CKV_AWS_19", ("aws_s3_bucket.*",), "r")],
            ["CKV_AWS_18 aws_s3_bucket.dags-bucket", "CKV_AWS_19 aws_s3_bucket.*: nothing needs"],
        ),
    ],
)
def test_each_failure_is_waived_and_each_waiver_needed(
    waivers: list[Waiver], told: list[str]
) -> None:
    found = complaints([FAILED], waivers)
    assert len(found) == len(told)
    assert all(one.startswith(text) for one, text in zip(found, told, strict=True))


@pytest.mark.parametrize("text", ['[A]\nresources = ["x"]', '[A]\nresources = []\nreason = " "'])
def test_a_waiver_has_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match="a reason"):
        read_waivers(text)


def test_the_waivers_of_the_repository_have_one() -> None:
    assert all(one.reason for one in read_waivers((ROOT / "policy/waivers.toml").read_text()))


def report(kind: str, *failed: Failure) -> Json:
    checks = [
        {"check_id": one.check, "check_name": one.title, "resource": one.resource} for one in failed
    ]
    return {
        "check_type": kind,
        "results": {"failed_checks": checks, "parsing_errors": []},
        "summary": {"passed": 7},
    }


@pytest.mark.parametrize(
    ("reports", "status", "told"),
    [
        (
            [report("terraform_plan", FAILED), report("kubernetes")],
            1,
            "checkov: 14 passed, 1 failed, 1 to look at\nCKV_AWS_18",
        ),
        ([report("terraform_plan"), report("kubernetes")], 0, "14 passed, 0 failed"),
        ([report("terraform_plan")], 2, "has not judged both"),
        (report("terraform_plan"), 2, "has not judged both"),
        ({"passed": 0, "failed": 0}, 2, "has not judged both"),
    ],
)
def test_the_command_judges_what_checkov_prints(
    reports: Json, status: int, told: str, tmp_path: Path
) -> None:
    (tmp_path / "reports.json").write_text(json.dumps(reports))
    (tmp_path / "waivers.toml").touch()
    command = [sys.executable, "-m", "operations.scan", "judge", "reports.json", "waivers.toml"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert told in done.stdout + done.stderr
