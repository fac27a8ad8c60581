"""What the files of the repository say about settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings.sections import SECTIONS, PodQuotaSettings, Section, TeamSettings

ROOT = Path(__file__).resolve().parents[2]


def project() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    return content


NESTED: dict[str, type[Section]] = {"podQuota": PodQuotaSettings, "teams": TeamSettings}


def kind(schema: dict[str, Any]) -> str:
    """The type of a setting, as Pulumi.yaml has to tell it."""
    match schema:
        case {"enum": choices}:
            return " | ".join(choices)
        case {"anyOf": kinds}:
            return " or ".join(kind(one) for one in kinds)
        case {"$ref": _}:
            return "map"
        case {"type": "array", "items": items}:
            return f"list of {kind(items)}"
        case {"type": "object"}:
            return "map of string"
        case _:
            return str(schema["type"])


def lines(model: type[Section], prefix: str = "") -> Iterator[str]:
    """What Pulumi.yaml has to tell about the settings of a section."""
    for name, schema in model.model_json_schema()["properties"].items():
        default = f"default {json.dumps(schema['default'])}" if "default" in schema else "required"
        yield f"- {prefix}{name} ({kind(schema)}, {default}): {schema['description']}"
        if name in NESTED:
            items = "[]" if schema.get("type") == "array" else ""
            yield from lines(NESTED[name], f"{prefix}{name}{items}.")


def test_pulumi_yaml_declares_the_sections_and_nothing_else() -> None:
    declared = [key for key in project()["config"] if ":" not in key]
    assert declared == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_pulumi_yaml_describes_each_setting_with_type_and_default(section: str) -> None:
    declared = project()["config"][section]
    assert declared["type"] == "object"
    assert declared["description"].splitlines() == [
        SECTIONS[section].__doc__,
        *lines(SECTIONS[section]),
    ]


@pytest.mark.parametrize("section", SECTIONS)
def test_pulumi_yaml_has_the_defaults_of_the_program(section: str) -> None:
    model = SECTIONS[section]
    if any(field.is_required() for field in model.model_fields.values()):
        assert "default" not in project()["config"][section]
    else:
        default = model().model_dump(mode="json", by_alias=True)
        assert project()["config"][section]["default"] == default


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_has_each_setting_with_its_default(section: str) -> None:
    readme = (ROOT / "README.md").read_text()
    for line in lines(SECTIONS[section]):
        told = re.fullmatch(r"- (\S+) \(.*?(?:(required)|default (.*))\): (.*)", line)
        assert told is not None, line
        key, required, default, text = told.groups()
        shown = "**required**" if required else f"`{default}`"
        assert f"| `{section}.{key}` | {shown} | {text} |" in readme


def test_no_provider_is_taken_by_default() -> None:
    declared = project()["config"]["pulumi:disable-default-providers"]
    assert declared == {"value": ["aws", "kubernetes"]}
