"""The zip file that becomes Airflow's plugins folder."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

from components.plugins import files_of, left_out_of, zip_file


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_the_folder_is_what_airflow_finds(tmp_path: Path) -> None:
    folder = write(tmp_path, "own.py", "hooks/__init__.py", "x-1.0-py3-none-any.whl", ".env")
    write(folder, "__pycache__/own.pyc", "bin/tool")

    unpacked = ZipFile(zip_file(folder))

    assert unpacked.namelist() == ["bin/tool", "hooks/__init__.py", "own.py", *_WHEEL]
    assert unpacked.read("bin/tool") == b"bin/tool"
    assert dict(left_out_of(folder)).keys() == {".env"}
    assert dict(files_of(folder))["own.py"] == folder / "own.py"


_WHEEL = ["x-1.0-py3-none-any.whl"]


def test_the_same_files_are_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "b.py", "a.py", "c/d.py")
    other = write(tmp_path / "other", "c/d.py", "a.py", "b.py")
    (one / "a.py").chmod(0o600)
    os.utime(other / "b.py", (0, 0))

    assert zip_file(one) == zip_file(other)  # the name tells the content

    (other / "a.py").write_text("changed")
    assert zip_file(one) != zip_file(other)


def test_what_is_unpacked_may_be_executed(tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    archive = zip_file(write(tmp_path / "plugins", "bin/tool"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", archive, unpacked], check=True)

    (entry,) = ZipFile(archive).infolist()
    assert entry.external_attr >> 16 == 0o100755
    assert (unpacked / "bin/tool").is_file()


def test_nothing_is_an_empty_zip_file(tmp_path: Path) -> None:
    assert ZipFile(zip_file(None)).namelist() == []
    assert zip_file(tmp_path) == zip_file(None)
