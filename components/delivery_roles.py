"""What workflows of a repository on GitHub may do in AWS, without a key of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.job_scripts import PREFIX as JOB_SCRIPTS
from components.pod_template_files import PREFIX as POD_TEMPLATES
from components.virtual_cluster import EVENT_LOGS_KEEPER

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
DRIFT_GROUP = "drift"
"""The Kubernetes group of who looks for drift."""


@dataclass(frozen=True, kw_only=True)
class DagDelivery:
    """What a workflow that delivers DAGs works on."""

    bucket_arn: Input[str]
    kms_key_arn: Input[str]
    environment_arn: Input[str]
    execution_role_arn: Input[str]


@dataclass(frozen=True, kw_only=True)
class DeliveryRolesArgs:
    """What DeliveryRoles are made from."""

    repository: str
    """As GitHub's tokens name it: owner/name, or owner@id/name@id."""
    oidc_provider_arn: str | None
    """None where this is to make the provider, of which an account has one for each URL."""
    state_bucket_arn: str | None
    """The bucket that Pulumi's state is in, with the state's prefix behind it if it has one."""
    state_key_arns: tuple[str, ...]
    """The keys without which the state cannot be read."""
    cluster_name: Input[str]
    dag_bucket_arn: Input[str]
    job_bucket_arn: Input[str]
    """Previews look who has written there, and read nothing of it."""
    kms_key_arn: Input[str]
    """Encrypts what a refresh reads: files of DAGs and secrets."""
    secrets_prefix: str
    tags: Mapping[str, str]
    """By which what this program makes differs from what others make with the prefix."""
    dags: DagDelivery | None
    """None where the program delivers the DAGs itself."""
    account: AwsAccount


