"""What stands before moto and ministack: who has not signed a request gets AWS's refusal."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, parse_qsl

from botocore.exceptions import UnknownServiceError
from moto.core.model import OperationModel
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model

from sandbox.cloud.aws import keys
from sandbox.cloud.aws.keys import Key
from sandbox.cloud.aws.refusals.front import RefusedError
from sandbox.cloud.aws.signatures import (
    ALGORITHM,
    Fault,
    Received,
    Signed,
    UnsignedError,
    verified,
)
from sandbox.machine.aws_api import in_region

Find: TypeAlias = Callable[[str], Key | None]
Answer: TypeAlias = tuple[int, dict[str, str], bytes]
Environ: TypeAlias = dict[str, Any]
Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

_FORM: Final = "application/x-www-form-urlencoded"
# Services that sign by another name than botocore's.
_SIGN_AS: Final = {"airflow": "mwaa", "monitoring": "cloudwatch"}
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method."
)
_CREDENTIALS: Final = "AWS was not able to validate the provided access credentials"
_TOKEN: Final = "The security token included in the request is"  # noqa: S105  (what AWS says)
_OLD: Final = "Signature expired: the request was not signed within the last or next 5 minutes"
# "Common error types" and "Error responses" in the API references of STS, EKS, EC2 and S3.
_ERRORS: Final[Mapping[str, Mapping[Fault, tuple[int, str, str]]]] = {
    "query": {
        Fault.MISSING: (403, "MissingAuthenticationToken", "Missing Authentication Token"),
        Fault.UNKNOWN_KEY: (403, "InvalidClientTokenId", f"{_TOKEN} invalid."),
        Fault.WRONG_SESSION: (403, "InvalidClientTokenId", f"{_TOKEN} invalid."),
        Fault.ENDED: (403, "ExpiredToken", f"{_TOKEN} expired"),
        Fault.MISMATCH: (403, "SignatureDoesNotMatch", _MISMATCH),
        Fault.CHANGED_BODY: (403, "SignatureDoesNotMatch", _MISMATCH),
        Fault.SKEWED: (403, "SignatureDoesNotMatch", _OLD),
        Fault.EXPIRED: (403, "SignatureDoesNotMatch", _OLD),
    },
    "json": {
        Fault.MISSING: (
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ),
        Fault.UNKNOWN_KEY: (403, "UnrecognizedClientException", f"{_TOKEN} invalid."),
        Fault.WRONG_SESSION: (403, "UnrecognizedClientException", f"{_TOKEN} invalid."),
        Fault.ENDED: (403, "ExpiredTokenException", f"{_TOKEN} expired"),
        Fault.MISMATCH: (403, "InvalidSignatureException", _MISMATCH),
        Fault.CHANGED_BODY: (403, "InvalidSignatureException", _MISMATCH),
        Fault.SKEWED: (403, "InvalidSignatureException", _OLD),
        Fault.EXPIRED: (403, "InvalidSignatureException", _OLD),
    },
    "ec2": {
        Fault.MISSING: (401, "AuthFailure", _CREDENTIALS),
        Fault.UNKNOWN_KEY: (401, "AuthFailure", _CREDENTIALS),
        Fault.WRONG_SESSION: (401, "AuthFailure", _CREDENTIALS),
        Fault.ENDED: (400, "RequestExpired", "Request has expired."),
        Fault.MISMATCH: (401, "AuthFailure", _CREDENTIALS),
        Fault.CHANGED_BODY: (401, "AuthFailure", _CREDENTIALS),
        Fault.SKEWED: (400, "RequestExpired", "Request has expired."),
        Fault.EXPIRED: (400, "RequestExpired", "Request has expired."),
    },
    "s3": {
        Fault.MISSING: (403, "AccessDenied", "Access Denied"),
        # Buckets made since June 2020 take it no longer.
        Fault.VERSION_2: (
            400,
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. "
            f"Please use {ALGORITHM}.",
        ),
        Fault.UNKNOWN_KEY: (
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        Fault.WRONG_SESSION: (
            400,
            "InvalidToken",
            "The provided token is malformed or otherwise invalid.",
        ),
        Fault.ENDED: (400, "ExpiredToken", "The provided token has expired."),
        Fault.MISMATCH: (403, "SignatureDoesNotMatch", _MISMATCH),
        Fault.CHANGED_BODY: (
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        Fault.SKEWED: (
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        Fault.EXPIRED: (403, "AccessDenied", "Request has expired"),
    },
}


def refusal(error: UnsignedError, content_type: str) -> Answer:
    """Return what AWS answers to a request that is nobody's."""
    form = content_type.startswith(_FORM)
    name = error.service or ("sts" if form else "s3")
    try:
        model = get_service_model(_SIGN_AS.get(name, name))
        protocol = determine_request_protocol(model, content_type)
    except (UnknownServiceError, NotImplementedError):
        model = get_service_model("sts" if form else "eks")
        protocol = str(model.protocol)
    family = {"ec2": "ec2", "query": "query", "rest-xml": "s3"}.get(protocol, "json")
    errors = _ERRORS[family]
    status, code, message = errors.get(error.fault, errors[Fault.MISSING])
    serializer = get_serializer_class(model.service_name, protocol)
    answer = serializer(OperationModel({}, model)).serialize(RefusedError(code, message))
    body: Any = answer["body"]
    content = body if isinstance(body, bytes) else str(body).encode()
    headers = {str(key): str(value) for key, value in answer["headers"].items()}
    return status, headers, content


