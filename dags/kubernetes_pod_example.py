"""
### A pod on the cluster

Runs a pod in the EKS cluster and shows what it prints in the log of the task. The pod is deleted
when it has ended, and when the task is killed.

Cluster and namespace come from the connection `eks`, which `pulumi up` has made. There Airflow may
create and delete pods, in this namespace only. The namespace admits pods that meet Pod Security's
`restricted` standard, as this one does: take its `security_context` and
`container_security_context` over into pods of your own.

The image comes from Amazon's public registry, or from the copies that `cluster.imageRegistry`
names: the connection's `image_prefix` says which. Write it before the public images of your own
pods too.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.amazon.aws.operators.eks import EksPodOperator
from kubernetes.client import models as k8s
from shared.alarms import tell_alarms

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

SCRIPT = """\
echo "Hello from $HOSTNAME, a pod that Airflow has started"
for step in 1 2 3; do
  echo "step $step of 3"
  sleep 1
done
"""

with DAG(
    dag_id="kubernetes_pod_example",
    description="Run a pod on the EKS cluster",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    dagrun_timeout=timedelta(hours=1),
    default_args={
        "owner": "platform",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "on_failure_callback": tell_alarms,
    },
    tags=["eks", "example"],
):
    EksPodOperator(
        task_id="run_pod",
        execution_timeout=timedelta(minutes=15),
        cluster_name="{{ conn.eks.extra_dejson.cluster_name }}",
        region="{{ conn.eks.extra_dejson.region_name }}",
        namespace="{{ conn.eks.extra_dejson.namespace }}",
        # The environment's own identity: no look-up of aws_default and kubernetes_default.
        aws_conn_id=None,
        kubernetes_conn_id=None,
        pod_name="mwaa-pod-test",
        image=(
            "{{ conn.eks.extra_dejson.image_prefix }}public.ecr.aws/docker/library/busybox:1.37.0"
        ),
        cmds=["sh", "-c"],
        arguments=[SCRIPT],
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "100m", "memory": "64Mi"},
            limits={"cpu": "500m", "memory": "128Mi"},
        ),
        automount_service_account_token=False,
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=65534,  # the image's own user is root
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        get_logs=True,
        log_events_on_failure=True,
        startup_timeout_seconds=600,  # the cluster may have to add a node
        on_finish_action="delete_pod",
        # With amazon 9.22 and older (Airflow 2.11) a triggerer looks for the credentials in a
        # temporary file of the worker (apache/airflow issue 61735).
        deferrable=False,
    )
