"""An Airflow on this machine that is what the emulated MWAA environment was told to be.

Its version, its configuration, its files and its identity come from the environment that
`pulumi up` made: nothing of them is repeated here.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zipfile import BadZipFile, ZipFile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.cloud import ways_out
from sandbox.cloud.aws.rest_api import SERVING, Serving
from sandbox.cloud.lifecycle import REGION, Cloud
from sandbox.machine import ports, progress
from sandbox.machine.processes import SandboxError
from sandbox.machine.program import DIRECTORY, PROJECT, STACK
from sandbox.runs import home, packages, startup_script
from sandbox.runs.drivers import Drivers
from sandbox.runs.home import log_file
from sandbox.runs.metrics import StatsD

if TYPE_CHECKING:
    from mypy_boto3_mwaa.type_defs import EnvironmentTypeDef

BIN: Final = DIRECTORY / "airflow-bin"
NAME: Final = f"{PROJECT}-{STACK}"
COMPONENTS: Final = {
    "api-server": (["api-server"], "webserver"),
    # Logs are read as files; what would serve them listens on every interface. Tasks are run by the
    # scheduler here, and by workers on MWAA.
    "scheduler": (["scheduler", "--skip-serve-logs"], "worker"),
    "dag-processor": (["dag-processor"], "scheduler"),
    "triggerer": (["triggerer", "--skip-serve-logs"], "scheduler"),
}
"""Airflow's components, and as part of which containers of MWAA they run."""
USER: Final = "admin"
"""Who logs in at Airflow's page."""
_PASSWORDS: Final = "passwords.json"
SYNC_SECONDS: Final = 30.0
"""MWAA looks for changed DAG files as often."""


@dataclass(frozen=True)
class Airflow:
    """An Airflow that is installed and knows its environment."""

    cloud: Cloud
    told: EnvironmentTypeDef
    identity: dict[str, str]
    """The variables by which AWS's SDKs find the execution role and the emulated services."""
    python: Path
    environment: dict[str, str]
    """What a worker has; others may differ by what the startup script has exported."""

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        **streams: Any,  # noqa: ANN401  (those of Popen)
    ) -> subprocess.Popen[bytes]:
        """Start a command of Airflow's, in a session of its own, which Ctrl-C does not reach."""
        return home.start([str(self.python), "-m", "airflow", *arguments], environment, **streams)

    def within(self, container: str) -> dict[str, str]:
        """Return what a scheduler or webserver has, once its startup script has run."""
        if container == "worker":
            return self.environment
        base = _environment(self.told, self.identity)
        found = base | _exported(container, self.told, base)
        return found | {"PATH": _path(self.python.parents[1], found["PATH"])}

    def fetch_dags(self) -> None:
        """Make the DAG folder what the bucket holds, as MWAA does: as the execution role."""
        _Bucket(self.told, self.identity).fetch_dags()


class _Bucket:
    """The bucket that an environment reads, as its execution role."""

    def __init__(self, told: EnvironmentTypeDef, identity: Mapping[str, str]) -> None:
        self._s3 = client(identity, "s3")
        self._name = told["SourceBucketArn"].rpartition(":")[2]
        self._prefix = f"{told['DagS3Path'].strip('/')}/"
        self._told: Mapping[str, Any] = told

    def fetch_dags(self) -> None:
        try:
            self._fetch_dags()
        except ClientError as error:
            raise SandboxError(f"MWAA could not fetch the DAGs: {error}") from None

    def _fetch_dags(self) -> None:
        dags, wanted = home.FILES / "dags", set()
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._name, Prefix=self._prefix):
            for found in page.get("Contents", []):
                target = dags / found["Key"].removeprefix(self._prefix)
                wanted.add(target)
                content = self._s3.get_object(Bucket=self._name, Key=found["Key"])["Body"].read()
                if not target.exists() or target.read_bytes() != content:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
        for file in dags.rglob("*"):
            if file.is_file() and file not in wanted and "__pycache__" not in file.parts:
                file.unlink()

    def fetch_pinned(self) -> None:
        """Put the files of fixed versions where MWAA has them."""
        for kind, place in (
            ("Requirements", packages.REQUIREMENTS),
            ("StartupScript", startup_script.SCRIPT),
        ):
            file = home.FILES / place
            file.parent.mkdir(parents=True, exist_ok=True)
            content = self._pinned(kind)
            if content is None:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(content)
        plugins = home.FILES / "plugins"
        shutil.rmtree(plugins, ignore_errors=True)
        plugins.mkdir()
        if content := self._pinned("Plugins"):
            _unpack(content, plugins)

    def _pinned(self, kind: str) -> bytes | None:
        key = self._told.get(f"{kind}S3Path")
        if not key:
            return None
        version = self._told[f"{kind}S3ObjectVersion"]
        try:
            stored = self._s3.get_object(Bucket=self._name, Key=key, VersionId=version)
        except ClientError as error:
            raise SandboxError(f"MWAA could not fetch {key}: {error}") from None
        content: bytes = stored["Body"].read()
        return content


