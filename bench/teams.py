"""Print how long a preview takes with many Spark teams: `python -m bench.teams [--teams 50]`."""

from __future__ import annotations

import argparse
import json
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
                begun = time.monotonic()
                steps = json.loads(clone.pulumi("preview", "--json").stdout)["steps"]
                took = time.monotonic() - begun
                print(f"{teams} teams, {len(steps)} resources, {title:20}{took:8.1f} s", flush=True)
                for name in variables:
                    del clone.environment[name]
        finally:
            clone.stop()


if __name__ == "__main__":
    main()
