"""The images of which the sandbox knows what is in them: EMR's Spark."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from sandbox.cloud.kubernetes.kubelet.containers import Mount
from sandbox.machine import spark
from sandbox.machine.program import ROOT

SPARK_ON_EMR: Final = "/usr/lib/spark"
"""Where EMR's images have Spark."""
# "How to select a base image URI", Amazon EMR on EKS development guide. The sandbox's Spark is that
# of emr-7.14.0; emr-spark-8.0.0 and later have Spark 4.
_EMR: Final = re.compile(r"(?:.*/)?spark/emr-7\.\d+\.\d+(?::[\w.-]+)?(?:@[\w:]+)?")
_FILES: Final = ROOT / "sandbox" / "images" / "spark"
QUICK: Final = "-XX:TieredStopAtLevel=1"
"""Jobs here are short: what would make Java's code faster takes longer than they do."""
_ACCOUNTS: Final = {
    "passwd": "hadoop:x:999:1000::/home/hadoop:/bin/bash",
    "group": "hadoop:x:1000:",
}
_CREDENTIALS: Final = "com.amazonaws.auth.EC2ContainerCredentialsProviderWrapper"
_CONFIGURATION: Final = "/etc/spark/conf"
_HADOOP: Final = "/etc/hadoop/conf"


@dataclass(frozen=True)
class Image:
    """What a container finds of its image."""

    entrypoint: tuple[str, ...]
    variables: dict[str, str]
    mounts: tuple[Mount, ...]

    def environment(self, address: str, scratch: str) -> dict[str, str]:
        """Return its variables in a pod of this address, for which a directory is /tmp."""
        if not self.variables:
            return {}
        return {
            **self.variables,
            # Else pages of Spark are at all of the machine's addresses.
            "SPARK_LOCAL_IP": address,
            "SPARK_SUBMIT_OPTS": f"-Djava.io.tmpdir={scratch} {QUICK}",
        }


class KnownImages:
    """The images that the sandbox knows, and the files that are written for them."""

    def __init__(self, directory: Path, api_server: str, s3: str) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        _write(directory / "spark", _spark_defaults(api_server))
        _write(directory / "accounts", _accounts())
        _write(directory / "hadoop", {"core-site.xml": _hadoop(s3)})

    def find(self, name: str) -> Image | None:
        """Return what is in an image, if that is known."""
        return self._spark if is_known(name) else None

    @cached_property
    def _spark(self) -> Image:
        there = spark.environment()
        if not spark.is_installed():
            raise FileNotFoundError("Spark is not installed on this machine: `make up` does it.")
        python = str(there / "bin" / "python")
        return Image(
            (python, str(_FILES / "entrypoint.py")),
            {
                "JAVA_HOME": str(spark.java(there)),
                "PATH": os.pathsep.join([str(there / "bin"), os.defpath]),
                "PYSPARK_PYTHON": python,
                "SPARK_CONF_DIR": _CONFIGURATION,
                "SPARK_DIST_CLASSPATH": _HADOOP,
                "SPARK_HOME": SPARK_ON_EMR,
            },
            (
                Mount(spark.home(there), SPARK_ON_EMR, read_only=True),
                Mount(self._directory / "spark", _CONFIGURATION, read_only=True),
                Mount(self._directory / "hadoop", _HADOOP, read_only=True),
                Mount(_FILES, "/usr/lib/emr", read_only=True),
                *(Mount(one, str(one), read_only=True) for one in parts(there)),
                *(
                    Mount(self._directory / "accounts" / name, f"/etc/{name}", read_only=True)
                    for name in _ACCOUNTS
                ),
            ),
        )


def parts(spark_environment: Path) -> tuple[Path, ...]:
    """Return what of an image lies where this machine has it, which no volume of a pod may hide."""
    python = (spark_environment / "bin" / "python").resolve().parents[1]
    if Path("/usr").is_relative_to(python):  # what is the system's is everywhere
        return (spark_environment,)
    return spark_environment, python


def is_known(name: str) -> bool:
    """Tell whether it is known what is in an image."""
    return _EMR.fullmatch(name) is not None


def is_run(pod: Any) -> bool:  # noqa: ANN401
    """Tell whether a pod is run here, and not played by kwok."""
    # Kubernetes gives no other policy to pods that end: Jobs' pods and Airflow's.
    containers = [*(pod.spec.init_containers or ()), *pod.spec.containers]
    return pod.spec.restart_policy != "Always" or all(is_known(one.image) for one in containers)


def _accounts() -> dict[str, str]:
    """Return the users and groups of EMR's images, without whose names Java knows nobody."""
    return {name: f"{Path('/etc', name).read_text()}{line}\n" for name, line in _ACCOUNTS.items()}


def _spark_defaults(api_server: str) -> dict[str, str]:
    settings = {
        # Elsewhere https://kubernetes.default.svc.
        "spark.kubernetes.driver.master": api_server,
        # Every user of this machine reaches loopback.
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.ui.filters": "sandbox.OwnUser",
        "spark.ui.killEnabled": "false",
    }
    return {"spark-defaults.conf": "".join(f"{key} {one}\n" for key, one in settings.items())}


def _hadoop(s3: str) -> str:
    """Return what makes s3:// the emulated S3, as the pod's role."""
    settings = {
        "fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "fs.AbstractFileSystem.s3.impl": "org.apache.hadoop.fs.s3a.S3A",
        "fs.s3a.endpoint": s3,
        # The region is the one of the pod's role.
        "fs.s3a.endpoint.region": "${env.AWS_REGION:-us-west-2}",
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.s3.client.factory.impl": "sandbox.PlainS3",
        "fs.s3a.aws.credentials.provider": _CREDENTIALS,
        "fs.s3a.attempts.maximum": "3",
        "fs.s3a.retry.limit": "3",
    }
    properties = "".join(
        f"<property><name>{key}</name><value>{escape(value)}</value></property>\n"
        for key, value in settings.items()
    )
    return f"<configuration>\n{properties}</configuration>\n"


def _write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    for name, content in files.items():
        file = directory / name
        file.touch(mode=0o600)
        file.write_text(content)
