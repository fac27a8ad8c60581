"""What a preview is going to make, as `pulumi preview --json` tells it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_PROVIDER: Final = "pulumi:providers:aws"
_MAKING: Final = ("create", "create-replacement", "replace")


@dataclass(frozen=True)
class Planned:
    """A resource that an `up` would make."""

    urn: str
    type: str
    inputs: dict[str, Json]
    """Those that are known before the `up`."""
    named_by_pulumi: bool
    """Its name ends at random, so that nothing has it already."""
    depends: dict[str, list[str]]
    """From an input to the URNs that it comes from."""


class Plan:
    """What an `up` would make, beside what there is."""

    def __init__(self, preview: Json, state: Json) -> None:
        self.standing: list[Planned] = [
            _planned(one) for one in state["deployment"].get("resources") or []
        ]
        steps = [step.get("newState") or {} for step in preview["steps"]]
        # A preview may leave out what stays as it is.
        providers = [one["inputs"] for one in steps if one.get("type") == _PROVIDER]
        providers += [one.inputs for one in self.standing if one.type == _PROVIDER]
        provider: dict[str, Json] = next(iter(providers), {})
        self.region: str | None = provider.get("region")
        self.accounts: tuple[str, ...] = tuple(json.loads(provider.get("allowedAccountIds", "[]")))
        """The accounts that the provider allows; none: any."""
        self.resources: list[Planned] = [
            _planned(step["newState"]) for step in preview["steps"] if step["op"] in _MAKING
        ]

    def of(self, kind: str) -> list[Planned]:
        """Return what there will be of a type, such as `aws:ec2/vpc:Vpc`."""
        return [one for one in self.resources if one.type == kind]

    def any_of(self, kind: str) -> list[Planned]:
        """Return what there is or will be of a type, what will be first."""
        return [one for one in (*self.resources, *self.standing) if one.type == kind]

    def counts(self) -> Counter[str]:
        """Return how many of each type in AWS there will be."""
        return Counter(one.type for one in self.resources if one.type.startswith("aws:"))

    def from_(self, one: Planned, key: str) -> Iterator[Planned]:
        """Yield what an input comes from."""
        sources = one.depends.get(key) or []
        known = (*self.resources, *self.standing)
        return (other for other in known if other.urn in sources)


def _planned(state: Json) -> Planned:
    inputs = state.get("inputs", {})
    return Planned(
        state["urn"],
        state["type"],
        {key: value for key, value in _known(inputs).items() if not key.startswith("__")},
        bool(inputs.get("__defaults")),
        state.get("propertyDependencies", {}),
    )


def _known(value: Json) -> Json:
    """Leave out what is unknown before the `up`, however deep."""
    if isinstance(value, dict):
        return {key: _known(one) for key, one in value.items() if one != _UNKNOWN}
    if isinstance(value, list):
        return [_known(one) for one in value if one != _UNKNOWN]
    return value
