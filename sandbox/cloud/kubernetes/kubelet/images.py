"""Whether a node can pull an image: nothing is pulled here, so that it has to be asked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from sandbox.cloud import ways_out
from sandbox.cloud.aws import authorization
from sandbox.cloud.kubernetes.kubelet.environment import NotYetError
from sandbox.cloud.kubernetes.nodes import REGION, ROLE, SUBNET
from sandbox.machine.aws_api import Aws, error_code, in_region

BACK_OFF, LONGEST_BACK_OFF = 10.0, 300.0
"""Seconds: https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff"""

# https://pkg.go.dev/github.com/distribution/reference#pkg-overview
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"(?:(?P<host>[\w.-]+(?::\d+)?)/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[\w.+-]+:[0-9a-f]{32,}))?"
)
_ECR: Final = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")


class NotPulledError(Exception):
    """Why a node cannot pull an image, as containerd puts it."""


@dataclass
class Images:
    """The images that nodes have or can pull."""

    aws: Aws
    _present: set[tuple[str, str]] = field(default_factory=set)
    """Node and image."""

    def require(self, image: str, policy: str | None, node: Any) -> None:  # noqa: ANN401
        """Let a node have an image; NotPulledError and NotYetError say why it cannot."""
        if not (parsed := _IMAGE.fullmatch(image)):
            raise NotYetError(f"couldn't parse image name {image}", "InvalidImageName")
        present = (node.metadata.uid, image) in self._present
        if policy == "Never" and not present:
            message = f"image {image} is not present with pull policy of Never"
            raise NotYetError(message, "ErrImageNeverPull")
        if not present or policy == "Always":
            annotations = node.metadata.annotations or {}
            with in_region(annotations.get(REGION)):
                self._pull(image, parsed, annotations)
            self._present.add((node.metadata.uid, image))

    def _pull(self, image: str, parsed: re.Match[str], node: dict[str, str]) -> None:
        if SUBNET not in node:  # a node that is no instance of EC2
            return
        host, path = parsed["host"] or "", parsed["path"]
        if not re.search(r"[.:]|^localhost$", host):
            host, path = "registry-1.docker.io", f"{host}/{path}" if host else f"library/{path}"
        reference = parsed["digest"] or parsed["tag"] or "latest"
        manifest = f"https://{host}/v2/{path}/manifests/{reference}"
        resolve = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
        )
        ecr = _ECR.fullmatch(host)
        ways = ways_out.of_subnet(self.aws.client("ec2"), node[SUBNET])
        services = ("ecr.api", "ecr.dkr", "s3") if ecr and ecr["region"] == self.aws.region else ()
        if not (ways.lead_to(*services) if services else ways.internet):
            raise NotPulledError(
                f"rpc error: code = DeadlineExceeded desc = {resolve}failed to do request: Head "
                f'"{manifest}": dial tcp: i/o timeout'
            )
        if ecr is None:
            return
        arn = f"arn:{self.aws.partition}:ecr:{ecr['region']}:{ecr['account']}:repository/{path}"
        if not _may_pull(self.aws, node[ROLE], arn):
            raise NotPulledError(
                f"rpc error: code = Unknown desc = {resolve}unexpected status from HEAD request to "
                f"{manifest}: 403 Forbidden"
            )
        # What other accounts have, and other regions, nobody knows here.
        if services and ecr["account"] == self.aws.account:
            kind = "imageDigest" if parsed["digest"] else "imageTag"
            if not _exists(self.aws, path, {kind: reference}):
                raise NotPulledError(
                    f"rpc error: code = NotFound desc = {resolve}{image}: not found"
                )


@dataclass
class Pulls:
    """The images of one pod, with the time that is left between two tries."""

    images: Images
    _tries: dict[str, tuple[float, float, str]] = field(default_factory=dict)
    """When the next one is due, how long it was waited for, and why the last one failed."""

    def require(self, image: str, policy: str | None, node: Any) -> None:  # noqa: ANN401
        """Let the pod's node have an image; NotYetError says why it has not."""
        due, delay, why = self._tries.get(image, (0.0, 0.0, ""))
        if time.monotonic() < due:
            message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
            raise NotYetError(message, "ImagePullBackOff")
        try:
            self.images.require(image, policy, node)
        except (NotPulledError, BotoCoreError, ClientError) as error:  # or AWS does not answer
            delay = min(max(BACK_OFF, 2 * delay), LONGEST_BACK_OFF)
            self._tries[image] = (time.monotonic() + delay, delay, str(error))
            raise NotYetError(str(error), "ErrImagePull") from None


def failure(image: str, reason: str, message: str) -> str:
    """Return what an event says of a container that waits."""
    if reason == "ErrImagePull":
        return f'Failed to pull image "{image}": {message}'
    return f"Error: {reason if reason == 'ImagePullBackOff' else message}"


def _exists(aws: Aws, repository: str, image_id: dict[str, str]) -> bool:
    try:
        aws.client("ecr").describe_images(repositoryName=repository, imageIds=[image_id])
    except Exception as error:
        if error_code(error) in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            return False
        raise
    return True


# "Private repository policies in Amazon ECR" and the actions of AmazonEC2ContainerRegistryPullOnly.
_TO_PULL: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def _may_pull(aws: Aws, role: str, repository: str) -> bool:
    documents = list(_policies(aws, role.rpartition("/")[2]))
    demands = [("ecr:GetAuthorizationToken", "*"), *((one, repository) for one in _TO_PULL)]
    return all(authorization.is_allowed(documents, *demand, {}) for demand in demands)


def _policies(aws: Aws, role: str) -> Iterator[Any]:
    """Yield what the policies of a role say."""
    iam = aws.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield _read(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        yield _read(found["Document"])


def _read(document: Any) -> Any:  # noqa: ANN401  (boto3 decodes it where it can)
    return json.loads(document) if isinstance(document, str) else document
