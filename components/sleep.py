"""A stack that nobody needs has no nodes, but not before its work has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import boto3
from pulumi import Input, ResourceOptions, dynamic

from components.credentials import BOUNDED, require_account

if TYPE_CHECKING:
    from mypy_boto3_eks.type_defs import NodegroupTypeDef

TIMEOUT_SECONDS = 3600
"""The nodes of a managed group are drained before they go."""
POLL_SECONDS = 2

_PROPS = ("account_id", "region", "cluster_name", "environment_name", "tags")


class AwakeError(Exception):
    """Work that would be lost."""


class SleepProvider(dynamic.ResourceProvider):
    """Takes a cluster's nodes away, and brings none back: NodeBounds does.

    It is pickled into the state as JobRunDrainProvider is, by its name alone.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Look for work, and take the nodes away if there is none."""
        put_to_sleep(props)
        return dynamic.CreateResult(props["cluster_name"], {**_known(props), "nodes": 0})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Tell whether a refresh has found nodes, or whether it is about something else now."""
        changed = _known(_olds) != _known(_news) or _olds.get("nodes") != 0
        return dynamic.DiffResult(changes=changed, replaces=[])

    def update(
        self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
    ) -> dynamic.UpdateResult:
        """Do it again."""
        put_to_sleep(_news)
        return dynamic.UpdateResult({**_known(_news), "nodes": 0})

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Tell how many nodes there are."""
        require_account(props["account_id"], props["region"], _title(props))
        found = sum(group["scalingConfig"]["desiredSize"] for group in _groups(props))
        return dynamic.ReadResult(id_, {**_known(props), "nodes": found})


class Sleep(dynamic.Resource):
    """A cluster without nodes, in which no work was under way when they went."""

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        environment_name: str,
        tags: Mapping[str, str],
        region: str,
        account_id: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Take the tags that tell which groups of nodes are ours."""
        props: dict[str, Input[str] | dict[str, Any]] = {
            "cluster_name": cluster_name,
            "environment_name": environment_name,
            "tags": dict(tags),
            "region": region,
            "account_id": account_id,
        }
        super().__init__(SleepProvider(), name, props, opts)


def put_to_sleep(props: Mapping[str, Any]) -> None:
    """Take all nodes away, or say what work keeps the stack awake."""
    require_account(props["account_id"], props["region"], _title(props))
    if found := [*_job_runs(props), *_dag_runs(props)]:
        lines = "".join(f"\n- {line}" for line in found)
        raise AwakeError(
            "nothing has been put to sleep, since work is under way: let it end, or cancel it, and "
            f"run `up` again:{lines}"
        )
    _say(f"{_title(props)} goes without nodes")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while _take_away(props):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{_title(props)} has nodes after {TIMEOUT_SECONDS} s: see what keeps them (aws "
                "autoscaling describe-scaling-activities), then run `up` again"
            )
        time.sleep(POLL_SECONDS)


def _take_away(props: Mapping[str, Any]) -> bool:
    """Have no nodes wanted; tell whether there are any.

    Again and again: until its own node goes, the cluster autoscaler asks for others, on which the
    pods that have lost theirs shall run.
    """
    eks = boto3.client("eks", region_name=props["region"], config=BOUNDED)
    auto_scaling = boto3.client("autoscaling", region_name=props["region"], config=BOUNDED)
    some = False
    for group in _groups(props):
        names = [one["name"] for one in group["resources"]["autoScalingGroups"]]
        found = auto_scaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)
        for one in found["AutoScalingGroups"]:
            some = some or bool(one["Instances"])
            if one["DesiredCapacity"] == 0 and one["MinSize"] == 0:
                continue
            some = True
            try:
                eks.update_nodegroup_config(
                    clusterName=group["clusterName"],
                    nodegroupName=group["nodegroupName"],
                    scalingConfig={"minSize": 0, "desiredSize": 0},
                )
            except eks.exceptions.ResourceInUseException as error:
                _say(f"waiting for node group {group['nodegroupName']}: {error}")
    return some


def _groups(props: Mapping[str, Any]) -> Iterator[NodegroupTypeDef]:
    """Yield the groups of nodes that are the stack's own."""
    eks = boto3.client("eks", region_name=props["region"], config=BOUNDED)
    cluster = props["cluster_name"]
    for page in eks.get_paginator("list_nodegroups").paginate(clusterName=cluster):
        for name in page["nodegroups"]:
            group = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
            if props["tags"].items() <= group.get("tags", {}).items():
                yield group


def _job_runs(props: Mapping[str, Any]) -> Iterator[str]:
    emr = boto3.client("emr-containers", region_name=props["region"], config=BOUNDED)
    for page in emr.get_paginator("list_virtual_clusters").paginate(
        containerProviderId=props["cluster_name"], containerProviderType="EKS", states=["RUNNING"]
    ):
        for cluster in page["virtualClusters"]:
            for runs in emr.get_paginator("list_job_runs").paginate(
                virtualClusterId=cluster["id"],
                states=["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING"],
            ):
                for run in runs["jobRuns"]:
                    yield (
                        f"job run {run['id']} ({run.get('name', '')}) is {run['state']}: `aws "
                        f"emr-containers cancel-job-run --virtual-cluster-id {cluster['id']} --id "
                        f"{run['id']}`"
                    )


def _dag_runs(props: Mapping[str, Any]) -> Iterator[str]:
    mwaa = boto3.client("mwaa", region_name=props["region"], config=BOUNDED)
    failed = (
        mwaa.exceptions.InternalServerException,
        mwaa.exceptions.RestApiClientException,
        mwaa.exceptions.RestApiServerException,
    )
    for state in ("queued", "running"):
        try:
            answer = mwaa.invoke_rest_api(
                Name=props["environment_name"],
                Path="/dags/~/dagRuns",
                Method="GET",
                QueryParameters={"state": state},
            )
        except mwaa.exceptions.ResourceNotFoundException:  # asleep already, or not yet there
            return
        except failed as error:
            _say(f"Airflow does not say whether DAGs run, and is left without an answer: {error}")
            return
        for run in answer["RestApiResponse"]["dag_runs"]:
            yield (
                f"run {run['dag_run_id']} of the DAG {run['dag_id']} is {state}: let it end, or "
                "mark it as failed on Airflow's page"
            )


def _title(props: Mapping[str, Any]) -> str:
    return f"cluster {props['cluster_name']}"


def _known(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in _PROPS}


def _say(text: str) -> None:
    print(text, flush=True)  # the engine shows what a provider prints
