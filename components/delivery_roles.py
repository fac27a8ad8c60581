"""What workflows of a repository on GitHub may do in AWS, without a key of their own."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"


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
    account: AwsAccount


class DeliveryRoles(pulumi.ComponentResource):
    """The roles that one repository's workflows assume, each by its own event."""

    preview_role_arn: Output[str]

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
        entry = aws.eks.AccessEntry(
            f"{name}-preview",
            cluster_name=args.cluster_name,
            principal_arn=preview.arn,
            opts=ResourceOptions(parent=self),
        )
        aws.eks.AccessPolicyAssociation(
            f"{name}-preview",
            cluster_name=args.cluster_name,
            principal_arn=entry.principal_arn,
            # AmazonEKSAdminViewPolicy would show secrets.
            policy_arn=f"arn:{args.account.partition}:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
            access_scope={"type": "cluster"},
            opts=ResourceOptions(parent=self),
        )

        self.preview_role_arn = preview.arn
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

    def _role(self, name: str, purpose: str, *occasions: str) -> aws.iam.Role:
        """Make a role that workflows of the repository assume on these occasions alone.

        occasions: what GitHub puts behind the repository in a token's subject ("Example subject
        claims", OpenID Connect reference of GitHub Actions).
        """
        issuer = (self._args.oidc_provider_arn or f"/{ISSUER}").partition("/")[2]
        subjects = [f"repo:{self._args.repository}:{occasion}" for occasion in occasions]
        return aws.iam.Role(
            f"{name}-{purpose}",
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
    ]
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
    return {"Version": "2012-10-17", "Statement": statements}
