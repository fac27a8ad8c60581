"""ministack, completed with what the sandbox needs of it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from sandbox.cloud.aws import eks, mwaa
from sandbox.machine.aws_api import Aws


def main() -> None:
    """Serve until the process is ended."""
    # Where Docker runs, ministack would start a k3s and an Airflow container, and on start and
    # end remove every container that any ministack on the machine has made.
    sys.modules["docker"] = None  # type: ignore[assignment]

    app: Any = import_module("ministack.app")
    aws = Aws(os.environ["AWS_REGION"])
    control_plane = eks.ControlPlane(
        endpoint=os.environ["SANDBOX_ENDPOINT"],
        endpoint_for_airflow=os.environ["SANDBOX_ENDPOINT_FOR_AIRFLOW"],
        authority=Path(os.environ["SANDBOX_API_SERVER_CA"]),
        store=os.environ["SANDBOX_ETCD"],
    )
    eks.complete(aws, control_plane)
    mwaa.complete(aws, Path(os.environ["SANDBOX_AIRFLOW"]))
    app.main()


if __name__ == "__main__":
    main()
