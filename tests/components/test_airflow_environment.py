"""Decisions of AirflowEnvironment."""

import json
from dataclasses import replace
from typing import Any

import pytest

from components.airflow_environment import AirflowEnvironment, AirflowEnvironmentArgs
from components.capacity import EnvironmentCapacity
from components.environment_files import EnvironmentFiles, PinnedFile
from tests.components.conftest import ACCOUNT, Engine

BUCKET = "arn:aws:s3:::mwaa-on-eks-test-dags-123456789012"
KEY = "arn:aws:kms:us-west-2:123456789012:key/1"
ARGS = AirflowEnvironmentArgs(
    environment_name="mwaa-on-eks-test",
    airflow_version="3.3.1",
    capacity=EnvironmentCapacity(
        environment_class="mw1.medium",
        min_workers=1,
        max_workers=10,
        schedulers=2,
        min_webservers=2,
        max_webservers=2,
    ),
    webserver_access_mode="PUBLIC_ONLY",
    weekly_maintenance_window=None,
    log_level="INFO",
    log_retention_days=365,
    egress="all",
    metric_namespaces=(),
    options={},
    vpc_id="vpc-1",
    subnet_ids=["subnet-a", "subnet-b", "subnet-c"],
    bucket_arn=BUCKET,
    kms_key_arn=KEY,
    files=EnvironmentFiles(
        requirements=PinnedFile("requirements.txt", "version-7"),
        plugins=PinnedFile("plugins.zip", "version-8"),
        startup_script=PinnedFile("startup.sh", "version-9"),
    ),
    asleep=False,
    secrets_prefix="airflow/mwaa-on-eks-test",
    account=ACCOUNT,
)
ENVIRONMENT = "aws:mwaa/environment:Environment"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ENVIRONMENT_ARN = "arn:aws:airflow:us-west-2:123456789012:environment/mwaa-on-eks-test"


@pytest.fixture
def mwaa(engine: Engine) -> Engine:
    engine.outputs[ENVIRONMENT] = {"webserverUrl": "1234.c2.us-west-2.airflow.amazonaws.com"}
    engine.outputs["aws:iam/role:Role"] = {"uniqueId": "AROAEXAMPLE"}
    return engine


