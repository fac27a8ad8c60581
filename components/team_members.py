"""What the people of a Spark team may do."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi_aws as aws
from pulumi import ComponentResource, Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.data_access import bucket_statements, own_prefix
from components.job_run_rights import TeamJobs, job_run_statements, members_trust


@dataclass(frozen=True, kw_only=True)
class TeamMembersArgs:
    """What TeamMembers are made from."""

    team: str
    """The prefix of its data in the bucket."""
    principal_arns: tuple[str, ...]
    kubernetes_group: str
    """Whose rights are those of the team in its namespace."""
    cluster_name: Input[str]
    cluster_arn: Input[str]
    virtual_cluster_arn: Input[str]
    job_role_arn: Input[str]
    log_group_arn: Input[str]
    bucket_arn: Input[str]
    kms_key_arn: Input[str]
    account: AwsAccount


class TeamMembers(ComponentResource):
    """A role that a team's people assume, by which they run its jobs and see what comes of it."""

    role_arn: Output[str]

    def __init__(
        self, name: str, args: TeamMembersArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:TeamMembers", name, None, opts)
        role = aws.iam.Role(
            f"{name}-members",
            assume_role_policy=members_trust(args.principal_arns),
            opts=ResourceOptions(parent=self),
        )
        aws.iam.RolePolicy(
            f"{name}-members",
            role=role.name,
            policy=Output.json_dumps(_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        aws.eks.AccessEntry(
            f"{name}-members",
            cluster_name=args.cluster_name,
            principal_arn=role.arn,
            kubernetes_groups=[args.kubernetes_group],
            opts=ResourceOptions(parent=self),
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})


def _policy(args: TeamMembersArgs) -> dict[str, object]:
    # Whoever starts a job can do by it what the job role may. Of that, the team's own prefix is
    # theirs directly too: there they put what a job reads, and find its results and logs.
    prefix = own_prefix(args.team, args.bucket_arn, args.kms_key_arn, args.account)
    jobs = TeamJobs(virtual_cluster_arn=args.virtual_cluster_arn, job_role_arn=args.job_role_arn)
    return {
        "Version": "2012-10-17",
        "Statement": [
            *job_run_statements(args.cluster_arn, [jobs]),
            *bucket_statements([prefix], args.account),
            {
                "Effect": "Allow",
                "Action": [
                    "logs:DescribeLogStreams",
                    "logs:FilterLogEvents",
                    "logs:GetLogEvents",
                ],
                "Resource": [args.log_group_arn, Output.concat(args.log_group_arn, ":*")],
            },
            {
                # `aws eks update-kubeconfig`; what may be done there is Kubernetes's to say.
                "Effect": "Allow",
                "Action": "eks:DescribeCluster",
                "Resource": args.cluster_arn,
            },
        ],
    }
