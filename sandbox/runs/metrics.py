"""Airflow's metrics, as MWAA puts them into CloudWatch: who runs Airflow hands on its StatsD."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

NAMESPACE: Final = "AmazonMWAA"
SECONDS: Final = 2.0
"""Between two times that what has come in is put into CloudWatch."""
# "Apache Airflow environment metrics in CloudWatch", Amazon MWAA User Guide, as far as alarms and
# dashboards want them: the name there, and the dimensions.
_ALL: Final = {"DAG": "All", "Task": "All"}
_EXECUTOR: Final = {"Function": "Executor"}
_PARSING: Final = {"Function": "DAG Processing"}
_SCHEDULER: Final = {"Function": "Scheduler"}
_METRICS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "dag_processing.import_errors": ("ImportErrors", _PARSING),
    "dag_processing.total_parse_time": ("TotalParseTime", _PARSING),
    "dagbag_size": ("DagBagSize", _PARSING),
    "executor.open_slots": ("OpenSlots", _EXECUTOR),
    "executor.queued_tasks": ("QueuedTasks", _EXECUTOR),
    "executor.running_tasks": ("RunningTasks", _EXECUTOR),
    "scheduler.critical_section_duration": ("CriticalSectionDuration", _SCHEDULER),
    "scheduler.tasks.starving": ("TasksStarving", _SCHEDULER),
    "scheduler_heartbeat": ("SchedulerHeartbeat", _SCHEDULER),
    "ti_failures": ("TaskInstanceFailures", _ALL),
    "ti_successes": ("TaskInstanceSuccesses", _ALL),
    "triggerer_heartbeat": ("TriggererHeartbeat", {"Function": "Triggerer"}),
    "zombies_killed": ("ZombiesKilled", _ALL),
}


class StatsD:
    """Takes what Airflow sends, and puts it into CloudWatch until it is closed."""

    def __init__(self, cloudwatch: Any, environment: str) -> None:  # noqa: ANN401
        self._cloudwatch = cloudwatch
        self._environment = environment
        self._counts: dict[str, float] = {}
        self._gauges: dict[str, float] = {}
        self._times: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(SECONDS)
        for work in (self._listen, self._hand_on):
            threading.Thread(target=work, daemon=True).start()

    def variables(self) -> dict[str, str]:
        """Return the options by which Airflow sends its metrics here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
        }

    def close(self) -> None:
        """Take nothing any more."""
        self._ended.set()

    def _listen(self) -> None:
        with self._socket:
            while not self._ended.is_set():
                with suppress(TimeoutError):
                    for line in self._socket.recv(65536).decode(errors="replace").splitlines():
                        self.take(line)

    def take(self, line: str) -> None:
        """Take a line of StatsD: a name, a value, and whether it is counted, timed or a gauge."""
        name, _, rest = line.partition(":")
        value, kind, *_ = [*rest.split("|"), ""]
        name = name.removeprefix("airflow.")
        if name not in _METRICS:
            return
        with suppress(ValueError), self._lock:
            if kind == "c":
                self._counts[name] = self._counts.get(name, 0) + float(value)
            elif kind == "ms":
                self._times.setdefault(name, []).append(float(value))
            elif value[:1] in {"+", "-"}:
                self._gauges[name] = self._gauges.get(name, 0) + float(value)
            else:
                self._gauges[name] = float(value)

    def _hand_on(self) -> None:
        while not self._ended.wait(SECONDS):
            if told := self.taken():
                with suppress(BotoCoreError, ClientError):  # the sandbox is on its way out
                    self._cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=told)

    def taken(self) -> list[dict[str, Any]]:
        """Return what has come in since it was asked last; a gauge stays what it is."""
        with self._lock:
            values = [*self._counts.items(), *self._gauges.items()]
            values += [(name, one) for name, times in self._times.items() for one in times]
            self._counts, self._times = {}, {}
        return [self._datum(name, value) for name, value in values]

    def _datum(self, name: str, value: float) -> dict[str, Any]:
        metric, dimensions = _METRICS[name]
        of = {**dimensions, "Environment": self._environment}
        return {
            "MetricName": metric,
            "Dimensions": [{"Name": key, "Value": one} for key, one in of.items()],
            "Value": value,
        }
