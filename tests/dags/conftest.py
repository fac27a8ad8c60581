"""The DAGs as each Airflow of MWAA sees them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from components.airflow_access import AirflowAccess, TeamAccess
from components.dag_folder import files_to_upload
from sandbox.machine import python_environments
from sandbox.runs.packages import LOCKS
from settings.sections import AirflowSettings
from tests.components.conftest import Engine
from tests.components.test_airflow_access import ARGS

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW_SIDE = Path(__file__).parent / "airflow_side"
DEFAULT = AirflowSettings().version
VERSIONS = sorted(lock.stem for lock in LOCKS.glob("*.txt"))
NOT_A_DAG = """
from airflow import DAG
raise RuntimeError("Airflow has looked for a DAG in shared/")
"""

# As authors write them: in folders of their own, more than one in a file.
TWO_DAGS = """
from airflow import DAG
for country in ("fr", "it"):
    with DAG(dag_id=f"report_{country}", schedule=None):
        pass
"""


def _team(name: str) -> TeamAccess:
    return TeamAccess(
        team=name,
        virtual_cluster_id=f"id{name}",
        virtual_cluster_arn=f"arn:aws:emr-containers:us-west-2:123456789012:/virtualclusters/id{name}",
        job_role_arn=f"arn:aws:iam::123456789012:role/{name}",
        log_group_name=f"/emr-eks/{name}",
        s3_uri=f"s3://jobs/{name}/",
        event_log_dir=f"s3://jobs/{name}/spark-events/",
        metastore_client_factory=None,
    )


TEAMS = {name: _team(name) for name in ("mwaa", "data-science")}
PLATFORM = replace(
    ARGS,
    teams=tuple(TEAMS.values()),
    image_prefix="registry.example.com/copies/",
    xcom_sidecar_image="registry.example.com/copies/alpine:3",
    alarm_topic_arn="arn:aws:sns:us-west-2:123456789012:mwaa-on-eks-test-alarms",
)

Found = dict[str, Any]
"""What probe.py writes."""


@pytest.fixture(scope="session")
def connections() -> dict[str, str]:
    """The connections that the program makes, as Secrets Manager holds them, by their ids."""
    engine = Engine()
    engine.run(lambda: AirflowAccess("airflow", PLATFORM))
    secrets = engine.all("aws:secretsmanager/secretVersion:SecretVersion")
    return {each.name.removeprefix("airflow-"): each.inputs["secretString"] for each in secrets}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What MWAA finds in the bucket, a module where there are no DAGs, and a team's DAGs."""
    bucket = tmp_path_factory.mktemp("bucket")
    for key, path in files_to_upload(ROOT / "dags"):
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(path.read_bytes())
    for name, content in (
        ("shared/not_a_dag.py", NOT_A_DAG),
        ("team/sales/two_dags.py", TWO_DAGS),
    ):
        file = bucket / "dags" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return bucket / "dags"


@pytest.fixture(scope="session")
def probe(
    connections: dict[str, str], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Found]:
    """Ask the Airflow of a version what it makes of the DAGs."""

    @cache
    def ask(version: str, hash_seed: int = 0) -> Found:
        installed = python_environments.ensure(f"airflow-{version}", LOCKS / f"{version}.txt")
        # The same each time: a DAG's version takes in where Airflow looks for DAGs.
        home = tmp_path_factory.getbasetemp() / f"airflow-{version}"
        home.mkdir(exist_ok=True)
        output = home / f"found-{hash_seed}.json"
        done = subprocess.run(
            [
                str(installed / "bin" / "python"),
                *(str(AIRFLOW_SIDE / "probe.py"), str(folder), json.dumps(connections)),
                str(output),
            ],
            # Nothing of ours: no AWS variable, no Airflow variable that a DAG could rely on.
            env={
                "HOME": str(home),
                "PATH": os.defpath,
                "PYTHONHASHSEED": str(hash_seed),
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__SECRETS__BACKEND": "recording_secrets.RecordingSecrets",
            },
            check=False,
            capture_output=True,
            text=True,
        )
        if not output.exists():
            pytest.fail(f"Airflow {version} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        found: Found = json.loads(output.read_text())
        return found

    return ask


@pytest.fixture(scope="session", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each version of Airflow."""
    name: str = request.param
    return name


@pytest.fixture
def found(version: str, probe: Callable[..., Found]) -> Found:
    """What it makes of the DAGs."""
    return probe(version)


@pytest.fixture
def ran(found: Found) -> Found:
    """What its tasks do, once there are connections."""
    if "crash" in found:
        pytest.fail(found["crash"])
    run: Found = found["run"]
    return run
