"""Whose account the credentials are of that dynamic providers work with."""

from __future__ import annotations

import boto3


def require_account(account_id: str, region: str, what: str) -> None:
    """Refuse credentials of another account than the one that what is to be worked on is in.

    Pulumi's AWS provider, which refuses them, has no say in what a dynamic provider does; and in
    another account everything looks as if it were gone.
    """
    caller = boto3.client("sts", region_name=region).get_caller_identity()["Account"]
    if caller != account_id:
        raise PermissionError(
            f"the credentials are of account {caller}, and {what} is in account {account_id}: use "
            "credentials of that"
        )
