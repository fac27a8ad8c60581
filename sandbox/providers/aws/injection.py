"""Latencies and faults that are injected into what the stand-in for pulumi-aws does.

Two variables name JSON files, by resource type and operation (create, update or delete):
SANDBOX_LATENCIES, how many seconds each takes; SANDBOX_FAULTS, what becomes of the nth of a run:

    {"aws:ec2/subnet:Subnet": {"create": 0.1}}
    {"aws:ec2/subnet:Subnet": {"create": {"3": "fail"}}}
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

from sandbox.providers.protocol import PluginError

Operation: TypeAlias = Literal["create", "update", "delete"]
Fault: TypeAlias = Literal["fail", "throttle", "hang"]
Result = TypeVar("Result")
Table = TypeVar("Table")

_ERRORS: Final[dict[Fault, str]] = {
    "fail": "InternalFailure: the sandbox was told to fail here",
    "throttle": "ThrottlingException: Rate exceeded, as the sandbox was told",
}


class Injection:
    """What is to be injected, and how often each operation has been asked for."""

    def __init__(self, types: Collection[str]) -> None:
        self._latencies = _read("SANDBOX_LATENCIES", dict[Operation, float], types)
        self._faults = _read("SANDBOX_FAULTS", dict[Operation, dict[int, Fault]], types)
        self._asked: Counter[tuple[str, Operation]] = Counter()
        self._counting = threading.Lock()

    def call(self, token: str, operation: Operation, make: Callable[[], Result]) -> Result:
        """Make a call as slowly as its latency says, unless a fault prevents it."""
        fault = self._fault(token, operation)
        if fault in _ERRORS:
            raise PluginError(_ERRORS[fault])
        seconds = self._latencies.get(token, {}).get(operation, 0)
        if operation == "delete":
            time.sleep(seconds)
            result = make()
        else:
            result = make()
            time.sleep(seconds)
        if fault == "hang":  # AWS has done it, and the answer never comes
            threading.Event().wait()
        return result

    def _fault(self, token: str, operation: Operation) -> Fault | None:
        with self._counting:
            self._asked[token, operation] += 1
            number = self._asked[token, operation]
        return self._faults.get(token, {}).get(operation, {}).get(number)


def _read(variable: str, operations: type[Table], types: Collection[str]) -> dict[str, Table]:
    path = os.environ.get(variable)
    if not path:
        return {}
    # It would make each start of the plugin longer.
    from pydantic import TypeAdapter  # noqa: PLC0415

    adapter: TypeAdapter[dict[str, Table]] = TypeAdapter(dict[str, operations])  # type: ignore[valid-type]
    table = adapter.validate_json(Path(path).read_bytes())
    if unknown := table.keys() - set(types):
        raise PluginError(f"{variable} names types that the sandbox lacks: {', '.join(unknown)}")
    return table
