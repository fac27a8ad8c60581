"""Nodes come and go with the pods that need them."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
from pulumi import Input, ResourceOptions

from components import pod_identity
from components.aws_account import AwsAccount

NAMESPACE = "kube-system"
NAME = "cluster-autoscaler"

READ = ("get", "list", "watch")

# What upstream's chart and example grant, without what leader election by lease and one AWS node
# group leave unused: endpoints, the long gone `extensions` group, config maps of other namespaces,
# pods/status and writing jobs.
CLUSTER_RULES: tuple[k8s.rbac.v1.PolicyRuleArgsDict, ...] = (
    {"api_groups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"api_groups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"api_groups": [""], "resources": ["nodes"], "verbs": [*READ, "update"]},  # taints
    {
        "api_groups": [""],
        "resources": [
            "namespaces",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "replicationcontrollers",
            "services",
        ],
        "verbs": [*READ],
    },
    {
        "api_groups": ["apps"],
        "resources": ["daemonsets", "replicasets", "statefulsets"],
        "verbs": [*READ],
    },
    {"api_groups": ["batch"], "resources": ["jobs"], "verbs": [*READ]},
    {"api_groups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": [*READ]},
    {
        "api_groups": ["storage.k8s.io"],
        "resources": [
            "csidrivers",
            "csinodes",
            "csistoragecapacities",
            "storageclasses",
            "volumeattachments",  # since 1.32; absent upstream's example (autoscaler #8678)
        ],
        "verbs": [*READ],
    },
    {
        # Since 1.35, and without it no scaling at all (autoscaler #9244).
        "api_groups": ["resource.k8s.io"],
        "resources": ["deviceclasses", "resourceclaims", "resourceslices"],
        "verbs": [*READ],
    },
)

NAMESPACE_RULES: tuple[k8s.rbac.v1.PolicyRuleArgsDict, ...] = (
    # `create` knows no name yet, so it cannot be limited to one.
    {"api_groups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "api_groups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resource_names": [NAME],
        "verbs": ["get", "update"],
    },
    {"api_groups": [""], "resources": ["configmaps"], "verbs": ["create"]},
    {
        "api_groups": [""],
        "resources": ["configmaps"],
        "resource_names": ["cluster-autoscaler-status"],
        "verbs": ["get", "update", "delete"],
    },
)


@dataclass(frozen=True, kw_only=True)
class ClusterAutoscalerArgs:
    """What a ClusterAutoscaler is made from."""

    cluster_name: str
    """As it stands in the tags of the cluster's Auto Scaling groups."""
    cluster: Input[str]
    """The same name, known once nodes and add-ons are ready."""
    image: str
    """For the cluster's minor version of Kubernetes."""
    account: AwsAccount


