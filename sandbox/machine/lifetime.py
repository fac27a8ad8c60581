"""How a process comes to its end with the one that started it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable


def end_with_engine() -> None:
    """Exit at once and quietly when the engine says so, and soon after it is gone."""
    # The engine sends SIGINT and waits up to ten seconds for the process to go.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    when_parent_is_gone(lambda: os._exit(0))


def when_parent_is_gone(end: Callable[[], object]) -> None:
    """Call `end` soon after the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        # A parent that was killed sends no signal.
        while os.getppid() == parent:
            time.sleep(1)
        end()

    threading.Thread(target=watch, daemon=True).start()
