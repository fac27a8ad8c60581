"""The sample script of Spark, in the Spark that the sandbox has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dags.conftest import ROOT
from tests.spark import run_spark

SCRIPT = ROOT / "spark/jobs/sales_report.py"
# What is in the files that it has written, as somebody else reads them.
READ = """
import json, runpy, sys
from pyspark.sql import SparkSession
script, out, runs = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = []
for arguments in runs:
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
        spark = SparkSession.builder.getOrCreate()
        rows = spark.read.parquet(arguments[1]).orderBy("country").collect()
        found.append([[row.country, row.units, str(row.revenue)] for row in rows])
    except Exception as error:
        found.append(str(error))
open(out, "w").write(json.dumps(found))
"""
REPORT = [["de", 5, "16.00"], ["fr", 5, "54.70"], ["it", 5, "63.60"]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    """What the report says: of nothing, of that again, of a team's files, and of a broken one."""
    place = tmp_path_factory.mktemp("team")
    for name, rows in (("own", "2026-01-01,es,2,0.50"), ("broken", "2026-01-01,es,two,0.50")):
        (place / name).mkdir()
        (place / name / "a.csv").write_text(f"day,country,units,price\n{rows}\n")
    runs = [[place / one, place / f"of-{one}"] for one in ("input", "input", "own", "broken")]
    given = json.dumps([[str(one) for one in run] for run in runs])
    run_spark(READ, str(SCRIPT), str(place / "found.json"), given, home=place)
    return json.loads((place / "found.json").read_text())


def test_it_adds_up_an_example_where_there_is_nothing_and_leaves_that_alone(found: Any) -> None:  # noqa: ANN401
    assert found[:2] == [REPORT, REPORT]


def test_it_adds_up_what_a_team_has(found: Any) -> None:  # noqa: ANN401
    assert found[2] == [["es", 2, "1.00"]]


def test_what_is_no_number_fails_it(found: Any) -> None:  # noqa: ANN401
    assert "MALFORMED" in found[3] or "Malformed" in found[3], found[3]
