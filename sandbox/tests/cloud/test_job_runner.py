"""How a job run gets its Spark."""

from __future__ import annotations

from pathlib import Path

from sandbox.cloud.aws import job_runner


def test_what_a_job_run_leaves_in_its_spark_is_its_own(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "jars").mkdir(parents=True)
    (shared / "jars" / "spark.jar").touch()
    (shared / "work").mkdir()
    home = job_runner._linked(shared, tmp_path / "spark")
    assert (home / "jars" / "spark.jar").exists()
    (home / "work").mkdir()
    (home / "work" / "app-1").touch()
    assert list((shared / "work").iterdir()) == []
