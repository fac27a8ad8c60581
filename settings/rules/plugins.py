"""What becomes Airflow's plugins folder."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile
from zipfile import Path as ZipPath

from components.plugins import LARGEST_MIB, files_of, left_out_of
from settings.rules import dag_files
from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings

RULES = Rules()

KEY = "airflow.plugins"


def content(s: Settings) -> Traversable | None:
    """Return what Airflow's plugins folder will hold."""
    place = dag_files.DAGS.parent / (s.airflow.plugins or "")
    if s.airflow.plugins is None or not place.exists():
        return None
    if place.is_dir():
        return place
    try:
        return ZipPath(ZipFile(place))
    except BadZipFile:
        return None


@RULES.reading("airflow.plugins", "airflow.dagDelivery")
def _plugins(s: Settings) -> Findings:
    source = s.airflow.plugins
    if source is None:
        return
    place = dag_files.DAGS.parent / source
    if s.airflow.dag_delivery == "pipeline":
        text = "is not delivered with airflow.dagDelivery: pipeline: remove it"
        yield Finding(KEY, source, f"{text}, and let the pipeline roll plugins.zip out")
    elif misplaced := dag_files.misplaced(source):
        yield Finding(KEY, source, misplaced)
    elif place.is_dir():
        yield from _folder(s, source, place)
    elif place.is_file():
        yield from _zip_file(s, source, place)
    else:
        yield Finding(KEY, source, "is not there: name a folder or a zip file of this repository")


def _folder(s: Settings, source: str, folder: Path) -> Findings:
    for name, reason in left_out_of(folder):
        yield Finding(f"{source}/{name}", None, f"is not uploaded: {reason}", warning=True)
    files = dict(files_of(folder))
    yield from _size(source, sum(path.stat().st_size for path in files.values()))
    for name, path in files.items():
        yield from dag_files.secrets_in(s, f"{source}/{name}", path.read_bytes())


def _zip_file(s: Settings, source: str, file: Path) -> Findings:
    try:
        with ZipFile(file) as archive:
            yield from _names(source, archive)
            yield from _size(source, sum(one.file_size for one in archive.infolist()))
            for one in archive.infolist():
                if one.flag_bits & 1:
                    text = (
                        f"has a password on {one.filename}, which MWAA does not know: take it off"
                    )
                    yield Finding(KEY, source, text)
                else:
                    name = f"{source}/{one.filename}"
                    yield from dag_files.secrets_in(s, name, archive.read(one))
    except (BadZipFile, NotImplementedError) as error:
        yield Finding(KEY, source, f"is no zip file that MWAA could unpack ({error}): zip it anew")


def _names(source: str, archive: ZipFile) -> Iterator[Finding]:
    paths = [PurePosixPath(one.filename) for one in archive.infolist() if not one.is_dir()]
    for path in paths:
        if path.is_absolute() or ".." in path.parts:
            yield Finding(KEY, source, f"holds {path}, which leads out of the folder: zip it anew")
    if paths and all(path.parts[0] in {"plugins", "__MACOSX"} for path in paths):
        text = (
            "has all within plugins/, and so MWAA within /usr/local/airflow/plugins/plugins: zip "
            "what is in the folder, not the folder"
        )
        yield Finding(KEY, source, text, warning=True)


def _size(source: str, size: int) -> Iterator[Finding]:
    mib = size / 2**20
    if mib > LARGEST_MIB:
        text = (
            f"has {mib:.0f} MiB, and AWS recommends no more than {LARGEST_MIB}: each container "
            "unpacks it as it starts, and MWAA rolls an update back that takes too long"
        )
        yield Finding(KEY, source, text, warning=True)
