"""What MWAA does before Airflow starts: plugins, the startup script, requirements."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile, ZipInfo

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sandbox.machine import go_builds, python_environments, spark
from sandbox.machine.processes import SandboxError
from sandbox.runs import airflow, home, packages, startup_script
from sandbox.tests.serving import serving

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PATH": os.defpath,
    "AIRFLOW_HOME": "/usr/local/airflow",
    "STAGE": "before",
}


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The directory that is /usr/local/airflow."""
    found = tmp_path / "airflow"
    for name in ("airflow/dags", "airflow/plugins", "airflow/requirements", "airflow/startup"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("tmp", "logs"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(home, "FILES", found)
    for module in (home, startup_script):
        monkeypatch.setattr(module, "DIRECTORY", tmp_path)
    monkeypatch.setattr(packages, "ROOT", Path("/"))
    home.why_not.cache_clear()
    yield found
    home.why_not.cache_clear()


# ---- What is installed ----


def _named(requirement: Requirement) -> str:
    (version,) = requirement.specifier
    return f"{canonicalize_name(requirement.name)} {version.version}"


@pytest.mark.parametrize(
    "lock",
    [*sorted(packages.LOCKS.glob("*.txt")), spark.LOCK],
    ids=lambda lock: f"{lock.parent.name}-{lock.stem}",
)
def test_an_environment_has_what_its_lock_file_says(lock: Path) -> None:
    name = "spark" if lock == spark.LOCK else f"airflow-{lock.stem}"
    made = spark.ensure() if lock == spark.LOCK else python_environments.ensure(name, lock)
    told = subprocess.run(
        [python_environments.UV, "pip", "freeze", "--python", made / "bin" / "python"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = (line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#"))
    locked = [Requirement(line) for line in filter(None, lines)]
    here = {_named(one) for one in locked if one.marker is None or one.marker.evaluate()}
    assert {_named(Requirement(line)) for line in told.splitlines()} == here


# ---- Where the files are ----


def test_a_process_finds_the_files_where_mwaa_has_them(files: Path) -> None:
    (files / "dags" / "countries.csv").write_text("fr")
    process = home.start(
        ["sh", "-c", "pwd; cat /usr/local/airflow/dags/countries.csv; echo it >> own"],
        ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    told, _ = process.communicate()

    assert home.why_not() == ""
    assert told == b"/usr/local/airflow\nfr"
    assert (files / "own").read_text() == "it\n"


def test_without_views_it_finds_them_where_they_are(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "why_no_view", lambda _: "no namespaces")
    process = home.start(["pwd"], ENVIRONMENT, stdout=subprocess.PIPE)

    assert process.communicate()[0].decode().strip() == str(files)
    assert home.place() == files
    assert home.why_not() == "no namespaces"


# ---- The startup script ----


def write_script(files: Path, content: str) -> None:
    (files / startup_script.SCRIPT).write_text(content)


def test_what_the_script_exports_reaches_airflow(files: Path, tmp_path: Path) -> None:
    write_script(
        files,
        'echo "on $MWAA_AIRFLOW_COMPONENT"\n'
        "export STAGE=after PATH=$PATH:/usr/local/airflow/plugins/bin\n"
        "HIDDEN=1\nfalse\n",
    )

    assert startup_script.ran("scheduler", ENVIRONMENT) == {
        "STAGE": "after",
        "PATH": f"{os.defpath}:/usr/local/airflow/plugins/bin",
    }
    log = tmp_path / "logs" / "airflow-startup-scheduler.log"
    assert log.read_text() == "on scheduler\n"


def test_what_mwaa_keeps_for_itself_is_set_back(files: Path) -> None:
    write_script(
        files, "export AIRFLOW_HOME=/x PYTHONPATH=/x MWAA_AIRFLOW_COMPONENT=x AWS_REGION=x"
    )

    assert startup_script.ran("worker", ENVIRONMENT) == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("echo no driver\nexit 3", "has ended with exit code 3.*no worker would start.*no driver"),
        ("exit 0", "has ended with exit code 0"),
        ("set -e\nfalse", "has ended with exit code 1"),
        ("sleep 60", "has taken longer than five minutes"),
    ],
)
def test_a_script_that_does_not_come_to_its_end_keeps_airflow_from_starting(
    files: Path, monkeypatch: pytest.MonkeyPatch, content: str, why: str
) -> None:
    monkeypatch.setattr(startup_script, "SECONDS", 1.0)
    write_script(files, content)

    with pytest.raises(SandboxError, match=f"(?s){why}"):
        startup_script.ran("worker", ENVIRONMENT)


def test_without_a_script_nothing_changes() -> None:
    assert startup_script.ran("worker", ENVIRONMENT) == {}


# ---- The plugins ----


def zipped(*entries: ZipInfo) -> bytes:
    written = io.BytesIO()
    with ZipFile(written, "w") as archive:
        for entry in entries:
            archive.writestr(entry, b"content")
    return written.getvalue()


def test_plugins_are_unpacked_with_the_modes_that_they_have(files: Path) -> None:
    tool = ZipInfo("bin/tool")
    tool.external_attr = 0o100755 << 16

    airflow._unpack(zipped(tool, ZipInfo("../own.py")), files / "plugins")

    assert (files / "plugins" / "bin" / "tool").stat().st_mode & stat.S_IXUSR
    assert (files / "plugins" / "own.py").exists(), "not outside"


def test_what_is_no_zip_file_keeps_airflow_from_starting(files: Path) -> None:
    with pytest.raises(SandboxError, match="could not unpack the plugins"):
        airflow._unpack(b"no zip", files / "plugins")


# ---- The requirements ----

LOCK = "attrs==25.3.0\nflask==3.1.2\napache-airflow-providers-cncf-kubernetes==10.21.0\n"
URL = "https://raw.githubusercontent.com/apache/airflow/constraints-9.9.9/constraints-3.12.txt"
OFFLINE = "--find-links /usr/local/airflow/plugins\n--no-index\n"


def write_wheel(folder: Path, name: str = "tiny", version: str = "1.0") -> Path:
    file, about = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", "ANSWER = 42\n")
        archive.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return file


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An image with few packages and no registry, and what is reported of it."""
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "9.9.9.txt").write_text(LOCK)
    monkeypatch.setattr(packages, "LOCKS", locks)
    monkeypatch.setattr(go_builds, "cache_directory", lambda: tmp_path / "cache")

    def make(_: Path, place: Path) -> None:
        subprocess.run(
            [python_environments.UV, "--quiet", "venv", "--python", sys.executable, place],
            check=True,
        )

    monkeypatch.setattr(python_environments, "_make", make)
    monkeypatch.setattr(packages, "_take_out_provider", lambda _: None)
    monkeypatch.setattr(packages, "_reachable", lambda _: False)
    return []


def python(files: Path, told: list[str], requirements: str, *, online: bool = True) -> Path:
    (files / packages.REQUIREMENTS).write_text(requirements)
    return packages.Installation("9.9.9", ENVIRONMENT, online, told.append).python()


def has_tiny(interpreter: Path) -> bool:
    return subprocess.run([interpreter, "-c", "import tiny"], check=False).returncode == 0


@pytest.mark.parametrize("online", [True, False])
def test_wheels_among_the_plugins_are_installed_without_internet(
    files: Path, image: list[str], online: bool
) -> None:
    write_wheel(files / "plugins")

    made = python(files, image, f"{OFFLINE}tiny==1.0\n", online=online)

    assert has_tiny(made)
    assert image == []
    assert python(files, image, f"{OFFLINE}tiny==1.0\n", online=online) == made
    (files / "plugins" / "more.txt").touch()  # which the requirements may name
    assert python(files, image, f"{OFFLINE}tiny==1.0\n", online=online) != made


def test_what_pip_cannot_install_is_told_and_airflow_goes_on_without(
    files: Path, image: list[str]
) -> None:
    made = python(files, image, f"{OFFLINE}tiny==1.0\n")

    assert made.exists()
    assert not has_tiny(made)
    (told,) = image
    assert "and Airflow runs without it, as on MWAA" in told
    assert "ERROR: No matching distribution found for tiny==1.0" in told

    write_wheel(files / "plugins")  # a failure is not kept
    assert has_tiny(python(files, image, f"{OFFLINE}tiny==1.0\n"))


def test_a_package_that_mwaa_holds_is_not_replaced(files: Path, image: list[str]) -> None:
    write_wheel(files / "plugins", "flask", "2.0")

    made = python(files, image, f"# -c none\n{OFFLINE}Flask==2.0\n")

    assert subprocess.run([made, "-c", "import flask"], check=False).returncode != 0
    assert "ERROR: ResolutionImpossible" in image[0]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """An address at which a wheel is."""
    (tmp_path / "served").mkdir()
    name = write_wheel(tmp_path / "served").name
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/{name}"


def test_without_a_way_to_the_internet_nobody_answers(
    files: Path, image: list[str], address: str
) -> None:
    requirements = f"# -c none\ntiny @ {address}\n"

    assert has_tiny(python(files, image, requirements, online=True))
    assert image == []
    assert not has_tiny(python(files, image, requirements, online=False))
    assert "127.0.0.1" in image[0]


def test_constraints_that_are_out_of_reach_here_come_from_the_lock_file(
    files: Path, image: list[str]
) -> None:
    write_wheel(files / "plugins")

    made = python(files, image, f'--constraint "{URL}"\n{OFFLINE}tiny==1.0\n')

    assert has_tiny(made)
    (told,) = image
    assert told.startswith("Airflow's constraints cannot be reached from here")


PROVIDER = "apache-airflow-providers-cncf-kubernetes"
ITS_OWN = f"-c {URL}\n# why\n{PROVIDER}==10.21.0\n"


def test_only_for_the_requirements_that_come_with_the_program_nothing_is_installed(
    files: Path, image: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_environments, "extend", lambda *_: Path("/extended"))
    monkeypatch.setattr(python_environments, "ensure", lambda *_: Path("/base"))

    assert python(files, image, ITS_OWN) == Path("/base/bin/python")
    for other in ("", f"-c {URL}\n", f"-c {URL}\n{PROVIDER}==10.20.0\n", f"{ITS_OWN}tiny==1.0\n"):
        assert python(files, image, other) == Path("/extended/bin/python"), other
    # What the image has not does not come without internet.
    assert python(files, image, ITS_OWN, online=False) == Path("/extended/bin/python")


# ---- The database ----


def keep(version: str, told: list[str], *, created: int = 1) -> None:
    def migrate(command: list[str], _: Mapping[str, str], __: str) -> None:
        (home.FILES / "airflow.db").touch()

    fake: Any = SimpleNamespace(
        told={"AirflowVersion": version, "CreatedAt": datetime.fromtimestamp(created, UTC)},
        python=Path(f"/python-{version}"),
        environment={},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "run", migrate)
        airflow._keep_database(fake, told.append)


def test_another_environment_has_an_empty_database(files: Path) -> None:
    told: list[str] = []
    keep("3.2.1", told)
    (files / "airflow.db").write_text("of the first")
    keep("3.2.1", told)
    assert (files / "airflow.db").read_text() == "of the first"
    keep("3.2.1", told, created=2)
    assert (files / "airflow.db").read_text() == ""
    assert told == ["the environment is another one than before, and begins with an empty database"]


def test_a_lower_version_gets_a_database_of_its_own(files: Path) -> None:
    told: list[str] = []
    keep("3.2.1", told)
    (files / "airflow.db").write_text("of 3.2.1")
    (files / "airflow.cfg").write_text("of 3.2.1")

    keep("3.10.0", told)
    assert (files / "airflow.db").read_text() == "of 3.2.1", "brought up to date"
    assert not (files / "airflow.cfg").exists()
    assert told == []

    keep("3.2.1", told)
    assert (files / "airflow.db").read_text() == ""
    assert told == [
        "Airflow 3.2.1 cannot read the database of 3.10.0 and gets a new one; MWAA would take its "
        "own back"
    ]
