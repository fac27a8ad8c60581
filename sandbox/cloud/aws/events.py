"""EventBridge's default bus: what AWS's services put on it, which rules match, who is told."""

from __future__ import annotations

import json
import operator
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import topics
from sandbox.cloud.aws.refusals.front import RefusedError

Json: TypeAlias = Any
Module: TypeAlias = Any
Event: TypeAlias = dict[str, Any]

_SERVICE: Final = "events.amazonaws.com"
_MISSING: Final = object()


def complete() -> None:
    """Let rules match as EventBridge's do, topics be told, and KMS say who takes keys away."""
    models: Module = import_module("moto.events.models")
    backend, rule = models.EventsBackend, models.Rule
    put_events, send = backend.put_events, rule.send_to_targets

    def put(self: Json, events: list[Json]) -> list[Json]:
        answers = []
        for one in events:
            if str(one.get("Source", "")).startswith("aws."):
                reason = "Not authorized for the source."
                answers.append(
                    {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": reason}
                )
            else:
                answers += put_events(self, [one])
        return answers

    def send_to_targets(self: Json, event: Event, transform_input: bool = True) -> None:
        pattern = json.loads(self.event_pattern.dump() or "null")
        if self.state == "DISABLED" or not matches(pattern, event):
            return
        topics_of = [one for one in self.targets if one["Arn"].split(":")[2] == "sns"]
        others, self.targets = [one for one in self.targets if one not in topics_of], topics_of
        _count(self, "MatchedEvents", "TriggeredRules")
        for target in topics_of:
            _count(self, "Invocations")
            try:
                _tell(self, target, event)
            except RefusedError as refused:
                _count(self, "FailedInvocations")
                print(f"rule {self.name}: {refused.message}", file=sys.stderr)
        if others:  # which moto knows
            self.targets = others
            send(self, event, transform_input)
        self.targets = [*topics_of, *others]

    backend.put_events, rule.send_to_targets = put, send_to_targets
    _tell_of_keys()


def put(account: str, region: str, source: str, detail_type: str, detail: Json) -> None:
    """Put an event of one of AWS's services on the default bus of an account."""
    models: Module = import_module("moto.events.models")
    bus = models.events_backends[account][region].event_buses["default"]
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [],
        "detail": detail,
    }
    for rule in list(bus.rules.values()):
        rule.send_to_targets(event)


def _count(rule: Json, *names: str) -> None:
    models: Module = import_module("moto.cloudwatch.models")
    backend = models.cloudwatch_backends[rule.account_id][rule.region_name]
    of_rule = [{"Name": "RuleName", "Value": rule.name}]
    backend.put_metric_data(
        "AWS/Events",
        [
            {"MetricName": name, "Dimensions": dimensions, "Value": 1.0, "Unit": "Count"}
            for name in names
            for dimensions in (of_rule, [])
        ],
    )


