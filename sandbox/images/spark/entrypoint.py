"""What EMR's Spark image runs by itself: a job-runner, a driver or an executor of a job run.

It is run by the Python of Spark's environment, in a container's place. EMR ships logs from a
container beside this one; here it is done by this process, as the pod's own role all the same.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit

SPARK = "/usr/lib/spark"
SUBMISSION = Path("/etc/emr/submission.json")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TERMINATION_LOG = Path("/dev/termination-log")
LOGS = "EMR_LOGS"
"""The variable that says where the logs of this container are kept."""
INTERVAL = 10.0
"""Seconds between two times that logs are shipped."""


class Log:
    """What one stream of a process has printed."""

    def __init__(self, name: str, to: BinaryIO) -> None:
        self.name = name
        self._to = to
        self._lines: list[bytes] = []
        self.shipped = 0

    def follow(self, source: BinaryIO) -> None:
        """Pass on what comes, until it ends."""
        for line in source:
            self._lines.append(line)
            self._to.write(line)
            self._to.flush()

    def lines(self) -> list[bytes]:
        """Return what has come so far."""
        return list(self._lines)

    def text(self) -> str:
        """Return what has come so far."""
        return b"".join(self._lines).decode(errors="replace")


class Shipping:
    """Where the logs of this container are kept, if anywhere."""

    def __init__(self, told: dict[str, Any], logs: list[Log]) -> None:
        self._told = told
        self._logs = logs
        self._over = threading.Event()
        self._made: set[str] = set()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Ship now and then."""
        if self._told:
            self._thread.start()

    def finish(self) -> None:
        """Ship the rest."""
        if self._told:
            self._over.set()
            self._thread.join()
            self._ship()

    def _keep(self) -> None:
        while not self._over.wait(INTERVAL):
            self._ship()

    def _ship(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  (slow)

        for log in self._logs:
            lines = log.lines()
            new = lines[log.shipped :]
            if not new:
                continue
            try:
                if group := self._told.get("cloudwatch"):
                    self._to_cloudwatch(group, log.name, new)
                if uri := self._told.get("s3"):
                    self._to_s3(uri, log.name, lines)
            except (BotoCoreError, ClientError) as error:  # which does not make the job itself fail
                print(f"{log.name} was not kept: {error}", file=sys.stderr)
            log.shipped = len(lines)

    def _to_cloudwatch(self, group: dict[str, str], name: str, new: list[bytes]) -> None:
        import boto3  # noqa: PLC0415

        logs: Any = boto3.client("logs")
        prefix = group.get("logStreamNamePrefix")
        stream = "/".join(filter(None, [prefix, self._told["path"], name]))
        where = {"logGroupName": group["logGroupName"], "logStreamName": stream}
        if name not in self._made:
            with suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(**where)
            self._made.add(name)
        now = int(time.time() * 1000)
        texts = [line.decode(errors="replace").rstrip("\n") or " " for line in new]
        for start in range(0, len(texts), 500):
            events = [{"timestamp": now, "message": one} for one in texts[start : start + 500]]
            logs.put_log_events(**where, logEvents=events)

    def _to_s3(self, uri: str, name: str, lines: list[bytes]) -> None:
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        address = urlsplit(uri)
        key = "/".join(filter(None, [address.path.strip("/"), self._told["path"], f"{name}.gz"]))
        s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        s3.put_object(Bucket=address.netloc, Key=key, Body=gzip.compress(b"".join(lines)))


def cause(text: str) -> str:
    """Return what a failed Spark program says of the reason, and not of its shutdown."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call")]
    if starts:
        for number, line in enumerate(lines[starts[-1] + 1 :], starts[-1] + 1):
            if line and not line[0].isspace():
                following = lines[number + 1] if number + 1 < len(lines) else ""
                if following.startswith(": "):  # Python tells what Java has said
                    return _of_java(following[2:], lines[number + 2 :])
                return line
    for number, line in enumerate(lines):
        if found := re.match(r'Exception in thread "[^"]*" (.*)', line):
            return _of_java(found[1], lines[number + 1 :])
    plain = [
        line.strip()
        for line in lines
        if line.strip() and not re.match(r"\S+ \S+ (INFO|WARN|DEBUG) |\s+at ", line)
    ]
    errors = [line for line in plain if re.search(r"errno|error|exception", line, re.IGNORECASE)]
    return (errors or plain or ["it printed nothing"])[-1]


def _of_java(first: str, stack: list[str]) -> str:
    """Add what an exception was caused by in the end."""
    last = ""
    for line in stack:
        if line.startswith("Caused by: "):
            last = line.removeprefix("Caused by: ")
        elif not re.match(r"\s+(at |\.\.\. )", line):
            break
    return first if not last or last in first else f"{first}; caused by {last}"


def run(command: list[str]) -> tuple[int, str]:
    """Run a command in the place of this process; return its status and what it printed."""
    out, errors = Log("stdout", sys.stdout.buffer), Log("stderr", sys.stderr.buffer)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    readers = [
        threading.Thread(target=log.follow, args=(stream,), daemon=True)
        for log, stream in ((out, process.stdout), (errors, process.stderr))
    ]
    for reader in readers:
        reader.start()
    told = json.loads(os.environ.get(LOGS, "{}"))
    if told:
        told["path"] += f"/{socket.gethostname()}"
    shipping = Shipping(told, [out, errors])
    shipping.start()
    status = process.wait()
    for reader in readers:
        reader.join()
    shipping.finish()
    return (128 - status if status < 0 else status), errors.text() + out.text()


def end(status: int, why: str) -> None:
    """End, and leave word why."""
    if status and not TERMINATION_LOG.read_text():
        TERMINATION_LOG.write_text(why[:4000])
    sys.exit(status)


def driver(arguments: list[str]) -> None:
    """Run the driver of a job run."""
    address = os.environ["SPARK_DRIVER_BIND_ADDRESS"]
    status, printed = run(
        [
            f"{SPARK}/bin/spark-submit",
            *("--conf", f"spark.driver.bindAddress={address}"),
            *("--conf", f"spark.executorEnv.SPARK_DRIVER_POD_IP={address}"),
            *("--deploy-mode", "client"),
            *arguments,
        ]
    )
    end(status, cause(printed) if status else "")


def executor() -> None:
    """Run an executor of a job run."""
    told = os.environ
    numbered = sorted(
        (int(key.removeprefix("SPARK_JAVA_OPT_")), value)
        for key, value in told.items()
        if key.startswith("SPARK_JAVA_OPT_")
    )
    memory = told["SPARK_EXECUTOR_MEMORY"]
    jars = [told.get("SPARK_CONF_DIR", ""), f"{SPARK}/jars/*", told.get("SPARK_CLASSPATH", "")]
    status, printed = run(
        [
            f"{told['JAVA_HOME']}/bin/java",
            *(value for _, value in numbered),
            *told["SPARK_SUBMIT_OPTS"].split(),
            *(f"-Xms{memory}", f"-Xmx{memory}"),
            *("-cp", ":".join(filter(None, [*jars, told["SPARK_DIST_CLASSPATH"]]))),
            "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
            *("--driver-url", told["SPARK_DRIVER_URL"]),
            *("--executor-id", told["SPARK_EXECUTOR_ID"]),
            *("--cores", told["SPARK_EXECUTOR_CORES"]),
            *("--app-id", told["SPARK_APPLICATION_ID"]),
            *("--hostname", told["SPARK_EXECUTOR_POD_IP"]),
            *("--resourceProfileId", told["SPARK_RESOURCE_PROFILE_ID"]),
            *("--podName", told["SPARK_EXECUTOR_POD_NAME"]),
        ]
    )
    end(status, cause(printed) if status else "")


class Cluster:
    """The pods of this one's namespace, as its service account may see them."""

    def __init__(self) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        namespace = (ACCOUNT / "namespace").read_text()
        self._pods = f"https://{host}:{port}/api/v1/namespaces/{namespace}/pods"
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def ask(self, method: str, name: str) -> Any:  # noqa: ANN401
        """Get or delete a pod; nothing, if there is none."""
        request = urllib.request.Request(f"{self._pods}/{name}", method=method)  # noqa: S310
        request.add_header("Authorization", f"Bearer {(ACCOUNT / 'token').read_text()}")
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.load(response)
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise


def job_runner() -> None:
    """Submit the job run, and end as it ends."""
    told = json.loads(SUBMISSION.read_text())
    cluster, name = Cluster(), told["driver"]
    if cluster.ask("DELETE", name):  # of an earlier attempt
        while cluster.ask("GET", name):
            time.sleep(0.5)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    status, printed = run(
        [
            f"{SPARK}/bin/spark-submit",
            *("--master", f"k8s://https://{host}:{port}", "--deploy-mode", "cluster"),
            *told["arguments"],
        ]
    )
    if status:
        end(status, cause(printed))
    pod = cluster.ask("GET", name)  # spark-submit ends well however the driver ends
    if pod is None or "deletionTimestamp" in pod["metadata"]:  # which ends its driver first
        end(1, f"the driver's pod {name} was deleted")
    phase = pod["status"]["phase"]
    end(0 if phase == "Succeeded" else 1, f"the driver's pod {name} is {phase}")


def main() -> None:
    """Run what the first argument names, or else the arguments themselves."""
    what, *rest = sys.argv[1:]
    if what == "driver":
        driver(rest)
    elif what == "executor":
        executor()
    elif what == "job-runner":
        job_runner()
    else:
        os.execvp(what, sys.argv[1:])  # noqa: S606


if __name__ == "__main__":
    main()
