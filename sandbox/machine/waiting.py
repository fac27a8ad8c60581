"""How to wait for something to come to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

Value = TypeVar("Value")

PATIENCE: Final = 120.0
"""How many seconds anything on this machine may take, however busy it is."""


def wait_for(condition: Callable[[], Value], what: str) -> Value:
    """Return the first true value of a condition.

    TimeoutError: there was none in time; it says what was waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            message = f"gave up waiting for {what} after {PATIENCE:.0f} s"
            raise TimeoutError(message)
        time.sleep(0.05)
    return value
