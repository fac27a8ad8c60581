"""The images of public registries that the platform starts, and where they are pulled from.

`python -m components.images 1.35` names those of a stack with Kubernetes 1.35, to be copied.
"""

from __future__ import annotations

import sys

import pulumi
import pulumi_aws as aws

from components.aws_account import AwsAccount

# The autoscaler simulates the scheduler, so its minor version is the cluster's
# (github.com/kubernetes/autoscaler, "Releases").
_AUTOSCALER_VERSIONS = {"1.33": "1.33.5", "1.34": "1.34.4", "1.35": "1.35.1", "1.36": "1.36.1"}
XCOM_SIDECAR = "public.ecr.aws/docker/library/alpine:3.24.1"
POD_EXAMPLE = "public.ecr.aws/docker/library/busybox:1.37.0"  # in dags/kubernetes_pod_example.py


def cluster_autoscaler(kubernetes_version: str) -> str:
    """Return the cluster autoscaler's image for a minor version of Kubernetes."""
    version = _AUTOSCALER_VERSIONS[kubernetes_version]
    return f"registry.k8s.io/autoscaling/cluster-autoscaler:v{version}"


def prefix(registry: str | None) -> str:
    """Return what stands before an image's public name where it is pulled from."""
    return f"{registry}/" if registry else ""


def in_registry(
    image: str, registry: str | None, account: AwsAccount, *, parent: pulumi.Resource
) -> str:
    """Return the name under which an image is pulled, once it is there.

    Looked for are images in the account's own ECR: a copy that was forgotten ends the preview,
    and not the wait for a pod in the middle of `up`.
    """
    name = prefix(registry) + image
    ours = f"{account.id}.dkr.ecr.{account.region}.amazonaws.com/"
    if name.startswith(ours):
        repository, _, tag = name.removeprefix(ours).rpartition(":")
        try:
            aws.ecr.get_image(
                repository_name=repository,
                image_tag=tag,
                opts=pulumi.InvokeOptions(parent=parent),
            )
        except Exception as error:
            message = (
                f"mwaa-on-eks:cluster.imageRegistry: {name} is not there ({error}): copy {image} "
                "to it, as README says under “Without NAT”, or set cluster.imageRegistry to null "
                "where nodes reach the internet"
            )
            raise pulumi.RunError(message) from None
    return name


if __name__ == "__main__":
    print(cluster_autoscaler(sys.argv[1]), POD_EXAMPLE, XCOM_SIDECAR, sep="\n")
