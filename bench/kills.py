"""Kill the engine all along `up`, changes and `destroy`, recover each time, and tell what is left.

`python -m bench.kills [--up 20] [--change 4] [--destroy 20]` exits with 1 at the first kill after
which the documented recovery does not do. One stack goes through all of it: after each kill comes
`python -m operations.recover`, then the next command begins where the last one was cut off.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import psutil

from sandbox.clone import Clone
from tests.platform.listing import everything

PENDING_SECONDS: Final = 6
"""How long nothing moves before what hangs is all that is left."""


@dataclass(frozen=True)
class Way:
    """How an engine is killed."""

    name: str
    fault: str = ""
    """What becomes of the first operation on each type; without one, the kill is at full speed."""
    plugins: bool = False
    """The plugins are killed with the engine, so that no request that they hold is sent."""


WAYS: Final = (
    Way("at full speed"),
    Way("at full speed, plugins too", plugins=True),
    Way("all done, nothing answered", "hang"),
    Way("at full speed"),
    Way("at full speed, plugins too", plugins=True),
    Way("nothing sent", "drop"),
)


class Series:
    """Kills of one stack, one after the other."""

    def __init__(self, clone: Clone, types: set[str]) -> None:
        self._clone = clone
        self._types = types
        self._ways = cycle(WAYS)
        self._file = clone.directory / ".sandbox/state/.pulumi/stacks/mwaa-on-eks/sandbox.json"
        self._read: tuple[int, Any] = (0, {})
        self.kills = 0

    def run(self, verb: str, reached: Callable[[int], Callable[[Any], bool]], kills: int) -> None:
        """Run `pulumi <verb>` to its end, killed so many times.

        reached: from the number of the kill to what the state shows when it is due.
        """
        for number in range(kills):
            way = next(self._ways)
            pending = self._run_and_kill(verb, way, reached(number))
            if pending is None:
                print(f"{verb}: came to its end after {number} kills", flush=True)
                break
            self.kills += 1
            self._recover()
            known = Counter(urn for urn in map(_urn, self._clone.resources()))
            kinds = Counter(f"{operation} {_type(urn)}" for urn, operation in pending.items())
            told = ", ".join(f"{kind} x{n}" if n > 1 else kind for kind, n in kinds.items())
            print(f"{verb} {number + 1:2}  {way.name}: {told or 'nothing pending'}", flush=True)
            twins = [urn for urn, n in known.items() if n > 1]
            if twins and verb == "destroy":
                raise SystemExit(f"twice in the state: {', '.join(twins)}")
        self._clone.pulumi(verb, "--yes", "--skip-preview")

    def _run_and_kill(
        self, verb: str, way: Way, reached: Callable[[Any], bool]
    ) -> dict[str, str] | None:
        faults = self._clone.directory / ".sandbox/faults.json"
        nth = {operation: {"1": way.fault} for operation in ("create", "update", "delete")}
        faults.write_text(json.dumps(dict.fromkeys(self._types, nth) if way.fault else {}))
        with (self._clone.directory / ".sandbox/killed.log").open("w") as output:
            engine = subprocess.Popen(
                ["pulumi", verb, "--yes", "--skip-preview", "--stack", "sandbox"],
                cwd=self._clone.directory,
                env={**self._clone.environment, "SANDBOX_FAULTS": str(faults)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        seen: tuple[object, float] = (None, time.monotonic())
        while engine.poll() is None:
            state = self.state()
            now = (pending_of(state), len(state.get("resources") or []))
            if now != seen[0]:
                seen = (now, time.monotonic())
            is_stuck = bool(now[0]) and time.monotonic() > seen[1] + PENDING_SECONDS
            if is_stuck if way.fault else (now[0] and reached(state)):
                _kill(engine.pid, plugins=way.plugins)
                engine.wait()
                return pending_of(self.state())
            time.sleep(0.3 if way.fault else 0.02)
        if engine.returncode:
            raise SystemExit(Path(output.name).read_text()[-4000:])
        return None

    def state(self) -> Any:  # noqa: ANN401
        """What the engine has written down by now."""
        written = self._file.stat().st_mtime_ns  # the engine renames whole files into its place
        if written != self._read[0]:
            self._read = (written, json.loads(self._file.read_text())["checkpoint"]["latest"] or {})
        return self._read[1]

    def _recover(self) -> None:
        """Follow docs/operations.md."""
        done = subprocess.run(
            [sys.executable, "-m", "operations.recover", "--stack", "sandbox", "--yes"],
            cwd=self._clone.directory,
            env=self._clone.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"operations.recover failed:\n{done.stdout}{done.stderr}")
        if pending := pending_of(self.state()):
            raise SystemExit(f"still pending: {pending}\n{done.stdout}")


def pending_of(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what each cut-off operation was, by the resource's URN."""
    found = state.get("pending_operations") or []
    return {one["resource"]["urn"]: one["type"] for one in found}


