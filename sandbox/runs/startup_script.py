"""The startup script, which MWAA runs before Airflow in each of its containers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sandbox.machine.processes import SandboxError
from sandbox.machine.program import DIRECTORY
from sandbox.runs import home

SCRIPT: Final = Path("startup") / "startup.sh"
SECONDS: Final = 295.0

# The variables after the script, which MWAA reads too: where the script has ended the shell, or
# taken too long, the container does not start (python/mwaa/config/setup_environment.py in
# aws/amazon-mwaa-docker-images).
_RUN: Final = 'source "$0"; exec env -0 > "$1"'
_OF_THE_SHELL: Final = {"_", "SHLVL", "PWD", "OLDPWD"}
_SET_BACK: Final = re.compile(
    r"MWAA_\w+|SQL_ALCHEMY_CONN|AIRFLOW_(HOME|VERSION|CONN_AWS_DEFAULT|ENV_\w+|TASK_REVISION_ID)"
    r"|AIRFLOW__CORE__(EXECUTOR|FERNET_KEY|LOAD_EXAMPLES|SQL_ALCHEMY_CONN|DAGS_FOLDER|PARALLELISM)"
    r"|AIRFLOW__(DATABASE__SQL_ALCHEMY_CONN|CELERY\w*|METRICS\w*|API__\w+|WEBSERVER__BASE_URL)"
    r"|AWS_(DEFAULT_REGION|REGION|EXECUTION_ENV|ENDPOINT_URL\w*)|PYTHON(PATH|UNBUFFERED)"
)


def ran(component: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Run it as a component's container does, and return what it has exported.

    component: scheduler, worker or webserver.
    """
    if not (home.FILES / SCRIPT).exists():
        return {}
    given = {**environment, "MWAA_AIRFLOW_COMPONENT": component, "MWAA_COMMAND": component}
    log = home.log_file(f"startup-{component}")
    with tempfile.NamedTemporaryFile(dir=DIRECTORY / "tmp") as found, log.open("wb") as output:
        script = str(home.place() / SCRIPT)
        process = home.start(
            ["bash", "-c", _RUN, script, found.name],
            given,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(SECONDS)
            why = f"has ended with exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            why = "has taken longer than five minutes"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        exported = found.read().decode(errors="surrogateescape")
    if not exported:
        lines = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise SandboxError(
            f"the startup script {why} before MWAA could read what it exports: no {component} "
            f"would start, and MWAA would roll the update back\n{lines}"
        )
    variables = dict(one.partition("=")[::2] for one in exported.split("\0") if one)
    return {
        name: value
        for name, value in variables.items()
        if given.get(name) != value and name not in _OF_THE_SHELL and not _SET_BACK.fullmatch(name)
    }
