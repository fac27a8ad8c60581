"""What a resource type of the stand-in declares, and what follows from it for all types alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from sandbox.machine.aws_api import Aws, Client
from sandbox.providers.aws import models
from sandbox.providers.protocol import UNKNOWN, Asset, Diff, Failure, Properties, Value

Shape: TypeAlias = Mapping[str, "Input"]


def shape(*names: str, **nested: Shape | Input) -> Shape:
    """Declare the properties of an object, or of each object in a list."""
    below = {
        key: one if isinstance(one, Input) else Input(shape=one) for key, one in nested.items()
    }
    return dict.fromkeys(names, UPDATES) | below


@dataclass(frozen=True, kw_only=True)
class Input:
    """A property that a program may set, or one below it."""

    replaces: bool = False
    """A change makes a new resource; below another property, what is taken away is no change."""
    default: Value = None
    """What AWS takes when it is not given."""
    computed: bool = False
    """AWS chooses when it is not given, and what it chose is no change."""
    json: bool = False
    """A document in JSON, whose form does not matter; nor does the order in lists, unless ordered
    says so: policies have sets."""
    ordered: bool = False
    """A list in which the order counts."""
    meaning: Callable[[str], str] | None = None
    """What of a text counts."""
    local: bool = False
    """AWS never reports it: only the program knows."""
    required: bool = False
    allowed: tuple[Value, ...] = ()
    """The only values, where AWS's models name none, or more than the sandbox knows."""
    shape: Shape | None = None
    """The properties below it; without one nothing below it is checked."""
    adds: Shape | None = None
    """What AWS adds below it once the resource exists."""


UPDATES = Input()
REPLACES = Input(replaces=True)
REQUIRED = Input(required=True)
KEY = Input(required=True, replaces=True)
"""Required, and part of what the resource is."""
CHOSEN = Input(computed=True)
LOCAL = Input(local=True)
OFF = Input(default=False)
ON = Input(default=True)


@dataclass(frozen=True)
class AutoName:
    """The property that gets a name made of the logical one when the program gives none."""

    property: str = "name"
    longest: int | None = None
    """How long it may be, where AWS's models do not say so."""
    plain: bool = False
    """It is the logical name itself, and two resources may well have it."""
    prefix: str = ""
    lower: bool = False
    by_prefix: str | None = None
    """The property that gives the beginning of the name instead."""

    def make(self, logical_name: str, seed: bytes) -> str:
        """Return the logical name with seven hexadecimal digits, as Pulumi's bridge does."""
        if self.plain:
            return logical_name
        name = logical_name.lower() if self.lower else logical_name
        return f"{self.prefix}{name}-{hashlib.sha256(seed).hexdigest()[:7]}"


