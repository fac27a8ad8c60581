"""The comment of a stack, against an API that keeps comments as GitHub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from operations.drift import Drift, marker, report
from operations.github_comment import WRITER, GitHubError, Repository
from sandbox.tests.serving import serving

BODY = "<!-- preview of dev -->\n\n### `dev`: no changes\n"


@dataclass
class GitHub:
    """The comments of pull request 7 of owner/name."""

    address: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)

    def add_issue(self, body: str | None, writer: str = WRITER, **more: object) -> dict[str, Any]:
        number = len(self.issues) + 1
        one = {
            "number": number,
            "state": "open",
            "body": body,
            "user": {"login": writer},
            "html_url": f"https://github.com/owner/name/issues/{number}",
            **more,
        }
        self.issues.append(one)
        return one

    def add(self, body: str, writer: str = WRITER) -> dict[str, Any]:
        one = {
            "id": len(self.comments) + 1,
            "body": body,
            "user": {"login": writer},
            "html_url": f"https://github.com/owner/name/pull/7#{len(self.comments) + 1}",
        }
        self.comments.append(one)
        return one


@pytest.fixture
def github() -> Iterator[GitHub]:
    kept = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            kept.asked.append((self.command, url.path, self.headers.get("Authorization")))
            length = int(self.headers.get("Content-Length", 0))
            told = json.loads(self.rfile.read(length) or b"{}")
            status, answer = 404, json.dumps({"message": "Not Found"})
            prefix, _, rest = url.path.partition("/issues/")
            if url.path == "/repos/owner/name/pulls":
                (head,) = parse_qs(url.query)["head"]
                found = [one for one in kept.pulls if one["of"] == head]
                status, answer = 200, json.dumps(found)
            if url.path == "/repos/owner/name/issues" and self.command == "GET":
                query = {key: value for key, (value,) in parse_qs(url.query).items()}
                found = [one for one in kept.issues if one["state"] == query["state"]]
                size, page = int(query["per_page"]), int(query["page"])
                status, answer = 200, json.dumps(found[size * (page - 1) : size * page])
            elif url.path == "/repos/owner/name/issues":
                status, answer = 201, json.dumps(kept.add_issue(**told))
            elif self.command == "PATCH" and rest.isdigit():
                one = kept.issues[int(rest) - 1]
                one.update(told)
                status, answer = 200, json.dumps(one)
            if prefix == "/repos/owner/name" and rest == "7/comments" and self.command == "GET":
                asked = {key: int(value) for key, (value,) in parse_qs(url.query).items()}
                start = (asked["page"] - 1) * asked["per_page"]
                listed = kept.comments[start : start + asked["per_page"]]
                status, answer = 200, json.dumps(listed)
            elif rest == "7/comments" and self.command == "POST":
                status, answer = 201, json.dumps(kept.add(told["body"]))
            elif rest.startswith("comments/") and self.command == "PATCH":
                one = kept.comments[int(rest.partition("/")[2]) - 1]
                one["body"] = told["body"]
                status, answer = 200, json.dumps(one)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815  (the server's names)

        def log_message(self, *_: object) -> None:
            pass

    with serving(HTTPServer(("127.0.0.1", 0), Handler)) as server:
        kept.address = f"http://127.0.0.1:{server.server_port}"
        yield kept


def _write(github: GitHub, body: str = BODY) -> str:
    return Repository(github.address, "the-token", "owner/name").write_comment(7, body)


def test_the_first_one_is_made_and_the_next_takes_its_place(github: GitHub) -> None:
    assert _write(github) == "https://github.com/owner/name/pull/7#1"
    changed = BODY.replace("no changes", "1 created")
    assert _write(github, changed) == "https://github.com/owner/name/pull/7#1"
    assert [one["body"] for one in github.comments] == [changed]
    assert {who for _, _, who in github.asked} == {"Bearer the-token"}


def test_each_stack_has_a_comment_of_its_own(github: GitHub) -> None:
    other = BODY.replace("dev", "prod")
    _write(github)
    _write(github, other)
    assert [one["body"] for one in github.comments] == [BODY, other]


def test_what_people_write_stays_theirs(github: GitHub) -> None:
    github.add(BODY, writer="somebody")
    github.add(f"I looked at it:\n{BODY}")
    _write(github, BODY.replace("no changes", "1 created"))
    assert [one["body"].splitlines()[-1] for one in github.comments] == [
        "### `dev`: no changes",
        "### `dev`: no changes",
        "### `dev`: 1 created",
    ]


def test_it_is_found_behind_a_hundred_others(github: GitHub) -> None:
    for number in range(230):
        github.add(f"comment {number}")
    github.comments[220]["body"] = BODY
    assert _write(github) == "https://github.com/owner/name/pull/7#221"
    assert len(github.comments) == 230


def test_what_github_answers_is_told(github: GitHub) -> None:
    with pytest.raises(
        GitHubError, match=r"/repos/owner/other/.* was answered with 404.*Not Found"
    ):
        Repository(github.address, "the-token", "owner/other").write_comment(7, BODY)


def test_the_pull_request_of_a_fork_is_found_by_its_branch_and_commit(github: GitHub) -> None:
    repository = Repository(github.address, "the-token", "owner/name")
    github.pulls = [
        {"number": 6, "head": {"sha": "aaa"}, "of": "somebody:fix"},
        {"number": 7, "head": {"sha": "bbb"}, "of": "somebody:fix"},
        {"number": 8, "head": {"sha": "bbb"}, "of": "other:fix"},
    ]
    assert repository.pull_request("somebody:fix", "bbb") == 7
    assert repository.pull_request("somebody:fix", "ccc") is None
    assert repository.pull_request("nobody:fix", "bbb") is None


def test_each_drift_has_one_issue_which_is_closed_when_it_is_gone(github: GitHub) -> None:
    repository = Repository(github.address, "the-token", "owner/name")
    role = Drift("urn:pulumi:dev::p::c$aws:iam/role:Role::airflow", ("has the policy x too",))
    bucket = Drift("urn:pulumi:dev::p::c$aws:s3/bucket:Bucket::dags", ("dags/a.py is ``` deleted",))
    for number in range(120):
        github.add_issue(f"issue {number}" if number else None)
    theirs = github.add_issue(marker("dev", role.urn), writer="somebody")
    elsewhere = github.add_issue(marker("prod", role.urn))
    pull_request = github.add_issue(marker("dev", role.urn), pull_request={})

    def done(*found: Drift) -> list[str]:
        return [line.partition(" ")[0] for line in report(repository, "dev", found)]

    assert done(role, bucket) == ["opened", "opened"]
    first, second = github.issues[-2:]
    assert first["title"] == "Drift in dev: airflow (aws:iam/role:Role)"
    assert "has the policy x too" in first["body"]
    assert second["body"].count("```") == 2  # what is in the cloud ends no block
    assert done(role, bucket) == []  # the same again tomorrow
    assert done(Drift(role.urn, ("has the policies x and y too",))) == ["changed", "closed"]
    assert (first["state"], second["state"]) == ("open", "closed")
    assert "x and y" in first["body"]
    assert done() == ["closed"]
    assert {one["state"] for one in (theirs, elsewhere, pull_request)} == {"open"}
    assert done(role) == ["opened"]
