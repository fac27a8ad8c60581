"""Both ways of running work, end to end: the DAG files that MWAA got, in a real Airflow."""

from __future__ import annotations

import gzip
import json
import re
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import psutil
import pytest
from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.stream import portforward

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from sandbox.tests.ended import ended
from sandbox.tests.serving import serving
from tests.browser import browsed
from tests.platform.example_dags import (
    FINAL,
    JOB_BUCKET,
    NAME,
    POD,
    REPORT,
    SPARK,
    changed,
    job_runs,
    nodes,
    pods,
    without,
)
from tests.spark import read_parquet

LOG_GROUP = f"/aws/emr-containers/{NAME}-mwaa"
LOG = ".sandbox/logs/airflow-dags.log"


def _fails(clone: Clone, dag: str, changes: Mapping[str, str]) -> str:
    """Run a changed example, which must fail, and return what is shown of that."""
    with changed(clone, dag, changes) as variant:
        done = clone.sandbox("dags", variant, check=False)
    assert done.returncode == 1, done.stdout[-4000:]
    return done.stdout


def _log(clone: Clone) -> str:
    """What Airflow itself printed."""
    return (clone.directory / LOG).read_text()


def _said(told: str) -> list[str]:
    """The lines with a time, without the time."""
    return re.findall(r"^ +\d+\.\d s  (.*)$", told, re.MULTILINE)


def test_the_examples_are_successful(platform: Clone) -> None:
    idle = nodes(platform)
    done = platform.sandbox("dags")
    assert nodes(platform) == idle, "the nodes that there are at least have room for each of them"
    assert re.search(r"\[base\] .*step 3 of 3", _log(platform)), "the pod's log"
    assert pods(platform) == []
    run, report = job_runs(platform)
    assert {run["state"], report["state"]} == {"COMPLETED"}
    pi = re.search(r"Pi is roughly (3\.1\d+)", done.stdout)
    assert pi

    before, of_pod, of_spark, of_report = re.split("^== .*\n", done.stdout, flags=re.MULTILINE)
    (pod,) = re.findall(r"Hello from (\S+),", done.stdout)
    assert _said(of_pod) == [
        "run_pod: running",
        f"{pod}: Hello from {pod}, a pod that Airflow has started",
        *(f"{pod}: step {step} of 3" for step in (1, 2, 3)),
        "run_pod: success",
        f"{POD} was successful",
    ]
    phases = re.compile(r"(\S+): (?:Pending|Running|Succeeded|Failed)\b")
    seen = {found[1] for line in _said(of_spark) if (found := phases.match(line))}
    assert {name.removeprefix("pythonpi-")[16:] for name in seen if "-exec-" in name} == {
        "-exec-1",
        "-exec-2",
    }
    assert f"spark-{run['id']}-driver" in seen
    assert re.search(r"-driver: Running, Spark's page is http://127\.", of_spark)
    said = [line for line in _said(of_spark) if not phases.match(line)]
    assert [line for line in said if line.startswith("compute_pi")] == [
        "compute_pi: running",
        "compute_pi: success",
    ]
    # A job run may leave the states before RUNNING too fast to be seen there.
    ran = said.index(f"job run {run['id']}: RUNNING")
    assert said[ran + 1 : ran + 3] == [f"job run {run['id']}: COMPLETED", f"Spark printed: {pi[0]}"]
    assert said[-1] == f"{SPARK} was successful"
    said = [line for line in _said(of_report) if not phases.match(line)]
    done_at = said.index(f"job run {report['id']}: COMPLETED")
    printed = [line.removeprefix("Spark printed: ") for line in said[done_at + 1 : done_at + 5]]
    assert printed[0].endswith("/input/sales/: an example is put there")
    assert printed[1:] == ["de: 5 units, 16.00", "fr: 5 units, 54.70", "it: 5 units, 63.60"]
    assert said[-1] == f"{REPORT} was successful"
    told = (before + of_pod + of_spark + of_report).splitlines()
    assert len(told) - len(_said(done.stdout)) == 1
    assert told[-1] == f"all that Airflow printed is in {LOG}"

    streams = platform.aws("logs").describe_log_streams(logGroupName=LOG_GROUP)["logStreams"]
    path = (
        f"{run['virtualClusterId']}/jobs/{run['id']}/containers/spark-{run['id']}/"
        f"spark-{run['id']}-driver"
    )
    names = {one["logStreamName"] for one in streams}
    assert {f"{SPARK}/{path}/stdout", f"{SPARK}/{path}/stderr"} <= names
    of_executors = f"{SPARK}/{path.rpartition('/')[0]}/pythonpi-"
    assert any(name.startswith(of_executors) for name in names)
    kept = platform.aws("s3").get_object(Bucket=JOB_BUCKET, Key=f"mwaa/logs/{path}/stdout.gz")
    assert pi[0] in gzip.decompress(kept["Body"].read()).decode()
    errors = platform.aws("s3").get_object(Bucket=JOB_BUCKET, Key=f"mwaa/logs/{path}/stderr.gz")
    told = gzip.decompress(errors["Body"].read()).decode()
    for executor in (1, 2):
        assert re.search(rf"Registered executor .* with ID {executor}\b", told)


