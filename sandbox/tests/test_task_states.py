"""The states of tasks: what each Airflow of MWAA tells, and what a person sees of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.machine import python_environments
from sandbox.runs.dag_runs import AIRFLOW_SIDE, Tasks
from sandbox.runs.packages import LOCKS

DAG = """
from datetime import datetime, timedelta
from airflow.exceptions import AirflowSkipException
try:
    from airflow.sdk import DAG, BaseOperator
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.baseoperator import BaseOperator

class Work(BaseOperator):
    def execute(self, context):
        if self.task_id == "bad":
            raise ValueError("größer\\nthan it may be")
        if self.task_id == "idle":
            raise AirflowSkipException

with DAG("states", schedule=None, start_date=datetime(2026, 1, 1)):
    good, idle = Work(task_id="good"), Work(task_id="idle")
    bad = Work(task_id="bad", retries=1, retry_delay=timedelta(0))
    good >> bad >> Work(task_id="after")
    good >> idle
"""


@pytest.mark.parametrize("version", sorted(lock.stem for lock in LOCKS.glob("*.txt")))
def test_every_airflow_tells_the_states_of_tasks(version: str, tmp_path: Path) -> None:
    installed = python_environments.ensure(f"airflow-{version}", LOCKS / f"{version}.txt")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "states.py").write_text(DAG)
    states = tmp_path / "states"
    environment = {
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join([str(installed / "bin"), os.defpath]),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(AIRFLOW_SIDE),
        "SANDBOX_TASK_STATES": str(states),
    }
    for command in (["db", "migrate"], ["dags", "test", "states"]):
        done = subprocess.run(
            [str(installed / "bin" / "python"), "-m", "airflow", *command],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1, done.stderr[-4000:]
    said: list[str] = []
    Tasks(states, said.append).look()
    error = "\nValueError: größer\nthan it may be"
    assert [line for line in said if line.startswith("bad")] == [
        "bad: running",
        f"bad: failed (try 1 of 2){error}",
        "bad: running",
        f"bad: failed (try 2 of 2){error}",
    ]
    assert [line for line in said if line.startswith("good")] == ["good: running", "good: success"]
    assert [line for line in said if line.startswith("idle")] == ["idle: running", "idle: skipped"]
    assert [line for line in said if line.startswith("after")] == ["after: upstream_failed"]


def _told(**told: Any) -> str:  # noqa: ANN401
    return json.dumps({"task": "a", "number": 1, "tries": 1, "error": "", **told}) + "\n"


def test_a_state_is_said_once_and_a_line_only_when_it_is_whole(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "states"
    file.touch()
    tasks = Tasks(file, said.append)
    for text in (_told(state="running") * 2, _told(state="success")[:9]):
        with file.open("a") as states:
            states.write(text)
        tasks.look()
        assert said == ["a: running"]
    with file.open("a") as states:
        states.write(_told(state="success")[9:])
    tasks.look()
    assert said == ["a: running", "a: success"]
    assert not tasks.failed


def test_of_a_long_error_the_beginning_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "states"
    error = "\n".join(["Pod x returned a failure.", *map(str, range(300))])
    file.write_text(_told(state="failed", error=error))
    tasks = Tasks(file, said.append)
    tasks.look()
    assert said == ["a: failed\nPod x returned a failure.\n0\n1\n2\n..."]
    assert tasks.failed
