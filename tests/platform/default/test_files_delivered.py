"""What reaches Airflow's bucket, and who has put it there, in the order of this file."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from kubernetes.client import RbacAuthorizationV1Api

from sandbox.clone import Clone
from tests.operations.github import github_tokens
from tests.platform.steps import run

NAME = "mwaa-on-eks-sandbox"
BUCKET = f"{NAME}-dags-123456789012"
DAG = "dags/emr_eks_pi_job.py"
OTHER_DAG = "dags/kubernetes_pod_example.py"
CLEAN = "sandbox is what its state says"
PINNED = ("Requirements", "Plugins", "StartupScript")


def _unchanged(clone: Clone) -> None:
    clone.pulumi("preview", "--expect-no-changes", "--refresh")


def _environment(clone: Clone) -> Any:  # noqa: ANN401
    return clone.aws("mwaa").get_environment(Name=NAME)["Environment"]


def _pins(clone: Clone) -> dict[str, str]:
    environment = _environment(clone)
    return {kind: environment[f"{kind}S3ObjectVersion"] for kind in PINNED}


def _bodies(clone: Clone) -> dict[str, bytes]:
    """What Airflow would find, by key."""
    s3 = clone.aws("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.mark.parametrize("refresh", [(), ("--refresh",)], ids=["without refresh", "with refresh"])
def test_what_somebody_else_wrote_is_told_and_put_right_and_reaches_no_environment(
    platform: Clone, refresh: tuple[str, ...]
) -> None:
    bodies, pins = _bodies(platform), _pins(platform)
    s3 = platform.aws("s3")
    tampered = {
        **dict.fromkeys(("requirements.txt", "plugins.zip", "startup.sh", DAG), b"# not ours\n"),
        OTHER_DAG: bodies[OTHER_DAG],  # another version, with the same content
    }
    for key, body in tampered.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    s3.put_object(Bucket=BUCKET, Key="dags/foreign.py", Body=b"# nobody knows\n")

    steps, told = run(platform, "preview", *refresh)
    for key in tampered:
        assert f"{key} in bucket {BUCKET}: version " in told
    assert f"dags/foreign.py in bucket {BUCKET}: somebody else put it there" in told
    assert {step[::2] for step in steps} == {
        ("update", f"dags-{key}") for key in (*tampered, "written")
    }

    platform.pulumi("up", "--yes", "--skip-preview", *refresh)
    assert _bodies(platform) == bodies | {"dags/foreign.py": b"# nobody knows\n"}
    assert _pins(platform) == pins
    _unchanged(platform)
    s3.delete_object(Bucket=BUCKET, Key="dags/foreign.py")


def test_what_somebody_deleted_is_brought_back(platform: Clone) -> None:
    bodies, pins = _bodies(platform), _pins(platform)
    s3 = platform.aws("s3")
    for _ in range(2):
        for key in ("requirements.txt", DAG):
            s3.delete_object(Bucket=BUCKET, Key=key)
        told = platform.pulumi("up", "--yes", "--skip-preview").stdout
        assert f"requirements.txt in bucket {BUCKET}: somebody deleted it" in told
        assert _bodies(platform) == bodies
        assert _pins(platform) == pins
    # The version itself, for good: there is nothing left that the environment could start from.
    s3.delete_object(Bucket=BUCKET, Key="requirements.txt", VersionId=pins["Requirements"])
    steps, _ = run(platform, "up", "--yes", "--skip-preview")
    assert {step[::2] for step in steps} == {
        ("update", name) for name in ("dags-written", "airflow-environment")
    }
    assert _pins(platform)["Requirements"] != pins["Requirements"]
    _unchanged(platform)


def _deliver(clone: Clone, *, ok: bool = True) -> str:
    """Run the pipeline's step, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "operations.deliver", "--environment", NAME],
        cwd=clone.directory,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    told = done.stdout + done.stderr
    assert (done.returncode == 0) is ok, told
    return told


def _updated_at(clone: Clone) -> object:
    """When the environment was last updated, which is a restart each time; None for never."""
    return _environment(clone).get("LastUpdate", {}).get("CreatedAt")


def test_a_pipeline_takes_over_what_the_program_has_delivered(platform: Clone) -> None:
    assert "says that pulumi delivers: set airflow.dagDelivery" in _deliver(platform, ok=False)
    bodies, pins, updated = _bodies(platform), _pins(platform), _updated_at(platform)
    platform.pulumi("config", "set", "--path", "airflow.dagDelivery", "pipeline")
    platform.pulumi("up", "--yes", "--skip-preview")
    assert f"nothing to deliver: {NAME} has all of it" in _deliver(platform)
    assert (_bodies(platform), _pins(platform), _updated_at(platform)) == (bodies, pins, updated)
    _unchanged(platform)


