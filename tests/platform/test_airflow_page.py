"""Airflow with its page, as `make airflow` runs it: what its tasks may not do, and who is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import psutil
import pytest
from kubernetes.client import CoreV1Api

from sandbox.clone import Clone
from sandbox.machine.waiting import PATIENCE, wait_for
from sandbox.tests import stranger
from sandbox.tests.ended import ended
from tests.browser import browsed
from tests.platform.example_dags import (
    DAG_BUCKET,
    FINAL,
    NAME,
    POD,
    SPARK,
    changed,
    job_runs,
    nodes,
    pods,
    without,
)
from tests.platform.inbox import Inbox, subscribe

SETTINGS = {"airflow.metadataBackups": "true", "account.unprotected[0]": "environment"}


@dataclass
class Served:
    """An Airflow with its page."""

    process: subprocess.Popen[bytes]
    url: str
    password: str
    log: Path
    """What `make airflow` says."""

    @cached_property
    def _token(self) -> str:
        login = urllib.request.Request(  # noqa: S310
            f"{self.url}/auth/token",
            json.dumps({"username": "admin", "password": self.password}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(login, timeout=PATIENCE) as response:  # noqa: S310
            token: str = json.load(response)["access_token"]
        return token

    def ask(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Ask Airflow's API."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/api/v2/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
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

    def fails(self, dag: str) -> str:
        """Run a DAG of one task, which must fail, and return the task's log."""
        task = self.start(dag)
        wait_for(lambda: self.ask("GET", task)["state"] in ("success", "failed"), f"{dag}'s end")
        assert self.ask("GET", task)["state"] == "failed"
        return json.dumps(self.ask("GET", f"{task}/logs/1")["content"])

    def finish(self, dag: str, conf: Mapping[str, str] | None = None) -> str:
        """Run a DAG of one task to its success and return what the task printed."""
        task = self.start(dag, conf)
        ended = ("success", "failed", "up_for_retry")
        wait_for(lambda: self.ask("GET", task)["state"] in ended, f"the end of {dag}")
        log = self.ask("GET", f"{task}/logs/1")["content"]
        assert self.ask("GET", task)["state"] == "success", json.dumps(log, indent=1)
        return "\n".join(line["event"] for line in log)


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


