"""What a workload may do in AWS: a service account of its pods, with a role of its own."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi_aws as aws
import pulumi_kubernetes as k8s
from pulumi import ComponentResource, Input, Output, Resource, ResourceOptions

from components import pod_identity
from components.aws_account import AwsAccount


@dataclass(frozen=True, kw_only=True)
class PodServiceAccountArgs:
    service_account: str
    namespace: Input[str]
    policy_arns: tuple[str, ...]
    policy: Input[str] | None = None
    """What its role may besides, as a policy of its own."""
    cluster_name: Input[str]
    cluster_arn: Input[str]
    account: AwsAccount


class PodServiceAccount(ComponentResource):
    """Pods that name the service account have its role in AWS, and nothing in Kubernetes."""

    role_arn: Output[str]

    def __init__(
        self, name: str, args: PodServiceAccountArgs, opts: ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:PodServiceAccount", name, None, opts)
        child = ResourceOptions(parent=self)
        role = aws.iam.Role(
            f"{name}-role",
            assume_role_policy=pod_identity.trust_policy(
                account_id=args.account.id,
                cluster_arn=args.cluster_arn,
                namespace=args.namespace,
                service_account=args.service_account,
            ),
            opts=child,
        )
        policies: list[Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{arn.partition(':policy/')[2]}", role=role.name, policy_arn=arn, opts=child
            )
            for arn in args.policy_arns
        ]
        if args.policy is not None:
            policies.append(
                aws.iam.RolePolicy(f"{name}-policy", role=role.name, policy=args.policy, opts=child)
            )
        association = aws.eks.PodIdentityAssociation(
            f"{name}-association",
            cluster_name=args.cluster_name,
            namespace=args.namespace,
            service_account=args.service_account,
            role_arn=role.arn,
            opts=ResourceOptions(parent=self, depends_on=policies),
        )
        k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata={"name": args.service_account, "namespace": args.namespace},
            automount_service_account_token=False,
            # A pod gets its credentials as it is made, or never: whoever finds the account finds
            # the association.
            opts=ResourceOptions(parent=self, depends_on=[association]),
        )

        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})
