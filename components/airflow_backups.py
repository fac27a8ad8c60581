"""What a backup of Airflow's metadata by a DAG takes."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.airflow_connection import airflow_connection
from components.aws_account import AwsAccount

BACKUPS = "metadata-backups/"
"""Beside dags/: Airflow loads nothing from there."""
AIRFLOW_ROLE = "Op"
"""The least of Airflow's roles that reads and makes variables and connections."""


@dataclass(frozen=True, kw_only=True)
class AirflowBackupsArgs:
    environment_name: str
    execution_role_name: Input[str]
    bucket_name: Input[str]
    bucket_arn: Input[str]
    """The DAG bucket, which the execution role reads."""
    secrets_prefix: str
    kms_key_arn: Input[str]
    account: AwsAccount


class AirflowBackups(pulumi.ComponentResource):
    """DAGs can write backups of Airflow's metadata into the DAG bucket, and restore them."""

    def __init__(
        self, name: str, args: AirflowBackupsArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:AirflowBackups", name, None, opts)
        aws.iam.RolePolicy(
            name,
            role=args.execution_role_name,
            policy=Output.json_dumps(_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        airflow_connection(
            f"{name}-airflow_backup",
            "airflow_backup",
            {
                "environment_name": args.environment_name,
                "region_name": args.account.region,
                "s3_uri": Output.concat("s3://", args.bucket_name, "/", BACKUPS),
            },
            secrets_prefix=args.secrets_prefix,
            kms_key_arn=args.kms_key_arn,
            parent=self,
        )
        self.register_outputs({})


def _policy(args: AirflowBackupsArgs) -> dict[str, object]:
    statements: list[dict[str, object]] = [
        {
            # Tasks of Airflow 3 reach the metadata by its REST API only. All DAGs share the
            # execution role: each may then change connections and variables and start any DAG.
            "Sid": "AirflowItself",
            "Action": "airflow:InvokeRestApi",
            "Resource": args.account.arn("airflow", f"role/{args.environment_name}/{AIRFLOW_ROLE}"),
        },
        {
            # Nowhere else in the bucket: a DAG must not be able to rewrite DAGs. The execution
            # role reads all of the bucket and uses its key already.
            "Sid": "Backups",
            "Action": "s3:PutObject",
            "Resource": Output.concat(args.bucket_arn, f"/{BACKUPS}*"),
            "Condition": {"StringEquals": {"aws:ResourceAccount": args.account.id}},
        },
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", **statement} for statement in statements],
    }
