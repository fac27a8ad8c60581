"""Whether the caller may make, change and delete what is planned, by IAM's simulation.

IAM evaluates the caller's policies and permissions boundary. What only a real request answers
(resource policies, conditions on tags and session) it leaves open. Nothing is called but the
simulation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.identities import Account
from operations.preflight.plan import Json, Plan, Planned
from operations.preflight.result import Result, Verdict

Groups = tuple[tuple[str, str], ...]
"""Pairs of a resource and the actions on it, without the service's prefix. What a resource is
called stands in braces; ids that AWS gives are made up, since no policy can name them before."""

Context = tuple[tuple[str, str], ...]
"""What conditions of a policy may ask about: pairs of a key and its value."""

_EC2: Final = "arn:{partition}:ec2:{region}:{account}:"
_EKS: Final = "arn:{partition}:eks:{region}:{account}:"
_CLUSTER: Final = _EKS + "cluster/{clusterName}"
_ENTRY: Final = _EKS + "access-entry/{clusterName}/role/{account}/any/0"
_ENTRY_OF_EMR: Final = (
    _EKS + "access-entry/{clusterName}/role/{account}/AWSServiceRoleForAmazonEMRContainers/0"
)
_EMR: Final = "arn:{partition}:emr-containers:{region}:{account}:/virtualclusters/0"
_ROLE: Final = "arn:{partition}:iam::{account}:role/"
_BUCKET: Final = "arn:{partition}:s3:::{bucket}"
_SECRET: Final = "arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-000000"  # noqa: S105
_KEY: Final = "arn:{partition}:kms:{region}:{account}:key/0"
_LOGS: Final = "arn:{partition}:logs:{region}:{account}:log-group:{name}"
_TOPIC: Final = "arn:{partition}:sns:{region}:{account}:{topicName}"
_EVENT_RULE: Final = "arn:{partition}:events:{region}:{account}:rule/{name}"
_RULES: Final = _EC2 + "security-group/sg-0"
_TAGS: Final = " ec2:CreateTags ec2:DeleteTags"


def _tagged(kind: str, actions: str) -> tuple[str, str]:
    """Pair a resource of EC2 with actions on it and those on its tags."""
    return f"{_EC2}{kind}-0", actions + _TAGS


# What Pulumi's provider calls to make, read, change and delete a resource of each type, and what
# the services call in the caller's name ("Permissions" in the README).
RIGHTS: Final[Mapping[str, Groups]] = {
    "aws:budgets/budget:Budget": (
        (
            "arn:{partition}:budgets::{account}:budget/{name}",
            "budgets:ModifyBudget budgets:ViewBudget budgets:TagResource budgets:UntagResource "
            "budgets:ListTagsForResource",
        ),
    ),
    "aws:cloudwatch/dashboard:Dashboard": (
        (
            "arn:{partition}:cloudwatch::{account}:dashboard/{dashboardName}",
            "cloudwatch:PutDashboard cloudwatch:GetDashboard cloudwatch:DeleteDashboards",
        ),
    ),
    "aws:cloudwatch/eventRule:EventRule": (
        (
            _EVENT_RULE,
            "events:PutRule events:DescribeRule events:DeleteRule events:TagResource "
            "events:UntagResource events:ListTagsForResource",
        ),
    ),
    "aws:cloudwatch/eventTarget:EventTarget": (
        (
            "arn:{partition}:events:{region}:{account}:rule/{rule}",
            "events:PutTargets events:ListTargetsByRule events:RemoveTargets",
        ),
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": (
        (
            "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}",
            "cloudwatch:PutMetricAlarm cloudwatch:DescribeAlarms cloudwatch:DeleteAlarms "
            "cloudwatch:TagResource cloudwatch:UntagResource cloudwatch:ListTagsForResource",
        ),
    ),
    "aws:cloudwatch/logGroup:LogGroup": (
        (
            f"{_LOGS}:*",
            "logs:CreateLogGroup logs:DeleteLogGroup logs:PutRetentionPolicy logs:AssociateKmsKey",
        ),
        (_LOGS, "logs:TagResource logs:UntagResource logs:ListTagsForResource"),
        ("*", "logs:DescribeLogGroups"),
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": (
        _tagged(
            "security-group/sg", "ec2:RevokeSecurityGroupIngress ec2:RevokeSecurityGroupEgress"
        ),
        ("*", "ec2:DescribeSecurityGroups ec2:DescribeSecurityGroupRules"),
    ),
    "aws:ec2/eip:Eip": (
        _tagged("elastic-ip/eipalloc", "ec2:AllocateAddress ec2:ReleaseAddress"),
        ("*", "ec2:DescribeAddresses ec2:DescribeAddressesAttribute"),
    ),
    "aws:ec2/flowLog:FlowLog": (
        _tagged("vpc-flow-log/fl", "ec2:CreateFlowLogs ec2:DeleteFlowLogs"),
        ("*", "ec2:DescribeFlowLogs"),
    ),
    "aws:ec2/internetGateway:InternetGateway": (
        _tagged(
            "internet-gateway/igw",
            "ec2:CreateInternetGateway ec2:AttachInternetGateway ec2:DetachInternetGateway "
            "ec2:DeleteInternetGateway",
        ),
        ("*", "ec2:DescribeInternetGateways"),
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": (
        _tagged(
            "launch-template/lt",
            "ec2:CreateLaunchTemplate ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate "
            "ec2:DeleteLaunchTemplate",
        ),
        ("*", "ec2:DescribeLaunchTemplates ec2:DescribeLaunchTemplateVersions"),
    ),
    "aws:ec2/natGateway:NatGateway": (
        _tagged("natgateway/nat", "ec2:CreateNatGateway ec2:DeleteNatGateway"),
        ("*", "ec2:DescribeNatGateways"),
    ),
    "aws:ec2/route:Route": (
        (f"{_EC2}route-table/rtb-0", "ec2:CreateRoute ec2:ReplaceRoute ec2:DeleteRoute"),
        ("*", "ec2:DescribeRouteTables"),
    ),
    "aws:ec2/routeTable:RouteTable": (
        _tagged("route-table/rtb", "ec2:CreateRouteTable ec2:DeleteRouteTable"),
        ("*", "ec2:DescribeRouteTables"),
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": (
        (
            f"{_EC2}route-table/rtb-0",
            "ec2:AssociateRouteTable ec2:DisassociateRouteTable ec2:ReplaceRouteTableAssociation",
        ),
        ("*", "ec2:DescribeRouteTables"),
    ),
    "aws:ec2/securityGroup:SecurityGroup": (
        _tagged(
            "security-group/sg",
            "ec2:CreateSecurityGroup ec2:DeleteSecurityGroup ec2:RevokeSecurityGroupEgress",
        ),
        ("*", "ec2:DescribeSecurityGroups ec2:DescribeNetworkInterfaces"),
    ),
    "aws:ec2/subnet:Subnet": (
        _tagged("subnet/subnet", "ec2:CreateSubnet ec2:DeleteSubnet ec2:ModifySubnetAttribute"),
        ("*", "ec2:DescribeSubnets ec2:DescribeAvailabilityZones"),
    ),
    "aws:ec2/vpc:Vpc": (
        _tagged(
            "vpc/vpc",
            "ec2:CreateVpc ec2:DeleteVpc ec2:ModifyVpcAttribute ec2:DescribeVpcAttribute",
        ),
        (
            "*",
            "ec2:DescribeVpcs ec2:DescribeNetworkAcls ec2:DescribeRouteTables "
            "ec2:DescribeSecurityGroups",
        ),
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (
        _tagged(
            "vpc-endpoint/vpce",
            "ec2:CreateVpcEndpoint ec2:ModifyVpcEndpoint ec2:DeleteVpcEndpoints",
        ),
        (
            "*",
            "ec2:DescribeVpcEndpoints ec2:DescribeVpcEndpointServices ec2:DescribePrefixLists",
        ),
    ),
    "aws:eks/accessEntry:AccessEntry": (
        (_CLUSTER, "eks:CreateAccessEntry"),
        (
            _ENTRY,
            "eks:DescribeAccessEntry eks:UpdateAccessEntry eks:DeleteAccessEntry eks:TagResource",
        ),
    ),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": (
        (
            _ENTRY,
            "eks:AssociateAccessPolicy eks:DisassociateAccessPolicy "
            "eks:ListAssociatedAccessPolicies",
        ),
    ),
    "aws:eks/addon:Addon": (
        (_CLUSTER, "eks:CreateAddon"),
        (
            _EKS + "addon/{clusterName}/{addonName}/0",
            "eks:DescribeAddon eks:UpdateAddon eks:DeleteAddon eks:TagResource",
        ),
        ("*", "eks:DescribeAddonVersions"),
    ),
    "aws:eks/cluster:Cluster": (
        ("*", "eks:CreateCluster"),
        (
            _EKS + "cluster/{name}",
            "eks:DescribeCluster eks:DescribeUpdate eks:UpdateClusterConfig "
            "eks:UpdateClusterVersion eks:DeleteCluster eks:TagResource eks:UntagResource",
        ),
        (
            f"{_ROLE}aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS",
            "iam:CreateServiceLinkedRole",
        ),
    ),
    "aws:eks/nodeGroup:NodeGroup": (
        (_CLUSTER, "eks:CreateNodegroup"),
        (
            _EKS + "nodegroup/{clusterName}/{nodeGroupName}/0",
            "eks:DescribeNodegroup eks:UpdateNodegroupConfig eks:UpdateNodegroupVersion "
            "eks:DeleteNodegroup eks:TagResource",
        ),
        (f"{_EC2}instance/i-0", "ec2:RunInstances"),
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": (
        (_CLUSTER, "eks:CreatePodIdentityAssociation eks:ListPodIdentityAssociations"),
        (
            _EKS + "podidentityassociation/{clusterName}/a-0",
            "eks:DescribePodIdentityAssociation eks:UpdatePodIdentityAssociation "
            "eks:DeletePodIdentityAssociation eks:TagResource",
        ),
    ),
    "aws:emrcontainers/virtualCluster:VirtualCluster": (
        ("*", "emr-containers:CreateVirtualCluster"),
        (
            f"{_ROLE}aws-service-role/emr-containers.amazonaws.com/"
            "AWSServiceRoleForAmazonEMRContainers",
            "iam:CreateServiceLinkedRole",
        ),
        (
            _EMR,
            "emr-containers:DescribeVirtualCluster emr-containers:DeleteVirtualCluster "
            "emr-containers:TagResource emr-containers:ListJobRuns",
        ),
        (f"{_EMR}/jobruns/0", "emr-containers:DescribeJobRun emr-containers:CancelJobRun"),
        (_CLUSTER, "eks:CreateAccessEntry"),
        (
            _ENTRY_OF_EMR,
            "eks:DescribeAccessEntry eks:DeleteAccessEntry eks:ListAssociatedAccessPolicies "
            "eks:AssociateAccessPolicy eks:DisassociateAccessPolicy",
        ),
    ),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": (
        (
            "arn:{partition}:iam::{account}:oidc-provider/any",
            "iam:CreateOpenIDConnectProvider iam:GetOpenIDConnectProvider "
            "iam:DeleteOpenIDConnectProvider iam:TagOpenIDConnectProvider",
        ),
    ),
    "aws:iam/policy:Policy": (
        (
            "arn:{partition}:iam::{account}:policy/{name}",
            "iam:CreatePolicy iam:GetPolicy iam:GetPolicyVersion iam:ListPolicyVersions "
            "iam:CreatePolicyVersion iam:DeletePolicyVersion iam:DeletePolicy iam:TagPolicy",
        ),
    ),
    "aws:iam/role:Role": (
        (
            _ROLE + "{name}",
            "iam:CreateRole iam:GetRole iam:UpdateAssumeRolePolicy iam:TagRole iam:UntagRole "
            "iam:ListRolePolicies iam:ListAttachedRolePolicies iam:ListInstanceProfilesForRole "
            "iam:DeleteRole",
        ),
        (_ROLE + "{name}", "iam:PassRole"),
    ),
    "aws:iam/rolePolicy:RolePolicy": (
        (_ROLE + "{role}", "iam:PutRolePolicy iam:GetRolePolicy iam:DeleteRolePolicy"),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (
        (
            _ROLE + "{role}",
            "iam:AttachRolePolicy iam:DetachRolePolicy iam:ListAttachedRolePolicies",
        ),
    ),
    "aws:kms/alias:Alias": (
        (
            "arn:{partition}:kms:{region}:{account}:alias/{alias}",
            "kms:CreateAlias kms:UpdateAlias kms:DeleteAlias",
        ),
        ("*", "kms:ListAliases"),
    ),
    "aws:kms/key:Key": (
        ("*", "kms:CreateKey"),
        (
            _KEY,
            "kms:DescribeKey kms:EnableKeyRotation kms:GetKeyPolicy kms:GetKeyRotationStatus "
            "kms:ListResourceTags kms:PutKeyPolicy kms:ScheduleKeyDeletion kms:TagResource "
            "kms:CreateGrant kms:ListGrants kms:RevokeGrant kms:Encrypt kms:Decrypt "
            "kms:GenerateDataKey kms:CreateAlias",
        ),
    ),
    "aws:mwaa/environment:Environment": (
        (
            "arn:{partition}:airflow:{region}:{account}:environment/{name}",
            "airflow:CreateEnvironment airflow:GetEnvironment airflow:UpdateEnvironment "
            "airflow:DeleteEnvironment airflow:TagResource",
        ),
        (
            f"{_ROLE}aws-service-role/airflow.amazonaws.com/AWSServiceRoleForAmazonMWAA",
            "iam:CreateServiceLinkedRole",
        ),
        (f"{_EC2}network-interface/eni-0", "ec2:CreateNetworkInterface"),
        (f"{_EC2}vpc-endpoint/vpce-0", "ec2:CreateVpcEndpoint"),
    ),
    "aws:s3/bucket:Bucket": (
        (
            _BUCKET,
            "s3:CreateBucket s3:ListBucket s3:ListBucketVersions s3:DeleteBucket "
            "s3:GetBucketTagging s3:PutBucketTagging s3:GetBucketAcl s3:GetBucketPolicy "
            "s3:GetBucketCORS s3:GetBucketWebsite s3:GetBucketVersioning s3:GetBucketLogging "
            "s3:GetAccelerateConfiguration s3:GetBucketRequestPayment "
            "s3:GetLifecycleConfiguration s3:GetReplicationConfiguration "
            "s3:GetEncryptionConfiguration s3:GetBucketObjectLockConfiguration",
        ),
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        (_BUCKET, "s3:GetLifecycleConfiguration s3:PutLifecycleConfiguration"),
    ),
    "aws:s3/bucketLogging:BucketLogging": ((_BUCKET, "s3:GetBucketLogging s3:PutBucketLogging"),),
    "aws:s3/bucketObjectv2:BucketObjectv2": (
        (
            _BUCKET + "/{key}",
            "s3:PutObject s3:GetObject s3:PutObjectTagging s3:GetObjectTagging s3:DeleteObject "
            "s3:DeleteObjectVersion",
        ),
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (
        (_BUCKET, "s3:GetBucketOwnershipControls s3:PutBucketOwnershipControls"),
    ),
    "aws:s3/bucketPolicy:BucketPolicy": (
        (_BUCKET, "s3:GetBucketPolicy s3:PutBucketPolicy s3:DeleteBucketPolicy"),
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": (
        (_BUCKET, "s3:GetBucketPublicAccessBlock s3:PutBucketPublicAccessBlock"),
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        (_BUCKET, "s3:GetEncryptionConfiguration s3:PutEncryptionConfiguration"),
    ),
    "aws:s3/bucketVersioning:BucketVersioning": (
        (_BUCKET, "s3:GetBucketVersioning s3:PutBucketVersioning"),
    ),
    "aws:secretsmanager/secret:Secret": (
        (
            _SECRET,
            "secretsmanager:CreateSecret secretsmanager:DescribeSecret "
            "secretsmanager:GetResourcePolicy secretsmanager:UpdateSecret "
            "secretsmanager:DeleteSecret secretsmanager:TagResource",
        ),
    ),
    "aws:secretsmanager/secretVersion:SecretVersion": (
        (
            _SECRET,
            "secretsmanager:PutSecretValue secretsmanager:GetSecretValue "
            "secretsmanager:DescribeSecret secretsmanager:UpdateSecretVersionStage",
        ),
    ),
    "aws:sns/topic:Topic": (
        (
            "arn:{partition}:sns:{region}:{account}:{name}",
            "sns:CreateTopic sns:GetTopicAttributes sns:SetTopicAttributes sns:DeleteTopic "
            "sns:TagResource sns:UntagResource sns:ListTagsForResource",
        ),
    ),
    "aws:sns/topicPolicy:TopicPolicy": ((_TOPIC, "sns:GetTopicAttributes sns:SetTopicAttributes"),),
    "aws:sns/topicSubscription:TopicSubscription": (
        (
            _TOPIC,
            "sns:Subscribe sns:GetSubscriptionAttributes sns:SetSubscriptionAttributes "
            "sns:Unsubscribe",
        ),
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": (
        (
            _RULES,
            "ec2:AuthorizeSecurityGroupEgress ec2:RevokeSecurityGroupEgress "
            "ec2:ModifySecurityGroupRules",
        ),
        ("*", "ec2:DescribeSecurityGroupRules"),
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        (
            _RULES,
            "ec2:AuthorizeSecurityGroupIngress ec2:RevokeSecurityGroupIngress "
            "ec2:ModifySecurityGroupRules",
        ),
        ("*", "ec2:DescribeSecurityGroupRules"),
    ),
}


_SERVICE_LINKED: Final = ("iam:CreateServiceLinkedRole",)


@dataclass(frozen=True)
class Request:
    """Actions on one resource."""

    arn: str
    actions: tuple[str, ...]
    context: Context = ()


@dataclass
class Rights:
    """What the simulation said."""

    allowed: set[str] = field(default_factory=set)
    denied: dict[str, str] = field(default_factory=dict)
    """From an action to a resource on which it is denied."""
    undecided: dict[str, str] = field(default_factory=dict)
    """From an action to why nobody can tell."""


def requests(plan: Plan, partition: str, account_id: str) -> tuple[set[Request], set[str]]:
    """Return what will be asked for, and the types of which nobody has written down what."""
    found, unknown = set(), set()
    clusters = [one.inputs["name"] for one in plan.any_of("aws:eks/cluster:Cluster")]
    everywhere = {"partition": partition, "region": plan.region or "", "account": account_id}
    for one in plan.resources:
        if not one.type.startswith("aws:"):
            continue
        if one.type not in RIGHTS:
            unknown.add(one.type)
            continue
        inputs = _with_names(plan, one)
        names = _Names({"clusterName": clusters[0] if clusters else "?"} | inputs | everywhere)
        for resource, actions in RIGHTS[one.type]:
            told = tuple(actions.split())
            arn = resource.format_map(names)
            if told == ("iam:PassRole",):
                contexts: list[Context] = [
                    (("iam:PassedToService", name),) for name in _services(one)
                ]
            else:
                contexts = [_context(one, told, arn)]
            found |= {Request(arn, told, context) for context in contexts}
    return found, unknown


class _Names(dict[str, Json]):
    def __missing__(self, key: str) -> str:
        return "?"  # which the stack knows only when it is made


def _with_names(plan: Plan, one: Planned) -> dict[str, Json]:
    """Return inputs, with the names of what they come from where they are not known themselves."""
    inputs = dict(one.inputs)
    if one.type == "aws:kms/alias:Alias" and "name" in inputs:
        inputs["alias"] = inputs["name"].removeprefix("alias/")
    for key in ("arn", "topic"):
        for source in plan.from_(one, key) if one.type.startswith("aws:sns/topic") else ():
            inputs["topicName"] = source.inputs.get("name", "?")
    sources = {"bucket": "bucket", "role": "name", "secretId": "name", "clusterName": "name"}
    for key, name in sources.items():
        for source in plan.from_(one, key) if key not in inputs else ():
            if name in source.inputs:
                inputs.setdefault(name if key == "secretId" else key, source.inputs[name])
    return inputs


def _services(role: Planned) -> Iterator[str]:
    """Yield the services that a role is passed to: those that may assume it."""
    trust = json.loads(role.inputs.get("assumeRolePolicy", '{"Statement": []}'))
    for statement in trust["Statement"]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        yield from [services] if isinstance(services, str) else services


def _context(one: Planned, actions: tuple[str, ...], arn: str) -> Context:
    if "iam:AttachRolePolicy" in actions and "policyArn" in one.inputs:
        return (("iam:PolicyARN", one.inputs["policyArn"]),)
    if actions == _SERVICE_LINKED:
        return (("iam:AWSServiceName", arn.split("/")[-2]),)
    return ()


def simulate(account: Account, principal: str, asked: set[Request]) -> Rights:
    """Ask IAM what the policies of a user or role say."""
    rights = Rights()
    with ThreadPoolExecutor(8) as pool:
        for request, answers in zip(
            asked, pool.map(lambda one: _evaluate(account, principal, one), asked), strict=True
        ):
            for answer in answers:
                _note(rights, request, answer)
    rights.allowed -= rights.denied.keys() | rights.undecided.keys()
    return rights


def _evaluate(account: Account, principal: str, request: Request) -> list[Json]:
    context = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in request.context
    ]
    found: list[Json] = account.pages(
        "iam",
        "simulate_principal_policy",
        PolicySourceArn=principal,
        ActionNames=list(request.actions),
        ResourceArns=[request.arn],
        ContextEntries=context,
    )
    return found


def _note(rights: Rights, request: Request, answer: Json) -> None:
    action, decision = answer["EvalActionName"], answer["EvalDecision"]
    if decision == "allowed":
        rights.allowed.add(action)
    elif missing := answer.get("MissingContextValues"):
        rights.undecided.setdefault(action, f"depends on {', '.join(missing)}")
    elif decision == "implicitDeny" and "?" in request.arn:
        rights.undecided.setdefault(action, f"depends on the name in {request.arn}")
    else:
        rights.denied.setdefault(action, request.arn)


def principal_of(account: Account, arn: str) -> str:
    """Return the user or role whose policies decide about a caller.

    Sessions of a role are called by its name without its path, which IAM tells.
    """
    _, partition, service, _, number, rest = arn.split(":", 5)
    kind, _, name = rest.partition("/")
    if (service, kind) != ("sts", "assumed-role"):
        return arn
    role = name.partition("/")[0]
    try:
        found: str = account.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    except (BotoCoreError, ClientError):
        return f"arn:{partition}:iam::{number}:role/{role}"
    return found


def _is_there(account: Account, role: str) -> bool:
    try:
        account.client("iam").get_role(RoleName=role.rpartition("/")[2])
    except (BotoCoreError, ClientError):
        return False
    return True


def check_rights(account: Account, plan: Plan, caller: str) -> list[Result]:
    """Compare what the caller may do with what an `up`, and a `destroy`, will ask for."""
    _, partition, _, _, number, rest = caller.split(":", 5)
    if rest == "root":
        return [
            Result(
                "rights",
                "the root user, whom IAM does not simulate",
                Verdict.UNKNOWN,
                "deploy by a role instead",
            )
        ]
    asked, untold = requests(plan, partition, number)
    # Each account needs a service's role once.
    asked = {
        one for one in asked if one.actions != _SERVICE_LINKED or not _is_there(account, one.arn)
    }
    rights = simulate(account, principal_of(account, caller), asked)
    results = []
    if rights.allowed:
        results.append(Result("rights", f"{len(rights.allowed)} actions are allowed"))
    for service, actions in _by_service(rights.denied).items():
        example = rights.denied[f"{service}:{actions[0]}"]
        results.append(
            Result(
                f"rights: {service}",
                f"denied: {', '.join(actions)} (as on {example})",
                Verdict.FAIL,
                "have them allowed (README, Permissions)",
            )
        )
    for service, actions in _by_service(rights.undecided).items():
        results.append(
            Result(
                f"rights: {service}",
                f"{', '.join(actions)}: {rights.undecided[f'{service}:{actions[0]}']}",
                Verdict.UNKNOWN,
                "look into the conditions of the caller's policies",
            )
        )
    if untold:
        results.append(
            Result(
                "rights: other types",
                f"nobody has written down what {', '.join(sorted(untold))} need",
                Verdict.UNKNOWN,
            )
        )
    return results


def _by_service(actions: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for action in sorted(actions):
        service, _, name = action.partition(":")
        found.setdefault(service, []).append(name)
    return found
