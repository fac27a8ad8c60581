"""An Airflow on this machine that is what the emulated MWAA environment was told to be.

Its version, its configuration, its DAG files and its identity come from the environment that
`pulumi up` made: nothing of them is repeated here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.cloud.lifecycle import REGION, Cloud
from sandbox.machine import ports, progress, python_environments
from sandbox.machine.processes import SandboxError, run_quietly
from sandbox.machine.program import DIRECTORY, PROJECT, ROOT, STACK

if TYPE_CHECKING:
    from mypy_boto3_mwaa.type_defs import EnvironmentTypeDef

HOME: Final = DIRECTORY / "airflow"
BIN: Final = HOME / "bin"
DAGS: Final = HOME / "dags"
LOCKS: Final = Path(__file__).parent / "requirements"
"""What each version of MWAA comes with; the tests of the DAGs use the same."""
NAME: Final = f"{PROJECT}-{STACK}"
COMPONENTS: Final = {
    "api-server": ["api-server"],
    # Logs are read as files; what would serve them listens on every interface.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
SYNC_SECONDS: Final = 30.0
"""MWAA looks for changed DAG files as often."""


@dataclass(frozen=True)
class Airflow:
    """An Airflow that is installed and knows its environment."""

    cloud: Cloud
    python: Path
    bucket: str
    folder: str
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        """Return a command of Airflow's."""
        return [str(self.python), "-m", "airflow", *arguments]

    def fetch_dags(self) -> None:
        """Make the DAG folder what the bucket holds, as MWAA does: as the execution role."""
        try:
            self._fetch_dags()
        except ClientError as error:
            raise SandboxError(f"MWAA could not fetch the DAGs: {error}") from None

    def _fetch_dags(self) -> None:
        s3 = client(self.environment, "s3")
        prefix = f"{self.folder.strip('/')}/"
        wanted = set()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            for found in page.get("Contents", []):
                target = DAGS / found["Key"].removeprefix(prefix)
                wanted.add(target)
                content = s3.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read()
                if not target.exists() or target.read_bytes() != content:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
        for file in DAGS.rglob("*"):
            if file.is_file() and file not in wanted and "__pycache__" not in file.parts:
                file.unlink()


def client(environment: Mapping[str, str], service: str) -> Any:  # noqa: ANN401  (of boto3's making)
    """Return a client of an emulated service, as whom these AWS variables say."""
    name = {"logs": "CLOUDWATCH_LOGS"}.get(service, service.replace("-", "_").upper())
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=environment[f"AWS_ENDPOINT_URL_{name}"],
        region_name=REGION,
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        config=Config(proxies={}, inject_host_prefix=False),
    )


def prepare() -> Airflow:
    """Return an Airflow that is ready to run the DAGs that MWAA got."""
    cloud = Cloud.load()
    if cloud is None or cloud.ended():
        raise SandboxError("the sandbox does not run: `make up` brings it up")
    mwaa = client(cloud.aws_environment(), "mwaa")
    try:
        told = mwaa.get_environment(Name=NAME)["Environment"]
    except mwaa.exceptions.ResourceNotFoundException:
        raise SandboxError("there is no Airflow environment: `make up` makes it") from None
    version = told["AirflowVersion"]
    lock = LOCKS / f"{version}.txt"
    if not lock.exists():
        raise SandboxError(f"{lock.relative_to(ROOT)} is missing: it tells what MWAA {version} has")
    python = python_environments.ensure(f"airflow-{version}", lock) / "bin" / "python"
    BIN.mkdir(parents=True, mode=0o700, exist_ok=True)
    # As on MWAA. Other shells than bash do not understand how EksPodOperator gets its token.
    (BIN / "sh").unlink(missing_ok=True)
    (BIN / "sh").symlink_to(shutil.which("bash") or "/bin/sh")
    airflow = Airflow(
        cloud,
        python,
        told["SourceBucketArn"].rpartition(":")[2],
        told["DagS3Path"],
        _environment(cloud, told, python),
    )
    airflow.fetch_dags()
    made_by = HOME / "database-made-by"
    if not made_by.exists() or made_by.read_text() != str(python):
        with progress.step("making Airflow's database"):
            run_quietly(airflow.command("db", "migrate"), cwd=HOME, environment=airflow.environment)
        made_by.write_text(str(python))
    return airflow


def _environment(cloud: Cloud, told: EnvironmentTypeDef, python: Path) -> dict[str, str]:
    role = client(cloud.aws_environment(), "sts").assume_role(
        RoleArn=told["ExecutionRoleArn"], RoleSessionName="airflow"
    )["Credentials"]
    options = {}
    for option, value in told.get("AirflowConfigurationOptions", {}).items():
        section, _, key = option.upper().rpartition(".")
        options[f"AIRFLOW__{section.replace('.', '_')}__{key}"] = value  # common.io has a dot
    # Nothing of the user's, so that nothing works here that would not work on MWAA.
    return {
        **cloud.aws_environment(),
        "AWS_ACCESS_KEY_ID": role["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": role["SecretAccessKey"],
        "AWS_SESSION_TOKEN": role["SessionToken"],
        "HOME": str(HOME),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join([str(BIN), str(python.parent), os.defpath]),
        "TMPDIR": str(DIRECTORY / "tmp"),
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **options,
        # As in MWAA's image, whatever the options say.
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }


def serve(report: Callable[[str], None]) -> int:
    """Run all of Airflow, with its page on loopback, until Ctrl-C."""
    airflow = prepare()
    port = ports.free(("api-server",))["api-server"]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **airflow.environment,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        # Where MWAA asks IAM; only this machine reaches the page.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    # An ordinary kill and the end of the terminal end this in the same way as Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    started: dict[str, subprocess.Popen[bytes]] = {}
    lock = (HOME / "serving.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one database has one scheduler
        for name, command in COMPONENTS.items():
            with log_file(name).open("wb") as log:
                started[name] = subprocess.Popen(
                    airflow.command(*command),
                    cwd=HOME,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # which Ctrl-C does not reach
                )
        _watch(airflow, started, port, lambda: report(f"Airflow is at {url} (Ctrl-C ends it)"))
    except KeyboardInterrupt:
        report("ending Airflow")
    except BlockingIOError:
        raise SandboxError("this clone's Airflow runs already") from None
    finally:
        _end(started)
        lock.close()
    return 0


def _watch(
    airflow: Airflow,
    started: Mapping[str, subprocess.Popen[bytes]],
    port: int,
    ready: Callable[[], None],
) -> None:
    """Keep the DAG files up to date; return never, but raise when something has ended."""
    told, fetched = False, time.monotonic()
    while True:
        for name, process in started.items():
            if process.poll() is not None:
                raise SandboxError(f"Airflow's {name} has ended; {log_file(name)} tells why")
        if not told and ports.answers(port):
            ready()
            told = True
        if time.monotonic() > fetched + SYNC_SECONDS:
            now = Cloud.load()
            if now is None or now.access_key_id != airflow.cloud.access_key_id:
                raise SandboxError("its sandbox is gone")
            airflow.fetch_dags()
            fetched = time.monotonic()
        time.sleep(0.5)


def _end(started: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """End all components with what they have started."""
    for process in started.values():
        process.terminate()
    deadline = time.monotonic() + 15
    for process in started.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def log_file(component: str) -> Path:
    """Return where a part of Airflow prints to."""
    return DIRECTORY / "logs" / f"airflow-{component}.log"
