"""What services refuse that are handed a role."""

from __future__ import annotations

import json

from sandbox.cloud.aws.refusals.front import RefusedError
from sandbox.machine.aws_api import Answer, Aws, find


def require_role(
    aws: Aws, arn: str, *trusted: str, code: str = "InvalidParameterException"
) -> Answer:
    """Return the role, or refuse one that does not exist or whose trust policy lacks a word."""
    found = find(aws.client("iam").get_role, RoleName=arn.rpartition("/")[2])
    if found is None or found["Role"]["Arn"] != arn:
        message = f"Role with arn: {arn}, could not be assumed because it does not exist"
        raise RefusedError(code, message)
    trust = json.dumps(found["Role"]["AssumeRolePolicyDocument"])
    for word in trusted:
        if word not in trust:
            message = f"Role with arn: {arn} cannot be assumed by {word}: see its trust policy"
            raise RefusedError(code, message)
    return found["Role"]