def statements(engine: Engine) -> dict[str, dict[str, Any]]:
    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_only_mwaa_may_assume_the_role_and_only_for_this_environment(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    role = mwaa.one("aws:iam/role:Role").inputs
    (trust,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert trust["Principal"]["Service"] == ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": ENVIRONMENT_ARN},
    }
    assert "name" not in role  # MWAA does not work with a name that was used before


def test_dags_can_read_the_bucket_and_never_write_it(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    of_s3 = [s for s in statements(mwaa).values() if "s3:" in json.dumps(s["Action"])]
    allowed = {
        (statement["Resource"], action)
        for statement in of_s3
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
        if action.startswith("s3:")
    }
    assert allowed == {
        (BUCKET, "s3:GetBucket*"),
        (BUCKET, "s3:List*"),
        (f"{BUCKET}/*", "s3:GetObject*"),
        ("*", "s3:GetAccountPublicAccessBlock"),
    }
    owned = {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    assert all(s["Condition"] == owned for s in of_s3 if s["Resource"] != "*")


def test_nothing_is_allowed_everywhere_but_what_has_no_resource(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    found = statements(mwaa)
    everywhere = found.pop("AccountWide")
    assert everywhere["Action"] == ["logs:DescribeLogGroups", "s3:GetAccountPublicAccessBlock"]
    metrics = found.pop("CloudWatchMetrics")
    assert metrics["Action"] == "cloudwatch:PutMetricData"
    assert metrics["Condition"] == {"StringLike": {"cloudwatch:namespace": ["AmazonMWAA"]}}
    assert {sid: statement["Resource"] for sid, statement in found.items()} == {
        "Metrics": ENVIRONMENT_ARN,
        "DagBucket": BUCKET,
        "DagObjects": f"{BUCKET}/*",
        "Logs": [
            f"arn:aws:logs:us-west-2:123456789012:log-group:airflow-mwaa-on-eks-test-{group}"
            for kind in ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker")
            for group in (kind, f"{kind}:*")
        ],
        "Queue": "arn:aws:sqs:us-west-2:*:airflow-celery-*",
        "Key": KEY,
        "SecretsKey": KEY,
        "Secrets": "arn:aws:secretsmanager:us-west-2:123456789012:secret:"
        "airflow/mwaa-on-eks-test/*",
    }
    assert not any("Not" in key for statement in found.values() for key in statement)


def test_dags_write_metrics_of_their_own_where_they_are_told(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", replace(ARGS, metric_namespaces=("Sales",))))

    condition = statements(mwaa)["CloudWatchMetrics"]["Condition"]
    assert condition == {"StringLike": {"cloudwatch:namespace": ["AmazonMWAA", "Sales"]}}


def test_the_key_is_used_only_through_the_services_that_need_it(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    def through(*services: str) -> dict[str, object]:
        hosts = [f"{service}.us-west-2.amazonaws.com" for service in services]
        return {"StringEquals": {"kms:ViaService": hosts}}

    found = statements(mwaa)
    assert found["Key"]["Condition"] == through("s3", "sqs")
    assert found["SecretsKey"]["Condition"] == through("secretsmanager")
    assert found["SecretsKey"]["Action"] == "kms:Decrypt"


def test_the_environment_takes_two_subnets(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    network = mwaa.one(ENVIRONMENT).inputs["networkConfiguration"]
    assert network["subnetIds"] == ["subnet-a", "subnet-b"]


def test_the_security_group_lets_only_itself_in_and_everything_out(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    group = mwaa.one("aws:ec2/securityGroup:SecurityGroup")
    rule = mwaa.one(INGRESS).inputs
    out = mwaa.one("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule").inputs
    assert not {"ingress", "egress"} & group.inputs.keys()
    assert rule["securityGroupId"] == rule["referencedSecurityGroupId"] == f"{group.name}-id"
    assert not {"cidrIpv4", "cidrIpv6", "prefixListId"} & rule.keys()
    assert (out["cidrIpv4"], out["ipProtocol"]) == ("0.0.0.0/0", "-1")


def test_told_so_it_calls_itself_and_https_alone(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", replace(ARGS, egress="https")))

    group = mwaa.one("aws:ec2/securityGroup:SecurityGroup")
    itself, out = (
        one.inputs
        for one in sorted(
            mwaa.all("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"),
            key=lambda rule: rule.name.endswith("-out"),
        )
    )
    assert (itself["referencedSecurityGroupId"], itself["ipProtocol"]) == (f"{group.name}-id", "-1")
    assert (out["cidrIpv4"], out["ipProtocol"]) == ("0.0.0.0/0", "tcp")
    assert (out["fromPort"], out["toPort"]) == (443, 443)


def test_every_kind_of_log_has_a_group_with_retention_and_key(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    groups = [group.inputs for group in mwaa.all("aws:cloudwatch/logGroup:LogGroup")]
    assert {group["name"] for group in groups} == {
        f"airflow-mwaa-on-eks-test-{kind}"
        for kind in ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker")
    }
    assert {(group["retentionInDays"], group["kmsKeyId"]) for group in groups} == {(365, KEY)}
    logging = mwaa.one(ENVIRONMENT).inputs["loggingConfiguration"]
    assert len(logging) == 5
    assert all(log == {"enabled": True, "logLevel": "INFO"} for log in logging.values())


def test_the_environment_comes_last_and_goes_first(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    needed = {
        resource
        for resource in mwaa.recorded.values()
        if resource.typ.startswith("aws:") and resource.typ != ENVIRONMENT
    }
    assert len(needed) >= 9  # log groups, the role and its policy, the group and its rules
    assert needed <= mwaa.before(mwaa.one(ENVIRONMENT))


def test_storage_is_encrypted_and_versions_are_pinned(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    environment = mwaa.one(ENVIRONMENT)
    assert environment.inputs["kmsKey"] == KEY
    assert environment.inputs["airflowVersion"] == "3.3.1"
    pinned = {key: value for key, value in environment.inputs.items() if "S3" in key}
    assert pinned == {
        "dagS3Path": "dags",
        "requirementsS3Path": "requirements.txt",
        "requirementsS3ObjectVersion": "version-7",
        "pluginsS3Path": "plugins.zip",
        "pluginsS3ObjectVersion": "version-8",
        "startupScriptS3Path": "startup.sh",
        "startupScriptS3ObjectVersion": "version-9",
    }
    assert not environment.request.ignoreChanges


def test_what_a_pipeline_rolled_out_stays(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", replace(ARGS, files=None)))

    environment = mwaa.one(ENVIRONMENT)
    assert {key for key in environment.inputs if "S3" in key} == {"dagS3Path"}
    assert set(environment.request.ignoreChanges) == {
        f"{name}S3{what}"
        for name in ("requirements", "plugins", "startupScript")
        for what in ("Path", "ObjectVersion")
    }


def test_connections_come_from_secrets_that_the_role_may_read(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    options = mwaa.one(ENVIRONMENT).inputs["airflowConfigurationOptions"]
    arguments = json.loads(options["secrets.backend_kwargs"])
    readable = statements(mwaa)["Secrets"]["Resource"].split(":secret:")[1].removesuffix("*")
    assert arguments["connections_prefix"].startswith(readable)
    assert arguments["variables_prefix"].startswith(readable)
    assert arguments["connections_lookup_pattern"] == "^(?!aws_default$).*$"


def test_options_of_the_stack_are_added_and_win(mwaa: Engine) -> None:
    options = {"core.parallelism": "64", "secrets.backend": "their.own.Backend"}
    mwaa.run(lambda: AirflowEnvironment("airflow", replace(ARGS, options=options)))

    configured = mwaa.one(ENVIRONMENT).inputs["airflowConfigurationOptions"]
    assert options.items() <= configured.items()
    assert "secrets.backend_kwargs" in configured


@pytest.mark.parametrize("answer", ["airflow.example", "https://airflow.example"])
def test_the_web_server_is_given_as_a_link(mwaa: Engine, answer: str) -> None:
    mwaa.outputs[ENVIRONMENT] = {"webserverUrl": answer}
    outputs = mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    assert outputs["webserver_url"].inputs["value"] == "https://airflow.example"


def test_what_joins_it_to_the_cluster_need_not_wait_for_the_environment(mwaa: Engine) -> None:
    outputs = mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    for output in ("execution_role_name", "execution_role_unique_id", "security_group_id"):
        assert mwaa.one(ENVIRONMENT) not in mwaa.before(outputs[output])


def test_two_environments_do_not_collide_and_own_their_children(mwaa: Engine) -> None:
    mwaa.run(lambda: (AirflowEnvironment("one", ARGS), AirflowEnvironment("two", ARGS)))

    assert mwaa.tops() == {"one", "two"}
    assert len(mwaa.all(ENVIRONMENT)) == 2


def test_workers_are_replaced_in_the_way_that_creation_and_every_update_know(mwaa: Engine) -> None:
    mwaa.run(lambda: AirflowEnvironment("airflow", ARGS))

    # CreateEnvironment has no such member, and an update gets it only when it changes itself.
    assert "workerReplacementStrategy" not in mwaa.one(ENVIRONMENT).inputs
