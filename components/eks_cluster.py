"""The Kubernetes cluster and the nodes that run the jobs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as k8s
from pulumi import Input, Output, ResourceOptions

from components import pod_identity
from components.aws_account import AwsAccount
from components.capacity import EXECUTORS, NodeGroup
from components.managed_addon import managed_addon
from components.node_bounds import NodeBounds

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")


# How much disk a node will have that is not there yet, neither EKS nor EC2 tells the cluster
# autoscaler: without the tag it starts none for a pod that asks for some, as each pod of a job does
# ("Auto-Discovery Setup" in its README for AWS; kubernetes/autoscaler, aws_manager.go).
_DISK_OF_NEXT = "k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage"


def _usable_gib(group: NodeGroup) -> int:
    """Return what pods can have of a node's disk, of which the kubelet keeps a tenth and some."""
    return group.disk_gib * 85 // 100


@dataclass(frozen=True)
class _Common:
    """What groups of nodes have in common."""

    cluster: eks.Cluster
    cluster_name: Output[str]
    role_arn: Output[str]
    launch_template: aws.ec2.LaunchTemplate
    after: Sequence[pulumi.Resource]


@dataclass(frozen=True, kw_only=True)
class EksClusterArgs:
    """What an EksCluster is made from."""

    cluster_name: str
    kubernetes_version: str
    """Minor version, as "1.35"."""
    authentication_mode: Literal["API", "API_AND_CONFIG_MAP"]
    vpc_id: Input[str]
    control_plane_subnet_ids: Sequence[Input[str]]
    """Private ones in two zones at least, and in no others than the control plane was made in: EKS
    takes none there ("Amazon EKS networking requirements for VPC and subnets")."""
    subnet_ids: Sequence[Input[str]]
    """Private ones for the nodes, which may be in further zones."""
    kms_key_arn: Input[str]
    """Encrypts Kubernetes secrets, the control plane's logs and the nodes' volumes."""
    public_access_cidrs: tuple[str, ...]
    """Who reaches the API server from the internet; empty for nobody."""
    private_access_cidrs: tuple[str, ...]
    private_access_security_group_ids: tuple[str, ...]
    """Who reaches it within the VPC and from connected networks, besides the nodes."""
    admin_principal_arns: tuple[str, ...]
    """Administrators beside the identity that creates the cluster, which must not be listed: EKS
    makes its entry itself, and refuses a second one."""
    viewer_principal_arns: tuple[str, ...]
    network_policy_mode: Literal["standard", "strict"]
    """In the strict one, pods that no network policy selects reach nobody."""
    node_group: NodeGroup
    spot_node_group: NodeGroup | None
    """Further nodes, on spot capacity, for executors of Spark alone."""
    asleep: bool
    """Leave the number of nodes to something else, as Sleep."""
    log_retention_days: int
    deletion_protection: bool
    after: Sequence[pulumi.Resource]
    """What is there before the control plane, and goes after it."""
    account: AwsAccount
    tags: Mapping[str, str]
    """For the instances and volumes: a provider's default tags do not reach what a launch
    template makes."""


