"""What AWS's services measure by themselves, as far as the sandbox has it.

Airflow's own metrics come from the Airflow that runs (`sandbox/runs/metrics.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import auto_scaling
from sandbox.cloud.kubernetes import nodes
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any

AIRFLOW: Final = "AmazonMWAA"
ASK_SECONDS: Final = 6.0
"""How old it may be what is put: three minutes, as they pass for alarms."""
Told: TypeAlias = tuple[str, Mapping[str, str], Mapping[str, float]]
"""A namespace, dimensions, and values by the names of metrics."""
_BEATS: Final = {"Scheduler": "SchedulerHeartbeat", "Triggerer": "TriggererHeartbeat"}


class Measured:
    """What there is at the moment, or was ASK_SECONDS ago, put into CloudWatch."""

    def __init__(
        self, aws: Aws, serving: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """serving: the file that is there while an Airflow runs."""
        self._aws = aws
        self._serving = serving
        self._clock = clock
        self._core: Json = None
        self._known: dict[tuple[str, str, frozenset[str]], tuple[float, list[Told]]] = {}

    def __call__(self, backend: Json, namespaces: frozenset[str]) -> None:
        of = (backend.account_id, backend.region_name, namespaces)
        asked, told = self._known.get(of, (float("-inf"), []))
        if self._clock() - asked >= ASK_SECONDS:
            told = [*self._ask(backend, namespaces)]
            self._known[of] = (self._clock(), told)
        for one in told:
            _put(backend, *one)

    def _ask(self, backend: Json, namespaces: frozenset[str]) -> Iterator[Told]:
        if "AWS/EKS" in namespaces:
            yield from self._clusters()
        if "AWS/AutoScaling" in namespaces:
            yield from self._groups(backend)
        if AIRFLOW in namespaces:
            yield from self._environments()

    def _clusters(self) -> Iterator[Told]:
        names = self._aws.client("eks").list_clusters()["clusters"]
        if not names:
            return
        self._core = self._core or nodes.core_api()
        pending = self._core.list_pod_for_all_namespaces(
            field_selector="status.phase=Pending", resource_version=nodes.CACHED
        )
        unschedulable = sum(
            condition.type == "PodScheduled" and condition.reason == "Unschedulable"
            for pod in pending.items
            for condition in pod.status.conditions or ()
        )
        for name in names:
            told = {"scheduler_pending_pods_UNSCHEDULABLE": unschedulable}
            yield "AWS/EKS", {"ClusterName": name}, told

    def _groups(self, backend: Json) -> Iterator[Told]:
        models = import_module("moto.autoscaling.models")
        groups = models.autoscaling_backends[backend.account_id][backend.region_name]
        for name, group in groups.autoscaling_groups.items():
            if not isinstance(group, auto_scaling.Group):
                continue
            there = group.instance_states
            counts = {
                "Desired": group.desired_capacity,
                "InService": sum(one.ready for one in there),
                "Max": group.max_size,
                "Min": group.min_size,
                "Total": len(there),
            }
            # An instance counts as one.
            told = {f"Group{what}Capacity": count for what, count in counts.items()}
            told |= {
                "GroupInServiceInstances": counts["InService"],
                "GroupMaxSize": counts["Max"],
                "GroupMinSize": counts["Min"],
            }
            yield "AWS/AutoScaling", {"AutoScalingGroupName": name}, told

    def _environments(self) -> Iterator[Told]:
        """Let environments whose Airflow does not run here give signs of life all the same."""
        if self._serving.exists():
            return
        for name in self._aws.client("mwaa").list_environments()["Environments"]:
            for function, metric in _BEATS.items():
                yield AIRFLOW, {"Function": function, "Environment": name}, {metric: 1}


def _put(backend: Json, namespace: str, of: Mapping[str, str], told: Mapping[str, float]) -> None:
    dimensions = [{"Name": name, "Value": value} for name, value in of.items()]
    backend.put_metric_data(
        namespace,
        [
            {"MetricName": name, "Dimensions": dimensions, "Value": float(value)}
            for name, value in told.items()
        ],
    )
