"""A team's Spark applications, looked at after they have ended."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi_kubernetes as k8s
from pulumi import ComponentResource, Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.pod_service_account import PodServiceAccount, PodServiceAccountArgs

NAME = "spark-history"
PORT = 18080

# EMR's image: user hadoop, whom it names and so Kubernetes cannot tell from root.
_USER, _GROUP = 999, 1000


@dataclass(frozen=True, kw_only=True)
class HistoryServerArgs:
    """What a HistoryServer is made from."""

    namespace: Input[str]
    image: str
    """Of the release that wrote the logs, or of a later one."""
    event_log_dir: Input[str]
    """As Hadoop names it, with a slash at its end."""
    bucket_arn: Input[str]
    kms_key_arn: Input[str]
    cluster_name: Input[str]
    cluster_arn: Input[str]
    account: AwsAccount


class HistoryServer(ComponentResource):
    """Spark's own pages of a team's applications, for who may forward ports of its namespace.

    Spark's server reads one directory and none below it, and knows no users: with one for all
    teams, each would see the others' applications.
    """

    def __init__(
        self, name: str, args: HistoryServerArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:HistoryServer", name, None, opts)
        identity = PodServiceAccount(
            name,
            PodServiceAccountArgs(
                service_account=NAME,
                namespace=args.namespace,
                policy_arns=(),
                policy=Output.json_dumps(_policy(args)),
                cluster_name=args.cluster_name,
                cluster_arn=args.cluster_arn,
                account=args.account,
            ),
            opts=ResourceOptions(parent=self),
        )
        labels = {"app.kubernetes.io/name": NAME}
        k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata={"name": NAME, "namespace": args.namespace, "labels": labels},
            spec={
                "replicas": 1,
                # It holds nothing, and a second one at a time would ask for more of the quota.
                "strategy": {"type": "Recreate"},
                "selector": {"match_labels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod(args)},
            },
            # Credentials are put into a pod when it is made, if there is an association by then.
            opts=ResourceOptions(parent=self, depends_on=[identity]),
        )
        self.register_outputs({})


def _pod(args: HistoryServerArgs) -> k8s.core.v1.PodSpecArgsDict:
    return {
        "service_account_name": NAME,
        "automount_service_account_token": False,
        "node_selector": {"kubernetes.io/os": "linux"},
        "security_context": {
            "run_as_non_root": True,
            "run_as_user": _USER,
            "run_as_group": _GROUP,
            "fs_group": _GROUP,
            "seccomp_profile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": NAME,
                "image": args.image,
                # As a driver, and not by spark-class: so it finds S3 as the image has it for jobs,
                # whose class path is a setting of drivers.
                "command": [
                    "/usr/lib/spark/bin/spark-submit",
                    "--class=org.apache.spark.deploy.history.HistoryServer",
                    "--master=local[1]",
                    "--driver-memory=1g",
                    # It makes this directory in any case, by default in the home of the user.
                    "--conf=spark.jars.ivy=/tmp/.ivy2",
                    Output.concat("--conf=spark.history.fs.logDirectory=", args.event_log_dir),
                    f"--conf=spark.history.ui.port={PORT}",
                    # How many applications' pages it keeps in memory.
                    "--conf=spark.history.retainedApplications=10",
                    "spark-internal",
                ],
                "env": [{"name": "AWS_REGION", "value": args.account.region}],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "1536Mi", "ephemeral-storage": "1Gi"},
                    "limits": {"memory": "1536Mi", "ephemeral-storage": "1Gi"},
                },
                "ports": [{"name": "http", "container_port": PORT}],
                "readiness_probe": {
                    "http_get": {"path": "/api/v1/version", "port": "http"},
                    "period_seconds": 5,
                },
                "liveness_probe": {
                    "http_get": {"path": "/api/v1/version", "port": "http"},
                    "initial_delay_seconds": 60,
                    "timeout_seconds": 5,
                },
                "security_context": {
                    "allow_privilege_escalation": False,
                    "read_only_root_filesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108
            }
        ],
        "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "512Mi"}}],
    }


def _policy(args: HistoryServerArgs) -> dict[str, object]:
    owned = {"aws:ResourceAccount": args.account.id}
    # s3://<bucket>/<prefix>/
    prefix = Output.from_input(args.event_log_dir).apply(lambda uri: uri.split("/", 3)[3][:-1])
    logs = Output.concat(args.bucket_arn, "/", prefix)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                # The directory too: Hadoop asks first whether it is an object.
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": [logs, Output.concat(logs, "/*")],
                "Condition": {"StringEquals": owned},
            },
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": args.bucket_arn,
                "Condition": {
                    "StringEquals": owned,
                    "StringLike": {"s3:prefix": [prefix, Output.concat(prefix, "/*")]},
                },
            },
            {
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": args.kms_key_arn,
                "Condition": {
                    "StringEquals": {"kms:ViaService": f"s3.{args.account.region}.amazonaws.com"}
                },
            },
        ],
    }
