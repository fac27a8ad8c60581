"""What AWS's services measure by themselves, as far as the sandbox has it.

Airflow's own metrics come from the Airflow that runs (`sandbox/runs/metrics.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import auto_scaling
from sandbox.cloud.kubernetes import nodes
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any

AIRFLOW: Final = "AmazonMWAA"
_BEATS: Final = {"Scheduler": "SchedulerHeartbeat", "Triggerer": "TriggererHeartbeat"}


class Measured:
    """What there is at the moment, put into CloudWatch."""

    def __init__(self, aws: Aws, serving: Path) -> None:
        """serving: the file that is there while an Airflow runs."""
        self._aws = aws
        self._serving = serving
        self._core: Json = None

    def __call__(self, backend: Json, namespaces: frozenset[str]) -> None:
        for namespace, measure in (
            ("AWS/EKS", self._cluster),
            ("AWS/AutoScaling", self._groups),
            (AIRFLOW, self._environments),
        ):
            if namespace in namespaces:
                measure(backend)

    def _cluster(self, backend: Json) -> None:
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
            _put(backend, "AWS/EKS", {"ClusterName": name}, told)

    def _groups(self, backend: Json) -> None:
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
            _put(backend, "AWS/AutoScaling", {"AutoScalingGroupName": name}, told)

    def _environments(self, backend: Json) -> None:
        """Let environments whose Airflow does not run here give signs of life all the same."""
        if self._serving.exists():
            return
        for name in self._aws.client("mwaa").list_environments()["Environments"]:
            for function, metric in _BEATS.items():
                _put(backend, AIRFLOW, {"Function": function, "Environment": name}, {metric: 1})


def _put(backend: Json, namespace: str, of: Mapping[str, str], told: Mapping[str, float]) -> None:
    dimensions = [{"Name": name, "Value": value} for name, value in of.items()]
    backend.put_metric_data(
        namespace,
        [
            {"MetricName": name, "Dimensions": dimensions, "Value": float(value)}
            for name, value in told.items()
        ],
    )
