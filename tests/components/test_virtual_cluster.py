"""Decisions of VirtualCluster."""

import json
from typing import Any

import pulumi
import pytest
from awscli.customizations.emrcontainers.base36 import Base36  # type: ignore[import-untyped]

from components.data_access import BucketAccess, DatabaseAccess
from components.virtual_cluster import VirtualCluster, VirtualClusterArgs, base36
from sandbox.cloud.aws.authorization import is_allowed
from tests.components.conftest import ACCOUNT, Engine, Resource

CLUSTER_ARN = "arn:aws:eks:us-west-2:123456789012:cluster/mwaa-on-eks-test"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1"
BUCKET = "arn:aws:s3:::jobs"

VIRTUAL_CLUSTER = "aws:emrcontainers/virtualCluster:VirtualCluster"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
DRAIN = "pulumi-python:dynamic:Resource"


def run(
    engine: Engine,
    *,
    data: tuple[BucketAccess, ...] = (),
    databases: tuple[DatabaseAccess, ...] = (),
) -> dict[str, Resource]:
    def program() -> VirtualCluster:
        nodes = pulumi.CustomResource("test:index:Nodes", "nodes")
        namespace = pulumi.CustomResource("test:index:Namespace", "namespace")
        return VirtualCluster(
            "risk",
            VirtualClusterArgs(
                virtual_cluster_name="mwaa-on-eks-test-risk",
                team="risk",
                cluster_name=nodes.id.apply(lambda _: "mwaa-on-eks-test"),
                cluster_arn=CLUSTER_ARN,
                namespace=namespace.id.apply(lambda _: "emr-risk"),
                bucket_name="jobs",
                bucket_arn=BUCKET,
                kms_key_arn=KEY,
                data=data,
                databases=databases,
                log_retention_days=365,
                account=ACCOUNT,
            ),
        )

    return engine.run(program)


def statements(engine: Engine) -> dict[str, dict[str, Any]]:
    """The statements of the job role's policy, by each action."""
    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    found: dict[str, dict[str, Any]] = {}
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            found.setdefault(action, statement)  # reading pod templates comes second
    return found


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("JobExecutionRoleIRSAv2", "c7ohmynrs14q04uudoef8n97xdufwajzua"),  # AWS's example
        ("", "0"),
    ],
)
def test_base36_is_what_aws_documents(text: str, encoded: str) -> None:
    assert base36(text) == encoded


@pytest.mark.parametrize("text", ["a", "risk-job-1a2b3c4", "x" * 64, "a.b+c=d,e@f_g-h"])
def test_base36_is_what_the_aws_cli_makes(text: str) -> None:
    assert base36(text) == Base36().encode(text)


def test_client_driver_and_executors_and_no_other_account_get_the_job_role(engine: Engine) -> None:
    run(engine)

    encoded = base36("risk-job-auto")
    associations = [association.inputs for association in engine.all(ASSOCIATION)]
    assert {association["serviceAccount"] for association in associations} == {
        f"emr-containers-sa-spark-{part}-123456789012-{encoded}"
        for part in ("client", "driver", "executor")
    }
    for association in associations:
        assert association["namespace"] == "emr-risk"
        assert association["clusterName"] == "mwaa-on-eks-test"
        assert association["roleArn"] == "arn:aws:mock:::risk-job"


def test_the_job_role_is_for_the_pods_of_job_runs_in_its_namespace_of_its_cluster(
    engine: Engine,
) -> None:
    run(engine)

    role = engine.one("aws:iam/role:Role").inputs
    (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:SourceAccount": "123456789012",
                "aws:RequestTag/kubernetes-namespace": "emr-risk",
            },
            "StringLike": {
                "aws:RequestTag/kubernetes-service-account": [
                    f"emr-containers-sa-spark-{part}-123456789012-*"
                    for part in ("client", "driver", "executor")
                ]
            },
            "ArnEquals": {"aws:SourceArn": CLUSTER_ARN},
        },
    }
    assert "name" not in role  # AWS refuses a reused name


def test_jobs_read_and_write_under_their_teams_prefix_only(engine: Engine) -> None:
    run(engine)

    found = statements(engine)
    for action in ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"):
        assert found[f"s3:{action}"]["Resource"] == f"{BUCKET}/risk/*"
    assert found["s3:ListBucket"]["Condition"]["StringLike"] == {"s3:prefix": ["risk", "risk/*"]}
    for action, statement in found.items():
        if action.startswith("s3:"):
            owned = statement["Condition"]["StringEquals"]
            assert owned == {"aws:ResourceAccount": "123456789012"}, action
    assert {action for action in found if action.startswith("s3:")} == {
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListBucket",
        "s3:GetBucketLocation",
    }


