"""What every service refuses that is given a policy document: malformed ones, and too much text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import jmespath

from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.machine.aws_api import Aws, find

_VERSIONS: Final = ("2012-10-17", "2008-10-17")


@dataclass(frozen=True)
class _Kind:
    """What the documents of one kind must name, and the error that tells what is wrong."""

    error: str
    principal: bool
    resource: bool


_TRUST: Final = _Kind("MalformedPolicyDocument", principal=True, resource=False)
_OF_IDENTITY: Final = _Kind("MalformedPolicyDocument", principal=False, resource=True)
_OF_BUCKET: Final = _Kind("MalformedPolicy", principal=True, resource=True)
_OF_RESOURCE: Final = _Kind("MalformedPolicyDocumentException", principal=True, resource=True)

_OF_TOPIC: Final = _Kind("InvalidParameter", principal=True, resource=True)

# Which parameter of an operation is a document, as a JMESPath expression, and of which kind.
_GIVEN: Final = {
    ("iam", "CreatePolicy"): ("PolicyDocument", _OF_IDENTITY),
    ("iam", "CreatePolicyVersion"): ("PolicyDocument", _OF_IDENTITY),
    ("iam", "CreateRole"): ("AssumeRolePolicyDocument", _TRUST),
    ("iam", "PutGroupPolicy"): ("PolicyDocument", _OF_IDENTITY),
    ("iam", "PutRolePolicy"): ("PolicyDocument", _OF_IDENTITY),
    ("iam", "PutUserPolicy"): ("PolicyDocument", _OF_IDENTITY),
    ("iam", "UpdateAssumeRolePolicy"): ("PolicyDocument", _TRUST),
    ("kms", "CreateKey"): ("Policy", _OF_RESOURCE),
    ("kms", "PutKeyPolicy"): ("Policy", _OF_RESOURCE),
    ("s3", "PutBucketPolicy"): ("Policy", _OF_BUCKET),
    ("secretsmanager", "PutResourcePolicy"): ("ResourcePolicy", _OF_RESOURCE),
    ("sns", "CreateTopic"): ("Attributes.Policy", _OF_TOPIC),
    ("sns", "SetTopicAttributes"): ("AttributeName=='Policy' && AttributeValue", _OF_TOPIC),
}


def _malformed(parameter: str, kind: _Kind, _: Aws, told: Told) -> None:
    text = jmespath.search(parameter, told)
    if text and (problem := _problem(text, kind)):
        raise RefusedError(kind.error, problem)


for (_service, _operation), (_parameter, _kind) in _GIVEN.items():
    refuses(_service, _operation)(partial(_malformed, _parameter, _kind))


@refuses("iam", "CreateRole", "UpdateAssumeRolePolicy")
def _trusts_nobody(aws: Aws, told: Told) -> None:
    document = json.loads(told.get("AssumeRolePolicyDocument") or told["PolicyDocument"])
    statements = document["Statement"]
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal")
        named = principal.get("AWS", ()) if isinstance(principal, dict) else ()
        for arn in [named] if isinstance(named, str) else named:
            kind, _, path = arn.removeprefix(f"arn:{aws.partition}:iam::{aws.account}:").partition(
                "/"
            )
            if kind not in {"role", "user"}:  # of another account, or an account
                continue
            iam, name = aws.client("iam"), path.rpartition("/")[2]
            found = (
                find(iam.get_role, RoleName=name)
                if kind == "role"
                else find(iam.get_user, UserName=name)
            )
            if found is None or found[kind.title()]["Arn"] != arn:
                message = f'Invalid principal in policy: "AWS":"{arn}"'
                raise RefusedError("MalformedPolicyDocument", message)


# "IAM and AWS STS quotas", IAM User Guide: characters without white space, of all of a role's, a
# user's or a group's inline policies together, of a managed policy, and of a trust policy.
_INLINE: Final = {"Group": 5120, "Role": 10240, "User": 2048}
_MANAGED: Final = 6144
_TRUSTED: Final = 2048
# "AWS Identity and Access Management endpoints and quotas", AWS General Reference.
_ATTACHED: Final = {"Group": 10, "Role": 20, "User": 10}


def _size(text: str) -> int:
    return len("".join(text.split()))


@refuses("iam", "CreatePolicy", "CreatePolicyVersion")
def _managed_too_long(_: Aws, told: Told) -> None:
    if _size(told["PolicyDocument"]) > _MANAGED:
        raise RefusedError("LimitExceeded", f"Cannot exceed quota for PolicySize: {_MANAGED}")


@refuses("iam", "CreateRole", "UpdateAssumeRolePolicy")
def _trust_too_long(_: Aws, told: Told) -> None:
    if _size(told.get("AssumeRolePolicyDocument") or told["PolicyDocument"]) > _TRUSTED:
        message = f"Cannot exceed quota for ACLSizePerRole: {_TRUSTED}"
        raise RefusedError("LimitExceeded", message)


def _inline_too_long(owner: str, aws: Aws, told: Told) -> None:
    iam, limit = aws.client("iam"), _INLINE[owner]
    whose = {f"{owner}Name": told[f"{owner}Name"]}
    kind = owner.lower()
    names = find(getattr(iam, f"list_{kind}_policies"), **whose)
    total = _size(told["PolicyDocument"])
    for name in names["PolicyNames"] if names else []:
        if name != told["PolicyName"]:
            document = getattr(iam, f"get_{kind}_policy")(**whose, PolicyName=name)
            total += _size(json.dumps(document["PolicyDocument"], separators=(",", ":")))
    if total > limit:
        message = f"Maximum policy size of {limit} bytes exceeded for {kind} {told[f'{owner}Name']}"
        raise RefusedError("LimitExceeded", message)


for _owner in _INLINE:
    refuses("iam", f"Put{_owner}Policy")(partial(_inline_too_long, _owner))


def _too_many(owner: str, aws: Aws, told: Told) -> None:
    whose, limit = {f"{owner}Name": told[f"{owner}Name"]}, _ATTACHED[owner]
    answer = find(getattr(aws.client("iam"), f"list_attached_{owner.lower()}_policies"), **whose)
    attached = [one["PolicyArn"] for one in answer["AttachedPolicies"]] if answer else []
    if told["PolicyArn"] not in attached and len(attached) >= limit:
        message = f"Cannot exceed quota for PoliciesPer{owner}: {limit}"
        raise RefusedError("LimitExceeded", message)


for _owner in _ATTACHED:
    refuses("iam", f"Attach{_owner}Policy")(partial(_too_many, _owner))


@refuses("iam", "DeletePolicy")
def _managed_in_use(aws: Aws, told: Told) -> None:
    iam, which = aws.client("iam"), {"PolicyArn": told["PolicyArn"]}
    policy = find(iam.get_policy, **which)
    if policy is None:
        return
    if policy["Policy"]["AttachmentCount"]:
        message = "Cannot delete a policy attached to entities."
        raise RefusedError("DeleteConflict", message)
    if len(iam.list_policy_versions(**which)["Versions"]) > 1:
        message = (
            "This policy has more than one version. Before you delete a policy, you must delete "
            "the policy's versions. The default version is deleted with the policy."
        )
        raise RefusedError("DeleteConflict", message)


def _problem(text: str, kind: _Kind) -> str | None:
    try:
        document = json.loads(text)
    except ValueError:
        return "This policy contains invalid Json"
    if not isinstance(document, dict) or document.get("Version") not in _VERSIONS:
        return f"Policy document must have a Version, one of {', '.join(_VERSIONS)}"
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        return "Policy document must have a Statement"
    return next((problem for one in statements if (problem := _statement(one, kind))), None)


def _statement(statement: Any, kind: _Kind) -> str | None:  # noqa: ANN401  (whatever JSON holds)
    if not isinstance(statement, dict):
        return "Statement must be an object"
    named = "Principal" in statement or "NotPrincipal" in statement
    acted_on = statement.get("Resource") or statement.get("NotResource")
    problems = {
        "Statement must have an Effect, Allow or Deny": statement.get("Effect")
        not in {"Allow", "Deny"},
        "Statement must have actions": not (statement.get("Action") or statement.get("NotAction")),
        "Missing required field Principal": kind.principal and not named,
        "Policy document should not specify a principal.": named and not kind.principal,
        "Missing required field Resource": kind.resource and not acted_on,
        "Has prohibited field Resource": acted_on and not kind.resource,
    }
    return next((text for text, applies in problems.items() if applies), None)