def _kill(pid: int, *, plugins: bool) -> None:
    engine = psutil.Process(pid)
    os.kill(pid, signal.SIGSTOP)  # so that it starts nothing while its plugins go
    for process in [*(engine.children(recursive=True) if plugins else []), engine]:
        process.kill()


def _urn(resource: Mapping[str, Any]) -> str:
    urn: str = resource["urn"]
    return urn


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def main() -> None:
    """Go through the life of a stack in a copy of this working tree, which is then removed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--up", type=int, default=20)
    parser.add_argument("--change", type=int, default=4)
    parser.add_argument("--destroy", type=int, default=20)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        clone = Clone.make(Path(directory) / "clone")
        clone.start()
        try:
            _live(clone, told.up, told.change, told.destroy)
        finally:
            clone.stop()


def _live(clone: Clone, up: int, change: int, destroy: int) -> None:
    empty = everything(clone)
    clone.pulumi("stack", "init")
    planned = json.loads(clone.pulumi("preview", "--json").stdout)["steps"]
    types = {_type(step["urn"]) for step in planned}
    series = Series(
        clone,
        {t for t in types if t.startswith(("aws:", "kubernetes:"))}
        | {"pulumi-python:dynamic:Resource"},
    )
    whole = len(planned)

    def has(number: int) -> Callable[[Any], bool]:
        due = whole * (number + 1) // (up + 1)
        return lambda state: len(state.get("resources") or []) >= due

    def has_left(number: int) -> Callable[[Any], bool]:
        due = whole * (destroy - number) // (destroy + 1)
        return lambda state: len(state.get("resources") or []) <= due

    series.run("up", has, up)
    clone.pulumi("preview", "--expect-no-changes")
    if change:
        _change(clone, series, change)
    clone.unprotect()
    series.run("destroy", has_left, destroy)
    _same(everything(clone), empty)
    print(f"{series.kills} kills: nothing twice, nothing left")


def _change(clone: Clone, series: Series, kills: int) -> None:
    """Change the stack and back, with so many kills of each change."""
    for number, what in enumerate(("virtualClusters", "namespaces")):
        clone.pulumi("config", "set", "--path", f"account.unprotected[{number}]", what)
    clone.pulumi("up", "--yes", "--skip-preview")
    made = everything(clone)
    for key, value in _CHANGES:
        clone.pulumi("config", "set", "--path", key, value)
        series.run("up", _has_begun, kills)
        clone.pulumi("preview", "--expect-no-changes")
        print(f"{key}: {value}", flush=True)
    _same(everything(clone), made, but_for_ids=True)


def _has_begun(number: int) -> Callable[[Any], bool]:
    """Tell when so many operations of a change have begun."""
    begun: set[str] = set()

    def reached(state: Any) -> bool:  # noqa: ANN401
        begun.update(pending_of(state))
        return len(begun) > 5 * number

    return reached


_CHANGES: Final = (
    ("account.tags.owner", "one"),  # everything that has tags is updated
    ("airflow.podQuota.pods", "21"),
    ("spark.teams[0].name", "risk"),  # a namespace and a virtual cluster go, others come
    ("spark.teams[0].name", "mwaa"),
)


def _same(found: set[str], wanted: set[str], *, but_for_ids: bool = False) -> None:
    if but_for_ids:
        kinds = [Counter(line.rpartition(" ")[0] for line in lines) for lines in (found, wanted)]
        differing = (kinds[0] - kinds[1]) + (kinds[1] - kinds[0])
        if differing:
            raise SystemExit(f"more or fewer than before: {differing}")
    elif found != wanted:
        raise SystemExit(f"left: {sorted(found - wanted)}; gone: {sorted(wanted - found)}")


if __name__ == "__main__":
    main()