def _needs_no_key(request: Received) -> bool:
    """Tell whether STS is asked to exchange a token, which is looked at instead."""
    return (
        request.method == "POST"
        and (request.path, request.query) == ("/", "")
        and "authorization" not in request.headers
        and "x-amz-target" not in request.headers
        and request.headers.get("content-type", "").startswith(_FORM)
        and parse_qs(request.body.decode(errors="replace")).get("Action")
        == ["AssumeRoleWithWebIdentity"]
    )


class BeforeMoto:
    """moto as a WSGI application, for who has signed; to AWS itself it tells access keys."""

    def __init__(self, app: Callable[..., Iterable[bytes]], find: Find = keys.in_moto) -> None:
        self._app = app
        self._find = find

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request, region = _received(environ), None
        if not _needs_no_key(request):
            try:
                signed = verified(request, self._find, datetime.now(UTC))
                if signed.service == keys.SERVICE:
                    return _answer(start_response, *self._tell(signed.key_id, request))
            except UnsignedError as error:
                answer = refusal(error, request.headers.get("content-type", ""))
                return _answer(start_response, *answer)
            request, region = signed.request, _region_of(signed)
        environ.update(
            {
                "HTTP_" + name.upper().replace("-", "_"): value
                for name, value in request.headers.items()
                if name not in ("content-type", "content-length")
            }
        )
        environ["QUERY_STRING"] = request.query
        for name in ("RAW_URI", "REQUEST_URI"):
            environ[name] = request.path + (f"?{request.query}" if request.query else "")
        environ["wsgi.input"] = io.BytesIO(request.body)
        environ["CONTENT_LENGTH"] = str(len(request.body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with in_region(region):
            return self._app(environ, start_response)

    def _tell(self, key_id: str, request: Received) -> Answer:
        if key_id != keys.own_id():
            raise UnsignedError(Fault.UNKNOWN_KEY)
        asked = dict(parse_qsl(request.query))["id"]
        return HTTPStatus.OK, {}, keys.told(self._find(asked))


def _region_of(signed: Signed) -> str | None:
    """Return where a service asks others, for what it was asked."""
    return None if signed.service == "iam" else signed.region  # IAM is everywhere


def _received(environ: Environ) -> Received:
    headers = {
        name.removeprefix("HTTP_").lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    path, _, query = environ["RAW_URI"].partition("?")
    stream, length = environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0)
    body = stream.read() if environ.get("wsgi.input_terminated") else stream.read(length)
    return Received(environ["REQUEST_METHOD"], path, query, headers, body)


def _answer(
    start_response: Callable[..., Any], status: int, headers: Mapping[str, str], body: bytes
) -> list[bytes]:
    start_response(f"{int(status)} {HTTPStatus(status).phrase}", list(headers.items()))
    return [body]


class BeforeMinistack:
    """ministack as an ASGI application, for who has signed."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], find: Find) -> None:
        self._app = app
        self._find = find
        # Of its own: a check waits in one of the loop's threads for an answer of this very server.
        self._threads = ThreadPoolExecutor(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Received(
            scope["method"],
            scope["raw_path"].decode("latin-1").partition("?")[0],
            scope["query_string"].decode("latin-1"),
            {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]},
            await _body(receive),
        )
        now, loop = datetime.now(UTC), asyncio.get_running_loop()
        try:
            signed = await loop.run_in_executor(self._threads, verified, request, self._find, now)
        except UnsignedError as error:
            status, headers, body = refusal(error, request.headers.get("content-type", ""))
            pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
            await send({"type": "http.response.body", "body": body})
            return
        pairs = [
            (name.encode(), value.encode("latin-1"))
            for name, value in signed.request.headers.items()
        ]
        query = signed.request.query.encode("latin-1")
        read = False

        async def again() -> dict[str, Any]:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        with in_region(_region_of(signed)):
            await self._app({**scope, "headers": pairs, "query_string": query}, again, send)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
