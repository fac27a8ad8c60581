"""Volumes for claims, as the EBS CSI driver makes them: directories of the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sandbox.machine.program import DIRECTORY

DRIVER: Final = "ebs.csi.aws.com"


def directory_of(handle: str) -> Path:
    """Return where what is in a volume is."""
    return DIRECTORY / "volumes" / handle
