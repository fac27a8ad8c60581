"""
### A backup of Airflow's metadata

Writes what Airflow holds beside its DAGs into a JSON document in S3, once a day: variables, pools,
connections, which DAGs are paused, and the runs and task instances of the last `history_days`. The
log of the task names the document; the DAG `restore_metadata` reads it.

**Not in it** is what Airflow's REST API does not tell: passwords of connections, and what it takes
for a secret and masks, in `extra` and, from Airflow 3 on, in variables. XComs and logs are not in
it either.

It needs the setting `airflow.metadataBackups`, with which `pulumi up` makes the connection
`airflow_backup` and lets Airflow call its own REST API.
"""

import json
from datetime import UTC, datetime, timedelta

import boto3
from botocore.config import Config
from shared.airflow_metadata import RestApi, backup
from shared.alarms import tell_alarms

try:
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG, Param, Variable

    read_variable = Variable.get
except ImportError:  # Airflow 2, whose REST API tells variables as they are
    from airflow import DAG
    from airflow.models.param import Param
    from airflow.operators.python import PythonOperator

    read_variable = None


def setting(key: str) -> str:
    """Return a template that reads one setting of the connection as the task runs."""
    return "{{ conn.airflow_backup.extra_dejson." + key + " }}"


def write(environment: str, region: str, s3_uri: str, history_days: str) -> str:
    """Write the document and return where it is."""
    # MWAA ends a call after 10 seconds. Many calls at once are throttled.
    patient = Config(retries={"mode": "standard", "max_attempts": 8})
    now = datetime.now(UTC)
    document = backup(
        RestApi(boto3.client("mwaa", region_name=region, config=patient), environment),
        now=now,
        history_days=int(history_days),
        read_variable=read_variable,
    )
    bucket, _, prefix = s3_uri.removeprefix("s3://").partition("/")
    key = f"{prefix}{environment}-{now:%Y-%m-%dT%H-%M-%SZ}.json"
    boto3.client("s3", region_name=region).put_object(
        Bucket=bucket,
        Key=key,
        Body=json.dumps({"environment": environment, **document}).encode(),
        ContentType="application/json",
    )
    kinds = [f"{len(items)} {kind}" for kind, items in document.items() if isinstance(items, list)]
    print(f"s3://{bucket}/{key} has {', '.join(kinds)}")
    return f"s3://{bucket}/{key}"


with DAG(
    dag_id="backup_metadata",
    description="Write Airflow's variables, pools, connections and run history to S3",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    dagrun_timeout=timedelta(hours=3),
    default_args={
        "owner": "platform",
        "retries": 1,
        "retry_delay": timedelta(minutes=5),
        "on_failure_callback": tell_alarms,
    },
    params={
        "history_days": Param(
            7,
            type="integer",
            minimum=0,
            maximum=365,
            title="Days of history",
            description="Runs and task instances that have changed in so many days are written.",
        )
    },
    tags=["metadata", "operations"],
):
    PythonOperator(
        task_id="write",
        execution_timeout=timedelta(hours=1),
        python_callable=write,
        op_kwargs={
            "environment": setting("environment_name"),
            "region": setting("region_name"),
            "s3_uri": setting("s3_uri"),
            "history_days": "{{ params.history_days }}",
        },
    )