class ResourceType:
    """One of Pulumi's aws resource types, as calls of the AWS API.

    A read tells the whole state, inputs included: create and update leave it to the read.
    """

    pulumi_type: ClassVar[str]
    inputs: ClassVar[Mapping[str, Input]]
    outputs: ClassVar[tuple[str, ...]] = ()
    auto_name: ClassVar[AutoName | None] = None
    delete_before_replace: ClassVar[bool] = False
    service: ClassVar[str]
    api_inputs: ClassVar[tuple[str, ...]] = ()
    """The operations of which the properties are inputs, or places in such inputs, as
    `models.find` wants them: the first that has the property's name counts."""
    members: ClassVar[Mapping[str, str | None]] = {}
    """What the API names otherwise than Pulumi, and None for what is no single member of it."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws

    @property
    def api(self) -> Client:
        return self.aws.client(self.service)

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        """Name what is wrong with the inputs as far as they tell; values may be UNKNOWN."""
        yield from ()

    def imported(self, given: str) -> tuple[str, Properties]:
        """Return the id of what is to be imported, and inputs enough to read it.

        Some ids do not tell where the resource is, and are given otherwise.
        """
        return given, {}

    def create(self, inputs: Properties) -> str:
        """Make the resource and return its id."""
        raise NotImplementedError

    def finish(self, resource_id: str, inputs: Properties) -> None:
        """Do what takes further calls once the resource exists."""

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        """Return all properties that AWS reports, or None when the resource is gone."""
        raise NotImplementedError

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        """Change what differs."""
        raise NotImplementedError

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        """Remove the resource."""
        raise NotImplementedError

    def volatile(self, old: Properties, new: Properties) -> tuple[str, ...]:
        """Name the outputs that this update changes."""
        return ()

    # What follows from the declarations.

    @classmethod
    def tagged(cls) -> bool:
        return "tags" in cls.inputs

    @classmethod
    def member(cls, key: str) -> models.Shape | None:
        """Return the API's model of a property, or None if there is no single one."""
        name = cls.members.get(key, key)
        if name is None or (cls.auto_name and key == cls.auto_name.by_prefix):
            return None
        found = models.find(cls.service, cls.api_inputs, name)
        if found is None:
            raise LookupError(f"{cls.pulumi_type}: {', '.join(cls.api_inputs)} lack {name}")
        return found

    def check(
        self, name: str, old: Properties, given: Properties, seed: bytes, default_tags: Value
    ) -> tuple[Properties, list[Failure]]:
        """Fill in the name and all tags, and name every mistake."""
        inputs = {key: _without_nulls(item) for key, item in given.items() if item is not None}
        defaults = self._fill_in_name(name, old, inputs, seed)
        tags = inputs.get("tags", {})
        if UNKNOWN in (tags, default_tags):
            inputs |= {"tagsAll": UNKNOWN} if self.tagged() else {}
        elif self.tagged() and (tags or default_tags):
            inputs["tagsAll"] = {**default_tags, **tags}
        if defaults:
            inputs["__defaults"] = defaults
        failures = list(self._declared(inputs))
        if not failures:
            failures = list(self.validate(inputs))
        return inputs, failures

    def _fill_in_name(
        self, name: str, old: Properties, inputs: Properties, seed: bytes
    ) -> list[str]:
        auto = self.auto_name
        if auto is None or auto.property in inputs:
            return []
        before, prefix = (one.get(auto.by_prefix or "") for one in (old, inputs))
        if auto.property in old.get("__defaults", []) and prefix == before:
            inputs[auto.property] = old[auto.property]
        elif prefix is not None:
            inputs[auto.property] = f"{prefix}{hashlib.sha256(seed).hexdigest()[:26]}"
        else:
            inputs[auto.property] = auto.make(name, seed)
        return [auto.property]

    def _declared(self, inputs: Properties) -> Iterator[Failure]:
        for key in inputs:
            if key not in self.inputs and key not in _OWN:
                yield Failure(key, f"{self.pulumi_type} has no property {key} in the sandbox")
        for key, declared in self.inputs.items():
            if declared.required and key not in inputs:
                yield Failure(key, f"{self.pulumi_type} needs the property {key}")
            value = inputs.get("tagsAll" if key == "tags" else key, UNKNOWN)
            if declared.shape is not None:
                for path in _strangers(value, declared.shape, key):
                    yield Failure(path, f"{self.pulumi_type} has no property {path} in the sandbox")
            if declared.allowed and value is not UNKNOWN and value not in declared.allowed:
                choices = ", ".join(map(str, declared.allowed))
                yield Failure(key, f"expected {key} to be one of [{choices}], got {value}")
            elif value is not UNKNOWN and (member := self.member(key)):
                yield from models.failures(value, member, key)
            if declared.json and value is not UNKNOWN:
                try:
                    json.loads(value)
                except ValueError:
                    yield Failure(key, f'"{key}" contains an invalid JSON: {str(value)[:60]}')
        auto = self.auto_name
        if auto and auto.longest and isinstance(inputs.get(auto.property), str):
            length = len(inputs[auto.property])
            if length > auto.longest:
                rule = f"to have at most {auto.longest} characters, it has {length}"
                yield Failure(auto.property, f"expected {auto.property} {rule}")

    def diff(self, old: Properties, state: Properties, new: Properties) -> Diff:
        """Compare inputs; what a read found is in the old ones."""
        changes = {}
        for key in sorted((old.keys() | new.keys()) - {"__defaults"}):
            declared = self.inputs.get(key, UPDATES)
            if key not in new and declared.computed:
                continue
            before = old.get(key, state.get(key) if declared.computed else declared.default)
            after = new.get(key, declared.default)
            meant, wanted = (completed(one, state.get(key), declared) for one in (before, after))
            if not same(meant, wanted, declared):
                changes[key] = "add" if before is None else "delete" if after is None else "update"
        before, after = self.meant(old, state), self.meant(new, state)
        replaces = frozenset(key for key in changes if self._replaces(key, before, after))
        return Diff(changes, replaces, bool(replaces) and self._deletes_first(new))

    def meant(self, inputs: Properties, state: Properties) -> Properties:
        """Add to inputs what AWS has chosen where they say nothing."""
        chosen = {key: state[key] for key in state if self._is_computed(key)}
        return {
            key: completed(value, state.get(key), self.inputs.get(key, UPDATES))
            for key, value in (chosen | inputs).items()
        }

    def _replaces(self, key: str, old: Properties, new: Properties) -> bool:
        """Tell whether a change of the property needs a new resource."""
        declared = self.inputs.get(key, UPDATES)
        if declared.replaces or declared.shape is None or not isinstance(new.get(key), Mapping):
            return declared.replaces
        before, after = old.get(key), new[key]
        if not isinstance(before, Mapping):
            before = {}
        return any(
            one.replaces and not same(before.get(name), after.get(name), one)
            for name, one in declared.shape.items()
        )

    def _deletes_first(self, new: Properties) -> bool:
        """Tell whether the old one goes first: by declaration, or if the program named the new."""
        auto = self.auto_name
        named = auto and not auto.plain and auto.property not in new.get("__defaults", [])
        return self.delete_before_replace or bool(named)

    def preview_create(self, inputs: Properties) -> Properties:
        """Return the state as far as it is known before the resource exists."""
        unknown = [*self.outputs, *(key for key, one in self.inputs.items() if one.computed)]
        given = {
            key: _with_unknown(value, self.inputs.get(key, UPDATES).adds or {})
            for key, value in _visible(inputs).items()
        }
        return dict.fromkeys(unknown, UNKNOWN) | given

    def preview_update(self, old: Properties, state: Properties, new: Properties) -> Properties:
        """Return the state after an update, in which ids stay what they are."""
        dropped = [key for key in old if key not in new and not self._is_computed(key)]
        kept = {key: value for key, value in state.items() if key not in dropped}
        changed = {
            key: _merged(value, state.get(key), self.inputs.get(key, UPDATES))
            for key, value in _visible(new).items()
        }
        return kept | dict.fromkeys(self.volatile(old, new), UNKNOWN) | changed

    def _is_computed(self, key: str) -> bool:
        return key in self.inputs and self.inputs[key].computed

    def state(self, found: Properties, inputs: Properties) -> Properties:
        """Return the state that the engine keeps: what AWS reports, in the program's form."""
        state = {key: value for key, value in found.items() if value is not None}
        for key, declared in self.inputs.items():
            if key not in inputs:
                continue
            if declared.local or (key in found and covers(inputs[key], found[key], declared)):
                state[key] = _merged(inputs[key], found.get(key), declared)
        if self.service not in {"budgets", "iam"}:  # which are the same in all regions
            state["region"] = self.aws.region
        return state

    def inputs_from(
        self, found: Properties, inputs: Properties, default_tags: Properties
    ) -> Properties:
        """Return the inputs that would produce what a read found."""
        result = {key: inputs[key] for key in ("__defaults",) if key in inputs}
        for key, declared in self.inputs.items():
            if key == "tags":
                continue
            if declared.local or key not in found:
                if declared.local and key in inputs:
                    result[key] = inputs[key]
                continue
            live = found[key]
            if key in inputs:
                if covers(inputs[key], live, declared):
                    result[key] = inputs[key]
                elif live is not None:
                    result[key] = live
            elif not declared.computed and not _is_default(live, declared):
                result[key] = live
        if self.tagged():
            live_tags = found.get("tagsAll", {})
            own = inputs.get("tags", {})
            tags = {k: v for k, v in live_tags.items() if k in own or default_tags.get(k) != v}
            if tags or "tags" in inputs:
                result["tags"] = tags
            if live_tags:
                result["tagsAll"] = live_tags
        return result


