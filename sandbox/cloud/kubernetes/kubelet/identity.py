"""EKS Pod Identity: what its webhook tells a pod, and the agent that gives the pod its role."""

from __future__ import annotations

import http.client
import json
import os
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import kubernetes.client
from botocore.exceptions import ClientError

from sandbox.cloud.aws import authorization
from sandbox.cloud.clusters import Clusters
from sandbox.cloud.kubernetes.kubelet.containers import Mount
from sandbox.machine.aws_api import Answer, Aws, in_region

AUDIENCE: Final = "pods.eks.amazonaws.com"
# https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
_PLACE: Final = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
_FILE: Final = "eks-pod-identity-token"
_LIFETIME: Final = 86400
"""Seconds; the SDKs ask anew before a role's credentials expire, with the same token."""
_POD: Final = "authentication.kubernetes.io/pod-name"


def session(pod: str) -> str:
    """Name the session of a pod's role."""
    return f"eks-{pod}"[-64:].lstrip("-.")


class DeniedError(Exception):
    """Why a pod does not get its role."""


@dataclass(frozen=True)
class Account:
    """A service account, and the cluster that it is in."""

    namespace: str
    name: str
    region: str
    cluster: str


class PodIdentity:
    """The roles of service accounts."""

    def __init__(self, client: Any, aws: Aws) -> None:  # noqa: ANN401
        self._core: Any = kubernetes.client.CoreV1Api(client)
        self._reviews: Any = kubernetes.client.AuthenticationV1Api(client)
        self._aws = aws
        self._clusters = Clusters(aws)
        handler = type("Handler", (_Handler,), {"identity": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def variables(self, pod: Any, directory: Path) -> tuple[dict[str, str], list[Mount]]:  # noqa: ANN401
        """Return what is added to a pod's environment, and to its files, for its role's sake."""
        account = self._account(pod.metadata.namespace, pod.spec.service_account_name)
        if account is None or self._association(account) is None:
            return {}, []
        directory.mkdir(parents=True, exist_ok=True)
        token = directory / _FILE
        token.touch(mode=0o600)
        token.write_text(self._token(pod))
        port = self._server.server_address[1]
        variables = {
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{_PLACE}/{_FILE}",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/v1/credentials",
            "AWS_DEFAULT_REGION": account.region,
            "AWS_REGION": account.region,
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        }
        return variables, [Mount(directory, _PLACE, read_only=True)]

    def credentials(self, token: str) -> dict[str, str]:
        """Return credentials of the role of a token's pod; DeniedError says why there are none."""
        review = self._reviews.create_token_review(
            {"spec": {"token": token, "audiences": [AUDIENCE]}}
        ).status
        kind, _, subject = (review.user.username or "").partition("serviceaccount:")
        if not review.authenticated or kind != "system:":
            raise DeniedError("the token is not one of a pod of this cluster")
        namespace, _, name = subject.partition(":")
        account = self._account(namespace, name)
        role = None if account is None else self._association(account)
        if account is None or role is None:
            raise DeniedError(f"the service account {name} of {namespace} has no association")
        (pod,) = (review.user.extra or {}).get(_POD, ["-"])
        with in_region(account.region):
            return self._assume(account, role, pod)

    def _account(self, namespace: str, name: str) -> Account | None:
        found = self._clusters.find()
        return None if found is None else Account(namespace, name, *found)

    def _association(self, account: Account) -> str | None:
        """Return the role that a service account is associated with."""
        with in_region(account.region):
            eks = self._aws.client("eks")
            for found in eks.list_pod_identity_associations(
                clusterName=account.cluster,
                namespace=account.namespace,
                serviceAccount=account.name,
            )["associations"]:
                described = eks.describe_pod_identity_association(
                    clusterName=account.cluster, associationId=found["associationId"]
                )
                return str(described["association"]["roleArn"])
        return None

    def _token(self, pod: Any) -> str:  # noqa: ANN401
        request = {
            "spec": {
                "audiences": [AUDIENCE],
                "expirationSeconds": _LIFETIME,
                "boundObjectRef": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": pod.metadata.name,
                    "uid": pod.metadata.uid,
                },
            }
        }
        made = self._core.create_namespaced_service_account_token(
            pod.spec.service_account_name, pod.metadata.namespace, request
        )
        return str(made.status.token)

    def _assume(self, account: Account, arn: str, pod: str) -> dict[str, str]:
        self._require_trust(account, arn)
        try:
            given: Answer = self._aws.client("sts").assume_role(
                RoleArn=arn, RoleSessionName=session(pod)
            )["Credentials"]
        except ClientError as error:
            raise DeniedError(str(error)) from None
        return {
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "Token": given["SessionToken"],
            "AccountId": self._aws.account,
            "Expiration": given["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _require_trust(self, account: Account, arn: str) -> None:
        role = self._aws.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
        context: dict[str, str | list[str]] = {
            "aws:SourceAccount": self._aws.account,
            "aws:SourceArn": self._aws.arn("eks", f"cluster/{account.cluster}"),
            "aws:RequestTag/kubernetes-namespace": account.namespace,
            "aws:RequestTag/kubernetes-service-account": account.name,
        }
        for action in ("sts:AssumeRole", "sts:TagSession"):
            if not authorization.is_trusted(
                role["AssumeRolePolicyDocument"], "Service", AUDIENCE, action, context
            ):
                raise DeniedError(f"{AUDIENCE} is not authorized to perform: {action} on {arn}")


class _Handler(BaseHTTPRequestHandler):
    """Answers the SDKs."""

    identity: PodIdentity

    def do_GET(self) -> None:
        """Give a role's credentials to who presents a token of a pod of it."""
        token = self.headers.get("Authorization", "")
        try:
            if self.path != "/v1/credentials" or not token:
                raise DeniedError("no token")
            self._answer(http.client.OK, self.identity.credentials(token))
        except DeniedError as reason:
            self._answer(http.client.BAD_REQUEST, {"code": "AccessDenied", "message": str(reason)})

    def _answer(self, status: int, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def emulated() -> dict[str, str]:
    """Return where AWS is for the SDKs of a pod."""
    return {
        key: value
        for key, value in os.environ.items()
        if key.startswith("AWS_ENDPOINT_URL")
        or key in ("AWS_DISABLE_HOST_PREFIX_INJECTION", "AWS_EC2_METADATA_DISABLED")
    }
