"""Both ways of running work, end to end: the DAG files that MWAA got, in a real Airflow."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import psutil
import pytest
from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.stream import portforward

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from sandbox.tests import stranger
from tests.spark import read_parquet

pytestmark = pytest.mark.dag_runs

NAME = "mwaa-on-eks-sandbox"
DAG_BUCKET = f"{NAME}-dags-123456789012"
JOB_BUCKET = f"{NAME}-jobs-123456789012"
LOG_GROUP = f"/aws/emr-containers/{NAME}-mwaa"
POD, SPARK, REPORT = "kubernetes_pod_example", "emr_eks_pi_job", "emr_eks_sales_report"
LOG = ".sandbox/logs/airflow-dags.log"
FINAL = {"CANCELLED", "COMPLETED", "FAILED"}


@contextmanager
def _variant(clone: Clone, dag: str, changes: Mapping[str, str]) -> Iterator[str]:
    """A DAG that differs from an example in some of its text, delivered as MWAA would get it."""
    variant = f"{dag}_changed"
    text = (clone.directory / "dags" / f"{dag}.py").read_text()
    for old, new in {**changes, f'dag_id="{dag}"': f'dag_id="{variant}"'}.items():
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r'"retries": \d+', '"retries": 0', text)
    s3, place = clone.aws("s3"), {"Bucket": DAG_BUCKET, "Key": f"dags/{variant}.py"}
    s3.put_object(**place, Body=text.encode())
    try:
        yield variant
    finally:
        s3.delete_object(**place)


def _fails(clone: Clone, dag: str, changes: Mapping[str, str]) -> str:
    """Run a changed example, which must fail, and return what is shown of that."""
    with _variant(clone, dag, changes) as variant:
        done = clone.sandbox("dags", variant, check=False)
    assert done.returncode == 1, done.stdout[-4000:]
    return done.stdout


def _pods(clone: Clone, namespace: str = "mwaa") -> list[str]:
    core: Any = CoreV1Api(clone.kubernetes)
    return [pod.metadata.name for pod in core.list_namespaced_pod(namespace).items]


def _nodes(clone: Clone) -> set[str]:
    core: Any = CoreV1Api(clone.kubernetes)
    return {node.metadata.name for node in core.list_node().items}


def _runs(clone: Clone) -> list[dict[str, Any]]:
    """The job runs of the default team."""
    virtual_cluster = clone.outputs()["emrcontainers_virtual_cluster_id"]
    runs: list[dict[str, Any]] = clone.aws("emr-containers").list_job_runs(
        virtualClusterId=virtual_cluster
    )["jobRuns"]
    return runs


def _log(clone: Clone) -> str:
    """What Airflow itself printed."""
    return (clone.directory / LOG).read_text()


def _said(told: str) -> list[str]:
    """The lines with a time, without the time."""
    return re.findall(r"^ +\d+\.\d s  (.*)$", told, re.MULTILINE)


def test_the_examples_are_successful(platform: Clone) -> None:
    idle = _nodes(platform)
    done = platform.sandbox("dags")
    assert _nodes(platform) == idle, "the nodes that there are at least have room for each of them"
    assert re.search(r"\[base\] .*step 3 of 3", _log(platform)), "the pod's log"
    assert _pods(platform) == []
    run, report = _runs(platform)
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

    with ThreadingTCPServer(("127.0.0.1", 0), Connection) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def history(platform: Clone) -> Iterator[str]:
    """The page of the default team's history server, on this machine."""
    platform.pulumi("config", "set", "--path", "spark.historyServer", "true")
    platform.pulumi("up", "--yes", "--skip-preview")
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
    page = _browsed(f"{history}/", tmp_path)
    assert "PythonPi" in page
    assert f'href="/history/{application}/jobs/"' in page
    jobs = _browsed(f"{history}/history/{application}/jobs/", tmp_path)
    assert re.search(r"Completed Jobs:", jobs)
    assert "reduce at" in jobs


