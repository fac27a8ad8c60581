"""moto, completed with what the sandbox needs of it."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

from moto import backends, server
from moto.core import responses

from sandbox.cloud.aws import (
    alarms,
    auto_scaling,
    budgets,
    callers,
    events,
    job_runs,
    metrics,
    moto,
    topics,
)
from sandbox.cloud.aws.authentication import BeforeMoto
from sandbox.machine import processes
from sandbox.machine.aws_api import Aws


def main() -> None:
    """Serve until the process is ended."""
    processes.collect_garbage_seldom()
    aws = Aws(os.environ["AWS_REGION"])
    moto.complete(aws)
    auto_scaling.complete(aws)
    alarms.complete()
    budgets.complete()
    events.complete()
    log = os.environ.get("SANDBOX_MESSAGES")
    topics.complete(Path(log) if log else None)
    callers.judge(aws)
    sources = []
    if "SANDBOX_RUNS_JOBS" in os.environ:
        job_runs.complete(aws)
        sources.append(metrics.Measured(aws, Path(os.environ["SANDBOX_AIRFLOW"])))
    alarms.watch(*sources)
    moto_server: Any = server
    application = moto_server.DomainDispatcherApplication
    moto_server.DomainDispatcherApplication = lambda create: BeforeMoto(application(create))
    # moto asks the disk, and looks through a class, with each request.
    services = frozenset(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: services
    moto_responses: Any = responses
    moto_responses.method_names_from_class = cache(moto_responses.method_names_from_class)
    # Python would take all that is in memory apart first, for a second.
    moto_server.signal_handler = lambda *_: os._exit(0)
    # A line for each request would bury what went wrong.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server.main()


if __name__ == "__main__":
    main()
