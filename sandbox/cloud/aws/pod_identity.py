"""Credentials of a role, as EKS Pod Identity gives them to a pod."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import authorization
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any

SERVICE: Final = "pods.eks.amazonaws.com"


class NoRoleError(Exception):
    """Why a pod has no role."""


@dataclass(frozen=True)
class Credentials:
    """What an AWS SDK signs with."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires: datetime


@dataclass(frozen=True)
class Account:
    """A service account of a cluster."""

    cluster: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"service account {self.name} of namespace {self.namespace}"


def session(pod: str) -> str:
    """Name the session of a pod's role."""
    return f"eks-{pod}"[-64:].lstrip("-.")


def association(aws: Aws, account: Account) -> Json | None:
    """Return the association of a service account, if it has one."""
    eks = aws.client("eks")
    listed = eks.list_pod_identity_associations(
        clusterName=account.cluster, namespace=account.namespace, serviceAccount=account.name
    )["associations"]
    if not listed:
        return None
    return eks.describe_pod_identity_association(
        clusterName=account.cluster, associationId=listed[0]["associationId"]
    )["association"]


def of_pod(aws: Aws, cluster: str, pod: Json) -> tuple[Account, str]:
    """Return the account and the role of a pod; NoRoleError says why there is none."""
    account = Account(cluster, pod.metadata.namespace, pod.spec.service_account_name or "default")
    found = association(aws, account)
    if found is None:
        raise NoRoleError(f"the {account} has no EKS Pod Identity association")
    # Where to ask for credentials, a pod is told as it is made; Kubernetes tells whole seconds.
    if int(found["createdAt"].timestamp()) > pod.metadata.creation_timestamp.timestamp():
        name = pod.metadata.name
        raise NoRoleError(f"pod {name} is older than the association of the {account}")
    return account, str(found["roleArn"])


def assume(aws: Aws, account: Account, arn: str, pod: str) -> Credentials:
    """Assume a role as a pod of a service account; NoRoleError says why that is refused."""
    role = find(aws.client("iam").get_role, RoleName=arn.rpartition("/")[2])
    if role is None:
        raise NoRoleError(f"there is no role {arn}")
    context: dict[str, str | list[str]] = {
        "aws:SourceAccount": aws.account,
        "aws:SourceArn": aws.arn("eks", f"cluster/{account.cluster}"),
        "aws:RequestTag/kubernetes-namespace": account.namespace,
        "aws:RequestTag/kubernetes-service-account": account.name,
    }
    document = role["Role"]["AssumeRolePolicyDocument"]
    trust = json.loads(document) if isinstance(document, str) else document
    for action in ("sts:AssumeRole", "sts:TagSession"):
        if not authorization.is_trusted(trust, "Service", SERVICE, action, context):
            raise NoRoleError(f"{SERVICE} is not authorized to perform: {action} on {arn}")
    given = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName=session(pod))["Credentials"]
    return Credentials(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], given["Expiration"]
    )
