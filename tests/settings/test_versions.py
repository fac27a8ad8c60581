"""The tables of versions, and the defaults among them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from settings.sections import AirflowSettings, ClusterSettings, SparkSettings
from settings.versions import AIRFLOW, COMPARED, EMR, KUBERNETES, PYTHON
from tests.settings.conftest import Load, mistakes


def test_the_defaults_are_supported_for_months_to_come(load: Load, warnings: list[str]) -> None:
    load({}, today=date(2027, 1, 26))
    assert warnings == []

    load({}, today=date(2027, 1, 27))
    load({}, today=date(2027, 3, 26))
    assert len(warnings) == 2
    assert all("is supported until 2027-03-27 only: plan 1.36" in line for line in warnings)

    (line,) = mistakes(load, {}, today=date(2027, 3, 27))
    assert "is without support since 2027-03-27: choose 1.36, or add endedSupport" in line


def ended_defaults(today: date) -> Iterator[str]:
    """Yield what a stack, or a checkout, has without choosing it, and nobody supports any more."""
    kubernetes, airflow = ClusterSettings().kubernetes_version, AirflowSettings().version
    release, python = SparkSettings().release, AIRFLOW[airflow].python
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=")
    sections = "settings/sections.py"
    for name, ends, way_out in (
        (
            f"Kubernetes {kubernetes}, the default of cluster.kubernetesVersion",
            KUBERNETES[kubernetes].support_ends,
            f"make {next(iter(KUBERNETES))} the default in {sections}",
        ),
        (
            f"Airflow {airflow}, the default of airflow.version",
            AIRFLOW[airflow].support_ends,
            f"make {next(iter(AIRFLOW))} the default in {sections}, with dags/requirements.txt",
        ),
        (
            f"{release}, the default of spark.releaseLabel",
            EMR[release].support_ends,
            f"make the newest emr-7 the default in {sections}",
        ),
        (
            f"Python {python}, in which MWAA runs Airflow {airflow}",
            PYTHON[python],
            f"make an Airflow with a newer one the default in {sections}",
        ),
        (
            f"Python {oldest}, the oldest that pyproject.toml takes",
            PYTHON[oldest],
            "raise requires-python",
        ),
    ):
        if ends is not None and today >= ends:
            yield (
                f"{name}, has had no support since {ends}: compare settings/versions.py with its "
                f"sources, then {way_out}; what stacks do is in docs/operations.md, Versions"
            )


def test_no_default_has_passed_its_end() -> None:
    assert list(ended_defaults(date.today())) == []


def test_a_default_that_has_passed_its_end_is_named_with_the_way_out() -> None:
    assert list(ended_defaults(date(2027, 3, 26))) == []
    (line,) = ended_defaults(date(2027, 3, 27))
    assert line.startswith("Kubernetes 1.35, the default of cluster.kubernetesVersion, has had no ")
    assert "then make 1.36 the default in settings/sections.py" in line
    assert len(list(ended_defaults(date(2028, 10, 31)))) == 4  # all but Airflow, of no known end


def test_the_tables_were_compared_since_aws_could_have_named_an_end() -> None:
    # MWAA names the end of an Airflow 180 days ahead, and a new version comes without a notice.
    until = COMPARED + timedelta(days=180)
    assert date.today() < until, (
        f"settings/versions.py was last compared on {COMPARED}: compare it with the sources that "
        "it names (versions, ends of support, pins), then write today's date into COMPARED"
    )


def test_versions_are_listed_from_the_newest_on() -> None:
    def number(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    for table in (KUBERNETES, AIRFLOW, EMR):
        assert list(table) == sorted(table, key=number, reverse=True)
