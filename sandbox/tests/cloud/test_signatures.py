"""Only what is signed with a key that holds is answered."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sandbox.cloud.aws import keys
from sandbox.cloud.aws.keys import Key
from sandbox.cloud.aws.signatures import Fault, Received, UnsignedError, verified
from sandbox.machine.waiting import wait_for

# "Signature calculations for the Authorization header" and "Authenticating requests: using query
# parameters", Amazon S3 API reference: the examples there, with their results.
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
KEY = Key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "arn:aws:iam::123456789012:user/example")
THEN = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"
EMPTY = sha256(b"").hexdigest()


def _find(key_id: str) -> Key | None:
    return KEY if key_id == KEY_ID else None


def _authorization(names: str, signature: str) -> str:
    scope = f"{KEY_ID}/20130524/us-east-1/s3/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={names},Signature={signature}"


GET = Received(
    "GET",
    "/test.txt",
    "",
    {
        "host": HOST,
        "range": "bytes=0-9",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": "20130524T000000Z",
        "authorization": _authorization(
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    },
    b"",
)
PUT = Received(
    "PUT",
    "/test%24file.text",
    "",
    {
        "host": HOST,
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-content-sha256": sha256(b"Welcome to Amazon S3.").hexdigest(),
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "authorization": _authorization(
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    },
    b"Welcome to Amazon S3.",
)
PRESIGNED = Received(
    "GET",
    "/test.txt",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256"
    f"&X-Amz-Credential={KEY_ID}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    {"host": HOST},
    b"",
)
CHUNKS = b"\r\n".join(
    [
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        b"a" * 65536,
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        b"a" * 1024,
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        b"\r\n",
    ]
)
CHUNKED = Received(
    "PUT",
    "/examplebucket/chunkObject.txt",
    "",
    {
        "host": "s3.amazonaws.com",
        "content-encoding": "aws-chunked",
        "content-length": "66824",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-date": "20130524T000000Z",
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "authorization": _authorization(
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
            "x-amz-decoded-content-length;x-amz-storage-class",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        ),
    },
    CHUNKS,
)
EXAMPLES = {"GET": GET, "PUT": PUT, "presigned": PRESIGNED, "chunked": CHUNKED}


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_aws_publishes_as_rightly_signed_is(example: str) -> None:
    signed = verified(EXAMPLES[example], _find, THEN)
    assert (signed.key_id, signed.service) == (KEY_ID, "s3")
    assert signed.request.query == ""
    assert f"Credential={KEY_ID}/" in signed.request.headers["authorization"]


def _with(request: Received, **headers: str) -> Received:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(request, headers={**request.headers, **given})


@pytest.mark.parametrize(
    ("request_", "later", "fault"),
    [
        (replace(GET, headers={"host": HOST}), 0, Fault.MISSING),
        (_with(GET, authorization="AWS AKIAIOSFODNN7EXAMPLE:x"), 0, Fault.VERSION_2),
        (replace(PRESIGNED, query="AWSAccessKeyId=a&Signature=b"), 0, Fault.VERSION_2),
        (replace(GET, path="/other.txt"), 0, Fault.MISMATCH),
        (replace(GET, method="DELETE"), 0, Fault.MISMATCH),
        (replace(GET, query="acl"), 0, Fault.MISMATCH),
        (_with(GET, range="bytes=0-"), 0, Fault.MISMATCH),
        (_with(GET, x_amz_target="AnotherOperation"), 0, Fault.MISMATCH),
        (replace(PUT, body=b"Welcome to Amazon S4."), 0, Fault.CHANGED_BODY),
        (_with(PUT, x_amz_content_sha256="UNSIGNED-PAYLOAD"), 0, Fault.MISMATCH),
        (replace(CHUNKED, body=CHUNKS.replace(b"aaa", b"aab", 1)), 0, Fault.MISMATCH),
        (replace(CHUNKED, body=CHUNKS.replace(b"ad80c", b"ad80d")), 0, Fault.MISMATCH),
        (replace(CHUNKED, body=CHUNKS[:65622] + CHUNKS[-89:]), 0, Fault.MISMATCH),
        (replace(CHUNKED, body=b""), 0, Fault.MISMATCH),
        (replace(PRESIGNED, path="/other.txt"), 0, Fault.MISMATCH),
        (
            replace(PRESIGNED, query=PRESIGNED.query.replace("86400", "604800")),
            0,
            Fault.MISMATCH,
        ),
        (
            replace(PRESIGNED, query=PRESIGNED.query.replace("86400", "604801")),
            0,
            Fault.MISMATCH,
        ),
        (
            replace(PRESIGNED, query=f"{PRESIGNED.query}&X-Amz-Expires=604800"),
            0,
            Fault.MISSING,
        ),
        (replace(PRESIGNED, query=PRESIGNED.query[:-64]), 0, Fault.MISMATCH),
        (GET, 14 * 60, None),
        (GET, 16 * 60, Fault.SKEWED),
        (GET, -16 * 60, Fault.SKEWED),
        (PRESIGNED, 86400, None),
        (PRESIGNED, 86401, Fault.EXPIRED),
        (PRESIGNED, -16 * 60, Fault.SKEWED),
    ],
)
def test_what_was_changed_since_is_nobodys(
    request_: Received, later: int, fault: Fault | None
) -> None:
    now = THEN + timedelta(seconds=later)
    if fault is None:
        verified(request_, _find, now)
        return
    with pytest.raises(UnsignedError) as wrong:
        verified(request_, _find, now)
    assert wrong.value.fault is fault


def test_an_address_is_good_for_a_week_at_most() -> None:
    week = 7 * 24 * 60 * 60
    for seconds, right in ((week, True), (week + 1, False), (0, False)):
        request = AWSRequest("GET", f"http://{HOST}/a")
        S3SigV4QueryAuth(Credentials(KEY_ID, KEY.secret), "s3", "us-east-1", seconds).add_auth(
            request
        )
        parts = urlsplit(str(request.url))
        sent = Received("GET", parts.path, parts.query, {"host": HOST}, b"")
        if right:
            verified(sent, _find, datetime.now(UTC))
            continue
        with pytest.raises(UnsignedError) as wrong:
            verified(sent, _find, datetime.now(UTC))
        assert wrong.value.fault is Fault.MISMATCH


SESSION = Key("secret", "arn:aws:sts::123456789012:assumed-role/a/b", "token", THEN.timestamp())


def _sent(key: Key, token: str | None, service: str = "eks") -> tuple[Received, datetime]:
    request = AWSRequest("GET", "http://127.0.0.1:1/clusters/a/x%3Ay?b=1&a=%2F")
    SigV4Auth(Credentials("ASIAX", key.secret, token), service, "us-west-2").add_auth(request)
    parts = urlsplit(request.prepare().url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    sent = Received("GET", parts.path, parts.query, {**headers, "host": parts.netloc}, b"")
    return sent, datetime.now(UTC)


@pytest.mark.parametrize(
    ("token", "ends", "fault"),
    [
        ("token", 1, None),
        ("token", -1, Fault.ENDED),
        ("another", 1, Fault.WRONG_SESSION),
        (None, 1, Fault.WRONG_SESSION),
    ],
)
def test_a_session_has_its_token_and_its_end(
    token: str | None, ends: int, fault: Fault | None
) -> None:
    sent, now = _sent(SESSION, token)
    key = replace(SESSION, expires=now.timestamp() + ends)
    if fault is None:
        assert verified(sent, lambda _: key, now).key == key
        return
    with pytest.raises(UnsignedError) as wrong:
        verified(sent, lambda _: key, now)
    assert wrong.value.fault is fault


def test_only_s3_is_patient_with_clocks() -> None:
    sent, now = _sent(KEY, None)
    with pytest.raises(UnsignedError, match="just now"):
        verified(sent, lambda _: KEY, now + timedelta(minutes=6))
    verified(sent, lambda _: KEY, now + timedelta(minutes=4))


# What follows is asked of both emulators.

CALLS: Mapping[str, Callable[[Any], Any]] = {
    "cloudwatch": lambda of: of.list_metrics(),
    "ec2": lambda of: of.describe_vpcs(),
    "ecr": lambda of: of.describe_repositories(),
    "eks": lambda of: of.list_clusters(),
    "emr-containers": lambda of: of.list_virtual_clusters(),
    "iam": lambda of: of.list_users(),
    "logs": lambda of: of.describe_log_groups(),
    "mwaa": lambda of: of.list_environments(),
    "s3": lambda of: of.list_buckets(),
    "secretsmanager": lambda of: of.list_secrets(),
    "sts": lambda of: of.get_caller_identity(),
}
_CODES = {
    "ec2": ("AuthFailure", "AuthFailure", "AuthFailure"),
    "s3": ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    "iam": ("MissingAuthenticationToken", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    "sts": ("MissingAuthenticationToken", "InvalidClientTokenId", "SignatureDoesNotMatch"),
}
_JSON = (
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
    "InvalidSignatureException",
)


def _client(service: str, key_id: str, secret: str, token: str | None = None) -> Any:  # noqa: ANN401
    return boto3.client(  # type: ignore[call-overload]
        service,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(
            retries={"total_max_attempts": 1},
            signature_version="s3v4" if service == "s3" else None,
        ),
    )


@pytest.mark.parametrize("service", CALLS)
def test_a_stranger_gets_what_aws_answers_strangers(
    emulators: dict[str, str], service: str
) -> None:
    CALLS[service](boto3.client(service))  # type: ignore[call-overload]
    _, unknown, wrong = _CODES.get(service, _JSON)
    for key_id, code in (("test", unknown), (emulators["AWS_ACCESS_KEY_ID"], wrong)):
        with pytest.raises(ClientError) as refused:
            CALLS[service](_client(service, key_id, "test"))
        assert refused.value.response["Error"]["Code"] == code, refused.value
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403)


@pytest.mark.parametrize("service", ["ec2", "iam", "s3", "sts"])
def test_who_does_not_sign_gets_nothing(emulators: dict[str, str], service: str) -> None:
    client: Any = boto3.client(service, config=Config(signature_version=UNSIGNED))  # type: ignore[call-overload]
    with pytest.raises(ClientError) as refused:
        CALLS[service](client)
    missing = refused.value.response["Error"]["Code"]
    # An unsigned request does not say which service it is for.
    assert missing in {"AccessDenied", "MissingAuthenticationToken"}
    assert emulators


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/moto-api/", "/moto-api/data.json", "/latest/meta-data/", "/favicon.ico"),
        *("/_ministack/health", "/_localstack/health", "/health", "/_ministack/rds/iam-auth"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_neither_emulator_has_a_back_door(
    emulators: dict[str, str], path: str, method: str
) -> None:
    form = b"Action=AssumeRoleWithWebIdentity" if path != "/" else b"Action=AssumeRole"
    for emulator in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EKS"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = urllib.request.Request(  # noqa: S310  (of this machine)
            emulators[emulator] + path, form, headers, method=method
        )
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)  # noqa: S310
        assert refused.value.code == HTTPStatus.FORBIDDEN


def test_a_key_that_is_switched_off_or_deleted_opens_nothing(emulators: dict[str, str]) -> None:
    assert emulators
    iam = boto3.client("iam")
    iam.create_user(UserName="switched")
    key = iam.create_access_key(UserName="switched")["AccessKey"]
    which = {"UserName": "switched", "AccessKeyId": key["AccessKeyId"]}
    clients = [
        _client(one, key["AccessKeyId"], key["SecretAccessKey"]) for one in ("sts", "eks", "ec2")
    ]
    calls = [CALLS[one] for one in ("sts", "eks", "ec2")]

    def answers() -> list[str]:
        found = []
        for client, call in zip(clients, calls, strict=True):
            try:
                call(client)
            except ClientError as error:
                found.append(error.response["Error"]["Code"])
            else:
                found.append("")
        return found

    of_no_use = ["InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure"]
    assert answers() == [""] * 3
    iam.update_access_key(**which, Status="Inactive")
    wait_for(lambda: answers() == of_no_use, "the key to be of no use")
    iam.update_access_key(**which, Status="Active")
    wait_for(lambda: answers() == [""] * 3, "the key to be of use again")
    iam.delete_access_key(**which)
    wait_for(lambda: answers() == of_no_use, "the key to be gone")
    iam.delete_user(UserName="switched")


def test_only_aws_itself_is_told_secrets(emulators: dict[str, str]) -> None:
    request = AWSRequest(
        "GET", emulators["AWS_ENDPOINT_URL"], params={"id": os.environ["AWS_ACCESS_KEY_ID"]}
    )
    credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, keys.SERVICE, "us-west-2").add_auth(request)
    sent = urllib.request.Request(str(request.prepare().url), headers=dict(request.headers))  # noqa: S310
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(sent, timeout=10)  # noqa: S310
    assert refused.value.code == HTTPStatus.FORBIDDEN
    assert b"secret" not in refused.value.read().lower()


def test_an_address_carries_a_signature_and_its_signers_rights(emulators: dict[str, str]) -> None:
    s3, iam, sts = (
        _client(one, emulators["AWS_ACCESS_KEY_ID"], emulators["AWS_SECRET_ACCESS_KEY"])
        for one in ("s3", "iam", "sts")
    )
    where = {"LocationConstraint": "us-west-2"}
    s3.create_bucket(Bucket="presigned", CreateBucketConfiguration=where)
    s3.put_object(Bucket="presigned", Key="a+b c", Body=b"content", ContentType="text/x")
    asked = {"Bucket": "presigned", "Key": "a+b c"}
    url = s3.generate_presigned_url("get_object", {**asked, "ResponseContentType": "text/y"})
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        assert (answer.read(), answer.headers["Content-Type"]) == (b"content", "text/y")
    with pytest.raises(HTTPError, match="403"):
        urllib.request.urlopen(url.replace("text%2Fy", "text%2Fz"), timeout=10)  # noqa: S310
    put = urllib.request.Request(  # noqa: S310
        s3.generate_presigned_url("put_object", asked), b"new", method="PUT"
    )
    put.add_unredirected_header("Content-Type", "text/x")
    urllib.request.urlopen(put, timeout=10).close()  # noqa: S310
    assert s3.get_object(Bucket="presigned", Key="a+b c")["Body"].read() == b"new"
    trust = {"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **trust}]}
    role = iam.create_role(RoleName="presigner", AssumeRolePolicyDocument=json.dumps(document))[
        "Role"
    ]
    session = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="one")["Credentials"]
    powerless = _client(
        "s3", session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    )
    with pytest.raises(HTTPError, match="403") as refused:
        urllib.request.urlopen(  # noqa: S310
            powerless.generate_presigned_url("get_object", asked), timeout=10
        )
    assert b"not authorized to perform: s3:GetObject" in refused.value.read()
    iam.delete_role(RoleName="presigner")
    s3.delete_object(**asked)
    s3.delete_bucket(Bucket="presigned")