def _unpack(content: bytes, folder: Path) -> None:
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                file = Path(archive.extract(entry, folder))
                if mode := entry.external_attr >> 16 & 0o777:
                    file.chmod(mode | 0o600)
    except (BadZipFile, NotImplementedError, RuntimeError) as error:
        raise SandboxError(f"MWAA could not unpack the plugins: {error}") from None


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


def prepare(report: Callable[[str], None]) -> Airflow:
    """Return an Airflow that is ready to run the DAGs that MWAA got."""
    cloud = Cloud.load()
    if cloud is None or cloud.ended():
        raise SandboxError("the sandbox does not run: `make up` brings it up")
    mwaa = client(cloud.aws_environment(), "mwaa")
    try:
        told: EnvironmentTypeDef = mwaa.get_environment(Name=NAME)["Environment"]
    except mwaa.exceptions.ResourceNotFoundException:
        raise SandboxError("there is no Airflow environment: `make up` makes it") from None
    BIN.mkdir(parents=True, mode=0o700, exist_ok=True)
    # As on MWAA. Other shells than bash do not understand how EksPodOperator gets its token.
    (BIN / "sh").unlink(missing_ok=True)
    (BIN / "sh").symlink_to(shutil.which("bash") or "/bin/sh")
    home.FILES.mkdir(mode=0o700, exist_ok=True)
    if why := home.why_not():
        report(f"Airflow's files are in {home.FILES}, not in {home.ON_MWAA} as on MWAA: {why}")
    identity = _identity(cloud, told["ExecutionRoleArn"])
    bucket = _Bucket(told, identity)
    bucket.fetch_dags()
    bucket.fetch_pinned()
    base = _environment(told, identity)
    worker = base | _exported("worker", told, base)
    ec2 = client(cloud.aws_environment(), "ec2")
    subnet_ids = told["NetworkConfiguration"]["SubnetIds"]
    online = any(ways_out.of_subnet(ec2, one).internet for one in subnet_ids)
    python = packages.Installation(told["AirflowVersion"], worker, online, report).python()
    environment = worker | {"PATH": _path(python.parents[1], worker["PATH"])}
    airflow = Airflow(cloud, told, identity, python, environment)
    _keep_database(airflow, report)
    return airflow