class DeliveryRoles(pulumi.ComponentResource):
    """The roles that one repository's workflows assume, each by its own event."""

    preview_role_arn: Output[str]
    drift_role_arn: Output[str]
    dags_role_arn: Output[str] | None
    """None where the program delivers the DAGs itself."""

    def __init__(
        self, name: str, args: DeliveryRolesArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:DeliveryRoles", name, None, opts)
        self._args = args
        self._provider_arn = self._oidc_provider(name)

        # The main branch may do what each pull request may: it previews before it deploys.
        preview = self._role(name, "preview", "pull_request", "ref:refs/heads/main")
        aws.iam.RolePolicy(
            f"{name}-preview",
            role=preview.name,
            policy=Output.json_dumps(_preview_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        self._let_view(name, "preview", preview)

        drift = self._role(name, "drift", "ref:refs/heads/main")
        aws.iam.RolePolicyAttachment(
            f"{name}-drift",
            role=drift.name,
            # ReadOnlyAccess would read what is in buckets and tables, too.
            policy_arn=f"arn:{args.account.partition}:iam::aws:policy/SecurityAudit",
            opts=ResourceOptions(parent=self),
        )
        aws.iam.RolePolicy(
            f"{name}-drift",
            role=drift.name,
            policy=Output.json_dumps(_drift_policy(args)),
            opts=ResourceOptions(parent=self),
        )
        self._let_view(name, "drift", drift, DRIFT_GROUP)
        self._let_read_rights(f"{name}-drift", DRIFT_GROUP)

        self.preview_role_arn = preview.arn
        self.drift_role_arn = drift.arn
        self.dags_role_arn = None
        if args.dags is not None:
            # MWAA takes up to two hours for an update, which the workflow waits for.
            dags = self._role(name, "dags", "ref:refs/heads/main", hours=4)
            aws.iam.RolePolicy(
                f"{name}-dags",
                role=dags.name,
                policy=Output.json_dumps(_dags_policy(args.dags, args.account)),
                opts=ResourceOptions(parent=self),
            )
            self.dags_role_arn = dags.arn
        self.register_outputs({"preview_role_arn": self.preview_role_arn})

    def _oidc_provider(self, name: str) -> Input[str]:
        if self._args.oidc_provider_arn is not None:
            return self._args.oidc_provider_arn
        # Without thumbprints: AWS knows the authorities behind GitHub's certificate itself.
        return aws.iam.OpenIdConnectProvider(
            f"{name}-github",
            url=f"https://{ISSUER}",
            client_id_lists=[AUDIENCE],
            opts=ResourceOptions(parent=self),
        ).arn

    def _let_view(self, name: str, purpose: str, role: aws.iam.Role, *groups: str) -> None:
        entry = aws.eks.AccessEntry(
            f"{name}-{purpose}",
            cluster_name=self._args.cluster_name,
            principal_arn=role.arn,
            kubernetes_groups=[*groups] or None,
            opts=ResourceOptions(parent=self),
        )
        aws.eks.AccessPolicyAssociation(
            f"{name}-{purpose}",
            cluster_name=self._args.cluster_name,
            principal_arn=entry.principal_arn,
            # AmazonEKSAdminViewPolicy would show secrets.
            policy_arn=f"arn:{self._args.account.partition}:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
            access_scope={"type": "cluster"},
            opts=ResourceOptions(parent=self),
        )

    def _let_read_rights(self, name: str, group: str) -> None:
        """Let a group read those kinds of this program's objects that a viewer does not see."""
        role = k8s.rbac.v1.ClusterRole(
            name,
            metadata={"name": group},
            rules=[
                {
                    "api_groups": ["rbac.authorization.k8s.io"],
                    "resources": ["clusterroles", "clusterrolebindings", "roles", "rolebindings"],
                    "verbs": ["get"],
                },
                {
                    "api_groups": ["admissionregistration.k8s.io"],
                    "resources": [
                        "validatingadmissionpolicies",
                        "validatingadmissionpolicybindings",
                    ],
                    "verbs": ["get"],
                },
                {
                    "api_groups": ["storage.k8s.io"],
                    "resources": ["storageclasses"],
                    "verbs": ["get"],
                },
            ],
            opts=ResourceOptions(parent=self),
        )
        k8s.rbac.v1.ClusterRoleBinding(
            name,
            metadata={"name": group},
            role_ref={
                "api_group": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role.metadata.name,
            },
            subjects=[{"api_group": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
            opts=ResourceOptions(parent=self),
        )

    def _role(self, name: str, purpose: str, *occasions: str, hours: int = 1) -> aws.iam.Role:
        """Make a role that workflows of the repository assume on these occasions alone.

        occasions: what GitHub puts behind the repository in a token's subject ("Example subject
        claims", OpenID Connect reference of GitHub Actions).
        hours: how long one assumption of the role may last.
        """
        issuer = (self._args.oidc_provider_arn or f"/{ISSUER}").partition("/")[2]
        subjects = [f"repo:{self._args.repository}:{occasion}" for occasion in occasions]
        return aws.iam.Role(
            f"{name}-{purpose}",
            max_session_duration=hours * 3600,
            assume_role_policy=Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Federated": self._provider_arn},
                            "Action": "sts:AssumeRoleWithWebIdentity",
                            "Condition": {
                                "StringEquals": {
                                    f"{issuer}:aud": AUDIENCE,
                                    f"{issuer}:sub": subjects,
                                }
                            },
                        }
                    ],
                }
            ),
            opts=ResourceOptions(parent=self),
        )


def _who_has_written_pod_templates(args: DeliveryRolesArgs) -> dict[str, object]:
    return {
        "Sid": "WhoHasWrittenPodTemplates",
        "Effect": "Allow",
        "Action": "s3:ListBucketVersions",
        "Resource": args.job_bucket_arn,
        # Beside them are the teams' data, of which names tell something, too.
        "Condition": {"StringEquals": {"s3:prefix": POD_TEMPLATES}},
    }


def _preview_policy(args: DeliveryRolesArgs) -> dict[str, object]:
    """Allow what a preview of this program asks AWS, and no more.

    It compares with the state, not with AWS: what is left are the functions of the AWS provider
    that the program calls. Whose the credentials are (sts:GetCallerIdentity) everybody may ask.
    """
    statements: list[dict[str, object]] = [
        {
            "Sid": "WhatTheProgramLooksUp",
            "Effect": "Allow",
            "Action": [
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeVpcEndpointServices",
                "eks:DescribeAddonVersions",
            ],
            "Resource": "*",  # they tell what AWS offers, and know no resources of the account
        },
        {
            "Sid": "WhetherImagesAreThere",
            "Effect": "Allow",
            "Action": "ecr:DescribeImages",
            # Of any repository: the pull request may name another one.
            "Resource": args.account.arn("ecr", "repository/*"),
        },
        {
            "Sid": "WhoHasWrittenDags",
            "Effect": "Allow",
            "Action": "s3:ListBucketVersions",
            "Resource": args.dag_bucket_arn,
        },
        _who_has_written_pod_templates(args),
        *_state_statements(args),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _drift_policy(args: DeliveryRolesArgs) -> dict[str, object]:
    """Allow what operations/drift.py asks AWS beside what AWS's policy SecurityAudit allows."""
    via = [f"{service}.{args.account.region}.amazonaws.com" for service in ("s3", "secretsmanager")]
    statements: list[dict[str, object]] = [
        {
            "Sid": "WhatSecurityAuditLacks",
            "Effect": "Allow",
            "Action": [
                "eks:DescribeAddon",
                "eks:DescribePodIdentityAssociation",
                "emr-containers:DescribeVirtualCluster",
            ],
            "Resource": "*",  # they tell how a thing is set up, and nothing of what it holds
        },
        {
            "Sid": "Budgets",
            "Effect": "Allow",
            "Action": ["budgets:ListTagsForResource", "budgets:ViewBudget"],
            "Resource": f"arn:{args.account.partition}:budgets::{args.account.id}:budget/*",
        },
        {
            "Sid": "WhoHasWrittenDags",
            "Effect": "Allow",
            "Action": "s3:ListBucketVersions",
            "Resource": args.dag_bucket_arn,
        },
        _who_has_written_pod_templates(args),
        {
            # A refresh asks for the head of each object, which is the right to read it.
            "Sid": "Files",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": [
                Output.concat(args.dag_bucket_arn, "/*"),
                Output.concat(args.job_bucket_arn, f"/{POD_TEMPLATES}*"),
            ],
        },
        {
            # What the program has put beside and between the teams' data, with its tags.
            "Sid": "FilesOfJobs",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectTagging"],
            "Resource": [
                Output.concat(args.job_bucket_arn, f"/{one}")
                for one in (f"*/{EVENT_LOGS_KEEPER}", f"{JOB_SCRIPTS}/*")
            ],
        },
        {
            # A refresh compares the connections that the program has written, not a team's own,
            # which may hold passwords.
            "Sid": "Connections",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": args.account.arn(
                "secretsmanager", f"secret:{args.secrets_prefix}/connections/*"
            ),
            "Condition": {
                "StringEquals": {f"aws:ResourceTag/{key}": tag for key, tag in args.tags.items()}
            },
        },
        {
            "Sid": "KeyOfFilesAndConnections",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": args.kms_key_arn,
            "Condition": {"StringEquals": {"kms:ViaService": via}},
        },
        *_state_statements(args),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _state_statements(args: DeliveryRolesArgs) -> list[dict[str, object]]:
    """Allow to read Pulumi's state."""
    statements: list[dict[str, object]] = []
    if args.state_bucket_arn is not None:
        statements += [
            {
                "Sid": "WhatStateThereIs",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                # Whatever the prefix: to who may not list the bucket, S3 says of a missing object
                # that it is forbidden. Pulumi asks for some that need not be there.
                "Resource": args.state_bucket_arn.partition("/")[0],
            },
            {
                "Sid": "State",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"{args.state_bucket_arn}/*",
            },
        ]
    if args.state_key_arns:
        statements.append(
            {
                "Sid": "KeysOfTheState",
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": list(args.state_key_arns),
            }
        )
    return statements


def _dags_policy(args: DagDelivery, account: AwsAccount) -> dict[str, object]:
    """Allow what operations/deliver.py does, and no more."""
    statements: list[dict[str, object]] = [
        {
            "Sid": "WhatThereIs",
            # MWAA asks for the encryption on the caller's behalf.
            "Action": ["s3:GetEncryptionConfiguration", "s3:ListBucket"],
            "Resource": args.bucket_arn,
        },
        {
            # No s3:DeleteObjectVersion: what is replaced or hidden can be brought back.
            "Sid": "Files",
            "Action": [
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:PutObject",
            ],
            "Resource": Output.concat(args.bucket_arn, "/*"),
        },
        {
            "Sid": "KeyOfTheFiles",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": args.kms_key_arn,
            "Condition": {"StringEquals": {"kms:ViaService": f"s3.{account.region}.amazonaws.com"}},
        },
        {
            "Sid": "RollOut",
            "Action": ["airflow:GetEnvironment", "airflow:UpdateEnvironment"],
            "Resource": args.environment_arn,
        },
        {
            # AWS asks for it with UpdateEnvironment ("Actions defined by Amazon MWAA", Service
            # Authorization Reference).
            "Sid": "KeepTheRole",
            "Action": "iam:PassRole",
            "Resource": args.execution_role_arn,
            "Condition": {"StringEquals": {"iam:PassedToService": "airflow.amazonaws.com"}},
        },
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", **statement} for statement in statements],
    }
