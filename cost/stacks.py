"""A stack's settings from its file, without Pulumi's CLI, a backend or credentials."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pulumi
import yaml

from settings.loading import load
from settings.stack import Settings


class NoStackError(Exception):
    """There is no such stack."""


def settings_of(stack: str, *, today: date | None = None) -> Settings:
    """Read the settings of a stack whose file is here."""
    file = Path(f"Pulumi.{stack}.yaml")
    if not file.exists():
        known = sorted(one.name.split(".")[1] for one in Path().glob("Pulumi.*.yaml"))
        raise NoStackError(f"{file} is not here; there are stacks {', '.join(known)}")
    project = yaml.safe_load(Path("Pulumi.yaml").read_text())["name"]
    config = (yaml.safe_load(file.read_text()) or {}).get("config", {})
    given = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    pulumi.runtime.configure(pulumi.runtime.Settings(project=project, stack=stack))
    pulumi.runtime.set_all_config(given, secret_keys=[])
    return load(pulumi.Config(project), today=today)
