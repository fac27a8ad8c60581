"""The host of dynamic providers, for a Pulumi CLI that comes without one."""

from __future__ import annotations

import io
import runpy
import sys
from pathlib import Path

from sandbox.machine.lifetime import end_with_engine


def main() -> None:
    """Serve the dynamic providers of the project in the working directory."""
    end_with_engine()
    # As `python -u -m pulumi.dynamic`, which the official CLI runs: it does not flush its port,
    # and a provider's modules are looked for in the working directory.
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.path[0] = str(Path.cwd())
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)
