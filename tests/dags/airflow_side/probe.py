"""What an Airflow makes of a folder of DAGs, as JSON: `probe.py FOLDER CONNECTIONS OUTPUT`.

Runs in the Airflow's own environment. FOLDER is parsed as Airflow's DAG processor does; CONNECTIONS
is a JSON object of connections as Secrets Manager holds them, there only after the parsing.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest import mock
from urllib.parse import parse_qs

from airflow.configuration import conf
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization import serialized_objects

try:
    from airflow.dag_processing.dagbag import DagBag  # Airflow 3.2 and newer
except ImportError:
    from airflow.models.dagbag import DagBag
try:
    from airflow.sdk.execution_time.context import ConnectionAccessor
except ImportError:  # Airflow 2
    from airflow.utils.context import ConnectionAccessor

SECRETS = conf.getimport("secrets", "backend")  # recording_secrets.RecordingSecrets


class Killed(BaseException):
    """What a killed task ends with."""


# ---- Parsing ----


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse every connection and look-up of a name; give what was tried."""
    tried: list[str] = []

    def refuse(name: str) -> Callable[..., NoReturn]:
        def refused(*arguments: object, **_: object) -> NoReturn:
            given = [each for each in arguments if not isinstance(each, socket.socket)]
            tried.append(f"{name} {given}")
            message = "no network while DAGs are parsed"
            raise OSError(message)

        return refused

    with (
        mock.patch.object(socket.socket, "connect", refuse("connect")),
        mock.patch.object(socket.socket, "connect_ex", refuse("connect")),
        mock.patch.object(socket, "getaddrinfo", refuse("look up")),
    ):
        yield tried


def parse_alone(file: Path) -> float:
    """Return how many seconds one file takes, with what it imports beyond Airflow itself.

    Of the processor, since the machine may be busy with something else.
    """
    started = time.process_time()
    DagBag(str(file))
    return time.process_time() - started


def parse(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the DAGs and what their parsing was like."""
    spent = {}
    with no_network() as tried, warnings.catch_warnings():
        warnings.simplefilter("always")
        for file in sorted(folder.rglob("*.py")):
            # As the DAG processor does: a process for each, forked from one with Airflow loaded.
            with multiprocessing.get_context("fork").Pool(1) as pool:
                spent[within(folder, file)] = pool.apply(parse_alone, (file,))
        bag = DagBag(str(folder))
    return bag, {
        "errors": {Path(path).name: text for path, text in bag.import_errors.items()},
        "seconds": spent,
        "network": tried,
        "secrets": list(SECRETS.asked),
        # What Airflow shows as the warnings of a DAG: all that loading its file has given rise to.
        "warnings": [text for each in bag.captured_warnings.values() for text in each],
    }


def within(folder: Path, file: Path | str) -> str:
    """Return a file's place in the folder."""
    return Path(file).relative_to(folder).as_posix()


def seconds(span: timedelta | None) -> float | None:
    return span.total_seconds() if span else None


def callbacks(task: Any) -> list[Any]:  # noqa: ANN401
    """Return what is called when a task has failed."""
    given = task.on_failure_callback
    return given if isinstance(given, list) else [given] if given else []


def describe(dag: Any, folder: Path) -> dict[str, Any]:  # noqa: ANN401  (it moves between Airflows)
    """Return what Airflow knows about a DAG."""
    serializer = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG)
    versioned = getattr(SerializedDagModel, "hash", None)  # Airflow 2 has no versions of DAGs
    return {
        "file": within(folder, dag.fileloc),
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "description": dag.description,
        "catchup": dag.catchup,
        "timeout": seconds(dag.dagrun_timeout),
        "hash": versioned(serializer.to_dict(dag)) if versioned else None,
        "tasks": {
            task.task_id: {
                "operator": type(task).__name__,
                "owner": task.owner,
                "retries": task.retries,
                "timeout": seconds(task.execution_timeout),
                "deferrable": getattr(task, "deferrable", False),
                "tells": [each.__name__ for each in callbacks(task)],
            }
            for task in dag.tasks
        },
    }


# ---- Running ----


def rendered(bag: Any, dag_id: str, **params: str) -> Any:  # noqa: ANN401
    """Return the DAG's only task, its templates filled in as the task runner does."""
    dag = bag.dags[dag_id]
    (task,) = dag.tasks
    task = task.prepare_for_execution()
    given = copy.deepcopy(dag.params)
    given.update(params)
    SECRETS.asked.clear()
    task.render_template_fields({"conn": ConnectionAccessor(), "params": given.validate()})
    return task


