"""What joins Airflow to the cluster and to EMR on EKS, once all of them exist."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.airflow_connection import airflow_connection
from components.aws_account import AwsAccount
from components.capacity import TEAMS_PER_POLICY
from components.job_run_rights import TeamJobs, job_run_statements


@dataclass(frozen=True, kw_only=True)
class TeamAccess(TeamJobs):
    """One team's way to run Spark jobs."""

    team: str
    virtual_cluster_id: Input[str]
    log_group_name: Input[str]
    s3_uri: Input[str]
    event_log_dir: Input[str]
    metastore_client_factory: str | None
    """The class by which Spark has a metastore; None where the team has no databases."""


@dataclass(frozen=True, kw_only=True)
class AirflowAccessArgs:
    execution_role_name: Input[str]
    execution_role_arn: Input[str]
    execution_role_unique_id: Input[str]
    security_group_id: Input[str]
    """Of the Airflow environment."""
    cluster_name: Input[str]
    cluster_arn: Input[str]
    cluster_security_group_id: Input[str]
    kubernetes_group: str
    """What the execution role is in Kubernetes; role bindings say what the group may do."""
    pod_namespace: Input[str]
    """Where Airflow runs pods of its own."""
    image_prefix: str
    """What stands before the public names of images where pods pull them from."""
    xcom_sidecar_image: str | None
    """With one, such a pod may return a value: `kubernetes_default` describes the sidecar."""
    scripts_uri: Input[str]
    """What the scripts that every team's jobs may run lie below."""
    teams: tuple[TeamAccess, ...]
    driver_pod_template: Input[str]
    executor_pod_template: Input[str]
    """URIs that every team's jobs may read."""
    default_team: str
    """Its connection is `emr_eks`; another team's is `emr_eks_<team>`."""
    release_label: str
    alarm_topic_arn: Input[str] | None
    """Where DAGs tell that they have failed, by the connection `alarms`; None where nobody would
    listen."""
    secrets_prefix: str
    kms_key_arn: Input[str]
    """The key of the connections and of the topic."""
    account: AwsAccount


