"""What a shell needs so that `pulumi`, `kubectl` and every AWS SDK act on the sandbox."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from sandbox.cloud.lifecycle import Cloud
from sandbox.engine import plugins
from sandbox.machine import go_builds
from sandbox.machine.processes import SandboxError
from sandbox.machine.program import DIRECTORY, ROOT

# Settings of the user's that would lead elsewhere, or contradict what is set here.
UNSET: Final = (
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_STACK",
)


# For a preview alone, which keeps no state and yet has the engine make one after each step: with a
# thousand resources that is most of its time.
PREVIEW = {"PULUMI_SKIP_CHECKPOINTS": "true"}


def official_pulumi(path: str) -> Path | None:
    """Return the Pulumi CLI on PATH if it brings its Python language host along."""
    for directory in map(Path, path.split(os.pathsep)):
        found = shutil.which("pulumi", path=str(directory))
        if found and (Path(found).resolve().parent / "pulumi-language-python").exists():
            return directory
    return None


def environment(cloud: Cloud, path: str) -> dict[str, str]:
    """Return the variables to set, given the PATH without them."""
    ours = [plugins.PROVIDERS, ROOT / ".venv" / "bin"]
    outside = [entry for entry in path.split(os.pathsep) if not _is_ours(entry)]
    official = official_pulumi(os.pathsep.join(outside))
    if official is None:
        ours.insert(1, plugins.LANGUAGE)
        ours.append(go_builds.installed("pulumi").parent)
    return {
        **cloud.aws_environment(),
        "KUBECONFIG": str(cloud.control_plane.kubeconfig),
        "PULUMI_HOME": str(DIRECTORY / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{DIRECTORY / 'state'}",
        # The state of a sandbox holds no secret: this only saves the prompt.
        "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # What stands in for the plugins is in PULUMI_HOME, and on PATH for whoever runs it by hand.
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        **_no_proxy(),
        "PATH": os.pathsep.join([*map(str, ours), *outside]),
    }


def _no_proxy() -> dict[str, str]:
    """Keep what goes to this machine away from the user's proxy, if there is one."""
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    entries = [entry for entry in exceptions.split(",") if entry]
    entries += [host for host in ("127.0.0.1", "localhost") if host not in entries]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(entries))


def _is_ours(entry: str) -> bool:
    roots = (ROOT / "sandbox", ROOT / ".venv", go_builds.cache_directory())
    return any(Path(entry).is_relative_to(root) for root in roots)


def main() -> int:
    """Print the shell commands that set the environment of a running sandbox."""
    try:
        cloud = Cloud.load()
        if cloud is None:
            raise SandboxError("there is no sandbox: `make up` starts one")
        if ended := cloud.ended():
            raise SandboxError(f"{', '.join(ended)} has ended: `make up` mends the sandbox")
    except SandboxError as error:
        print(f"sandbox/env: {error}", file=sys.stderr)
        return 1
    for name in UNSET:
        print(f"unset {name}")
    for name, value in environment(cloud, os.environ.get("PATH", os.defpath)).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
