"""What IAM and STS refuse that are told of providers of OpenID Connect, and handed their tokens."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from sandbox.cloud.aws import authorization, keys
from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.machine.aws_api import Aws, find

# Everybody's tokens have the same issuer, so that a trust policy must say whose it means
# ("Identity-provider controls for shared OIDC providers", IAM User Guide).
_SHARED: Final = {"token.actions.githubusercontent.com": "sub"}


@refuses("iam", "CreateOpenIDConnectProvider")
def _no_url(_: Aws, told: Told) -> None:
    if urlsplit(told["Url"]).scheme != "https":
        raise RefusedError("ValidationError", "Invalid Open ID Connect Provider URL")


@refuses("iam", "CreateOpenIDConnectProvider")
def _twin(aws: Aws, told: Told) -> None:
    url = told["Url"]
    arn = f"arn:{aws.partition}:iam::{aws.account}:oidc-provider/{url.partition('://')[2]}"
    if find(aws.client("iam").get_open_id_connect_provider, OpenIDConnectProviderArn=arn):
        raise RefusedError("EntityAlreadyExists", f"Provider with url {url} already exists.")


@refuses("iam", "CreateRole", "UpdateAssumeRolePolicy")
def _trusts_everybody(_: Aws, told: Told) -> None:
    document = json.loads(told.get("AssumeRolePolicyDocument") or told["PolicyDocument"])
    statements = document["Statement"]
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal")
        federated = principal.get("Federated", ()) if isinstance(principal, dict) else ()
        for arn in [federated] if isinstance(federated, str) else federated:
            issuer = arn.partition(":oidc-provider/")[2]
            claim = f"{issuer}:{_SHARED.get(issuer)}"
            conditions = statement.get("Condition", {}).values()
            if issuer in _SHARED and not any(claim in condition for condition in conditions):
                message = f"Missing required field Condition: the trust policy must check {claim}"
                raise RefusedError("MalformedPolicyDocument", message)


@refuses("sts", "AssumeRole", "AssumeRoleWithWebIdentity")
def _session_policy(_: Aws, told: Told) -> None:
    """Refuse what would be judged too wide: not every judge here knows a session's own policies."""
    if told.get("Policy") or told.get("PolicyArns"):
        raise RefusedError("NotInSandbox", "the sandbox knows no session policies")


@refuses("sts", "AssumeRoleWithWebIdentity")
def _not_trusted(aws: Aws, told: Told) -> None:
    claims = _claims(told["WebIdentityToken"])
    iam, issuer = aws.client("iam"), str(claims["iss"]).removeprefix("https://")
    arn = f"arn:{aws.partition}:iam::{aws.account}:oidc-provider/{issuer}"
    provider = find(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)
    if provider is None:
        message = f"No OpenIDConnect provider found in your account for https://{issuer}"
        raise RefusedError("InvalidIdentityToken", message)
    if claims.get("aud") not in provider["ClientIDList"]:
        raise RefusedError("InvalidIdentityToken", "Incorrect token audience")
    if claims.get("exp", 0) < time.time():
        raise RefusedError("ExpiredTokenException", "Token expired: the token must not be expired")
    context = {f"{issuer}:{key}": value for key, value in claims.items() if isinstance(value, str)}
    role = find(iam.get_role, RoleName=told["RoleArn"].rpartition("/")[2])
    action = "sts:AssumeRoleWithWebIdentity"
    if role is None or not authorization.is_trusted(
        role["Role"]["AssumeRolePolicyDocument"], "Federated", arn, action, context
    ):
        raise RefusedError("AccessDenied", f"Not authorized to perform {action}")


def _claims(token: str) -> Mapping[str, Any]:
    """Return what a token says that somebody has signed who has a key of a user's.

    Who else has signed one cannot be looked up here, and users may do anything anyway.
    """
    try:
        signer = jws.extract_compact(token.encode()).headers().get("kid", "")
    except (JoseError, ValueError):
        message = "The ID Token provided is not a valid JWT"
        raise RefusedError("InvalidIdentityToken", message) from None
    key = keys.in_moto(str(signer))
    try:
        if key is None or key.token is not None:
            raise ValueError(signer)
        claims = jwt.decode(token, OctKey.import_key(key.secret), algorithms=["HS256"]).claims
        claims["iss"]
    except (JoseError, ValueError, KeyError):
        message = (
            "Couldn't retrieve verification key from your identity provider. The sandbox believes "
            "tokens with an issuer that are signed (HS256) with the secret of an access key of a "
            "user of its own, whose id is the token's kid"
        )
        raise RefusedError("InvalidIdentityToken", message) from None
    return claims
