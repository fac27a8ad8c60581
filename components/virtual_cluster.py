"""What a Spark team needs to run jobs through EMR on EKS."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import pod_identity
from components.aws_account import AwsAccount
from components.data_access import (
    BucketAccess,
    DatabaseAccess,
    bucket_statements,
    database_statements,
    own_prefix,
)
from components.job_run_drain import JobRunDrain
from components.job_scripts import PREFIX as JOB_SCRIPTS
from components.pod_template_files import PREFIX as POD_TEMPLATES

# Below a team's prefix. To Spark's event log writer a directory must exist, which S3 has if there
# is anything in it; Spark's history server passes over names that begin with a dot.
EVENT_LOGS_KEEPER = "spark-events/.keep"

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(text: str) -> str:
    """Encode text as EMR on EKS encodes a role's name in the names of its service accounts."""
    number, encoded = int.from_bytes(text.encode(), "big"), ""
    while number:
        number, digit = divmod(number, 36)
        encoded = DIGITS[digit] + encoded
    return encoded or "0"


@dataclass(frozen=True, kw_only=True)
class VirtualClusterArgs:
    """What a VirtualCluster is made from."""

    virtual_cluster_name: str
    team: str
    """The prefix of what its jobs may read and write in the bucket."""
    cluster_name: Input[str]
    """Known once nodes and add-ons are ready: just after a cluster turns active, EMR finds it
    unreachable."""
    cluster_arn: Input[str]
    namespace: Input[str]
    bucket_name: Input[str]
    bucket_arn: Input[str]
    kms_key_arn: Input[str]
    data: tuple[BucketAccess, ...]
    """What its jobs read and write besides their prefix."""
    databases: tuple[DatabaseAccess, ...]
    log_retention_days: int
    account: AwsAccount


class VirtualCluster(pulumi.ComponentResource):
    """An EMR virtual cluster, the role of its jobs, and a place for their data and logs."""

    id: Output[str]
    arn: Output[str]
    job_role_arn: Output[str]
    log_group_name: Output[str]
    log_group_arn: Output[str]
    s3_uri: Output[str]
    event_log_dir: Output[str]
    """Where its jobs put Spark's event logs, which is there once this is known."""

    def __init__(
        self, name: str, args: VirtualClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:VirtualCluster", name, None, opts)
        child = ResourceOptions(parent=self)

        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/emr-containers/{args.virtual_cluster_name}",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.kms_key_arn,
            opts=child,
        )
        # As EMR on EKS names the service accounts of a job run's pods.
        prefixes = {
            part: f"emr-containers-sa-spark-{part}-{args.account.id}-"
            for part in ("client", "driver", "executor")
        }
        role = aws.iam.Role(
            f"{name}-job",
            assume_role_policy=pod_identity.trust_policy(
                account_id=args.account.id,
                cluster_arn=args.cluster_arn,
                namespace=args.namespace,
                # They end with the role's own name, which is not known before the role is.
                service_account=[f"{prefix}*" for prefix in prefixes.values()],
            ),
            opts=child,
        )
        policy = aws.iam.RolePolicy(
            f"{name}-job-policy",
            role=role.name,
            policy=Output.json_dumps(_job_policy(args, log_group.arn)),
            opts=child,
        )
        associations = [
            aws.eks.PodIdentityAssociation(
                f"{name}-{part}",
                cluster_name=args.cluster_name,
                namespace=args.namespace,
                service_account=Output.concat(prefix, role.name.apply(base36)),
                role_arn=role.arn,
                opts=child,
            )
            for part, prefix in prefixes.items()
        ]
        virtual_cluster = aws.emrcontainers.VirtualCluster(
            f"{name}-virtual-cluster",
            name=args.virtual_cluster_name,
            container_provider={
                "id": args.cluster_name,
                "type": "EKS",
                "info": {"eks_info": {"namespace": args.namespace}},
            },
            # A namespace has one virtual cluster at most.
            opts=ResourceOptions(parent=self, delete_before_replace=True),
        )
        keeper = aws.s3.BucketObjectv2(
            f"{name}-event-logs",
            bucket=args.bucket_name,
            key=f"{args.team}/{EVENT_LOGS_KEEPER}",
            content="Without an object here, jobs that log events to this prefix fail.\n",
            content_type="text/plain",
            # An object takes ten tags, and a stack may have more.
            override_provider={"default_tags": {"tags": {}}},
            opts=child,
        )
        drain = JobRunDrain(
            f"{name}-drain",
            virtual_cluster_id=virtual_cluster.id,
            region=args.account.region,
            account_id=args.account.id,
            # The first to be deleted: a run that is being cancelled still needs all of these.
            opts=ResourceOptions(parent=self, depends_on=[policy, *associations, keeper]),
        )

        self.id = virtual_cluster.id
        # By it job runs are allowed, which must end before the drain: else one could start between
        # the drain's last look and the virtual cluster's end.
        self.arn = Output.all(virtual_cluster.arn, drain.urn).apply(lambda both: str(both[0]))
        self.job_role_arn = role.arn
        self.log_group_name = log_group.name
        self.log_group_arn = log_group.arn
        self.s3_uri = Output.concat("s3://", args.bucket_name, f"/{args.team}/")
        self.event_log_dir = Output.all(args.bucket_name, keeper.urn).apply(
            lambda known: f"s3://{known[0]}/{args.team}/{EVENT_LOGS_KEEPER.rpartition('/')[0]}/"
        )
        self.register_outputs(
            {
                "id": self.id,
                "arn": self.arn,
                "job_role_arn": self.job_role_arn,
                "log_group_name": self.log_group_name,
                "log_group_arn": self.log_group_arn,
                "s3_uri": self.s3_uri,
                "event_log_dir": self.event_log_dir,
            }
        )


def _job_policy(args: VirtualClusterArgs, log_group_arn: Output[str]) -> dict[str, object]:
    own = own_prefix(args.team, args.bucket_arn, args.kms_key_arn, args.account)
    return {
        "Version": "2012-10-17",
        "Statement": [
            *bucket_statements([own], args.account),
            *bucket_statements(args.data, args.account),
            *database_statements(args.databases, args.account),
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": [
                    Output.concat(args.bucket_arn, f"/{JOB_SCRIPTS}/*"),
                    Output.concat(args.bucket_arn, f"/{POD_TEMPLATES}*"),
                ],
                "Condition": {"StringEquals": {"aws:ResourceAccount": args.account.id}},
            },
            {
                "Effect": "Allow",
                "Action": [
                    "logs:CreateLogStream",
                    "logs:DescribeLogStreams",
                    "logs:PutLogEvents",
                ],
                "Resource": [log_group_arn, Output.concat(log_group_arn, ":*")],
            },
            {
                # EMR looks its group up in the list of all, which can be had in no part.
                "Effect": "Allow",
                "Action": "logs:DescribeLogGroups",
                "Resource": args.account.arn("logs", "*"),
            },
        ],
    }
