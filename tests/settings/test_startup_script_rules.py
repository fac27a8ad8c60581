"""The shell script that MWAA runs before Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings.conftest import (
    WITHOUT_NAT,
    Load,
    assert_mistake,
    assert_right,
    assert_warning,
    mistakes,
)
from tests.settings.test_dag_file_rules import ACCESS_KEY

KEY = "airflow.startupScript"
PRIVATE = {"airflow.webserverAccess": "PRIVATE_ONLY"}
NO_NAT = WITHOUT_NAT | {"airflow.dagDelivery": "pulumi"}


def script(dags: Path, content: str | bytes) -> dict[str, object]:
    """The setting for a script with this content, and requirements that need no internet."""
    (dags / "requirements.txt").write_text("--no-index\n")
    encoded = content.encode() if isinstance(content, str) else content
    (dags.parent / "startup.sh").write_bytes(encoded)
    return {KEY: "startup.sh"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "#!/bin/sh\nexport STAGE=dev\n",
        "#!/usr/bin/env bash\nsudo yum -y install libaio\n",
        "export PATH=$PATH:/usr/local/airflow/plugins/bin AIRFLOW_VAR_X=1\n",
        "# export PYTHONPATH=/x\necho PYTHONPATH=1\n",
    ],
)
def test_a_script_for_bash_is_right(
    load: Load, warnings: list[str], dags: Path, content: str
) -> None:
    assert_right(load, warnings, script(dags, content))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("#!/bin/bash\r\nexport A=1\r\n", "end as on Windows"),
        ("#!/usr/bin/env python3\nprint(1)\n", "begins with #!/usr/bin/env python3, and MWAA runs"),
        ("# für alle\n".encode("latin-1"), "is not in UTF-8"),
    ],
)
def test_what_bash_would_stumble_over_is_refused(
    load: Load, dags: Path, content: str | bytes, text: str
) -> None:
    assert_mistake(load, script(dags, content), KEY, text)


@pytest.mark.parametrize("name", ["startup", "scripts/startup.sh", "dags"])
def test_what_is_no_script_is_refused(load: Load, dags: Path, name: str) -> None:
    (dags.parent / "startup").touch()
    assert_mistake(
        load, {KEY: name}, KEY, "must be a file of this repository whose name ends in .sh"
    )


@pytest.mark.parametrize(
    "line",
    [
        "export AIRFLOW_HOME=/tmp",
        "  export PYTHONPATH=/x:$PYTHONPATH",
        "AWS_REGION=eu-west-1",
        "declare -x AIRFLOW__CORE__FERNET_KEY=1",
        "export MWAA__CORE__X=1",
    ],
)
def test_what_mwaa_sets_back_is_warned_about(
    load: Load, warnings: list[str], dags: Path, line: str
) -> None:
    assert_warning(load, warnings, script(dags, line), KEY, "which MWAA sets back: take it out")


def test_a_download_without_internet_is_warned_about(
    load: Load, warnings: list[str], dags: Path
) -> None:
    download = "# needed by the driver\nsudo yum -y install libaio\n"
    not_there = f'if [[ "$MWAA_AIRFLOW_COMPONENT" != webserver ]]; then {download} fi'

    assert_warning(load, warnings, {**script(dags, download), **PRIVATE}, KEY, "calls yum, and a p")
    warnings.clear()
    assert_right(load, warnings, {**script(dags, not_there), **PRIVATE})
    assert_warning(load, warnings, {**script(dags, not_there), **NO_NAT}, KEY, "calls yum, and net")


@pytest.mark.parametrize(
    "line",
    ["pip install --extra-index-url https://x/ y==1", "export PIP_EXTRA_INDEX_URL=https://x/"],
)
def test_a_further_index_is_warned_about(
    load: Load, warnings: list[str], dags: Path, line: str
) -> None:
    text = "which lets whoever registers a name of yours at PyPI have his package installed"
    assert_warning(load, warnings, script(dags, line), KEY, text)
    warnings.clear()
    assert_right(load, warnings, script(dags, f"# not {line}"))


def test_a_secret_is_refused(load: Load, dags: Path) -> None:
    (line,) = mistakes(load, script(dags, f"export KEY={ACCESS_KEY}\n"))
    assert line.startswith("./startup.sh: holds an AWS access key (line 1): revoke it")


def test_a_pipeline_delivers_its_own(load: Load, dags: Path) -> None:
    changes = {**script(dags, ""), "airflow.dagDelivery": "pipeline"}
    assert_mistake(load, changes, KEY, "let the pipeline roll the script out")
