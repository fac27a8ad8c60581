"""One sandbox for the files of this folder, each of which destroys what it has made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.clone import Clone
from tests.platform import sandboxes
from tests.platform.steps import ONCE


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs."""
    yield from sandboxes.running(tmp_path_factory.mktemp("destroyed"))


@pytest.fixture(scope="module")
def clone(running: Clone) -> Iterator[Clone]:
    """The clone with the files of this working tree, and without a stack."""
    running.restore()
    clone = Clone(running.directory, ONCE)
    yield clone
    if clone.pulumi("stack", "rm", "--yes", check=False).returncode != 0:
        # What a failed test has left goes with the sandbox.
        running.stop()
    running.start()
