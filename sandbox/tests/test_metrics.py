"""Airflow's StatsD becomes CloudWatch's metrics."""

from __future__ import annotations

import socket
from typing import Any

from sandbox.machine.waiting import wait_for
from sandbox.runs.metrics import StatsD


class CloudWatch:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        assert Namespace == "AmazonMWAA"
        self.told += MetricData


def values(told: list[dict[str, Any]]) -> dict[str, float]:
    return {one["MetricName"]: one["Value"] for one in told}


def test_counters_begin_anew_and_gauges_stay() -> None:
    statsd = StatsD(CloudWatch(), "one")
    statsd.close()
    for line in (
        "airflow.ti_failures:1|c",
        "airflow.ti_failures:2|c",
        "airflow.dag_processing.import_errors:3|g",
        "airflow.executor.open_slots:4|g",
        "airflow.executor.open_slots:-1|g",
        "airflow.dagrun.duration:7|ms",
        "nonsense",
    ):
        statsd.take(line)
    first, second = statsd.taken(), statsd.taken()
    assert values(first) == {"TaskInstanceFailures": 3, "ImportErrors": 3, "OpenSlots": 3}
    assert values(second) == {"ImportErrors": 3, "OpenSlots": 3}
    of = {one["Name"]: one["Value"] for one in first[1]["Dimensions"]}
    assert of == {"Function": "DAG Processing", "Environment": "one"}


def test_what_airflow_sends_arrives() -> None:
    cloudwatch = CloudWatch()
    statsd = StatsD(cloudwatch, "one")
    port = int(statsd.variables()["AIRFLOW__METRICS__STATSD_PORT"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"airflow.scheduler_heartbeat:1|c", ("127.0.0.1", port))
    wait_for(lambda: cloudwatch.told, "the heartbeat")
    statsd.close()
    assert values(cloudwatch.told) == {"SchedulerHeartbeat": 1}
