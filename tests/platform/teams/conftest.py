"""One platform for the tests of this folder, in the order of their files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from sandbox.clone import Clone
from tests.platform import sandboxes
from tests.platform.listing import everything
from tests.platform.of_the_account import make_principals

MEMBER: Final = "arn:aws:iam::123456789012:role/analyst"
SETTINGS: Final = {
    "account.unprotected[0]": "virtualClusters",
    "account.unprotected[1]": "namespaces",
    "spark.teams[0].name": "mwaa",
    "spark.teams[1].name": "risk",
    "spark.teams[1].data[0].bucket": "a-lake",
    "spark.teams[1].data[0].prefix": "trades",
    "spark.teams[1].data[0].access": "readWrite",
    "spark.teams[1].glueDatabases[0].database": "trades",
    "spark.teams[1].members[0]": MEMBER,
    "spark.historyServer": "true",
}


@pytest.fixture(scope="package")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs."""
    yield from sandboxes.running(tmp_path_factory.mktemp("teams"))


@pytest.fixture(scope="package")
def platform(clone: Clone) -> Clone:
    """The clone with the platform of both teams up."""
    before = everything(clone)
    make_principals(clone, [MEMBER])
    return sandboxes.up(clone, before, SETTINGS)
