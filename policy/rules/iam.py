"""IAM: what roles may do, and who may take them."""

from __future__ import annotations

from .documents import (
    IDENTITY_POLICIES,
    Statement,
    actions,
    condition_keys,
    conditions,
    permissions,
    principals,
    statements,
)
from .rule import Findings, Resource, listed, rule

ROLE = "aws:iam/role:Role"
_READS = ("batchget", "describe", "get", "head", "list", "lookup", "search", "simulate", "view")
# Actions that take no resource (Service Authorization Reference), and write little.
_WITHOUT_RESOURCE = {
    "autoscaling:terminateinstanceinautoscalinggroup",
    "cloudwatch:putmetricdata",
    "ecr:getauthorizationtoken",
    "xray:puttelemetryrecords",
    "xray:puttracesegments",
}
# With one of these on everything, whoever has it gives himself the rest (Rhino Security Labs' list;
# prowler iam_inline_policy_allows_privilege_escalation; EKS's own, by which one becomes admin).
_ESCALATES = {
    "eks:associateaccesspolicy",
    "eks:createaccessentry",
    "iam:addusertogroup",
    "iam:attachgrouppolicy",
    "iam:attachrolepolicy",
    "iam:attachuserpolicy",
    "iam:createaccesskey",
    "iam:createloginprofile",
    "iam:createpolicyversion",
    "iam:putgrouppolicy",
    "iam:putrolepolicy",
    "iam:putuserpolicy",
    "iam:setdefaultpolicyversion",
    "iam:updateassumerolepolicy",
    "iam:updateloginprofile",
    "sts:assumerole",
}
# Services that tell for whom they act when they take a role, so that a condition can ask.
_TELL_THEIR_SOURCE = (
    "airflow-env.amazonaws.com",
    "airflow.amazonaws.com",
    "delivery.logs.amazonaws.com",
    "eks.amazonaws.com",
    "pods.eks.amazonaws.com",
    "scheduler.amazonaws.com",
    "vpc-flow-logs.amazonaws.com",
)
_ADMINISTRATORS = ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess")


def _everything(statement: Statement) -> bool:
    return "*" in listed(statement.get("Resource"))


@rule(
    *IDENTITY_POLICIES,
    demand="No policy allows all actions of a service.",
    sources="CKV_AWS_62, CKV_AWS_63, CKV_AWS_286 to CKV_AWS_290, IAM.1, IAM.21",
    way_out="name the actions that are called",
)
def iam_actions_named(policy: Resource) -> Findings:
    for statement in permissions(policy):
        for action in actions(statement):
            if action == "*" or action.partition(":")[2].strip("*") == "":
                yield f"{action} is allowed"


@rule(
    *IDENTITY_POLICIES,
    ROLE,
    demand="No policy allows all but something.",
    sources="cfn-guard iam_role_or_policy_no_allow_plus_not_resource",
    way_out="name what is allowed, or deny what is not",
)
def iam_nothing_allowed_by_exception(policy: Resource) -> Findings:
    trust = statements(policy.props.get("assumeRolePolicy"))
    for statement in (*permissions(policy), *(one for one in trust if one["Effect"] == "Allow")):
        for key in ("NotAction", "NotPrincipal", "NotResource"):
            if key in statement:
                yield f"a statement has Allow with {key}"


@rule(
    *IDENTITY_POLICIES,
    demand="What changes something is allowed on named resources.",
    sources="CKV_AWS_355, CKV_AWS_289, CKV_AWS_290",
    way_out="name the resources, or add a condition that does (such as aws:ResourceTag/…)",
)
def iam_resources_named(policy: Resource) -> Findings:
    for statement in permissions(policy):
        if _everything(statement) and not statement.get("Condition"):
            for action in actions(statement):
                verb = action.partition(":")[2]
                if not verb.startswith(_READS) and action not in _WITHOUT_RESOURCE:
                    yield f"{action} is allowed on *"


@rule(
    *IDENTITY_POLICIES,
    demand="A role is passed by name.",
    sources="cfn-guard iam_policy_no_wildcard_resource_on_passrole",
    way_out="name the role in Resource, and the service in a condition on iam:PassedToService",
)
def iam_roles_passed_by_name(policy: Resource) -> Findings:
    for statement in permissions(policy):
        if "iam:passrole" in actions(statement) and any(
            one == "*" or one.endswith(":role/*") for one in listed(statement.get("Resource"))
        ):
            yield f"iam:PassRole is allowed on {', '.join(listed(statement['Resource']))}"