def test_what_a_job_has_added_up_is_parquet_of_its_team(platform: Clone, tmp_path: Path) -> None:
    s3, prefix = platform.aws("s3"), "mwaa/output/sales_by_country/"
    listed = s3.list_objects_v2(Bucket=JOB_BUCKET, Prefix=prefix)["Contents"]
    (key,) = (one["Key"] for one in listed if one["Key"].endswith(".parquet"))
    s3.download_file(JOB_BUCKET, key, str(tmp_path / "report.parquet"))
    # By a Spark that has nothing to do with the job.
    assert read_parquet(tmp_path / "report.parquet") == [
        ["de", "5", "16.00"],
        ["fr", "5", "54.70"],
        ["it", "5", "63.60"],
    ]


@contextmanager
def _forwarded(clone: Clone, pod: str, namespace: str, port: int) -> Iterator[str]:
    """The address on this machine of a pod's port, as `kubectl port-forward` makes one."""

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            # Of its own, since it is changed while it asks for a WebSocket.
            core: Any = CoreV1Api(ApiClient(clone.kubernetes.configuration))
            there = portforward(
                core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)
            ).socket(port)
            other = {self.request: there, there: self.request}
            while True:
                for one in select.select([*other], [], [])[0]:
                    if not (content := one.recv(65536)):
                        there.close()
                        return
                    other[one].sendall(content)

    with serving(ThreadingTCPServer(("127.0.0.1", 0), Connection)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="module")
def history(platform: Clone) -> Iterator[str]:
    """The page of the default team's history server, on this machine."""
    (pod,) = _pods_of(platform, "emr-mwaa", "app.kubernetes.io/name=spark-history")
    with _forwarded(platform, pod, "emr-mwaa", 18080) as url:
        yield url


def _pods_of(clone: Clone, namespace: str, selector: str) -> list[str]:
    core: Any = CoreV1Api(clone.kubernetes)
    found = core.list_namespaced_pod(namespace, label_selector=selector).items
    return [pod.metadata.name for pod in found]


def _applications(url: str) -> dict[str, Any]:
    """The finished applications that a history server knows, by their names."""
    address = f"{url}/api/v1/applications?status=completed"
    with urllib.request.urlopen(address, timeout=30) as response:  # noqa: S310
        return {one["name"]: one for one in json.load(response)}


def test_finished_jobs_are_in_the_history(platform: Clone, history: str) -> None:
    wait_for(lambda: {"PythonPi", "sales_report"} <= _applications(history).keys(), "both jobs")
    logged = platform.aws("s3").list_objects_v2(Bucket=JOB_BUCKET, Prefix="mwaa/spark-events/")
    names = {one["Key"].rpartition("/")[2] for one in logged["Contents"]}
    assert {one["id"] for one in _applications(history).values()} <= names


def test_a_browser_shows_the_finished_pi_job(history: str, tmp_path: Path) -> None:
    wait_for(lambda: "PythonPi" in _applications(history), "the job")
    application = _applications(history)["PythonPi"]["id"]
    page = browsed(f"{history}/", tmp_path)
    assert "PythonPi" in page
    assert f'href="/history/{application}/jobs/"' in page
    jobs = browsed(f"{history}/history/{application}/jobs/", tmp_path)
    assert re.search(r"Completed Jobs:", jobs)
    assert "reduce at" in jobs


def test_a_bad_entry_point_fails_and_says_why(platform: Clone) -> None:
    told = _fails(platform, SPARK, {"main/python/pi.py": "main/python/nothing.py"})
    failed = job_runs(platform)[-1]
    assert f"job run {failed['id']}: FAILED\n          {failed['stateDetails']}\n" in told
    assert re.search(r"Spark printed: .*can't open file .*nothing\.py", told)
    assert re.search(r"compute_pi: failed\n +\S*Exception: .*Final state is FAILED", told)
    assert told.endswith(f"all that Airflow printed is in {LOG}\n")
    assert failed["state"] == "FAILED"
    assert failed["failureReason"] == "USER_ERROR"
    assert "nothing.py" in failed["stateDetails"]


def test_a_failing_pod_shows_what_it_printed_and_how_it_ended(platform: Clone) -> None:
    told = _fails(platform, POD, {"sleep 1\n": "exit 3\n"})
    (pod,) = re.findall(r"Hello from (\S+),", told)
    assert _said(told)[-5:] == [
        f"{pod}: Hello from {pod}, a pod that Airflow has started",
        f"{pod}: step 1 of 3",
        f"{pod}: ended with exit code 3",
        "run_pod: failed",
        f"{POD}_changed has failed",
    ]
    assert re.search(rf"run_pod: failed\n +\S*Exception: Pod {pod} returned a failure", told)
    assert told.endswith(f"all that Airflow printed is in {LOG}\n")
    assert len(told.splitlines()) < 20


