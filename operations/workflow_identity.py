"""Run a command as a role of AWS that trusts workflows of GitHub, without a key that is kept.

    python -m operations.workflow_identity --role arn:aws:iam::111122223333:role/x -- pulumi preview

The job needs `permissions: id-token: write`. The credentials last an hour, or as long as --seconds
and the role say, and no other step of the job sees them.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

AUDIENCE: Final = "sts.amazonaws.com"


class NoIdentityError(Exception):
    """Why the job does not get the role."""


def token(environment: Mapping[str, str]) -> str:
    """Return what GitHub says about this job, for AWS alone."""
    url = environment.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise NoIdentityError(
            "GitHub gives this job no token: let the job have `permissions: id-token: write`; a "
            "pull request from a fork has none"
        )
    bearer = f"Bearer {environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"
    request = urllib.request.Request(  # noqa: S310  (looked at above)
        f"{url}&audience={AUDIENCE}", headers={"Authorization": bearer}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(json.load(answer)["value"])
    except urllib.error.URLError as error:
        raise NoIdentityError(f"GitHub gave no token ({error}): run the job again") from None


def credentials(role: str, token: str, session: str, seconds: int) -> dict[str, str]:
    """Return the variables that every AWS SDK reads, with credentials of the role."""
    region = os.environ.get("AWS_REGION", "us-east-1")
    # Nobody yet, so there is nothing to sign with.
    sts = boto3.client("sts", region_name=region, config=Config(signature_version=UNSIGNED))
    try:
        found = sts.assume_role_with_web_identity(
            RoleArn=role,
            # botocore's roleSessionNameType.
            RoleSessionName=re.sub(r"[^\w+=,.@-]", "-", session)[-64:],
            WebIdentityToken=token,
            DurationSeconds=seconds,
        )["Credentials"]
    except (BotoCoreError, ClientError) as error:
        raise NoIdentityError(
            f"{role} is not for this job: {error}. Its token is of {_subject(token)}; the stack of "
            "the role says in delivery.githubRepository which repository it trusts, by the part "
            "after repo:"
        ) from None
    return {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }


def _subject(token: str) -> str:
    body = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return str(claims["sub"])


def main() -> None:
    """Become the command, with credentials."""
    parser = argparse.ArgumentParser("python -m operations.workflow_identity", description=__doc__)
    parser.add_argument("--role", required=True, help="ARN of the role")
    parser.add_argument("--seconds", type=int, default=3600, help="how long it is needed")
    parser.add_argument("command", nargs="+", help="the command, after --")
    arguments = parser.parse_args()
    here = os.environ
    session = f"{here.get('GITHUB_WORKFLOW', 'workflow')}-{here.get('GITHUB_RUN_ID', '0')}"
    try:
        found = credentials(arguments.role, token(here), session, arguments.seconds)
    except NoIdentityError as error:
        sys.exit(f"error: {error}")
    # The command needs no further tokens, which would be good for other roles.
    kept = {key: value for key, value in here.items() if not key.startswith("ACTIONS_ID_TOKEN_")}
    os.execvpe(arguments.command[0], arguments.command, {**kept, **found})  # noqa: S606


if __name__ == "__main__":
    main()
