"""The API server learns from STS and the access entries who presents a token."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import boto3
import pytest
from botocore.signers import RequestSigner

from sandbox.cloud.kubernetes import authenticator
from sandbox.cloud.kubernetes.authenticator import RefusedError, User
from sandbox.tests.aws_account import trust

CLUSTER = "mwaa-on-eks-sandbox"
REGION = "us-west-2"


@pytest.fixture(scope="module")
def sts_endpoint(emulators: dict[str, str]) -> str:
    return emulators["AWS_ENDPOINT_URL"]


def _session(key: dict[str, Any] | None = None) -> boto3.Session:
    key = key or {}
    return boto3.Session(
        aws_access_key_id=key.get("AccessKeyId"),
        aws_secret_access_key=key.get("SecretAccessKey"),
        aws_session_token=key.get("SessionToken"),
        region_name=REGION,
    )


def _url(endpoint: str, session: boto3.Session) -> str:
    """The request that `aws eks get-token` signs."""
    service = session.client("sts", endpoint_url=endpoint).meta.service_model.service_id
    credentials = session.get_credentials()
    assert credentials is not None
    signer = RequestSigner(service, REGION, "sts", "v4", credentials, session.events)
    request = {
        "method": "GET",
        "url": f"{endpoint}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": CLUSTER},
        "context": {},
    }
    url: str = signer.generate_presigned_url(request, "", 60, REGION)
    return url


def _token(url: str) -> str:
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def _changed(url: str, **changes: str | None) -> str:
    """The request with parameters replaced, added or (with None) left out."""
    parts = urlsplit(url)
    names = {name: name.replace("_", "-") for name in changes}
    query = dict(parse_qsl(parts.query)) | {names[n]: v for n, v in changes.items()}
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


def _asked(token: str, endpoint: str, *, later: timedelta = timedelta(0)) -> str:
    return authenticator.asked(token, endpoint, datetime.now(UTC) + later)


def test_a_users_token_tells_the_user(sts_endpoint: str) -> None:
    iam = _session().client("iam")
    arn = iam.create_user(UserName="someone")["User"]["Arn"]
    key = iam.create_access_key(UserName="someone")["AccessKey"]
    token = _token(_url(sts_endpoint, _session(dict(key))))
    assert authenticator.caller(_asked(token, sts_endpoint), CLUSTER) == arn
    iam.delete_access_key(UserName="someone", AccessKeyId=key["AccessKeyId"])
    with pytest.raises(RefusedError, match="InvalidClientTokenId"):
        authenticator.caller(_asked(token, sts_endpoint), CLUSTER)
    iam.delete_user(UserName="someone")


def test_an_assumed_roles_token_tells_the_session(sts_endpoint: str) -> None:
    iam = _session().client("iam")
    role = iam.create_role(
        RoleName="airflow", Path="/x/", AssumeRolePolicyDocument=trust("airflow.amazonaws.com")
    )["Role"]
    assumed = _session().client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="worker")
    token = _token(_url(sts_endpoint, _session(dict(assumed["Credentials"]))))
    assert (
        authenticator.caller(_asked(token, sts_endpoint), CLUSTER)
        == "arn:aws:sts::123456789012:assumed-role/airflow/worker"
    )
    iam.delete_role(RoleName="airflow")
    with pytest.raises(RefusedError, match="InvalidClientTokenId"):
        authenticator.caller(_asked(token, sts_endpoint), CLUSTER)


def test_a_token_for_another_cluster_is_refused(sts_endpoint: str) -> None:
    url = _asked(_token(_url(sts_endpoint, _session())), sts_endpoint)
    authenticator.caller(url, CLUSTER)
    with pytest.raises(RefusedError, match=r"for the cluster another .*SignatureDoesNotMatch"):
        authenticator.caller(url, "another")


def test_a_token_signed_with_a_made_up_secret_is_refused(
    sts_endpoint: str, emulators: dict[str, str]
) -> None:
    stolen = {"AccessKeyId": emulators["AWS_ACCESS_KEY_ID"], "SecretAccessKey": "guessed"}
    url = _asked(_token(_url(sts_endpoint, _session(stolen))), sts_endpoint)
    with pytest.raises(RefusedError, match="SignatureDoesNotMatch"):
        authenticator.caller(url, CLUSTER)


def test_an_old_token_is_refused(sts_endpoint: str) -> None:
    token = _token(_url(sts_endpoint, _session()))
    _asked(token, sts_endpoint, later=timedelta(minutes=14))
    with pytest.raises(RefusedError, match="expired at"):
        _asked(token, sts_endpoint, later=timedelta(minutes=16))


def test_a_token_of_the_future_is_refused(sts_endpoint: str) -> None:
    token = _token(_url(sts_endpoint, _session()))
    with pytest.raises(RefusedError, match="in the future"):
        _asked(token, sts_endpoint, later=-timedelta(minutes=6))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Action": "AssumeRole"}, "asks STS for AssumeRole"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/admin"}, "for less or for more"),
        ({"X_Amz_Signature": None}, "for less or for more"),
        ({"X_Amz_SignedHeaders": "host"}, "does not cover x-k8s-aws-id"),
        ({"X_Amz_Expires": "3600"}, "is to be good for"),
        ({"X_Amz_Date": "today"}, "does not say until when"),
    ],
)
def test_a_request_that_is_not_the_one_of_a_token_is_refused(
    sts_endpoint: str, changes: dict[str, str | None], reason: str
) -> None:
    url = _url(sts_endpoint, _session())
    _asked(_token(_changed(url)), sts_endpoint)
    with pytest.raises(RefusedError, match=reason):
        _asked(_token(_changed(url, **changes)), sts_endpoint)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://sts.us-west-2.amazonaws.com"])
def test_a_token_for_another_server_is_refused(sts_endpoint: str, address: str) -> None:
    url = _url(sts_endpoint, _session()).replace(sts_endpoint, address)
    with pytest.raises(RefusedError, match="not for STS"):
        _asked(_token(url), sts_endpoint)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("eyJhbGciOi", "does not start with k8s-aws-v1"),
        ("k8s-aws-v1.%%%", "holds no address"),
        ("k8s-aws-v1.bm90aGluZw", "not for STS"),
    ],
)
def test_what_is_no_token_is_refused(token: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        _asked(token, "http://127.0.0.1:1")


def test_a_duplicated_parameter_is_refused(sts_endpoint: str) -> None:
    url = _url(sts_endpoint, _session()) + "&Action=GetCallerIdentity"
    with pytest.raises(RefusedError, match="for less or for more"):
        _asked(_token(url), sts_endpoint)


@dataclass
class Entries:
    """The part of the EKS client that the authenticator uses, with one cluster's entries."""

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    class exceptions:  # noqa: N801  (boto3's name)
        """Where boto3 keeps a service's errors."""

        class ResourceNotFoundException(Exception):  # noqa: N818  (boto3's name)
            """What the real client raises where there is no entry."""

    def get_paginator(self, operation: str) -> Entries:
        assert operation == "list_access_entries"
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        assert asked == {"clusterName": CLUSTER}
        for one in self.entries:  # a page each
            yield {"accessEntries": [one]}

    def describe_access_entry(self, **asked: str) -> dict[str, Any]:
        if asked["clusterName"] != CLUSTER or asked["principalArn"] not in self.entries:
            raise self.exceptions.ResourceNotFoundException
        return {"accessEntry": self.entries[asked["principalArn"]]}

    def list_associated_access_policies(self, **asked: str) -> dict[str, Any]:
        return {
            "associatedAccessPolicies": [
                {
                    "policyArn": f"arn:aws:eks::aws:cluster-access-policy/{policy}",
                    "accessScope": {"type": scope},
                }
                for policy, scope in self.policies.get(asked["principalArn"], [])
            ]
        }


