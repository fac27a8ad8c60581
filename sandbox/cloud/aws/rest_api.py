"""InvokeRestApi: answered by the Airflow that `make airflow` runs, as who has an Airflow role."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

from sandbox.machine.program import DIRECTORY

Json: TypeAlias = Any

SERVING: Final = DIRECTORY / "airflow-serving.json"
"""Where an Airflow that runs says how it is reached."""
METHODS: Final = ("GET", "PUT", "POST", "PATCH", "DELETE")
LONGEST_PATH: Final = 64
# "Using the Apache Airflow REST API", Amazon MWAA user guide.
SECONDS: Final = 10
LARGEST_ANSWER: Final = 6 * 2**20


@dataclass(frozen=True)
class Serving:
    """An Airflow 3 that runs, and what it signs its tokens with."""

    url: str
    secret: str

    def announce(self, file: Path = SERVING) -> None:
        """Say so, to this user alone."""
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as written:
            json.dump(asdict(self), written)

    def token(self, role: str) -> str:
        """Return a token of somebody with a role, as Airflow's simple auth manager makes them."""
        now = int(time.time())
        claims = {
            "jti": uuid.uuid4().hex,
            "sub": f"mwaa-{role}",
            "role": role.upper(),
            "aud": "apache-airflow",
            **{"iat": now, "nbf": now, "exp": now + 60},
        }
        parts = [_encoded(json.dumps(each).encode()) for each in ({"alg": "HS512"}, claims)]
        signed = hmac.digest(self.secret.encode(), ".".join(parts).encode(), hashlib.sha512)
        return ".".join([*parts, _encoded(signed)])


class FailedError(Exception):
    """What MWAA answers instead: the name of an exception, a message, and what else it holds."""

    def __init__(self, code: str, message: str, **members: Json) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members


def invoke(
    environment: Mapping[str, Json] | None, told: Mapping[str, Json], role: str, file: Path
) -> Json:
    """Return what MWAA answers; file: where an Airflow that runs has announced itself."""
    if environment is None or environment["Status"] != "AVAILABLE":
        raise FailedError("ResourceNotFoundException", "The environment is not available.")
    method, path = told.get("Method"), told.get("Path", "")
    if method not in METHODS or not path.startswith("/") or len(path) > LONGEST_PATH:
        message = f"Method must be one of {', '.join(METHODS)}, Path 1 to {LONGEST_PATH} characters"
        raise FailedError("ValidationException", message)
    try:
        serving = Serving(**json.loads(file.read_text()))
    except FileNotFoundError:
        raise _unanswered("no Airflow runs here") from None
    try:
        status, content = _asked(serving, method, path, told, role)
    except OSError as error:
        raise _unanswered(f"Airflow does not answer within {SECONDS} s ({error})") from None
    if len(content) > LARGEST_ANSWER:
        message = f"The response is larger than {LARGEST_ANSWER} bytes."
        raise FailedError("RestApiServerException", message, RestApiStatusCode=status)
    answer = {
        "RestApiStatusCode": status,
        "RestApiResponse": json.loads(content) if content else {},
    }
    if status >= HTTPStatus.BAD_REQUEST:
        who = "Server" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "Client"
        raise FailedError(f"RestApi{who}Exception", HTTPStatus(status).phrase, **answer)
    return answer


def _unanswered(why: str) -> FailedError:
    return FailedError(
        "InternalServerException",
        f"An internal error has occurred. On the sandbox: {why}; `make airflow` runs one, of "
        "Airflow 3.",
    )


def _asked(
    serving: Serving, method: str, path: str, told: Mapping[str, Json], role: str
) -> tuple[int, bytes]:
    query = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in told.get("QueryParameters", {}).items()
    }
    body = told.get("Body")
    request = urllib.request.Request(  # noqa: S310  (an address of this machine)
        f"{serving.url}/api/v2{quote(path, safe='/~:+@')}?{urlencode(query)}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {serving.token(role)}", "Content-Type": "application/json"},
        method=method,
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as response:
            return response.status, response.read()
    except HTTPError as error:
        return error.code, error.read()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
