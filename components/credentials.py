"""How the program itself works with AWS: in whose account, and for how long it waits."""

from __future__ import annotations

from typing import Final

import boto3
from botocore.config import Config

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
    caller = boto3.client("sts", region_name=region, config=BOUNDED).get_caller_identity()[
        "Account"
    ]
    if caller != account_id:
        raise PermissionError(
            f"the credentials are of account {caller}, and {what} is in account {account_id}: use "
            "credentials of that"
        )