class ClusterAutoscaler(pulumi.ComponentResource):
    """The cluster autoscaler, at work on the node groups of one cluster."""

    def __init__(
        self, name: str, args: ClusterAutoscalerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:ClusterAutoscaler", name, None, opts)
        child = ResourceOptions(parent=self)

        role, policy = self._role(name, args)
        association = aws.eks.PodIdentityAssociation(
            f"{name}-identity",
            cluster_name=args.cluster,
            namespace=NAMESPACE,
            service_account=NAME,
            role_arn=role.arn,
            opts=child,
        )
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account",
            metadata={"name": NAME, "namespace": NAMESPACE},
            opts=child,
        )
        permissions = self._permissions(name, account)
        deployment = self._deployment(
            name,
            args,
            # Credentials are put into a pod when it is made, if there is an association by then.
            ResourceOptions(parent=self, depends_on=[association, policy, *permissions]),
        )
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-budget",
            metadata={"name": NAME, "namespace": NAMESPACE},
            spec={
                "max_unavailable": 1,  # `min_available` of one would block the drain of its node
                "selector": {"match_labels": deployment.spec.selector.match_labels},
            },
            opts=child,
        )
        self.register_outputs({})

    def _role(
        self, name: str, args: ClusterAutoscalerArgs
    ) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        role = aws.iam.Role(
            f"{name}-role",
            assume_role_policy=pod_identity.trust_policy(
                account_id=args.account.id,
                cluster_arn=args.account.arn("eks", f"cluster/{args.cluster_name}"),
                namespace=NAMESPACE,
                service_account=NAME,
            ),
            opts=ResourceOptions(parent=self),
        )
        groups = args.account.arn("autoscaling", "autoScalingGroup")
        tag = f"aws:ResourceTag/k8s.io/cluster-autoscaler/{args.cluster_name}"
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    # None of these actions can be limited to a resource.
                    "Effect": "Allow",
                    "Action": [
                        "autoscaling:DescribeAutoScalingGroups",
                        "autoscaling:DescribeAutoScalingInstances",
                        "autoscaling:DescribeLaunchConfigurations",
                        "autoscaling:DescribeScalingActivities",
                        "autoscaling:DescribeTags",
                        "ec2:DescribeImages",
                        "ec2:DescribeInstanceTypes",
                        "ec2:DescribeLaunchTemplateVersions",
                        "ec2:GetInstanceTypesFromInstanceRequirements",
                    ],
                    "Resource": "*",
                },
                {
                    "Effect": "Allow",
                    "Action": "eks:DescribeNodegroup",
                    "Resource": args.account.arn("eks", f"nodegroup/{args.cluster_name}/*/*"),
                },
                {
                    "Effect": "Allow",
                    "Action": [
                        "autoscaling:SetDesiredCapacity",
                        "autoscaling:TerminateInstanceInAutoScalingGroup",
                    ],
                    "Resource": f"{groups}:*:autoScalingGroupName/*",
                    # EKS tags the groups of its managed node groups itself.
                    "Condition": {"StringEquals": {tag: "owned"}},
                },
            ],
        }
        return role, aws.iam.RolePolicy(
            f"{name}-policy",
            role=role.name,
            policy=json.dumps(policy),
            opts=ResourceOptions(parent=self),
        )

    def _permissions(
        self, name: str, account: k8s.core.v1.ServiceAccount
    ) -> tuple[k8s.rbac.v1.ClusterRoleBinding, k8s.rbac.v1.RoleBinding]:
        child = ResourceOptions(parent=self)
        subject: k8s.rbac.v1.SubjectArgsDict = {
            "kind": "ServiceAccount",
            "name": account.metadata.name,
            "namespace": NAMESPACE,
        }
        cluster_role = k8s.rbac.v1.ClusterRole(
            f"{name}-cluster-role", metadata={"name": NAME}, rules=CLUSTER_RULES, opts=child
        )
        role = k8s.rbac.v1.Role(
            f"{name}-role",
            metadata={"name": NAME, "namespace": NAMESPACE},
            rules=NAMESPACE_RULES,
            opts=child,
        )
        return (
            k8s.rbac.v1.ClusterRoleBinding(
                f"{name}-cluster-binding",
                metadata={"name": NAME},
                role_ref={
                    "api_group": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": cluster_role.metadata.name,
                },
                subjects=[subject],
                opts=child,
            ),
            k8s.rbac.v1.RoleBinding(
                f"{name}-binding",
                metadata={"name": NAME, "namespace": NAMESPACE},
                role_ref={
                    "api_group": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": role.metadata.name,
                },
                subjects=[subject],
                opts=child,
            ),
        )

    def _deployment(
        self, name: str, args: ClusterAutoscalerArgs, opts: ResourceOptions
    ) -> k8s.apps.v1.Deployment:
        labels = {"app.kubernetes.io/name": NAME}
        tags = f"k8s.io/{NAME}/enabled,k8s.io/{NAME}/{args.cluster_name}"
        return k8s.apps.v1.Deployment(
            f"{name}-deployment",
            metadata={"name": NAME, "namespace": NAMESPACE, "labels": labels},
            spec={
                "replicas": 1,
                "selector": {"match_labels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "service_account_name": NAME,
                        "priority_class_name": "system-cluster-critical",
                        "node_selector": {"kubernetes.io/os": "linux"},
                        "security_context": {
                            "run_as_non_root": True,
                            "run_as_user": 65534,
                            "run_as_group": 65534,
                            "fs_group": 65534,
                            "seccomp_profile": {"type": "RuntimeDefault"},
                        },
                        "containers": [
                            {
                                "name": NAME,
                                "image": args.image,
                                "command": [
                                    "./cluster-autoscaler",
                                    "--cloud-provider=aws",
                                    f"--node-group-auto-discovery=asg:tag={tags}",
                                    "--expander=least-waste",
                                    # Else the pods of kube-system would keep every node alive.
                                    # Pods of jobs do so still: no controller would bring them back.
                                    "--skip-nodes-with-system-pods=false",
                                    "--skip-nodes-with-local-storage=false",
                                ],
                                "env": [{"name": "AWS_REGION", "value": args.account.region}],
                                "resources": {
                                    "requests": {"cpu": "100m", "memory": "600Mi"},
                                    "limits": {"cpu": "1", "memory": "600Mi"},
                                },
                                "ports": [{"name": "http", "container_port": 8085}],
                                "readiness_probe": {
                                    "http_get": {"path": "/health-check", "port": "http"},
                                },
                                "liveness_probe": {
                                    "http_get": {"path": "/health-check", "port": "http"},
                                    "initial_delay_seconds": 30,
                                },
                                "security_context": {
                                    "allow_privilege_escalation": False,
                                    "read_only_root_filesystem": True,
                                    "capabilities": {"drop": ["ALL"]},
                                },
                            }
                        ],
                    },
                },
            },
            opts=opts,
        )
