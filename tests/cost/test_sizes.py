"""Whether the sample jobs run on the nodes that a stack pays for while it idles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes.utils.quantity import parse_quantity
from moto.ec2.models.instance_types import INSTANCE_TYPES

from sandbox.cloud.kubernetes import nodes
from sandbox.cloud.kubernetes.addons import ON_EACH_NODE, WORKLOADS
from tests.cases.conftest import Run
from tests.settings.conftest import Load

ROOT = Path(__file__).parents[2]
MIB = 2**20
JOBS = ["emr_eks_pi_job", "emr_eks_sales_report", "kubernetes_pod_example"]
# Spark's overhead of a pod that runs Python ("Running Spark on Kubernetes").
OVERHEAD, LEAST_OVERHEAD = 0.4, 384
LOG_CONTAINERS = 1
"""EMR's own in each pod of a job, besides Spark's, by its monitoring configuration."""


@dataclass
class Amount:
    """What a pod asks for, or what is left of a node."""

    cpu: float
    mib: float
    disk_mib: float
    pods: int = 1

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.cpu + other.cpu, self.mib + other.mib, self.disk_mib + other.disk_mib, self.pods
        )

    def fits(self, left: Amount) -> bool:
        return (
            self.cpu <= left.cpu
            and self.mib <= left.mib
            and self.disk_mib <= left.disk_mib
            and self.pods <= left.pods
        )

    def take(self, asked: Amount) -> None:
        self.cpu -= asked.cpu
        self.mib -= asked.mib
        self.disk_mib -= asked.disk_mib
        self.pods -= asked.pods


def amount(quantities: Mapping[str, str]) -> Amount:
    found = {name: float(parse_quantity(value)) for name, value in quantities.items()}
    return Amount(
        found.get("cpu", 0),
        found.get("memory", 0) / MIB,
        found.get("ephemeral-storage", 0) / MIB,
        int(found.get("pods", 1)),
    )


def literals(dag: str) -> Iterator[dict[str, str]]:
    """Yield what a DAG writes down in dictionaries, as far as it is written down."""
    for node in ast.walk(ast.parse((ROOT / "dags" / f"{dag}.py").read_text())):
        if isinstance(node, ast.Dict):
            yield {
                str(key.value): str(value.value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
            }


def of_job(dag: str, default: Amount) -> Iterator[Amount]:
    """Yield what the pods of a sample job ask for; `default` is what a silent container does."""
    for told in literals(dag):
        if "spark.executor.instances" in told:
            beside = Amount(default.cpu, default.mib, default.disk_mib)
            yield beside + default  # the job-runner
            parts = ["driver", *["executor"] * int(told["spark.executor.instances"])]
            for part in parts:
                mib = int(re.sub("g$", "", told[f"spark.{part}.memory"])) * 1024
                mib += max(int(mib * OVERHEAD), LEAST_OVERHEAD)
                spark = Amount(int(told[f"spark.{part}.cores"]), mib, default.disk_mib)
                for _ in range(LOG_CONTAINERS):
                    spark += default
                yield spark
            return
        if told.keys() == {"cpu", "memory"}:  # its requests, which come before its limits
            yield amount(told)
            return
    raise AssertionError(f"{dag} says nowhere what its pods ask for")


def idle(load: Load, run: Run, changes: dict[str, Any]) -> tuple[list[Amount], Amount]:
    """What is left of the nodes of a stack without jobs, and what a silent container asks for."""
    group = load(changes).cluster.node_group
    program = run("dev", **{key.replace(".", "_"): value for key, value in changes.items()})
    made = list(program.engine.recorded.values())
    addons = [one.inputs["addonName"] for one in made if one.typ == "aws:eks/addon:Addon"]
    assert set(addons) == set(WORKLOADS)
    workloads = [one for addon in addons for one in WORKLOADS[addon]]
    kind = INSTANCE_TYPES[group.instance_types[0]]
    free = [amount(nodes.room(kind, group.disk_gib).allocatable) for _ in range(group.min_size)]
    for place in free:
        for workload in workloads:
            if workload.pods == ON_EACH_NODE:
                place.take(amount(workload.requests))
    pods = [amount(one.requests) for one in workloads for _ in range(one.pods)]
    for one in made:
        if one.typ == "kubernetes:apps/v1:Deployment":
            (container,) = one.inputs["spec"]["template"]["spec"]["containers"]
            replicas = int(one.inputs["spec"]["replicas"])
            pods += [amount(container["resources"]["requests"])] * replicas
    assert place_all(free, pods)
    limits = next(one for one in made if one.typ == "kubernetes:core/v1:LimitRange")
    (default,) = (
        limit["defaultRequest"]
        for limit in limits.inputs["spec"]["limits"]
        if limit["type"] == "Container"
    )
    return free, amount(default)


def place_all(free: list[Amount], pods: list[Amount]) -> bool:
    """Put pods where most is left, as the scheduler does; tell whether all of them have a node."""
    for pod in pods:
        places = [place for place in free if pod.fits(place)]
        if not places:
            return False
        max(places, key=lambda place: place.cpu).take(pod)
    return True


@pytest.mark.parametrize("job", JOBS)
def test_the_default_nodes_have_room_for_each_sample_job(load: Load, run: Run, job: str) -> None:
    free, default = idle(load, run, {})
    assert place_all(free, list(of_job(job, default)))


def test_they_have_room_for_the_pod_besides_a_spark_job(load: Load, run: Run) -> None:
    free, default = idle(load, run, {})
    assert place_all(free, [pod for job in JOBS[::2] for pod in of_job(job, default)])


def test_half_as_large_ones_have_none_for_spark(load: Load, run: Run) -> None:
    small = {"cluster.instanceTypes": ["m7i.large", "m6i.large"]}
    free, default = idle(load, run, small)
    assert not place_all(free, list(of_job("emr_eks_pi_job", default)))


def test_an_executor_of_two_cores_fits_on_a_default_node_and_on_no_half_as_large_one(
    load: Load, run: Run
) -> None:
    executor = Amount(2, 2048 + 820, 1024)
    assert place_all(idle(load, run, {})[0], [executor])
    small = {"cluster.instanceTypes": ["m7i.large", "m6i.large"], "cluster.nodeMin": 9}
    assert not place_all(idle(load, run, small)[0], [executor])