def _keep_database(airflow: Airflow, report: Callable[[str], None]) -> None:
    """Give Airflow a database that it can read."""
    made_by = home.FILES / "database-made-by"
    version = airflow.told["AirflowVersion"]
    created = str(airflow.told["CreatedAt"].timestamp())
    before = made_by.read_text().split() if made_by.exists() else []
    if before == [version, str(airflow.python), created]:
        return
    if before and before[0] != version:
        (home.FILES / "airflow.cfg").unlink(missing_ok=True)  # which Airflow writes for its version
    of_another = before[2:] not in ([], [created])
    too_new = bool(before) and _number(before[0]) > _number(version)
    if of_another:
        report("the environment is another one than before, and begins with an empty database")
    elif too_new:
        report(
            f"Airflow {version} cannot read the database of {before[0]} and gets a new one; MWAA "
            "would take its own back"
        )
    if of_another or too_new:
        for file in home.FILES.glob("airflow.db*"):
            file.unlink()
    with progress.step("making Airflow's database"):
        command = [str(airflow.python), "-m", "airflow", "db", "migrate"]
        home.run(command, airflow.environment, "making Airflow's database")
    made_by.write_text(f"{version} {airflow.python} {created}")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _identity(cloud: Cloud, role: str) -> dict[str, str]:
    credentials = client(cloud.aws_environment(), "sts").assume_role(
        RoleArn=role, RoleSessionName="airflow"
    )["Credentials"]
    return {
        **cloud.aws_environment(),
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


def _environment(told: EnvironmentTypeDef, identity: Mapping[str, str]) -> dict[str, str]:
    # Nothing of the user's, so that nothing works here that would not work on MWAA.
    return {
        **identity,
        "HOME": str(home.place()),
        "LANG": "C.UTF-8",
        "PATH": _path(packages.image(told["AirflowVersion"]), os.defpath),
        "TMPDIR": str(DIRECTORY / "tmp"),
        "AIRFLOW_HOME": str(home.place()),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home.place() / "dags"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        **_options(told),
        # As in MWAA's image, whatever the options say.
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }


def _path(environment: Path, path: str) -> str:
    """The PATH on which a Python environment's programs come first."""
    return os.pathsep.join([str(BIN), str(environment / "bin"), path])


def _options(told: EnvironmentTypeDef) -> dict[str, str]:
    options = {}
    for option, value in told.get("AirflowConfigurationOptions", {}).items():
        section, _, key = option.upper().rpartition(".")
        options[f"AIRFLOW__{section.replace('.', '_')}__{key}"] = value  # common.io has a dot
    return options


def _exported(
    component: str, told: EnvironmentTypeDef, environment: Mapping[str, str]
) -> dict[str, str]:
    """What the startup script exports in a component's container; the options win over it."""
    exported = startup_script.ran(component, environment)
    variables = {"MWAA_AIRFLOW_COMPONENT": component, **exported, **_options(told)}
    return {name: value for name, value in variables.items() if environment.get(name) != value}


def serve(report: Callable[[str], None]) -> int:
    """Run all of Airflow, with its page on loopback, until Ctrl-C."""
    airflow = prepare(report)
    port = ports.free(("api-server",))["api-server"]
    url = f"http://127.0.0.1:{port}"
    secret = secrets.token_hex(64)
    page = {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        # Where MWAA asks IAM.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.place() / _PASSWORDS),
        # With it, MWAA's InvokeRestApi asks as who has an Airflow role.
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
    }
    password = _password()
    # An ordinary kill and the end of the terminal end this in the same way as Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    started: dict[str, subprocess.Popen[bytes]] = {}
    # MWAA's own, whatever the options say.
    statsd = StatsD(client(airflow.cloud.aws_environment(), "cloudwatch"), NAME)
    page |= statsd.variables()
    lock = (home.FILES / "serving.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one database has one scheduler
        Serving(url, secret).announce()
        containers = {container: airflow.within(container) for _, container in COMPONENTS.values()}
        for name, (command, container) in COMPONENTS.items():
            with log_file(name).open("wb") as log:
                started[name] = airflow.start(
                    command,
                    containers[container] | page,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        told = f"Airflow is at {url}, user {USER}, password {password} (Ctrl-C ends it)"
        drivers = Drivers(airflow.cloud)
        _watch(airflow, started, port, lambda: report(told), lambda: _tell(drivers, report))
    except KeyboardInterrupt:
        report("ending Airflow")
    except BlockingIOError:
        raise SandboxError("this clone's Airflow runs already") from None
    finally:
        if started:
            SERVING.unlink(missing_ok=True)
        _end(started)
        statsd.close()
        lock.close()
    return 0


def _tell(drivers: Drivers, report: Callable[[str], None]) -> None:
    for line in drivers.look():
        report(line)


def _password() -> str:
    """Return the password of the page's user, the same for as long as there is the sandbox."""
    file = home.FILES / _PASSWORDS
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(json.dumps({USER: secrets.token_urlsafe(12)}))
    return str(json.loads(file.read_text())[USER])


def _watch(
    airflow: Airflow,
    started: Mapping[str, subprocess.Popen[bytes]],
    port: int,
    ready: Callable[[], None],
    look: Callable[[], None],
) -> None:
    """Keep the DAG files up to date; return never, but raise when something has ended.

    ready: is called once the page answers; look: again and again.
    """
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
        look()
        time.sleep(1)


def _end(started: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """End all components with what they have started."""
    for process in started.values():
        process.terminate()
    # A scheduler with a task in it would wait for its end.
    deadline = time.monotonic() + 5
    for process in started.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
