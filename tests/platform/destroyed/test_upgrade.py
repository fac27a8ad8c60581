"""A stack that the last release made, taken over by the program of today."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from components.protection import PROTECTED
from sandbox.clone import Clone
from tests.platform.listing import everything

RELEASE = max(Path(__file__).with_name("releases").glob("*.tar.xz"))
"""Its program: `git archive v0.1.0 PROGRAM | xz`, made when it is released."""
PROGRAM = ("__main__.py", "components", "settings", "dags", "Pulumi.yaml", "Pulumi.sandbox.yaml")

HOLDS_WORK = {*PROTECTED, "aws:eks/nodeGroup:NodeGroup", "kubernetes:core/v1:PersistentVolumeClaim"}


@pytest.fixture(scope="module")
def stack(clone: Clone, empty: set[str], tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The clone with the last release up, and the program of today in its tree."""
    assert empty
    today, before = (tmp_path_factory.mktemp(name) for name in ("today", "before"))
    for name in PROGRAM:
        (clone.directory / name).rename(today / name)
    with tarfile.open(RELEASE) as release:
        release.extractall(clone.directory, filter="data")
    clone.pulumi("stack", "init")
    clone.pulumi("up", "--yes", "--skip-preview")
    for name in PROGRAM:
        (clone.directory / name).rename(before / name)
        (today / name).rename(clone.directory / name)
    return clone


def test_nothing_that_holds_work_is_replaced(stack: Clone) -> None:
    preview = json.loads(stack.pulumi("preview", "--json").stdout)
    assert preview["changeSummary"]["same"] > 100
    lost = {
        step["urn"]
        for step in preview["steps"]
        if {"delete", "replace"} & set(step["op"].split("-"))
        and step["urn"].split("::")[2].rpartition("$")[2] in HOLDS_WORK
    }
    assert not lost


def test_the_stack_is_todays_after_up(stack: Clone) -> None:
    stack.pulumi("up", "--yes", "--skip-preview")
    # The autoscaler takes away a node that the last release's minimum kept: no change, though a
    # refresh by itself would tell it.
    stack.pulumi("preview", "--refresh", "--expect-no-changes")


def test_it_goes_as_if_made_today(stack: Clone, empty: set[str]) -> None:
    stack.unprotect()
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert everything(stack) == empty
