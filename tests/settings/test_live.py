"""What a stack's state tells of what it has built."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from components.written_files import WrittenFile
from settings.live import LiveStack

_KEY = "arn:aws:kms:us-west-2:111122223333:key/1"


def _urn(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::mwaa-on-eks::mwaa-on-eks:index:Component${kind}::{name}"


_ADMIN = "arn:aws:iam::111122223333:role/Admin"


def _subnet(zone: str, cidr: str) -> tuple[str, dict[str, Any]]:
    outputs = {"availabilityZone": zone, "cidrBlock": cidr}
    return _urn("aws:ec2/subnet:Subnet", f"{zone}-{cidr}"), outputs


def _namespace(logical: str, name: str) -> tuple[str, dict[str, Any]]:
    return _urn("kubernetes:core/v1:Namespace", logical), {"metadata": {"name": name}}


STATE: dict[str, dict[str, Any]] = {
    "urn:pulumi:dev::mwaa-on-eks::pulumi:pulumi:Stack::mwaa-on-eks-dev": {},
    _urn("aws:kms/key:Key", "key"): {"arn": _KEY},
    _urn("aws:kms/alias:Alias", "alias"): {"name": "alias/mwaa-on-eks-dev"},
    _urn("aws:ec2/vpc:Vpc", "vpc"): {"cidrBlock": "10.0.0.0/16"},
    **dict(
        [
            _subnet("us-west-2c", "10.0.16.0/20"),
            _subnet("us-west-2a", "10.0.0.0/20"),
            _subnet("us-west-2a", "10.0.192.0/24"),  # a public one
            _namespace("pods-namespace", "mwaa"),
            _namespace("spark-risk-namespace", "emr-risk"),
            _namespace("spark-b-namespace", "emr-b"),
        ]
    ),
    _urn("aws:eks/cluster:Cluster", "cluster"): {
        "name": "mwaa-on-eks-dev",
        "version": "1.35",
        "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]},
        "accessConfig": {"authenticationMode": "API"},
    },
    _urn("aws:eks/accessEntry:AccessEntry", "entry"): {"principalArn": _ADMIN},
    _urn("aws:mwaa/environment:Environment", "environment"): {
        "airflowVersion": "2.11.2",
        "requirementsS3Path": "requirements.txt",
        "requirementsS3ObjectVersion": "v1",
    },
}


def test_the_state_tells_what_no_change_takes_along() -> None:
    assert LiveStack.of(STATE) == LiveStack(
        name="mwaa-on-eks-dev",
        access_entries=frozenset({_ADMIN}),
        account_id="111122223333",
        region="us-west-2",
        cidr_block=IPv4Network("10.0.0.0/16"),
        zones={0: "us-west-2a", 1: "us-west-2c"},
        control_plane_zones=2,
        teams=("b", "risk"),
        pod_namespace="mwaa",
        airflow_version="2.11.2",
        kubernetes_version="1.35",
        authentication_mode="API",
        pinned_files={"requirements.txt": "v1"},
    )


def test_a_new_stack_has_nothing() -> None:
    assert LiveStack.of({}) == LiveStack()


def test_each_resource_may_be_all_that_there_is() -> None:
    for urn, outputs in STATE.items():
        LiveStack.of({urn: outputs})


def test_a_half_made_network_tells_the_places_of_its_zones() -> None:
    half = {urn: outputs for urn, outputs in STATE.items() if "10.0.0.0/20" not in urn}
    assert LiveStack.of(half).zones == {1: "us-west-2c"}


def _object(key: str, version: str, source_hash: str) -> tuple[str, dict[str, Any]]:
    outputs = {"key": key, "versionId": version, "sourceHash": source_hash}
    return _urn("aws:s3/bucketObjectv2:BucketObjectv2", f"dags-{key}"), outputs


def test_the_state_tells_which_versions_are_its_own_whatever_a_refresh_found() -> None:
    record = {
        "kept.py": {"sourceHash": "a", "version": "v1", "pinned": "v0"},
        "retold.py": {"sourceHash": "a", "version": "v1", "pinned": "v0"},
        "deleted.py": {"sourceHash": "a", "version": "v1", "pinned": "v1"},
    }
    found = LiveStack.of(
        dict(
            [
                (_urn("aws:s3/bucket:Bucket", "dags-bucket"), {}),
                (_urn("pulumi-python:dynamic:Resource", "dags-written"), {"files": record}),
                _object("kept.py", "theirs", "a"),
                # Uploaded by an update that was cut off.
                _object("retold.py", "v2", "a over theirs after v1"),
                _object("new.py", "v3", "b"),
                (_urn("aws:s3/bucket:Bucket", "jobs-bucket"), {}),
                (
                    _urn("aws:s3/bucketObjectv2:BucketObjectv2", "jobs-pod_templates/driver.yaml"),
                    {"key": "pod_templates/driver.yaml", "versionId": "v4", "sourceHash": "c"},
                ),
            ]
        )
    )
    assert found.written_files == {
        "kept.py": WrittenFile(source_hash="a", version="v1", pinned="v0"),
        "retold.py": WrittenFile(source_hash="a over theirs after v1", version="v2", pinned="v0"),
        "deleted.py": WrittenFile(source_hash="a", version="v1", pinned="v1"),
        "new.py": WrittenFile(source_hash="b", version="v3", pinned="v3"),
    }
    assert found.written_job_files == {
        "pod_templates/driver.yaml": WrittenFile(source_hash="c", version="v4", pinned="v4")
    }
