"""Job runs of EMR on EKS: what they are in the cluster, and how they come to an end."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, TypeAlias

from kubernetes import client as kubernetes_client
from kubernetes import utils
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from sandbox.cloud.aws import callers, events, job_objects, moto, pod_identity
from sandbox.cloud.aws.job_objects import JOB_ID, InvalidRequestError, JobRun
from sandbox.cloud.kubernetes import nodes
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any
Module: TypeAlias = Any

_FINAL: Final = ("CANCELLED", "COMPLETED", "FAILED")
_INTERVAL: Final = 0.5
"""Seconds between two looks at a job run's pods."""


def complete(aws: Aws) -> None:
    """Let what job runs are told to run be run in their cluster."""
    models: Module = import_module("moto.emrcontainers.models")
    responses: Module = import_module("moto.emrcontainers.responses")
    backend, utcnow = models.EMRContainersBackend, models.utcnow
    start, cancel = backend.start_job_run, backend.cancel_job_run
    handler = responses.EMRContainersResponse
    respond = handler.start_job_run
    asked = threading.local()

    def start_job_run(self: Json, **told: Json) -> Json:
        label = told["release_label"]
        # moto does not know the releases with Spark 4, emr-spark-8.0.0 and later.
        known = "emr-7.14.0-latest" if job_objects.is_release(label) else label
        run = start(self, **{**told, "release_label": known})
        run.release_label, run.created_at, run.state = label, utcnow(), "PENDING"
        run.retry_policy_configuration = {"maxAttempts": asked.attempts}
        run.retry_policy_execution = {"currentAttemptCount": 1}
        _tell(run)
        here = copy_context()
        execute = (_execute, aws, self, run, utcnow)
        threading.Thread(target=here.run, args=execute, daemon=True).start()
        return run

    def respond_to_start(self: Json) -> Json:
        policy = self._get_param("retryPolicyConfiguration") or {}
        asked.attempts = int(policy.get("maxAttempts", 1))
        return respond(self)

    def cancel_job_run(self: Json, job_run_id: str, virtual_cluster_id: str) -> Json:
        run = cancel(self, job_run_id, virtual_cluster_id)
        run.state, run.state_details, run.finished_at = "CANCEL_PENDING", None, None
        _tell(run)
        return run

    backend.start_job_run, backend.cancel_job_run = start_job_run, cancel_job_run
    handler.start_job_run = respond_to_start


def _execute(aws: Aws, backend: Json, run: Json, utcnow: Callable[[], object]) -> None:
    try:
        told = _told(backend, run)
        _require_access(aws, backend, told, run)
        following = _Following(run, told)
        following.submit()
        following.to_the_end()
    except InvalidRequestError as reason:
        _end(run, "FAILED", f"Jobrun failed. {reason}.", "USER_ERROR")
    except (ApiException, HTTPError, utils.FailToCreateError) as error:
        _end(
            run,
            "FAILED",
            f"Jobrun failed. The cluster refused: {_reason(error)}",
            "CLUSTER_UNAVAILABLE",
        )
    finally:
        if run.state not in _FINAL:
            details = "what followed the job ended; see .sandbox/logs/moto.log"
            _end(run, "FAILED", details, "INTERNAL_ERROR")
        run.finished_at = utcnow()


def _told(backend: Json, run: Json) -> JobRun:
    info = backend.virtual_clusters[run.virtual_cluster_id].container_provider
    return JobRun(
        id=run.id,
        name=run.name,
        virtual_cluster_id=run.virtual_cluster_id,
        namespace=info["info"]["eksInfo"]["namespace"],
        account=backend.account_id,
        region=backend.region_name,
        role_name=run.execution_role_arn.rpartition("/")[2],
        release_label=run.release_label,
        job_driver=run.job_driver,
        overrides=run.configuration_overrides or {},
        attempts=run.retry_policy_configuration["maxAttempts"],
    )


def _require_access(aws: Aws, backend: Json, told: JobRun, run: Json) -> None:
    """EMR is in the namespace by the access entry of its service-linked role alone."""
    cluster = backend.virtual_clusters[run.virtual_cluster_id].container_provider["id"]
    entry = moto.emrs_entry(aws, cluster)
    found = find(aws.client("eks").list_associated_access_policies, **entry) or {}
    policies = found.get("associatedAccessPolicies", [])
    scopes = [name for one in policies for name in one["accessScope"].get("namespaces", [])]
    if told.namespace not in scopes:
        raise InvalidRequestError(
            f"EMR may do nothing in namespace {told.namespace} of cluster {cluster}: the access "
            f"entry of {entry['principalArn']} does not name it"
        )


def _end(run: Json, state: str, details: str, reason: str | None = None) -> None:
    before = run.state
    run.state_details, run.failure_reason, run.state = details, reason, state
    if state != before:
        _tell(run)


def _tell(run: Json) -> None:
    """Put an event of the state that a job run has come to."""
    detail = {
        "severity": "ERROR" if run.state == "FAILED" else "INFO",
        "id": run.id,
        "name": run.name,
        "arn": run.arn,
        "virtualClusterId": run.virtual_cluster_id,
        "executionRoleArn": run.execution_role_arn,
        "releaseLabel": run.release_label,
        "state": run.state,
        "stateDetails": run.state_details,
        "failureReason": run.failure_reason,
    }
    told = {key: value for key, value in detail.items() if value}
    region, account = run.arn.split(":")[3:5]
    events.put(account, region, "aws.emr-containers", "EMR Job Run State Change", told)


def _reason(error: Exception) -> str:
    causes = getattr(error, "api_exceptions", [error])
    return "; ".join(str(getattr(one, "body", "") or one) for one in causes)


@dataclass
class _Following:
    """A job run and its pods."""

    run: Json
    told: JobRun

    def __post_init__(self) -> None:
        self._core: Any = nodes.core_api()
        self._jobs: Any = kubernetes_client.BatchV1Api(self._core.api_client)

    @property
    def _selector(self) -> str:
        return f"{JOB_ID}={self.told.id}"

    def submit(self) -> None:
        """Make what EMR makes."""
        for one in job_objects.objects(self.told):
            try:
                utils.create_from_dict(self._core.api_client, one, namespace=self.told.namespace)
            except utils.FailToCreateError as error:
                # Service accounts and their rights are made once for a role.
                if any(each.status != http.client.CONFLICT for each in error.api_exceptions):
                    raise
        self._set("SUBMITTED", "")

    def to_the_end(self) -> None:
        """Say of the job run what its pods say, until it has ended."""
        while self.run.state not in _FINAL:
            if self.run.state == "CANCEL_PENDING":
                self._cancel()
            else:
                self._look()
            time.sleep(_INTERVAL)

    def _set(self, state: str, details: str) -> None:
        if self.run.state != "CANCEL_PENDING":
            _end(self.run, state, details, "USER_ERROR" if state == "FAILED" else None)

    def _look(self) -> None:
        try:
            job = self._jobs.read_namespaced_job(self.told.id, self.told.namespace)
        except ApiException as error:
            if error.status != http.client.NOT_FOUND:
                raise
            _end(self.run, "FAILED", "Jobrun failed. Its Job was deleted.", "USER_ERROR")
            return
        pods = self._pods()
        attempt = min((job.status.failed or 0) + 1, self.told.attempts)
        self.run.retry_policy_execution = {"currentAttemptCount": attempt}
        ended = {one.type for one in job.status.conditions or () if one.status == "True"}
        driver = next((one for one in pods if one.metadata.name == self.told.driver), None)
        if "Complete" in ended:
            self._set("COMPLETED", "Jobrun completed successfully. It ran on this machine.")
        elif "Failed" in ended:
            self._fail(pods, driver)
        elif driver is not None and driver.status.phase != "Pending":
            self._set("RUNNING", "")
        else:
            self._set("SUBMITTED", self._waits_for(pods, driver))

    def _pods(self) -> list[Any]:
        found = self._core.list_namespaced_pod(self.told.namespace, label_selector=self._selector)
        return list(found.items)

    def _waits_for(self, pods: list[Any], driver: Any) -> str:  # noqa: ANN401
        """Return what keeps the job run waiting."""
        for pod in [driver] if driver is not None else pods:
            for one in pod.status.container_statuses or ():
                if one.state.waiting and one.state.waiting.message:
                    return f"{pod.metadata.name}: {one.state.waiting.message}"
            for one in pod.status.conditions or ():
                if one.type == "PodScheduled" and one.status == "False":
                    return f"{pod.metadata.name}: {one.message}"
        if pods:
            return ""
        events = self._core.list_namespaced_event(
            self.told.namespace,
            field_selector=f"involvedObject.kind=Job,involvedObject.name={self.told.id}",
        ).items
        failed = [one.message for one in events if one.reason == "FailedCreate"]
        return failed[-1] if failed else ""

    def _fail(self, pods: list[Any], driver: Any) -> None:  # noqa: ANN401
        runners = [one for one in pods if one.metadata.labels.get("job-name") == self.told.id]
        runners.sort(key=lambda one: one.metadata.creation_timestamp)
        why = _last_word(driver) or (_last_word(runners[-1]) if runners else "") or "no reason"
        why += _refused([one.metadata.name for one in pods])
        self._set(
            "FAILED",
            "Jobrun failed. Main Spark container terminated with errors: "
            f"{why}. Please refer logs uploaded to S3/CloudWatch based on your monitoring "
            "configuration.",
        )

    def _cancel(self) -> None:
        """End all pods; the job run is cancelled once there are none."""
        with suppress(ApiException):
            self._jobs.delete_namespaced_job(
                self.told.id, self.told.namespace, propagation_policy="Background"
            )
        self._core.delete_collection_namespaced_pod(
            self.told.namespace, label_selector=self._selector
        )
        if not self._pods():
            _end(self.run, "CANCELLED", "JobRun CANCELLED successfully.")


def _refused(pods: list[str]) -> str:
    """Return what was refused to the role of these pods; to HEAD, S3 answers no reason."""
    sessions = {pod_identity.session(name) for name in pods}
    found = [
        message for arn, message in callers.refused.items() if arn.rpartition("/")[2] in sessions
    ]
    return f" ({found[-1]})" if found else ""


def _last_word(pod: Any) -> str:  # noqa: ANN401
    """Return why a pod has failed."""
    if pod is None or pod.status.phase != "Failed":
        return ""
    for one in pod.status.container_statuses or ():
        if one.state.terminated and one.state.terminated.exit_code:
            message = one.state.terminated.message or one.state.terminated.reason
            return str(message).strip().rstrip(".")
    return str(pod.status.message or pod.status.reason or "")
