"""An Airflow plugin that tells the sandbox the states that tasks go through, as lines of JSON.

Airflow loads it where it runs a DAG for the sandbox; what it calls here is the same in each of its
versions.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


def _tell(task: Any, state: str, error: object = None) -> None:  # noqa: ANN401
    if isinstance(error, BaseException):
        error = "".join(traceback.format_exception_only(error))
    told = {
        "task": task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]",
        "state": state,
        "number": task.try_number,
        "tries": task.max_tries + 1,
        "error": str(error or "").strip(),
    }
    with Path(os.environ["SANDBOX_TASK_STATES"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(told) + "\n")


@hookimpl
def on_task_instance_running(task_instance: Any) -> None:  # noqa: ANN401
    """Tell that a task has begun."""
    _tell(task_instance, "running")


@hookimpl
def on_task_instance_success(task_instance: Any) -> None:  # noqa: ANN401
    """Tell that a task has done its work."""
    _tell(task_instance, "success")


@hookimpl
def on_task_instance_failed(task_instance: Any, error: object) -> None:  # noqa: ANN401
    """Tell what a task has failed with; another try may follow."""
    _tell(task_instance, "failed", error)


@hookimpl
def on_dag_run_success(dag_run: Any) -> None:  # noqa: ANN401
    """Tell the states of all tasks: some have got theirs without having run."""
    for task in dag_run.get_task_instances():
        _tell(task, str(task.state))


@hookimpl
def on_dag_run_failed(dag_run: Any) -> None:  # noqa: ANN401
    """Tell the states of all tasks: some have got theirs without having run."""
    on_dag_run_success(dag_run)


class TaskStates(AirflowPlugin):  # type: ignore[misc]  # there is no Airflow to look at
    """What Airflow looks for in this file."""

    name = "sandbox_task_states"
    listeners: ClassVar = [sys.modules[__name__]]
