"""dags/requirements.txt, as pip reads it."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.settings.conftest import CONSTRAINT, WITHOUT_NAT, Load, mistakes

URL = CONSTRAINT.split('"')[1]
OWN = "--constraint /usr/local/airflow/dags/constraints.txt\n"
PROVIDER = "apache-airflow-providers-cncf-kubernetes"
HASH = "--hash=sha256:" + "0" * 64


def write(dags: Path, requirements: str | bytes, **files: str) -> None:
    content = requirements.encode() if isinstance(requirements, str) else requirements
    (dags / "requirements.txt").write_bytes(content)
    for name, text in files.items():
        (dags / f"{name}.txt").write_text(text)


@pytest.mark.parametrize(
    "requirements",
    [
        CONSTRAINT,
        f"requests==2.0\n{CONSTRAINT}",  # pip does not care where it stands
        f"-c {URL}\nrequests==2.0",
        f"--constraint={URL}\nrequests==2.0",
        CONSTRAINT.replace("constraints-3.12", "constraints-no-providers-3.12"),
        codecs.BOM_UTF8 + f"{CONSTRAINT}requests==2.0\n".encode(),
        f"# -*- coding: utf-8 -*-\n# für alle\n{CONSTRAINT}",
        f"{CONSTRAINT}requests == 2.0  # why\r\n\r\n  # more\r\n",
        f"{CONSTRAINT}requests[socks, security]==2.0 ; python_version >= '3.12'",
        f"{CONSTRAINT}requests>=2 ; python_version < '3.12'",  # not on MWAA
        f"{CONSTRAINT}pywin32>=1 ; sys_platform == 'win32'",
        f"{CONSTRAINT}requests===2.0\nurllib3==2.0,!=2.1\n",
        f"{CONSTRAINT}requests==2.0 \\\n    {HASH} \\\n    {HASH}\n",
        f"{CONSTRAINT}--require-hashes\nrequests==2.0 {HASH}\n",
        f"{CONSTRAINT}{PROVIDER}==10.21.0\nApache_Airflow.Providers-Amazon==9.34",
        f"{CONSTRAINT}boto3==1.43.56\n",
        f"{CONSTRAINT}--index-url https://example.com/simple\n--pre\nrequests==2.0",
        f"{CONSTRAINT}https://example.com/x-1.0-py3-none-any.whl#sha256=0",
        f"{CONSTRAINT}x @ https://example.com/x-1.0-py3-none-any.whl",
        f"{CONSTRAINT}/usr/local/airflow/dags/x-1.0-py3-none-any.whl[fast]",
        f"{CONSTRAINT}-r /usr/local/airflow/dags/team.txt",
        f"{OWN}{PROVIDER}==10.22.0\nrequests==2.0",  # newer than Airflow's
        f"{OWN}boto3==1.0",  # of which they say nothing
    ],
)
def test_what_pip_takes_is_taken(
    load: Load, warnings: list[str], dags: Path, requirements: str | bytes
) -> None:
    write(
        dags,
        requirements,
        team="-r more.txt\nflake8==1.0\n",
        more="-r team.txt\n",  # in a circle, which is no harm
        constraints=f"apache-airflow==3.3.1\n{PROVIDER}==10.22.0\nRequests==2.0\nother>=1\n",
    )
    (dags / "x-1.0-py3-none-any.whl").touch()

    load({})

    assert warnings == []


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        (CONSTRAINT.replace("3.12", "3.11"), "is for Airflow 3.3.1 with Python 3.11: write --cons"),
        (CONSTRAINT.replace("3.3.1", "3.2.1"), f"Python 3.12: write {CONSTRAINT[:-1]}"),
        (
            f"{OWN}requests==2.1\n",
            'requests==2.1": is against the constraints: write requests==2.0',
        ),
        (f"{OWN.replace(' ', '=')}requests==2.0\n", "is not seen by MWAA"),
        ("-c /usr/local/airflow/dags/old.txt\n", "is against airflow.version, 3.3.1"),
        ("-c constraints.txt\n", "/airflow/requirements/constraints.txt, which MWAA has not"),
        ("-c /usr/local/airflow/dags/typo.txt\n", "names typo.txt, which dags/ has not"),
        (f"{CONSTRAINT}-r team.txt\n", "write /usr/local/airflow/dags/team.txt"),
        (f"{CONSTRAINT}-r https://example.com/team.txt\n", "put the file into dags/"),
        (
            f"{CONSTRAINT}-r /usr/local/airflow/dags/team.txt\n",
            'dags/team.txt = "flake8": is not pinned',
        ),
        (f"{CONSTRAINT}requests\n", "is not pinned"),
        (f"{CONSTRAINT}requests>=2\n", "is not pinned"),
        (f"{CONSTRAINT}requests==2.*\n", "is not pinned"),
        (f"{CONSTRAINT}requests=2\n", "is not pinned"),
        (f"{CONSTRAINT}git+https://example.com/x\n", "is not pinned"),
        (f"{CONSTRAINT}-e git+https://example.com/x\n", "is not pinned"),
        (f"{CONSTRAINT}x @ https://example.com/x.whl\n", "is not pinned"),
        (f"{CONSTRAINT}./x-1.0-py3-none-any.whl\n", "write /usr/local/airflow/dags/x-1.0"),
        (f"{CONSTRAINT}--no-indx\n", "is not understood by pip: unrecognized arguments: --no-indx"),
        (
            f"{CONSTRAINT}kubernetes==11.0.0\n",
            "constraints: write kubernetes==36.0.3",
        ),
        (f"{CONSTRAINT}Boto3 == 1.0 ; python_version > '3'", "write boto3==1.43.56"),
        (f"{CONSTRAINT}{PROVIDER}==10.16.0\n", f"write {PROVIDER}==10.21.0"),
        (
            f"{CONSTRAINT}Apache_Airflow.providers-CNCF.kubernetes[x]==10.16.0\n",
            f"write {PROVIDER}==10.21.0",
        ),
        (f"{CONSTRAINT}apache-airflow==3.3.1\n", "asks for apache-airflow, of which MWAA keeps"),
        (f"{CONSTRAINT}Flask.SQLAlchemy==1\n", "asks for flask-sqlalchemy, of which MWAA keeps"),
        (f"{CONSTRAINT}requests==2.0\nRequests==2.1\n", "a second time, after requests==2.0"),
        (f"{CONSTRAINT}requests==2.0 {HASH}\nurllib3==2.0\n", 'urllib3==2.0": has no --hash'),
        (f"{CONSTRAINT}requests==2.0\n".encode("utf-16"), "is in UTF-16: save it in UTF-8"),
        (f"{CONSTRAINT}requests==2.0\n".encode("utf-16-le"), "is in UTF-16"),
        (f"{CONSTRAINT}# für alle\n".encode("latin-1"), "is in Latin-1 or the like"),
        (f"# coding: cp1252\n{CONSTRAINT}# für alle\n".encode("cp1252"), "is in cp1252"),
        (None, "dags/requirements.txt: is missing: write it"),
    ],
)
def test_what_mwaa_would_stumble_over_is_named(
    load: Load, dags: Path, requirements: str | bytes | None, text: str
) -> None:
    if requirements is not None:
        write(
            dags,
            requirements,
            constraints="apache-airflow==3.3.1\nrequests==2.0\n",
            old="apache-airflow==3.2.1\n",
            team="flake8\n",
        )
    else:
        (dags / "requirements.txt").unlink()

    (line,) = mistakes(load, {})
    assert line.startswith("dags/")
    assert text in line

    load({"airflow.dagDelivery": "pipeline"})


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        ("requests==2.0\n", f"MWAA adds Airflow's own: say so with {CONSTRAINT[:-1]}"),
        ("-c https://example.com/c.txt\n", "is not compared with Airflow 3.3.1"),
        (f"{CONSTRAINT}--extra-index-url https://example.com/\n", "write --index-url"),
        (f"{CONSTRAINT}--extra-index-url=https://example.com/\n", "write --index-url"),
        (f"{CONSTRAINT}--extra https://example.com/\n", "write --index-url"),  # as pip takes it
        (
            f"{CONSTRAINT}-r /usr/local/airflow/dags/index.txt\n",
            'dags/index.txt = "--extra-index-url https://example.com/": lets whoever registers a '
            "name of yours at PyPI have his package installed",
        ),
        (f"{CONSTRAINT}-i http://example.com/simple\n", "whoever sits between change what"),
        (
            f"{CONSTRAINT}--trusted-host example.com\n",
            "write https, of an index with a certificate",
        ),
        (f"{CONSTRAINT}http://example.com/x-1.0-py3-none-any.whl\n", "whoever sits between"),
        (f"{CONSTRAINT}-i https://me:hunter2@example.com/\n", "holds a password"),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], dags: Path, requirements: str, text: str
) -> None:
    write(dags, requirements, index="--extra-index-url https://example.com/\n")

    load({})

    (line,) = warnings
    assert line.startswith(("dags/requirements.txt", "dags/index.txt"))
    assert text in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "content",
    [
        "from airflow.providers.amazon.aws.operators.eks import EksPodOperator",
        "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator",
        "@task.kubernetes(image='busybox')",
    ],
)
def test_the_kubernetes_provider_is_demanded_where_a_dag_needs_it(
    load: Load, dags: Path, content: str
) -> None:
    write(dags, CONSTRAINT)
    (dags / "team").mkdir()
    (dags / "team" / "dag.py").write_text(content)

    assert mistakes(load, {}) == [
        "dags/requirements.txt: lacks what dags/team/dag.py imports and MWAA's image has not: add "
        f"{PROVIDER}==10.21.0"
    ]

    for line in (f"{PROVIDER}==10.21.0", "apache-airflow-providers-amazon[cncf.kubernetes]==9.34"):
        write(dags, CONSTRAINT + line)
        load({})


PRIVATE = {"airflow.webserverAccess": "PRIVATE_ONLY"}


@pytest.mark.parametrize("changes", [PRIVATE, WITHOUT_NAT | {"airflow.dagDelivery": "pulumi"}])
def test_without_internet_the_advice_can_be_followed_to_the_letter(
    load: Load, warnings: list[str], dags: Path, changes: dict[str, object]
) -> None:
    write(dags, f"{CONSTRAINT}requests==2.0\n")
    load(changes)
    packages, constraint = warnings
    assert packages.startswith("mwaa-on-eks:airflow.webserverAccess = ")
    told = re.search(
        "the folder that (airflow.plugins) names, .* the lines (.*) and (.*)$", packages
    )
    assert told
    assert constraint.endswith("remove the line, and MWAA takes its own copy of these constraints")

    warnings.clear()
    plugins = dags.parent / "plugins"
    plugins.mkdir()
    (plugins / "requests-2.0-py3-none-any.whl").touch()
    setting, *lines = told.groups()
    write(dags, "\n".join([*lines, "requests==2.0"]))
    load({**changes, setting: "plugins"})
    assert warnings == []


def test_without_internet_constraints_of_ones_own_come_with_the_dags(
    load: Load, warnings: list[str], dags: Path
) -> None:
    write(dags, "-c https://example.com/c.txt\n--no-index\n", constraints="requests==2.0\n")
    load(PRIVATE)
    told = next(line for line in warnings if "put the file into dags/" in line)

    warnings.clear()
    write(dags, f"{told.partition(' and write ')[2]}\n--no-index\n")
    load(PRIVATE)
    assert warnings == []


FOUND = "-f /usr/local/airflow/plugins\n--no-index\n"


@pytest.mark.parametrize(
    ("wheel", "line"),
    [
        ("requests-2.0-py2.py3-none-any.whl", "Requests[socks]==2.0"),
        ("numpy-2.1-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", "numpy==2.1"),
        ("numpy-2.1-cp310-abi3-manylinux2014_x86_64.whl", "numpy==2.1"),
        ("numpy-2.1.tar.gz", "numpy==2.1"),
        ("other.txt", "boto3==1.43.56"),  # of the image
        ("x-1.0-py3-none-any.whl", "/usr/local/airflow/plugins/x-1.0-py3-none-any.whl"),
    ],
)
def test_what_pip_finds_among_the_plugins_is_enough(
    load: Load, warnings: list[str], dags: Path, wheel: str, line: str
) -> None:
    write(dags, FOUND + line)
    (dags.parent / "plugins").mkdir()
    (dags.parent / "plugins" / wheel).touch()
    with ZipFile(dags.parent / "plugins.zip", "w") as archive:
        archive.writestr(wheel, "")

    for source in ("plugins", "plugins.zip"):
        load({"airflow.plugins": source})

    assert warnings == []


@pytest.mark.parametrize(
    ("wheel", "line"),
    [
        ("requests-2.0-py3-none-any.whl", "requests==2.1"),
        ("numpy-2.1-cp311-cp311-manylinux_2_28_x86_64.whl", "numpy==2.1"),
        ("numpy-2.1-cp312-cp312-macosx_14_0_arm64.whl", "numpy==2.1"),
        ("numpy-2.1-cp312-cp312-manylinux_2_28_aarch64.whl", "numpy==2.1"),
        ("numpy-2.1-cp312-cp312-manylinux_2_39_x86_64.whl", "numpy==2.1"),
        ("other.txt", f"{PROVIDER}==10.21.0"),  # which the image has not
        ("other.txt", "kubernetes==36.0.3"),
    ],
)
def test_what_pip_does_not_find_among_the_plugins_is_warned_about(
    load: Load, warnings: list[str], dags: Path, wheel: str, line: str
) -> None:
    write(dags, FOUND + line)
    (dags.parent / "plugins").mkdir()
    (dags.parent / "plugins" / wheel).touch()

    load({"airflow.plugins": "plugins"})

    (told,) = warnings
    assert told.startswith(
        f'dags/requirements.txt = "{line}": has no wheel for Python 3.12 on Linux'
    )
    assert told.endswith(f"--python-version 3.12 --platform manylinux2014_x86_64 {line}")


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        (FOUND, "names /usr/local/airflow/plugins, which MWAA has not: let airflow.plugins have"),
        ("-f /usr/local/airflow/dags/typo\n--no-index\n", "dags/typo, which MWAA has not"),
        ("/usr/local/airflow/plugins/x-1.0-py3-none-any.whl", "which airflow.plugins has not"),
    ],
)
def test_a_place_that_mwaa_has_not_is_refused(
    load: Load, dags: Path, requirements: str, text: str
) -> None:
    write(dags, requirements)

    (line,) = mistakes(load, {})
    assert text in line


def test_of_an_index_within_the_vpc_nothing_is_known(
    load: Load, warnings: list[str], dags: Path
) -> None:
    write(dags, "-f https://wheels.example.com/\n--no-index\nrequests==2.0\n")

    load(PRIVATE)

    assert warnings == []


def test_a_file_among_the_plugins_is_read(load: Load, dags: Path) -> None:
    with ZipFile(dags.parent / "plugins.zip", "w") as archive:
        archive.writestr("team/more.txt", "flake8\n")
    write(dags, f"{CONSTRAINT}-r /usr/local/airflow/plugins/team/more.txt\n")

    (line,) = mistakes(load, {"airflow.plugins": "plugins.zip"})
    assert line.startswith('plugins/team/more.txt = "flake8": is not pinned')


def test_another_airflow_version_asks_for_other_requirements(load: Load) -> None:
    assert len(mistakes(load, {"airflow.version": "3.2.1"})) == 2
