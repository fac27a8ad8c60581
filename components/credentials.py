"""How the program itself works with AWS: in whose account, and for how long it waits."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    NoCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from pulumi import RunError, log

# Nothing else ends these requests: Pulumi hands dynamic providers no customTimeouts. One that is
# never answered fails in three minutes.
BOUNDED: Final = Config(
    connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5}
)


def require_account(account_id: str, region: str, what: str) -> None:
    """Refuse credentials of another account than the one that what is to be worked on is in.

    Pulumi's AWS provider, which refuses them, has no say in what a dynamic provider does; and in
    another account everything looks as if it were gone.
    """
    caller = _caller(region).split(":")[4]
    if caller != account_id:
        raise PermissionError(
            f"the credentials are of account {caller}, and {what} is in account {account_id}: use "
            "credentials of that"
        )


def check_caller(
    account_id: str, region: str, listed: Iterable[str], entries: Collection[str] | None
) -> None:
    """Refuse credentials of another account, or of a principal whose access EKS has made itself.

    listed: whom settings give access to the cluster; entries: who has it by this stack already,
    None where there is no cluster yet.
    """
    try:
        caller = _caller(region)
    except (NoCredentialsError, TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        raise RunError(
            f"there are no AWS credentials ({error}): sign in (`aws sso login`)"
        ) from None
    account, kind, *path = re.split("[:/]", caller)[4:]
    if account != account_id:
        raise RunError(
            f'mwaa-on-eks:account.id = "{account_id}": is not the account of the credentials, '
            f"{account} ({caller}): use credentials of that account, or correct the setting"
        )
    # A session tells its role's name without path; a user all of its ARN.
    own = {"assumed-role": f"role/{path[0]}"}.get(kind, f"{kind}/{path[-1]}") if path else kind
    for arn in listed:
        named = re.sub("/.*/", "/", arn.split(":")[5])
        if named.lower() == own.lower() and arn not in (entries or ()):
            text = (
                f'mwaa-on-eks:cluster = "{arn}": is who deploys this, {caller}, and whoever '
                "creates a cluster administers it by an access entry that EKS makes, beside which "
                "it takes no second one: remove it from the lists, or deploy as another"
            )
            if entries is None:
                raise RunError(text)
            log.warn(text)  # another may have created it


def _caller(region: str) -> str:
    client = boto3.client("sts", region_name=region, config=BOUNDED)
    return str(client.get_caller_identity()["Arn"])
