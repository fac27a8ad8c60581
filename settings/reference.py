"""What follows from the declarations of settings: those of Pulumi.yaml and docs/settings.md."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from settings.rules.production import WEAKNESSES
from settings.sections import MODELS, SECTIONS, Section
from settings.values import Risk

ROOT = Path(__file__).parents[1]

Schema = Mapping[str, Any]

# Refused in every stack, by rules that are no matter of production.
_REFUSED_EVERYWHERE: Mapping[Risk, tuple[str, str, str]] = {
    "endedSupport": (
        "`cluster.kubernetesVersion`, `airflow.version`, `spark.releaseLabel`",
        "is without support by AWS",
        "choose a newer one",
    ),
    "unlistedRegion": (
        "`account.region`",
        "has no MWAA, EKS or EMR on EKS, as far as botocore knows",
        "choose another region",
    ),
}


def settings_of(path: str, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield each setting of a section with its JSON schema, and below it what it holds itself."""
    for name, schema in MODELS[path].model_json_schema()["properties"].items():
        yield f"{prefix}{name}", schema
        if f"{path}.{name}" in MODELS:
            items = "[]" if schema.get("type") == "array" else ""
            yield from settings_of(f"{path}.{name}", f"{prefix}{name}{items}.")


def declarations() -> Iterator[str]:
    """Yield the lines of Pulumi.yaml that declare the sections."""
    for section, model in SECTIONS.items():
        yield f"  {section}:"
        yield "    type: object"
        yield "    description: |-"
        yield f"      {model.__doc__}"
        for setting, schema in settings_of(section):
            default = f"default {_default(schema)}" if "default" in schema else "required"
            yield f"      - {setting} ({_kind(schema)}, {default}): {schema['description']}"
        if not any(field.is_required() for field in model.model_fields.values()):
            yield "    default:"
            for name, value in _defaults(model).items():
                yield f"      {name}: {json.dumps(value, ensure_ascii=False)}"


def tables() -> Iterator[str]:
    """Yield the lines of docs/settings.md: a table for each section, and one of the risks."""
    for section, model in SECTIONS.items():
        yield from ("", f"## {section}", "", str(model.__doc__), "")
        yield from ("| Setting | Default | Values | What it is |", "|---|---|---|---|")
        for setting, schema in settings_of(section):
            default = f"`{_default(schema)}`" if "default" in schema else "**required**"
            text = _escaped(schema["description"])
            yield f"| `{section}.{setting}` | {default} | {_values(schema)} | {text} |"
    yield from ("", "## Risks", "")
    yield "What is weak for production is refused with `account.production: true`, what is without"
    yield "support or in an unlisted region always; `account.acceptedRisks` accepts it by name."
    yield from ("", "| Risk | Setting | Accepts a value that | Instead |", "|---|---|---|---|")
    for risk, (setting, weakness, way_out) in sorted(_risks().items()):
        yield f"| `{risk}` | {setting} | {weakness} | {way_out} |"


def _risks() -> dict[Risk, tuple[str, str, str]]:
    found = dict(_REFUSED_EVERYWHERE)
    for weakness in WEAKNESSES:
        text, _, way_out = weakness.text.partition(": ")
        found[weakness.risk] = (f"`{weakness.key}`", text, way_out)
    return found


def _defaults(model: type[Section]) -> dict[str, Any]:
    return model().model_dump(mode="json", by_alias=True)


def _default(schema: Schema) -> str:
    return json.dumps(schema["default"], ensure_ascii=False)


def _kind(schema: Schema) -> str:
    """The type of a setting, in a word or two."""
    match schema:
        case {"enum": choices}:
            return " | ".join(choices)
        case {"anyOf": kinds}:
            return " or ".join(map(_kind, kinds))
        case {"$ref": _}:
            return "map"
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"type": "object"}:
            return "map of string"
        case _:
            return str(schema["type"])


def _values(schema: Schema) -> str:
    """Which values a setting takes by itself, whatever the other ones are."""
    match schema:
        case {"values": words}:
            text = _escaped(words)
        case {"enum": choices}:
            text = ", ".join(f"`{choice}`" for choice in choices)
        case {"anyOf": kinds}:
            text = "; or ".join(map(_values, kinds))
        case {"$ref": _}:
            text = "map of what is below"
        case {"type": "array", "items": items}:
            text = f"list{_length(schema)}: {_values(items)}"
        case {"type": "object", "propertyNames": keys, "additionalProperties": values}:
            text = f"map; keys: {_values(keys)}; values: {_values(values)}"
        case {"type": "integer", "minimum": low, "maximum": high}:
            text = f"{low} to {high}"
        case _:
            text = _kind(schema)
    return text


def _length(schema: Schema) -> str:
    match schema:
        case {"minItems": low, "maxItems": high}:
            return f" of {low} to {high}"
        case {"minItems": low}:
            return f" of {low} or more"
        case {"maxItems": high}:
            return f" of up to {high}"
    return ""


def _escaped(text: str) -> str:
    """Text for a cell of a Markdown table."""
    return html.escape(text, quote=False).replace("|", r"\|")


FILES: Mapping[str, Callable[[], Iterable[str]]] = {
    "Pulumi.yaml": declarations,
    "docs/settings.md": tables,
}
_MARK = "Written by `make settings`"


def rendered(content: str, lines: Iterable[str]) -> str:
    """Return the content of a file with all below its mark written anew."""
    by_hand = content.splitlines()
    mark = next(number for number, line in enumerate(by_hand) if _MARK in line)
    return "\n".join([*by_hand[: mark + 1], *lines, ""])


if __name__ == "__main__":
    for name, generate in FILES.items():
        file = ROOT / name
        file.write_text(rendered(file.read_text(), generate()))
