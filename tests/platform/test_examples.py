"""Every example stack previews on the sandbox."""

from __future__ import annotations

import json
import re

import pytest

from sandbox.clone import Clone


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_an_example_stack_previews(clone: Clone, stack: str) -> None:
    # The examples name an account of the reader's; here there is one account.
    account = clone.aws("sts").get_caller_identity()["Account"]
    file = clone.directory / f"Pulumi.{stack}.yaml"
    example = file.read_text()
    (named,) = set(re.findall(r"\b\d{12}\b", example))
    file.write_text(example.replace(named, account))
    clone.pulumi("stack", "init", stack=stack)
    preview = json.loads(clone.pulumi("preview", "--json", stack=stack).stdout)
    created = {step["urn"].split("::")[2].split("$")[-1] for step in preview["steps"]}
    assert {"aws:mwaa/environment:Environment", "aws:eks/nodeGroup:NodeGroup"} <= created
    assert set(preview["changeSummary"]) == {"create"}
