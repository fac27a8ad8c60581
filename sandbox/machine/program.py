"""The program that the sandbox runs, and where both have their files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The working tree: where Pulumi.yaml is."""
DIRECTORY: Final = ROOT / ".sandbox"
"""What the sandbox of this working tree keeps, and loses when it is stopped."""

PROJECT: Final = "mwaa-on-eks"
STACK: Final = "sandbox"
