"""One comment of a pull request on GitHub, written anew in its place.

    GITHUB_TOKEN=... python -m operations.github_comment --repository me/mine --number 7 comment.md

The first line of the file tells which comment it is: a stack has one. The token needs
`pull-requests: write` and nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final, TypeAlias

import urllib3

Json: TypeAlias = Any

WRITER: Final = "github-actions[bot]"
"""As whom the token of a workflow writes. A comment of somebody else with the same first line stays
his: the token could change it."""


class GitHubError(Exception):
    """What GitHub answered instead of doing what it was asked for."""


def write(api: str, token: str, repository: str, number: int, body: str) -> str:
    """Create the comment or change it, and return its address.

    api: the address of GitHub's REST API, as GITHUB_API_URL in a workflow.
    """
    pool = urllib3.PoolManager(
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "User-Agent": "mwaa-on-eks",
            "X-GitHub-Api-Version": "2022-11-28",
        },
        retries=urllib3.Retry(3, backoff_factor=1, status_forcelist=[502, 503, 504]),
        timeout=30,
    )

    def ask(method: str, path: str, content: Json = None, **query: int) -> Json:
        address = f"{api}/repos/{repository}/{path}"
        if method == "GET":
            answer = pool.request(method, address, fields={k: str(v) for k, v in query.items()})
        else:
            answer = pool.request(method, address, json=content)
        if answer.status >= 300:
            told = answer.data.decode(errors="replace")[:500]
            raise GitHubError(f"{method} {address} was answered with {answer.status}: {told}")
        return answer.json()

    found, page = None, 1
    while found is None and (
        comments := ask("GET", f"issues/{number}/comments", per_page=100, page=page)
    ):
        found = next((one["id"] for one in comments if _is_ours(one, body)), None)
        page += 1
    if found is None:
        written = ask("POST", f"issues/{number}/comments", {"body": body})
    else:
        written = ask("PATCH", f"issues/comments/{found}", {"body": body})
    address: str = written["html_url"]
    return address


def _is_ours(comment: Json, body: str) -> bool:
    first_line, _, _ = body.partition("\n")
    same_line: bool = comment["body"].partition("\n")[0].rstrip() == first_line
    return same_line and comment["user"]["login"] == WRITER


def main() -> int:
    """Write the comment that a file holds."""
    parser = argparse.ArgumentParser(prog="python -m operations.github_comment")
    parser.add_argument("--repository", required=True, help="owner/name")
    parser.add_argument("--number", required=True, type=int, help="the pull request's")
    parser.add_argument("comment", type=Path)
    told = parser.parse_args()
    api = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    body = told.comment.read_text()
    if not body.startswith("<!-- "):
        print(
            f"{told.comment} has no marker in its first line: make it with "
            "`python -m operations.preview_comment`",
            file=sys.stderr,
        )
        return 2
    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        print("GITHUB_TOKEN is not set: it says who writes the comment", file=sys.stderr)
        return 2
    try:
        print(write(api, token, told.repository, told.number, body))
    except (GitHubError, urllib3.exceptions.HTTPError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
