"""Whether a pod fits on a node, as far as the scheduler's filters look at the two alone."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from kubernetes.utils.quantity import parse_quantity

Json: TypeAlias = Any
Amounts: TypeAlias = Counter[str]
"""By resource, of which pods are one."""

STARTING: Final = frozenset(
    {
        "node.cloudprovider.kubernetes.io/uninitialized",
        "node.kubernetes.io/network-unavailable",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }
)
"""Taints that a node loses as it comes up."""


@dataclass
class Place:
    """A node that is there or could be, and what is left of it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    """Key, value and effect."""
    free: Amounts

    def take(self, pod: Json) -> None:
        """Let a pod have its part."""
        self.free.subtract(asked(pod))

    def copy(self) -> Place:
        """Return another one like this."""
        return Place(self.name, self.labels, self.taints, self.free.copy())


@dataclass(frozen=True)
class Demand:
    """A pod that waits, and where its volumes let it run."""

    pod: Json
    volumes: tuple[Json, ...] = ()
    """Node selectors, of the API, each of which must hold."""


def amounts(quantities: Mapping[str, str] | None) -> Amounts:
    """Read quantities."""
    found: Json = {name: parse_quantity(value) for name, value in (quantities or {}).items()}
    return Counter(found)


def asked(pod: Json) -> Amounts:
    """Return what a pod asks for: its containers together, or more while it starts."""
    running: Amounts = Counter()
    most: Amounts = Counter()
    for one in pod.spec.init_containers or ():
        wanted = amounts(one.resources and one.resources.requests)
        if one.restart_policy == "Always":  # a sidecar
            running += wanted
            most |= running
        else:
            most |= running + wanted
    for one in pod.spec.containers:
        running += amounts(one.resources and one.resources.requests)
    total = (running | most) + amounts(pod.spec.overhead)
    total["pods"] += 1
    return total


def why_not(demand: Demand, place: Place) -> str:
    """Tell why a pod does not fit, in the scheduler's words; nothing if it does."""
    spec = demand.pod.spec
    if any(not _tolerated(taint, spec.tolerations or ()) for taint in place.taints):
        return "node(s) had untolerated taint(s)"
    selector = spec.node_selector or {}
    affinity = spec.affinity and spec.affinity.node_affinity
    required = affinity and affinity.required_during_scheduling_ignored_during_execution
    if not selector.items() <= place.labels.items() or (required and not _selects(required, place)):
        return "node(s) didn't match Pod's node affinity/selector"
    if not all(_selects(volume, place) for volume in demand.volumes):
        return "node(s) had volume node affinity conflict"
    for name, amount in asked(demand.pod).items():
        if amount > place.free[name]:
            return f"Insufficient {name}" if name != "pods" else "Too many pods"
    return ""


def not_judged(pod: Json) -> str:
    """Tell what a pod demands that cannot be seen from one node alone."""
    spec = pod.spec
    affinity = spec.affinity
    for kind in ("pod_affinity", "pod_anti_affinity"):
        one = affinity and getattr(affinity, kind)
        if one and one.required_during_scheduling_ignored_during_execution:
            return kind.replace("_", " ")
    if any(
        one.when_unsatisfiable == "DoNotSchedule" for one in spec.topology_spread_constraints or ()
    ):
        return "topology spread constraints"
    return "resource claims" if spec.resource_claims else ""


def _tolerated(taint: tuple[str, str, str], tolerations: Iterable[Json]) -> bool:
    key, value, effect = taint
    return effect == "PreferNoSchedule" or any(
        (not one.key or one.key == key)
        and (not one.effect or one.effect == effect)
        and (one.operator == "Exists" or (one.value or "") == value)
        for one in tolerations
    )


def _selects(selector: Json, place: Place) -> bool:
    return any(
        all(_matches(one, place.labels) for one in term.match_expressions or ())
        and all(_matches(one, {"metadata.name": place.name}) for one in term.match_fields or ())
        and (term.match_expressions or term.match_fields)
        for term in selector.node_selector_terms
    )


_COMPARED: Final[Mapping[str, Callable[[int, int], bool]]] = {"Gt": operator.gt, "Lt": operator.lt}


def _matches(expression: Json, labels: Mapping[str, str]) -> bool:
    found, wanted = labels.get(expression.key), list(expression.values or ())
    match expression.operator:
        case "In":
            return found in wanted
        case "NotIn":
            return found not in wanted
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case compared:
            try:
                return _COMPARED[compared](int(found or ""), int(wanted[0]))
            except ValueError:
                return False


def settle(demands: Iterable[Demand], places: list[Place]) -> list[Demand]:
    """Let pods have places, the first that each fits on, and return those that fit on none."""
    left = []
    for one in demands:
        place = next((place for place in places if not why_not(one, place)), None)
        if place is None:
            left.append(one)
        else:
            place.take(one.pod)
    return left


def pack(demands: Iterable[Demand], template: Place, most: int) -> tuple[list[Place], list[Demand]]:
    """Return as many new places like the template as pods need, and the pods that they help."""
    made: list[Place] = []
    helped = []
    for one in demands:
        place = next((place for place in made if not why_not(one, place)), None)
        if place is None and len(made) < most and not why_not(one, template):
            place = template.copy()
            made.append(place)
        if place is not None:
            place.take(one.pod)
            helped.append(one)
    return made, helped


def waste(made: list[Place], template: Place) -> Decimal:
    """Return which part of CPUs and memory of new places nobody asks for."""
    return sum(
        (
            sum((Decimal(place.free[name]) for place in made), Decimal(0))
            / (Decimal(template.free[name]) * len(made))
            for name in ("cpu", "memory")
        ),
        Decimal(0),
    )
