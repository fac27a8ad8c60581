"""
### A Spark job through EMR on EKS

Submits Spark's own example that computes pi, waits for it, and fails with EMR's reason if it fails.
A task that is killed or runs into its timeout cancels the job.

Virtual cluster, job execution role, release, pod templates and places for logs come from the
connection named by the parameter `connection`: `emr_eks` is the default team's, `emr_eks_<team>`
that of a further team. `pulumi up` has made them. By the templates, executors run on spot capacity
where the platform has some, and the driver never does.

The job's log, with the value of pi in the driver's `stdout`, is in the CloudWatch log group and
below the S3 prefix of the team, as are Spark's events, by which its pages can be seen afterwards.
While the driver runs, whose pod has the id of the job run in its name, as the task's log tells it:
`kubectl port-forward --namespace <the team's> spark-<job run>-driver 4040`.
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
    dag_id="emr_eks_pi_job",
    description="Compute pi with Spark on EMR on EKS",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    dagrun_timeout=timedelta(hours=2),
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
        task_id="compute_pi",
        execution_timeout=timedelta(minutes=45),
        name="emr_eks_pi_job",
        virtual_cluster_id=setting("virtual_cluster_id"),
        execution_role_arn=setting("job_role_arn"),
        release_label=setting("release_label"),
        region_name=setting("region_name"),
        aws_conn_id=None,  # the environment's own identity: no look-up of aws_default
        job_driver={
            "sparkSubmitJobDriver": {
                "entryPoint": "local:///usr/lib/spark/examples/src/main/python/pi.py",
                "entryPointArguments": ["10"],  # partitions
            }
        },
        configuration_overrides={
            "applicationConfiguration": [
                {
                    "classification": "spark-defaults",
                    "properties": {
                        "spark.driver.cores": "1",
                        "spark.driver.memory": "1g",
                        "spark.executor.instances": "2",
                        "spark.executor.cores": "1",
                        "spark.executor.memory": "1g",
                        # What a history server shows.
                        "spark.eventLog.enabled": "true",
                        "spark.eventLog.dir": setting("event_log_dir"),
                        "spark.kubernetes.driver.podTemplateFile": setting("driver_pod_template"),
                        "spark.kubernetes.executor.podTemplateFile": setting(
                            "executor_pod_template"
                        ),
                    },
                }
            ],
            "monitoringConfiguration": {
                "cloudWatchMonitoringConfiguration": {
                    "logGroupName": setting("log_group_name"),
                    "logStreamNamePrefix": "emr_eks_pi_job",
                },
                "s3MonitoringConfiguration": {"logUri": setting("s3_uri") + "logs/"},
            },
        },
        poll_interval=10,
        wait_for_completion=True,
        deferrable=False,  # a killed task cancels the job from within
    )
