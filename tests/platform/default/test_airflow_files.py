"""Plugins, startup script and requirements of an Airflow whose web server is private."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from zipfile import ZipFile, ZipInfo

import pytest

from sandbox.clone import Clone

NAME = "mwaa-on-eks-sandbox"
DAG_BUCKET = f"{NAME}-dags-123456789012"
PINNED = ("Requirements", "Plugins", "StartupScript")

DAG = """
import os
from pathlib import Path

import tiny
from airflow.sdk import DAG, task
from team_plugin import WHERE

HERE = Path(__file__).parent
COUNTRIES = Path("/usr/local/airflow/dags/countries.csv").read_text()


@task
def check(macro):
    print("FOUND", tiny.ANSWER, os.environ["STAGE"], WHERE, macro, HERE, COUNTRIES)


with DAG("whole", schedule=None):
    check("{{ macros.team.shout('hello') }}")
"""

PLUGIN = """
from airflow.plugins_manager import AirflowPlugin

WHERE = __file__


def shout(text):
    return text.upper()


class TeamPlugin(AirflowPlugin):
    name = "team"
    macros = [shout]
"""

WHEEL = {
    "tiny.py": "ANSWER = 42\n",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": "",
}


def _set(clone: Clone, name: str, value: str) -> None:
    clone.pulumi("config", "set", "--path", f"airflow.{name}", value)


def _warnings(clone: Clone) -> list[str]:
    told = clone.pulumi("preview").stdout
    # As they come, and once more among the diagnostics.
    return list(dict.fromkeys(re.findall(r"warning: (mwaa-on-eks:\S.*|dags/.*|plugins/.*)", told)))


def _versions(clone: Clone) -> dict[str, str]:
    environment = clone.aws("mwaa").get_environment(Name=NAME)["Environment"]
    return {kind: environment[f"{kind}S3ObjectVersion"] for kind in PINNED}


def _steps(clone: Clone) -> dict[str, str]:
    """What a preview would do, by the names of resources."""
    steps = json.loads(clone.pulumi("preview", "--json").stdout)["steps"]
    return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] != "same"}


@pytest.fixture
def dags(platform: Clone) -> Iterator[Clone]:
    """A platform whose DAGs and settings a test may change."""
    folder = platform.directory / "dags"
    kept = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    settings = platform.directory / "Pulumi.sandbox.yaml"
    kept[settings] = settings.read_bytes()
    yield platform
    for file in folder.iterdir():
        if file.is_file() and file not in kept:
            file.unlink()
    for file, content in kept.items():
        file.write_bytes(content)
    shutil.rmtree(platform.directory / "plugins", ignore_errors=True)
    (platform.directory / "startup.sh").unlink(missing_ok=True)
    platform.pulumi("up", "--yes", "--skip-preview")


def test_the_advice_for_a_private_airflow_leads_to_one_that_has_it_all(dags: Clone) -> None:
    first = _versions(dags)
    folder = dags.directory / "dags"
    (folder / "kubernetes_pod_example.py").unlink()  # the provider would be one more wheel
    requirements = (folder / "requirements.txt").read_text()
    constraint = requirements.partition("\n")[0]
    (folder / "requirements.txt").write_text(f"{constraint}\ntiny==1.0\n")
    _set(dags, "webserverAccess", "PRIVATE_ONLY")
    packages, constraints = _warnings(dags)

    told = re.search(r"the folder that airflow\.(\w+) names.* the lines (.*) and (\S+)$", packages)
    assert told
    assert "remove the line" in constraints
    setting, *lines = told.groups()
    plugins = dags.directory / "plugins"
    plugins.mkdir()
    with ZipFile(plugins / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in WHEEL.items():
            wheel.writestr(ZipInfo(name), content)  # of 1980, so that it is the same each time
    (folder / "requirements.txt").write_text("\n".join([*lines, "tiny==1.0", ""]))
    _set(dags, setting, "plugins")
    assert _warnings(dags) == []

    (plugins / "team_plugin.py").write_text(PLUGIN)
    (dags.directory / "startup.sh").write_text("#!/bin/bash\nexport STAGE=private\n")
    _set(dags, "startupScript", "startup.sh")
    (folder / "countries.csv").write_text("fr,it")
    (folder / "whole.py").write_text(DAG)
    dags.pulumi("up", "--yes", "--skip-preview")
    done = dags.sandbox("dags", "whole")

    assert "whole was successful" in done.stdout
    log = (dags.directory / ".sandbox/logs/airflow-dags.log").read_text()
    where = "/usr/local/airflow/plugins/team_plugin.py"
    assert f"FOUND 42 private {where} HELLO /usr/local/airflow/dags fr,it" in log
    second = _versions(dags)
    assert all(first[kind] != second[kind] for kind in PINNED)

    (plugins / "team_plugin.py").write_text(f"{PLUGIN}# changed\n")
    assert _steps(dags) == {
        "dags-plugins.zip": "update",
        "dags-written": "update",
        "airflow-environment": "update",
    }

    # What is taken away is emptied, and its versions stay.
    dags.pulumi("config", "rm", "--path", "airflow.plugins")
    dags.pulumi("config", "rm", "--path", "airflow.startupScript")
    (folder / "whole.py").unlink()
    (folder / "requirements.txt").write_text("--no-index\n")
    dags.pulumi("up", "--yes", "--skip-preview")
    third = _versions(dags)
    s3 = dags.aws("s3")

    def body(key: str, version: str) -> bytes:
        stored = s3.get_object(Bucket=DAG_BUCKET, Key=key, VersionId=version)
        found: bytes = stored["Body"].read()
        return found

    def names(version: str) -> list[str]:
        return ZipFile(io.BytesIO(body("plugins.zip", version))).namelist()

    assert names(third["Plugins"]) == []
    assert body("startup.sh", third["StartupScript"]) == b"#!/bin/bash\n"
    assert "team_plugin.py" in names(second["Plugins"])
    assert dags.pulumi("preview", "--expect-no-changes", check=False).returncode == 0
