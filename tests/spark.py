"""The Spark that the sandbox has, on this machine's files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from sandbox.cloud.kubernetes.kubelet.known import QUICK
from sandbox.machine import spark

_READ = """
import json, sys
from pyspark.sql import SparkSession
frame = SparkSession.builder.getOrCreate().read.parquet(sys.argv[1])
rows = [[*map(str, row)] for row in frame.orderBy(frame.columns[0]).collect()]
open(sys.argv[2], "w").write(json.dumps(rows))
"""


def run_spark(script: str, *arguments: str, home: Path) -> None:
    """Run a script by a Python that has pyspark."""
    there = spark.ensure()
    subprocess.run(
        [str(there / "bin/python"), "-c", script, *arguments],
        env={
            "HOME": str(home),
            "PATH": os.pathsep.join([str(there / "bin"), os.defpath]),
            "JAVA_HOME": str(spark.java(there)),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_SUBMIT_ARGS": (
                f"--master local[1] --driver-java-options {QUICK} --conf spark.ui.enabled=false "
                "--conf spark.sql.shuffle.partitions=1 pyspark-shell"
            ),
        },
        check=True,
        capture_output=True,
    )


def read_parquet(file: Path) -> Any:  # noqa: ANN401
    """Return the rows of a file, as text."""
    out = file.with_suffix(".json")
    run_spark(_READ, str(file), str(out), home=file.parent)
    return json.loads(out.read_text())
