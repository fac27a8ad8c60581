"""Sandboxes in copies of this working tree: one to look at, and one for whoever changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sandbox.clone import Clone
from tests.platform.listing import everything
from tests.platform.of_the_account import make_principals
from tests.platform.steps import ONCE

MEMBER: Final = "arn:aws:iam::123456789012:role/analyst"
"""Who belongs to the team `risk`."""
OF_TEAMS: Final = {
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


def _running(directory: Path) -> Iterator[Clone]:
    clone = Clone.make(directory)
    clone.start()
    clone.environment.update(ONCE)
    yield clone
    clone.stop()


def _up(clone: Clone, empty: set[str], settings: Mapping[str, str] = {}) -> Clone:
    assert empty, "the listing must see the emulators and the API server"
    clone.pulumi("stack", "init")
    for key, value in settings.items():
        clone.pulumi("config", "set", "--path", key, value)
    clone.pulumi("up", "--yes", "--skip-preview")
    return clone


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A clone whose sandbox runs and holds nothing yet."""
    yield from _running(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def platform(clone: Clone) -> Clone:
    """The clone with the whole platform up, as every test leaves it."""
    return _up(clone, everything(clone))


@pytest.fixture(scope="session")
def teams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The whole platform with two teams, which test_dag_runs.py takes as it is made, and
    test_spark_jobs.py after it."""
    with contextmanager(_running)(tmp_path_factory.mktemp("teams")) as clone:
        before = everything(clone)
        make_principals(clone, [MEMBER])
        yield _up(clone, before, OF_TEAMS)


@pytest.fixture(scope="module")
def own_clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The same for the tests of one file."""
    yield from _running(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def empty(own_clone: Clone) -> set[str]:
    """What this file's sandbox holds before the first `pulumi up`."""
    return everything(own_clone)


@pytest.fixture(scope="module")
def own_platform(own_clone: Clone, empty: set[str], request: pytest.FixtureRequest) -> Clone:
    """The whole platform, up for the tests of one file, which may change it, with its SETTINGS."""
    return _up(own_clone, empty, getattr(request.module, "SETTINGS", {}))
