"""What the modules of settings import, and what they must not."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import settings

ROOT = Path(__file__).resolve().parents[2]
MODULES = [module.name for module in pkgutil.walk_packages(settings.__path__, "settings.")]


def imported_with(*modules: str) -> set[str]:
    """All that a fresh interpreter has loaded after importing the modules."""
    program = f"import json, sys, {', '.join(modules)}; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(json.loads(run.stdout))


def test_settings_know_of_no_resources() -> None:
    loaded = imported_with(*MODULES)

    assert {module for module in loaded if module.startswith("components.")} == {
        "components.aws_account",
        "components.capacity",
        "components.subnet_plan",
    }
    assert not {module for module in loaded if module.startswith("pulumi_")}


def test_no_module_needs_one_of_a_later_layer() -> None:
    sections = {"settings.sections", "settings.values", "settings.versions"}
    stack = {*sections, "settings.stack"}
    rules = {module for module in MODULES if module.startswith("settings.rules")}

    assert imported_with("settings.sections") & set(MODULES) == sections
    assert imported_with("settings.stack") & set(MODULES) == stack
    assert imported_with(*rules) & set(MODULES) == rules | stack
