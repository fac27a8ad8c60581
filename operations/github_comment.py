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


class Repository:
    """A repository on GitHub, by its REST API.

    api: the address of the API, as GITHUB_API_URL in a workflow.
    """

    def __init__(self, api: str, token: str, name: str) -> None:
        self._address = f"{api}/repos/{name}"
        self._pool = urllib3.PoolManager(
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token}",
                "User-Agent": "mwaa-on-eks",
                "X-GitHub-Api-Version": "2022-11-28",
            },
            retries=urllib3.Retry(3, backoff_factor=1, status_forcelist=[502, 503, 504]),
            timeout=30,
        )

    def _ask(self, method: str, path: str, **told: str) -> Json:
        address = f"{self._address}/{path}"
        given = {"fields": told} if method == "GET" else {"json": told}
        answer = self._pool.request(method, address, **given)
        if answer.status >= 300:
            text = answer.data.decode(errors="replace")[:500]
            raise GitHubError(f"{method} {address} was answered with {answer.status}: {text}")
        return answer.json()

    def pull_request(self, head: str, commit: str) -> int | None:
        """Return the number of the open pull request whose last commit is this.

        head: owner:branch, as a workflow_run event tells it, which names no pull request of a fork.
        """
        for one in self._ask("GET", "pulls", state="open", head=head):
            if one["head"]["sha"] == commit:
                number: int = one["number"]
                return number
        return None

    def issues(self, beginning: str) -> dict[str, Json]:
        """Return the open issues of ours whose first line begins so, by that line."""
        found: dict[str, Json] = {}
        page = 1
        while listed := self._ask("GET", "issues", state="open", per_page="100", page=str(page)):
            for one in listed:
                first_line = (one["body"] or "").partition("\n")[0].rstrip()
                ours = first_line.startswith(beginning) and one["user"]["login"] == WRITER
                if ours and "pull_request" not in one:
                    found[first_line] = one
            page += 1
        return found

    def open_issue(self, title: str, body: str) -> str:
        """Create an issue, and return its address."""
        address: str = self._ask("POST", "issues", title=title, body=body)["html_url"]
        return address

    def change_issue(self, number: int, **told: str) -> None:
        """Change an issue's body or state."""
        self._ask("PATCH", f"issues/{number}", **told)

    def write_comment(self, number: int, body: str) -> str:
        """Create the comment or change it, and return its address."""
        comments = f"issues/{number}/comments"
        found, page = None, 1
        while found is None and (
            listed := self._ask("GET", comments, per_page="100", page=str(page))
        ):
            found = next((one["id"] for one in listed if _is_ours(one, body)), None)
            page += 1
        if found is None:
            written = self._ask("POST", comments, body=body)
        else:
            written = self._ask("PATCH", f"issues/comments/{found}", body=body)
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
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--number", type=int, help="the pull request's")
    which.add_argument("--head", help="where the pull request comes from: owner:branch")
    parser.add_argument("--commit", help="its last commit, with --head")
    parser.add_argument("comment", type=Path)
    told = parser.parse_args()
    if bool(told.head) != bool(told.commit):
        parser.error("--head and --commit go together")
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
        repository = Repository(api, token, told.repository)
        number = told.number or repository.pull_request(told.head, told.commit)
        if number is None:
            print(f"no open pull request of {told.head} ends with {told.commit}: nothing to write")
            return 0
        print(repository.write_comment(number, body))
    except (GitHubError, urllib3.exceptions.HTTPError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
