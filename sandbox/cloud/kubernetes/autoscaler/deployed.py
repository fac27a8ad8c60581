"""The cluster autoscaler that runs in the cluster: whether it works, as whom, and how."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import boto3
import kubernetes.client
import kubernetes.config
from botocore.config import Config

from sandbox.cloud import ways_out
from sandbox.cloud.aws import pod_identity
from sandbox.cloud.kubernetes.nodes import SUBNET
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any

_IMAGE: Final = re.compile(r"(.*/)?cluster-autoscaler(:.*|@.*)?")
_SERVICES: Final = ("autoscaling", "ec2", "eks", "eks-auth")
_LISTS_SECONDS: Final = 60.0
# What its informers list before it does anything, and again where a watch has ended: without one of
# them there is no scaling at all.
_LISTED: Final = {
    "/api/v1": (
        *("namespaces", "nodes", "persistentvolumeclaims", "persistentvolumes", "pods"),
        *("replicationcontrollers", "services"),
    ),
    "/apis/apps/v1": ("daemonsets", "replicasets", "statefulsets"),
    "/apis/batch/v1": ("jobs",),
    "/apis/policy/v1": ("poddisruptionbudgets",),
    "/apis/resource.k8s.io/v1": ("deviceclasses", "resourceclaims", "resourceslices"),
    "/apis/storage.k8s.io/v1": (
        *("csidrivers", "csinodes", "csistoragecapacities", "storageclasses"),
        "volumeattachments",
    ),
}


class NotWorkingError(Exception):
    """Why an autoscaler that runs does nothing."""


@dataclass
class Deployed:
    """An autoscaler whose pod is ready."""

    pod: Json
    arguments: tuple[str, ...]
    kubeconfig: str
    aws: Aws
    """As AWS itself, to see what the pod would get."""

    @cached_property
    def api(self) -> Any:  # noqa: ANN401
        """Return a client of the API server that is taken for the pod's service account."""
        client: Any = kubernetes.config.new_client_from_config(self.kubeconfig)
        spec, namespace = self.pod.spec, self.pod.metadata.namespace
        account = f"system:serviceaccount:{namespace}:{spec.service_account_name}"
        client.set_default_header("Impersonate-User", account)
        return client

    @cached_property
    def core(self) -> Any:  # noqa: ANN401
        """Return the core API, as the same."""
        return kubernetes.client.CoreV1Api(self.api)

    def require(self) -> None:
        """See that it may know what it has to know, and reaches AWS."""
        if time.monotonic() - self._listed > _LISTS_SECONDS:
            self._list()
            self._listed = time.monotonic()
        node = self.core.read_node(self.pod.spec.node_name)
        subnet = (node.metadata.annotations or {}).get(SUBNET)
        ec2 = self.aws.client("ec2")
        if subnet and not ways_out.of_subnet(ec2, subnet).lead_to(*_SERVICES):
            raise NotWorkingError(f"from {subnet} there is no way to {', '.join(_SERVICES)}")

    _listed = float("-inf")

    def _list(self) -> None:
        for group, kinds in _LISTED.items():
            for kind in kinds:
                address = f"{self.api.configuration.host}{group}/{kind}?limit=1"
                pool = self.api.rest_client.pool_manager
                answer = pool.request("GET", address, headers=self.api.default_headers)
                if answer.status != HTTPStatus.OK:
                    why = answer.json().get("message", answer.status)
                    raise NotWorkingError(f"it gets no list of {group}/{kind}: {why}")

    def flag(self, name: str, default: str) -> str:
        """Return what an argument says."""
        given = [one.partition("=")[2] for one in self.arguments if one.startswith(f"--{name}=")]
        return given[-1] if given else default

    def client(self, service: str) -> Any:  # noqa: ANN401
        """Return a client of AWS's that signs as the pod's role."""
        clients = self._clients
        if service not in clients:
            session, region = self._session, self.aws.region
            config = Config(proxies={}, retries={"mode": "standard", "max_attempts": 2})
            clients[service] = session.client(service, region, config=config)  # type: ignore[call-overload]
        return clients[service]

    _until = datetime.min.replace(tzinfo=UTC)

    def sign_in(self) -> None:
        """Have credentials that hold for a while."""
        if datetime.now(UTC) + timedelta(minutes=5) < self._until:
            return
        names = self.aws.client("eks").list_clusters()["clusters"]
        if not names:
            raise NotWorkingError("its cluster is gone")
        try:
            account, role = pod_identity.of_pod(self.aws, names[0], self.pod)
            got = pod_identity.assume(self.aws, account, role, self.pod.metadata.name)
        except pod_identity.NoRoleError as error:
            raise NotWorkingError(f"it has no credentials of AWS: {error}") from None
        self._session = boto3.Session(got.access_key_id, got.secret_access_key, got.session_token)
        self._clients: dict[str, Any] = {}
        self._until = got.expires


def find(kubeconfig: str, api: Json, aws_in: Callable[[str], Aws]) -> Deployed | None:
    """Return the autoscaler of a Deployment that is available, with the pod that is ready.

    api: as the administrator; aws_in: AWS itself, by region.
    """
    apps: Any = kubernetes.client.AppsV1Api(api)
    core: Any = kubernetes.client.CoreV1Api(api)
    for deployment in apps.list_deployment_for_all_namespaces().items:
        (container, *_) = deployment.spec.template.spec.containers
        conditions = deployment.status.conditions or ()
        available = any(one.type == "Available" and one.status == "True" for one in conditions)
        if not available or not _IMAGE.fullmatch(container.image or ""):
            continue
        labels = deployment.spec.selector.match_labels.items()
        pods = core.list_namespaced_pod(
            deployment.metadata.namespace,
            label_selector=",".join(f"{key}={value}" for key, value in labels),
        )
        for pod in sorted(pods.items, key=lambda one: str(one.metadata.creation_timestamp)):
            (container, *_) = pod.spec.containers
            ready = any(
                one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ()
            )
            arguments = (*(container.command or ()), *(container.args or ()))
            named = {one.name: one.value for one in container.env or ()}
            if ready and pod.metadata.deletion_timestamp is None and "AWS_REGION" in named:
                return Deployed(pod, arguments, kubeconfig, aws_in(named["AWS_REGION"]))
    return None
