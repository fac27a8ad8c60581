"""Running jobs end before their virtual cluster does."""

import time
from typing import Any

import boto3
from pulumi import Input, ResourceOptions, dynamic

from components.credentials import BOUNDED, require_account

TIMEOUT_SECONDS = 600
POLL_SECONDS = 2


class JobRunDrainProvider(dynamic.ResourceProvider):
    """Does nothing until it is deleted.

    Pulumi keeps a pickled instance in the state. The class is in a module of its own and the
    instance is empty, so that the pickle is no more than the module's and the class's names.
    """

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Note what to drain."""
        return dynamic.CreateResult(props["virtual_cluster_id"], _known(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> dynamic.DiffResult:
        """Another virtual cluster is another drain."""
        changed = [key for key, value in _known(_news).items() if _olds.get(key) != value]
        return dynamic.DiffResult(
            changes=bool(changed),
            replaces=[key for key in changed if key != "account_id"],
            delete_before_replace=True,
        )

    def update(
        self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]
    ) -> dynamic.UpdateResult:
        """Note the account, where it was not."""
        return dynamic.UpdateResult(_known(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Drain."""
        drain(_props["virtual_cluster_id"], _props["region"], _props["account_id"])


class JobRunDrain(dynamic.Resource):
    """Deleted only when no job run of the virtual cluster is left unfinished."""

    def __init__(
        self,
        name: str,
        *,
        virtual_cluster_id: Input[str],
        region: str,
        account_id: str,
        opts: ResourceOptions | None = None,
    ) -> None:
        props: dict[str, Input[str]] = {
            "virtual_cluster_id": virtual_cluster_id,
            "region": region,
            "account_id": account_id,
        }
        super().__init__(JobRunDrainProvider(), name, props, opts)


def drain(virtual_cluster_id: str, region: str, account_id: str) -> None:
    """Cancel every job run of a virtual cluster and wait until none is left, or the time is up."""
    require_account(account_id, region, f"virtual cluster {virtual_cluster_id}")
    client = boto3.client("emr-containers", region_name=region, config=BOUNDED)
    missing = (client.exceptions.ResourceNotFoundException, client.exceptions.ValidationException)
    try:
        client.describe_virtual_cluster(id=virtual_cluster_id)
    except missing:
        _say(f"virtual cluster {virtual_cluster_id} is gone already")
        return

    deadline = time.monotonic() + TIMEOUT_SECONDS
    seen: set[str] | None = None
    while True:
        pages = client.get_paginator("list_job_runs").paginate(
            virtualClusterId=virtual_cluster_id,
            states=["PENDING", "SUBMITTED", "RUNNING", "CANCEL_PENDING"],
        )
        states = {run["id"]: run["state"] for page in pages for run in page["jobRuns"]}
        if not states:
            return
        if set(states) != seen:
            seen = set(states)
            _say(f"{len(seen)} job runs of virtual cluster {virtual_cluster_id} have not ended")
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"job runs {', '.join(sorted(states))} of virtual cluster {virtual_cluster_id} did "
                f"not end within {TIMEOUT_SECONDS} s of being cancelled; see what holds them "
                "(aws emr-containers describe-job-run), then destroy again"
            )
        for run in sorted(run for run, state in states.items() if state != "CANCEL_PENDING"):
            try:
                client.cancel_job_run(id=run, virtualClusterId=virtual_cluster_id)
                _say(f"job run {run} is being cancelled")
            except missing as error:  # it may have ended by itself: the next listing tells
                _say(f"job run {run} was not cancelled: {error}")
        time.sleep(POLL_SECONDS)


def _known(props: dict[str, Any]) -> dict[str, Any]:
    return {key: props[key] for key in ("virtual_cluster_id", "region", "account_id")}


def _say(text: str) -> None:
    print(text, flush=True)  # the engine shows what a provider prints
