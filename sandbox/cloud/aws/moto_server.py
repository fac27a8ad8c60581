"""moto, completed with what the sandbox needs of it."""

from __future__ import annotations

import os

from moto import server

from sandbox.cloud.aws.callers import authorize_callers
from sandbox.cloud.aws.emulators import complete_moto
from sandbox.cloud.aws.job_runs import complete_job_runs


def main() -> None:
    """Serve until the process is ended."""
    complete_moto()
    authorize_callers()
    if "AWS_ENDPOINT_URL_EKS" in os.environ:  # a job's role depends on what EKS knows
        complete_job_runs()
    server.main()


if __name__ == "__main__":
    main()
