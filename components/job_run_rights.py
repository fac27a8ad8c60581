"""Who may run the jobs of a team, as policies say it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pulumi import Input, Output


@dataclass(frozen=True, kw_only=True)
class TeamJobs:
    """Where a team's jobs run, and as whom."""

    virtual_cluster_arn: Input[str]
    job_role_arn: Input[str]


def job_run_statements(
    cluster_arn: Input[str], teams: Sequence[TeamJobs]
) -> list[Mapping[str, object]]:
    """Return what allows to run jobs, each team's with its own role, and to look after them."""
    start: list[Mapping[str, object]] = [
        {
            "Effect": "Allow",
            "Action": "emr-containers:StartJobRun",
            "Resource": team.virtual_cluster_arn,
            # Else a job could take any role that trusts the namespace.
            "Condition": {"ArnEquals": {"emr-containers:ExecutionRoleArn": team.job_role_arn}},
        }
        for team in teams
    ]
    return [
        *start,
        {
            "Effect": "Allow",
            "Action": [
                "emr-containers:CancelJobRun",
                "emr-containers:DescribeJobRun",
                "emr-containers:DescribeVirtualCluster",
                "emr-containers:ListJobRuns",
            ],
            # The virtual cluster and its job runs, which get their ids as they start; no id of
            # a virtual cluster is the beginning of another's.
            "Resource": [Output.concat(team.virtual_cluster_arn, "*") for team in teams],
        },
        {
            # StartJobRun demands it where job roles come by EKS Pod Identity (EMR on EKS,
            # "Enable EKS Pod Identity on the EKS Cluster", user permission).
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": [team.job_role_arn for team in teams],
            "Condition": {
                "StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"},
                "ArnLike": {"iam:AssociatedResourceARN": cluster_arn},
            },
        },
    ]


def members_trust(principal_arns: Sequence[str]) -> str:
    """Return the policy by which a team's people may assume its role.

    They need no policy of their own for it: the role names them, and not their account.
    """
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": list(principal_arns)},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )
