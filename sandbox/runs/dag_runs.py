"""Runs DAGs to their end and shows what a person wants to see of that.

A plugin in Airflow tells the states of tasks, the Kubernetes API what pods print, and that of EMR
what becomes of job runs. What Airflow itself prints goes into a file.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import kubernetes.client
import kubernetes.config
import kubernetes.watch
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from sandbox.cloud.lifecycle import Cloud
from sandbox.machine import progress
from sandbox.machine.processes import SandboxError
from sandbox.machine.program import DIRECTORY, ROOT
from sandbox.runs.airflow import Airflow, client, prepare
from sandbox.runs.drivers import core_api, is_of_job_run, page
from sandbox.runs.home import log_file

EXAMPLES: Final = ("kubernetes_pod_example", "emr_eks_pi_job", "emr_eks_sales_report")
AIRFLOW_SIDE: Final = Path(__file__).parent / "airflow_side"
"""A package with a plugin; Airflow finds it beside those of the plugins folder."""
# Kubernetes gives no other policy to pods that end.
ENDING: Final = "spec.restartPolicy!=Always"
FINAL: Final = ("CANCELLED", "COMPLETED", "FAILED")
LOOK_SECONDS: Final = 1.0
LAST_LINES: Final = 40
ERROR_LINES: Final = 4
"""What follows in the error of a failed pod is all that Kubernetes knows of it."""
PATIENCE: Final = 5.0
"""How many seconds the end of a pod's log may come after that of Airflow."""

Say: TypeAlias = Callable[[str], None]


def run(
    report: Callable[[str], None], dags: Sequence[str], conf: str | None, *, verbose: bool
) -> int:
    """Run DAGs one after the other, until one fails; `verbose` shows all that Airflow prints."""
    airflow = prepare(report)
    # An ordinary kill and the end of the terminal end this in the same way as Ctrl-C, which whoever
    # has started this may have switched off: a script does for what it runs in the background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    log = None if verbose else log_file("dags")
    options = [] if conf is None else ["--conf", conf]
    try:
        if log:
            log.write_bytes(b"")
        for dag in dags:
            report(f"== {dag}")
            with progress.live(dag, rewriting=not verbose) as say:
                successful = _run(airflow, [*options, dag], log, say)
                say(f"{dag} {'was successful' if successful else 'has failed'}")
            if not successful:
                return 1
        return 0
    finally:
        if log:
            report(f"all that Airflow printed is in {log.relative_to(ROOT)}")


