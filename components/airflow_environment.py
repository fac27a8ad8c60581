"""Amazon MWAA: the managed Airflow that runs the DAGs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.capacity import EnvironmentCapacity
from components.dag_folder import DAG_FOLDER
from components.environment_files import EnvironmentFiles

# AWS names an environment's log groups airflow-<environment>-<kind>.
LOG_KINDS = ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker")

_ROLLED_OUT_BY_PIPELINE = [
    f"{name}_s3_{what}"
    for name in ("requirements", "plugins", "startup_script")
    for what in ("path", "object_version")
]

# "Security in your VPC on Amazon MWAA" wants all of it open.
_PORTS: Mapping[str, Mapping[str, Any]] = {
    "all": {"ip_protocol": "-1"},
    "https": {"ip_protocol": "tcp", "from_port": 443, "to_port": 443},
}


@dataclass(frozen=True, kw_only=True)
class AirflowEnvironmentArgs:
    environment_name: str
    airflow_version: str
    capacity: EnvironmentCapacity
    webserver_access_mode: Literal["PRIVATE_ONLY", "PUBLIC_ONLY", "PUBLIC_AND_PRIVATE"]
    weekly_maintenance_window: str | None
    """`DAY:HH:MM` in UTC, on the half-hour; None leaves the choice to AWS."""
    log_level: str
    log_retention_days: int
    metric_namespaces: Sequence[str]
    """Where in CloudWatch DAGs may write metrics, besides where Airflow does."""
    options: Mapping[str, str]
    """Airflow configuration, as `section.key`; it wins over what is set here."""
    vpc_id: Input[str]
    subnet_ids: Sequence[Input[str]]
    """Private subnets in different zones; MWAA takes exactly two, here the first two."""
    egress: Literal["all", "https"]
    """What the environment may call, besides itself."""
    bucket_arn: Input[str]
    """Must wait for the bucket's settings and its objects: MWAA checks them as it is created."""
    kms_key_arn: Input[str]
    """The key of the bucket: MWAA demands that both are the same."""
    files: EnvironmentFiles | None
    """None where a pipeline of its own rolls them out."""
    asleep: bool
    """Leave out the environment itself, and keep all that it is made of."""
    secrets_prefix: str
    """Secrets under it hold Airflow's connections and variables."""
    account: AwsAccount