ROLE = "arn:aws:iam::123456789012:role/airflow"
SESSION = "arn:aws:sts::123456789012:assumed-role/airflow/worker"


def test_an_entry_for_the_role_holds_for_its_sessions() -> None:
    eks: Any = Entries({ROLE: {"username": "", "kubernetesGroups": ["airflow"]}})
    assert authenticator.user(eks, CLUSTER, SESSION) == User(SESSION, ("airflow",))


def test_an_entry_for_a_role_with_a_path_holds_for_its_sessions() -> None:
    path = "aws-reserved/sso.amazonaws.com/eu-west-1"
    arn = f"arn:aws:iam::123456789012:role/{path}/airflow"
    eks: Any = Entries(
        {
            "arn:aws:iam::123456789012:user/airflow": {"kubernetesGroups": ["users"]},
            "arn:aws:iam::123456789012:role/x/another": {"kubernetesGroups": ["others"]},
            arn: {"username": "", "kubernetesGroups": ["airflow"]},
        },
        {arn: [("AmazonEKSViewPolicy", "cluster")]},
    )
    found = authenticator.user(eks, CLUSTER, SESSION)
    assert found == User(SESSION, ("airflow", "eks-access-policy:AmazonEKSViewPolicy"))


def test_a_user_name_of_the_entry_is_filled_in() -> None:
    name = "arn:aws:sts::123456789012:assumed-role/airflow/{{SessionName}}"
    eks: Any = Entries({ROLE: {"username": name, "kubernetesGroups": []}})
    assert authenticator.user(eks, CLUSTER, SESSION) == User(SESSION, ())


def test_only_cluster_wide_policies_become_groups() -> None:
    eks: Any = Entries(
        {ROLE: {"username": "", "kubernetesGroups": ["airflow"]}},
        {ROLE: [("AmazonEKSViewPolicy", "cluster"), ("AmazonEMRJobPolicy", "namespace")]},
    )
    assert authenticator.user(eks, CLUSTER, ROLE).groups == (
        "airflow",
        "eks-access-policy:AmazonEKSViewPolicy",
    )


def test_a_principal_without_an_entry_is_refused() -> None:
    eks: Any = Entries({ROLE: {"username": "", "kubernetesGroups": []}})
    with pytest.raises(RefusedError, match=r"no access entry for .*:user/stranger"):
        authenticator.user(eks, CLUSTER, "arn:aws:iam::123456789012:user/stranger")
