"""Decisions of JobScripts."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from components.job_scripts import PREFIX, JobScripts, JobScriptsArgs
from settings.values import TeamName
from tests.components.conftest import Engine, Resource

OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"


def run(engine: Engine, folder: Path) -> dict[str, Resource]:
    for name in ("a.py", "b.py", "notes.txt"):
        (folder / name).touch()
    return engine.run(lambda: JobScripts("scripts", JobScriptsArgs(source=folder, bucket="jobs")))


def test_the_scripts_of_the_folder_are_there_before_anybody_hears_of_them(
    engine: Engine, tmp_path: Path
) -> None:
    uri = run(engine, tmp_path)["uri"]

    assert uri.inputs["value"] == "s3://jobs/job_scripts/"
    assert {one.inputs["key"] for one in engine.all(OBJECT)} == {
        "job_scripts/a.py",
        "job_scripts/b.py",
    }
    assert {*engine.all(OBJECT)} <= engine.before(uri)


def test_no_team_has_their_prefix() -> None:
    try:
        TypeAdapter(TeamName).validate_python(PREFIX)
    except ValidationError:
        return
    raise AssertionError


def test_everything_lies_under_the_component(engine: Engine, tmp_path: Path) -> None:
    run(engine, tmp_path)

    assert engine.tops() == {"scripts", "uri"}
