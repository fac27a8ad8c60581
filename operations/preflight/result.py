"""What a check comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """It could not be found out: not a yes."""


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    check: str
    found: str
    verdict: Verdict = Verdict.OK
    to_do: str = ""
