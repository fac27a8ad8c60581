"""Job runs of EMR on EKS: who may start them, as whom they run, and how they come to an end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from importlib import import_module
from typing import Any, Final, TypeAlias

from awscli.customizations.emrcontainers.base36 import Base36  # type: ignore[import-untyped]

from sandbox.cloud.aws import authorization, callers
from sandbox.machine.aws_api import Aws
from sandbox.machine.program import ROOT

Json: TypeAlias = Any
Module: TypeAlias = Any

_FINAL: Final = ("CANCELLED", "COMPLETED", "FAILED")

_runners: dict[str, subprocess.Popen[str]] = {}


class _RefusedError(Exception):
    """Why a job does not get its role."""


def complete(aws: Aws) -> None:
    """Let moto really run what job runs are told to run."""
    models: Module = import_module("moto.emrcontainers.models")
    backend, utcnow = models.EMRContainersBackend, models.utcnow
    start, cancel = backend.start_job_run, backend.cancel_job_run

    def start_job_run(self: Json, **told: Json) -> Json:
        run = start(self, **told)
        run.created_at, run.state = utcnow(), "PENDING"
        here = copy_context()
        execute = (_execute, aws, self, run, utcnow)
        threading.Thread(target=here.run, args=execute, daemon=True).start()
        return run

    def cancel_job_run(self: Json, job_run_id: str, virtual_cluster_id: str) -> Json:
        run = cancel(self, job_run_id, virtual_cluster_id)
        run.state, run.state_details, run.finished_at = "CANCEL_PENDING", None, None
        if runner := _runners.get(job_run_id):
            runner.terminate()
        return run

    backend.start_job_run, backend.cancel_job_run = start_job_run, cancel_job_run


def _execute(aws: Aws, backend: Json, run: Json, utcnow: Callable[[], object]) -> None:
    try:
        credentials = _credentials(aws, backend, run)
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
        [sys.executable, "-m", "sandbox.cloud.aws.job_runner"],
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


def _credentials(aws: Aws, backend: Json, run: Json) -> dict[str, str]:
    """Assume the job execution role as EKS Pod Identity does for the driver's pod."""
    role_name = run.execution_role_arn.rpartition("/")[2]
    account, region, partition = backend.account_id, backend.region_name, backend.partition
    info = backend.virtual_clusters[run.virtual_cluster_id].container_provider
    cluster, namespace = info["id"], info["info"]["eksInfo"]["namespace"]
    service_account = f"emr-containers-sa-spark-driver-{account}-{Base36().encode(role_name)}"
    eks = aws.client("eks")
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
    role = callers.role_of(run.execution_role_arn, partition, account)
    context = {
        "aws:SourceAccount": account,
        "aws:SourceArn": f"arn:{partition}:eks:{region}:{account}:cluster/{cluster}",
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": service_account,
    }
    document = json.loads(role.assume_role_policy_document)
    for action in ("sts:AssumeRole", "sts:TagSession"):
        if not authorization.is_trusted(
            document, "Service", "pods.eks.amazonaws.com", action, context
        ):
            raise _RefusedError(
                f"pods.eks.amazonaws.com is not authorized to perform: {action} on resource: "
                f"{run.execution_role_arn}"
            )
    session = callers.sessions(partition, account).assume_role(
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
