"""The packages of MWAA's image, and what pip adds to them with requirements.txt.

As AWS's image does it (python/mwaa/utils/user_requirements.py in aws/amazon-mwaa-docker-images):
where pip fails, Airflow starts without what it was to install.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.machine import go_builds, progress, python_environments
from sandbox.machine.processes import SandboxError, run_quietly
from sandbox.machine.program import ROOT
from sandbox.runs import home

LOCKS: Final = Path(__file__).parent / "requirements"
"""What each version of MWAA comes with; the tests of the DAGs use the same."""
REQUIREMENTS: Final = Path("requirements") / "requirements.txt"
SECONDS: Final = 540.0

_KUBERNETES_PROVIDER: Final = "apache-airflow-providers-cncf-kubernetes"
_NOT_IN_IMAGE: Final = (
    *(_KUBERNETES_PROVIDER, "kubernetes", "kubernetes-asyncio", "websocket-client"),
    *("requests-oauthlib", "oauthlib", "durationpy"),
)
"""What the lock files have for this provider, and MWAA's image has not."""
_AIRFLOWS_CONSTRAINTS: Final = re.compile(
    r"https://raw\.githubusercontent\.com/apache/airflow/\S*?constraints-([\d.]+)/"
    r"constraints-[\w.-]+?\.txt"
)
# Of these MWAA keeps its own (mwaa_essential_constraints.txt).
_HELD: Final = re.compile(
    r"apache-airflow(-core|-task-sdk)?|billiard|celery|flask(-[\w-]+)?|fluent-logger|gevent|greenlet"
    r"|gunicorn|kombu|sqlalchemy(-[\w-]+)?|statsd|vine|watchtower"
)
# What a machine's pip needs to reach the registry at all.
_OF_THE_MACHINE: Final = re.compile(
    r"PIP_(INDEX_URL|CERT|DEFAULT_TIMEOUT|PROXY)|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|\w+_proxy",
    re.IGNORECASE,
)
# Nobody listens there.
_NO_INTERNET: Final = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
    ),
    "PIP_RETRIES": "0",
}


def image(version: str) -> Path:
    """Return an environment with the packages of MWAA's image, and the Kubernetes provider."""
    lock = LOCKS / f"{version}.txt"
    if not lock.exists():
        raise SandboxError(f"{lock.relative_to(ROOT)} is missing: it tells what MWAA {version} has")
    return python_environments.ensure(f"airflow-{version}", lock)


@dataclass(frozen=True)
class Installation:
    """What pip is run with."""

    version: str
    """Airflow's."""
    environment: Mapping[str, str]
    online: bool
    """Whether MWAA's subnets have a way to the internet."""
    report: Callable[[str], None]

    @property
    def lock(self) -> Path:
        """What the image has."""
        return LOCKS / f"{self.version}.txt"

    @property
    def text(self) -> str:
        """The requirements, which MWAA may have been given none of."""
        file = home.FILES / REQUIREMENTS
        return file.read_text(encoding="utf-8-sig") if file.exists() else ""

    def python(self) -> Path:
        """Return the Python of an Airflow that has what the requirements ask for."""
        name = f"airflow-{self.version}"
        if self.online and self._asks_for_what_is_there():
            return image(self.version) / "bin" / "python"
        if self.text.strip():
            try:
                made = python_environments.extend(name, self.lock, self._digest(), self._install)
                return made / "bin" / "python"
            except _PipError as error:
                self.report(
                    "pip could not install dags/requirements.txt, and Airflow runs without it, as "
                    f"on MWAA; {_log().relative_to(ROOT)} has all of this:\n{error}"
                )
        bare = python_environments.extend(name, self.lock, "", _take_out_provider)
        return bare / "bin" / "python"

    def _asks_for_what_is_there(self) -> bool:
        """Tell whether all that is asked for is what the lock file has and the image has not, as in
        the requirements that come with the program."""
        wanted = re.search(rf"^{_KUBERNETES_PROVIDER}==\S+", self.lock.read_text(), re.M)
        lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in self.text.splitlines())
        others = {
            line
            for line in filter(None, lines)
            if not ((url := _AIRFLOWS_CONSTRAINTS.search(line)) and url[1] == self.version)
        }
        return wanted is not None and others == {wanted[0]}

    def _digest(self) -> str:
        """What pip may see: the requirements, and the files that they can name."""
        digest = hashlib.sha256(f"{self.online} {self.text}".encode())
        for folder in ("dags", "plugins"):
            for file in sorted((home.FILES / folder).rglob("*")):
                if file.suffix in {".txt", ".whl", ".gz"} and file.is_file():
                    digest.update(f"{file.relative_to(home.FILES)} ".encode() + file.read_bytes())
        return digest.hexdigest()

    def _install(self, made: Path) -> None:
        _take_out_provider(made)
        with progress.step("installing what dags/requirements.txt asks for"):
            self._pip(made)

    def _pip(self, made: Path) -> None:
        command = [
            *(sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "install"),
            *("--no-input", "--requirement", str(self._file()), *self._constraints()),
        ]
        environment = {
            "PIP_CACHE_DIR": str(go_builds.cache_directory() / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **{name: v for name, v in os.environ.items() if _OF_THE_MACHINE.fullmatch(name)},
            **self.environment,
            **({} if self.online else _NO_INTERNET),
        }
        with _log().open("wb") as output:
            process = home.start(
                command,
                environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                status: int | None = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status is None:
            raise _PipError("it took longer than nine minutes")
        if status != 0:
            told = _log().read_text(errors="replace")
            errors = re.findall(r"^ERROR: .*$", told, re.M) or told.splitlines()
            raise _PipError("\n".join(errors[-4:]))

    def _constraints(self) -> list[str]:
        """MWAA's own, and Airflow's where it sees no other ones."""
        pins = self.lock.read_text().splitlines()
        held = [pin for pin in pins if _HELD.fullmatch(pin.partition("==")[0])]
        name = REQUIREMENTS.with_name("mwaa-essential-constraints.txt")
        (home.FILES / name).write_text("\n".join(held))
        options = ["--constraint", str(home.place() / name)]
        if not re.search(r"-c |--constraint ", self.text):  # as MWAA looks for it: in comments too
            options += ["--constraint", str(self.lock)]
        return options

    def _file(self) -> Path:
        """The requirements as pip gets them."""
        url = _AIRFLOWS_CONSTRAINTS.search(self.text)
        if not (self.online and url and (LOCKS / f"{url[1]}.txt").exists()) or _reachable(url[0]):
            return home.place() / REQUIREMENTS
        instead = LOCKS / f"{url[1]}.txt"
        self.report(
            "Airflow's constraints cannot be reached from here: "
            f"{instead.relative_to(ROOT)}, which has fewer packages, stands in for them"
        )
        name = REQUIREMENTS.with_name("requirements-here.txt")
        (home.FILES / name).write_text(self.text.replace(url[0], str(instead)))
        return home.place() / name


class _PipError(Exception):
    pass


def _log() -> Path:
    return home.log_file("requirements")


def _take_out_provider(made: Path) -> None:
    uv, python = str(python_environments.UV), str(made / "bin" / "python")
    run_quietly([uv, "pip", "uninstall", "--python", python, *_NOT_IN_IMAGE])


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  (an https address)
            return True
    except OSError:
        return False
