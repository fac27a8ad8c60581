"""EKS Pod Identity: what its webhook tells a pod, and the agent that gives the pod its role."""

from __future__ import annotations

import http.client
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import kubernetes.client
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.cloud.aws import pod_identity
from sandbox.cloud.aws.pod_identity import Account, Credentials, NoRoleError
from sandbox.cloud.clusters import Clusters
from sandbox.cloud.kubernetes.kubelet.containers import Mount
from sandbox.cloud.kubernetes.kubelet.volumes import token_of
from sandbox.machine.aws_api import Aws, in_region

# https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
_PLACE: Final = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
_FILE: Final = "eks-pod-identity-token"
_LIFETIME: Final = 86400
"""Seconds; the SDKs ask anew before a role's credentials expire, with the same token."""
_POD: Final = "authentication.kubernetes.io/pod-name"


class PodIdentity:
    """The roles of service accounts."""

    def __init__(self, client: Any, aws: Aws, port: int) -> None:  # noqa: ANN401
        self._core: Any = kubernetes.client.CoreV1Api(client)
        self._reviews: Any = kubernetes.client.AuthenticationV1Api(client)
        self._aws = aws
        self._clusters = Clusters(aws)
        handler = type("Handler", (_Handler,), {"identity": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def variables(self, pod: Any, directory: Path) -> tuple[dict[str, str], list[Mount]]:  # noqa: ANN401
        """Return what is added to a pod's environment, and to its files, for its role's sake."""
        where = self._clusters.find()
        if where is None:
            return {}, []
        region, cluster = where
        try:
            with in_region(region):
                pod_identity.of_pod(self._aws, cluster, pod)
        except NoRoleError:
            return {}, []
        directory.mkdir(parents=True, exist_ok=True)
        token = directory / _FILE
        token.touch(mode=0o600)
        token.write_text(token_of(self._core, pod, [pod_identity.SERVICE], _LIFETIME))
        port = self._server.server_address[1]
        variables = {
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{_PLACE}/{_FILE}",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/v1/credentials",
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        }
        return variables, [Mount(directory, _PLACE, read_only=True)]

    def credentials(self, token: str) -> Credentials:
        """Return credentials of the role of a token's pod; NoRoleError says why there are none."""
        review = self._reviews.create_token_review(
            {"spec": {"token": token, "audiences": [pod_identity.SERVICE]}}
        ).status
        kind, _, subject = (review.user.username or "").partition("serviceaccount:")
        where = self._clusters.find()
        if not review.authenticated or kind != "system:" or where is None:
            raise NoRoleError("the token is not one of a pod of this cluster")
        region, cluster = where
        namespace, _, name = subject.partition(":")
        account = Account(cluster, namespace, name)
        (pod,) = (review.user.extra or {}).get(_POD, ["-"])
        with in_region(region):
            found = pod_identity.association(self._aws, account)
            if found is None:
                raise NoRoleError(f"the {account} has no EKS Pod Identity association")
            return pod_identity.assume(self._aws, account, found["roleArn"], pod)


class _Handler(BaseHTTPRequestHandler):
    """Answers the SDKs."""

    identity: PodIdentity

    def do_GET(self) -> None:
        """Give a role's credentials to who presents a token of a pod of it."""
        token = self.headers.get("Authorization", "")
        try:
            if (self.command, self.path) != ("GET", "/v1/credentials") or not token:
                raise NoRoleError("no token")
            given = self.identity.credentials(token)
            told = {
                "AccessKeyId": given.access_key_id,
                "SecretAccessKey": given.secret_access_key,
                "Token": given.session_token,
                "Expiration": given.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            self._answer(http.client.OK, told)
        except (NoRoleError, BotoCoreError, ClientError) as reason:
            self._answer(http.client.BAD_REQUEST, {"code": "AccessDenied", "message": str(reason)})

    do_DELETE = do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

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