def test_a_pipeline_delivers_what_has_changed_and_nothing_else(platform: Clone) -> None:
    bodies, pins, updated = _bodies(platform), _pins(platform), _updated_at(platform)
    folder = platform.directory / "dags"
    (folder / "new.py").write_text("# no DAG yet\n")
    with (folder / "emr_eks_pi_job.py").open("a") as file:
        file.write("# changed\n")
    (folder / "kubernetes_pod_example.py").unlink()
    assert _deliver(platform).splitlines() == [
        f"{DAG}: changed",
        "dags/new.py: new",
        f"{OTHER_DAG}: gone",
    ]
    after = _bodies(platform)
    assert after.keys() == bodies.keys() - {OTHER_DAG} | {"dags/new.py"}
    assert after[DAG] == bodies[DAG] + b"# changed\n"
    assert (_pins(platform), _updated_at(platform)) == (pins, updated)

    with (folder / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    told = _deliver(platform)
    requirements = _pins(platform)["Requirements"]
    assert f"requirements.txt: changed, version {requirements}" in told
    assert _pins(platform) == pins | {"Requirements": requirements}
    assert _bodies(platform)["requirements.txt"].endswith(b"# changed\n")
    assert _updated_at(platform) != updated
    assert "nothing to deliver" in _deliver(platform)
    _unchanged(platform)


def test_the_program_takes_over_what_a_pipeline_has_delivered(platform: Clone) -> None:
    bodies, pins, updated = _bodies(platform), _pins(platform), _updated_at(platform)
    platform.pulumi("config", "set", "--path", "airflow.dagDelivery", "pulumi")
    platform.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert (_bodies(platform), _pins(platform), _updated_at(platform)) == (bodies, pins, updated)
    _unchanged(platform)


def _drift(clone: Clone) -> tuple[int, dict[str, str]]:
    """The exit status, and what differs by resource, as the workflow sees it with its role."""
    role = clone.outputs()["drift_role_arn"]
    issuer, subject = "https://token.actions.githubusercontent.com", "repo:acme/platform"
    as_role = ["-m", "operations.workflow_identity", "--role", role, "--"]
    drift = ["-m", "operations.drift", "--stack", "sandbox"]
    with github_tokens(clone.environment, iss=issuer, sub=f"{subject}:ref:refs/heads/main") as job:
        done = subprocess.run(
            [sys.executable, *as_role, sys.executable, *drift],
            cwd=clone.directory,
            env={**clone.environment, **job},
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.stderr == ""
    blocks = re.split(r"\n(?! )", done.stdout.strip())
    return done.returncode, {one.partition("\n")[0]: one for one in blocks}


def test_drift_is_told_also_where_a_refresh_does_not_look(platform: Clone) -> None:
    assert _drift(platform) == (0, {CLEAN: CLEAN})
    before = platform.pulumi("stack", "export").stdout
    # The autoscaler's own, which is no drift.
    eks = platform.aws("eks")
    (group,) = eks.list_nodegroups(clusterName=NAME)["nodegroups"]
    eks.update_nodegroup_config(
        clusterName=NAME, nodegroupName=group, scalingConfig={"desiredSize": 4}
    )
    platform.aws("logs").put_retention_policy(
        logGroupName=f"/aws/eks/{NAME}/cluster", retentionInDays=1
    )
    platform.aws("ec2").authorize_security_group_ingress(
        GroupId=_environment(platform)["NetworkConfiguration"]["SecurityGroupIds"][0],
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            }
        ],
    )
    role = _environment(platform)["ExecutionRoleArn"].rpartition("/")[2]
    iam = platform.aws("iam")
    iam.attach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    platform.aws("mwaa").update_environment(
        Name=NAME,
        AirflowConfigurationOptions={
            **_environment(platform)["AirflowConfigurationOptions"],
            "webserver.expose_config": "True",
        },
    )
    platform.aws("secretsmanager").put_secret_value(
        SecretId=f"airflow/{NAME}/connections/emr_eks", SecretString="{}"
    )
    rbac = RbacAuthorizationV1Api(platform.kubernetes)
    verb = {"op": "add", "path": "/rules/0/verbs/-", "value": "deletecollection"}
    rbac.patch_namespaced_role("jobs", "mwaa", [verb])
    subject = {"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "mallory"}}
    rbac.patch_namespaced_role_binding("jobs", "mwaa", [subject])
    s3 = platform.aws("s3")
    for key in ("dags/foreign.py", DAG):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"# not ours\n")

    status, told = _drift(platform)
    assert status == 3
    for text in (
        "retentionInDays: 1 instead of",
        "(tcp 22-22 from 0.0.0.0/0) too",
        "has the policy arn:aws:iam::aws:policy/AmazonS3FullAccess too",
        "the Airflow option webserver.expose_config is set",
        "the secret's current version is",
        "also allows deletecollection of pods",
        "is also for User mallory",
        f"{DAG} was written by somebody else",
        "dags/foreign.py was put there by somebody else",
    ):
        assert [name for name, lines in told.items() if text in lines], (text, told)
    assert len(told) == 9  # the last two are of one bucket, and the DAG has lost its tags
    assert "desiredSize" not in str(told)
    assert platform.pulumi("stack", "export").stdout == before