def _run(airflow: Airflow, arguments: Sequence[str], log: Path | None, say: Say) -> bool:
    with tempfile.NamedTemporaryFile(dir=DIRECTORY / "tmp") as states:
        tasks = Tasks(Path(states.name), say)
        pods, job_runs = Pods(airflow.cloud, say), JobRuns(airflow.cloud, say)
        try:
            with _running(airflow, arguments, states.name, log) as process:
                while process.poll() is None:
                    tasks.look()
                    job_runs.look()
                    time.sleep(LOOK_SECONDS)
            tasks.look()
            job_runs.look()
            pods.finish()
        except KeyboardInterrupt:
            pods.delete()
            with suppress(BotoCoreError, ClientError):
                job_runs.cancel()
            say("interrupted; its pods and job runs are ended too")
            raise
        except (BotoCoreError, ClientError) as error:
            raise SandboxError(f"EMR does not tell of job runs: {error}") from None
    if process.returncode != 0 and log and not tasks.failed:
        say("\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:]))
    return process.returncode == 0


@contextmanager
def _running(
    airflow: Airflow, arguments: Sequence[str], states: str, log: Path | None
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **airflow.environment,
        "PYTHONPATH": str(AIRFLOW_SIDE),
        "SANDBOX_TASK_STATES": states,
    }
    with Path(log or os.devnull).open("ab") as output:
        process = airflow.start(
            ["dags", "test", *arguments],
            environment,
            stdin=subprocess.DEVNULL,
            stdout=output if log else None,
            stderr=subprocess.STDOUT if log else None,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Tasks:
    """The states of tasks, which the plugin writes into a file."""

    def __init__(self, file: Path, say: Say) -> None:
        self.failed = False
        self._file = file
        self._say = say
        self._told = 0
        self._states: dict[str, str] = {}

    def look(self) -> None:
        """Say what is new."""
        whole = self._file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        for line in whole[self._told :]:
            self._see(**json.loads(line))
        self._told = len(whole)

    def _see(self, task: str, state: str, number: int, tries: int, error: str) -> None:
        if self._states.get(task) == state:
            return
        self._states[task] = state
        attempt = f" (try {number} of {tries})" if state == "failed" and tries > 1 else ""
        lines = error.splitlines()
        told = lines[:ERROR_LINES] + ["..."] * (len(lines) > ERROR_LINES)
        self._say("\n".join([f"{task}: {state}{attempt}", *told]))
        self.failed |= state == "failed"


class Pods:
    """What is printed by pods that come into being from now on and are meant to end."""

    def __init__(self, cloud: Cloud, say: Say) -> None:
        self._api = core_api(cloud)
        self._say = say
        self._pods: dict[str, Any] = {}
        self._logs: dict[str, list[threading.Thread]] = {}
        self._watch = kubernetes.watch.Watch()
        threading.Thread(target=self._follow, args=(self._version(),), daemon=True).start()

    def _version(self) -> str:
        return str(self._api.list_pod_for_all_namespaces(limit=1).metadata.resource_version)

    def _follow(self, version: str) -> None:
        with suppress(kubernetes.client.ApiException, HTTPError):
            for event in self._watch.stream(
                self._api.list_pod_for_all_namespaces,
                field_selector=ENDING,
                resource_version=version,
            ):
                self._see(event["object"], gone=event["type"] == "DELETED")

    def _see(self, pod: Any, *, gone: bool) -> None:  # noqa: ANN401
        uid, name = pod.metadata.uid, pod.metadata.name
        before, self._pods[uid] = self._pods.get(uid), pod
        if gone:
            del self._pods[uid]
        elif is_of_job_run(pod):
            # EMR ships the logs of these.
            if before is None or before.status.phase != pod.status.phase:
                where = page(pod)
                self._say(
                    f"{name}: {pod.status.phase}" + (f", Spark's page is {where}" if where else "")
                )
            return
        elif pod.status.phase != "Pending" and uid not in self._logs:
            self._logs[uid] = [
                threading.Thread(target=self._print, args=(pod, container.name), daemon=True)
                for container in (*(pod.spec.init_containers or ()), *pod.spec.containers)
            ]
            for thread in self._logs[uid]:
                thread.start()
        if pod.status.phase == "Failed" and (before is None or before.status.phase != "Failed"):
            for thread in self._logs[uid]:
                thread.join(PATIENCE)
            statuses = [
                *(pod.status.init_container_statuses or ()),
                *(pod.status.container_statuses or ()),
            ]
            for status in statuses:
                if status.state.terminated and status.state.terminated.exit_code:
                    self._say(f"{name}: ended with exit code {status.state.terminated.exit_code}")
            if pod.status.message:
                self._say(f"{name}: {pod.status.message}")

    def _print(self, pod: Any, container: str) -> None:  # noqa: ANN401
        name, namespace = pod.metadata.name, pod.metadata.namespace
        with suppress(kubernetes.client.ApiException, HTTPError):
            for line in kubernetes.watch.Watch().stream(
                self._api.read_namespaced_pod_log, name, namespace, container=container
            ):
                self._say(f"{name}: {line}")

    def finish(self) -> None:
        """Wait until all is said."""
        self._watch.stop()
        for thread in itertools.chain(*self._logs.values()):
            thread.join(PATIENCE)

    def delete(self) -> None:
        """Delete those that are still there; EMR ends its own."""
        self._watch.stop()
        for pod in self._pods.values():
            if is_of_job_run(pod):
                continue
            with suppress(kubernetes.client.ApiException, HTTPError):
                self._api.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace)


class JobRuns:
    """What becomes of EMR's job runs that come into being from now on."""

    def __init__(self, cloud: Cloud, say: Say) -> None:
        self._say = say
        self._emr = client(cloud.aws_environment(), "emr-containers")
        self._logs = client(cloud.aws_environment(), "logs")
        self._before = {run["id"] for run in self._list()}
        self._states: dict[str, str] = {}

    def _list(self) -> Iterator[dict[str, Any]]:
        for cluster in self._emr.list_virtual_clusters()["virtualClusters"]:
            yield from self._emr.list_job_runs(virtualClusterId=cluster["id"])["jobRuns"]

    def look(self) -> None:
        """Say what is new."""
        for run in self._list():
            if run["id"] not in self._before and self._states.get(run["id"]) != run["state"]:
                self._states[run["id"]] = run["state"]
                self._see(run)

    def _see(self, run: dict[str, Any]) -> None:
        details = run.get("stateDetails") if run["state"] == "FAILED" else None
        self._say(f"job run {run['id']}: {run['state']}" + (f"\n{details}" if details else ""))
        if run["state"] in FINAL:
            for line in self._driver_output(run["id"]):
                self._say(f"Spark printed: {line}")

    def _driver_output(self, job_run: str) -> list[str]:
        lines = []
        groups = self._logs.describe_log_groups(logGroupNamePrefix="/aws/emr-containers/")
        for group in groups["logGroups"]:
            name = group["logGroupName"]
            lines += [
                event["message"]
                for event in self._logs.filter_log_events(logGroupName=name)["events"]
                if f"/jobs/{job_run}/" in event["logStreamName"]
                and event["logStreamName"].endswith("-driver/stdout")
            ]
        return lines

    def cancel(self) -> None:
        """Cancel those that have not ended."""
        for run in self._list():
            if run["id"] not in self._before and run["state"] not in FINAL:
                self._emr.cancel_job_run(id=run["id"], virtualClusterId=run["virtualClusterId"])
