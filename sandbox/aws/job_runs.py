"""Job runs of EMR on EKS: who may start them, as whom they run, and how they come to an end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

import boto3
from botocore.config import Config

from sandbox.aws import authorization

Json: TypeAlias = Any
Module: TypeAlias = Any

ROOT: Final = Path(__file__).resolve().parents[2]
_FINAL: Final = ("CANCELLED", "COMPLETED", "FAILED")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

_runners: dict[str, subprocess.Popen[str]] = {}


class _RefusedError(Exception):
    """Why a job does not get its role."""


def complete_job_runs() -> None:
    """Let moto decide by policy who may do what with job runs, and really run them."""
    _authorize_callers()
    models: Module = import_module("moto.emrcontainers.models")
    backend, utcnow = models.EMRContainersBackend, models.utcnow
    start, cancel = backend.start_job_run, backend.cancel_job_run

    def start_job_run(self: Json, **told: Json) -> Json:
        run = start(self, **told)
        run.created_at, run.state = utcnow(), "PENDING"
        threading.Thread(target=_execute, args=(self, run, utcnow), daemon=True).start()
        return run

    def cancel_job_run(self: Json, job_run_id: str, virtual_cluster_id: str) -> Json:
        run = cancel(self, job_run_id, virtual_cluster_id)
        run.state, run.state_details, run.finished_at = "CANCEL_PENDING", None, None
        if runner := _runners.get(job_run_id):
            runner.terminate()
        return run

    backend.start_job_run, backend.cancel_job_run = start_job_run, cancel_job_run


def _execute(backend: Json, run: Json, utcnow: Callable[[], object]) -> None:
    try:
        credentials = _credentials(backend, run)
        _follow(run, credentials)
    except _RefusedError as reason:
        _end(run, "FAILED", str(reason), "USER_ERROR")
    finally:
        if run.state == "CANCEL_PENDING":
            _end(run, "CANCELLED", "JobRun CANCELLED successfully.")
        elif run.state not in _FINAL:
            details = "what ran the job ended; see .sandbox/logs/moto.log"
            _end(run, "FAILED", details, "INTERNAL_ERROR")
        run.finished_at = utcnow()


def _end(run: Json, state: str, details: str, reason: str | None = None) -> None:
    run.state_details, run.failure_reason, run.state = details, reason, state


def _follow(run: Json, credentials: dict[str, str]) -> None:
    told = {
        "id": run.id,
        "virtual_cluster_id": run.virtual_cluster_id,
        "job_driver": run.job_driver,
        "overrides": run.configuration_overrides or {},
    }
    runner = subprocess.Popen(
        [sys.executable, "-m", "sandbox.job_runner"],
        cwd=ROOT,
        env={**os.environ, **credentials},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _runners[run.id] = runner
    if run.state == "CANCEL_PENDING":  # since before there was anything to end
        runner.terminate()
    with runner:
        if runner.stdin is None or runner.stdout is None:
            raise AssertionError
        json.dump(told, runner.stdin)
        runner.stdin.close()
        for line in runner.stdout:
            event = json.loads(line)
            if run.state != "CANCEL_PENDING":
                failed = "USER_ERROR" if event["state"] == "FAILED" else None
                _end(run, event["state"], event["details"], failed)
    del _runners[run.id]


def _credentials(backend: Json, run: Json) -> dict[str, str]:
    """Assume the job execution role as EKS Pod Identity does for the driver's pod."""
    role_name = run.execution_role_arn.rpartition("/")[2]
    account, region = backend.account_id, backend.region_name
    info = backend.virtual_clusters[run.virtual_cluster_id].container_provider
    cluster, namespace = info["id"], info["info"]["eksInfo"]["namespace"]
    service_account = f"emr-containers-sa-spark-driver-{account}-{_base36(role_name)}"
    anyone = "emr"
    eks = boto3.client(
        "eks",
        aws_access_key_id=anyone,
        aws_secret_access_key=anyone,
        config=Config(proxies={}),
    )
    found = eks.list_pod_identity_associations(
        clusterName=cluster, namespace=namespace, serviceAccount=service_account
    )["associations"]
    roles = [
        eks.describe_pod_identity_association(
            clusterName=cluster, associationId=one["associationId"]
        )["association"]["roleArn"]
        for one in found
    ]
    if run.execution_role_arn not in roles:
        raise _RefusedError(
            f"The service account {service_account} of namespace {namespace} has no EKS Pod "
            f"Identity association with {run.execution_role_arn} in cluster {cluster}."
        )
    role = _iam(account, backend.partition).get_role(role_name)
    context = {
        "aws:SourceAccount": account,
        "aws:SourceArn": _cluster_arn(backend, cluster),
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": service_account,
    }
    document = json.loads(role.assume_role_policy_document)
    for action in ("sts:AssumeRole", "sts:TagSession"):
        if not authorization.is_trusted(document, "pods.eks.amazonaws.com", action, context):
            raise _RefusedError(
                f"pods.eks.amazonaws.com is not authorized to perform: {action} on resource: "
                f"{run.execution_role_arn}"
            )
    session = _sts(account, backend.partition).assume_role(
        region_name=region,
        role_session_name=f"eks-{cluster}-spark-{run.id}-driver"[:64],
        role_arn=run.execution_role_arn,
        policy=None,
        duration=3600,
        external_id=None,
    )
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


