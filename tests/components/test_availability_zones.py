"""The zones of a stack."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components.availability_zones import availability_zones
from tests.components.conftest import Engine

LETTERS = "abcd"


@pytest.mark.parametrize(
    ("count", "live", "expected"),
    [
        (2, {}, "ab"),
        (2, {0: "c", 1: "a"}, "ca"),
        (3, {0: "c", 1: "a"}, "cab"),
        (4, {0: "a", 1: "b", 2: "e"}, "abec"),  # e is closed by now
        (3, {2: "a"}, "bca"),
    ],
)
def test_live_zones_stay_at_their_places(
    engine: Engine, count: int, live: dict[int, str], expected: str
) -> None:
    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        return {"names": [f"us-west-2{letter}" for letter in LETTERS], "id": "us-west-2"}

    engine.answers["aws:index/getAvailabilityZones:getAvailabilityZones"] = answer
    found: list[tuple[str, ...]] = []

    def program() -> None:
        zones = {place: f"us-west-2{letter}" for place, letter in live.items()}
        found.append(availability_zones(count, zones, aws.Provider("aws", region="us-west-2")))

    pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
    assert found == [tuple(f"us-west-2{letter}" for letter in expected)]
