"""An engine that ends while AWS works, and what the documented recovery makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from sandbox.clone import Clone
from sandbox.providers.aws.provider import resource_types
from tests.platform.listing import everything

End: TypeAlias = Callable[[Clone, subprocess.Popen[bytes]], None]
CLOUDS: Final = ("aws:", "kubernetes:")
DYNAMIC: Final = "pulumi-python:dynamic:Resource"
STILL_SECONDS: Final = 3
"""How long nothing moves before what hangs is all that is left."""


@pytest.fixture(scope="module")
def stack(clone: Clone) -> Clone:
    """An empty stack, whose state the engine writes after each step."""
    stack = Clone(clone.directory)
    stack.pulumi("stack", "init")
    return stack


def _file(clone: Clone) -> Path:
    return clone.directory / ".sandbox/state/.pulumi/stacks/mwaa-on-eks/sandbox.json"


def _state(clone: Clone) -> Any:  # noqa: ANN401
    return json.loads(_file(clone).read_text())["checkpoint"]["latest"] or {}


def _pending(clone: Clone) -> set[str]:
    found = _state(clone).get("pending_operations") or []
    return {one["resource"]["urn"] for one in found}


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _run_until_it_hangs(clone: Clone, types: Collection[str], end: End) -> set[str]:
    """Run `up` where the first of each of these types never answers, and end it when nothing else
    moves; return what was pending."""
    faults = clone.directory / ".sandbox/faults.json"
    faults.write_text(json.dumps({kind: {"create": {"1": "hang"}} for kind in types}))
    engine = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--stack", "sandbox", "--non-interactive"],
        cwd=clone.directory,
        env={**clone.environment, "SANDBOX_FAULTS": str(faults)},
        stdout=(output := clone.directory / ".sandbox/output.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    seen: tuple[object, float] = (None, time.monotonic())
    while engine.poll() is None:
        pending = _pending(clone)
        now = (pending, len(_state(clone).get("resources") or []))
        if now != seen[0] or not {*map(_type, pending)} & {*types}:
            seen = (now, time.monotonic())
        elif time.monotonic() > seen[1] + STILL_SECONDS:
            end(clone, engine)
            return pending
        time.sleep(0.3)
    raise AssertionError(f"ended with {engine.returncode}: {output.read_text()[-4000:]}")


def _kill(engine: subprocess.Popen[bytes]) -> None:
    engine.kill()
    engine.wait()


def _damage_the_state(clone: Clone, engine: subprocess.Popen[bytes]) -> None:
    """What a kill can leave beside the state, and then what only a disk can do to it."""
    _kill(engine)
    file = _file(clone)
    (notes := file.with_name(f"{file.name}.attrs")).write_text("")
    assert f"deleted {notes}" in _recover(clone)
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    assert "failed to load checkpoint" in _recover(clone, ok=False)
    file.write_text(whole)


def _interrupt_twice(clone: Clone, engine: subprocess.Popen[bytes]) -> None:
    for _ in range(2):
        engine.send_signal(signal.SIGINT)
        time.sleep(1)
    engine.wait(30)
    assert _pending(clone)
    _recover(clone)


def _lose_the_api_server(clone: Clone, engine: subprocess.Popen[bytes]) -> None:
    """The control plane goes first, and is mended after the kill."""
    recorded = json.loads((clone.directory / ".sandbox/cloud.json").read_text())
    os.kill(recorded["processes"]["kube-apiserver"]["pid"], signal.SIGKILL)
    _kill(engine)
    pending = _pending(clone)
    assert "the API server does not tell whether it is there" in _recover(clone, ok=False)
    assert _pending(clone) == pending
    clone.start()
    _recover(clone)


ENDS: Final[tuple[tuple[End, Collection[str]], ...]] = (
    (_damage_the_state, resource_types()),
    (_interrupt_twice, ("aws:eks/cluster:Cluster", DYNAMIC)),
    (
        _lose_the_api_server,
        ("kubernetes:core/v1:Namespace", "kubernetes:core/v1:ServiceAccountPatch"),
    ),
)


def _recover(clone: Clone, *, ok: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "operations.recover", "--stack", "sandbox", "--yes"],
        cwd=clone.directory,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def _forget_every_answer(clone: Clone) -> None:
    """Make the state what it were if everything had been made, and the engine had heard of none."""
    whole = json.loads(_file(clone).read_text())
    latest = whole["checkpoint"]["latest"]
    kept, pending = [], []
    for one in latest["resources"]:
        if one["type"].startswith(CLOUDS):
            asked = {key: value for key, value in one.items() if key not in ("id", "outputs")}
            pending.append({"type": "creating", "resource": asked})
        else:
            kept.append({**one, "dependencies": [], "propertyDependencies": {}})
    whole["checkpoint"]["latest"] = {
        **latest,
        "resources": kept,
        "pending_operations": pending,
    }
    _file(clone).write_text(json.dumps(whole))


def _ids(clone: Clone) -> dict[str, str]:
    """The id of each resource that is in a cloud; a twin fails."""
    resources = [one for one in clone.resources() if one["type"].startswith(CLOUDS)]
    found = {one["urn"]: one["id"] for one in resources}
    assert len(found) == len(resources)
    return found


def test_what_was_made_is_known_again_and_can_be_destroyed(stack: Clone) -> None:
    empty = everything(stack)
    for end, types in ENDS:
        pending = _run_until_it_hangs(stack, types, end)
        assert not _pending(stack)
        known = {resource["urn"] for resource in stack.resources()}
        # A dynamic resource is in the state alone, and is made again.
        assert {urn for urn in pending if _type(urn) != DYNAMIC} <= known
    stack.pulumi("up", "--yes", "--skip-preview")
    made = _ids(stack)
    _forget_every_answer(stack)
    told = _recover(stack)
    assert _ids(stack) == made, told
    # It writes down what the rest depends on, too, which was left out above.
    stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    stack.unprotect()
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert everything(stack) == empty
