"""Decisions of AirflowAccess."""

import json
from dataclasses import replace
from typing import Any

import pytest

from components.airflow_access import AirflowAccess, AirflowAccessArgs, TeamAccess
from tests.components.conftest import ACCOUNT, Engine, Resource

CLUSTER_ARN = "arn:aws:eks:us-west-2:123456789012:cluster/mwaa-on-eks-test"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1"


def team(name: str) -> TeamAccess:
    return TeamAccess(
        team=name,
        virtual_cluster_id=f"id-{name}",
        virtual_cluster_arn=f"arn:vc/{name}",
        job_role_arn=f"arn:role/{name}",
        log_group_name=f"/jobs/{name}",
        s3_uri=f"s3://jobs/{name}/",
        event_log_dir=f"s3://jobs/{name}/spark-events/",
        metastore_client_factory=None,
    )


ARGS = AirflowAccessArgs(
    execution_role_name="execution-1a2b3c4",
    execution_role_arn="arn:aws:iam::123456789012:role/execution-1a2b3c4",
    execution_role_unique_id="AROAEXAMPLE",
    security_group_id="sg-airflow",
    cluster_name="mwaa-on-eks-test",
    cluster_arn=CLUSTER_ARN,
    cluster_security_group_id="sg-cluster",
    kubernetes_group="mwaa-on-eks-test:airflow",
    pod_namespace="mwaa",
    image_prefix="",
    xcom_sidecar_image=None,
    scripts_uri="s3://jobs/job_scripts/",
    teams=(team("mwaa"), team("risk")),
    default_team="mwaa",
    driver_pod_template="s3://jobs/pod_templates/driver.yaml",
    executor_pod_template="s3://jobs/pod_templates/executor.yaml",
    release_label="emr-7.14.0-latest",
    alarm_topic_arn=None,
    secrets_prefix="airflow/mwaa-on-eks-test",
    kms_key_arn=KEY,
    account=ACCOUNT,
)
SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 (a resource type)
VERSION = "aws:secretsmanager/secretVersion:SecretVersion"


INLINE = "aws:iam/rolePolicy:RolePolicy"
MANAGED = "aws:iam/policy:Policy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"


def statements(engine: Engine) -> list[dict[str, Any]]:
    return [
        statement
        for policy in (*engine.all(INLINE), *engine.all(MANAGED))
        for statement in json.loads(policy.inputs["policy"])["Statement"]
    ]


