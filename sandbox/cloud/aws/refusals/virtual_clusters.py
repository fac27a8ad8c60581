"""What EMR on EKS refuses."""

from __future__ import annotations

from typing import Final

from botocore.exceptions import ClientError

from sandbox.cloud.aws.refusals.clusters import active_cluster, has_access_entries
from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.cloud.kubernetes.nodes import namespace_exists
from sandbox.machine.aws_api import Aws

_ACTIVE_RUNS: Final = ("PENDING", "RUNNING", "SUBMITTED", "CANCEL_PENDING")


@refuses("emr-containers", "CreateVirtualCluster")
def _virtual_cluster(aws: Aws, told: Told) -> None:
    provider = told["containerProvider"]
    name, namespace = provider["id"], provider["info"]["eksInfo"]["namespace"]
    cluster = active_cluster(aws, name)
    problem = None
    if not has_access_entries(cluster):
        mode = cluster["accessConfig"].get("authenticationMode")
        problem = f"EKS cluster {name} has no access entries: its mode is {mode}"
    elif not namespace_exists(namespace):
        problem = f"Namespace {namespace} does not exist in cluster {name}"
    if problem:
        raise RefusedError("ValidationException", problem)


@refuses("emr-containers", "DeleteVirtualCluster")
def _virtual_cluster_in_use(aws: Aws, told: Told) -> None:
    pages = aws.client("emr-containers").get_paginator("list_job_runs")
    try:
        found = [
            run["id"]
            for page in pages.paginate(virtualClusterId=told["id"], states=list(_ACTIVE_RUNS))
            for run in page["jobRuns"]
        ]
    except ClientError:  # there is no such virtual cluster, which the emulator says itself
        return
    if found:
        message = f"Virtual cluster {told['id']} has active job runs: {', '.join(found)}"
        raise RefusedError("ValidationException", message)
