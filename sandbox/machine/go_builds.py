"""Build the command-line tools that package registries offer only as source."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.machine import progress
from sandbox.machine.processes import SandboxError, run_quietly

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Tool:
    """A command of a Go module that one of the go.mod here locks."""

    module: str
    command: str
    """The package of the command, within the module."""
    version_variable: str | None = None
    """The linker variable through which the tool learns its version, that of the module."""
    built_as: str | None = None
    """What Go calls the binary, if not by the tool's name."""


TOOLS: Final[dict[str, Tool]] = {
    "pulumi": Tool(
        "github.com/pulumi/pulumi/pkg/v3",
        "/cmd/pulumi",
        "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    ),
    **{
        name: Tool("k8s.io/kubernetes", f"/cmd/{name}", "k8s.io/component-base/version.gitVersion")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    },
    "etcd": Tool("go.etcd.io/etcd/server/v3", "", built_as="server"),
    "kwok": Tool("sigs.k8s.io/kwok", "/cmd/kwok"),
}

LINTERS: Final[dict[str, Tool]] = {
    "actionlint": Tool("github.com/rhysd/actionlint", "/cmd/actionlint"),
}

# By the directory of their go.mod: with one of their own, new linters leave what takes minutes.
_LOCKED: Final = {HERE / "go": TOOLS, HERE / "go-lint": LINTERS}

# One module and one run for all tools: what they have in common is compiled once, and one tool is
# linked while another still compiles. Inlining is a third of the compiler's work, and the tools
# have little to do here; Go's own packages are the hot ones, so they keep it. Debugging symbols
# would be stripped in the end.
COMPILER: Final = ("-gcflags=all=-dwarf=false -l", "-gcflags=std=-dwarf=false")
LINKER: Final = "-s -w"


def cache_directory() -> Path:
    """Return the directory that all clones on this machine share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mwaa-on-eks"


def installed(name: str) -> Path:
    """Return where the tool is, or will be: the path tells what it is built from, and how."""
    root, tools = _locked(name)
    digest = hashlib.sha256(repr((tools, COMPILER, LINKER)).encode())
    for locked in ("go.mod", "go.sum"):
        digest.update((root / locked).read_bytes())
    return cache_directory() / f"tools-{digest.hexdigest()[:12]}" / name


def _locked(name: str) -> tuple[Path, dict[str, Tool]]:
    return next((root, tools) for root, tools in _LOCKED.items() if name in tools)


def ensure(names: Iterable[str] = TOOLS) -> None:
    """Build those of the tools that are missing."""
    wanted = set(names)
    if all(installed(name).exists() for name in wanted):
        return
    cache_directory().mkdir(parents=True, exist_ok=True)
    # Two clones may start at once: the second waits and then finds the tools.
    with (cache_directory() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for root, tools in _LOCKED.items():
            if missing := [n for n in tools if n in wanted and not installed(n).exists()]:
                _build(missing, root, tools)


def _build(names: list[str], root: Path, tools: dict[str, Tool]) -> None:
    locked = (root / "go.mod").read_text()
    versions = dict(re.findall(r"^\t(\S+) (v\S+)", locked, re.MULTILINE))
    variables = {t.version_variable: versions[t.module] for t in tools.values()}
    linker = [LINKER, *(f"-X {name}={version}" for name, version in variables.items() if name)]
    packages = [tools[name].module + tools[name].command for name in names]
    # Go's caches disappear with the build, unless the user has chosen some.
    with tempfile.TemporaryDirectory(prefix="go-", dir=cache_directory()) as scratch:
        told = ", ".join(f"{name} {versions[tools[name].module]}" for name in names)
        with progress.step(f"building {told} (the first time only)"):
            run_quietly(
                _go("install", *COMPILER, "-ldflags", " ".join(linker), *packages),
                cwd=root,
                environment={
                    "GOPATH": f"{scratch}/path",
                    "GOMODCACHE": f"{scratch}/modules",
                    "GOCACHE": f"{scratch}/build",
                    **os.environ,
                    "GOBIN": f"{scratch}/bin",
                    "CGO_ENABLED": "0",
                    "GOTOOLCHAIN": "local",
                    "GOFLAGS": "-modcacherw -trimpath -buildvcs=false",
                },
            )
        for name in names:
            installed(name).parent.mkdir(exist_ok=True)
            Path(scratch, "bin", tools[name].built_as or name).rename(installed(name))


def _go(*arguments: str) -> list[str]:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is None:
        raise SandboxError("uv is not installed: run `make up`, which installs it")
    locked = ("--project", str(HERE.parent), "--locked", "--isolated", "--only-group", "go")
    return [uv, "run", "--quiet", *locked, "go", *arguments]


def main(*names: str) -> None:
    """Print where the tools are that are named, or the sandbox's, and nothing else to there."""
    asked = names or [*TOOLS]
    with contextlib.redirect_stdout(sys.stderr):
        ensure(asked)
    print(*dict.fromkeys(installed(one).parent for one in asked), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
