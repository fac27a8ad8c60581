"""What of the DAGs' folder is delivered, and what is told about the rest."""

import os
from pathlib import Path

import pytest

from components.dag_folder import LARGEST_MIB, files_to_upload, left_out


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def uploaded(folder: Path) -> set[str]:
    return {key for key, _ in files_to_upload(folder)}


def test_whatever_a_dag_could_read_is_uploaded(tmp_path: Path) -> None:
    names = (
        *("spark_pi.py", "team/a/dag.py", "team/a/dag.sql", "pod.yaml", "pod.yml", "pod.json"),
        *("countries.csv", "notes.txt", "packaged.zip", "lib-1.0-py3-none-any.whl", "x.parquet"),
        *("Makefile", ".airflowignore", "team/.airflowignore", "team/requirements.txt"),
    )
    write(tmp_path, *names, "requirements.txt")

    assert uploaded(tmp_path) == {"requirements.txt", *(f"dags/{name}" for name in names)}
    assert list(left_out(tmp_path)) == []


def test_leftovers_of_tools_go_without_a_word(tmp_path: Path) -> None:
    write(tmp_path, "dag.py", "__pycache__/dag.cpython-312.nbi", "old.pyc", ".git/config")
    write(tmp_path, ".gitignore", ".ruff_cache/x", ".DS_Store", ".vscode/settings.json")

    assert uploaded(tmp_path) == {"dags/dag.py"}
    assert list(left_out(tmp_path)) == []


def test_a_link_is_uploaded_as_what_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/common.py", "elsewhere/more/sql.sql", "dags/dag.py")
    (tmp_path / "dags/common.py").symlink_to(tmp_path / "elsewhere/common.py")
    (tmp_path / "dags/shared").symlink_to(tmp_path / "elsewhere")

    found = dict(files_to_upload(tmp_path / "dags"))

    assert set(found) == {
        *("dags/dag.py", "dags/common.py", "dags/shared/common.py", "dags/shared/more/sql.sql"),
    }
    assert found["dags/common.py"].read_text() == "elsewhere/common.py"


def test_what_is_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, "dag.py", ".env", ".secrets/key", "two\nlines.py")
    (tmp_path / "broken.py").symlink_to("nowhere.py")
    (tmp_path / "circle").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for name, size in (("fits.bin", LARGEST_MIB), ("model.bin", 150)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size * 2**20)

    reasons = dict(left_out(tmp_path))

    assert uploaded(tmp_path) == {"dags/dag.py", "dags/fits.bin"}
    assert set(reasons) == {
        *(".env", ".secrets", "two\nlines.py", "broken.py", "circle", "pipe", "model.bin"),
    }
    assert "a secret" in reasons[".env"]
    assert "rename" in reasons["two\nlines.py"]
    assert "leads to nothing" in reasons["broken.py"]
    assert "lies in" in reasons["circle"]
    assert "neither file nor folder" in reasons["pipe"]
    assert "150 MiB are more than 100" in reasons["model.bin"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"typo is no folder.*create it"):
        list(files_to_upload(tmp_path / "typo"))