def failure(action: Callable[[], object]) -> str:
    """Return what the action fails with."""
    try:
        action()
    except (Exception, Killed) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def pod(bag: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the pod that the operator would ask for, and what it deletes when it is killed."""
    # Only now: what a DAG imports counts as the time that it takes to parse.
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook  # noqa: PLC0415
    from kubernetes.client import ApiClient  # noqa: PLC0415

    task = rendered(bag, "kubernetes_pod_example")
    cluster = mock.Mock()
    with (
        mock.patch.object(KubernetesHook, "is_in_cluster", new=False),
        mock.patch.object(type(task), "client", new=cluster),
    ):
        asked = task.build_pod_request_obj()
        task.pod = asked
        task.on_kill()
    return {
        "pod": ApiClient().sanitize_for_serialization(asked),
        "cluster": task.cluster_name,
        "region": task.region,
        "namespace": task.namespace,
        "logs": task.get_logs,
        "on_finish": task.on_finish_action.value,
        "killed": [call.kwargs for call in cluster.delete_namespaced_pod.call_args_list],
        "secrets": sorted(set(SECRETS.asked)),
    }


def xcom_pod(bag: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the pod that the operator would ask for so that it returns a value."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook  # noqa: PLC0415
    from airflow.providers.cncf.kubernetes.utils.xcom_sidecar import PodDefaults  # noqa: PLC0415
    from kubernetes import client as k8s  # noqa: PLC0415

    task = rendered(bag, "kubernetes_pod_example")
    task.do_xcom_push = True
    task.kubernetes_conn_id = KubernetesHook.default_conn_name
    task.__dict__.pop("hook", None)
    # README's lines for an older provider, which takes no security context from the connection.
    settable = hasattr(KubernetesHook, "get_xcom_sidecar_container_security_context")
    if not settable:
        PodDefaults.SIDECAR_CONTAINER.security_context = k8s.V1SecurityContext(
            allow_privilege_escalation=False, capabilities=k8s.V1Capabilities(drop=["ALL"])
        )
    with mock.patch.object(KubernetesHook, "is_in_cluster", new=False):
        asked = task.build_pod_request_obj()
    pod = k8s.ApiClient().sanitize_for_serialization(asked)
    return {"pod": pod, "settable": settable, "secrets": sorted(set(SECRETS.asked))}


WHY = {"failureReason": "USER_ERROR", "stateDetails": "no such file"}


class EmrContainers(BaseHTTPRequestHandler):
    """Says yes to every job run and gives it the states wanted; a cancelled one is cancelled."""

    requests: list[dict[str, Any]]
    states: list[str]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).requests.append(
            {"verb": self.command, "path": self.path, "body": json.loads(body or "null")}
        )
        if self.command == "DELETE":
            type(self).states = ["CANCELLED"]
        state = self.states[0] if len(self.states) == 1 else self.states.pop(0)
        run = {"id": "job-1", "state": state, **WHY}
        started = {"id": "job-1", "virtualClusterId": "vc"}
        answer = json.dumps({"jobRun": run} if self.command == "GET" else started).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  (names of the base class)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def job(
    bag: Any,  # noqa: ANN401
    states: list[str],
    dag_id: str = "emr_eks_pi_job",
    **params: str,
) -> dict[str, Any]:
    """Run the Spark task against an EMR that answers with the states, and kill it as it waits."""
    task = rendered(bag, dag_id, **params)
    EmrContainers.requests, EmrContainers.states = [], states
    server = ThreadingHTTPServer(("127.0.0.1", 0), EmrContainers)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    environment = {
        "AWS_ENDPOINT_URL_EMR_CONTAINERS": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def kill(_: float) -> NoReturn:
        task.on_kill()  # as Airflow does when it gets the signal
        raise Killed

    with mock.patch.dict(os.environ, environment), mock.patch.object(time, "sleep", kill):
        failed = failure(lambda: task.execute({}))
    server.shutdown()
    return {
        "failed": failed,
        "requests": EmrContainers.requests,
        "secrets": sorted(set(SECRETS.asked)),
        "region": task.region_name,
    }


class Sns(BaseHTTPRequestHandler):
    """Takes what is published."""

    published: list[dict[str, list[str]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        type(self).published.append(parse_qs(body))
        result = "<PublishResult><MessageId>1</MessageId></PublishResult>"
        answer = f"<PublishResponse>{result}</PublishResponse>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def alarm(bag: Any, exception: object = None, **changes: str) -> list[dict[str, list[str]]]:  # noqa: ANN401
    """Return what is published when the Spark task fails."""
    (task,) = bag.dags["emr_eks_pi_job"].tasks
    Sns.published = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sns)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    environment = {
        "AWS_ENDPOINT_URL_SNS": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    names = {"dag_id": task.dag_id, "task_id": task.task_id, "try_number": 2, **changes}
    instance = SimpleNamespace(**names, log_url="https://airflow.example.com/log")
    context = {"ti": instance, "run_id": "manual__1", "exception": exception}
    with mock.patch.dict(os.environ, environment):
        for each in callbacks(task):
            each(context)
    server.shutdown()
    return Sns.published


def run(bag: Any, connections: dict[str, str]) -> dict[str, Any]:  # noqa: ANN401
    """Return what both tasks do with the connections."""
    unheard = alarm(bag, RuntimeError("no connection"))
    SECRETS.connections.update(connections)
    team = next(name for name in connections if name.startswith("emr_eks_"))
    return {
        "pod": pod(bag),
        "xcom": xcom_pod(bag),
        "job": job(bag, ["COMPLETED"]),
        "report": job(bag, ["COMPLETED"], "emr_eks_sales_report"),
        "team": job(bag, ["COMPLETED"], connection=team),
        "unheard": unheard,
        "alarm": alarm(bag, RuntimeError("no such file")),
        "long_alarm": alarm(bag, "x" * 300_000, task_id="größer" * 50),
        "failing": job(bag, ["FAILED"]),
        "killed": job(bag, ["RUNNING"]),
        "unknown": failure(lambda: rendered(bag, "emr_eks_pi_job", connection="emr_eks_nobody")),
        "foreign": failure(lambda: rendered(bag, "emr_eks_pi_job", connection="eks")),
    }


def main(folder: str, connections: str, output: str) -> None:
    """Write what is found out; what goes wrong after the parsing is told in `crash`."""
    sys.path.append(folder)  # as Airflow does for the modules that DAGs import
    bag, found = parse(Path(folder))
    found["dags"] = {dag_id: describe(dag, Path(folder)) for dag_id, dag in bag.dags.items()}
    try:
        found["run"] = run(bag, json.loads(connections))
    except Exception:  # any: the tests show it
        found["crash"] = traceback.format_exc()
    Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
