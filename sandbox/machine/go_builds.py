"""Build the command-line tools that package registries offer only as source."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent / "go"


@dataclass(frozen=True)
class Module:
    """A Go module in this directory whose `tool` lines name what is built."""

    name: str
    binaries: tuple[str, ...]
    main_module: str
    """The module whose version the binaries carry."""
    version_variable: str | None = None
    """The linker variable through which a binary learns its own version."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Binaries whose package has another name than the tool: (built as, wanted)."""


MODULES = (
    Module(
        "pulumi",
        ("pulumi",),
        "github.com/pulumi/pulumi/pkg/v3",
        "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    ),
    Module(
        "kubernetes",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        "k8s.io/kubernetes",
        "k8s.io/component-base/version.gitVersion",
    ),
    Module("etcd", ("etcd",), "go.etcd.io/etcd/server/v3", renamed=(("server", "etcd"),)),
    Module("kwok", ("kwok",), "sigs.k8s.io/kwok"),
)


def cache_directory() -> Path:
    """Return the directory that all clones on this machine share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mwaa-on-eks"


def installed(module: Module) -> Path:
    """Return where the module's binaries are, or will be: the path tells their sources."""
    digest = hashlib.sha256(repr(module).encode())
    for locked in ("go.mod", "go.sum"):
        digest.update((ROOT / module.name / locked).read_bytes())
    return cache_directory() / f"{module.name}-{digest.hexdigest()[:12]}"


def ensure(names: tuple[str, ...] | None = None) -> list[Path]:
    """Return directories that hold the modules' binaries, building what is missing.

    names: the modules wanted; all of them by default.
    """
    wanted = [m for m in MODULES if names is None or m.name in names]
    cache_directory().mkdir(parents=True, exist_ok=True)
    if any(not installed(m).is_dir() for m in wanted):
        # Two clones may start at once: the second waits and then finds the binaries.
        with (cache_directory() / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            missing = [m for m in wanted if not installed(m).is_dir()]
            with _go_environment() as environment:
                for position, module in enumerate(missing, start=1):
                    _build(module, environment, f"[{position}/{len(missing)}]")
    return [installed(m) for m in wanted]


@contextmanager
def _go_environment() -> Iterator[dict[str, str]]:
    """Give Go caches that disappear with the build, unless the user has chosen some."""
    with tempfile.TemporaryDirectory(prefix="go-", dir=cache_directory()) as scratch:
        yield {
            "GOPATH": f"{scratch}/path",
            "GOMODCACHE": f"{scratch}/modules",
            "GOCACHE": f"{scratch}/build",
            **os.environ,
            "CGO_ENABLED": "0",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-modcacherw -trimpath -buildvcs=false",
        }


def _go(*arguments: str) -> list[str]:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is None:
        message = "uv is not installed: run `make up`, which installs it"
        raise SystemExit(message)
    locked = ("--project", str(ROOT.parents[1]), "--locked", "--isolated", "--only-group", "go")
    return [uv, "run", "--quiet", *locked, "go", *arguments]


def _build(module: Module, environment: dict[str, str], position: str) -> None:
    source = ROOT / module.name
    version = subprocess.run(
        _go("list", "-m", "-f", "{{.Version}}", module.main_module),
        cwd=source,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    flags = "-s -w"
    if module.version_variable:
        flags += f" -X {module.version_variable}={version}"
    with tempfile.TemporaryDirectory(prefix=f"{module.name}-", dir=cache_directory()) as scratch:
        binaries = Path(scratch) / "bin"
        _run_with_progress(
            _go("install", "-ldflags", flags, "tool"),
            source,
            {**environment, "GOBIN": str(binaries)},
            f"{position} building {', '.join(module.binaries)} {version}",
        )
        for built, wanted in module.renamed:
            (binaries / built).rename(binaries / wanted)
        binaries.rename(installed(module))


def _run_with_progress(
    command: list[str], cwd: Path, environment: dict[str, str], title: str
) -> None:
    started = time.monotonic()
    print(f"{title} (minutes, the first time only)", flush=True)
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    reader = threading.Thread(target=output.extend, args=(process.stdout or (),), daemon=True)
    reader.start()
    while True:
        try:
            status = process.wait(timeout=30)
            break
        except subprocess.TimeoutExpired:
            print(f"    {time.monotonic() - started:.0f} s", flush=True)
    reader.join()
    if status != 0:
        sys.stderr.writelines(output[-40:])
        message = f"{title} failed: `{' '.join(command)}` in {cwd} ended with status {status}"
        raise SystemExit(message)
    print(f"    done in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    for directory in ensure():
        print(directory)