def _base36(text: str) -> str:
    """Write a role's name as EMR does in the names of its service accounts."""
    number, digits = int.from_bytes(text.encode(), "big"), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def _iam(account: str, partition: str) -> Json:
    return import_module("moto.iam.models").iam_backends[account][partition]


def _sts(account: str, partition: str) -> Json:
    return import_module("moto.sts.models").sts_backends[account][partition]


def _cluster_arn(backend: Json, cluster: str) -> str:
    return (
        f"arn:{backend.partition}:eks:{backend.region_name}:{backend.account_id}:cluster/{cluster}"
    )


def _authorize_callers() -> None:
    """Ask the policies of whoever has assumed a role; the sandbox's own user may do anything."""
    handler: Module = import_module("moto.emrcontainers.responses").EMRContainersResponse
    for name, action in _ACTIONS.items():
        setattr(handler, name, _authorized(getattr(handler, name), action))


_ACTIONS: Final = {
    "cancel_job_run": "CancelJobRun",
    "create_virtual_cluster": "CreateVirtualCluster",
    "delete_virtual_cluster": "DeleteVirtualCluster",
    "describe_job_run": "DescribeJobRun",
    "describe_virtual_cluster": "DescribeVirtualCluster",
    "list_job_runs": "ListJobRuns",
    "list_virtual_clusters": "ListVirtualClusters",
    "start_job_run": "StartJobRun",
}


def _authorized(serve: Callable[[Json], Json], action: str) -> Callable[[Json], Json]:
    def authorize_and_serve(self: Json) -> Json:
        backend = self.emrcontainers_backend
        session = _sts(backend.account_id, backend.partition).get_assumed_role_from_access_key(
            self.access_key
        )
        if session is not None:
            _require(self, backend, session, action)
        return serve(self)

    return authorize_and_serve


def _require(request: Json, backend: Json, session: Json, action: str) -> None:
    role_name = session.role_arn.rpartition("/")[2]
    iam = _iam(backend.account_id, backend.partition)
    documents = [
        json.loads(iam.get_role_policy(role_name, name)[1])
        for name in iam.list_role_policies(role_name)
    ]
    documents += [
        json.loads(policy.document) for policy in iam.list_attached_role_policies(role_name)[0]
    ]
    for wanted, resource, context in _demands(request, backend, action):
        if not authorization.is_allowed(documents, wanted, resource, context):
            exceptions: Module = import_module("moto.emrcontainers.exceptions")
            raise exceptions.EMRContainersException(
                "AccessDeniedException",
                f"User: {session.arn} is not authorized to perform: {wanted} on resource: "
                f"{resource}",
            )


def _demands(request: Json, backend: Json, action: str) -> list[tuple[str, str, dict[str, str]]]:
    """Return the (action, resource, context) that a request needs, all of them."""
    told = request._get_param
    cluster_id, run_id = told("virtualClusterId"), None
    if action in {"CancelJobRun", "DescribeJobRun"}:
        run_id = told("id")
    elif action in {"DescribeVirtualCluster", "DeleteVirtualCluster"}:
        cluster_id = told("id")
    resource = "*"
    if cluster_id:
        resource = (
            f"arn:{backend.partition}:emr-containers:{backend.region_name}:{backend.account_id}:"
            f"/virtualclusters/{cluster_id}"
        )
    if run_id:
        resource += f"/jobruns/{run_id}"
    name = f"emr-containers:{action}"
    if action != "StartJobRun":
        return [(name, resource, {})]
    role = told("executionRoleArn")
    demands = [(name, resource, {"emr-containers:ExecutionRoleArn": role})]
    if virtual_cluster := backend.virtual_clusters.get(cluster_id):
        # As the job gets its role by EKS Pod Identity.
        context = {
            "iam:PassedToService": "pods.eks.amazonaws.com",
            "iam:AssociatedResourceARN": _cluster_arn(
                backend, virtual_cluster.container_provider["id"]
            ),
        }
        demands.append(("iam:PassRole", role, context))
    return demands
