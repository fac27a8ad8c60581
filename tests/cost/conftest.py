"""Settings of a minimal stack, and the program that is run with them."""

from __future__ import annotations

from tests.cases.conftest import run
from tests.settings.conftest import load, warnings

__all__ = ["load", "run", "warnings"]