class AirflowEnvironment(pulumi.ComponentResource):
    """An Airflow environment with its execution role, security group and log groups.

    What the DAGs may do beyond running is granted to the execution role from outside, so that
    nothing here waits for the cluster.
    """

    name: Output[str]
    """Known once the environment is there."""
    arn: Output[str]
    webserver_url: Output[str | None]
    """None while there is no environment."""
    execution_role_name: Output[str]
    execution_role_arn: Output[str]
    execution_role_unique_id: Output[str]
    security_group_id: Output[str]

    def __init__(
        self, name: str, args: AirflowEnvironmentArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:AirflowEnvironment", name, None, opts)
        log_groups = [
            aws.cloudwatch.LogGroup(
                f"{name}-{kind}",
                name=group,
                retention_in_days=args.log_retention_days,
                kms_key_id=args.kms_key_arn,
                opts=ResourceOptions(parent=self),
            )
            for kind, group in zip(LOG_KINDS, _log_groups(args), strict=True)
        ]
        # Never a name of our own: MWAA does not work with a role that was deleted and made anew
        # under the same name.
        role = aws.iam.Role(
            f"{name}-execution",
            assume_role_policy=Output.json_dumps(_trust(args)),
            opts=ResourceOptions(parent=self),
        )
        policy = aws.iam.RolePolicy(
            f"{name}-execution",
            role=role.name,
            policy=Output.json_dumps(_execution_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        group = aws.ec2.SecurityGroup(
            f"{name}-environment",
            vpc_id=args.vpc_id,
            description=f"Airflow environment {args.environment_name}",
            tags={"Name": args.environment_name},
            opts=ResourceOptions(parent=self),
        )
        # Rules of their own: groups that name each other inside themselves cannot be deleted.
        inside = aws.vpc.SecurityGroupIngressRule(
            f"{name}-environment-itself",
            security_group_id=group.id,
            description="Schedulers, workers, web servers and the database, with each other",
            referenced_security_group_id=group.id,
            ip_protocol="-1",
            opts=ResourceOptions(parent=self),
        )
        outside = [
            aws.vpc.SecurityGroupEgressRule(
                f"{name}-environment-out",
                security_group_id=group.id,
                description="AWS services, the cluster, and what DAGs call",
                cidr_ipv4="0.0.0.0/0",
                **_PORTS[args.egress],
                opts=ResourceOptions(parent=self),
            )
        ]
        if args.egress != "all":
            outside.append(
                aws.vpc.SecurityGroupEgressRule(
                    f"{name}-environment-to-itself",
                    security_group_id=group.id,
                    description="Its own parts and the database",
                    referenced_security_group_id=group.id,
                    ip_protocol="-1",
                    opts=ResourceOptions(parent=self),
                )
            )
        # The environment works through these from its first minute to its last, and names none of
        # them. Log groups that it does not find it makes itself, without retention, and leaves
        # behind.
        after = [policy, inside, *outside, *log_groups]
        # Known beforehand, so that what names the environment does not change as it is made anew.
        self.name = Output.from_input(args.environment_name)
        self.arn = Output.from_input(_environment_arn(args))
        self.webserver_url = Output.from_input(None)
        if not args.asleep:
            environment = self._environment(name, args, role, group, after)
            # Who looks at it waits for it: by the URN, which a preview knows.
            self.name = environment.urn.apply(lambda _: args.environment_name)
            self.webserver_url = environment.webserver_url.apply(
                lambda url: f"https://{url.removeprefix('https://')}"  # AWS answers without, mostly
            )
        self.execution_role_name = role.name
        self.execution_role_arn = role.arn
        self.execution_role_unique_id = role.unique_id
        self.security_group_id = group.id
        self.register_outputs(
            {
                "name": self.name,
                "arn": self.arn,
                "webserver_url": self.webserver_url,
                "execution_role_name": self.execution_role_name,
                "execution_role_arn": self.execution_role_arn,
                "execution_role_unique_id": self.execution_role_unique_id,
                "security_group_id": self.security_group_id,
            }
        )

    def _environment(
        self,
        name: str,
        args: AirflowEnvironmentArgs,
        role: aws.iam.Role,
        group: aws.ec2.SecurityGroup,
        after: Sequence[pulumi.Resource],
    ) -> aws.mwaa.Environment:
        files = args.files
        return aws.mwaa.Environment(
            f"{name}-environment",
            name=args.environment_name,
            airflow_version=args.airflow_version,
            environment_class=args.capacity.environment_class,
            min_workers=args.capacity.min_workers,
            max_workers=args.capacity.max_workers,
            schedulers=args.capacity.schedulers,
            min_webservers=args.capacity.min_webservers,
            max_webservers=args.capacity.max_webservers,
            webserver_access_mode=args.webserver_access_mode,
            weekly_maintenance_window_start=args.weekly_maintenance_window,
            endpoint_management="SERVICE",
            execution_role_arn=role.arn,
            kms_key=args.kms_key_arn,
            source_bucket_arn=args.bucket_arn,
            dag_s3_path=DAG_FOLDER,
            requirements_s3_path=files.requirements.key if files else None,
            requirements_s3_object_version=files.requirements.version if files else None,
            plugins_s3_path=files.plugins.key if files else None,
            plugins_s3_object_version=files.plugins.version if files else None,
            startup_script_s3_path=files.startup_script.key if files else None,
            startup_script_s3_object_version=files.startup_script.version if files else None,
            airflow_configuration_options=_configuration(args),
            logging_configuration={
                "dag_processing_logs": {"enabled": True, "log_level": args.log_level},
                "scheduler_logs": {"enabled": True, "log_level": args.log_level},
                "task_logs": {"enabled": True, "log_level": args.log_level},
                "webserver_logs": {"enabled": True, "log_level": args.log_level},
                "worker_logs": {"enabled": True, "log_level": args.log_level},
            },
            network_configuration={
                "security_group_ids": [group.id],
                "subnet_ids": list(args.subnet_ids[:2]),
            },
            # A pipeline has no other way to know whether it is to deliver.
            tags={"dag-delivery": "pulumi" if files else "pipeline"},
            opts=ResourceOptions(
                parent=self,
                depends_on=after,
                # A pipeline that rolls these out does it behind Pulumi's back.
                ignore_changes=[] if args.files else _ROLLED_OUT_BY_PIPELINE,
            ),
        )


def _configuration(args: AirflowEnvironmentArgs) -> dict[str, str]:
    """Airflow's own settings: where it finds connections and variables, then the user's."""
    secrets_manager = {
        "connections_prefix": f"{args.secrets_prefix}/connections",
        "variables_prefix": f"{args.secrets_prefix}/variables",
        # MWAA's default, which must be said again: MWAA defines aws_default in the environment,
        # and without this every AWS hook would first ask Secrets Manager for it.
        "connections_lookup_pattern": "^(?!aws_default$).*$",
    }
    backend = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
    return {
        "secrets.backend": backend,
        "secrets.backend_kwargs": json.dumps(secrets_manager),
        **args.options,
    }


def _log_groups(args: AirflowEnvironmentArgs) -> list[str]:
    return [f"airflow-{args.environment_name}-{kind}" for kind in LOG_KINDS]


def _environment_arn(args: AirflowEnvironmentArgs) -> str:
    """Known before the environment is, whose role and trust must exist first."""
    return args.account.arn("airflow", f"environment/{args.environment_name}")


def _trust(args: AirflowEnvironmentArgs) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": args.account.id},
                    "ArnLike": {"aws:SourceArn": _environment_arn(args)},
                },
            }
        ],
    }