def test_a_mistake_in_a_dag_is_shown(platform: Clone) -> None:
    told = _fails(platform, POD, {"import EksPodOperator": "import PodOperator"})
    assert "ImportError: cannot import name 'PodOperator'" in told
    assert told.endswith(f"all that Airflow printed is in {LOG}\n")


@pytest.mark.parametrize(
    ("dag", "changes", "sign"),
    [
        (POD, {"for step in 1 2 3": "for step in $(seq 600)"}, "step 2 of 3"),
        (SPARK, {'["10"]': '["100000"]'}, ": RUNNING"),
    ],
)
def test_ctrl_c_ends_a_run_at_once_with_what_it_has_started(
    platform: Clone, tmp_path: Path, dag: str, changes: dict[str, str], sign: str
) -> None:
    told = tmp_path / "told"
    with (
        changed(platform, dag, changes) as variant,
        told.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "sandbox", "dags", variant],
            cwd=platform.directory,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_for(lambda: sign in told.read_text(), sign)
            parts = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
        finally:
            process.kill()
    _, left = psutil.wait_procs(parts, timeout=5)
    assert parts
    assert all(ended(part.pid) for part in left)
    assert "Traceback" not in told.read_text()
    assert _said(told.read_text())[-1] == "interrupted; its pods and job runs are ended too"
    wait_for(lambda: pods(platform) == [], "the pod's end")
    wait_for(lambda: all(run["state"] in FINAL for run in job_runs(platform)), "the job run's end")


WHO = f"""
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
s3 = boto3.client("s3")
s3.put_object(Bucket="{JOB_BUCKET}", Key="risk/data/result")
try:
    s3.put_object(Bucket="{JOB_BUCKET}", Key="mwaa/data/result")
except s3.exceptions.ClientError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def of_another_team(platform: Clone) -> subprocess.CompletedProcess[str]:
    """What is said, with all that Airflow prints, of another team's job whose entry point is in
    the bucket and whose operator is deferrable."""
    s3, place = platform.aws("s3"), {"Bucket": JOB_BUCKET, "Key": "risk/code/who.py"}
    s3.put_object(**place, Body=WHO.encode())
    changes = {
        "local:///usr/lib/spark/examples/src/main/python/pi.py": f"s3://{JOB_BUCKET}/{place['Key']}",
        "deferrable=False": "deferrable=True",
    }
    with changed(platform, SPARK, changes) as variant:
        done = platform.sandbox(
            *("dags", "--verbose", variant, "--conf", '{"connection": "emr_eks_risk"}')
        )
    s3.delete_object(**place)
    s3.delete_object(Bucket=JOB_BUCKET, Key="risk/data/result")
    return done


def test_verbose_shows_all_that_airflow_prints(
    of_another_team: subprocess.CompletedProcess[str],
) -> None:
    told = of_another_team.stdout + of_another_team.stderr
    assert "Marking run <DagRun" in told
    assert "Start Job Run success - Job Id" in told, "the operator's log"
    assert f"{SPARK}_changed was successful" in _said(of_another_team.stdout)
    assert LOG not in told


def test_a_deferrable_operator_waits_in_a_trigger(
    of_another_team: subprocess.CompletedProcess[str],
) -> None:
    log = of_another_team.stdout + of_another_team.stderr
    assert log.index("Pausing task as DEFERRED") < log.index("Trigger completed")


def test_another_team_runs_a_job_as_itself(
    platform: Clone, of_another_team: subprocess.CompletedProcess[str]
) -> None:
    outputs = platform.outputs()
    (run,) = platform.aws("emr-containers").list_job_runs(
        virtualClusterId=outputs["virtual_cluster_ids"]["risk"]
    )["jobRuns"]
    assert run["state"] == "COMPLETED"
    assert run["executionRoleArn"] == outputs["job_role_arns"]["risk"]
    assert outputs["job_role_arns"]["risk"] != outputs["emr_on_eks_role_arn"]


def test_an_entry_point_in_the_bucket_runs_as_the_teams_role(
    platform: Clone, of_another_team: subprocess.CompletedProcess[str]
) -> None:
    role = platform.outputs()["job_role_arns"]["risk"].rpartition("/")[2]
    told = of_another_team.stdout
    assert f"Spark printed: arn:aws:sts::123456789012:assumed-role/{role}/eks-" in told
    another = f"s3:PutObject on resource: arn:aws:s3:::{JOB_BUCKET}/mwaa/data/result"
    assert f"is not authorized to perform: {another}" in told


def test_without_its_policy_airflow_gets_no_dags(platform: Clone) -> None:
    with without(platform, "s3:GetObject"):
        done = platform.sandbox("dags", SPARK, check=False)
    assert done.returncode == 1
    assert "is not authorized to perform: s3:ListBucket" in done.stderr
