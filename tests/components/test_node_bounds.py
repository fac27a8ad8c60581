"""What NodeBounds does to a node group, on an emulated EKS."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError
from pulumi.dynamic.dynamic import serialize_provider

from components import node_bounds
from components.node_bounds import NodeBoundsProvider

REGION: Final = "us-west-2"
ACCOUNT: Final = "123456789012"
PROPS: Final = {
    "cluster_name": "platform",
    "node_group_name": "nodes-1a2b3c4",
    "min_size": 3,
    "max_size": 9,
    "region": REGION,
    "account_id": ACCOUNT,
}


class ResourceInUseError(Exception):
    """EKS's ResourceInUseException."""


class NotFoundError(Exception):
    """EKS's ResourceNotFoundException."""


@dataclass
class Eks:
    """EKS, as far as a node group's numbers go: moto changes none."""

    scaling: dict[str, int] | None
    busy: int = 0
    """How many times it refuses to begin an update, since another one has not ended."""
    statuses: list[str] = field(default_factory=lambda: ["Successful"])
    told: list[dict[str, int]] = field(default_factory=list)

    class exceptions:  # noqa: N801 (boto3's name for it)
        ResourceInUseException = ResourceInUseError
        ResourceNotFoundException = NotFoundError

    def describe_nodegroup(self, **which: str) -> dict[str, Any]:
        assert which == {"clusterName": "platform", "nodegroupName": "nodes-1a2b3c4"}
        if self.scaling is None:
            raise NotFoundError
        return {"nodegroup": {"scalingConfig": dict(self.scaling)}}

    def update_nodegroup_config(self, **told: Any) -> dict[str, Any]:  # noqa: ANN401
        if self.busy:
            self.busy -= 1
            raise ResourceInUseError("Nodegroup cannot be updated as it is not in Active State")
        assert self.scaling is not None
        self.told.append(told["scalingConfig"])
        self.scaling |= told["scalingConfig"]
        return {"update": {"id": "u-1", "status": "InProgress"}}

    def describe_update(self, **which: str) -> dict[str, Any]:
        assert which == {
            "name": "platform",
            "nodegroupName": "nodes-1a2b3c4",
            "updateId": "u-1",
        }
        status = self.statuses.pop(0)
        errors = [{"errorMessage": "no capacity"}] if status == "Failed" else []
        return {"update": {"id": "u-1", "status": status, "errors": errors}}


@pytest.fixture
def eks(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Eks:
    """A group of eight nodes, and STS as in a deployment: through the environment."""
    eks = Eks({"minSize": 3, "desiredSize": 8, "maxSize": 9})
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(node_bounds, "POLL_SECONDS", 0)
    client = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda name, **of: eks if name == "eks" else client(name, **of)
    )
    return eks


def update(**changed: int) -> None:
    NodeBoundsProvider().update("platform:nodes-1a2b3c4", PROPS, {**PROPS, **changed})


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (3, 12, {"minSize": 3, "maxSize": 12}),
        (8, 8, {"minSize": 8, "maxSize": 8}),
        (10, 12, {"minSize": 10, "maxSize": 12, "desiredSize": 10}),
        (3, 6, {"minSize": 3, "maxSize": 6, "desiredSize": 6}),
    ],
)
def test_the_size_is_told_only_if_it_lies_outside(
    eks: Eks, low: int, high: int, told: dict[str, int]
) -> None:
    update(min_size=low, max_size=high)

    assert eks.told == [told]


def test_a_group_that_has_the_bounds_is_left_alone(eks: Eks) -> None:
    NodeBoundsProvider().create(PROPS)

    assert eks.told == []


def test_a_group_made_with_other_bounds_gets_the_right_ones(eks: Eks) -> None:
    eks.scaling = {"minSize": 3, "desiredSize": 3, "maxSize": 9}
    made = NodeBoundsProvider().create({**PROPS, "min_size": 5, "max_size": 12})

    assert eks.scaling == {"minSize": 5, "desiredSize": 5, "maxSize": 12}
    assert made.id == "platform:nodes-1a2b3c4"


def test_nodes_that_come_or_go_are_told(eks: Eks, capsys: pytest.CaptureFixture[str]) -> None:
    update(max_size=6)

    assert "nodes-1a2b3c4 of cluster platform goes from 8 to 6 nodes" in capsys.readouterr().out


