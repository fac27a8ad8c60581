"""The images of public registries that the platform starts, and where they are pulled from.

`python -m components.images 1.35` names those of a stack with Kubernetes 1.35, to be copied.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws_account import AwsAccount

# The autoscaler simulates the scheduler, so its minor version is the cluster's
# (github.com/kubernetes/autoscaler, "Releases").
_AUTOSCALER_VERSIONS = {"1.33": "1.33.5", "1.34": "1.34.4", "1.35": "1.35.1", "1.36": "1.36.1"}
_XCOM_SIDECAR = "public.ecr.aws/docker/library/alpine:3.24.1"
_POD_EXAMPLE = "public.ecr.aws/docker/library/busybox:1.37.0"  # in dags/kubernetes_pod_example.py


@dataclass(frozen=True)
class Images:
    """The images that a stack starts, under the names by which they are pulled."""

    prefix: str
    """What stands before the public name of any image."""
    cluster_autoscaler: str
    xcom_sidecar: str | None
    """None where pods return no values."""


def find_images(
    registry: str | None,
    *,
    kubernetes_version: str,
    xcom: bool,
    account: AwsAccount,
    provider: aws.Provider,
) -> Images:
    """Return the images of a stack, after a look whether they are there.

    registry: where their copies are; None for the public registries. Only the account's own ECR is
    looked into: a forgotten copy ends the preview, and not, much later, the wait for a pod.
    """
    prefix = f"{registry}/" if registry else ""
    autoscaler = _cluster_autoscaler(kubernetes_version)
    for image in [autoscaler, _XCOM_SIDECAR] if xcom else [autoscaler]:
        _require(image, prefix, account, provider)
    return Images(prefix, prefix + autoscaler, prefix + _XCOM_SIDECAR if xcom else None)


def _cluster_autoscaler(kubernetes_version: str) -> str:
    version = _AUTOSCALER_VERSIONS[kubernetes_version]
    return f"registry.k8s.io/autoscaling/cluster-autoscaler:v{version}"


def _require(image: str, prefix: str, account: AwsAccount, provider: aws.Provider) -> None:
    name = prefix + image
    ours = f"{account.id}.dkr.ecr.{account.region}.amazonaws.com/"
    if not name.startswith(ours):
        return
    repository, _, tag = name.removeprefix(ours).rpartition(":")
    try:
        aws.ecr.get_image(
            repository_name=repository,
            image_tag=tag,
            opts=pulumi.InvokeOptions(provider=provider),
        )
    except Exception as error:
        message = (
            f"mwaa-on-eks:cluster.imageRegistry: {name} is not there ({error}): copy {image} to "
            "it, as README says under “Without NAT”, or set cluster.imageRegistry to null where "
            "nodes reach the internet"
        )
        raise pulumi.RunError(message) from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m components.images", description=__doc__)
    parser.add_argument("kubernetes_version", choices=_AUTOSCALER_VERSIONS)
    version = parser.parse_args().kubernetes_version
    print(_cluster_autoscaler(version), _POD_EXAMPLE, _XCOM_SIDECAR, sep="\n")
