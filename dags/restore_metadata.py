"""
### A backup's return

Makes the variables, pools and connections of a document that `backup_metadata` has written, in this
environment: those that are not there. Nothing that is there is changed; the log of the task says of
each what became of it.

Connections come back without their passwords, and variables that Airflow takes for secrets not at
all: the document does not have them. Run history stays in the document, since Airflow's REST API
makes no runs of the past. DAGs stay paused or not, as they are; the log names those that were not.

Airflow reads its own DAG bucket only: copy a document of another environment there first.
"""

import json
from datetime import UTC, datetime, timedelta

import boto3
from botocore.config import Config
from shared.airflow_metadata import RestApi, restore
from shared.alarms import tell_alarms

try:
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param
    from airflow.operators.python import PythonOperator


def setting(key: str) -> str:
    """Return a template that reads one setting of the connection as the task runs."""
    return "{{ conn.airflow_backup.extra_dejson." + key + " }}"


def make(environment: str, region: str, document: str) -> None:
    """Make what is not there, and say so."""
    bucket, _, key = document.removeprefix("s3://").partition("/")
    s3 = boto3.client("s3", region_name=region)
    found = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    patient = Config(retries={"mode": "standard", "max_attempts": 8})
    api = RestApi(boto3.client("mwaa", region_name=region, config=patient), environment)
    for line in restore(api, found):
        print(line)


with DAG(
    dag_id="restore_metadata",
    description="Make the variables, pools and connections of a backup that are not there",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    default_args={
        "owner": "platform",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "on_failure_callback": tell_alarms,
    },
    params={
        "document": Param(
            type="string",
            pattern="^s3://[^/]+/.+[.]json$",
            title="Document",
            description="S3 URI of a document that backup_metadata has written.",
        )
    },
    tags=["metadata", "operations"],
):
    PythonOperator(
        task_id="make",
        execution_timeout=timedelta(hours=1),
        python_callable=make,
        op_kwargs={
            "environment": setting("environment_name"),
            "region": setting("region_name"),
            "document": "{{ params.document }}",
        },
    )
