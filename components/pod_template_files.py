"""The pod templates of Spark jobs: which file is whose, and where job runs find it."""

from __future__ import annotations

from pathlib import Path

PREFIX = "pod_templates/"
"""Where they are in the bucket of the jobs, beside the teams' prefixes: no team's name has a _."""
DRIVER = "driver.yaml"
EXECUTOR = "executor.yaml"
SPOT_EXECUTOR = "executor-spot.yaml"

CONTAINERS = {
    DRIVER: "spark-kubernetes-driver",
    EXECUTOR: "spark-kubernetes-executor",
    SPOT_EXECUTOR: "spark-kubernetes-executor",
}
"""The templates that connections name, and how the container of Spark is called in each ("Using pod
templates", Amazon EMR on EKS Development Guide)."""


def template_files(source: Path) -> dict[str, Path]:
    """Return the files of a folder by the keys that they get."""
    return {f"{PREFIX}{path.name}": path for path in sorted(source.glob("*.yaml"))}
