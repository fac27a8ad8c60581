"""Whether a process has ended, which it may do at any moment."""

from __future__ import annotations

import psutil


def ended(pid: int) -> bool:
    """Tell whether a process is gone, or only waits for its parent to take notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
