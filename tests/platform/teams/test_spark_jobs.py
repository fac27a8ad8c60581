"""Spark jobs of EMR on EKS, as what they are in the cluster: Kubernetes decides, and IAM."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import pytest
from kubernetes.client import ApiException, BatchV1Api, CoreV1Api, RbacAuthorizationV1Api

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from sandbox.tests.stranger import as_somebody_else

NAME: Final = "mwaa-on-eks-sandbox"
BUCKET: Final = f"{NAME}-jobs-123456789012"
HISTORY: Final = "app.kubernetes.io/name=spark-history"
NAMESPACE: Final = "emr-mwaa"
EMR: Final = "emr-containers.amazonaws.com"
PATIENCE: Final = 240.0
"""Seconds, for five processes of Java that start one after the other on a busy machine."""
ENDED: Final = {"CANCELLED", "COMPLETED", "FAILED"}

AGGREGATE: Final = """
import sys
from pyspark.sql import SparkSession
from helper import key

spark = SparkSession.builder.getOrCreate()
source, target, others = sys.argv[1:]
rows = spark.read.option("header", True).csv(source)
rows.groupBy(key).count().write.mode("overwrite").parquet(target)
print(sorted(map(tuple, spark.read.parquet(target).collect())))
spark.read.csv(others).show()
"""


SLEEP: Final = """
import sys, time
from pyspark.sql import SparkSession