def test_a_job_starts_only_with_its_own_teams_role(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    start = [s for s in statements(engine) if s["Action"] == "emr-containers:StartJobRun"]
    assert [(s["Resource"], s["Condition"]) for s in start] == [
        (
            f"arn:vc/{name}",
            {"ArnEquals": {"emr-containers:ExecutionRoleArn": f"arn:role/{name}"}},
        )
        for name in ("mwaa", "risk")
    ]


def test_job_roles_are_passed_to_pod_identity_of_this_cluster_only(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    (passing,) = (s for s in statements(engine) if s["Action"] == "iam:PassRole")
    assert passing["Resource"] == ["arn:role/mwaa", "arn:role/risk"]
    assert passing["Condition"] == {
        "StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"},
        "ArnLike": {"iam:AssociatedResourceARN": CLUSTER_ARN},
    }


def test_dags_may_do_nothing_else(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    rest = {
        json.dumps(s["Action"]): s["Resource"] for s in statements(engine) if "Condition" not in s
    }
    looking_after = [
        f"emr-containers:{action}"
        for action in ("CancelJobRun", "DescribeJobRun", "DescribeVirtualCluster", "ListJobRuns")
    ]
    assert rest == {
        '"eks:DescribeCluster"': CLUSTER_ARN,
        json.dumps(looking_after): ["arn:vc/mwaa*", "arn:vc/risk*"],
    }


def test_policies_belong_to_the_execution_role(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    bound = (*engine.all(INLINE), *engine.all(ATTACHMENT))
    assert {policy.inputs["role"] for policy in bound} == {"execution-1a2b3c4"}
    attached = {attachment.inputs["policyArn"] for attachment in engine.all(ATTACHMENT)}
    assert attached == {f"arn:aws:mock:::{policy.name}" for policy in engine.all(MANAGED)}


def size(policy: Resource) -> int:
    """As IAM counts, without white space."""
    return len("".join(policy.inputs["policy"].split()))


REGION = "ap-southeast-1"  # none has a longer name


def team_of_long_names(number: int, *, role: int, virtual_cluster: int) -> TeamAccess:
    ending = f"{number:03}"
    cluster_id, role_name = (ending.rjust(length, "x") for length in (virtual_cluster, role))
    arn = f"arn:aws:emr-containers:{REGION}:123456789012:/virtualclusters/{cluster_id}"
    role_arn = f"arn:aws:iam::123456789012:role/{role_name}"
    return replace(team(ending), virtual_cluster_arn=arn, job_role_arn=role_arn)


# The longest names of roles in IAM, and those that Pulumi makes of teams' names; the ids that EMR
# gives, and the longest that its API allows.
@pytest.mark.parametrize(("role", "virtual_cluster"), [(64, 25), (32, 64)])
def test_a_hundred_teams_fit_into_what_iam_allows(
    engine: Engine, role: int, virtual_cluster: int
) -> None:
    lengths = {"role": role, "virtual_cluster": virtual_cluster}
    args = replace(
        ARGS,
        teams=tuple(team_of_long_names(number, **lengths) for number in range(100)),
        default_team="000",
        cluster_arn=f"arn:aws:eks:{REGION}:123456789012:cluster/{'x' * 100}",
        account=replace(ACCOUNT, region=REGION),
    )
    engine.run(lambda: AirflowAccess("airflow", args))

    sizes = [size(policy) for policy in engine.all(MANAGED)]
    assert max(sizes) <= 6144
    assert len(engine.all(ATTACHMENT)) == len(sizes) == 10  # of the 20 that a role takes
    assert sum(size(policy) for policy in engine.all(INLINE)) < 1024
    start = [s for s in statements(engine) if s["Action"] == "emr-containers:StartJobRun"]
    assert len({s["Resource"] for s in start}) == 100
    passed = [r for s in statements(engine) if s["Action"] == "iam:PassRole" for r in s["Resource"]]
    assert len(set(passed)) == len(passed) == 100


def test_a_team_that_moves_up_is_let_in_before_it_is_no_longer(engine: Engine) -> None:
    teams = tuple(team(f"team-{number}") for number in range(21))
    engine.run(lambda: AirflowAccess("airflow", replace(ARGS, teams=teams)))

    first, second, third = engine.all(MANAGED)
    assert first in engine.before(second)
    assert second in engine.before(third)
    assert len(json.loads(third.inputs["policy"])["Statement"]) == 3  # of one team


def test_in_kubernetes_the_role_is_a_group_and_nothing_more(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    entry = engine.one("aws:eks/accessEntry:AccessEntry").inputs
    assert entry["type"] == "STANDARD"
    assert entry["kubernetesGroups"] == ["mwaa-on-eks-test:airflow"]
    assert not engine.all("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")


def test_the_access_entry_is_made_anew_with_the_role(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    request = engine.one("aws:eks/accessEntry:AccessEntry").request
    assert request.replacement_trigger.string_value == "AROAEXAMPLE"
    assert request.deleteBeforeReplace


def test_airflow_reaches_the_kubernetes_api_and_nothing_else_of_the_cluster(
    engine: Engine,
) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    rule = engine.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").inputs
    assert (rule["securityGroupId"], rule["referencedSecurityGroupId"]) == (
        "sg-cluster",
        "sg-airflow",
    )
    assert (rule["ipProtocol"], rule["fromPort"], rule["toPort"]) == ("tcp", 443, 443)


def connections(engine: Engine) -> dict[str, Any]:
    """By secret name, as Airflow would read them."""
    names = {f"{secret.name}-id": secret.inputs["name"] for secret in engine.all(SECRET)}
    return {
        names[version.inputs["secretId"]]: json.loads(version.inputs["secretString"])
        for version in engine.all(VERSION)
    }


def test_each_team_has_a_connection_and_the_default_team_the_plain_one(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    found = connections(engine)
    assert set(found) == {
        f"airflow/mwaa-on-eks-test/connections/{name}"
        for name in ("emr_eks", "emr_eks_risk", "eks")
    }
    for name, of_team in (("emr_eks", "mwaa"), ("emr_eks_risk", "risk")):
        assert found[f"airflow/mwaa-on-eks-test/connections/{name}"] == {
            "conn_type": "generic",
            "extra": {
                "virtual_cluster_id": f"id-{of_team}",
                "job_role_arn": f"arn:role/{of_team}",
                "region_name": "us-west-2",
                "release_label": "emr-7.14.0-latest",
                "log_group_name": f"/jobs/{of_team}",
                "s3_uri": f"s3://jobs/{of_team}/",
                "event_log_dir": f"s3://jobs/{of_team}/spark-events/",
                "scripts_uri": "s3://jobs/job_scripts/",
                "driver_pod_template": "s3://jobs/pod_templates/driver.yaml",
                "executor_pod_template": "s3://jobs/pod_templates/executor.yaml",
            },
        }


def test_a_team_with_databases_learns_how_spark_finds_them(engine: Engine) -> None:
    tables = replace(team("risk"), metastore_client_factory="glue.Factory")
    engine.run(lambda: AirflowAccess("airflow", replace(ARGS, teams=(team("mwaa"), tables))))

    found = connections(engine)
    risk = found["airflow/mwaa-on-eks-test/connections/emr_eks_risk"]["extra"]
    assert risk["metastore_client_factory"] == "glue.Factory"
    mwaa = found["airflow/mwaa-on-eks-test/connections/emr_eks"]["extra"]
    assert "metastore_client_factory" not in mwaa


def test_the_pod_connection_names_the_cluster_and_the_namespace(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    assert connections(engine)["airflow/mwaa-on-eks-test/connections/eks"] == {
        "conn_type": "generic",
        "extra": {
            "cluster_name": "mwaa-on-eks-test",
            "namespace": "mwaa",
            "region_name": "us-west-2",
            "image_prefix": "",
        },
    }


def test_with_xcom_the_operators_own_connection_describes_a_sidecar_that_is_let_in(
    engine: Engine,
) -> None:
    engine.run(lambda: AirflowAccess("airflow", replace(ARGS, xcom_sidecar_image="alpine:3")))

    extra = connections(engine)["airflow/mwaa-on-eks-test/connections/kubernetes_default"]["extra"]
    assert extra["namespace"] == "mwaa"
    context = json.loads(extra["xcom_sidecar_container_security_context"])
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any("kube_config" in key or "in_cluster" in key for key in extra)  # EksPodOperator's


def test_pods_learn_where_their_images_are(engine: Engine) -> None:
    args = replace(ARGS, image_prefix="registry.example.com/", xcom_sidecar_image="alpine:3")
    engine.run(lambda: AirflowAccess("airflow", args))

    found = connections(engine)
    pod = found["airflow/mwaa-on-eks-test/connections/eks"]["extra"]
    assert pod["image_prefix"] == "registry.example.com/"
    operator = found["airflow/mwaa-on-eks-test/connections/kubernetes_default"]["extra"]
    assert operator["xcom_sidecar_container_image"] == "alpine:3"


def test_secrets_are_encrypted_with_the_key_and_their_names_are_free_at_once(
    engine: Engine,
) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    secrets = [secret.inputs for secret in engine.all(SECRET)]
    assert {secret["kmsKeyId"] for secret in secrets} == {KEY}
    assert {secret["recoveryWindowInDays"] for secret in secrets} == {0}


def test_who_uses_the_connection_ids_waits_for_their_values(engine: Engine) -> None:
    outputs = engine.run(lambda: AirflowAccess("airflow", ARGS))

    assert outputs["connection_ids"].inputs["value"] == ["eks", "emr_eks", "emr_eks_risk"]
    assert set(engine.all(VERSION)) <= engine.before(outputs["connection_ids"])


def test_two_accesses_do_not_collide_and_own_their_children(engine: Engine) -> None:
    engine.run(lambda: (AirflowAccess("one", ARGS), AirflowAccess("two", ARGS)))

    assert engine.tops() == {"one", "two"}
    assert len(engine.all("aws:eks/accessEntry:AccessEntry")) == 2


TOPIC = "arn:aws:sns:us-west-2:123456789012:mwaa-on-eks-test-alarms"


def test_dags_publish_to_the_topic_of_alarms_and_use_its_key_for_that_alone(
    engine: Engine,
) -> None:
    engine.run(lambda: AirflowAccess("airflow", replace(ARGS, alarm_topic_arn=TOPIC)))

    publish, key = (one for one in statements(engine) if one["Resource"] in (TOPIC, KEY))
    assert (publish["Action"], publish["Resource"]) == ("sns:Publish", TOPIC)
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert key["Condition"] == {
        "StringEquals": {
            "kms:EncryptionContext:aws:sns:topicArn": TOPIC,
            "kms:ViaService": "sns.us-west-2.amazonaws.com",
        }
    }
    (secret,) = (one for one in engine.all(VERSION) if one.name == "airflow-alarms")
    assert json.loads(secret.inputs["secretString"])["extra"] == {
        "topic_arn": TOPIC,
        "region_name": "us-west-2",
    }


def test_without_a_topic_there_is_no_connection_for_alarms(engine: Engine) -> None:
    engine.run(lambda: AirflowAccess("airflow", ARGS))

    assert "airflow-alarms" not in {one.name for one in engine.all(VERSION)}
    assert "sns:Publish" not in {str(one["Action"]) for one in statements(engine)}
