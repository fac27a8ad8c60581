"""Tells the API server who presents a token of `aws eks get-token`, as EKS does.

The token is a presigned request to STS: who holds it is whoever STS says that it is. What this
principal may do is said by the access entries of the emulated EKS.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.cloud.clusters import Clusters
from sandbox.cloud.kubernetes import certificates
from sandbox.machine.aws_api import Aws, in_region
from sandbox.machine.program import DIRECTORY

if TYPE_CHECKING:
    from mypy_boto3_eks import EKSClient

PREFIX = "k8s-aws-v1."
CLUSTER_HEADER = "x-k8s-aws-id"
# A token is good for 15 minutes after it was signed, whatever X-Amz-Expires says:
# https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go
LIFETIME = timedelta(minutes=15)
CLOCK_SKEW = timedelta(minutes=5)
SESSION = "X-Amz-Security-Token"
REQUIRED = {
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
}


class RefusedError(Exception):
    """Why a token is not accepted."""


@dataclass(frozen=True)
class User:
    """What Kubernetes knows of an authenticated principal."""

    username: str
    groups: tuple[str, ...]


def asked(token: str, sts_endpoint: str, now: datetime) -> str:
    """Return the address at STS that a token stands for, if it is one to ask."""
    if not token.startswith(PREFIX):
        raise RefusedError(f"the token does not start with {PREFIX}")
    encoded = token.removeprefix(PREFIX)
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        url = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, strict_parsing=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(f"the token holds no address: {error}") from None
    expected = urlsplit(sts_endpoint)
    if (parts.scheme, parts.netloc, parts.path) != (expected.scheme, expected.netloc, "/"):
        raise RefusedError(
            f"the token is for {parts.scheme}://{parts.netloc}{parts.path}, not for STS"
        )
    request = dict(pairs)
    if len(request) < len(pairs) or not REQUIRED <= request.keys() <= REQUIRED | {SESSION}:
        raise RefusedError("the token asks STS for less or for more than who signed it")
    if request["Action"] != "GetCallerIdentity":
        raise RefusedError(f"the token asks STS for {request['Action']}")
    if CLUSTER_HEADER not in request["X-Amz-SignedHeaders"].lower().split(";"):
        raise RefusedError(f"the token's signature does not cover {CLUSTER_HEADER}")
    _check_age(request, now)
    return url


def _check_age(request: dict[str, str], now: datetime) -> None:
    try:
        lifetime = timedelta(seconds=int(request["X-Amz-Expires"]))
        signed = datetime.strptime(request["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError("the token does not say until when it is good") from None
    if not timedelta(0) <= lifetime <= LIFETIME:
        raise RefusedError(f"the token is to be good for {lifetime}, more than {LIFETIME}")
    if now > signed + LIFETIME:
        raise RefusedError(f"the token expired at {signed + LIFETIME:%H:%M:%S}Z")
    if signed > now + CLOCK_SKEW:
        raise RefusedError(f"the token was signed in the future, at {signed:%H:%M:%S}Z")


def caller(url: str, cluster: str) -> str:
    """Return the ARN of whoever signed an address at STS for a cluster, as STS tells it."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        # What the signature covers is not in the token: it is the name of who asks.
        connection.request("GET", f"/?{address.query}", headers={CLUSTER_HEADER: cluster})
        response = connection.getresponse()
        answer = response.read().decode()
    finally:
        connection.close()
    found = re.search(r"<Arn>([^<]+)</Arn>", answer)
    if response.status != http.client.OK or found is None:
        code = re.search(r"<Code>([^<]+)</Code>", answer)
        raise RefusedError(
            f"STS does not know who signed the token for the cluster {cluster} "
            f"(it answered {code[1] if code else response.status})"
        )
    return found[1]


def principal(arn: str) -> tuple[str, str]:
    """Return the IAM principal that a caller is, without a role's path, and the session if any."""
    prefix, _, resource = arn.rpartition(":")
    kind, _, rest = resource.partition("/")
    if kind == "role":
        return f"{prefix}:role/{rest.rpartition('/')[2]}", ""
    if kind != "assumed-role":
        return arn, ""
    role, _, session = rest.partition("/")
    return f"{prefix.replace(':sts:', ':iam:')}:role/{role}", session


def user(eks: EKSClient, cluster: str, arn: str) -> User:
    """Return what the access entries of a cluster make of a caller."""
    principal_arn, session = principal(arn)
    # An entry has the role with its path, of which STS tells nothing; no two roles have one name.
    pages = eks.get_paginator("list_access_entries").paginate(clusterName=cluster)
    entries = [one for page in pages for one in page["accessEntries"]]
    for name in entries:
        if principal(name)[0] != principal_arn:
            continue
        try:
            entry = eks.describe_access_entry(clusterName=cluster, principalArn=name)
            associated = eks.list_associated_access_policies(clusterName=cluster, principalArn=name)
        except eks.exceptions.ResourceNotFoundException:
            break
        found = entry["accessEntry"]
        groups = {
            *found.get("kubernetesGroups", []),
            *(
                f"eks-access-policy:{policy['policyArn'].rpartition('/')[2]}"
                for policy in associated["associatedAccessPolicies"]
                if policy["accessScope"]["type"] == "cluster"
            ),
        }
        username = found.get("username") or arn
        return User(username.replace("{{SessionName}}", session), tuple(sorted(groups)))
    raise RefusedError(f"no access entry for {principal_arn}")


def review(token: str, sts_endpoint: str, aws: Aws, clusters: Clusters) -> User:
    """Return the user who presents the token."""
    url = asked(token, sts_endpoint, datetime.now(UTC))
    found = clusters.find()
    if found is None:
        raise RefusedError("there is no cluster")
    region, cluster = found
    with in_region(region):
        return user(aws.client("eks"), cluster, caller(url, cluster))


class Webhook(BaseHTTPRequestHandler):
    """Answers TokenReviews."""

    sts_endpoint: str
    aws: Aws
    clusters: Clusters

    def do_POST(self) -> None:
        """Answer one TokenReview."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status: dict[str, Any]
        try:
            token = json.loads(body)["spec"]["token"]
            status = {
                "authenticated": True,
                "user": asdict(review(token, self.sts_endpoint, self.aws, self.clusters)),
            }
        except RefusedError as reason:
            self.log_message("refused: %s", reason)
            status = {"authenticated": False, "error": str(reason)}
        answer = json.dumps(
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "status": status,
            }
        ).encode()
        self.send_response(http.client.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def main() -> None:
    """Serve on the loopback port given as the only argument."""
    Webhook.sts_endpoint = os.environ["AWS_ENDPOINT_URL_STS"]
    Webhook.aws = Aws(os.environ["AWS_REGION"])
    Webhook.clusters = Clusters(Webhook.aws)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Webhook)
    certificates.demand(server, DIRECTORY / "pki", "authenticator")
    server.serve_forever()


if __name__ == "__main__":
    main()
