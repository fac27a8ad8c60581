"""Print what a preview takes with many Spark teams: `python -m bench.teams [--teams 50]`."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from sandbox.clone import Clone
from sandbox.engine.environment import PREVIEW


def main() -> None:
    """Measure in a copy of this working tree, on a sandbox that holds nothing yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=50)
    teams: int = parser.parse_args().teams
    with tempfile.TemporaryDirectory() as directory:
        clone = Clone.make(Path(directory))
        clone.start()
        try:
            clone.pulumi("stack", "init")
            with (clone.directory / "Pulumi.sandbox.yaml").open("a") as stack:
                named = [{"name": f"team-{number}"} for number in range(teams)]
                stack.write(f"  mwaa-on-eks:spark: {json.dumps({'teams': named})}\n")
            for title, variables in (("as `make preview`", PREVIEW), ("plain", {})):
                clone.environment.update(variables)
                begun, before = time.monotonic(), _processor_time()
                steps = json.loads(clone.pulumi("preview", "--json").stdout)["steps"]
                took, worked = time.monotonic() - begun, _processor_time() - before
                print(
                    f"{teams} teams, {len(steps)} resources, {title:18}"
                    f"{took:8.1f} s, {worked:.1f} s of processor time",
                    flush=True,
                )
                for name in variables:
                    del clone.environment[name]
        finally:
            clone.stop()


def _processor_time() -> float:
    """Seconds of the commands run so far, which other work on the machine hardly changes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
