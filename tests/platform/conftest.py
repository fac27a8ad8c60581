"""A sandbox for the tests of one file; the folders have one for the tests of all their files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.clone import Clone
from tests.platform import sandboxes
from tests.platform.listing import everything


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs and holds nothing yet."""
    yield from sandboxes.running(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def empty(clone: Clone) -> set[str]:
    """What this file's sandbox holds before the first `pulumi up`."""
    return everything(clone)


@pytest.fixture(scope="module")
def platform(clone: Clone, empty: set[str], request: pytest.FixtureRequest) -> Clone:
    """The whole platform, up for the tests of one file, which may change it, with its SETTINGS."""
    return sandboxes.up(clone, empty, getattr(request.module, "SETTINGS", {}))
