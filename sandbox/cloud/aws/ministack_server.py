"""ministack, made fit for a sandbox: no containers, and clusters that have our API server."""

from __future__ import annotations

import base64
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from sandbox.cloud.aws.emulators import complete_ministack


def main() -> None:
    """Serve until the process is ended."""
    # Where Docker runs, ministack would start a k3s and an Airflow container, and on start and
    # end remove every container that any ministack on the machine has made.
    sys.modules["docker"] = None  # type: ignore[assignment]

    app: Any = import_module("ministack.app")
    eks: Any = import_module("ministack.services.eks")

    complete_ministack()
    endpoint = os.environ["SANDBOX_API_SERVER"]
    authority = base64.b64encode(Path(os.environ["SANDBOX_API_SERVER_CA"]).read_bytes()).decode()
    describe = eks._sanitize

    def describe_with_real_endpoint(cluster: dict[str, Any]) -> dict[str, Any]:
        return {
            **describe(cluster),
            "endpoint": endpoint,
            "certificateAuthority": {"data": authority},
        }

    eks._sanitize = describe_with_real_endpoint
    app.main()


if __name__ == "__main__":
    main()