def test_a_deferrable_operator_waits_in_a_trigger(platform: Clone) -> None:
    with _variant(platform, SPARK, {"deferrable=False": "deferrable=True"}) as variant:
        done = platform.sandbox("dags", variant)
    assert "Spark printed: Pi is roughly 3.1" in done.stdout
    log = _log(platform)
    assert log.index("Pausing task as DEFERRED") < log.index("Trigger completed")


def test_a_bad_entry_point_fails_and_says_why(platform: Clone) -> None:
    told = _fails(platform, SPARK, {"main/python/pi.py": "main/python/nothing.py"})
    failed = _runs(platform)[-1]
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


def test_without_its_rule_airflow_does_not_reach_the_cluster(platform: Clone) -> None:
    ec2 = platform.aws("ec2")
    cluster = platform.aws("eks").describe_cluster(name=NAME)["cluster"]
    group = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    (rule,) = (one for one in rules["SecurityGroupRules"] if one["FromPort"] == 443)
    airflow = rule["ReferencedGroupInfo"]["GroupId"]
    ec2.revoke_security_group_ingress(
        GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    told = _fails(platform, POD, {})
    assert "Connection reset by peer" in told
    assert airflow in str(platform.aws("mwaa").get_environment(Name=NAME)["Environment"])
    platform.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert f"{POD} was successful" in platform.sandbox("dags", POD).stdout


def test_a_mistake_in_a_dag_is_shown(platform: Clone) -> None:
    told = _fails(platform, POD, {"import EksPodOperator": "import PodOperator"})
    assert "ImportError: cannot import name 'PodOperator'" in told
    assert told.endswith(f"all that Airflow printed is in {LOG}\n")


def test_verbose_shows_all_that_airflow_prints(platform: Clone) -> None:
    done = platform.sandbox("dags", "--verbose", POD)
    told = done.stdout + done.stderr
    assert re.search(r"\[base\] .*step 3 of 3", told)
    assert "Marking run <DagRun" in told
    assert f"{POD} was successful" in _said(done.stdout)
    assert LOG not in told


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
        _variant(platform, dag, changes) as variant,
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
    assert not [part for part in left if part.status() != psutil.STATUS_ZOMBIE]
    assert "Traceback" not in told.read_text()
    assert _said(told.read_text())[-1] == "interrupted; its pods and job runs are ended too"
    wait_for(lambda: _pods(platform) == [], "the pod's end")
    wait_for(lambda: all(run["state"] in FINAL for run in _runs(platform)), "the job run's end")


def test_an_entry_point_in_the_bucket_runs_as_the_teams_role(platform: Clone) -> None:
    script = f"""
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
s3 = boto3.client("s3")
s3.put_object(Bucket="{JOB_BUCKET}", Key="mwaa/data/result")
try:
    s3.put_object(Bucket="{JOB_BUCKET}", Key="risk/data/result")
except s3.exceptions.ClientError as error:
    print(error)
"""
    s3, place = platform.aws("s3"), {"Bucket": JOB_BUCKET, "Key": "mwaa/code/who.py"}
    s3.put_object(**place, Body=script.encode())
    pi = "local:///usr/lib/spark/examples/src/main/python/pi.py"
    with _variant(platform, SPARK, {pi: f"s3://{place['Bucket']}/{place['Key']}"}) as variant:
        done = platform.sandbox("dags", variant)
    s3.delete_object(**place)
    s3.delete_object(Bucket=JOB_BUCKET, Key="mwaa/data/result")
    role = platform.outputs()["emr_on_eks_role_arn"].rpartition("/")[2]
    assert f"Spark printed: arn:aws:sts::123456789012:assumed-role/{role}/eks-" in done.stdout
    another = f"s3:PutObject on resource: arn:aws:s3:::{JOB_BUCKET}/risk/data/result"
    assert f"is not authorized to perform: {another}" in done.stdout


def test_a_team_that_settings_add_runs_a_job_as_itself(platform: Clone) -> None:
    for number, team in enumerate(("mwaa", "risk")):
        platform.pulumi("config", "set", "--path", f"spark.teams[{number}].name", team)
    platform.pulumi("up", "--yes", "--skip-preview")
    platform.sandbox("dags", SPARK, "--conf", '{"connection": "emr_eks_risk"}')
    outputs = platform.outputs()
    (run,) = platform.aws("emr-containers").list_job_runs(
        virtualClusterId=outputs["virtual_cluster_ids"]["risk"]
    )["jobRuns"]
    assert run["state"] == "COMPLETED"
    assert run["executionRoleArn"] == outputs["job_role_arns"]["risk"]
    assert outputs["job_role_arns"]["risk"] != outputs["emr_on_eks_role_arn"]


def test_a_pod_in_another_namespace_is_forbidden(platform: Clone) -> None:
    told = _fails(platform, POD, {'"{{ conn.eks.extra_dejson.namespace }}"': '"default"'})
    assert re.search(r'403|"code":\s*403', told)
    assert re.search(r"cannot \w+ resource \S*pods\S* in API group \S* in the namespace", told)
    assert _pods(platform, "default") == []


def test_a_pod_below_the_pod_security_standard_is_forbidden(platform: Clone) -> None:
    told = _fails(platform, POD, {"allow_privilege_escalation=False": "privileged=True"})
    assert "violates PodSecurity" in told
    assert "restricted" in told
    assert _pods(platform) == []


def test_without_its_group_airflow_may_run_no_pod(platform: Clone) -> None:
    eks = platform.aws("eks")
    environment = platform.aws("mwaa").get_environment(Name=NAME)["Environment"]
    entry = {"clusterName": NAME, "principalArn": environment["ExecutionRoleArn"]}
    groups = eks.describe_access_entry(**entry)["accessEntry"]["kubernetesGroups"]
    assert groups
    eks.update_access_entry(**entry, kubernetesGroups=[])
    try:
        told = _fails(platform, POD, {})
    finally:
        eks.update_access_entry(**entry, kubernetesGroups=groups)
    assert "is forbidden" in told


def test_a_job_with_another_role_is_refused(platform: Clone) -> None:
    before = len(_runs(platform))
    role = "arn:aws:iam::123456789012:role/another"
    told = _fails(platform, SPARK, {'setting("job_role_arn")': f'"{role}"'})
    assert "AccessDeniedException" in told
    assert "is not authorized to perform: emr-containers:StartJobRun" in told
    assert len(_runs(platform)) == before


@contextmanager
def _without(clone: Clone, action: str) -> Iterator[None]:
    """Take the policy that allows an action from the execution role."""
    iam = clone.aws("iam")
    environment = clone.aws("mwaa").get_environment(Name=NAME)["Environment"]
    role = environment["ExecutionRoleArn"].rpartition("/")[2]
    inline = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    managed = {
        one["PolicyArn"]: iam.get_policy_version(
            PolicyArn=one["PolicyArn"],
            VersionId=iam.get_policy(PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"],
        )["PolicyVersion"]["Document"]
        for one in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    }
    (found,) = (
        name for name, document in (inline | managed).items() if action in json.dumps(document)
    )
    if found in managed:
        iam.detach_role_policy(RoleName=role, PolicyArn=found)
    else:
        iam.delete_role_policy(RoleName=role, PolicyName=found)
    try:
        yield
    finally:
        if found in managed:
            iam.attach_role_policy(RoleName=role, PolicyArn=found)
        else:
            iam.put_role_policy(
                RoleName=role, PolicyName=found, PolicyDocument=json.dumps(inline[found])
            )


def test_without_its_policy_airflow_may_start_no_job(platform: Clone) -> None:
    before = len(_runs(platform))
    with _without(platform, "emr-containers:StartJobRun"):
        told = _fails(platform, SPARK, {})
    assert "is not authorized to perform: emr-containers:StartJobRun" in told
    assert len(_runs(platform)) == before


def test_without_its_policy_airflow_gets_no_dags(platform: Clone) -> None:
    with _without(platform, "s3:GetObject"):
        done = platform.sandbox("dags", SPARK, check=False)
    assert done.returncode == 1
    assert "is not authorized to perform: s3:ListBucket" in done.stderr


@dataclass(frozen=True)
class Served:
    """An Airflow with its page, and the ids of two DAGs that take long."""

    process: subprocess.Popen[bytes]
    url: str
    password: str
    log: Path
    """What `make airflow` says."""
    pod_dag: str = ""
    spark_dag: str = ""

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Ask Airflow's API."""
        login = urllib.request.Request(  # noqa: S310
            f"{self.url}/auth/token",
            json.dumps({"username": "admin", "password": self.password}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(login, timeout=30) as response:  # noqa: S310
            token = json.load(response)["access_token"]
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/api/v2/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            return json.load(response)

    def start(self, dag: str, conf: Mapping[str, str] | None = None) -> str:
        """Start a run and return the path of its only task."""
        self.ask("PATCH", f"dags/{dag}", {"is_paused": False})
        told = {"logical_date": None, "conf": conf or {}}
        run = self.ask("POST", f"dags/{dag}/dagRuns", told)["dag_run_id"]
        path = f"dags/{dag}/dagRuns/{run}/taskInstances"
        wait_for(lambda: self.ask("GET", path)["total_entries"] == 1, "a task")
        (task,) = self.ask("GET", path)["task_instances"]
        return f"{path}/{task['task_id']}"

    def finish(self, dag: str, conf: Mapping[str, str] | None = None) -> str:
        """Run a DAG of one task to its success and return what the task printed."""
        task = self.start(dag, conf)
        ended = ("success", "failed", "up_for_retry")
        wait_for(lambda: self.ask("GET", task)["state"] in ended, f"the end of {dag}")
        log = self.ask("GET", f"{task}/logs/1")["content"]
        printed = "\n".join(line["event"] for line in log)
        assert self.ask("GET", task)["state"] == "success", printed
        return printed


@contextmanager
def _airflow(clone: Clone, log: Path, dags: int) -> Iterator[Served]:
    """All of Airflow, once it shows so many DAGs."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "sandbox", "airflow"],
            cwd=clone.directory,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_for(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, "Airflow")
            told = re.search(r"(http://127\.0\.0\.1:\d+), .*password (\S+) ", log.read_text())
            assert told, log.read_text()
            served = Served(process, told[1], told[2], log)
            wait_for(lambda: len(served.ask("GET", "dags")["dags"]) == dags, "all DAGs")
            yield served
        finally:
            process.terminate()
            assert process.wait(60) == 0


VARIABLES = (
    {"key": "release", "value": "1.10", "description": "no number"},
    {"key": "sources", "value": '{"eu": ["a", "b"]}', "description": None},
)
POOL = {"name": "narrow", "slots": 2, "description": "one database", "include_deferred": True}
CONNECTION = {
    **{"connection_id": "reports", "conn_type": "postgres", "host": "db.internal", "port": 5432},
    **{"login": "reader", "schema": "sales", "description": None},
    "extra": '{"sslmode": "require"}',
}


@pytest.fixture(scope="module")
def with_backups(platform: Clone) -> Clone:
    platform.pulumi("config", "set", "--path", "airflow.metadataBackups", "true")
    platform.pulumi("config", "set", "--path", "account.unprotected[0]", "environment")
    platform.pulumi("up", "--yes", "--skip-preview")
    return platform


def _asleep(clone: Clone, value: str, *, check: bool = True) -> str:
    """Put a stack to sleep, or wake it; return what Pulumi printed."""
    clone.pulumi("config", "set", "--path", "account.asleep", value)
    done = clone.pulumi("up", "--yes", "--skip-preview", check=check)
    assert check or done.returncode != 0
    return done.stdout


def _environments(clone: Clone) -> list[str]:
    found: list[str] = clone.aws("mwaa").list_environments()["Environments"]
    return found


def _written(clone: Clone, printed: str) -> tuple[str, str]:
    """The URI that a backup printed, and what is there, encrypted."""
    (uri,) = set(re.findall(r"s3://\S+\.json", printed))
    assert uri.startswith(f"s3://{DAG_BUCKET}/metadata-backups/")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    stored = clone.aws("s3").get_object(Bucket=bucket, Key=key)
    assert stored["ServerSideEncryption"] == "aws:kms"
    return uri, stored["Body"].read().decode()


def test_what_airflow_held_comes_back_after_sleep(with_backups: Clone, tmp_path: Path) -> None:
    with _airflow(with_backups, tmp_path / "old", dags=5) as old:
        for variable in VARIABLES:
            old.ask("POST", "variables", variable)
        old.ask("POST", "variables", {"key": "api_token", "value": "s3cr3t"})
        old.ask("POST", "pools", POOL)
        old.ask("POST", "connections", {**CONNECTION, "password": "s3cr3t"})
        old.finish(POD)
        uri, text = _written(with_backups, old.finish("backup_metadata"))
    document = json.loads(text)
    assert "s3cr3t" not in text
    assert POD in {run["dag_id"] for run in document["dag_runs"]}
    assert ("run_pod", "success") in {
        (t["task_id"], t["state"]) for t in document["task_instances"]
    }
    assert document["environment"] == NAME

    bucket = with_backups.outputs()["job_bucket"]
    _asleep(with_backups, "true")
    assert _environments(with_backups) == []
    groups = with_backups.aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [(group["DesiredCapacity"], group["Instances"]) for group in groups] == [(0, [])]
    assert _nodes(with_backups) == set()
    with_backups.pulumi("preview", "--expect-no-changes")
    _asleep(with_backups, "false")
    assert _environments(with_backups) == [NAME]
    assert len(_nodes(with_backups)) == 2
    assert with_backups.outputs()["job_bucket"] == bucket

    with _airflow(with_backups, tmp_path / "new", dags=5) as new:
        assert new.ask("GET", "variables")["total_entries"] == 0
        new.ask("POST", "variables", {"key": "sources", "value": "another"})
        said = new.finish("restore_metadata", {"document": uri})
        assert "variable release: made" in said
        assert "variable sources: left as it is, with another value" in said
        assert "variable api_token: not made" in said
        assert "pool narrow: made" in said
        assert "connection reports: made without its password" in said
        assert "these DAGs were not paused, and stay as they are here: " in said
        found = new.ask("GET", "connections/reports")
        assert found.items() >= CONNECTION.items()
        assert found["password"] is None
        assert new.ask("GET", "pools/narrow").items() >= POOL.items()
        assert new.ask("GET", "variables")["total_entries"] == 2
        assert {run["dag_id"] for run in new.ask("GET", "dags/~/dagRuns")["dag_runs"]} == {
            "restore_metadata"
        }
        # As it is, and not as the REST API tells it, which says 1.1 of it.
        _, again = _written(with_backups, new.finish("backup_metadata"))
        assert VARIABLES[0] in json.loads(again)["variables"]
        # By connections that Airflow has not in its database.
        new.finish(POD)
    assert f"{SPARK} was successful" in with_backups.sandbox("dags", SPARK).stdout


def test_without_its_policy_airflow_does_not_ask_itself(with_backups: Clone) -> None:
    with _without(with_backups, "airflow:InvokeRestApi"):
        told = _fails(with_backups, "backup_metadata", {})
    assert "is not authorized to perform: airflow:InvokeRestApi" in told


@pytest.fixture(scope="module")
def served(platform: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (
        _variant(platform, POD, {"for step in 1 2 3": "for step in $(seq 600)"}) as pod_dag,
        _variant(platform, SPARK, {'["10"]': '["100000"]'}) as spark_dag,
        _airflow(platform, tmp_path_factory.mktemp("airflow") / "log", dags=7) as served,
    ):
        yield replace(served, pod_dag=pod_dag, spark_dag=spark_dag)


def test_airflow_shows_both_examples_without_an_import_error(served: Served) -> None:
    shown = {dag["dag_id"] for dag in served.ask("GET", "dags")["dags"]}
    assert {POD, SPARK} <= shown
    assert served.ask("GET", "importErrors")["total_entries"] == 0


def test_nobody_is_shown_anything_without_a_login(served: Served) -> None:
    logins = [("GET", "/auth/token", None), ("POST", "/auth/token", b'{"username": "admin"}')]
    guessed = b'{"username": "admin", "password": "admin"}'
    for method, path, body in [
        *logins,
        ("POST", "/auth/token", guessed),
        ("GET", "/auth/token/login", None),
        ("GET", "/api/v2/dags", None),
        ("GET", "/api/v2/connections", None),
        ("GET", "/execution/connections/eks", None),
    ]:
        request = urllib.request.Request(  # noqa: S310
            f"{served.url}{path}", body, {"Content-Type": "application/json"}, method=method
        )
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)  # noqa: S310
        assert refused.value.code in {401, 403, 422}, path
    listening = stranger.listening([served.process.pid])
    assert listening.keys() == {urlsplit(served.url).port}
    assert {address for address, _ in listening.values()} == {"127.0.0.1"}


def _browsed(url: str, home: Path) -> str:
    """What a browser makes of a page."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    browser = next(found, None)
    if browser is None:
        pytest.skip("there is no Chromium or Chrome on PATH to look at a page with")
    return subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"),
            *("--virtual-time-budget=30000", "--dump-dom", url),
        ],
        env={**os.environ, "HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout


def test_a_browser_shows_a_login_and_no_dag(served: Served, tmp_path: Path) -> None:
    page = _browsed(f"{served.url}/dags", tmp_path)
    assert 'type="password"' in page
    assert not re.findall(r'href="/dags/(\w+)"', page)


def test_a_running_dag_keeps_the_stack_awake_and_a_killed_pod_task_leaves_no_pod(
    platform: Clone, with_backups: Clone, served: Served
) -> None:
    task = served.start(served.pod_dag)
    wait_for(lambda: _pods(platform) != [], "a pod")
    (pod,) = _pods(platform)
    core: Any = CoreV1Api(platform.kubernetes)
    wait_for(lambda: core.read_namespaced_pod(pod, "mwaa").status.phase == "Running", "its start")
    wait_for(lambda: "step 2" in core.read_namespaced_pod_log(pod, "mwaa"), "its log")

    nodes = _nodes(with_backups)
    told = _asleep(with_backups, "true", check=False)
    assert "nothing has been put to sleep, since work is under way" in told
    assert f"of the DAG {served.pod_dag} is running" in told
    assert (_nodes(with_backups), _environments(with_backups)) == (nodes, [NAME])
    _asleep(with_backups, "false")

    served.ask("PATCH", task, {"new_state": "failed"})
    wait_for(lambda: _pods(platform) == [], "the pod's end")


def test_a_killed_spark_task_leaves_no_running_job(platform: Clone, served: Served) -> None:
    task = served.start(served.spark_dag)
    wait_for(lambda: any(run["state"] == "RUNNING" for run in _runs(platform)), "a job run")
    wait_for(lambda: "-driver: Spark's page is http://127." in served.log.read_text(), "its page")
    served.ask("PATCH", task, {"new_state": "failed"})
    wait_for(lambda: all(run["state"] in FINAL for run in _runs(platform)), "the job run's end")
    assert _runs(platform)[-1]["state"] == "CANCELLED"


def test_airflow_ends_with_its_terminal_and_its_tasks_with_it(
    platform: Clone, served: Served
) -> None:
    served.start(served.pod_dag)
    wait_for(lambda: _pods(platform) != [], "a pod")
    parts = psutil.Process(served.process.pid).children(recursive=True)
    assert any(os.getpgid(part.pid) != os.getsid(part.pid) for part in parts), "a task"
    served.process.send_signal(signal.SIGHUP)
    assert served.process.wait(60) == 0
    _, left = psutil.wait_procs(parts, timeout=10)
    assert not [part for part in left if part.status() != psutil.STATUS_ZOMBIE]