seconds = float(sys.argv[1])
numbers = SparkSession.builder.getOrCreate().sparkContext.parallelize(range(4), 4)
print("the sum is", numbers.map(lambda one: (time.sleep(seconds), one)[1]).sum())
"""


class Runs:
    """The job runs of a team."""

    def __init__(self, clone: Clone, team: str = "mwaa") -> None:
        self.clone = clone
        self.namespace = f"emr-{team}"
        self.core: Any = CoreV1Api(clone.kubernetes)
        self.emr: Any = clone.aws("emr-containers")
        outputs = clone.outputs()
        self.cluster = outputs["virtual_cluster_ids"][team]
        self.role = outputs["job_role_arns"][team]

    def start(
        self,
        entry: str = "local:///usr/lib/spark/examples/src/main/python/pi.py",
        *arguments: str,
        parameters: str = "",
        sql: bool = False,
        attempts: int = 1,
        release: str = "emr-7.14.0-latest",
        settings: Mapping[str, str] = {},
    ) -> str:
        """Start one with Spark settings, whose names are given without `spark.`; it is small."""
        submit: dict[str, Any] = {"entryPoint": entry, "entryPointArguments": [*arguments]}
        if parameters:
            submit["sparkSubmitParameters"] = parameters
        chosen = {f"spark.{key}": one for key, one in settings.items()}
        small = {
            "spark.driver.memory": "512m",
            "spark.executor.memory": "512m",
            "spark.executor.instances": "1",
            "spark.sql.shuffle.partitions": "1",
        }
        started = self.emr.start_job_run(
            name="a-job",
            virtualClusterId=self.cluster,
            executionRoleArn=self.role,
            releaseLabel=release,
            jobDriver={"sparkSqlJobDriver": {"entryPoint": entry}}
            if sql
            else {"sparkSubmitJobDriver": submit},
            configurationOverrides={
                "applicationConfiguration": [
                    {"classification": "spark-defaults", "properties": small | chosen}
                ]
            },
            retryPolicyConfiguration={"maxAttempts": attempts},
        )
        return str(started["id"])

    def look(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.emr.describe_job_run(id=run, virtualClusterId=self.cluster)
        return dict(found["jobRun"])

    def comes_to(self, run: str, state: str) -> dict[str, Any]:
        """Wait for a state; one that has come to another end never has this one."""

        deadline = time.monotonic() + PATIENCE
        while (found := self.look(run))["state"] != state:
            assert found["state"] not in ENDED, found
            assert time.monotonic() < deadline, f"{found}\n{self.told(run)}"
            time.sleep(0.5)
        return found

    def told(self, run: str) -> str:
        """What the driver and the job-runner have printed last."""
        said = []
        for pod in self.pods(run):
            with suppress(ApiException):
                name = pod.metadata.name
                said.append(
                    f"{name}:\n{self.core.read_namespaced_pod_log(name, self.namespace)[-3000:]}"
                )
        return "\n".join(said)

    def fails(self, run: str) -> str:
        """Why a run has failed."""
        found = self.comes_to(run, "FAILED")
        assert found["failureReason"] == "USER_ERROR"
        return str(found["stateDetails"])

    def waits(self, run: str, reason: str) -> None:
        """Wait until a run says that it waits for this reason."""
        wait_for(lambda: reason in (self.look(run).get("stateDetails") or ""), reason)
        assert self.look(run)["state"] == "SUBMITTED"

    def cancel(self, run: str) -> None:
        self.emr.cancel_job_run(id=run, virtualClusterId=self.cluster)
        self.comes_to(run, "CANCELLED")
        assert self.pods(run) == []

    def pods(self, run: str, role: str | None = None) -> list[Any]:
        selector = f"{EMR}/job.id={run}" + (f",spark-role={role}" if role else "")
        return list(self.core.list_namespaced_pod(self.namespace, label_selector=selector).items)

    def executors(self, run: str) -> int:
        """How many of them run."""
        return sum(one.status.phase == "Running" for one in self.pods(run, "executor"))

    def put(self, key: str, content: str) -> str:
        self.clone.aws("s3").put_object(Bucket=BUCKET, Key=key, Body=content.encode())
        return f"s3://{BUCKET}/{key}"


@pytest.fixture(scope="module")
def runs(platform: Clone) -> Runs:
    return Runs(platform)


def test_a_job_run_is_what_emr_makes_of_it(runs: Runs, tmp_path: Path) -> None:
    entry = runs.put("mwaa/code/sleep.py", SLEEP)
    run = runs.start(entry, "8", settings={"executor.instances": "2"})
    runs.comes_to(run, "RUNNING")
    wait_for(lambda: runs.executors(run) == 2, "two executors")
    (driver,) = runs.pods(run, "driver")
    assert driver.metadata.name == f"spark-{run}-driver"
    job: Any = BatchV1Api(runs.clone.kubernetes)
    found = job.read_namespaced_job(run, NAMESPACE)
    assert found.status.active == 1
    executors = runs.pods(run, "executor")
    pods = runs.pods(run)
    (runner,) = (one for one in pods if one.metadata.labels.get("job-name") == run)
    assert len(pods) == 4
    accounts = [one.spec.service_account_name for one in (runner, driver, executors[0])]
    for part, account in zip(("client", "driver", "executor"), accounts, strict=True):
        assert account.startswith(f"emr-containers-sa-spark-{part}-123456789012-")
    rights: Any = RbacAuthorizationV1Api(runs.clone.kubernetes)
    bound = rights.list_namespaced_role_binding(NAMESPACE).items
    assert set(accounts[:2]) <= {one.name for each in bound for one in each.subjects}
    assert driver.spec.containers[0].image.endswith("/spark/emr-7.14.0:latest")
    addresses = {one.status.pod_ip for one in pods}
    assert len(addresses) == 4, "of its own each"

    (service,) = (
        one
        for one in runs.core.list_namespaced_service(NAMESPACE).items
        if one.spec.selector and one.spec.selector.get(f"{EMR}/job.id") == run
    )
    assert service.spec.cluster_ip == "None"
    told = {one.name: one.value for one in executors[0].spec.containers[0].env}
    place = f"{service.metadata.name}.{NAMESPACE}.svc:7078"
    assert told["SPARK_DRIVER_URL"] == f"spark://CoarseGrainedScheduler@{place}"

    def look() -> int:
        address = f"http://{driver.status.pod_ip}:4040/jobs/"
        try:
            with urllib.request.urlopen(address, timeout=10) as page:
                return int(page.status)
        except HTTPError as refused:
            return refused.code

    assert wait_for(lambda: look() == 200, "Spark's page")
    assert as_somebody_else(look, tmp_path) == (403 if os.getuid() == 0 else 200)

    runs.comes_to(run, "COMPLETED")
    (condition,) = (
        one
        for one in job.read_namespaced_job(run, NAMESPACE).status.conditions
        if one.type == "Complete"
    )
    assert condition.status == "True"
    assert "the sum is 6" in runs.core.read_namespaced_pod_log(driver.metadata.name, NAMESPACE)


def test_spark_reads_and_writes_what_the_teams_role_may(runs: Runs) -> None:
    entry = runs.put("mwaa/code/aggregate.py", AGGREGATE)
    helper = runs.put("mwaa/code/helper.py", "key = 'k'\n")
    source = runs.put("mwaa/input/rows.csv", "k,v\na,1\nb,2\na,3\n")
    others = runs.put("risk/input/rows.csv", "k,v\nc,1\n")
    run = runs.start(
        entry,
        source.removesuffix("rows.csv"),
        f"s3://{BUCKET}/mwaa/output/",
        others,
        parameters=f"--py-files {helper}",
    )
    why = runs.fails(run)
    log = runs.core.read_namespaced_pod_log(f"spark-{run}-driver", NAMESPACE)
    assert "[('a', 2), ('b', 1)]" in log, (why, log[-20000:])
    assert "AccessDeniedException" in why
    assert others in why
    role = runs.role.rpartition("/")[2]
    assert f"assumed-role/{role}/eks-" in why
    assert f"s3:GetObject on resource: arn:aws:s3:::{BUCKET}/risk/input/rows.csv" in why


def test_what_cannot_be_submitted_fails_with_its_reason(runs: Runs) -> None:
    privileged = runs.put(
        "mwaa/templates/privileged.yaml",
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: spark-kubernetes-driver\n"
        "      securityContext: {privileged: true}\n",
    )
    template = "kubernetes.driver.podTemplateFile"
    broken = runs.put("mwaa/code/broken.py", "import nothing_of_this_name\n")
    reasons = {
        runs.start(
            settings={"executor.instances": "two"}
        ): "Number of executors must be a positive number",
        runs.start(settings={template: f"s3://{BUCKET}/mwaa/none.yaml"}): "mwaa/none.yaml",
        runs.start(
            settings={template: privileged}
        ): 'violates PodSecurity "baseline:latest": privileged',
        runs.start(settings={"driver.memory": "900g"}): "exceeded quota: jobs",
        runs.start(broken): "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        runs.start("/usr/lib/spark/x.py"): "/usr/lib/spark/x.py is neither local:// nor s3://",
        runs.start(release="emr-spark-8.0.0-latest"): "spark/emr-spark-8.0.0:latest",
    }
    for run, reason in reasons.items():
        assert reason in runs.fails(run)


@contextmanager
def _quota(runs: Runs, **hard: str) -> Iterator[None]:
    body = {"metadata": {"name": "tight"}, "spec": {"hard": hard}}
    runs.core.create_namespaced_resource_quota(NAMESPACE, body)
    try:
        yield
    finally:
        runs.core.delete_namespaced_resource_quota("tight", NAMESPACE)


def test_a_job_that_finds_no_place_waits_and_says_why(runs: Runs) -> None:
    nowhere = runs.start(settings={"kubernetes.node.selector.a": "b"})
    with _quota(runs, pods="0"):
        over = runs.start()
        runs.waits(over, "exceeded quota: tight")
    runs.waits(nowhere, "node(s) didn't match Pod's node affinity/selector")
    for run in (nowhere, over):
        runs.cancel(run)


def test_a_killed_driver_is_tried_again_as_often_as_emr_is_told(runs: Runs) -> None:
    run = runs.start(
        runs.put("mwaa/code/sleep.py", SLEEP),
        "600",
        attempts=2,
        settings={
            "dynamicAllocation.enabled": "true",
            "dynamicAllocation.shuffleTracking.enabled": "true",
            "dynamicAllocation.maxExecutors": "2",
            "executor.instances": "0",
        },
    )
    runs.comes_to(run, "RUNNING")
    wait_for(lambda: runs.executors(run) == 2, "as many executors as there is work for")
    (first,) = runs.pods(run, "driver")
    runs.core.delete_namespaced_pod(first.metadata.name, NAMESPACE)
    wait_for(
        lambda: runs.look(run)["retryPolicyExecution"]["currentAttemptCount"] == 2, "another try"
    )

    def again() -> bool:
        found = runs.pods(run, "driver")
        (other,) = found or [first]
        return bool(other.metadata.uid != first.metadata.uid and other.status.phase == "Running")

    wait_for(again, "another driver")
    runs.core.delete_namespaced_pod(first.metadata.name, NAMESPACE)
    assert f"the driver's pod spark-{run}-driver was deleted" in runs.fails(run)
    with pytest.raises(ApiException):
        runs.core.read_namespaced_pod(first.metadata.name, NAMESPACE)


def test_a_job_of_sql_runs(runs: Runs) -> None:
    text = "create temporary view t as select 1 a union all select 41;\nselect sum(a) from t;\n"
    run = runs.start(runs.put("mwaa/code/sum.sql", text), sql=True)
    runs.comes_to(run, "COMPLETED")
    log = runs.core.read_namespaced_pod_log(f"spark-{run}-driver", NAMESPACE)
    assert "\n42\n" in log


def test_a_team_goes_in_one_pass_with_all_that_it_has(platform: Clone, runs: Runs) -> None:
    of_team = Runs(platform, "risk")
    run = of_team.start(of_team.put("risk/code/sleep.py", SLEEP), "600")
    of_team.comes_to(run, "RUNNING")
    servers = of_team.core.list_namespaced_pod("emr-risk", label_selector=HISTORY).items
    assert [one.status.phase for one in servers] == ["Running"]

    for key in ("spark.teams[1]", "spark.historyServer"):
        platform.pulumi("config", "rm", "--path", key)
    platform.pulumi("up", "--yes", "--skip-preview")
    assert of_team.look(run)["state"] == "CANCELLED"
    with pytest.raises(ApiException, match="Not Found"):
        of_team.core.read_namespace("emr-risk")
    assert not of_team.core.list_pod_for_all_namespaces(label_selector=HISTORY).items
    roles = [one["RoleName"] for one in platform.aws("iam").list_roles()["Roles"]]
    assert not [name for name in roles if "risk" in name or "history" in name]
    associations = platform.aws("eks").list_pod_identity_associations(clusterName=NAME)
    assert "emr-risk" not in {one["namespace"] for one in associations["associations"]}
    groups = platform.aws("logs").describe_log_groups(logGroupNamePrefix="/aws/emr-containers/")
    assert [one["logGroupName"] for one in groups["logGroups"]] == [
        f"/aws/emr-containers/{NAME}-mwaa"
    ]