@rule(
    *IDENTITY_POLICIES,
    demand="Nobody can give himself more rights.",
    sources="CKV_AWS_286, prowler iam_inline_policy_allows_privilege_escalation",
    way_out="name the roles or the cluster for which it is needed, or leave the action out",
)
def iam_no_escalation(policy: Resource) -> Findings:
    for statement in permissions(policy):
        if _everything(statement):
            for action in actions(statement):
                if action in _ESCALATES:
                    yield f"{action} is allowed on *"


@rule(
    *IDENTITY_POLICIES,
    demand="Not all secrets and not everything under every key can be read.",
    sources="CKV_AWS_288, KMS.2, prowler iam_policy_no_full_access_to_kms",
    way_out="name the secrets or the key",
)
def iam_no_reading_of_all(policy: Resource) -> Findings:
    reading = {"secretsmanager:getsecretvalue", "kms:decrypt", "ssm:getparameter", "s3:getobject"}
    for statement in permissions(policy):
        if _everything(statement) and not statement.get("Condition"):
            yield from (f"{one} is allowed on *" for one in actions(statement) if one in reading)


@rule(
    *IDENTITY_POLICIES,
    demand="Spark jobs are started with named roles only.",
    sources="Amazon EMR on EKS guide (Using job execution roles), security of the job roles",
    way_out="add a condition ArnEquals emr-containers:ExecutionRoleArn",
)
def emr_jobs_run_as_named_roles(policy: Resource) -> Findings:
    for statement in permissions(policy):
        if "emr-containers:startjobrun" in actions(
            statement
        ) and "emr-containers:executionrolearn" not in condition_keys(statement):
            yield "emr-containers:StartJobRun is allowed with any role"


@rule(
    ROLE,
    demand="Nobody takes a role whom its trust does not name.",
    sources="CKV_AWS_60, CKV_AWS_61, prowler iam_no_custom_policy_permissive_role_assumption",
    way_out="name the account, the role or the service",
)
def iam_trust_named(role: Resource) -> Findings:
    for statement in statements(role.props["assumeRolePolicy"]):
        if statement["Effect"] == "Allow" and not statement.get("Condition"):
            for kind, name in principals(statement):
                if name == "*" and kind in {"*", "AWS"}:
                    yield "anybody may take it"


@rule(
    ROLE,
    demand="A service takes a role for this account only.",
    sources="prowler iam_role_cross_service_confused_deputy_prevention",
    way_out="add a condition on aws:SourceAccount, and on aws:SourceArn where that is known",
)
def iam_trust_source(role: Resource) -> Findings:
    for statement in statements(role.props["assumeRolePolicy"]):
        keys = condition_keys(statement)
        if statement["Effect"] == "Allow" and not keys & {"aws:sourceaccount", "aws:sourcearn"}:
            for kind, name in principals(statement):
                if kind == "Service" and name in _TELL_THEIR_SOURCE:
                    yield f"{name} may take it for anybody"


@rule(
    ROLE,
    demand="Who comes with a token from elsewhere is named by audience and subject.",
    sources="CKV_AWS_358, EKS best practices (scope the IAM role trust policy)",
    way_out="add conditions on <issuer>:aud and <issuer>:sub, the latter without a bare *",
)
def iam_trust_of_tokens(role: Resource) -> Findings:
    for statement in statements(role.props["assumeRolePolicy"]):
        if statement["Effect"] != "Allow" or not any(
            kind == "Federated" and ":oidc-provider/" in name
            for kind, name in principals(statement)
        ):
            continue
        tested = {key.rpartition(":")[2]: values for _, key, values in conditions(statement)}
        for claim in ("aud", "sub"):
            if claim not in tested:
                yield f"its trust does not ask for :{claim}"
        for value in tested.get("sub", []):
            # With a * for the owner or the namespace, whoever makes one comes in.
            if value.strip("*") == "" or value.split("*")[0] in {"repo:", "system:serviceaccount:"}:
                yield f"its trust takes the subject {value}"


@rule(
    ROLE,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    demand="No role administers the account.",
    sources="CKV_AWS_274, CKV_AWS_275, IAM.1",
    way_out="write a policy of what it does",
)
def iam_no_administrators(resource: Resource) -> Findings:
    given = [resource.props.get("policyArn"), *listed(resource.props.get("managedPolicyArns"))]
    for arn in given:
        if arn is not None and arn.rpartition("/")[2] in _ADMINISTRATORS:
            yield f"it has {arn}"
