"""What SNS and EventBridge refuse: endpoints, event patterns and targets that are none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from itertools import chain
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any

_ENDPOINTS: Final = {
    "email": (r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", "Invalid parameter: Email address"),
    "email-json": (r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", "Invalid parameter: Email address"),
    "http": (
        r"http://[^\s/]+(/\S*)?",
        "Invalid parameter: Endpoint must match the specified protocol",
    ),
    "https": (
        r"https://[^\s/]+(/\S*)?",
        "Invalid parameter: Endpoint must match the specified protocol",
    ),
    "sqs": (
        r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[\w-]{1,80}(\.fifo)?",
        "Invalid parameter: SQS endpoint ARN",
    ),
}


@refuses("sns", "Subscribe")
def _endpoint(aws: Aws, told: Told) -> None:
    protocol, endpoint = told["Protocol"], told.get("Endpoint", "")
    topic = told["TopicArn"]
    if topic.split(":")[3:4] != [aws.region]:
        raise RefusedError("InvalidParameter", "Invalid parameter: TopicArn")
    if protocol in _ENDPOINTS:
        form, message = _ENDPOINTS[protocol]
        if not re.fullmatch(form, endpoint):
            raise RefusedError("InvalidParameter", message)
    if topic.endswith(".fifo") and protocol != "sqs":
        message = "Invalid parameter: Invalid parameter: Endpoint Reason: Please use FIFO SQS queue"
        raise RefusedError("InvalidParameter", message)


_PATTERN_QUOTA: Final = 2048
"""Event pattern size, "Amazon EventBridge quotas"; AWS raises it to 4,096 for who asks."""
_TARGETS_QUOTA: Final = 5


@refuses("events", "PutRule")
def _pattern(_: Aws, told: Told) -> None:
    text = told.get("EventPattern")
    if text is None:
        return
    try:
        pattern = json.loads(text)
        if len(text) > _PATTERN_QUOTA:
            raise ValueError(f"it has {len(text)} characters, the quota is {_PATTERN_QUOTA}")
        _check(pattern, "the pattern")
    except ValueError as reason:
        message = f"Event pattern is not valid. Reason: {reason}"
        raise RefusedError("InvalidEventPatternException", message) from None


def _check(pattern: Json, where: str) -> None:
    if not isinstance(pattern, dict) or not pattern:
        raise ValueError(f'{where} must be an object that is not empty, or an array: "{pattern}"')
    for key, value in pattern.items():
        if key == "$or" and isinstance(value, list):
            for one in value:
                _check(one, "$or")
        elif isinstance(value, dict):
            _check(value, key)
        elif isinstance(value, list) and value:
            for one in value:
                _check_match(one, key)
        else:
            raise ValueError(f'"{key}" must be an object or an array')


def _is_text(value: Json) -> bool:
    if isinstance(value, dict):
        return value.keys() == {"equals-ignore-case"} and isinstance(
            value["equals-ignore-case"], str
        )
    return isinstance(value, str)


def _are_texts(value: Json) -> bool:
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(isinstance(one, str) for one in listed)


def _is_numeric(value: Json) -> bool:
    if not isinstance(value, list) or len(value) not in {2, 4}:
        return False
    pairs = list(zip(value[::2], value[1::2], strict=True))
    signs = [sign for sign, _ in pairs]
    known = {">", ">=", "<", "<=", "="} if len(pairs) == 1 else {">", ">=", "<", "<="}
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for _, one in pairs)
    # A range goes up: what it begins with, then what it ends with.
    ranged = len(pairs) == 1 or (signs[0][0] == ">" and signs[1][0] == "<")
    return numbers and set(signs) <= known and ranged


def _is_anything_but(value: Json) -> bool:
    if isinstance(value, dict):
        kinds = {"prefix", "suffix", "equals-ignore-case", "wildcard"}
        return len(value) == 1 and value.keys() <= kinds and _are_texts(next(iter(value.values())))
    listed = value if isinstance(value, list) else [value]
    return bool(listed) and all(
        isinstance(one, str | int | float) and not isinstance(one, bool) for one in listed
    )


def _is_network(value: Json) -> bool:
    try:
        ip_network(value)
    except ValueError:
        return False
    return isinstance(value, str)


# "Comparison operators for use in event patterns", EventBridge User Guide.
_OPERATORS: Final[dict[str, Callable[[Json], bool]]] = {
    "anything-but": _is_anything_but,
    "cidr": _is_network,
    "equals-ignore-case": lambda value: isinstance(value, str),
    "exists": lambda value: isinstance(value, bool),
    "numeric": _is_numeric,
    "prefix": _is_text,
    "suffix": _is_text,
    "wildcard": lambda value: isinstance(value, str) and "**" not in value,
}


def _check_match(one: Json, key: str) -> None:
    if isinstance(one, list):
        raise ValueError(f'"{key}": match value must be String, number, true, false, or null')
    if not isinstance(one, dict):
        return
    if len(one) != 1:
        raise ValueError(f'"{key}": only one key allowed in match expression')
    operator, value = next(iter(one.items()))
    if operator not in _OPERATORS:
        raise ValueError(f'"{key}": unrecognized match type {operator}')
    if not _OPERATORS[operator](value):
        raise ValueError(f'"{key}": {json.dumps(value)} is no value of {operator}')


_PLACEHOLDER: Final = re.compile(r"<([^<>\s]+)>")
_OF_EVENTBRIDGE: Final = re.compile(r"aws\.events\.(rule-arn|rule-name|event(\.[a-z-]+)*)")


@refuses("events", "PutTargets")
def _targets(aws: Aws, told: Told) -> None:
    events, which = aws.client("events"), {"Rule": told["Rule"]}
    found = find(events.list_targets_by_rule, **which)
    ids = {one["Id"] for one in found["Targets"]} if found else set()
    if len(ids | {one["Id"] for one in told["Targets"]}) > _TARGETS_QUOTA:
        message = "The requested resource exceeds the maximum number allowed."
        raise RefusedError("LimitExceededException", message)
    for target in told["Targets"]:
        problem = next(chain(_where(aws, target), _what(target)), None)
        if problem:
            raise RefusedError("ValidationException", problem)


def _where(aws: Aws, target: Json) -> Iterator[str]:
    arn = target["Arn"].split(":")
    if len(arn) < 6 or arn[0] != "arn":
        given = f"Parameter {target['Arn']} is not valid."
        yield f"{given} Reason: Provided Arn is not in correct format."
    elif arn[2] in {"lambda", "sns", "sqs"} and arn[3] != aws.region:
        yield f"Target {target['Id']} is in region {arn[3]}, its rule in {aws.region}."
    elif arn[2] == "sns" and target.get("RoleArn"):
        yield f"RoleArn is not supported for target {target['Arn']}."


def _what(target: Json) -> Iterator[str]:
    transformer = target.get("InputTransformer") or {}
    paths = transformer.get("InputPathsMap") or {}
    for name, path in paths.items():
        if not re.fullmatch(r"\$(\.[\w-]+|\[\d+\])*", path):
            yield f"Invalid InputPath for target {target['Id']}: {name} is {path}."
    for name in _PLACEHOLDER.findall(transformer.get("InputTemplate", "")):
        if name not in paths and not _OF_EVENTBRIDGE.fullmatch(name):
            yield (
                f"InputTemplate for target {target['Id']} contains placeholder {name} that is not "
                "in InputPathsMap."
            )
