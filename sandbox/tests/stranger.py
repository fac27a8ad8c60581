"""Another user of this machine, who tries what they can do with a sandbox."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOBODY: Final = 65534
FORM: Final = "application/x-www-form-urlencoded"
PATHS: Final = (
    *("/", "/api", "/api/v1/secrets", "/version", "/metrics", "/debug/pprof/", "/openapi/v2"),
    *("/members", "/health", "/moto-api/data.json", "/_ministack/health", "/clusters"),
    *(
        "/latest/meta-data/iam/security-credentials/",
        "/pods",
        "/containerLogs/a/b/c",
        "/exec/a/b/c",
        "/portForward/a/b",
    ),
)
SENT: Final = (
    ("/v3/kv/range", "application/json", '{"key": "AA==", "range_end": "AA=="}'),
    ("/v3/kv/put", "application/json", '{"key": "YQ==", "value": "YQ=="}'),
    ("/moto-api/reset", FORM, ""),
    ("/_ministack/reset", FORM, ""),
    ("/", "application/json", '{"spec": {"token": "k8s-aws-v1.eA"}}'),
)


@dataclass(frozen=True)
class Attempt:
    """What is sent to a port."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str = ""


def as_somebody_else(act: Callable[[], Any], directory: Path) -> Any:  # noqa: ANN401
    """Return what comes of an act in a directory, as the user nobody where this is root.

    In a copy of this process: nobody may be unable to read the program that would be started.
    """
    reading, writing = os.pipe()
    "127.0.0.1".encode("idna")  # which loads what nobody may be unable to load
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chdir(directory)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with os.fdopen(writing, "w") as answer:
                json.dump(act(), answer)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    assert os.waitpid(child, 0)[1] == 0, told
    return json.loads(told)


def listening(pids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Return the ports of processes and of what they have started: address and command."""
    found = {}
    for pid in pids:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            try:
                command = " ".join(one.cmdline()[:3])
                connections = one.net_connections()
            except psutil.NoSuchProcess:  # it has ended since, and listens no more
                continue
            for connection in connections:
                if connection.status == psutil.CONN_LISTEN:
                    found[connection.laddr.port] = (connection.laddr.ip, command)
    return found


def signed(port: int, key_id: str, secret: str, token: str | None = None) -> list[Attempt]:
    """Return requests to AWS, signed with a key."""
    attempts = []
    for service, method, path, headers, body in (
        ("s3", "GET", "/", {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, ""),
        ("eks", "GET", "/clusters", {}, ""),
        ("airflow", "GET", "/environments", {}, ""),
        (
            "secretsmanager",
            "POST",
            "/",
            {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": "secretsmanager.ListSecrets",
            },
            "{}",
        ),
        (
            "iam",
            "POST",
            "/",
            {"Content-Type": FORM},
            "Action=ListUsers&Version=2010-05-08",
        ),
    ):
        request = AWSRequest(method, f"http://127.0.0.1:{port}{path}", headers, body)
        SigV4Auth(Credentials(key_id, secret, token), service, "us-west-2").add_auth(request)
        attempts.append(Attempt(method, path, dict(request.headers.items()), body))
    return attempts


def unsigned() -> list[Attempt]:
    """Return requests to everything that a sandbox has, without credentials."""
    return [
        *(Attempt("GET", path, {}) for path in PATHS),
        *(Attempt("POST", path, {"Content-Type": kind}, body) for path, kind, body in SENT),
        Attempt("GET", "/api/v1/secrets", {"Authorization": "Bearer k8s-aws-v1.eA"}),
        Attempt("GET", "/api/v1/secrets", {"X-Remote-User": "admin"}),
    ]


def statuses(port: int, attempts: Iterable[Attempt]) -> list[tuple[str, int]]:
    """Return what was answered, with TLS and without; nothing where nobody was let in."""
    found = []
    context = ssl._create_unverified_context()  # noqa: S323
    for scheme, connection in (
        ("http", http.client.HTTPConnection("127.0.0.1", port, timeout=10)),
        ("https", http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)),
    ):
        with closing(connection):
            for attempt in attempts:
                try:
                    connection.request(
                        attempt.method, attempt.path, attempt.body, dict(attempt.headers)
                    )
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException):
                    connection.close()
                    if scheme == "https":
                        break  # there is no TLS, or a certificate is asked for
                    continue
                found.append((f"{attempt.method} {scheme} {attempt.path}", answer.status))
    return found


def readable(files: Iterable[str]) -> list[str]:
    """Return those of the files that can be opened."""
    found = []
    for file in files:
        try:
            os.close(os.open(file, os.O_RDONLY))
        except PermissionError:
            continue
        except FileNotFoundError:  # ended since
            continue
        found.append(file)
    return found