class EksCluster(pulumi.ComponentResource):
    """An EKS cluster with ready nodes, and the access of its administrators and viewers."""

    name: Output[str]
    """Known once nodes are ready and access is granted."""
    arn: Output[str]
    endpoint: Output[str]
    cluster_security_group_id: Output[str]
    autoscaling_group_name: Output[str]
    """Of the nodes that anything runs on."""
    spot_autoscaling_group_name: Output[str] | None
    kubernetes_provider: k8s.Provider
    """Outlived by the nodes and the access that its resources need to be deleted."""

    def __init__(
        self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:EksCluster", name, None, opts)
        child = ResourceOptions(parent=self)
        self._args = args
        self._cluster_arn = args.account.arn("eks", f"cluster/{args.cluster_name}")

        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/eks/{args.cluster_name}/cluster",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.kms_key_arn,
            opts=child,
        )
        cluster_role, cluster_policy = self._cluster_role(name)
        # Besides the group that EKS makes: pulumi-eks itself makes an object in the cluster, before
        # it tells of that one.
        callers = aws.ec2.SecurityGroup(
            f"{name}-callers",
            vpc_id=args.vpc_id,
            description="Who calls the Kubernetes API privately",
            tags={"Name": f"{args.cluster_name}-callers"},
            opts=child,
        )
        ways_in = self._ways_in(name, callers.id)
        cluster = eks.Cluster(
            f"{name}-cluster",
            name=args.cluster_name,
            version=args.kubernetes_version,
            authentication_mode=eks.AuthenticationMode(args.authentication_mode),
            service_role=cluster_role,
            vpc_id=args.vpc_id,  # without it, pulumi-eks looks for the account's default VPC
            subnet_ids=list(args.control_plane_subnet_ids),
            endpoint_private_access=True,
            endpoint_public_access=bool(args.public_access_cidrs),
            public_access_cidrs=list(args.public_access_cidrs) or None,
            encryption_config_key_arn=args.kms_key_arn,
            enabled_cluster_log_types=list(LOG_TYPES),
            upgrade_policy={"support_type": "STANDARD"},
            deletion_protection=args.deletion_protection,
            # Add-ons, nodes and access are resources of their own: only so can they have an order.
            bootstrap_self_managed_addons=False,
            use_default_vpc_cni=True,
            coredns_addon_options={"enabled": False},
            kube_proxy_addon_options={"enabled": False},
            skip_default_node_group=True,
            skip_default_security_groups=True,
            cluster_security_group=callers,
            create_oidc_provider=False,
            # EKS makes the log group itself if there is none, without key or retention. Whatever a
            # remote component depends on is deleted after its children; not so the other way round
            # (see `nodes` below).
            opts=ResourceOptions(
                parent=self, depends_on=[log_group, cluster_policy, *ways_in, *args.after]
            ),
        )
        self.arn = cluster.eks_cluster.arn
        self.endpoint = cluster.eks_cluster.endpoint
        self.cluster_security_group_id = cluster.eks_cluster.vpc_config.apply(
            lambda network: network.cluster_security_group_id or ""
        )

        # Taken from the cluster itself: `depends_on` the component would not keep the cluster
        # alive until its dependents are deleted, since it says nothing of the component's children.
        cluster_name = cluster.eks_cluster.name
        access = self._access(name, cluster_name)
        node_addons = self._node_addons(name, cluster_name)
        node_role, node_policies = self._node_role(name)
        launch_template = self._launch_template(name)
        # A node without CNI is never ready, and leaves network interfaces behind that block the
        # deletion of its subnet when CNI or role go before it (amazon-vpc-cni-k8s #608).
        common = _Common(
            cluster, cluster_name, node_role.arn, launch_template, [*node_addons, *node_policies]
        )
        nodes = self._node_group(name, args.node_group, common)
        groups = [nodes.node_group]
        self.autoscaling_group_name = _autoscaling_group_name(nodes)
        self.spot_autoscaling_group_name = None
        if args.spot_node_group is not None:
            spot = self._node_group(f"{name}-spot", args.spot_node_group, common, spot=True)
            groups.append(spot.node_group)
            self.spot_autoscaling_group_name = _autoscaling_group_name(spot)

        self.kubernetes_provider = k8s.Provider(
            f"{name}-kubernetes",
            kubeconfig=cluster.kubeconfig_json,
            # Else a kubeconfig that a preview does not know would replace every object.
            cluster_identifier=args.cluster_name,
            # The next change of an object takes back the fields of ours that were edited by hand,
            # which would else end that change in a conflict. Until then nobody looks at them.
            enable_patch_force=True,
            opts=ResourceOptions(parent=self, depends_on=[*groups, *access]),
        )
        # Names, unlike ids, are known to the preview of a new node group or access entry: a name
        # unknown there would preview as a replacement of all that is made in the cluster.
        waiting = [nodes.node_group.cluster_name, *(grant.cluster_name for grant in access)]
        self.name = Output.all(*waiting).apply(lambda names: names[0])
        self.register_outputs(
            {
                "name": self.name,
                "arn": self.arn,
                "endpoint": self.endpoint,
                "cluster_security_group_id": self.cluster_security_group_id,
                "autoscaling_group_name": self.autoscaling_group_name,
            }
        )

    def _ways_in(self, name: str, group_id: Output[str]) -> list[aws.vpc.SecurityGroupIngressRule]:
        """Let in who calls the API server privately."""
        cidrs: dict[str, str | None] = dict.fromkeys(self._args.private_access_cidrs)
        groups = {group: group for group in self._args.private_access_security_group_ids}
        return [
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-from-{peer}",
                security_group_id=group_id,
                description="The Kubernetes API, privately",
                cidr_ipv4=None if group else peer,
                referenced_security_group_id=group,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                opts=ResourceOptions(parent=self),
            )
            for peer, group in (cidrs | groups).items()
        ]

    def _cluster_role(self, name: str) -> tuple[aws.iam.Role, aws.iam.RolePolicyAttachment]:
        role = aws.iam.Role(
            f"{name}-cluster",
            assume_role_policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "eks.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                            "Condition": {
                                "StringEquals": {"aws:SourceAccount": self._args.account.id},
                                "ArnEquals": {"aws:SourceArn": self._cluster_arn},
                            },
                        }
                    ],
                }
            ),
            opts=ResourceOptions(parent=self),
        )
        return role, self._attach(f"{name}-cluster-policy", role, "AmazonEKSClusterPolicy")

    def _node_role(self, name: str) -> tuple[aws.iam.Role, list[aws.iam.RolePolicyAttachment]]:
        role = aws.iam.Role(
            f"{name}-node",
            # EC2 names no source when it assumes an instance's role: nothing to restrict it by.
            assume_role_policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "ec2.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                }
            ),
            opts=ResourceOptions(parent=self),
        )
        return role, [
            self._attach(f"{name}-node-worker", role, "AmazonEKSWorkerNodePolicy"),
            self._attach(f"{name}-node-pull", role, "AmazonEC2ContainerRegistryPullOnly"),
        ]

    def _attach(self, name: str, role: aws.iam.Role, policy: str) -> aws.iam.RolePolicyAttachment:
        return aws.iam.RolePolicyAttachment(
            name,
            role=role.name,
            policy_arn=f"arn:{self._args.account.partition}:iam::aws:policy/{policy}",
            opts=ResourceOptions(parent=self),
        )

    def _launch_template(self, name: str) -> aws.ec2.LaunchTemplate:
        tags = {"Name": f"{self._args.cluster_name}-node", **self._args.tags}
        return aws.ec2.LaunchTemplate(
            f"{name}-nodes",
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",  # the root device of AL2023
                    "ebs": {
                        "volume_type": "gp3",
                        "volume_size": self._args.node_group.disk_gib,
                        "encrypted": "true",
                        # Else the account's default key, which may not let Auto Scaling in.
                        "kms_key_id": self._args.kms_key_arn,
                        "delete_on_termination": "true",
                    },
                }
            ],
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,  # keeps the node's role out of pods' reach
            },
            tag_specifications=[
                {"resource_type": kind, "tags": tags}
                for kind in ("instance", "volume", "network-interface")
            ],
            opts=ResourceOptions(parent=self),
        )

    def _node_group(
        self, name: str, group: NodeGroup, common: _Common, *, spot: bool = False
    ) -> eks.ManagedNodeGroup:
        """Make nodes within bounds, of which there are as many as the autoscaler says."""
        key, value = EXECUTORS
        nodes = eks.ManagedNodeGroup(
            f"{name}-nodes",
            cluster=common.cluster.core,
            version=self._args.kubernetes_version,
            node_role_arn=common.role_arn,
            subnet_ids=list(self._args.subnet_ids),
            ami_type=group.ami_type,
            instance_types=list(group.instance_types),
            capacity_type="SPOT" if spot else None,
            labels={key: value} if spot else None,
            taints=[{"key": key, "value": value, "effect": "NO_SCHEDULE"}] if spot else None,
            tags={_DISK_OF_NEXT: f"{_usable_gib(group)}Gi"} if spot else None,
            scaling_config={
                "desired_size": group.min_size,
                "min_size": group.min_size,
                "max_size": group.max_size,
            },
            launch_template={
                "id": common.launch_template.id,
                "version": common.launch_template.latest_version.apply(str),
            },
            opts=ResourceOptions(
                parent=self, depends_on=common.after, transforms=[leave_scaling_alone]
            ),
        )
        if self._args.asleep:
            return nodes
        NodeBounds(
            f"{name}-node-bounds",
            cluster_name=common.cluster_name,
            node_group_name=nodes.node_group.node_group_name,
            min_size=group.min_size,
            max_size=group.max_size,
            region=self._args.account.region,
            account_id=self._args.account.id,
            opts=ResourceOptions(parent=self),
        )
        return nodes

    def _node_addons(self, name: str, cluster_name: Output[str]) -> list[aws.eks.Addon]:
        """Make the add-ons that a node needs to become ready."""
        role = aws.iam.Role(
            f"{name}-cni",
            assume_role_policy=pod_identity.trust_policy(
                account_id=self._args.account.id,
                cluster_arn=self._cluster_arn,
                namespace="kube-system",
                service_account="aws-node",
            ),
            opts=ResourceOptions(parent=self),
        )
        policy = self._attach(f"{name}-cni-policy", role, "AmazonEKS_CNI_Policy")
        configuration: dict[str, object] = {"enableNetworkPolicy": "true"}
        if self._args.network_policy_mode == "strict":
            configuration["env"] = {"NETWORK_POLICY_ENFORCING_MODE": "strict"}
        return [
            self._addon("eks-pod-identity-agent", name, cluster_name),
            self._addon("kube-proxy", name, cluster_name),
            managed_addon(
                "vpc-cni",
                parent=self,
                name=name,
                cluster_name=cluster_name,
                kubernetes_version=self._args.kubernetes_version,
                configuration=json.dumps(configuration),
                roles={"aws-node": role.arn},
                depends_on=[policy],
            ),
        ]

    def _addon(self, addon: str, name: str, cluster_name: Output[str]) -> aws.eks.Addon:
        return managed_addon(
            addon,
            parent=self,
            name=name,
            cluster_name=cluster_name,
            kubernetes_version=self._args.kubernetes_version,
        )

    def _access(
        self, name: str, cluster_name: Output[str]
    ) -> list[aws.eks.AccessPolicyAssociation]:
        # AmazonEKSAdminViewPolicy would show secrets.
        policies = dict.fromkeys(self._args.viewer_principal_arns, "AmazonEKSViewPolicy")
        policies |= dict.fromkeys(self._args.admin_principal_arns, "AmazonEKSClusterAdminPolicy")
        grants = []
        for arn, policy in policies.items():
            key = f"{name}-{arn.split(':', 5)[-1]}"  # role/<path>/<name>
            entry = aws.eks.AccessEntry(
                key,
                cluster_name=cluster_name,
                principal_arn=arn,
                opts=ResourceOptions(parent=self),
            )
            grants.append(
                aws.eks.AccessPolicyAssociation(
                    key,
                    cluster_name=cluster_name,
                    principal_arn=entry.principal_arn,
                    policy_arn=f"arn:{self._args.account.partition}:eks::aws:cluster-access-policy/{policy}",
                    access_scope={"type": "cluster"},
                    opts=ResourceOptions(parent=self),
                )
            )
        return grants


def _autoscaling_group_name(nodes: eks.ManagedNodeGroup) -> Output[str]:
    """Return the name that EKS gives the one Auto Scaling group of a node group."""

    def name(resources: Sequence[aws.eks.outputs.NodeGroupResource]) -> str:
        (one,) = resources
        (group,) = one.autoscaling_groups or []
        return group.name or ""

    return nodes.node_group.apply(lambda group: group.resources.apply(name))


def leave_scaling_alone(
    args: pulumi.ResourceTransformArgs,
) -> pulumi.ResourceTransformResult | None:
    """Let a node group's size and bounds be as they are once it exists.

    The size is the autoscaler's, and a change of the bounds would send the last one known along.
    pulumi-eks, which makes the group, ignores the size alone.
    """
    if args.type_ != "aws:eks/nodeGroup:NodeGroup":
        return None
    args.opts.ignore_changes = [*(args.opts.ignore_changes or []), "scalingConfig"]
    return pulumi.ResourceTransformResult(args.props, args.opts)
