"""Python environments of their own, for programs whose packages do not go with ours."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox.machine import go_builds, progress
from sandbox.machine.processes import run_quietly

UV: Final = Path(sys.executable).parent / "uv"
# What a lock file says and nothing else: `install` would heed what the project in the current
# directory has for its own packages.
_FILL: Final = ("pip", "sync")


def installed(name: str, lock: Path) -> Path:
    """Return where the packages of a lock file are, or will be: the path tells what there is."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    how = f"{version} {_FILL}"
    digest = hashlib.sha256(lock.read_bytes() + how.encode()).hexdigest()[:12]
    return go_builds.cache_directory() / f"{name}-{digest}"


def ensure(name: str, lock: Path) -> Path:
    """Return an environment with exactly the packages of a lock file, installing it if need be."""
    wanted = installed(name, lock)
    if wanted.is_dir():
        return wanted
    go_builds.cache_directory().mkdir(parents=True, exist_ok=True)
    # Two may ask at once: the second waits and then finds it.
    with (go_builds.cache_directory() / "python.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not wanted.is_dir():
            with progress.step(f"installing {name} (the first time only)"):
                _install(lock, wanted)
    return wanted


def extended(name: str, lock: Path, more: str) -> Path:
    """Return where the packages of a lock file are, or will be, with what is added to them."""
    base = installed(name, lock)
    digest = hashlib.sha256(f"{base.name} {more}".encode()).hexdigest()[:12]
    return go_builds.cache_directory() / f"{name}-with-{digest}"


def extend(name: str, lock: Path, more: str, add: Callable[[Path], None]) -> Path:
    """Return an environment of its own with the packages of a lock file, and what is added to them.

    more: a text that is another one where something else is added.
    add: is given the environment, and raises what keeps it from being kept.
    """
    wanted = extended(name, lock, more)
    whole = wanted / "whole"
    go_builds.cache_directory().mkdir(parents=True, exist_ok=True)
    with (go_builds.cache_directory() / "python.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not whole.exists():
            # In its place at once: the scripts of packages name the interpreter.
            shutil.rmtree(wanted, ignore_errors=True)
            _make(lock, wanted)
            try:
                add(wanted)
            except BaseException:
                shutil.rmtree(wanted, ignore_errors=True)
                raise
            whole.touch()
    return wanted


def _make(lock: Path, place: Path) -> None:
    uv = [str(UV), "--quiet"]
    run_quietly([*uv, "venv", "--relocatable", "--python", sys.executable, str(place)])
    python = str(place / "bin" / "python")
    run_quietly([*uv, *_FILL, "--python", python, str(lock)])


def _install(lock: Path, wanted: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="python-", dir=wanted.parent) as scratch:
        # Relocatable: what a cut-off run leaves must not have the name that is looked for.
        made = Path(scratch) / "environment"
        _make(lock, made)
        made.rename(wanted)