def _tell(rule: Json, target: Json, event: Event) -> None:
    shown = {key: value for key, value in event.items() if key != "ingestion-time"}
    if isinstance(shown["time"], float | int):  # as moto has it
        shown["time"] = datetime.fromtimestamp(shown["time"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    transformer = target.get("InputTransformer")
    if transformer:
        message = transformed(transformer, shown, rule)
    elif target.get("InputPath"):
        message = json.dumps(_at(target["InputPath"], shown))
    else:
        message = target.get("Input") or json.dumps(shown)
    # EventBridge says neither aws:SourceArn nor aws:SourceAccount: conditions on them let nothing
    # through ("Key management", SNS Developer Guide, of keys; "You can't use Condition blocks in
    # Amazon SNS topic policies for EventBridge", EventBridge User Guide, of topics).
    topics.publish(_SERVICE, target["Arn"], message, {})


# Input transformers.

_PLACEHOLDER: Final = re.compile(r"<([^<>\s]+)>")


def _at(path: str, event: Json) -> Json:
    """Return what is at a path of an event, which is $, names behind dots and numbers in []."""
    found: Json = event
    for name, number in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
        if name and isinstance(found, dict):
            found = found.get(name, _MISSING)
        elif number and isinstance(found, list) and int(number) < len(found):
            found = found[int(number)]
        else:
            return _MISSING
    return found


def transformed(transformer: Json, event: Event, rule: Json) -> str:
    """Return what a target gets: within quotes a variable is text, elsewhere JSON.

    A variable whose path leads nowhere is not there.
    """
    found = {name: _at(path, event) for name, path in transformer["InputPathsMap"].items()}
    found |= {
        "aws.events.event": event,
        "aws.events.event.json": event,
        "aws.events.rule-arn": rule.arn,
        "aws.events.rule-name": rule.name,
    }
    parts, quoted, at = [], False, 0
    template = transformer["InputTemplate"]
    for one in _PLACEHOLDER.finditer(template):
        before = template[at : one.start()]
        quoted ^= len(re.findall(r'(?<!\\)"', before)) % 2 == 1
        value = found.get(one[1], _MISSING)
        parts += [before, _written(value, quoted=quoted)]
        at = one.end()
    return "".join([*parts, template[at:]])


def _written(value: Json, *, quoted: bool) -> str:
    if value is _MISSING:
        return ""
    if not quoted:
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


# Event patterns.


def matches(pattern: Json, event: Json) -> bool:
    """Tell whether an event matches: each leaf of the pattern, by one of its values."""
    if pattern is None:
        return False
    if isinstance(event, list):  # of objects: what is wanted must be true of one of them
        return any(matches(pattern, one) for one in event)
    below = event if isinstance(event, dict) else {}
    for key, wanted in pattern.items():
        if key == "$or" and isinstance(wanted, list):
            if not any(matches(one, event) for one in wanted):
                return False
        elif isinstance(wanted, dict):
            if not matches(wanted, below.get(key, _MISSING)):
                return False
        else:
            values = list(_leaves(below.get(key, _MISSING)))
            if not any(_is_met(one, values) for one in wanted):
                return False
    return True


def _leaves(value: Json) -> Iterator[Json]:
    if isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif value is not _MISSING and not isinstance(value, dict):
        yield value


def _is_met(match: Json, values: list[Json]) -> bool:
    if not isinstance(match, dict):
        return any(type(one) is type(match) and one == match for one in values) or (
            _is_number(match) and any(_is_number(one) and one == match for one in values)
        )
    name, wanted = next(iter(match.items()))
    if name == "exists":
        return bool(values) is wanted
    return any(_TESTS[name](one, wanted) for one in values)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(test: Callable[[str, str], bool]) -> Callable[[Json, Json], bool]:
    def tell(value: Json, wanted: Json) -> bool:
        if not isinstance(value, str):
            return False
        if isinstance(wanted, dict):
            return test(value.lower(), wanted["equals-ignore-case"].lower())
        return test(value, wanted)

    return tell


def _is_anything_but(value: Json, wanted: Json) -> bool:
    if isinstance(wanted, dict):
        name, listed = next(iter(wanted.items()))
    else:
        name, listed = "", wanted
    listed = listed if isinstance(listed, list) else [listed]
    if not name:
        return value not in listed
    return not any(_TESTS[name](value, one) for one in listed)


_SIGNS: Final = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}


def _is_numeric(value: Json, wanted: Json) -> bool:
    pairs = zip(wanted[::2], wanted[1::2], strict=True)
    return _is_number(value) and all(_SIGNS[sign](value, bound) for sign, bound in pairs)


def _is_in_network(value: Json, wanted: Json) -> bool:
    try:
        return ip_address(value) in ip_network(wanted, strict=False)
    except ValueError:
        return False


def _is_like(value: str, wanted: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), value, re.DOTALL) is not None


_TESTS: Final[dict[str, Callable[[Json, Json], bool]]] = {
    "anything-but": _is_anything_but,
    "cidr": _is_in_network,
    "equals-ignore-case": _text(lambda value, wanted: value.lower() == wanted.lower()),
    "numeric": _is_numeric,
    "prefix": _text(str.startswith),
    "suffix": _text(str.endswith),
    "wildcard": _text(_is_like),
}


# CloudTrail.


def _tell_of_keys() -> None:
    """Put what CloudTrail tells of the calls that take a key away."""
    handler: Module = import_module("moto.kms.responses").KmsResponse
    for name, method in (
        ("DisableKey", "disable_key"),
        ("ScheduleKeyDeletion", "schedule_key_deletion"),
    ):
        setattr(handler, method, _with_trail(name, getattr(handler, method)))


def _with_trail(event_name: str, call: Callable[[Json], Json]) -> Callable[[Json], Json]:
    def called(self: Json) -> Json:
        answer = call(self)
        account, region = self.current_account, self.region
        key_id = self._get_param("KeyId")
        key = self.kms_backend.keys[self.kms_backend.any_id_to_key_id(key_id)]
        parameters = {"keyId": key_id}
        if days := self._get_param("PendingWindowInDays"):
            parameters["pendingWindowInDays"] = days
        detail = {
            "eventVersion": "1.11",
            "userIdentity": _identity(self),
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "kms.amazonaws.com",
            "eventName": event_name,
            "awsRegion": region,
            "requestParameters": parameters,
            "readOnly": False,
            "resources": [{"accountId": account, "type": "AWS::KMS::Key", "ARN": key.arn}],
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": account,
        }
        put(account, region, "aws.kms", "AWS API Call via CloudTrail", detail)
        return answer

    return called


def _identity(request: Json) -> Json:
    account, partition = request.current_account, request.partition
    sessions = import_module("moto.sts.models").sts_backends[account][partition]
    session = sessions.get_assumed_role_from_access_key(request.access_key)
    if session is not None:
        return {"type": "AssumedRole", "arn": session.arn, "accountId": account}
    user = f"arn:{partition}:iam::{account}:user/sandbox"
    return {"type": "IAMUser", "arn": user, "accountId": account}
