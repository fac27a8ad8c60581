"""The DAGs in every Airflow that MWAA offers, and what their tasks ask AWS and Kubernetes for."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from components.dag_folder import files_to_upload, left_out
from components.job_namespace import pod_operator_rules
from sandbox.machine import spark
from sandbox.runs.packages import LOCKS
from settings.rules.pods import SECURES_SIDECAR
from settings.values import TeamName
from settings.versions import AIRFLOW, KUBERNETES_PROVIDER
from tests.dags.conftest import DEFAULT, PLATFORM, ROOT, TEAMS, VERSIONS, Found

DAGS = (
    "backup_metadata",
    "emr_eks_pi_job",
    "emr_eks_sales_report",
    "kubernetes_pod_example",
    "restore_metadata",
)
"""The DAGs that come with the program, of which more is asked than of those that are added."""
TAGS = {"eks", "emr", "example", "metadata", "operations", "spark"}

# ---- Locks ----


def test_every_version_that_the_settings_take_is_tested() -> None:
    assert set(VERSIONS) == set(AIRFLOW)
    assert DEFAULT in VERSIONS


@pytest.mark.parametrize("name", VERSIONS)
def test_a_lock_has_the_versions_that_mwaa_has(name: str) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (LOCKS / f"{name}.txt").read_text(), re.M))

    assert locked["apache-airflow"] == name
    assert locked.items() >= AIRFLOW[name].pins.items()


# ---- Parsing ----


def test_the_files_hold_their_dags_and_nothing_fails(found: Found) -> None:
    assert found["errors"] == {}
    files = {dag_id: dag["file"] for dag_id, dag in found["dags"].items()}
    assert files.items() >= {dag_id: f"{dag_id}.py" for dag_id in DAGS}.items()
    # A DAG lies where its author likes it, with others or alone.
    assert files["report_fr"] == files["report_it"] == "team/sales/two_dags.py"


def test_a_file_is_parsed_in_less_than_two_seconds(
    version: str, found: Found, probe: Callable[..., Found]
) -> None:
    # The first time Python compiles what it imports, and the machine may be busy: the best counts.
    best = found["seconds"]
    for seed in (1, 2):
        if max(best.values()) >= 2:
            again = probe(version, seed)["seconds"]
            best = {file: min(best[file], again[file]) for file in best}

    assert best.keys() >= {dag["file"] for dag in found["dags"].values()}
    assert max(best.values()) < 2, best


def test_parsing_asks_no_network_and_no_secret(found: Found) -> None:
    assert found["network"] == []
    assert found["secrets"] == []


def test_parsing_warns_of_nothing(found: Found) -> None:
    assert found["warnings"] == []


def test_every_parse_makes_the_same_version_of_a_dag(probe: Callable[..., Found]) -> None:
    # EksPodOperator's template fields are a set. Airflow 2 has no versions of DAGs.
    one, other = (probe(DEFAULT, seed)["dags"] for seed in (0, 1))

    assert {dag_id: one[dag_id]["hash"] for dag_id in DAGS} == {
        dag_id: other[dag_id]["hash"] for dag_id in DAGS
    }


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_dag_tells_what_it_is_and_ends_in_time(found: Found, dag_id: str) -> None:
    dag = found["dags"][dag_id]

    assert dag["doc"].strip().startswith("### ")
    assert dag["description"]
    assert dag["tags"]
    assert set(dag["tags"]) <= TAGS
    assert dag["catchup"] is False
    for task in dag["tasks"].values():
        assert task["owner"] == "platform"
        assert task["retries"] >= 1
        # With every try at its longest, the run has time for all of them.
        assert task["timeout"] * (task["retries"] + 1) < dag["timeout"]
        assert task["deferrable"] is False
        assert task["tells"] == ["tell_alarms"]


# ---- The alarm ----


def test_a_failed_task_tells_the_platforms_topic(ran: Found) -> None:
    (published,) = ran["alarm"]

    assert published["TargetArn"] == [PLATFORM.alarm_topic_arn]
    assert published["Subject"] == ["Airflow: emr_eks_pi_job.compute_pi failed"]
    (message,) = published["Message"]
    assert "try 2" in message
    assert "manual__1" in message
    assert "no such file" in message
    assert "https://airflow.example.com/log" in message


def test_an_alarm_is_never_longer_than_sns_takes(ran: Found) -> None:
    (published,) = ran["long_alarm"]

    assert len(published["Subject"][0]) == 100
    assert published["Subject"][0].isascii()
    assert len(published["Message"][0]) < 256 * 1024


def test_without_the_connection_nobody_is_told(ran: Found) -> None:
    assert ran["unheard"] == []


# ---- The pod ----

POD_IMAGE = "public.ecr.aws/docker/library/busybox:1.37.0"


def test_the_pod_is_the_connections(ran: Found) -> None:
    pod = ran["pod"]

    assert (pod["cluster"], pod["region"]) == (PLATFORM.cluster_name, PLATFORM.account.region)
    assert pod["namespace"] == PLATFORM.pod_namespace
    assert pod["pod"]["metadata"]["namespace"] == PLATFORM.pod_namespace
    assert re.fullmatch(r"mwaa-pod-test-[a-z0-9]+", pod["pod"]["metadata"]["name"])
    assert pod["secrets"] == ["connection eks"]


def test_the_pod_meets_pod_securitys_restricted_standard(ran: Found) -> None:
    # kubernetes.io/docs/concepts/security/pod-security-standards, "Restricted" with "Baseline".
    spec = ran["pod"]["pod"]["spec"]
    whole = spec["securityContext"]

    assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "volumes"))
    assert whole["runAsNonRoot"] is True
    assert whole["runAsUser"] > 0
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["containers"], *spec["initContainers"]]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        # Nothing that takes back what the pod says, and nothing that baseline forbids.
        assert set(own) == {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"}
        assert not any(port.get("hostPort") for port in container["ports"])


def test_the_pod_asks_for_little_and_gets_no_token(ran: Found) -> None:
    spec = ran["pod"]["pod"]["spec"]

    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert container["image"] == f"{PLATFORM.image_prefix}{POD_IMAGE}"


def test_the_pods_log_is_shown_and_the_pod_does_not_stay(ran: Found) -> None:
    pod = ran["pod"]
    name = pod["pod"]["metadata"]["name"]

    assert pod["logs"] is True
    assert pod["on_finish"] == "delete_pod"
    assert pod["killed"] == [{"name": name, "namespace": PLATFORM.pod_namespace}]


def test_the_pod_needs_no_right_that_airflow_lacks(ran: Found) -> None:
    # XCom would add a container, and a right to run commands in pods.
    assert [container["name"] for container in ran["pod"]["pod"]["spec"]["containers"]] == ["base"]
    rules = pod_operator_rules(xcom=False)
    assert not any("pods/exec" in rule.resources for rule in rules)


def test_a_pod_that_returns_a_value_meets_the_restricted_standard_too(
    version: str, ran: Found
) -> None:
    asked = ran["xcom"]
    base, sidecar = asked["pod"]["spec"]["containers"]

    assert base["name"] == "base"
    own = sidecar["securityContext"]
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert asked["secrets"] == ["connection eks", "connection kubernetes_default"]
    assert sidecar["image"] == PLATFORM.xcom_sidecar_image
    assert set(sidecar["resources"]["limits"]) == {"cpu", "memory"}
    (volume,) = asked["pod"]["spec"]["volumes"]
    assert "emptyDir" in volume
    # Where the connection says it, of which podXcom's warning is about the other versions.
    provider = AIRFLOW[version].pins[KUBERNETES_PROVIDER]
    assert asked["settable"] == (tuple(map(int, provider.split(".")[:2])) >= SECURES_SIDECAR)
    if asked["settable"]:
        assert own["runAsNonRoot"] is True
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}


# ---- The Spark job ----


def asked_of_emr(job: dict[str, Any]) -> list[tuple[str, str]]:
    return [(request["verb"], request["path"]) for request in job["requests"]]


@pytest.mark.parametrize(
    ("run", "team", "connection"),
    [("job", "mwaa", "emr_eks"), ("team", "data-science", "emr_eks_data-science")],
)
def test_a_job_is_submitted_to_the_teams_virtual_cluster(
    ran: Found, run: str, team: str, connection: str
) -> None:
    access, job = TEAMS[team], ran[run]
    body = job["requests"][0]["body"]
    monitoring = body["configurationOverrides"]["monitoringConfiguration"]

    runs = f"/virtualclusters/{access.virtual_cluster_id}/jobruns"
    assert asked_of_emr(job) == [("POST", runs), ("GET", f"{runs}/job-1")]
    assert job["failed"] == ""
    assert job["region"] == PLATFORM.account.region
    assert job["secrets"] == [f"connection {connection}"]
    assert body["executionRoleArn"] == access.job_role_arn
    assert body["releaseLabel"] == PLATFORM.release_label
    assert monitoring["cloudWatchMonitoringConfiguration"] == {
        "logGroupName": access.log_group_name,
        "logStreamNamePrefix": "emr_eks_pi_job",
    }
    assert monitoring["s3MonitoringConfiguration"] == {"logUri": f"{access.s3_uri}logs/"}
    assert not body["tags"]  # the execution role may not tag


def test_the_job_is_sparks_pi_example(ran: Found) -> None:
    body = ran["job"]["requests"][0]["body"]

    assert re.fullmatch(r"[._/#A-Za-z0-9-]{1,64}", body["name"])  # botocore's ResourceNameString
    assert body["jobDriver"] == {
        "sparkSubmitJobDriver": {
            "entryPoint": "local:///usr/lib/spark/examples/src/main/python/pi.py",
            "entryPointArguments": ["10"],
        }
    }


def spark_settings(ran: Found, run: str = "job") -> dict[str, str]:
    overrides = ran[run]["requests"][0]["body"]["configurationOverrides"]
    (configuration,) = overrides["applicationConfiguration"]
    assert configuration["classification"] == "spark-defaults"
    settings: dict[str, str] = configuration["properties"]
    return settings


@cache
def known_to_spark() -> bytes:
    """Spark's own declarations of its settings, as they are in its compiled classes."""
    found = b""
    jars = spark.home(spark.ensure()) / "jars"
    for part, place in (("core", "internal/config"), ("kubernetes", "deploy/k8s")):
        for file in jars.glob(f"spark-{part}_*.jar"):
            with zipfile.ZipFile(file) as jar:
                for name in jar.namelist():
                    if name.startswith(f"org/apache/spark/{place}/"):
                        found += jar.read(name)
    return found


