"""How a process that the Pulumi engine started comes to its end."""

from __future__ import annotations

import os
import signal
import threading
import time


def end_with_engine() -> None:
    """Exit at once and quietly when the engine says so, and soon after it is gone."""
    # The engine sends SIGINT and waits up to ten seconds for the process to go.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    threading.Thread(target=_exit_without_engine, args=(os.getppid(),), daemon=True).start()


def _exit_without_engine(engine: int) -> None:
    # An engine that was killed sends no signal.
    while os.getppid() == engine:
        time.sleep(2)
    os._exit(0)
