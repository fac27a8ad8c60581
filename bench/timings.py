"""Print how long preview and up take on the sandbox: `python -m bench.timings [--cold]`."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.clone import Clone


def main() -> None:
    """Measure in a copy of this working tree, which is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of preview and no-change up")
    parser.add_argument("--cold", action="store_true", help="`make up` with no cache at all, too")
    options = parser.parse_args()
    if options.cold:
        _cold()
    with tempfile.TemporaryDirectory() as directory:
        clone = Clone.make(Path(directory))
        begun = time.monotonic()
        clone.start()
        try:
            clone.pulumi("stack", "init")
            clone.pulumi("up", "--yes", "--skip-preview")
            print(f"{'up from nothing, tools built':42}{time.monotonic() - begun:8.1f} s")
            _repeated("preview, no change", options.runs, clone, "preview", "--expect-no-changes")
            _repeated("up, no change", options.runs, clone, "up", "--yes", "--skip-preview")
            clone.unprotect()
            _timed("destroy", lambda: clone.pulumi("destroy", "--yes", "--skip-preview"))
        finally:
            clone.stop()


def _cold() -> None:
    with tempfile.TemporaryDirectory() as directory:
        clone = Clone.make(Path(directory) / "clone")
        (clone.directory / ".venv").unlink()
        caches = {
            "XDG_CACHE_HOME": f"{directory}/cache",
            "UV_CACHE_DIR": f"{directory}/uv",
            "PIP_NO_CACHE_DIR": "1",
        }
        # Go's own caches too: without them the build of the tools makes and removes its own.
        outside = {k: v for k, v in os.environ.items() if k not in {"GOMODCACHE", "GOCACHE"}}

        def make(target: str) -> None:
            subprocess.run(
                ["make", target],
                cwd=clone.directory,
                env={**outside, **caches},
                check=True,
                stdout=subprocess.DEVNULL,
            )

        try:
            _timed("make up, nothing cached", lambda: make("up"))
        finally:
            make("down")


def _timed(title: str, action: Callable[[], object]) -> None:
    begun = time.monotonic()
    action()
    print(f"{title:42}{time.monotonic() - begun:8.1f} s", flush=True)


def _repeated(title: str, runs: int, clone: Clone, *arguments: str) -> None:
    seconds = []
    for _ in range(runs):
        begun = time.monotonic()
        clone.pulumi(*arguments)
        seconds.append(time.monotonic() - begun)
    print(
        f"{title:42}{statistics.median(seconds):8.1f} s"
        f"  (median of {runs}: {min(seconds):.1f} to {max(seconds):.1f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