@pytest.mark.parametrize("run", ["job", "report"])
def test_spark_knows_the_jobs_settings(ran: Found, run: str) -> None:
    settings = spark_settings(ran, run)

    assert any(key.startswith("spark.executor.") for key in settings)
    for key in settings:
        # A string in a class file has its length, in two bytes, before it.
        assert len(key).to_bytes(2, "big") + key.encode() in known_to_spark(), key
    for key in ("spark.driver.memory", "spark.executor.memory"):
        assert re.fullmatch(r"[1-9]\d*[mg]", settings[key])


@pytest.mark.parametrize("run", ["job", "report"])
def test_a_jobs_events_are_kept_where_its_team_finds_them(ran: Found, run: str) -> None:
    settings = spark_settings(ran, run)

    assert settings["spark.eventLog.enabled"] == "true"
    assert settings["spark.eventLog.dir"] == TEAMS["mwaa"].event_log_dir


def test_the_report_is_the_platforms_script_on_the_teams_files(ran: Found) -> None:
    body = ran["report"]["requests"][0]["body"]
    uri = TEAMS["mwaa"].s3_uri

    driver = body["jobDriver"]["sparkSubmitJobDriver"]
    assert driver == {
        "entryPoint": f"{PLATFORM.scripts_uri}sales_report.py",
        "entryPointArguments": [f"{uri}input/sales/", f"{uri}output/sales_by_country/"],
    }
    assert (ROOT / "spark/jobs/sales_report.py").is_file()
    assert body["executionRoleArn"] == TEAMS["mwaa"].job_role_arn
    assert ran["report"]["failed"] == ""


