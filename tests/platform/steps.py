"""What the engine does, by what it tells of it."""

from __future__ import annotations

import json
from typing import Final, TypeAlias
from unittest import mock

from sandbox.clone import Clone

Steps: TypeAlias = set[tuple[str, str, str]]
"""(operation, type, name) of all that does not stay as it is."""

ONCE: Final = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
"""With these the engine writes the state at its end, and not after each of hundreds of steps. It is
for who does not kill it, and skips the preview, which would bind what is done."""

_PRE = "resourcePreEvent"
_DYNAMIC = "pulumi:providers:pulumi-python"


def run(clone: Clone, *arguments: str, ok: bool = True) -> tuple[Steps, str]:
    """Run the Pulumi CLI; return the steps that it tells of, and what it printed."""
    log = clone.directory / ".sandbox/events.json"
    log.unlink(missing_ok=True)
    # Without the variable, the CLI does not know the flag.
    variables = {"PULUMI_DEBUG_COMMANDS": "true"}
    if "--skip-preview" in arguments:
        variables |= ONCE
    with mock.patch.dict(clone.environment, variables):
        done = clone.pulumi(*arguments, "--event-log", str(log), check=ok)
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    told = (event[_PRE]["metadata"] for event in events if _PRE in event)
    steps = {
        (one["op"], one["urn"].split("::")[2].split("$")[-1], one["urn"].split("::")[3])
        for one in told
        # The provider of dynamic resources is given all settings, and changes with each.
        if one["op"] not in {"same", "read", "refresh"} and one["type"] != _DYNAMIC
    }
    return steps, done.stdout + done.stderr
