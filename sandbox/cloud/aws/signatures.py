"""Whether a request is signed, with a key that holds: Signature Version 4, in headers or address.

The signature is computed anew, from what came in, by the code of botocore that signs requests.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl, unquote

from botocore.auth import (
    EMPTY_SHA256_HASH,
    SIGV4_TIMESTAMP,
    UNSIGNED_PAYLOAD,
    S3SigV4Auth,
    SigV4Auth,
)
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from sandbox.cloud.aws.keys import Key

ALGORITHM: Final = "AWS4-HMAC-SHA256"
# "Troubleshoot Signature Version 4 signing for AWS API requests", IAM user guide.
CLOCK_SKEW: Final = timedelta(minutes=5)
# RequestTimeTooSkewed, Amazon S3 API reference.
CLOCK_SKEW_OF_S3: Final = timedelta(minutes=15)
# https://github.com/kubernetes-sigs/aws-iam-authenticator, pkg/token/token.go
LIFETIME_AT_STS: Final = timedelta(minutes=15)
LONGEST: Final = 7 * 24 * 60 * 60
"""Seconds that an address may be good for."""

_CHUNKS: Final = f"STREAMING-{ALGORITHM}-PAYLOAD"
_SIGNED_CHUNKS: Final = (_CHUNKS, f"{_CHUNKS}-TRAILER")
_UNSIGNED: Final = (UNSIGNED_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
_IN_HEADER: Final = re.compile(
    rf"{ALGORITHM} +Credential=([^/,\s]+)/(\d{{8}})/([^/,\s]+)/([^/,\s]+)/aws4_request, *"
    r"SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{64})"
)
_IN_ADDRESS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)


class Fault(Enum):
    """What is wrong with a request's signature."""

    MISSING = "it has none"
    VERSION_2 = "it has one of Signature Version 2"
    UNKNOWN_KEY = "nobody has the access key"
    WRONG_SESSION = "the session token is not the one of the access key"
    ENDED = "the session has ended"
    MISMATCH = "the signature is another one"
    SKEWED = "it was not signed just now"
    EXPIRED = "the address was good until"
    CHANGED_BODY = "the body is not what was signed"


class UnsignedError(Exception):
    """A request that AWS does not take for that of anybody."""

    def __init__(self, fault: Fault, service: str = "") -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.service = service
        """What it was signed for, by the name that signatures have of it."""


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire."""

    method: str
    path: str
    """As it was sent, not decoded."""
    query: str
    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Signed:
    """A request that is its sender's: by whom, and for what."""

    request: Received
    """With the signature in its headers."""
    key_id: str
    key: Key
    region: str
    service: str


def verified(request: Received, find: Callable[[str], Key | None], now: datetime) -> Signed:
    """Return who has signed a request, or raise what is wrong with it; find: a key by its id."""
    claim = _claim(request)
    key = find(claim.key_id)
    if key is None:
        raise UnsignedError(Fault.UNKNOWN_KEY, claim.service)
    if (claim.token or "") != (key.token or ""):
        raise UnsignedError(Fault.WRONG_SESSION, claim.service)
    if key.expires is not None and now.timestamp() > key.expires:
        raise UnsignedError(Fault.ENDED, claim.service)
    claim.check(request, key, now)
    return Signed(claim.with_header(request), claim.key_id, key, claim.region, claim.service)