def test_the_jobs_pods_are_made_of_the_connections_templates(ran: Found) -> None:
    settings = spark_settings(ran)

    for role in ("driver", "executor"):
        uri = settings[f"spark.kubernetes.{role}.podTemplateFile"]
        assert uri == getattr(PLATFORM, f"{role}_pod_template")
        assert uri.startswith("s3://")  # "Using pod templates", Amazon EMR on EKS guide


def test_the_job_leaves_to_emr_what_is_emrs(ran: Found) -> None:
    # "Spark job parameters that are not supported", Amazon EMR on EKS development guide.
    for key in spark_settings(ran):
        assert not re.search(r"namespace|serviceAccountName|pod\.name|pullPolicy", key)


def test_a_failed_job_fails_the_task_with_emrs_reason(ran: Found) -> None:
    assert "FAILED" in ran["failing"]["failed"]
    assert "USER_ERROR - no such file" in ran["failing"]["failed"]


def test_a_killed_task_cancels_the_job(ran: Found) -> None:
    runs = f"/virtualclusters/{TEAMS['mwaa'].virtual_cluster_id}/jobruns"

    assert ran["killed"]["failed"].startswith("Killed")
    assert ("DELETE", f"{runs}/job-1") in asked_of_emr(ran["killed"])


def test_a_connection_that_is_none_of_a_teams_is_refused(version: str, ran: Found) -> None:
    assert "ParamValidationError" in ran["foreign"]
    if version == "3.0.6":
        # It asks its supervisor next, which a test has not.
        assert "SUPERVISOR_COMMS" in ran["unknown"]
    else:
        assert "emr_eks_nobody" in ran["unknown"]


@pytest.mark.parametrize("dag", ["emr_eks_pi_job", "emr_eks_sales_report"])
def test_a_team_of_any_name_has_its_connection(folder: Path, dag: str) -> None:
    found = re.search(r'pattern="(.*)"', (folder / f"{dag}.py").read_text())
    assert found

    for team in ("risk", "data-science", "a1"):
        assert TypeAdapter(TeamName).validate_python(team)
        assert re.search(found[1], f"emr_eks_{team}")
    for other in ("eks", "aws_default", "emr_eks_", "emr_eks_a b", "x_emr_eks"):
        assert not re.search(found[1], other)


def test_all_of_the_folder_is_uploaded() -> None:
    uploaded = {key for key, _ in files_to_upload(ROOT / "dags")}

    assert uploaded >= {"dags/.airflowignore", *(f"dags/{d}.py" for d in DAGS), "requirements.txt"}
    assert list(left_out(ROOT / "dags")) == []
