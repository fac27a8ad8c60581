"""
### Files of a team, added up with Spark

Runs a PySpark script of the platform, `spark/jobs/sales_report.py`, on CSV files below the team's
prefix of the job bucket, `input/sales/`: it adds up what was sold in each country, and writes that
as Parquet to `output/sales_by_country/`. Where there are no files yet, the job puts an example
there, so that this runs as it is. What it has written is at the end of the driver's `stdout`.

To have a script of your own run, put it below the team's prefix and name it as `entryPoint`, or
into `spark/jobs/` and name it as here. A job reads and writes below its team's prefix.

Places come from the connection named by the parameter `connection`, as with `emr_eks_pi_job`.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.amazon.aws.operators.emr import EmrContainerOperator
from shared.alarms import tell_alarms

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param


def setting(key: str) -> str:
    """Return a template that reads one setting of the team's connection as the task runs."""
    return "{{ conn[params.connection].extra_dejson." + key + " }}"


with DAG(
    dag_id="emr_eks_sales_report",
    description="Add up CSV files of a team with Spark on EMR on EKS",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    dagrun_timeout=timedelta(hours=2),
    max_active_runs=1,  # each replaces what the one before has written
    default_args={
        "owner": "platform",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "on_failure_callback": tell_alarms,
    },
    params={
        "connection": Param(
            "emr_eks",
            type="string",
            pattern="^emr_eks(_[a-z][a-z0-9-]*)?$",
            title="Connection",
            description="Whose virtual cluster runs the job: emr_eks, or emr_eks_<team>.",
        )
    },
    tags=["emr", "spark", "example"],
):
    EmrContainerOperator(
        task_id="add_up_sales",
        execution_timeout=timedelta(minutes=45),
        name="emr_eks_sales_report",
        virtual_cluster_id=setting("virtual_cluster_id"),
        execution_role_arn=setting("job_role_arn"),
        release_label=setting("release_label"),
        region_name=setting("region_name"),
        aws_conn_id=None,  # the environment's own identity: no look-up of aws_default
        job_driver={
            "sparkSubmitJobDriver": {
                "entryPoint": setting("scripts_uri") + "sales_report.py",
                "entryPointArguments": [
                    setting("s3_uri") + "input/sales/",
                    setting("s3_uri") + "output/sales_by_country/",
                ],
            }
        },
        configuration_overrides={
            "applicationConfiguration": [
                {
                    "classification": "spark-defaults",
                    "properties": {
                        "spark.driver.cores": "1",
                        "spark.driver.memory": "1g",
                        "spark.executor.instances": "1",
                        "spark.executor.cores": "1",
                        "spark.executor.memory": "1g",
                        # What a history server shows.
                        "spark.eventLog.enabled": "true",
                        "spark.eventLog.dir": setting("event_log_dir"),
                    },
                }
            ],
            "monitoringConfiguration": {
                "cloudWatchMonitoringConfiguration": {
                    "logGroupName": setting("log_group_name"),
                    "logStreamNamePrefix": "emr_eks_sales_report",
                },
                "s3MonitoringConfiguration": {"logUri": setting("s3_uri") + "logs/"},
            },
        },
        poll_interval=10,
        wait_for_completion=True,
        deferrable=False,  # a killed task cancels the job from within
    )
