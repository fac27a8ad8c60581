"""One sandbox, in a copy of this working tree, for all the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.clone import Clone
from tests.platform.listing import everything


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs and holds nothing yet."""
    clone = Clone.make(tmp_path_factory.mktemp("clone"))
    clone.start()
    yield clone
    clone.stop()


@pytest.fixture(scope="session")
def empty(clone: Clone) -> set[str]:
    """What a sandbox holds before the first `pulumi up`."""
    return everything(clone)


@pytest.fixture(scope="session")
def platform(clone: Clone, empty: set[str]) -> Clone:
    """The clone with the whole platform up."""
    assert empty, "the listing must see the emulators and the API server"
    clone.pulumi("stack", "init")
    clone.pulumi("up", "--yes", "--skip-preview")
    return clone
