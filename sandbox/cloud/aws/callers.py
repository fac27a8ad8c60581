"""Who asks moto, and whether that is allowed: by the policies of their role, and by AWS itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeAlias
from xml.etree import ElementTree

from moto.core.responses import ActionResult
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

from sandbox.cloud.aws import authorization, rights, topics
from sandbox.cloud.aws.refusals import front
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any
Module: TypeAlias = Any
Demand: TypeAlias = tuple[str, str, dict[str, str | list[str]]]
"""An action, a resource, and what else conditions may ask about."""
_ASSUME: Final = "sts:AssumeRole"


refused: Final[dict[str, str]] = {}
"""What was last refused to each session of a role: S3 says so in no answer to HEAD."""


def judge(aws: Aws) -> None:
    """Ask the policies of whoever has assumed a role, and let requests be refused as AWS does."""
    authorization_module: Module = import_module("moto.core.authorization")

    def authorize(request: Json, _request_class: type, resource: str = "*") -> None:
        _authorize(request, resource)
        service = request.boto3_service_name
        if refused := front.refusal(aws, service, request.normalized_request):
            _refuse(request, refused)

    # moto's own evaluation ignores conditions.
    authorization_module.ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize


def role_of(arn: str, partition: str, account_id: str) -> Json:
    """Return a role as moto keeps it."""
    return _backend("iam", account_id, partition).get_role(arn.rpartition("/")[2])


def sessions(partition: str, account_id: str) -> Json:
    """Return where moto keeps who has assumed which role."""
    return _backend("sts", account_id, partition)


def _backend(service: str, account_id: str, partition: str) -> Json:
    backends = getattr(import_module(f"moto.{service}.models"), f"{service}_backends")
    return backends[account_id][partition]


def _authorize(request: Json, resource: str) -> None:
    demands_of = _DEMANDS.get(request.service_name, _any)
    account_id, partition = request.current_account, request.partition
    session = sessions(partition, account_id).get_assumed_role_from_access_key(request.access_key)
    if session is None:
        return
    role = role_of(session.role_arn, partition, account_id)
    documents = [json.loads(text) for text in role.policies.values()]
    documents += [
        json.loads(version.document)
        for policy in role.managed_policies.values()
        for version in policy.versions
        if version.is_default
    ]
    boundary = role.permissions_boundary_arn
    limits = [[_policy(boundary, partition, account_id)]] if boundary else []
    of_caller = rights.context(account_id, partition, request.region, role.arn)
    documents += _granted_by_role(request, session, of_caller)
    for action, wanted, context in demands_of(request, resource):
        if not authorization.is_allowed(documents, action, wanted, of_caller | context, limits):
            refusal = rights.refusal(session.arn, action, wanted)
            refused[session.arn] = refusal.message
            _refuse(request, refusal)


def _granted_by_role(request: Json, session: Json, context: dict[str, Any]) -> list[Json]:
    """Return what a role that is to be assumed allows a caller whom it names, as a policy.

    Whom it does not trust it refuses; where it trusts the account, the caller needs a right.
    """
    if (request.service_name, request._get_action()) != ("sts", "AssumeRole"):
        return []
    account_id, partition = request.current_account, request.partition
    wanted = request._get_param("RoleArn")
    found = _backend("iam", account_id, partition).roles.values()
    trusts = [json.loads(one.assume_role_policy_document) for one in found if one.arn == wanted]

    def trusted(*names: str) -> bool:
        return any(
            authorization.is_trusted(trust, "AWS", name, _ASSUME, context)
            for trust in trusts
            for name in names
        )

    if trusted(session.role_arn, session.arn):
        statement = {"Effect": "Allow", "Action": _ASSUME, "Resource": wanted}
        return [{"Version": "2012-10-17", "Statement": [statement]}]
    if not trusted(account_id, f"arn:{partition}:iam::{account_id}:root"):
        _refuse(request, rights.refusal(session.arn, _ASSUME, wanted))
    return []


def _policy(arn: str, partition: str, account_id: str) -> Json:
    owner = "aws" if ":iam::aws:" in arn else account_id
    backend = _backend("iam", account_id, partition)
    policy = backend.managed_policies[arn] if owner == "aws" else backend.get_policy(arn)
    return next(json.loads(one.document) for one in policy.versions if one.is_default)


def _refuse(request: Json, refused: front.RefusedError) -> None:
    """Raise what moto makes an answer of in the protocol of the service."""
    if request.service_name == "s3":
        s3: Module = import_module("moto.s3.exceptions")
        raise s3.S3ClientError(refused.code, refused.message)
    core: Module = import_module("moto.core.exceptions")
    if get_service_model(request.boto3_service_name).protocol not in {"ec2", "query"}:
        raise core.JsonRESTError(refused.code, refused.message)
    status, _, body = request.serialized(ActionResult(refused))
    error = HTTPException(body)
    error.code = status
    raise error


def _autoscaling(request: Json, _: str) -> list[Demand]:
    action = f"autoscaling:{request._get_action()}"
    groups = request.autoscaling_backend.autoscaling_groups
    group = groups.get(request._get_param("AutoScalingGroupName"))
    if instance := request._get_param("InstanceId"):
        owners = (g for g in groups.values() if instance in [i.instance_id for i in g.instances])
        group = next(owners, None)
    if group is None:
        return [(action, "*", {})]
    tags = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in group.tags}
    return [(action, group.arn, {**tags})]


def _cloudwatch(request: Json, _: str) -> list[Demand]:
    action, told = f"cloudwatch:{request._get_action()}", request._get_param
    alarms = told("AlarmNames") or [one for one in (told("AlarmName"),) if one]
    boards = told("DashboardNames") or [one for one in (told("DashboardName"),) if one]
    account = f"arn:{request.partition}:cloudwatch::{request.current_account}"
    named = [_arn(request, f"alarm:{one}") for one in alarms]
    named += [f"{account}:dashboard/{one}" for one in boards]
    if named or told("ResourceARN"):
        return [(action, one, {}) for one in named or [told("ResourceARN")]]
    namespace = told("Namespace")
    context: dict[str, str | list[str]] = {"cloudwatch:namespace": namespace} if namespace else {}
    return [(action, "*", context)]


def _emr_containers(request: Json, _: str) -> list[Demand]:
    told, action = request._get_param, request._get_action()
    of_run = action in {"CancelJobRun", "DescribeJobRun"}
    of_cluster = action in {"DescribeVirtualCluster", "DeleteVirtualCluster"}
    cluster_id = told("id") if of_cluster else told("virtualClusterId")
    resource = "*"
    if cluster_id:
        resource = _arn(request, f"/virtualclusters/{cluster_id}")
    if of_run:
        resource += f"/jobruns/{told('id')}"
    name = f"emr-containers:{action}"
    if action != "StartJobRun":
        return [(name, resource, {})]
    role = told("executionRoleArn")
    demands = [(name, resource, {"emr-containers:ExecutionRoleArn": role})]
    if virtual_cluster := request.emrcontainers_backend.virtual_clusters.get(cluster_id):
        # As the job gets its role by EKS Pod Identity.
        context = {
            "iam:PassedToService": "pods.eks.amazonaws.com",
            "iam:AssociatedResourceARN": (
                f"arn:{request.partition}:eks:{request.region}:{request.current_account}:"
                f"cluster/{virtual_cluster.container_provider['id']}"
            ),
        }
        demands.append(("iam:PassRole", role, context))
    return demands


def _logs(request: Json, _: str) -> list[Demand]:
    action = request._get_action()
    resource = _arn(request, f"log-group:{request._get_param('logGroupName') or '*'}")
    if action in {"GetLogEvents", "PutLogEvents"}:
        resource += f":log-stream:{request._get_param('logStreamName')}"
    return [(f"logs:{action}", resource, {})]


# moto has other names for these; "Actions defined by Amazon S3", Service Authorization Reference.
_PARTS_OF_BUCKETS: Final = {
    ("GET", "encryption"): "s3:GetEncryptionConfiguration",
    ("GET", "ownershipControls"): "s3:GetBucketOwnershipControls",
    ("GET", "publicAccessBlock"): "s3:GetBucketPublicAccessBlock",
}


def _s3(request: Json, resource: str) -> list[Demand]:
    action = f"s3:{request.data['Action']}"
    if action == "s3:HeadBucket":
        action = "s3:ListBucket"
    if "/" not in resource:
        for (method, part), name in _PARTS_OF_BUCKETS.items():
            if request.method == method and part in request.querystring:
                action = name
    if action == "s3:DeleteObject" and request.is_delete_keys():
        keys = ElementTree.fromstring(request.body).iterfind("{*}Object/{*}Key")  # noqa: S314 (of this machine)
        return [(action, f"{resource}/{key.text}", {}) for key in keys]
    prefix = request.querystring.get("prefix", [None])[0]
    demands = [(action, resource, {} if prefix is None else {"s3:prefix": prefix})]
    bucket_arn, _, key = resource.partition("/")
    if action == "s3:GetObject" and key not in _keys(request, bucket_arn):
        # That an object is missing, S3 tells nobody who may not see what there is at its key
        # (ceph #68577: "to match aws behavior").
        demands.append(("s3:ListBucket", bucket_arn, {"s3:prefix": key}))
    return demands


def _keys(request: Json, bucket_arn: str) -> Json:
    bucket = request.backend.buckets.get(bucket_arn.rpartition(":")[2])
    return bucket.keys if bucket else {}


def _secrets_manager(request: Json, _: str) -> list[Demand]:
    action, secret_id = request._get_action(), request._get_param("SecretId")
    known = request.backend.secrets
    if not secret_id or secret_id not in known:
        return [(f"secretsmanager:{action}", _arn(request, f"secret:{secret_id or '*'}"), {})]
    secret = known[secret_id]
    tags = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in secret.tags or []}
    return [(f"secretsmanager:{action}", secret.arn, {**tags})]


def _kms(request: Json, _: str) -> list[Demand]:
    key = request._get_param("KeyId") or request._get_param("TargetKeyId")
    if key is None and (ciphertext := request._get_param("CiphertextBlob")):
        # Which key it is encrypted with, moto writes in front of it.
        key = ciphertext[:36].decode()
    resource = "*"
    if key is not None:
        resource = _arn(request, f"key/{request.kms_backend.any_id_to_key_id(key)}")
    return [(f"kms:{request._get_action()}", resource, {})]


def _sns(request: Json, _: str) -> list[Demand]:
    """Ask for a right to the topic, and to its key for what is published to an encrypted one."""
    action, told = request._get_action(), request._get_param
    arn = told("TopicArn") or told("TargetArn") or told("ResourceArn") or told("SubscriptionArn")
    if not arn:
        arn = _arn(request, told("Name")) if told("Name") else "*"
    topic_arn = ":".join(arn.split(":")[:6])  # what a subscription's begins with
    demands: list[Demand] = [(f"sns:{action}", topic_arn, {})]
    topic = request.backend.topics.get(topic_arn)
    if action in {"Publish", "PublishBatch"} and topic is not None and topic.kms_master_key_id:
        context = {
            "kms:EncryptionContext:aws:sns:topicArn": topic_arn,
            "kms:ViaService": f"sns.{request.region}.amazonaws.com",
        }
        key = topics.key_of(topic)
        demands += [(one, key.arn if key else "*", {**context}) for one in topics.KEY_ACTIONS]
    return demands


def _events(request: Json, _: str) -> list[Demand]:
    action, told = request._get_action(), request._get_param
    rule = told("Rule") or (told("Name") if action.endswith("Rule") else None)
    arn = told("ResourceARN") or (_arn(request, f"rule/{rule}") if rule else None)
    if action == "PutEvents":
        arn = _arn(request, "event-bus/default")
    return [(f"events:{action}", arn or "*", {})]


_OF_BUDGETS: Final = {"ListTagsForResource", "TagResource", "UntagResource"}


def _budgets(request: Json, _: str) -> list[Demand]:
    """Ask for one of the two rights that there are for all else.

    "Actions, resources, and condition keys for AWS Budget Service", Service Authorization
    Reference.
    """
    action, told = request._get_action(), request._get_param
    named = told("Budget") or told("NewBudget") or {"BudgetName": told("BudgetName") or "*"}
    account = f"arn:{request.partition}:budgets::{request.current_account}"
    arn = told("ResourceARN") or f"{account}:budget/{named['BudgetName']}"
    if action not in _OF_BUDGETS:
        action = "ViewBudget" if action.startswith("Describe") else "ModifyBudget"
    demands: list[Demand] = [(f"budgets:{action}", arn, {})]
    if told("ResourceTags") and action == "ModifyBudget":
        demands.append(("budgets:TagResource", arn, {}))
    return demands


def _ecr(request: Json, _: str) -> list[Demand]:
    repository = request._get_param("repositoryName")
    resource = _arn(request, f"repository/{repository}") if repository else "*"
    return [(f"ecr:{request._get_action()}", resource, {})]


def _sts(request: Json, _: str) -> list[Demand]:
    action = request._get_action()
    if action == "GetCallerIdentity":  # everybody may ask whom the credentials belong to
        return []
    return [(f"sts:{action}", request._get_param("RoleArn") or "*", {})]


def _glue(request: Json, _: str) -> list[Demand]:
    """Ask for a right to each of a table, its database and the catalog.

    "Specifying AWS Glue resource ARNs", AWS Glue Developer Guide.
    """
    action, told = request._get_action(), request.parameters
    database, resources = told.get("DatabaseName"), ["catalog"]
    if action.endswith("Database"):
        database = told.get("Name") or told["DatabaseInput"]["Name"]
    elif database is None:
        return [(f"glue:{action}", "*", {})]
    elif "Function" in action:
        name = told.get("FunctionName") or told.get("FunctionInput", {}).get("FunctionName")
        resources.append(f"userDefinedFunction/{database}/{name or '*'}")
    else:
        table = told.get("TableName") or told.get("Name") or told.get("TableInput", {}).get("Name")
        resources.append(f"table/{database}/{table or '*'}")
    resources.append(f"database/{database}")
    return [(f"glue:{action}", _arn(request, one), {}) for one in resources]


def _ec2(request: Json, resource: str) -> list[Demand]:
    """Ask for a right to a volume, by its tags; of other things nobody has written it down."""
    action = request._get_action()
    if action == "CreateVolume":
        tags = request._parse_tag_specification().get("volume", {})
        context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        volume = _arn(request, "volume/*")
        demands: list[Demand] = [(f"ec2:{action}", volume, {**context})]
        if tags:
            context |= {"ec2:CreateAction": action}
            demands.append(("ec2:CreateTags", volume, {**context, "aws:TagKeys": [*tags]}))
        return demands
    volume = request.ec2_backend.volumes.get(request._get_param("VolumeId"))
    if action not in {"AttachVolume", "DeleteVolume", "DetachVolume"} or volume is None:
        return _any(request, resource)
    tags = {
        tag["key"]: tag["value"]
        for tag in request.ec2_backend.describe_tags({"resource-id": [volume.id]})
    }
    context = {
        f"{kind}:ResourceTag/{key}": value for kind in ("aws", "ec2") for key, value in tags.items()
    }
    demands = [(f"ec2:{action}", _arn(request, f"volume/{volume.id}"), {**context})]
    if action != "DeleteVolume":
        instance = request._get_param("InstanceId") or "*"
        demands.append((f"ec2:{action}", _arn(request, f"instance/{instance}"), {}))
    return demands


def _any(request: Json, _: str) -> list[Demand]:
    """Ask for a right to all resources, where nobody has written down which it is about."""
    return [(f"{request.service_name}:{request._get_action()}", "*", {})]


def _arn(request: Json, resource: str) -> str:
    return (
        f"arn:{request.partition}:{request.service_name}:{request.region}:"
        f"{request.current_account}:{resource}"
    )


_DEMANDS: Final[dict[str, Callable[[Json, str], list[Demand]]]] = {
    "autoscaling": _autoscaling,
    "budgets": _budgets,
    "cloudwatch": _cloudwatch,
    "ec2": _ec2,
    "ecr": _ecr,
    "emr-containers": _emr_containers,
    "events": _events,
    "glue": _glue,
    "kms": _kms,
    "logs": _logs,
    "s3": _s3,
    "secretsmanager": _secrets_manager,
    "sns": _sns,
    "sts": _sts,
}
