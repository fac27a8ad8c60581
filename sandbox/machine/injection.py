"""Latencies and faults that are injected into what a stand-in for a provider plugin does.

Two variables name JSON files, by resource type and operation (create, read, update or delete):
SANDBOX_LATENCIES, how many seconds each takes; SANDBOX_FAULTS, what becomes of the nth of a run:

    {"aws:ec2/subnet:Subnet": {"create": 0.1}}
    {"kubernetes:core/v1:Namespace": {"delete": {"3": "fail"}}}
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

Operation: TypeAlias = Literal["create", "read", "update", "delete"]
Fault: TypeAlias = Literal["fail", "throttle", "drop", "hang"]
Table = TypeVar("Table")

_ERRORS: Final[dict[Fault, str]] = {
    "fail": "InternalFailure: the sandbox was told to fail here",
    "throttle": "ThrottlingException: Rate exceeded, as the sandbox was told",
}
PACKAGES: Final = ("aws", "kubernetes", "pulumi-python")


class InjectedError(Exception):
    """What the plugin tells of a fault that was injected."""


@dataclass(frozen=True)
class Limit:
    """How long a plugin waits for something, and what it tells when it gives up."""

    seconds: float
    expired: str


@dataclass(frozen=True)
class Call:
    """One operation: `send`, the request itself, `answer`, and `work` until the cloud is done."""

    fault: Fault | None
    latency: float
    answers: Limit | None
    """When a request without an answer ends, if ever."""
    works: Limit | None
    """When waiting for what the cloud works on ends, if ever."""

    def send(self) -> None:
        """Go on to the request, unless a fault keeps it from leaving."""
        if self.fault in _ERRORS:
            raise InjectedError(_ERRORS[self.fault])
        if self.fault == "drop":  # the cloud has not heard of it, and nothing comes back
            self._wait_in_vain()

    def answer(self) -> None:
        """Go on to the answer, unless a fault keeps it from coming."""
        if self.fault == "hang":  # the cloud has done it, and nothing comes back
            self._wait_in_vain()

    def work(self) -> None:
        """Wait as long as the cloud works on it, or as long as the plugin waits for that."""
        if self.works and self.latency > self.works.seconds:
            time.sleep(self.works.seconds)
            raise InjectedError(self.works.expired)
        if self.latency:
            time.sleep(self.latency)

    def _wait_in_vain(self) -> None:
        threading.Event().wait(self.answers.seconds if self.answers else None)
        raise InjectedError(self.answers.expired if self.answers else "")


class Injection:
    """What is to be injected into the types of a package, and how often each was asked for."""

    def __init__(self, package: str, is_known: Callable[[str], bool] = lambda _: True) -> None:
        def read(variable: str, operations: type[Table]) -> dict[str, Table]:
            return _read(variable, operations, package, is_known)

        self._latencies = read("SANDBOX_LATENCIES", dict[Operation, float])
        self._faults = read("SANDBOX_FAULTS", dict[Operation, dict[int, Fault]])
        self._asked: Counter[tuple[str, Operation]] = Counter()
        self._counting = threading.Lock()

    def call(
        self,
        token: str,
        operation: Operation,
        *,
        answers: Limit | None = None,
        works: Limit | None = None,
    ) -> Call:
        """Return the next call of an operation on a type."""
        with self._counting:
            self._asked[token, operation] += 1
            number = self._asked[token, operation]
        return Call(
            self._faults.get(token, {}).get(operation, {}).get(number),
            self._latencies.get(token, {}).get(operation, 0),
            answers,
            works,
        )


def _read(
    variable: str, operations: type[Table], package: str, is_known: Callable[[str], bool]
) -> dict[str, Table]:
    path = os.environ.get(variable)
    if not path:
        return {}
    # It would make each start of the plugin longer.
    from pydantic import TypeAdapter  # noqa: PLC0415

    adapter: TypeAdapter[dict[str, Table]] = TypeAdapter(dict[str, operations])  # type: ignore[valid-type]
    table = adapter.validate_json(Path(path).read_bytes())
    unknown = [
        token
        for token in table
        if token.partition(":")[0] not in PACKAGES
        or (token.startswith(f"{package}:") and not is_known(token))
    ]
    if unknown:
        raise InjectedError(f"{variable} names types that the sandbox lacks: {', '.join(unknown)}")
    return {token: told for token, told in table.items() if token.startswith(f"{package}:")}
