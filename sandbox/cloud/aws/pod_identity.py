"""Credentials of a role, as EKS Pod Identity gives them to a pod."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import authorization
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any

_SERVICE: Final = "pods.eks.amazonaws.com"


class NoRoleError(Exception):
    """Why a pod has no role."""


@dataclass(frozen=True)
class Credentials:
    """What an AWS SDK signs with."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires: datetime


def credentials(
    aws: Aws, cluster: str, namespace: str, service_account: str, pod: Json
) -> Credentials:
    """Assume the role of a pod's service account; NoRoleError says why there is none."""
    eks = aws.client("eks")
    which = f"service account {service_account} of namespace {namespace}"
    listed = eks.list_pod_identity_associations(
        clusterName=cluster, namespace=namespace, serviceAccount=service_account
    )["associations"]
    if not listed:
        raise NoRoleError(f"the {which} has no EKS Pod Identity association")
    association = eks.describe_pod_identity_association(
        clusterName=cluster, associationId=listed[0]["associationId"]
    )["association"]
    # Where to ask for credentials, a pod is told as it is made; Kubernetes tells whole seconds.
    if int(association["createdAt"].timestamp()) > pod.metadata.creation_timestamp.timestamp():
        raise NoRoleError(f"pod {pod.metadata.name} is older than the association of the {which}")
    arn = association["roleArn"]
    role = find(aws.client("iam").get_role, RoleName=arn.rpartition("/")[2])
    if role is None:
        raise NoRoleError(f"there is no role {arn}")
    context = {
        "aws:SourceAccount": aws.account,
        "aws:SourceArn": aws.arn("eks", f"cluster/{cluster}"),
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": service_account,
    }
    document = role["Role"]["AssumeRolePolicyDocument"]
    trust = json.loads(document) if isinstance(document, str) else document
    for action in ("sts:AssumeRole", "sts:TagSession"):
        if not authorization.is_trusted(trust, "Service", _SERVICE, action, context):
            raise NoRoleError(f"{_SERVICE} is not authorized to perform: {action} on {arn}")
    session = aws.client("sts").assume_role(
        RoleArn=arn, RoleSessionName=f"eks-{cluster}-{pod.metadata.name}"[:64]
    )["Credentials"]
    return Credentials(
        session["AccessKeyId"],
        session["SecretAccessKey"],
        session["SessionToken"],
        session["Expiration"],
    )
