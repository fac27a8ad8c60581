"""An engine that is killed while AWS works, and what the documented recovery makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.clone import Clone
from sandbox.providers.aws.provider import resource_types
from tests.platform.listing import everything


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A sandbox of its own with an empty stack."""
    clone = Clone.make(tmp_path_factory.mktemp("recovery"))
    clone.start()
    clone.pulumi("stack", "init")
    yield clone
    clone.stop()


def _state(clone: Clone) -> Any:  # noqa: ANN401
    file = clone.directory / ".sandbox/state/.pulumi/stacks/mwaa-on-eks/sandbox.json"
    return json.loads(file.read_text())["checkpoint"]["latest"] or {}


def _pending(clone: Clone) -> dict[str, str]:
    """What each cut-off operation was, by the resource's URN."""
    found = _state(clone).get("pending_operations") or []
    return {one["resource"]["urn"]: one["type"] for one in found}


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _run_until_it_hangs(
    clone: Clone, verb: str, operation: str, types: set[str]
) -> dict[str, str] | None:
    """Run `pulumi` where the first operation on each of these types never answers, and kill it when
    nothing else moves; return what was pending, or None if it came to its end."""
    faults = clone.directory / ".sandbox/faults.json"
    faults.write_text(json.dumps({kind: {operation: {"1": "hang"}} for kind in types}))
    engine = subprocess.Popen(
        ["pulumi", verb, "--yes", "--skip-preview", "--stack", "sandbox", "--non-interactive"],
        cwd=clone.directory,
        env={**clone.environment, "SANDBOX_FAULTS": str(faults)},
        stdout=(output := clone.directory / ".sandbox/output.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    seen: tuple[str, float] = ("", time.monotonic())
    while engine.poll() is None:
        now = json.dumps([_pending(clone), len(_state(clone).get("resources") or [])])
        if now != seen[0]:
            seen = (now, time.monotonic())
        elif _pending(clone) and time.monotonic() > seen[1] + 8:
            engine.kill()
            engine.wait()
            return _pending(clone)
        time.sleep(0.3)
    assert engine.returncode == 0, output.read_text()[-4000:]
    return None


def _recover(clone: Clone) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "operations.recover", "--stack", "sandbox", "--yes"],
        cwd=clone.directory,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_type_that_aws_has_made_is_known_after_a_kill(stack: Clone) -> None:
    empty = everything(stack)
    left = set(resource_types())
    kills = 0
    while pending := _run_until_it_hangs(stack, "up", "create", left):
        kills += 1
        told = _recover(stack)
        assert not _pending(stack)
        known = pending.keys() & {resource["urn"] for resource in stack.resources()}
        assert known, told
        left -= {_type(urn) for urn in known}
    assert kills >= 5
    stack.pulumi("preview", "--expect-no-changes")
    twins = [urn for urn in _urns(stack) if _urns(stack).count(urn) > 1]
    assert not twins
    stack.unprotect()
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert everything(stack) == empty


def _urns(clone: Clone) -> list[str]:
    return [resource["urn"] for resource in clone.resources()]
