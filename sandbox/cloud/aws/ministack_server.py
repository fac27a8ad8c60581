"""ministack, completed with what the sandbox needs of it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from sandbox.cloud.aws import eks, keys, mwaa
from sandbox.cloud.aws.authentication import BeforeMinistack
from sandbox.cloud.kubernetes.store import Etcd
from sandbox.machine import processes
from sandbox.machine.aws_api import Aws


def main() -> None:
    """Serve until the process is ended."""
    processes.collect_garbage_seldom()
    # Where Docker runs, ministack would start a k3s and an Airflow container, and on start and
    # end remove every container that any ministack on the machine has made.
    sys.modules["docker"] = None  # type: ignore[assignment]

    app: Any = import_module("ministack.app")
    aws = Aws(os.environ["AWS_REGION"])
    control_plane = eks.ControlPlane(
        endpoint=os.environ["SANDBOX_ENDPOINT"],
        endpoint_for_airflow=os.environ["SANDBOX_ENDPOINT_FOR_AIRFLOW"],
        authority=Path(os.environ["SANDBOX_API_SERVER_CA"]),
        store=Etcd(os.environ["SANDBOX_ETCD"], Path(os.environ["SANDBOX_ETCD_KEYS"])),
    )
    known = keys.Asked(os.environ["AWS_ENDPOINT_URL"], aws.region)
    eks.complete(aws, control_plane, known)
    mwaa.complete(aws, Path(os.environ["SANDBOX_AIRFLOW"]), known)
    app.app = BeforeMinistack(app.app, known.find)
    app.main()


if __name__ == "__main__":
    main()