def test_what_airflow_held_comes_back_after_sleep(
    platform: Clone, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with _airflow(platform, tmp_path / "old", dags=5) as old:
        for variable in VARIABLES:
            old.ask("POST", "variables", variable)
        old.ask("POST", "variables", {"key": "api_token", "value": "s3cr3t"})
        old.ask("POST", "pools", POOL)
        old.ask("POST", "connections", {**CONNECTION, "password": "s3cr3t"})
        old.finish(POD)
        uri, text = _written(platform, old.finish("backup_metadata"))
    document = json.loads(text)
    assert "s3cr3t" not in text
    assert POD in {run["dag_id"] for run in document["dag_runs"]}
    assert ("run_pod", "success") in {
        (t["task_id"], t["state"]) for t in document["task_instances"]
    }
    assert document["environment"] == NAME

    bucket = platform.outputs()["job_bucket"]
    _asleep(platform, "true")
    assert _environments(platform) == []
    groups = platform.aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [(group["DesiredCapacity"], group["Instances"]) for group in groups] == [(0, [])]
    assert nodes(platform) == set()
    platform.pulumi("preview", "--expect-no-changes")
    _asleep(platform, "false")
    assert _environments(platform) == [NAME]
    assert len(nodes(platform)) == 2
    assert platform.outputs()["job_bucket"] == bucket

    new: Served = request.getfixturevalue("served")
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
    _, again = _written(platform, new.finish("backup_metadata"))
    assert VARIABLES[0] in json.loads(again)["variables"]
    # By a connection that Airflow has not in its database; the tests below run Spark by one.
    new.finish(POD)


BACKUP = "backup_metadata"
VARIANTS: dict[tuple[str, str], dict[str, str]] = {
    (POD, "once"): {},
    (POD, "long"): {"for step in 1 2 3": "for step in $(seq 600)"},
    (POD, "elsewhere"): {'"{{ conn.eks.extra_dejson.namespace }}"': '"default"'},
    (POD, "crowded"): {},
    (POD, "privileged"): {"allow_privilege_escalation=False": "privileged=True"},
    (SPARK, "once"): {},
    (SPARK, "long"): {'["10"]': '["100000"]'},
    (SPARK, "as_another"): {'setting("job_role_arn")': '"arn:aws:iam::123456789012:role/another"'},
    (BACKUP, "once"): {},
}
"""How DAGs are changed, without a retry, since each run that has to fail fails once."""


@pytest.fixture(scope="module")
def served(platform: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An Airflow that has the variants too."""
    with ExitStack() as stack:
        for (dag, name), changes in VARIANTS.items():
            stack.enter_context(changed(platform, dag, changes, name))
        log = tmp_path_factory.mktemp("airflow") / "log"
        yield stack.enter_context(_airflow(platform, log, dags=5 + len(VARIANTS)))


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


def test_a_browser_shows_a_login_and_no_dag(served: Served, tmp_path: Path) -> None:
    page = browsed(f"{served.url}/dags", tmp_path)
    assert 'type="password"' in page
    assert not re.findall(r'href="/dags/(\w+)"', page)


def test_without_its_rule_airflow_does_not_reach_the_cluster(
    platform: Clone, served: Served
) -> None:
    ec2 = platform.aws("ec2")
    cluster = platform.aws("eks").describe_cluster(name=NAME)["cluster"]
    group = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    (rule,) = (one for one in rules["SecurityGroupRules"] if one["FromPort"] == 443)
    airflow = rule["ReferencedGroupInfo"]["GroupId"]
    ec2.revoke_security_group_ingress(
        GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    told = served.fails(f"{POD}_once")
    assert "Connection reset by peer" in told
    assert airflow in str(platform.aws("mwaa").get_environment(Name=NAME)["Environment"])
    platform.pulumi("up", "--yes", "--skip-preview", "--refresh")
    served.finish(f"{POD}_once")


def test_a_pod_in_another_namespace_is_forbidden(platform: Clone, served: Served) -> None:
    told = served.fails(f"{POD}_elsewhere")
    assert re.search(r'403|"code":\s*403', told)
    assert re.search(r"cannot \w+ resource \S*pods\S* in API group \S* in the namespace", told)
    assert pods(platform, "default") == []


def test_a_pod_below_the_pod_security_standard_is_forbidden(
    platform: Clone, served: Served
) -> None:
    told = served.fails(f"{POD}_privileged")
    assert "violates PodSecurity" in told
    assert "restricted" in told
    assert pods(platform) == []


def test_without_its_group_airflow_may_run_no_pod(platform: Clone, served: Served) -> None:
    eks = platform.aws("eks")
    environment = platform.aws("mwaa").get_environment(Name=NAME)["Environment"]
    entry = {"clusterName": NAME, "principalArn": environment["ExecutionRoleArn"]}
    groups = eks.describe_access_entry(**entry)["accessEntry"]["kubernetesGroups"]
    assert groups
    eks.update_access_entry(**entry, kubernetesGroups=[])
    try:
        told = served.fails(f"{POD}_once")
    finally:
        eks.update_access_entry(**entry, kubernetesGroups=groups)
    assert "is forbidden" in told


def test_a_job_with_another_role_is_refused(platform: Clone, served: Served) -> None:
    before = len(job_runs(platform))
    told = served.fails(f"{SPARK}_as_another")
    assert "AccessDeniedException" in told
    assert "is not authorized to perform: emr-containers:StartJobRun" in told
    assert len(job_runs(platform)) == before


def test_without_its_policy_airflow_may_start_no_job(platform: Clone, served: Served) -> None:
    before = len(job_runs(platform))
    with without(platform, "emr-containers:StartJobRun"):
        told = served.fails(f"{SPARK}_once")
    assert "is not authorized to perform: emr-containers:StartJobRun" in told
    assert len(job_runs(platform)) == before


def test_without_its_policy_airflow_does_not_ask_itself(platform: Clone, served: Served) -> None:
    with without(platform, "airflow:InvokeRestApi"):
        told = served.fails(f"{BACKUP}_once")
    assert "is not authorized to perform: airflow:InvokeRestApi" in told


@pytest.fixture(scope="module")
def inbox(platform: Clone) -> Inbox:
    """What the alarms' topic is told."""
    return subscribe(platform, f"{NAME}-alarms")


@pytest.fixture(scope="module")
def broken_file(platform: Clone, served: Served, inbox: Inbox) -> Iterator[None]:
    """A file of DAGs that Airflow knows, and that cannot be imported any more."""
    s3, place = platform.aws("s3"), {"Bucket": DAG_BUCKET, "Key": f"dags/{POD}_elsewhere.py"}
    # For files that it does not know yet, Airflow looks every five minutes.
    # It looks for both words.
    s3.put_object(**place, Body=b"from airflow import DAG\nimport nothing_of_this_name\n")
    yield
    s3.delete_object(**place)


# It takes Airflow half a minute to see the file, in which this test and the next one run.
@pytest.mark.usefixtures("broken_file")
def test_a_failed_job_run_is_told(platform: Clone, inbox: Inbox) -> None:
    outputs, emr = platform.outputs(), platform.aws("emr-containers")
    started: dict[str, Any] = emr.start_job_run(
        name="nightly",
        virtualClusterId=outputs["virtual_cluster_ids"]["mwaa"],
        executionRoleArn=outputs["job_role_arns"]["mwaa"],
        releaseLabel="emr-7.14.0-latest",
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": "local:///nothing/there.py"}},
    )
    told = inbox.wait_for(started["id"])
    assert "nightly" in told
    assert "docs/runbook.md#" in told


def test_a_full_quota_is_told(platform: Clone, served: Served, inbox: Inbox) -> None:
    core: Any = CoreV1Api(platform.kubernetes)
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    core.create_namespaced_resource_quota("mwaa", quota)
    try:
        served.fails(f"{POD}_crowded")
    finally:
        core.delete_namespaced_resource_quota("full", "mwaa")
    told = inbox.wait_for(f"Airflow: {POD}_crowded.run_pod failed")
    assert "exceeded quota: full" in told


def test_a_file_of_dags_that_cannot_be_imported_is_told(
    served: Served, inbox: Inbox, broken_file: None
) -> None:
    told = inbox.wait_for(f'ALARM: "{NAME}-airflow-dags-broken"')
    assert served.ask("GET", "importErrors")["total_entries"] == 1
    subject, _, message = told.partition("\n")
    alarm = json.loads(message)
    assert alarm["NewStateValue"] == "ALARM", subject
    assert alarm["Trigger"]["MetricName"] == "ImportErrors"
    assert "docs/runbook.md#" in alarm["AlarmDescription"]


def test_a_running_dag_keeps_the_stack_awake_and_a_killed_pod_task_leaves_no_pod(
    platform: Clone, served: Served
) -> None:
    task = served.start(f"{POD}_long")
    wait_for(lambda: pods(platform) != [], "a pod")
    (pod,) = pods(platform)
    core: Any = CoreV1Api(platform.kubernetes)
    wait_for(lambda: core.read_namespaced_pod(pod, "mwaa").status.phase == "Running", "its start")
    wait_for(lambda: "step 2" in core.read_namespaced_pod_log(pod, "mwaa"), "its log")

    before = nodes(platform)
    told = _asleep(platform, "true", check=False)
    assert "nothing has been put to sleep, since work is under way" in told
    assert f"of the DAG {POD}_long is running" in told
    assert (nodes(platform), _environments(platform)) == (before, [NAME])
    _asleep(platform, "false")

    served.ask("PATCH", task, {"new_state": "failed"})
    wait_for(lambda: pods(platform) == [], "the pod's end")


def test_a_killed_spark_task_leaves_no_running_job(platform: Clone, served: Served) -> None:
    task = served.start(f"{SPARK}_long")
    wait_for(lambda: any(run["state"] == "RUNNING" for run in job_runs(platform)), "a job run")
    wait_for(lambda: "-driver: Spark's page is http://127." in served.log.read_text(), "its page")
    served.ask("PATCH", task, {"new_state": "failed"})
    wait_for(lambda: all(run["state"] in FINAL for run in job_runs(platform)), "the job run's end")
    assert job_runs(platform)[-1]["state"] == "CANCELLED"


def test_airflow_ends_with_its_terminal_and_its_tasks_with_it(
    platform: Clone, served: Served
) -> None:
    served.start(f"{POD}_long")
    wait_for(lambda: pods(platform) != [], "a pod")
    parts = psutil.Process(served.process.pid).children(recursive=True)
    assert any(os.getpgid(part.pid) != os.getsid(part.pid) for part in parts), "a task"
    served.process.send_signal(signal.SIGHUP)
    assert served.process.wait(60) == 0
    _, left = psutil.wait_procs(parts, timeout=10)
    assert all(ended(part.pid) for part in left)


def test_who_takes_the_key_away_is_told(platform: Clone) -> None:
    beside = subscribe(platform, f"{NAME}-key-alarms")
    (key,) = (one for one in platform.resources() if one["type"] == "aws:kms/key:Key")
    kms = platform.aws("kms")
    kms.disable_key(KeyId=key["outputs"]["keyId"])
    told = beside.wait_for("DisableKey")
    assert key["outputs"]["keyId"] in told
