"""What stands in for Pulumi's plugins, where the Pulumi CLI looks for plugins."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Final

from sandbox.machine.program import DIRECTORY, ROOT

PROVIDERS: Final = ROOT / "sandbox" / "providers" / "plugins"
LANGUAGE: Final = ROOT / "sandbox" / "engine" / "language"

# The executables, and the packages whose versions they answer.
_PACKAGES: Final = {
    PROVIDERS / "pulumi-resource-aws": "pulumi-aws",
    PROVIDERS / "pulumi-resource-eks": "pulumi-eks",
    PROVIDERS / "pulumi-resource-kubernetes": "pulumi-kubernetes",
    LANGUAGE / "pulumi-language-python": "pulumi",
    LANGUAGE / "pulumi-resource-pulumi-python": "pulumi",
}


def install() -> None:
    """Put the stand-ins into PULUMI_HOME; the Pulumi CLI warns of each that it finds on PATH."""
    for source, package in _PACKAGES.items():
        installed = source.name.removeprefix("pulumi-")
        target = DIRECTORY / "pulumi" / "plugins" / f"{installed}-v{version(package)}" / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            target.symlink_to(source)
