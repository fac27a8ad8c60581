"""Whether whoever has assumed a role may do what they ask ministack for: moto knows the roles."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import NotFound

from sandbox.cloud.aws import authorization
from sandbox.cloud.aws.keys import Asked
from sandbox.cloud.aws.refusals import front
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any

# How policies name a service, and the resource of operations that name nothing below it.
_RESOURCES: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "eks": ("eks", "cluster", ("name", "clusterName")),
    "mwaa": ("airflow", "environment", ("Name",)),
}

AIRFLOW_ROLES: Final = ("Admin", "Op", "User", "Viewer", "Public")
"""As whom InvokeRestApi can be allowed, from the one with most rights down."""


def refusal(arn: str, action: str, resource: str) -> front.RefusedError:
    """Return what AWS answers to who has no right to an action."""
    message = f"User: {arn} is not authorized to perform: {action} on resource: {resource}"
    service = action.partition(":")[0]
    if service == "ec2":
        return front.RefusedError(
            "UnauthorizedOperation", f"You are not authorized to perform this operation. {message}"
        )
    in_xml = service in {"iam", "s3", "sts"}
    return front.RefusedError("AccessDenied" if in_xml else "AccessDeniedException", message)


def caller(known: Asked, access_key: str) -> str:
    """Return the ARN of whoever an access key belongs to, which has been looked at by now."""
    key = known.find(access_key)
    if key is None:  # deleted since
        raise front.RefusedError("UnrecognizedClientException", "The security token is invalid.")
    return key.arn


def refused(aws: Aws, known: Asked, service: str, request: Request) -> front.RefusedError | None:
    """Return why AWS would refuse a request: for want of a right, or for what it asks for."""
    key = front.access_key(request)
    # Sessions have keys that begin so; users may do anything here.
    if (
        key is not None
        and key.startswith("ASIA")
        and (why := _denied(aws, known, service, request, key))
    ):
        return why
    return front.refusal(aws, service, request)


def airflow_role(aws: Aws, known: Asked, request: Request, environment: str) -> str | None:
    """Return the highest Airflow role as which somebody may ask an environment's REST API."""
    key = front.access_key(request)
    if key is None or not key.startswith("ASIA"):
        return AIRFLOW_ROLES[0]
    allowed = _judge(aws, caller(known, key))
    action = "airflow:InvokeRestApi"
    roles = {role: aws.arn("airflow", f"role/{environment}/{role}") for role in AIRFLOW_ROLES}
    return next((role for role, arn in roles.items() if allowed(action, arn)), None)


def _denied(
    aws: Aws, known: Asked, service: str, request: Request, key: str
) -> front.RefusedError | None:
    try:
        operation, labels = get_service_router(service).match(request)
    except NotFound:
        return None
    arn = caller(known, key)
    prefix, kind, names = _RESOURCES[service]
    action, resource = f"{prefix}:{operation.name}", "*"
    if len(labels) == 1 and (name := next(iter(labels))) in names:
        resource = aws.arn(prefix, f"{kind}/{labels[name]}")
    elif service == "eks" and "nodegroupName" in labels:
        which = {"clusterName": labels["name"], "nodegroupName": labels["nodegroupName"]}
        # Without one of this name the ARN has an unknown end, which a right to all of them covers.
        resource = aws.arn("eks", f"nodegroup/{'/'.join(which.values())}/none")
        if found := find(aws.client("eks").describe_nodegroup, **which):
            resource = found["nodegroup"]["nodegroupArn"]
    if operation.name == "InvokeRestApi":
        if airflow_role(aws, known, request, labels["Name"]):
            return None
        resource = aws.arn("airflow", f"role/{labels['Name']}/{AIRFLOW_ROLES[0]}")
    elif _judge(aws, arn)(action, resource):
        return None
    return refusal(arn, action, resource)


def context(account_id: str, partition: str, region: str, role_arn: str) -> dict[str, Any]:
    """Return what conditions may ask of every request, whoever sends it."""
    return {
        "aws:CurrentTime": datetime.now(UTC).isoformat(),
        "aws:EpochTime": str(int(time.time())),
        "aws:PrincipalAccount": account_id,
        "aws:PrincipalArn": role_arn,
        "aws:PrincipalIsAWSService": "false",
        "aws:PrincipalType": "AssumedRole",
        "aws:RequestedRegion": region,
        "aws:ResourceAccount": account_id,
        "aws:SecureTransport": "true",  # to AWS there is no other way
    }


def _judge(aws: Aws, arn: str) -> Callable[[str, str], bool]:
    """Return what tells whether somebody is allowed an action on a resource."""
    iam = aws.client("iam")
    role = iam.get_role(RoleName=arn.split("/")[1])["Role"]
    documents = list(_policies(iam, role["RoleName"]))
    boundary = role.get("PermissionsBoundary")
    limits = [[_managed(iam, boundary["PermissionsBoundaryArn"])]] if boundary else []
    known = context(aws.account, aws.partition, aws.region, role["Arn"])
    return lambda action, resource: authorization.is_allowed(
        documents, action, resource, known, limits
    )


def _policies(iam: Json, role: str) -> Iterator[Mapping[str, Any]]:
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        yield _document(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for one in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        yield _managed(iam, one["PolicyArn"])


def _managed(iam: Json, arn: str) -> Mapping[str, Any]:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
    return _document(found["Document"])


def _document(given: Json) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(given) if isinstance(given, str) else given
    return found
