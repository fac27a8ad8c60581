"""What every cluster needs beside its nodes: DNS, volumes and metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
from pulumi import Input, Output, ResourceOptions

from components import pod_identity
from components.aws_account import AwsAccount
from components.managed_addon import managed_addon


@dataclass(frozen=True, kw_only=True)
class ClusterAddonsArgs:
    """What ClusterAddons are made from."""

    cluster_name: Input[str]
    """Known once nodes are ready: without one, these add-ons neither start nor end."""
    cluster_arn: Input[str]
    kubernetes_version: str
    """Minor version of the cluster, which decides those of the add-ons."""
    kms_key_arn: Input[str]
    """Encrypts volumes. It must let in whoever asks EC2 for them."""
    network_policy_mode: Literal["standard", "strict"]
    tags: Mapping[str, str]
    """For the volumes of claims, which a provider's default tags do not reach."""
    account: AwsAccount


class ClusterAddons(pulumi.ComponentResource):
    """DNS, encrypted volumes (the default storage class) and metrics in a cluster."""

    ready: Output[str]
    """The cluster's name, known once all of them work."""

    def __init__(
        self, name: str, args: ClusterAddonsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mwaa-on-eks:index:ClusterAddons", name, None, opts)
        child = ResourceOptions(parent=self)
        # In the strict mode, pods that no policy selects reach nobody, DNS's own among them, and an
        # add-on waits for its pods.
        ways = (
            [
                k8s.networking.v1.NetworkPolicy(
                    f"{name}-system",
                    metadata={"name": "allow-all", "namespace": "kube-system"},
                    spec={
                        "pod_selector": {},
                        "policy_types": ["Ingress", "Egress"],
                        "ingress": [{}],
                        "egress": [{}],
                    },
                    opts=child,
                )
            ]
            if args.network_policy_mode == "strict"
            else []
        )

        volume_role = aws.iam.Role(
            f"{name}-ebs-csi",
            assume_role_policy=pod_identity.trust_policy(
                account_id=args.account.id,
                cluster_arn=args.cluster_arn,
                namespace="kube-system",
                service_account="ebs-csi-controller-sa",
            ),
            opts=child,
        )
        volume_policy = aws.iam.RolePolicyAttachment(
            f"{name}-ebs-csi-policy",
            role=volume_role.name,
            policy_arn=f"arn:{args.account.partition}:iam::aws:policy/AmazonEBSCSIDriverPolicyV2",
            opts=child,
        )
        volumes = managed_addon(
            "aws-ebs-csi-driver",
            parent=self,
            name=name,
            cluster_name=args.cluster_name,
            kubernetes_version=args.kubernetes_version,
            configuration=json.dumps({"controller": {"extraVolumeTags": dict(args.tags)}}),
            roles={"ebs-csi-controller-sa": volume_role.arn},
            depends_on=[volume_policy, *ways],
        )
        addons = [
            volumes,
            *(
                managed_addon(
                    addon,
                    parent=self,
                    name=name,
                    cluster_name=args.cluster_name,
                    kubernetes_version=args.kubernetes_version,
                    depends_on=ways,
                )
                for addon in ("coredns", "metrics-server")
            ),
        ]
        k8s.storage.v1.StorageClass(
            f"{name}-gp3",
            metadata={
                "name": "gp3",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            provisioner="ebs.csi.aws.com",
            parameters={"type": "gp3", "encrypted": "true", "kmsKeyId": args.kms_key_arn},
            # Not before the pod has a node: a volume and its pod must be in one zone.
            volume_binding_mode="WaitForFirstConsumer",
            allow_volume_expansion=True,
            reclaim_policy="Delete",
            opts=ResourceOptions(parent=self, depends_on=[volumes]),
        )

        # Names, unlike ids, are known to the preview of a new add-on.
        self.ready = Output.all(*[addon.cluster_name for addon in addons]).apply(
            lambda names: names[0]
        )
        self.register_outputs({"ready": self.ready})