class AirflowAccess(pulumi.ComponentResource):
    """DAGs can run pods in one namespace and Spark jobs in every team's virtual cluster, and tell
    that they have failed; they find all of it as Airflow connections."""

    connection_ids: Output[list[str]]

    def __init__(
        self, name: str, args: AirflowAccessArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:AirflowAccess", name, None, opts)
        aws.eks.AccessEntry(
            f"{name}-access",
            cluster_name=args.cluster_name,
            principal_arn=args.execution_role_arn,
            kubernetes_groups=[args.kubernetes_group],
            type="STANDARD",
            opts=ResourceOptions(
                parent=self,
                # An entry is bound to the role's unique id. For a role made anew under the same
                # ARN the entry looks right and is dead.
                replacement_trigger=args.execution_role_unique_id,
                delete_before_replace=True,  # a cluster has one entry for a principal
            ),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-to-cluster",
            security_group_id=args.cluster_security_group_id,
            description="Airflow to the Kubernetes API",
            referenced_security_group_id=args.security_group_id,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=ResourceOptions(parent=self),
        )
        aws.iam.RolePolicy(
            f"{name}-cluster",
            role=args.execution_role_name,
            policy=Output.json_dumps(_cluster_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        if args.alarm_topic_arn is not None:
            aws.iam.RolePolicy(
                f"{name}-alarms",
                role=args.execution_role_name,
                policy=Output.json_dumps(_alarm_policy(args)),
                opts=ResourceOptions(parent=self),
            )
        # Managed policies, since a role's inline ones have room for some 15 teams. When a team
        # goes, others move up, some into the policy before: one after the other, so that they are
        # let in there before they are no longer here.
        policy: aws.iam.Policy | None = None
        for start in range(0, len(args.teams), TEAMS_PER_POLICY):
            policy = self._job_access(
                f"{name}-jobs-{start // TEAMS_PER_POLICY + 1}",
                args,
                args.teams[start : start + TEAMS_PER_POLICY],
                after=policy,
            )
        connections = _connections(args)
        stored = [
            airflow_connection(
                f"{name}-{connection_id}",
                connection_id,
                extra,
                secrets_prefix=args.secrets_prefix,
                kms_key_arn=args.kms_key_arn,
                parent=self,
            )
            for connection_id, extra in connections.items()
        ]

        # URNs, which a preview knows, so that the ids stay known while a value is new.
        self.connection_ids = Output.all(*[version.urn for version in stored]).apply(
            lambda _: list(connections)
        )
        self.register_outputs({"connection_ids": self.connection_ids})

    def _job_access(
        self,
        name: str,
        args: AirflowAccessArgs,
        teams: Sequence[TeamAccess],
        *,
        after: aws.iam.Policy | None,
    ) -> aws.iam.Policy:
        policy = aws.iam.Policy(
            name,
            policy=Output.json_dumps(
                {"Version": "2012-10-17", "Statement": job_run_statements(args.cluster_arn, teams)}
            ),
            opts=ResourceOptions(parent=self, depends_on=after),
        )
        aws.iam.RolePolicyAttachment(
            name,
            role=args.execution_role_name,
            policy_arn=policy.arn,
            opts=ResourceOptions(parent=self),
        )
        return policy


# What KubernetesPodOperator reads of its connection, so that the container that it adds meets Pod
# Security's restricted standard, whatever the pod says. Its image is of a registry without a limit
# of pulls.
_XCOM_SIDECAR = {
    "xcom_sidecar_container_resources": json.dumps(
        {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"cpu": "100m", "memory": "64Mi"},
        }
    ),
    "xcom_sidecar_container_security_context": json.dumps(
        {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    ),
}


def _connections(args: AirflowAccessArgs) -> dict[str, dict[str, Input[str]]]:
    """What DAGs need to know, by connection id."""
    connections: dict[str, dict[str, Input[str]]] = {
        "eks": {
            "cluster_name": args.cluster_name,
            "namespace": args.pod_namespace,
            "region_name": args.account.region,
            "image_prefix": args.image_prefix,
        }
    }
    if args.xcom_sidecar_image is not None:
        connections["kubernetes_default"] = {
            "namespace": args.pod_namespace,
            "xcom_sidecar_container_image": args.xcom_sidecar_image,
            **_XCOM_SIDECAR,
        }
    for team in args.teams:
        default = team.team == args.default_team
        connection_id = "emr_eks" if default else f"emr_eks_{team.team}"
        connections[connection_id] = {
            "virtual_cluster_id": team.virtual_cluster_id,
            "job_role_arn": team.job_role_arn,
            "region_name": args.account.region,
            "release_label": args.release_label,
            "log_group_name": team.log_group_name,
            "s3_uri": team.s3_uri,
            "event_log_dir": team.event_log_dir,
            "scripts_uri": args.scripts_uri,
            "driver_pod_template": args.driver_pod_template,
            "executor_pod_template": args.executor_pod_template,
        }
        if team.metastore_client_factory is not None:
            connections[connection_id]["metastore_client_factory"] = team.metastore_client_factory
    if args.alarm_topic_arn is not None:
        connections["alarms"] = {
            "topic_arn": args.alarm_topic_arn,
            "region_name": args.account.region,
        }
    return connections


def _alarm_policy(args: AirflowAccessArgs) -> dict[str, object]:
    """Publishing to the topic, which takes its key."""
    through = {
        "kms:EncryptionContext:aws:sns:topicArn": args.alarm_topic_arn,
        "kms:ViaService": f"sns.{args.account.region}.amazonaws.com",
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sns:Publish", "Resource": args.alarm_topic_arn},
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": args.kms_key_arn,
                "Condition": {"StringEquals": through},
            },
        ],
    }


def _cluster_policy(args: AirflowAccessArgs) -> dict[str, object]:
    """Finding the cluster's endpoint; what may be done there is Kubernetes's to say."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "eks:DescribeCluster", "Resource": args.cluster_arn}
        ],
    }