@pytest.mark.parametrize(
    ("action", "key", "allowed"),
    [
        ("s3:GetObject", "pod_templates/driver.yaml", True),
        ("s3:PutObject", "pod_templates/driver.yaml", False),
        ("s3:DeleteObject", "pod_templates/driver.yaml", False),
        ("s3:GetObject", "pod_templates_of_others/driver.yaml", False),
        ("s3:PutObject", "risk/data", True),
    ],
)
def test_jobs_read_pod_templates_and_write_none(
    engine: Engine, action: str, key: str, allowed: bool
) -> None:
    run(engine)

    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    context = {"aws:ResourceAccount": "123456789012"}
    assert is_allowed([policy], action, f"{BUCKET}/{key}", context) is allowed


def test_what_every_team_has_leaves_the_policy_to_data(engine: Engine) -> None:
    run(engine)

    policy = engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"]
    # Of a team and of a bucket, and the id of a key, where their names are longest.
    longer = policy.replace("risk", "x" * 20).replace(BUCKET, f"arn:aws:s3:::{'x' * 63}")
    longer = longer.replace(KEY, KEY[:-1] + "x" * 36).replace("mock", "logs:us-west-2:1234567890")
    assert len("".join(longer.split())) < 3_000


def test_jobs_use_the_key_through_s3_only(engine: Engine) -> None:
    run(engine)

    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        statement = statements(engine)[action]
        assert statement["Resource"] == KEY
        assert statement["Condition"] == {
            "StringEquals": {"kms:ViaService": "s3.us-west-2.amazonaws.com"}
        }


def test_jobs_write_to_their_own_log_group_which_is_there(engine: Engine) -> None:
    outputs = run(engine)

    arn = "arn:aws:mock:::risk-logs"
    assert statements(engine)["logs:PutLogEvents"]["Resource"] == [arn, f"{arn}:*"]
    assert "logs:CreateLogGroup" not in statements(engine)
    group = engine.one("aws:cloudwatch/logGroup:LogGroup").inputs
    assert group["kmsKeyId"] == KEY
    assert outputs["log_group_name"].inputs["value"] == group["name"]


def test_nothing_is_allowed_on_everything(engine: Engine) -> None:
    run(engine)

    for action, statement in statements(engine).items():
        assert "*" not in action
        assert statement["Resource"] != "*"


def test_it_is_made_after_nodes_and_namespace_and_deleted_before_them(engine: Engine) -> None:
    run(engine)

    virtual_cluster = engine.one(VIRTUAL_CLUSTER)
    assert engine.waits_for(virtual_cluster) >= {"nodes", "namespace"}
    # a namespace has one virtual cluster at most
    assert virtual_cluster.request.deleteBeforeReplace


def test_job_runs_are_drained_while_they_have_all_they_need(engine: Engine) -> None:
    run(engine)

    drain = engine.one(DRAIN)
    assert drain.inputs["virtual_cluster_id"] == "risk-virtual-cluster-id"
    assert drain.inputs["region"] == "us-west-2"
    assert drain.inputs["account_id"] == "123456789012"
    others = {
        resource.name
        for resource in engine.recorded.values()
        if resource.request.parent.endswith("mwaa-on-eks:index:VirtualCluster::risk")
        and resource.typ not in (DRAIN, "test:index:Consumer")
    }
    assert engine.waits_for(drain) >= others | {"nodes", "namespace"}


@pytest.mark.parametrize(
    ("action", "key", "allowed"),
    [
        ("s3:GetObject", "job_scripts/sales_report.py", True),
        ("s3:PutObject", "job_scripts/sales_report.py", False),
        ("s3:GetObject", "job_scripts", False),
    ],
)
def test_jobs_read_the_scripts_of_the_platform_and_change_none(
    engine: Engine, action: str, key: str, allowed: bool
) -> None:
    run(engine)

    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    context = {"aws:ResourceAccount": ACCOUNT.id}
    assert is_allowed([policy], action, f"{BUCKET}/{key}", context) is allowed


def test_the_teams_data_lies_under_its_prefix(engine: Engine) -> None:
    assert run(engine)["s3_uri"].inputs["value"] == "s3://jobs/risk/"


def test_event_logs_have_a_place_that_is_there_before_anybody_hears_of_it(engine: Engine) -> None:
    place = run(engine)["event_log_dir"]

    assert place.inputs["value"] == "s3://jobs/risk/spark-events/"
    keeper = engine.one("aws:s3/bucketObjectv2:BucketObjectv2")
    assert (keeper.inputs["bucket"], keeper.inputs["key"]) == ("jobs", "risk/spark-events/.keep")
    assert keeper in engine.before(place)
    # An object takes ten tags, and a stack may have more.
    assert keeper.inputs["overrideProvider"] == {"defaultTags": {"tags": {}}}


def test_whoever_may_start_job_runs_may_not_any_more_when_they_are_drained(engine: Engine) -> None:
    outputs = run(engine)

    assert engine.one(DRAIN) in engine.before(outputs["arn"])
