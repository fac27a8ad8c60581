"""How many nodes a group may have, without a word on how many it has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
from pulumi import Input, ResourceOptions, dynamic

from components.credentials import BOUNDED, require_account

if TYPE_CHECKING:
    from mypy_boto3_eks import EKSClient
    from mypy_boto3_eks.type_defs import NodegroupScalingConfigTypeDef

TIMEOUT_SECONDS = 3600
"""Another change, such as an update of all nodes, keeps a group from this one until it is done."""
POLL_SECONDS = 2

_BOUNDS = ("min_size", "max_size")
_PROPS = ("cluster_name", "node_group_name", "region", "account_id", *_BOUNDS)


class NodeBoundsProvider(dynamic.ResourceProvider):
    """Moves a node group's bounds, and leaves its size to the cluster autoscaler.

    It is pickled into the state as JobRunDrainProvider is, by its name alone.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Give a group that may have been made with other bounds the right ones."""
        set_bounds(props)
        name = f"{props['cluster_name']}:{props['node_group_name']}"
        return dynamic.CreateResult(name, _known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Tell whether there are other bounds, or another group."""
        changed = [key for key, value in _known(_news).items() if _olds.get(key) != value]
        return dynamic.DiffResult(
            changes=bool(changed), replaces=[key for key in changed if key not in _BOUNDS]
        )

    def update(
        self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
    ) -> dynamic.UpdateResult:
        """Move the bounds."""
        set_bounds(_news)
        return dynamic.UpdateResult(_known(_news))

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Tell the bounds that the group has."""
        require_account(props["account_id"], props["region"], _title(props))
        client = boto3.client("eks", region_name=props["region"], config=BOUNDED)
        try:
            live = _scaling(client, props)
        except client.exceptions.ResourceNotFoundException:
            return dynamic.ReadResult("", {})
        found = _known(props) | {"min_size": live["minSize"], "max_size": live["maxSize"]}
        return dynamic.ReadResult(id_, found, found)  # as inputs too: previews compare with them


class NodeBounds(dynamic.Resource):
    """A managed node group that may have so many nodes.

    EKS takes bounds without a size; Pulumi's AWS provider sends the last size that it knows along,
    by which nodes that the autoscaler has added since would go, with the work on them. When this
    itself goes, the group stays as it is.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster_name: Input[str],
        node_group_name: Input[str],
        min_size: int,
        max_size: int,
        region: str,
        account_id: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Input[str] | int] = {
            "cluster_name": cluster_name,
            "node_group_name": node_group_name,
            "min_size": min_size,
            "max_size": max_size,
            "region": region,
            "account_id": account_id,
        }
        super().__init__(NodeBoundsProvider(), name, props, opts)


def set_bounds(props: dict[str, Any]) -> None:
    """Give the group its bounds, and change its size only as far as it lies outside of them."""
    require_account(props["account_id"], props["region"], _title(props))
    client = boto3.client("eks", region_name=props["region"], config=BOUNDED)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    waiting = False
    while True:
        live = _scaling(client, props)
        wanted = _wanted(live, int(props["min_size"]), int(props["max_size"]))
        if not wanted:
            return
        try:
            update = client.update_nodegroup_config(
                clusterName=props["cluster_name"],
                nodegroupName=props["node_group_name"],
                scalingConfig=wanted,
            )["update"]
            break
        except client.exceptions.ResourceInUseException as error:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{_title(props)} did not finish another change within {TIMEOUT_SECONDS} s: "
                    f"{error}; see what holds it (aws eks describe-nodegroup), then run `up` again"
                ) from error
            if not waiting:
                _say(f"waiting for {_title(props)} to finish another change")
            waiting = True
            time.sleep(POLL_SECONDS)
    if "desiredSize" in wanted:
        before, after = live["desiredSize"], wanted["desiredSize"]
        _say(f"{_title(props)} goes from {before} to {after} nodes: {before} is out of bounds")
    _wait(client, props, update["id"])


def _scaling(client: EKSClient, props: dict[str, Any]) -> NodegroupScalingConfigTypeDef:
    group = client.describe_nodegroup(
        clusterName=props["cluster_name"], nodegroupName=props["node_group_name"]
    )["nodegroup"]
    return group["scalingConfig"]


def _wanted(
    live: NodegroupScalingConfigTypeDef, low: int, high: int
) -> NodegroupScalingConfigTypeDef:
    """What to tell EKS; nothing where the group is as it should be."""
    if (live["minSize"], live["maxSize"]) == (low, high):
        return {}
    size = live["desiredSize"]
    allowed = max(low, min(size, high))
    bounds: NodegroupScalingConfigTypeDef = {"minSize": low, "maxSize": high}
    return bounds if allowed == size else {**bounds, "desiredSize": allowed}


def _wait(client: EKSClient, props: dict[str, Any], update_id: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        update = client.describe_update(
            name=props["cluster_name"],
            nodegroupName=props["node_group_name"],
            updateId=update_id,
        )["update"]
        status = update["status"]
        if status == "Successful":
            return
        if status != "InProgress":
            why = "; ".join(one.get("errorMessage", "") for one in update.get("errors", []))
            raise RuntimeError(
                f"EKS did not change the bounds of {_title(props)}, update {update_id} is {status}"
                f"{why and f' ({why})'}: mend the cause, then run `up` again"
            )
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"EKS did not change the bounds of {_title(props)} within {TIMEOUT_SECONDS} s: see "
                f"update {update_id} (aws eks describe-update), then run `up` again"
            )
        time.sleep(POLL_SECONDS)


def _known(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in _PROPS}


def _title(props: dict[str, Any]) -> str:
    return f"node group {props['node_group_name']} of cluster {props['cluster_name']}"


def _say(text: str) -> None:
    print(text, flush=True)  # the engine shows what a provider prints
