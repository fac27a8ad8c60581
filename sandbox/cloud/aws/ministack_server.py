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
    authority = Path(os.environ["SANDBOX_API_SERVER_CA"])
    eks.complete(aws, os.environ["SANDBOX_API_SERVER"], authority)
    mwaa.complete(aws)
    app.main()


if __name__ == "__main__":
    main()
