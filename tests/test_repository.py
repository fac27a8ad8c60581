"""The two wings of the repository: what is where, and what is installed for whom."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_architecture_names_every_folder() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    folders = {name.partition("/")[0] + "/" for name in listed.splitlines() if "/" in name}
    told = (ROOT / "docs" / "architecture.md").read_text()
    rows = [line.split("|")[1] for line in told.splitlines() if line.startswith("| `")]
    assert folders <= set(re.findall(r"`([^`]+/)`", " ".join(rows)))


def test_workflows_have_the_pulumi_that_tests_have() -> None:
    locked = (ROOT / "sandbox/machine/go/go.mod").read_text()
    (tested,) = re.findall(r"^\tgithub.com/pulumi/pulumi/pkg/v3 v(\S+)", locked, re.MULTILINE)
    workflows = " ".join(one.read_text() for one in (ROOT / ".github/workflows").iterdir())
    assert set(re.findall(r"pulumi-version: (\S+)", workflows)) == {f'"{tested}"'}


def test_the_program_alone_installs_no_part_of_the_sandbox() -> None:
    # As `uv sync` without options, which `pulumi install` runs.
    uv = Path(sys.executable).parent / "uv"
    exported = subprocess.run(
        [uv, "export", "--locked", "--no-hashes", "--no-header", "--no-annotate"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    packages = set(re.findall(r"^([a-z0-9-]+)==", exported, flags=re.MULTILINE))
    assert {"pulumi", "pulumi-aws", "pydantic"} <= packages
    assert packages.isdisjoint(
        {"awscli", "kubernetes", "ministack", "moto", "mypy", "pytest", "uv"}
    )