def _execution_policy(args: AirflowEnvironmentArgs) -> dict[str, object]:
    """What AWS documents for an execution role ("Amazon MWAA execution role"), and no more.

    It cannot write to the DAG bucket: a DAG must not be able to rewrite DAGs.
    """
    account = args.account
    in_own_account = {"StringEquals": {"aws:ResourceAccount": account.id}}

    def through(*services: str) -> dict[str, object]:
        hosts = [f"{service}.{account.region}.amazonaws.com" for service in services]
        return {"StringEquals": {"kms:ViaService": hosts}}

    statements: list[dict[str, object]] = [
        {
            "Sid": "Metrics",
            "Action": "airflow:PublishMetrics",
            "Resource": _environment_arn(args),
        },
        {
            # Get* and List*, of this bucket: MWAA checks its settings, by more calls than are
            # documented.
            "Sid": "DagBucket",
            "Action": ["s3:GetBucket*", "s3:List*"],
            "Resource": args.bucket_arn,
            "Condition": in_own_account,  # not one that someone else made under its name
        },
        {
            "Sid": "DagObjects",
            "Action": "s3:GetObject*",
            "Resource": Output.concat(args.bucket_arn, "/*"),
            "Condition": in_own_account,
        },
        {
            # Actions that concern the account and no single resource of it.
            "Sid": "AccountWide",
            "Action": ["logs:DescribeLogGroups", "s3:GetAccountPublicAccessBlock"],
            "Resource": "*",
        },
        {
            "Sid": "CloudWatchMetrics",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",  # it knows no resources
            # Airflow's own first ("Apache Airflow environment metrics in CloudWatch").
            "Condition": {
                "StringLike": {"cloudwatch:namespace": ["AmazonMWAA", *args.metric_namespaces]}
            },
        },
        {
            "Sid": "Logs",
            "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:GetLogEvents",
                "logs:GetLogGroupFields",
                "logs:GetLogRecord",
                "logs:GetQueryResults",
                "logs:PutLogEvents",
            ],
            # Each by its name: the groups of an environment whose name begins with this one's
            # begin as these do.
            "Resource": [
                account.arn("logs", f"log-group:{group}{streams}")
                for group in _log_groups(args)
                for streams in ("", ":*")
            ],
        },
        {
            "Sid": "Queue",
            "Action": [
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            # The queue belongs to an account of MWAA's that is not known beforehand.
            "Resource": f"arn:{account.partition}:sqs:{account.region}:*:airflow-celery-*",
        },
        {
            "Sid": "Key",
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*"],
            "Resource": args.kms_key_arn,
            "Condition": through("s3", "sqs"),
        },
        {
            "Sid": "SecretsKey",
            "Action": "kms:Decrypt",
            "Resource": args.kms_key_arn,
            "Condition": through("secretsmanager"),
        },
        {
            # Connections and variables, whose names DAG authors choose. AWS ends the ARN of each
            # with six random characters.
            "Sid": "Secrets",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": account.arn("secretsmanager", f"secret:{args.secrets_prefix}/*"),
        },
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", **statement} for statement in statements],
    }