@dataclass(frozen=True)
class _Claim:
    """What a request says of its signature."""

    key_id: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    time: str
    token: str | None
    seconds: int | None = None
    """How long it is good for, where the signature is in the address."""

    def check(self, request: Received, key: Key, now: datetime) -> None:
        self._check_time(now)
        if not self._covers(request):
            raise UnsignedError(Fault.MISMATCH, self.service)
        signer = _Signer(self, key)
        said = request.headers.get("x-amz-content-sha256")
        found = signer.of(request)
        if not hmac.compare_digest(found, self.signature):
            raise UnsignedError(Fault.MISMATCH, self.service)
        if said in _SIGNED_CHUNKS and self.service == "s3":
            if not signer.signed_chunks(request.body, found, trailer=said != _CHUNKS):
                raise UnsignedError(Fault.MISMATCH, self.service)
        elif (
            said is not None
            and not (said in _UNSIGNED and self.service == "s3")
            and said != sha256(request.body).hexdigest()
        ):
            raise UnsignedError(Fault.CHANGED_BODY, self.service)

    def _check_time(self, now: datetime) -> None:
        try:
            signed = datetime.strptime(self.time, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        except ValueError:
            raise UnsignedError(Fault.MISMATCH, self.service) from None
        skew = CLOCK_SKEW_OF_S3 if self.service == "s3" else CLOCK_SKEW
        if not self.time.startswith(self.day):
            raise UnsignedError(Fault.MISMATCH, self.service)
        if signed > now + skew or (self.seconds is None and signed < now - skew):
            raise UnsignedError(Fault.SKEWED, self.service)
        if self.seconds is not None:
            if not 0 < self.seconds <= LONGEST:
                raise UnsignedError(Fault.MISMATCH, self.service)
            # STS takes no notice of what an address says.
            good = LIFETIME_AT_STS if self.service == "sts" else timedelta(seconds=self.seconds)
            if signed + good < now:
                raise UnsignedError(Fault.EXPIRED, self.service)

    def _covers(self, request: Received) -> bool:
        """Tell whether all is signed that AWS goes by."""
        counted = {name for name in request.headers if name.startswith("x-amz-")}
        return {"host", *counted} <= set(self.headers) <= set(request.headers)

    def with_header(self, request: Received) -> Received:
        if self.seconds is None:
            return request
        scope = f"{self.key_id}/{self.day}/{self.region}/{self.service}/aws4_request"
        headers = {
            **request.headers,
            "authorization": f"{ALGORITHM} Credential={scope}, "
            f"SignedHeaders={';'.join(self.headers)}, Signature={self.signature}",
            "x-amz-date": self.time,
        }
        if self.token is not None:
            headers["x-amz-security-token"] = self.token
        return replace(request, query=_without(request.query, *_IN_ADDRESS), headers=headers)


def _claim(request: Received) -> _Claim:
    if authorization := request.headers.get("authorization"):
        found = _IN_HEADER.fullmatch(authorization.strip())
        if found is None:
            old = authorization.startswith("AWS ")
            raise UnsignedError(Fault.VERSION_2 if old else Fault.MISSING)
        key_id, day, region, service, headers, signature = found.groups()
        time = request.headers.get("x-amz-date") or _iso(request.headers.get("date", ""))
        token = request.headers.get("x-amz-security-token")
        names = tuple(headers.split(";"))
        return _Claim(key_id, day, region, service, names, signature, time, token)
    pairs = parse_qsl(request.query, keep_blank_values=True)
    told = dict(pairs)
    try:
        scope = told["X-Amz-Credential"].split("/")
        key_id, day, region, service, end = scope
        claim = _Claim(
            key_id,
            day,
            region,
            service,
            tuple(told["X-Amz-SignedHeaders"].split(";")),
            told["X-Amz-Signature"],
            told["X-Amz-Date"],
            told.get("X-Amz-Security-Token"),
            int(told["X-Amz-Expires"]),
        )
    except (KeyError, ValueError):
        old = {"AWSAccessKeyId", "Signature"} <= told.keys()
        raise UnsignedError(Fault.VERSION_2 if old else Fault.MISSING) from None
    twice = len([name for name, _ in pairs if name in _IN_ADDRESS]) > len(_IN_ADDRESS & told.keys())
    if told.get("X-Amz-Algorithm") != ALGORITHM or end != "aws4_request" or twice:
        raise UnsignedError(Fault.MISSING)
    return claim


def _iso(date: str) -> str:
    try:
        return parsedate_to_datetime(date).astimezone(UTC).strftime(SIGV4_TIMESTAMP)
    except ValueError:
        return date


def _without(query: str, *names: str) -> str:
    return "&".join(
        pair for pair in query.split("&") if unquote(pair.partition("=")[0]) not in names
    )


class _Signer(SigV4Auth):
    """Signs a request as who claims to have signed it would have."""

    def __init__(self, claim: _Claim, key: Key) -> None:
        super().__init__(Credentials(claim.key_id, key.secret), claim.service, claim.region)
        self._claim = claim
        self._now = AWSRequest()
        self._now.context["timestamp"] = claim.time

    def of(self, request: Received) -> str:
        query = _without(request.query, "X-Amz-Signature")
        signed = {name: request.headers[name] for name in self._claim.headers}
        again = AWSRequest(
            request.method,
            f"http://{request.headers['host']}{request.path}" + (f"?{query}" if query else ""),
            signed,
            request.body,
        )
        again.context["timestamp"] = self._claim.time
        text = self.string_to_sign(again, self.canonical_request(again))
        return str(self.signature(text, again))

    def signed_chunks(self, body: bytes, seed: str, *, trailer: bool) -> bool:
        # "Signature calculations for the Authorization header: Transferring payload in multiple
        # chunks", Amazon S3 API reference.
        previous, left = seed, 1
        while left:
            head, _, body = body.partition(b"\r\n")
            size, _, said = head.decode("latin-1").partition(";chunk-signature=")
            try:
                left = int(size, 16)
            except ValueError:
                return False
            chunk, body = body[:left], body[left + 2 :] if left else body
            previous = self._of_part("PAYLOAD", previous, EMPTY_SHA256_HASH, _hash(chunk))
            if not hmac.compare_digest(previous, said):
                return False
        if not trailer:
            return body in (b"", b"\r\n")
        lines = [line for line in body.decode("latin-1").splitlines() if line]
        *headers, last = lines or [""]
        text = "".join(f"{line.strip()}\n" for line in headers)
        expected = self._of_part("TRAILER", previous, _hash(text.encode()))
        return hmac.compare_digest(f"x-amz-trailer-signature:{expected}", last)

    def _of_part(self, kind: str, *parts: str) -> str:
        scope = self.credential_scope(self._now)
        text = "\n".join([f"{ALGORITHM}-{kind}", self._claim.time, scope, *parts])
        return str(self.signature(text, self._now))

    # What follows is asked by botocore.

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            headers[name] = value
        return headers

    def payload(self, request: AWSRequest) -> str:
        if self._claim.seconds is not None and self._claim.service == "s3":
            return str(UNSIGNED_PAYLOAD)
        body = request.body or b""
        return _hash(body.encode() if isinstance(body, str) else body)

    def _normalize_url_path(self, path: str) -> str:
        whose = S3SigV4Auth if self._claim.service == "s3" else SigV4Auth
        return str(whose._normalize_url_path(self, path))  # type: ignore[attr-defined]


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()