def test_it_waits_for_another_change_and_looks_at_the_size_again(
    eks: Eks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    eks.busy = 3

    def nap(_: float) -> None:
        assert eks.scaling is not None
        eks.scaling["desiredSize"] = 5  # the autoscaler does not wait

    monkeypatch.setattr(time, "sleep", nap)
    update(min_size=4, max_size=6)

    assert eks.told == [{"minSize": 4, "maxSize": 6}]
    assert capsys.readouterr().out.count("to finish another change") == 1


def test_it_waits_for_the_end_of_its_own_change(eks: Eks) -> None:
    eks.statuses = ["InProgress", "InProgress", "Successful"]
    update(max_size=12)

    assert eks.statuses == []


def test_a_change_that_fails_says_why(eks: Eks) -> None:
    eks.statuses = ["InProgress", "Failed"]

    with pytest.raises(RuntimeError, match=r"nodes-1a2b3c4.* u-1 is Failed \(no capacity\)"):
        update(max_size=12)


@pytest.mark.parametrize(("busy", "statuses"), [(9, ["Successful"]), (0, ["InProgress"] * 9)])
def test_it_does_not_wait_for_ever(
    eks: Eks, monkeypatch: pytest.MonkeyPatch, busy: int, statuses: list[str]
) -> None:
    monkeypatch.setattr(node_bounds, "TIMEOUT_SECONDS", -1)
    eks.busy, eks.statuses = busy, statuses

    with pytest.raises(TimeoutError, match="node group nodes-1a2b3c4 of cluster platform"):
        update(max_size=12)


def test_what_eks_refuses_otherwise_is_told_at_once(
    eks: Eks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateNodegroupConfig")

    monkeypatch.setattr(eks, "update_nodegroup_config", refuse)

    with pytest.raises(ClientError, match="AccessDenied"):
        update(max_size=12)


def test_credentials_of_another_account_change_and_see_nothing(eks: Eks) -> None:
    other = {**PROPS, "account_id": "999999999999", "max_size": 12}
    match = rf"of account {ACCOUNT}, and node group nodes-1a2b3c4 .* account 999999999999: use"

    with pytest.raises(PermissionError, match=match):
        NodeBoundsProvider().update("", other, other)
    with pytest.raises(PermissionError, match=match):
        NodeBoundsProvider().read("", other)
    assert eks.told == []


def test_a_refresh_sees_bounds_that_were_moved_by_hand(eks: Eks) -> None:
    assert eks.scaling is not None
    eks.scaling |= {"minSize": 1, "maxSize": 20}
    provider = NodeBoundsProvider()

    found = provider.read("platform:nodes-1a2b3c4", PROPS)

    live = {**PROPS, "min_size": 1, "max_size": 20}
    assert (found.id, found.outs, found.inputs) == ("platform:nodes-1a2b3c4", live, live)
    assert found.outs is not None
    assert provider.diff("", found.outs, PROPS).changes


def test_a_refresh_does_not_look_at_the_size(eks: Eks) -> None:
    provider = NodeBoundsProvider()

    found = provider.read("", PROPS)

    assert found.outs is not None
    assert not provider.diff("", found.outs, PROPS).changes


def test_bounds_go_with_their_group(eks: Eks) -> None:
    eks.scaling = None

    assert NodeBoundsProvider().read("platform:nodes-1a2b3c4", PROPS).id == ""


def test_nothing_changes_when_it_goes(eks: Eks) -> None:
    NodeBoundsProvider().delete("platform:nodes-1a2b3c4", PROPS)

    assert eks.told == []


def test_other_bounds_are_an_update_and_another_group_is_another_resource() -> None:
    provider = NodeBoundsProvider()

    assert not provider.diff("", PROPS, {**PROPS, "__provider": "other"}).changes
    moved = provider.diff("", PROPS, {**PROPS, "min_size": 4, "max_size": 12})
    assert (moved.changes, moved.replaces) == (True, [])
    other = provider.diff("", PROPS, {**PROPS, "node_group_name": "nodes-5d6e7f8"})
    assert (other.changes, other.replaces) == (True, ["node_group_name"])


def test_the_state_names_the_class_and_holds_no_code() -> None:
    pickled = base64.b64decode(serialize_provider(NodeBoundsProvider()))

    assert b"components.node_bounds" in pickled
    assert b"update_nodegroup_config" not in pickled
    assert len(pickled) < 120
