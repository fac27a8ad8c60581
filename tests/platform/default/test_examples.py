"""Every example stack previews on the sandbox."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from operations.preflight.plan import Plan
from operations.preflight.rights import requests
from sandbox.clone import Clone
from tests.platform.of_the_account import copy_images, example


@pytest.mark.parametrize("stack", ["dev", "prod", "private"])
def test_an_example_stack_previews(clone: Clone, stack: str) -> None:
    account = clone.aws("sts").get_caller_identity()["Account"]
    (clone.directory / f"Pulumi.{stack}.yaml").write_text(example(clone, stack))
    clone.pulumi("stack", "init", stack=stack)
    if stack == "private":
        copy_images(clone)
    comment = _previewed(clone, stack)
    assert "**refused**" not in comment
    # What a production stack must have, another is warned of.
    assert ("warning: `bucket-access-logged`" in comment) is (stack == "dev")
    preview = json.loads((clone.directory / "preview.json").read_text())
    created = {step["urn"].split("::")[2].split("$")[-1] for step in preview["steps"]}
    assert {"aws:mwaa/environment:Environment", "aws:eks/nodeGroup:NodeGroup"} <= created
    assert set(preview["changeSummary"]) == {"create"}
    asked, unknown = requests(Plan(preview, {"deployment": {}}), "aws", account)
    assert len(asked) > 70
    assert unknown == set()
    assert [one for one in asked if "?" in one.arn] == []
    _preflight(clone, stack, preview)


def _previewed(clone: Clone, stack: str) -> str:
    """Run the step of the workflow; return the comment."""
    done = subprocess.run(
        [".ci/preview", stack],
        cwd=clone.directory,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (clone.directory / "comment.md").read_text()


def _preflight(clone: Clone, stack: str, preview: dict[str, Any]) -> None:
    """Find nothing that would stop an `up` in an account that is empty."""
    file = clone.directory / f"{stack}.json"
    file.write_text(json.dumps(preview))
    command = [
        sys.executable,
        "-m",
        "operations.preflight",
        "--stack",
        stack,
        "--preview",
        str(file),
    ]
    done = subprocess.run(
        command,
        cwd=clone.directory,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        r"names +\d+ are free +ok",
        r"zones: instance types +m.* ok",
        r"quota: VPCs +\d of 5 in use, 1 wanted +ok",
        r"quota: EKS clusters .* +unknown ",  # moto knows few quotas
        r"version: Kubernetes .* +unknown ",
    ):
        assert re.search(told, done.stdout), done.stdout


def _fixed_names(steps: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """What AWS keeps one of in an account or region, as a preview names it."""
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # how the engine writes it
    named = set()
    for step in steps:
        inputs = step["newState"].get("inputs", {})
        for key in ("name", "bucket"):
            if step["newState"]["type"].startswith("aws:") and (
                inputs.get(key, unknown) != unknown
            ):
                named.add((step["newState"]["type"], inputs[key]))
    return named


def test_two_stacks_of_one_account_share_no_name(clone: Clone) -> None:
    names = []
    for stack in ("one", "two"):
        shutil.copy(
            clone.directory / "Pulumi.sandbox.yaml", clone.directory / f"Pulumi.{stack}.yaml"
        )
        clone.pulumi("stack", "init", stack=stack)
        preview = json.loads(clone.pulumi("preview", "--json", stack=stack).stdout)
        names.append(_fixed_names(preview["steps"]))
    one, two = names
    assert ("aws:eks/cluster:Cluster", "mwaa-on-eks-one") in one
    assert ("aws:s3/bucket:Bucket", "mwaa-on-eks-one-dags-123456789012") in one
    assert len(one) == len(two) > 20
    assert one & two == set()
