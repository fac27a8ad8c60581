"""What a rule is, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Props: TypeAlias = Mapping[str, Any]
"""Properties by name. Whoever reads one that a preview does not know yet ends the rule there."""
Findings: TypeAlias = Iterator[str]
"""What is wrong, each with the value found."""
Gate: TypeAlias = Literal["always", "production"]


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource as its program wants it."""

    type: str
    name: str
    urn: str
    props: Props
    protected: bool = False
    dependencies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """URNs of what each property is made of."""

    def refers_to(self, key: str, other: Resource) -> bool:
        """Tell whether a property names the other resource, also where that has no name yet."""
        if made_of := self.dependencies.get(key):
            return other.urn in made_of
        names = (other.props.get(one) for one in ("id", "arn", "bucket", "name"))
        return any(name is not None and name in listed(self.props.get(key)) for name in names)


class Stack:
    """All resources of a stack."""

    def __init__(self, resources: list[Resource]) -> None:
        self._resources = resources

    def of(self, *types: str) -> list[Resource]:
        """Return the resources of these types."""
        return [one for one in self._resources if one.type in types]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What must hold of each resource of some types."""

    name: str
    types: frozenset[str]
    demand: str
    """What must hold, in a sentence."""
    sources: str
    """Who demands it, by the names of checkov (CKV…), AWS Security Hub (EKS.1, S3.5 …), the CIS
    benchmark for EKS 1.8.0, prowler or an AWS guide."""
    way_out: str
    """What to do about it, after a colon."""
    gate: Gate
    """Where a violation ends a preview; elsewhere it is a warning."""
    check: Callable[[Resource, Stack, Props], Findings]
    """Of a resource in its stack, with the rule's own settings."""
    of_stack: bool
    """Whether it looks at other resources too, so that it can only tell when all are known."""
    settings: Props = field(default_factory=dict)
    """The JSON schema of its own settings."""


RULES: list[Rule] = []


Check: TypeAlias = Callable[[Resource], Findings]
StackCheck: TypeAlias = Callable[[Resource, Stack], Findings]


def rule(
    *types: str, demand: str, sources: str, way_out: str, gate: Gate = "always"
) -> Callable[[Check], Check]:
    """Make a rule of a function that looks at one resource; it is named as the function is."""

    def make(check: Check) -> Check:
        def alone(resource: Resource, _stack: Stack, _settings: Props) -> Findings:
            return check(resource)

        texts = (demand, sources, way_out)
        RULES.append(_rule(check.__name__, types, texts, gate, alone, of_stack=False))
        return check

    return make


def stack_rule(
    *types: str, demand: str, sources: str, way_out: str, gate: Gate = "always"
) -> Callable[[StackCheck], StackCheck]:
    """Make a rule of a function that looks at a resource and at all others."""

    def make(check: StackCheck) -> StackCheck:
        def among_others(resource: Resource, stack: Stack, _settings: Props) -> Findings:
            return check(resource, stack)

        texts = (demand, sources, way_out)
        RULES.append(_rule(check.__name__, types, texts, gate, among_others, of_stack=True))
        return check

    return make


def _rule(
    name: str,
    types: tuple[str, ...],
    texts: tuple[str, str, str],
    gate: Gate,
    check: Callable[[Resource, Stack, Props], Findings],
    *,
    of_stack: bool,
) -> Rule:
    demand, sources, way_out = texts
    return Rule(
        name=name.replace("_", "-"),
        types=frozenset(types),
        gate=gate,
        check=check,
        of_stack=of_stack,
        demand=demand,
        sources=sources,
        way_out=way_out,
    )


def truth(value: object) -> bool:
    """Tell whether a switch is on; some are strings."""
    return value is True or value == "true"


def listed(value: Any) -> list[Any]:  # noqa: ANN401
    """Return a list of what may be one or many, or nothing."""
    if value is None:
        return []
    if isinstance(value, str | Mapping | bool):
        return [value]
    return list(value)
