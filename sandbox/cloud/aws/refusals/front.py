"""What AWS refuses and the emulators would let pass, asked before they answer a request.

A check gets the request's parameters as boto3 names them. It asks AWS's other services, as the
refusing one does, at the addresses of the environment.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from botocore.exceptions import ClientError
from moto.core.model import OperationModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound

from sandbox.cloud.aws import keys
from sandbox.machine.aws_api import Aws

Told: TypeAlias = Mapping[str, Any]
"""The parameters of a request."""
Check: TypeAlias = Callable[[Aws, Told], None]


class RefusedError(Exception):
    """What AWS answers instead of doing what it was asked for."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_checks: Final[dict[tuple[str, str], list[Check]]] = defaultdict(list)


def refuses(service: str, *operations: str) -> Callable[[Check], Check]:
    """Let a check be asked before these operations of a service."""

    def register(check: Check) -> Check:
        for operation in operations:
            _checks[service, operation].append(check)
        return check

    return register


@functools.cache
def _all_checks() -> Mapping[tuple[str, str], list[Check]]:
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        importlib.import_module(module.name)
    return _checks


def request_of(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> Request:
    """Return a request as moto's router and parsers read it."""
    url = f"http://localhost{path}?{urlencode(query, doseq=True)}"
    return Request.from_primitives(method, url, headers, body)


def access_key(request: Request) -> str | None:
    """Return the access key that a request is signed with."""
    found = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
    return found[1] if found else None


def refusal(aws: Aws, service: str, request: Request) -> RefusedError | None:
    """Return why AWS would refuse a request, or None where the emulator may answer.

    service: its name in botocore.
    """
    checks = _all_checks()
    if access_key(request) == keys.own_id() or not any(known == service for known, _ in checks):
        return None
    try:
        operation, labels = get_service_router(service).match(request)
    except NotFound:
        return None
    asked = checks.get((service, operation.name))
    if not asked:
        return None
    try:
        told = _parameters(service, operation, labels, request)
        for check in asked:
            check(aws, told)
    except RefusedError as refused:
        return refused
    except ClientError as error:  # as the service that was asked in turn has put it
        answer = error.response["Error"]
        return RefusedError(answer["Code"], answer["Message"])
    return None


def _parameters(
    service: str, operation: OperationModel, labels: Mapping[str, Any], request: Request
) -> Told:
    protocol = determine_request_protocol(get_service_model(service), request.content_type)
    told: Told = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": dict(labels),
        }
    )
    return told
