"""The options that each version of Airflow has, and their types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """The options of one version of Airflow, with those of the providers that it comes with."""

    types: Mapping[str, str]
    """By section.key: string, integer, float, boolean, or secret."""
    renamed: Mapping[str, str]
    """Old names that are still understood, and the new ones."""


@cache
def options_of(version: str) -> Options:
    """Read what `python -m settings.airflow_options` has written."""
    read = json.loads((FOLDER / f"{version}.json").read_text())
    sections: dict[str, dict[str, str]] = read["options"]
    types = {f"{name}.{key}": kind for name, keys in sections.items() for key, kind in keys.items()}
    return Options(types, read["renamed"])
