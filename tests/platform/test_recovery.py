"""An engine that is killed while AWS works, and what the documented recovery makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from sandbox.clone import Clone
from sandbox.providers.aws.provider import resource_types
from tests.platform.listing import everything

End: TypeAlias = Callable[[Clone, subprocess.Popen[bytes]], None]
KUBERNETES: Final = frozenset(
    f"kubernetes:{kind}"
    for kind in ("core/v1:Namespace", "core/v1:ServiceAccountPatch", "apps/v1:Deployment")
)
DYNAMIC: Final = "pulumi-python:dynamic:Resource"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A sandbox of its own with an empty stack."""
    clone = Clone.make(tmp_path_factory.mktemp("recovery"))
    clone.start()
    clone.pulumi("stack", "init")
    yield clone
    clone.stop()


def _file(clone: Clone) -> Path:
    return clone.directory / ".sandbox/state/.pulumi/stacks/mwaa-on-eks/sandbox.json"


def _state(clone: Clone) -> Any:  # noqa: ANN401
    return json.loads(_file(clone).read_text())["checkpoint"]["latest"] or {}


def _pending(clone: Clone) -> dict[str, str]:
    """What each cut-off operation was, by the resource's URN."""
    found = _state(clone).get("pending_operations") or []
    return {one["resource"]["urn"]: one["type"] for one in found}


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _run_until_it_hangs(
    clone: Clone, verb: str, operation: str, types: set[str], end: End
) -> dict[str, str] | None:
    """Run `pulumi` where the first operation on each of these types never answers, and end it when
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
            pending = _pending(clone)
            end(clone, engine)
            return pending
        time.sleep(0.3)
    assert engine.returncode == 0, output.read_text()[-4000:]
    return None


def _kill(_: Clone, engine: subprocess.Popen[bytes]) -> None:
    engine.kill()
    engine.wait()


def _interrupt_twice(clone: Clone, engine: subprocess.Popen[bytes]) -> None:
    for _ in range(2):
        engine.send_signal(signal.SIGINT)
        time.sleep(1)
    engine.wait(30)
    assert _pending(clone)


def _lose_the_api_server(clone: Clone, engine: subprocess.Popen[bytes]) -> None:
    """The control plane goes first, and is mended after the kill."""
    recorded = json.loads((clone.directory / ".sandbox/cloud.json").read_text())
    os.kill(recorded["processes"]["kube-apiserver"]["pid"], signal.SIGKILL)
    _kill(clone, engine)
    clone.start()


def _damage_the_state(clone: Clone, engine: subprocess.Popen[bytes]) -> None:
    """The machine dies as the next step is written down; the state before takes its place."""
    _kill(clone, engine)
    file = _file(clone)
    before = file.with_name(f"{file.name}.bak")
    whole = file.read_text()
    before.write_text(whole)
    file.write_text(whole[: len(whole) // 2])
    assert "failed to load checkpoint" in _recover(clone, ok=False)
    before.replace(file)


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


def test_every_type_that_aws_has_made_is_known_after_a_kill(stack: Clone) -> None:
    empty = everything(stack)
    left = {*resource_types(), *KUBERNETES, DYNAMIC}
    ends = iter((_kill, _damage_the_state, _interrupt_twice, _lose_the_api_server))
    kills = 0
    while pending := _run_until_it_hangs(stack, "up", "create", left, next(ends, _kill)):
        kills += 1
        told = _recover(stack)
        assert not _pending(stack)
        known = pending.keys() & {resource["urn"] for resource in stack.resources()}
        # A dynamic resource is in the state alone, and is made again.
        assert known or {*map(_type, pending)} == {DYNAMIC}, told
        left -= {_type(urn) for urn in known} | ({*map(_type, pending)} & {DYNAMIC})
    assert kills >= 5
    assert next(ends, None) is None
    stack.pulumi("preview", "--expect-no-changes")
    twins = [urn for urn in _urns(stack) if _urns(stack).count(urn) > 1]
    assert not twins
    stack.unprotect()
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert everything(stack) == empty


def _urns(clone: Clone) -> list[str]:
    return [resource["urn"] for resource in clone.resources()]
