"""How to wait for something to come to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

Value = TypeVar("Value")

PATIENCE: Final = 120.0
"""How many seconds anything on this machine may take, however busy it is."""
_PAUSE: Final = 1.0
"""The longest time between two questions, in seconds."""


def wait_for(condition: Callable[[], Value], what: str) -> Value:
    """Return the first true value of a condition.

    TimeoutError: there was none in time; it says what was waited for.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        asked = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        if now > deadline:
            message = f"gave up waiting for {what} after {PATIENCE:.0f} s"
            raise TimeoutError(message)
        # What takes long to ask is asked seldom, else waiting slows down what is waited for. But a
        # starting API server keeps a question for seconds, and would keep us three times as long.
        time.sleep(min(max(0.05, 3 * (now - asked)), _PAUSE))
