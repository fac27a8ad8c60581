"""Decisions of HistoryServer."""

import json
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components.history_server import HistoryServer, HistoryServerArgs
from sandbox.cloud.aws.authorization import is_allowed
from tests.components.conftest import ACCOUNT, Engine, Resource

BUCKET = "arn:aws:s3:::jobs"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1"
IMAGE = "895885662937.dkr.ecr.us-west-2.amazonaws.com/spark/emr-7.14.0:latest"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"


def run(engine: Engine) -> dict[str, Resource]:
    return engine.run(
        lambda: HistoryServer(
            "risk-history",
            HistoryServerArgs(
                namespace="emr-risk",
                image=IMAGE,
                event_log_dir="s3://jobs/risk/spark-events/",
                bucket_arn=BUCKET,
                kms_key_arn=KEY,
                cluster_name="mwaa-on-eks-test",
                cluster_arn="arn:aws:eks:us-west-2:123456789012:cluster/mwaa-on-eks-test",
                account=ACCOUNT,
            ),
            pulumi.ResourceOptions(providers=[k8s.Provider("cluster", kubeconfig="{}")]),
        )
    )


def pod(engine: Engine) -> Any:  # noqa: ANN401
    run(engine)
    return engine.one(DEPLOYMENT).inputs["spec"]["template"]["spec"]


LOGS = f"{BUCKET}/risk/spark-events"


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("s3:GetObject", f"{LOGS}/spark-1", {}, True),
        ("s3:GetObject", LOGS, {}, True),  # Hadoop asks whether the directory is an object
        ("s3:ListBucket", BUCKET, {"s3:prefix": "risk/spark-events/"}, True),
        # What S3 takes for the prefix when it says of a missing object that it is missing.
        ("s3:ListBucket", BUCKET, {"s3:prefix": "risk/spark-events"}, True),
        ("kms:Decrypt", KEY, {"kms:ViaService": "s3.us-west-2.amazonaws.com"}, True),
        ("s3:PutObject", f"{LOGS}/spark-1", {}, False),
        ("s3:DeleteObject", f"{LOGS}/spark-1", {}, False),
        ("s3:GetObject", f"{BUCKET}/risk/data", {}, False),
        ("s3:GetObject", f"{BUCKET}/risk/spark-events-2/a", {}, False),
        ("s3:GetObject", f"{BUCKET}/mwaa/spark-events/spark-1", {}, False),
        ("s3:ListBucket", BUCKET, {}, False),
        ("s3:ListBucket", BUCKET, {"s3:prefix": "risk/"}, False),
        ("kms:Decrypt", KEY, {}, False),
        ("kms:GenerateDataKey", KEY, {"kms:ViaService": "s3.us-west-2.amazonaws.com"}, False),
    ],
)
def test_it_reads_its_teams_event_logs_and_nothing_else(
    engine: Engine, action: str, resource: str, context: dict[str, str], allowed: bool
) -> None:
    run(engine)

    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    ours = {"aws:ResourceAccount": ACCOUNT.id, **context}
    assert is_allowed([policy], action, resource, ours) is allowed
    foreign = {**ours, "aws:ResourceAccount": "444455556666"}
    if action.startswith("s3:"):  # a bucket that somebody else has made under the name
        assert not is_allowed([policy], action, resource, foreign)


def test_its_pod_has_the_role_and_no_token_of_kubernetes(engine: Engine) -> None:
    spec = pod(engine)

    assert spec["serviceAccountName"] == engine.one(ASSOCIATION).inputs["serviceAccount"]
    assert spec["automountServiceAccountToken"] is False
    # Credentials are put into a pod when it is made, or never.
    assert engine.one(ASSOCIATION) in engine.before(engine.one(DEPLOYMENT))


def test_its_pod_meets_pod_securitys_restricted_standard(engine: Engine) -> None:
    spec = pod(engine)

    # In which the user has to be a number: the image names one.
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 999,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_it_is_spark_as_jobs_have_it_on_the_logs_of_the_team(engine: Engine) -> None:
    (container,) = pod(engine)["containers"]

    assert container["image"] == IMAGE
    program, *options, resource = container["command"]
    assert (program, resource) == ("/usr/lib/spark/bin/spark-submit", "spark-internal")
    assert "--class=org.apache.spark.deploy.history.HistoryServer" in options
    assert "--conf=spark.history.fs.logDirectory=s3://jobs/risk/spark-events/" in options
    # Its root is read-only: spark-submit makes this directory whatever it is for.
    (mount,) = container["volumeMounts"]
    assert f"--conf=spark.jars.ivy={mount['mountPath']}/.ivy2" in options
    (port,) = container["ports"]
    assert f"--conf=spark.history.ui.port={port['containerPort']:.0f}" in options


def test_its_heap_leaves_room_for_the_rest_of_java_in_what_the_quota_counts(
    engine: Engine,
) -> None:
    (container,) = pod(engine)["containers"]

    assert "--driver-memory=1g" in container["command"]
    assert container["resources"]["requests"]["memory"] == "1536Mi"
    assert container["resources"]["limits"]["memory"] == "1536Mi"


def test_there_is_never_a_second_one_in_the_quota(engine: Engine) -> None:
    run(engine)

    spec = engine.one(DEPLOYMENT).inputs["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_nothing_leads_to_it_but_a_forwarded_port(engine: Engine) -> None:
    run(engine)

    kinds = {one.typ for one in engine.recorded.values() if one.typ.startswith("kubernetes:")}
    assert kinds == {DEPLOYMENT, "kubernetes:core/v1:ServiceAccount"}


def test_everything_lies_under_the_component(engine: Engine) -> None:
    run(engine)

    assert engine.tops() == {"risk-history", "cluster"}
