"""What becomes Airflow's plugins folder."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from components.plugins import LARGEST_MIB
from tests.settings.conftest import Load, assert_mistake, assert_right, assert_warning, mistakes
from tests.settings.test_dag_file_rules import ACCESS_KEY


def zipped(dags: Path, *names: str, content: str = "") -> str:
    with ZipFile(dags.parent / "plugins.zip", "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return "plugins.zip"


def folder(dags: Path) -> Path:
    made = dags.parent / "plugins"
    made.mkdir()
    return made


def test_a_folder_and_a_zip_file_are_right(load: Load, warnings: list[str], dags: Path) -> None:
    (folder(dags) / "own.py").touch()

    assert_right(load, warnings, {"airflow.plugins": "plugins"})
    for names in (["own.py"], ["hooks/own.py"], ["plugins/own.py", "own.py"], []):
        assert_right(load, warnings, {"airflow.plugins": zipped(dags, *names)})


def test_what_is_neither_is_refused(load: Load, dags: Path) -> None:
    (dags.parent / "plugins.zip").write_text("no zip")

    assert_mistake(load, {"airflow.plugins": "plugin"}, "airflow.plugins", "is not there")
    assert_mistake(load, {"airflow.plugins": "plugins.zip"}, "airflow.plugins", "is no zip file")


def test_a_zip_file_that_leads_out_of_the_folder_is_refused(load: Load, dags: Path) -> None:
    for name in ("../dags/x.py", "/usr/x.py"):
        changes = {"airflow.plugins": zipped(dags, name)}
        assert_mistake(load, changes, "airflow.plugins", f"holds {name}, which leads out")


def test_a_zip_file_of_the_folder_itself_is_warned_about(
    load: Load, warnings: list[str], dags: Path
) -> None:
    changes = {"airflow.plugins": zipped(dags, "plugins/own.py", "__MACOSX/._own.py")}
    assert_warning(load, warnings, changes, "airflow.plugins", "not the folder")


def test_a_zip_file_with_a_password_is_refused(load: Load, dags: Path) -> None:
    file = dags.parent / zipped(dags, "own.py")
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    file.write_bytes(content)

    assert_mistake(load, {"airflow.plugins": file.name}, "airflow.plugins", "has a password")


def test_a_secret_is_refused_by_its_file(load: Load, dags: Path) -> None:
    (folder(dags) / "own.py").write_text(ACCESS_KEY)

    for source in ("plugins", zipped(dags, "own.py", content=ACCESS_KEY)):
        (line,) = mistakes(load, {"airflow.plugins": source})
        assert line.startswith(f"{source}/own.py: holds an AWS access key")


def test_what_is_not_uploaded_is_warned_about_by_name(
    load: Load, warnings: list[str], dags: Path
) -> None:
    (folder(dags) / ".env").write_text(ACCESS_KEY)

    load({"airflow.plugins": "plugins"})

    (line,) = warnings
    assert line.startswith("plugins/.env: is not uploaded")


def test_more_than_aws_recommends_is_warned_about(
    load: Load, warnings: list[str], dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settings.rules.plugins.LARGEST_MIB", 1)
    (folder(dags) / "model.bin").write_bytes(b"0" * 2 * 2**20)

    assert LARGEST_MIB == 1024
    assert_warning(load, warnings, {"airflow.plugins": "plugins"}, "airflow.plugins", "has 2 MiB")


def test_a_pipeline_delivers_its_own(load: Load, dags: Path) -> None:
    folder(dags)
    changes = {"airflow.plugins": "plugins", "airflow.dagDelivery": "pipeline"}
    assert_mistake(load, changes, "airflow.plugins", "let the pipeline roll plugins.zip out")
