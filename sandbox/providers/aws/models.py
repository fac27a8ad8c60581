"""AWS's own rules for single values, as botocore's models of its services tell them."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from sandbox.providers.protocol import UNKNOWN, Failure, Value

if TYPE_CHECKING:
    from botocore.model import ServiceModel
    from botocore.session import Session

Shape: TypeAlias = Any
"""A botocore.model.Shape: what it has below it depends on its type_name."""

Rules: TypeAlias = Mapping[str, Any]


@functools.cache
def find(service: str, places: tuple[str, ...], path: str) -> Shape | None:
    """Return the member at the path, from the first of the places that has it.

    A place is an operation, for its input, or a path below one; [] steps into the items of a list.
    Capitals do not matter: kmsMasterKeyId is KMSMasterKeyID.
    """
    with _loading:
        model = _model(service)
    for place in places:
        operation, *steps = f"{place}.{path}".split(".")
        shape: Shape = model.operation_model(operation).input_shape
        for step in steps:
            name = step.removesuffix("[]")
            shape = shape and members(shape).get(name.lower())
            if shape and name != step:
                shape = shape.member
        if shape:
            return shape
    return None


# Or each of the plugin's threads would load EC2's model, which takes a tenth of a second.
_loading = threading.Lock()


@functools.cache
def _model(service: str) -> ServiceModel:
    return _session().get_service_model(service)


@functools.cache
def _session() -> Session:
    import botocore.session  # noqa: PLC0415  (a third of a second)

    return botocore.session.get_session()


@functools.cache
def members(shape: Shape) -> Mapping[str, Shape]:
    """Return the members of a structure by their names in small letters."""
    found = shape.members if shape.type_name == "structure" else {}
    return {name.lower(): member for name, member in found.items()}


def failures(value: Value, shape: Shape, path: str) -> Iterator[Failure]:
    """Name what breaks the shape's rules, in the value and below it."""
    if value is UNKNOWN or value is None:
        return
    problem = _problem(value, shape)
    if problem:
        yield Failure(path, f"expected {path} {problem}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from failures(item, shape.member, f"{path}[{index}]")
    elif isinstance(value, dict) and shape.type_name == "structure":
        for name, item in value.items():
            if name.lower() in members(shape):
                yield from failures(item, members(shape)[name.lower()], f"{path}.{name}")
    elif isinstance(value, dict) and (entry := _entry(shape)):
        key_shape, value_shape = entry
        for key, item in value.items():
            if problem := _problem(key, key_shape):
                yield Failure(path, f"expected the keys of {path} {problem}")
            yield from failures(item, value_shape, f"{path}.{key}")


def _entry(shape: Shape) -> tuple[Shape, Shape] | None:
    """Return the shapes of keys and values, which many services have in a list, as of tags."""
    if shape.type_name == "map":
        return shape.key, shape.value
    pair = members(shape.member)
    for key, value in (("key", "value"), ("name", "value"), ("tagkey", "tagvalue")):
        if pair.keys() == {key, value}:
            return pair[key], pair[value]
    return None


KINDS = {
    "boolean": "true or false",
    "double": "a number",
    "integer": "a whole number",
    "list": "a list",
    "long": "a whole number",
    "map": "an object",
    "string": "text",
    "structure": "an object",
}


def _is_of_kind(value: Value, shape: Shape) -> bool:
    match shape.type_name, value:
        case "boolean", bool() | "true" | "false":  # Pulumi has some as text
            return True
        case ("integer" | "long", int()) | ("double", int() | float()):
            return not isinstance(value, bool)
        case ("string", str()) | ("list", list()) | ("map" | "structure", dict()):
            return True
        case "list", dict():
            return _entry(shape) is not None
    return False


def _problem(value: Value, shape: Shape) -> str | None:
    """Say what the value itself should be, or None if it is that."""
    rules: Rules = shape.metadata
    shown = "a secret" if rules.get("sensitive") else _shortened(str(value))
    if not _is_of_kind(value, shape):
        return f"to be {KINDS[shape.type_name]}, got {shown}"
    if isinstance(value, int | float):
        return None if _fits(value, rules) else f"to be {_range(rules)}, got {shown}"
    if not _fits(len(value), rules):
        what = "characters" if isinstance(value, str) else "items"
        return f"to have {_range(rules)} {what}, it has {len(value)}"
    if "enum" in rules and value not in rules["enum"]:
        return f"to be one of [{_shortened(', '.join(rules['enum']))}], got {shown}"
    # A text that may be empty may be so whatever its pattern: EMR's tag values, 0 to 256 long, have
    # one that wants a letter.
    if "pattern" in rules and value and not pattern(rules["pattern"]).fullmatch(value):
        return f"to match {rules['pattern']}, got {shown}"
    return None


def _fits(number: float, rules: Rules) -> bool:
    return bool(rules.get("min", number) <= number <= rules.get("max", number))


def _range(rules: Rules) -> str:
    low, high = rules.get("min"), rules.get("max")
    if high is None:
        return f"at least {low}"
    if low is None:
        return f"at most {high}"
    return str(low) if low == high else f"{low} to {high}"


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"


# What Java calls \p{Z}.
_SPACES = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


@functools.cache
def pattern(text: str) -> re.Pattern[str]:
    r"""Return a pattern of a model, which the whole value must match.

    The whole, with or without ^ and $: CloudWatch Logs refuses the group testServiceName:latest by
    [\.\-_/#A-Za-z0-9]+ (awslabs/aws-embedded-metrics-java#65), and IAM tags with a & by theirs.
    Who means a part writes so, as MWAA in .*(MON|TUE|WED|THU|FRI|SAT|SUN):([01]\d|2[0-3]):(00|30).*
    """
    # Java's flag holds to the end of its group.
    text = re.sub(r"\(\?i\)([^()]*)", r"(?i:\1)", text)
    if r"\p{" not in text:
        return re.compile(text, re.ASCII)  # Java's \w and \d
    # Python's \w is all letters and numbers; any other \p is an error here.
    return re.compile(text.replace(r"\p{L}\p{Z}\p{N}_", rf"\w{_SPACES}"))
