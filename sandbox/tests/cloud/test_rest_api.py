"""MWAA's InvokeRestApi: who may ask it, as whom, and what becomes of Airflow's answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.cloud.aws import rest_api
from sandbox.cloud.aws.rest_api import Serving
from sandbox.tests.serving import serving

NAME = "rest-api"
ROLE = f"arn:aws:airflow:us-west-2:123456789012:role/{NAME}"
ONCE = Config(retries={"total_max_attempts": 1})
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}


class FakeAirflow(BaseHTTPRequestHandler):
    """Tells what it is asked, and answers as its path wants."""

    def answer(self) -> None:
        claims = self.headers["Authorization"].split(".")[1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {
            "role": json.loads(base64.urlsafe_b64decode(claims + "=="))["role"],
            "asked": f"{self.command} {self.path}",
            "body": json.loads(body or "null"),
        }
        last = self.path.rpartition("/")[2].partition("?")[0]
        content = b"" if last == "204" else json.dumps(told).encode()
        if last == "large":
            content = json.dumps("x" * rest_api.LARGEST_ANSWER).encode()
        self.send_response(int(last) if last.isdecimal() else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  (names of the base class)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def mwaa(emulators: dict[str, str], aws_itself: dict[str, str]) -> Iterator[Any]:
    """MWAA with one environment."""
    assert emulators
    # As AWS itself, which needs no network for it.
    made: Any = boto3.client("mwaa", **aws_itself)  # type: ignore[call-overload]
    made.create_environment(
        Name=NAME,
        DagS3Path="dags",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/execution",
        SourceBucketArn="arn:aws:s3:::dags",
        NetworkConfiguration={"SecurityGroupIds": ["sg-1"], "SubnetIds": ["subnet-1", "subnet-2"]},
    )
    yield boto3.client("mwaa", config=ONCE)
    made.delete_environment(Name=NAME)


@pytest.fixture
def airflow(emulators: dict[str, str]) -> Iterator[None]:
    """An Airflow that runs."""
    file = Path(emulators["SANDBOX_AIRFLOW"])
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), FakeAirflow)) as server:
        Serving(f"http://127.0.0.1:{server.server_port}", "secret").announce(file)
        try:
            yield
        finally:
            file.unlink()


def assumed(*resources: str) -> Any:  # noqa: ANN401  (a client)
    """MWAA as who may invoke the REST API as these."""
    iam = boto3.client("iam")
    allow = {"Effect": "Allow", "Action": "airflow:InvokeRestApi", "Resource": list(resources)}
    policy, trust = json.dumps({**TRUST, "Statement": [allow]}), json.dumps(TRUST)
    made = iam.create_role(RoleName="rest-api", AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName="rest-api", PolicyName="one", PolicyDocument=policy)
    keys = boto3.client("sts").assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="dag")[
        "Credentials"
    ]
    return boto3.client(
        "mwaa",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=ONCE,
    )


@pytest.fixture(autouse=True)
def no_role(emulators: dict[str, str]) -> Iterator[None]:
    yield
    iam = boto3.client("iam")
    if "rest-api" in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        iam.delete_role_policy(RoleName="rest-api", PolicyName="one")
        iam.delete_role(RoleName="rest-api")


def refused(mwaa: Any, path: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    with pytest.raises(ClientError) as error:
        mwaa.invoke_rest_api(**{"Name": NAME, "Method": "GET", "Path": path, **more})
    return dict(error.value.response)


def test_airflow_is_asked_as_it_is_told(mwaa: Any, airflow: None) -> None:  # noqa: ANN401
    answer = mwaa.invoke_rest_api(
        Name=NAME,
        Method="POST",
        Path="/dags/~/dagRuns",
        QueryParameters={"limit": 5, "only": True, "since": "00:00+00"},
        Body={"key": "a", "value": ["b"]},
    )
    assert answer["RestApiStatusCode"] == 200
    assert answer["RestApiResponse"] == {
        "role": "ADMIN",
        "asked": "POST /api/v2/dags/~/dagRuns?limit=5&only=true&since=00%3A00%2B00",
        "body": {"key": "a", "value": ["b"]},
    }
    gone = mwaa.invoke_rest_api(Name=NAME, Method="DELETE", Path="/204")
    assert (gone["RestApiStatusCode"], gone["RestApiResponse"]) == (204, {})


def test_somebody_asks_as_the_role_that_his_policy_names(mwaa: Any, airflow: None) -> None:  # noqa: ANN401
    asked = assumed(f"{ROLE}/Op", f"{ROLE}/Viewer").invoke_rest_api(
        Name=NAME, Method="GET", Path="/variables"
    )
    assert asked["RestApiResponse"]["role"] == "OP"


@pytest.mark.parametrize("resource", [f"{ROLE}-2/Op", ROLE.replace(":role/", ":environment/")])
def test_nobody_asks_without_a_role(mwaa: Any, airflow: None, resource: str) -> None:  # noqa: ANN401
    error = refused(assumed(resource), "/variables")["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert (
        f"not authorized to perform: airflow:InvokeRestApi on resource: {ROLE}/"
        in (error["Message"])
    )


@pytest.mark.parametrize(
    ("path", "code"), [("/403", "RestApiClientException"), ("/502", "RestApiServerException")]
)
def test_what_airflow_refuses_is_an_exception(
    mwaa: Any,  # noqa: ANN401
    airflow: None,
    path: str,
    code: str,
) -> None:
    told = refused(mwaa, path)
    assert told["Error"]["Code"] == code
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert told["RestApiStatusCode"] == int(path[1:])
    assert told["RestApiResponse"]["asked"] == f"GET /api/v2{path}?"


def test_large_answers_and_long_paths_fail(mwaa: Any, airflow: None) -> None:  # noqa: ANN401
    assert refused(mwaa, "/large")["Error"]["Code"] == "RestApiServerException"
    long = f"/variables/{'x' * 54}"
    assert len(long) == 65
    assert refused(mwaa, long)["Error"]["Code"] == "ValidationException"
    assert mwaa.invoke_rest_api(Name=NAME, Method="GET", Path=long[:-1])


def test_without_an_airflow_there_is_no_answer(mwaa: Any, emulators: dict[str, str]) -> None:  # noqa: ANN401
    told = refused(mwaa, "/dags")
    assert told["Error"]["Code"] == "InternalServerException"
    assert "no Airflow runs here; `make airflow` runs one" in told["Error"]["Message"]
    dead = Path(emulators["SANDBOX_AIRFLOW"])
    Serving("http://127.0.0.1:1", "secret").announce(dead)
    assert "Connection refused" in refused(mwaa, "/dags")["Error"]["Message"]
    dead.unlink()


def test_an_environment_must_be_there_and_available(mwaa: Any, airflow: None) -> None:  # noqa: ANN401
    assert refused(mwaa, "/dags", Name="nobody")["Error"]["Code"] == "ResourceNotFoundException"
    with pytest.raises(rest_api.FailedError, match="not available"):
        rest_api.invoke({"Status": "UPDATING"}, {}, "Admin", Path("none"))
