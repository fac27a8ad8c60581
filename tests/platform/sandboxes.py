"""Sandboxes in copies of this working tree, with and without the platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox.clone import Clone
from tests.platform.steps import ONCE


def running(directory: Path) -> Iterator[Clone]:
    """Yield a clone whose sandbox runs and holds nothing, and end it afterwards."""
    clone = Clone.make(directory)
    clone.start()
    clone.environment.update(ONCE)
    yield clone
    clone.stop()


def up(clone: Clone, empty: set[str], settings: Mapping[str, str] = {}) -> Clone:
    """Bring the platform up with these settings.

    empty: what the sandbox holds before.
    """
    assert empty, "the listing must see the emulators and the API server"
    clone.pulumi("stack", "init")
    for key, value in settings.items():
        clone.pulumi("config", "set", "--path", key, value)
    clone.pulumi("up", "--yes", "--skip-preview")
    return clone
