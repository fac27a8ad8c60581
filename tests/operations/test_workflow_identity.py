"""A command runs as the role that a workflow's token gets, or the job learns why not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from sandbox.tests.serving import serving
from tests.operations.github import github_tokens

ROLE = "arn:aws:iam::123456789012:role/preview"
SUBJECT = "repo:acme@1/platform@2:pull_request"
GRANTED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAONE</AccessKeyId>
<SecretAccessKey>hidden</SecretAccessKey><SessionToken>of-the-session</SessionToken>
<Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message>
</Error></ErrorResponse>"""


class Sts(HTTPServer):
    """Grants what the role trusts."""

    asked: dict[str, list[str]]
    trusts = True


@pytest.fixture
def sts() -> Iterator[Sts]:
    class Handler(BaseHTTPRequestHandler):
        server: Sts

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.server.asked = parse_qs(body)
            self.send_response(200 if self.server.trusts else 403)
            self.end_headers()
            self.wfile.write((GRANTED if self.server.trusts else REFUSED).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Sts(("127.0.0.1", 0), Handler)) as server:
        yield server


def run(sts: Sts, job: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    given = ["-m", "operations.workflow_identity", "--role", ROLE, "--", *command]
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{sts.server_port}",
        "GITHUB_WORKFLOW": "preview of all",
        "GITHUB_RUN_ID": "7",
        **job,
    }
    return subprocess.run(
        [sys.executable, *given], env=environment, check=False, capture_output=True, text=True
    )


def test_the_command_has_credentials_of_the_role_and_no_way_to_others(sts: Sts) -> None:
    with github_tokens(sub=SUBJECT) as job:
        done = run(sts, job, "env")
    assert done.returncode == 0, done.stderr
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    assert [told[name] for name in names] == ["ASIAONE", "hidden", "of-the-session"]
    assert not [name for name in told if name.startswith("ACTIONS_ID_TOKEN_")]
    assert sts.asked["RoleArn"] == [ROLE]
    assert sts.asked["RoleSessionName"] == ["preview-of-all-7"]


def test_the_job_ends_as_the_command_does(sts: Sts) -> None:
    with github_tokens(sub=SUBJECT) as job:
        assert run(sts, job, sys.executable, "-c", "raise SystemExit(7)").returncode == 7


def test_a_job_without_a_token_is_told_what_it_lacks(sts: Sts) -> None:
    done = run(sts, {}, "env")
    assert done.returncode == 1
    assert "permissions: id-token: write" in done.stderr
    assert done.stdout == ""


def test_who_is_not_trusted_is_told_who_the_token_is_of(sts: Sts) -> None:
    sts.trusts = False
    with github_tokens(sub=SUBJECT) as job:
        done = run(sts, job, "env")
    assert done.returncode == 1
    assert f"{ROLE} is not for this job" in done.stderr
    assert SUBJECT in done.stderr
    assert "delivery.githubRepository" in done.stderr
