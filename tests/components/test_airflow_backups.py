"""Decisions of AirflowBackups."""

import json

import pulumi

from components.airflow_backups import AirflowBackups, AirflowBackupsArgs
from components.dag_folder import DAG_FOLDER
from tests.components.conftest import ACCOUNT, Engine

BUCKET = "arn:aws:s3:::mwaa-on-eks-test-dags-123456789012"
ARGS = AirflowBackupsArgs(
    environment_name="mwaa-on-eks-test",
    execution_role_name="execution-1a2b3c4",
    bucket_name="mwaa-on-eks-test-dags-123456789012",
    bucket_arn=BUCKET,
    secrets_prefix="airflow/mwaa-on-eks-test",
    kms_key_arn="arn:aws:kms:us-west-2:123456789012:key/1",
    account=ACCOUNT,
)


def run(engine: Engine) -> None:
    engine.run(lambda: AirflowBackups("airflow-backups", ARGS, pulumi.ResourceOptions()))


def test_airflow_asks_itself_as_op_and_writes_beside_the_dags_only(engine: Engine) -> None:
    run(engine)

    policy = engine.one("aws:iam/rolePolicy:RolePolicy").inputs
    assert policy["role"] == "execution-1a2b3c4"
    ask, write = json.loads(policy["policy"])["Statement"]
    assert (ask["Action"], ask["Resource"]) == (
        "airflow:InvokeRestApi",
        "arn:aws:airflow:us-west-2:123456789012:role/mwaa-on-eks-test/Op",
    )
    assert (write["Action"], write["Resource"]) == (
        "s3:PutObject",
        f"{BUCKET}/metadata-backups/*",
    )
    assert write["Condition"] == {"StringEquals": {"aws:ResourceAccount": "123456789012"}}
    assert not "metadata-backups/".startswith(DAG_FOLDER)


def test_the_dags_find_environment_region_and_place_in_a_connection(engine: Engine) -> None:
    run(engine)

    secret = engine.one("aws:secretsmanager/secret:Secret").inputs
    assert secret["name"] == "airflow/mwaa-on-eks-test/connections/airflow_backup"
    assert secret["kmsKeyId"] == ARGS.kms_key_arn
    version = engine.one("aws:secretsmanager/secretVersion:SecretVersion").inputs
    assert json.loads(version["secretString"])["extra"] == {
        "environment_name": "mwaa-on-eks-test",
        "region_name": "us-west-2",
        "s3_uri": "s3://mwaa-on-eks-test-dags-123456789012/metadata-backups/",
    }