def _strangers(value: Value, known: Shape, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _strangers(item, known, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in known:
                yield f"{path}.{key}"
            elif (below := known[key].shape) is not None:
                yield from _strangers(item, below, f"{path}.{key}")


_OWN = frozenset({"tagsAll", "__defaults"})


def _visible(inputs: Properties) -> Properties:
    return {key: value for key, value in inputs.items() if key != "__defaults"}


def _with_unknown(value: Value, added: Shape) -> Value:
    if not isinstance(value, dict):
        return value
    unknown = {key: UNKNOWN for key, one in added.items() if one.shape is None}
    given = {
        key: _with_unknown(item, added.get(key, UPDATES).shape or {}) for key, item in value.items()
    }
    return unknown | given


def _is_default(live: Value, declared: Input) -> bool:
    return live is None or live == declared.default or (not live and declared.default is None)


def completed(value: Value, recorded: Value, declared: Input) -> Value:
    """Add below a value what AWS takes, or has chosen, where it says nothing."""
    if declared.shape is None:
        return value
    if declared.ordered and isinstance(value, list):
        items = recorded if isinstance(recorded, list) else []
        one = Input(shape=declared.shape)
        known = [*items, *([None] * len(value))]
        return [completed(item, known[index], one) for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    before = recorded if isinstance(recorded, Mapping) else {}
    filled = {
        key: completed(value[key], before.get(key), one)
        if value.get(key) is not None
        else (before.get(key) if one.computed else one.default)
        for key, one in declared.shape.items()
    }
    return {**value, **{key: item for key, item in filled.items() if item is not None}}


def same(before: Value, after: Value, declared: Input) -> bool:
    """Tell whether two inputs mean the same."""
    if before is UNKNOWN or after is UNKNOWN:
        return False
    return bool(normal(before, declared) == normal(after, declared))


def covers(wanted: Value, live: Value, declared: Input) -> bool:
    """Tell whether AWS has what is wanted; what it adds of its own accord is no difference."""
    if declared.json or declared.meaning:
        return same(wanted, live, declared)
    whole = completed(wanted, live, declared)
    if declared.ordered and isinstance(whole, list) and isinstance(live, list):
        pairs = zip(whole, live, strict=False)
        return len(whole) == len(live) and all(_covers(*pair) for pair in pairs)
    return _covers(whole, live)


def _covers(wanted: Value, live: Value) -> bool:
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return not any(wanted.values()) and live is None
        return all(_covers(value, live.get(key)) for key, value in wanted.items())
    if _is_list(wanted):
        if not _is_list(live):
            return not wanted and live is None
        rest = list(live)
        for item in wanted:
            matching = next((one for one in rest if _covers(item, one)), None)
            if matching is None:
                return False
            rest.remove(matching)
        return not rest
    absent: bool = live is None and wanted in {False, ""}
    return absent or bool(wanted == live)


def _is_list(value: Value) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _merged(wanted: Value, live: Value, declared: Input) -> Value:
    """Return what is wanted plus what AWS chose and added below it."""
    whole = completed(wanted, live, declared)
    return _with_added(whole, live, declared.adds or {})


def _with_added(whole: Value, live: Value, added: Shape) -> Value:
    if not isinstance(whole, Mapping) or not isinstance(live, Mapping):
        return whole
    outputs = {key: live[key] for key in added.keys() & live.keys() if live[key] is not None}
    nested = {
        key: _with_added(value, live.get(key), added[key].shape or {}) if key in added else value
        for key, value in whole.items()
    }
    return outputs | nested


def normal(value: Value, declared: Input) -> Value:
    """Return a form in which order and spelling do not matter."""
    if declared.json and isinstance(value, str):
        document = json.loads(value) if value else {}
        return document if declared.ordered else canonical_policy(document)
    if declared.meaning and isinstance(value, str):
        return declared.meaning(value)
    if declared.ordered and isinstance(value, list):
        return [_normal(item) for item in value]
    return _normal(value)


def _without_nulls(value: Value) -> Value:
    """Copy a value, leaving out what is not set."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _normal(value: Value) -> Value:
    if isinstance(value, Mapping):
        # In the order of their names: two messages may tell the same properties in two orders.
        return {key: _normal(item) for key, item in sorted(value.items()) if item is not None}
    if _is_list(value):
        return sorted((_normal(item) for item in value), key=repr)
    # Where a file lies is no difference, and the engine tells it in several ways.
    return (value.hash or value) if isinstance(value, Asset) else value


def canonical_policy(document: Value) -> Value:
    """Return a JSON document in which a list of one is its item, as in IAM policies."""
    if isinstance(document, Mapping):
        return {key: canonical_policy(value) for key, value in sorted(document.items())}
    if isinstance(document, list):
        items = sorted((canonical_policy(item) for item in document), key=repr)
        return items[0] if len(items) == 1 else items
    return document
