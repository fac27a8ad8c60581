"""AWS's API at the addresses that the environment names."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

Client: TypeAlias = Any
"""A boto3 client; its methods are made at run time."""

Answer: TypeAlias = Any


_region: ContextVar[str | None] = ContextVar("region", default=None)


@contextmanager
def in_region(region: str | None) -> Iterator[None]:
    """Let what is asked meanwhile be asked in another region."""
    before = _region.set(region)
    try:
        yield
    finally:
        _region.reset(before)


class Aws:
    """An account and a region, as whom the environment says."""

    def __init__(self, region: str) -> None:
        self._home = region
        self._clients: dict[tuple[str, str], Client] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """Its own region, or that of `in_region`."""
        return _region.get() or self._home

    def client(self, service: str) -> Client:
        """Return the service's client, which finds its emulator in the environment."""
        which = (service, self.region)
        with self._lock:  # making a client is not thread-safe, using one is
            if which not in self._clients:
                import boto3  # noqa: PLC0415  (half a second, which a preview need not pay)
                from botocore.config import Config  # noqa: PLC0415

                config = Config(
                    retries={"mode": "standard", "max_attempts": 5},
                    max_pool_connections=64,
                    s3={"addressing_style": "path"},
                )
                self._clients[which] = boto3.client(
                    service,  # type: ignore[call-overload]
                    region_name=self.region,
                    config=config,
                )
            return self._clients[which]

    @functools.cached_property
    def caller(self) -> dict[str, str]:
        """Who the credentials belong to: Account, Arn and UserId."""
        identity = self.client("sts").get_caller_identity()
        return {key: identity[key] for key in ("Account", "Arn", "UserId")}

    @property
    def account(self) -> str:
        return self.caller["Account"]

    @property
    def partition(self) -> str:
        prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        matching = [name for prefix, name in prefixes.items() if self.region.startswith(prefix)]
        return matching[0] if matching else "aws"

    def arn(self, service: str, resource: str) -> str:
        """Name one of the account's regional resources."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def error_code(error: Exception) -> str:
    """Return the code of an AWS error, or nothing."""
    response: dict[str, dict[str, str]] = getattr(error, "response", {})
    return response.get("Error", {}).get("Code", "")


_GONE = re.compile(r"NotFound|NoSuch|^404$")


def find(call: Callable[..., Answer], **arguments: object) -> Answer | None:
    """Make a call, and answer None when what it asks for does not exist."""
    try:
        return call(**arguments)
    except Exception as error:
        if _GONE.search(error_code(error)):
            return None
        raise
