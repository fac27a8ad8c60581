"""One sandbox for the tests of this folder; each file but the last leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.clone import Clone
from tests.platform import sandboxes
from tests.platform.listing import everything


@pytest.fixture(scope="package")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs; it may hold nothing yet."""
    yield from sandboxes.running(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="package")
def platform(clone: Clone) -> Clone:
    """The clone with the whole platform up."""
    # The last file needs the identity of a pipeline.
    return sandboxes.up(clone, everything(clone), {"delivery.githubRepository": "acme/platform"})
