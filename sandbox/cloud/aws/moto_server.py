"""moto, completed with what the sandbox needs of it."""

from __future__ import annotations

import os

from moto import server

from sandbox.cloud.aws import callers, job_runs, moto
from sandbox.machine.aws_api import Aws


def main() -> None:
    """Serve until the process is ended."""
    aws = Aws(os.environ["AWS_REGION"])
    moto.complete(aws)
    callers.judge(aws)
    if "SANDBOX_RUNS_JOBS" in os.environ:
        job_runs.complete(aws)
    server.main()


if __name__ == "__main__":
    main()
