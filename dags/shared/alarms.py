"""What tells people that a task has failed: whoever the platform's alarms tell.

One line in a DAG, which counts for all of its tasks:

    default_args={"on_failure_callback": tell_alarms}

A task that has retries left tells nobody. `pulumi up` makes the connection `alarms`; without one
(`monitoring.level: none`) nobody is told.
"""

from __future__ import annotations

import logging
from typing import Any

CONNECTION = "alarms"
LONGEST_SUBJECT = 100
"""Characters that SNS takes, of ASCII."""
LONGEST_REASON = 2000


def tell_alarms(context: dict[str, Any]) -> None:
    """Publish to the platform's topic that a task has failed, and why."""
    # Only now: what a DAG imports counts as the time that it takes to parse.
    from airflow.exceptions import AirflowNotFoundException  # noqa: PLC0415
    from airflow.providers.amazon.aws.notifications.sns import SnsNotifier  # noqa: PLC0415

    try:
        from airflow.sdk import BaseHook  # noqa: PLC0415
    except ImportError:  # Airflow 3.0 and older
        from airflow.hooks.base import BaseHook  # noqa: PLC0415

    try:
        found = BaseHook.get_connection(CONNECTION).extra_dejson
    except AirflowNotFoundException:
        logging.getLogger(__name__).info("no connection %s: nobody is told", CONNECTION)
        return
    task = context["ti"]
    subject = f"Airflow: {task.dag_id}.{task.task_id} failed"
    SnsNotifier(
        aws_conn_id=None,  # the environment's own identity
        region_name=found["region_name"],
        target_arn=found["topic_arn"],
        subject=subject.encode("ascii", "replace").decode()[:LONGEST_SUBJECT],
        message=_message(context),
    ).notify(context)


def _message(context: dict[str, Any]) -> str:
    task = context["ti"]
    # Without one the task's process was lost, and Airflow calls this in the process that parses.
    reason = str(context.get("exception") or "unknown, the process of the task is gone").strip()
    lines = [
        f"Task {task.task_id} of DAG {task.dag_id} failed at try {task.try_number}.",
        f"Run: {context['run_id']}",
        f"Reason: {reason[:LONGEST_REASON]}",
        f"Log: {getattr(task, 'log_url', None) or 'on the page of Airflow'}",
    ]
    return "\n".join(lines)
