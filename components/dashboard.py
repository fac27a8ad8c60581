"""The page that shows a stack's three services together: its body, as CloudWatch wants it.

"Dashboard Body Structure and Syntax", Amazon CloudWatch API Reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from components.alarms import (
    RUNBOOK,
    Alarm,
    Live,
    Metric,
    Watched,
    of_airflow,
    of_eks,
    of_endpoint,
    of_gateway,
    of_group,
    of_mwaa,
    of_rule,
)
from components.aws_account import AwsAccount

_WIDTH = 24
_PER_ROW = 3
_HEIGHT = 6
_ALARMS_PER_WIDGET = 100


@dataclass(frozen=True)
class _Graph:
    title: str
    metrics: Sequence[tuple[str, Metric]]
    """Each with its label."""
    period: int = 300
    lines: Mapping[str, float] = field(default_factory=dict)
    """Thresholds of alarms, by what they are."""


def dashboard(
    watched: Watched,
    alarms: Sequence[Alarm],
    account: AwsAccount,
    resolved: Callable[[str | Live], object],
) -> dict[str, object]:
    """Return the body: in the top row what is wrong now, below it a row for each service.

    resolved: from a dimension's value to what AWS calls it.
    """
    arns = [account.arn("cloudwatch", f"alarm:{watched.name}-{alarm.name}") for alarm in alarms]
    widgets: list[dict[str, object]] = []
    y = 0
    for start in range(0, len(arns), _ALARMS_PER_WIDGET):
        widgets.append(
            {
                "type": "alarm",
                **_place(0, y, _WIDTH, 4),
                "properties": {
                    "title": f"Wrong now ({RUNBOOK} tells what to do)",
                    "alarms": arns[start : start + _ALARMS_PER_WIDGET],
                    "sortBy": "stateUpdatedTimestamp",
                    "states": ["ALARM", "INSUFFICIENT_DATA"],
                },
            }
        )
        y += 4
    thresholds = {alarm.name: alarm.threshold for alarm in alarms}
    for heading, graphs in _services(watched, thresholds):
        widgets.append(
            {
                "type": "text",
                **_place(0, y, _WIDTH, 1),
                "properties": {"markdown": f"## {heading}"},
            }
        )
        y += 1
        for number, graph in enumerate(graphs):
            column = number % _PER_ROW
            if number and not column:
                y += _HEIGHT
            widgets.append(
                {
                    "type": "metric",
                    **_place(column * _WIDTH // _PER_ROW, y, _WIDTH // _PER_ROW, _HEIGHT),
                    "properties": _properties(graph, account, resolved),
                }
            )
        y += _HEIGHT
    return {"widgets": widgets}


def _place(x: int, y: int, width: int, height: int) -> dict[str, object]:
    return {"x": x, "y": y, "width": width, "height": height}


def _properties(
    graph: _Graph, account: AwsAccount, resolved: Callable[[str | Live], object]
) -> dict[str, object]:
    metrics = []
    for label, metric in graph.metrics:
        dimensions = [
            part for name, value in metric.dimensions.items() for part in (name, resolved(value))
        ]
        look = {"stat": metric.statistic, "label": label}
        metrics.append([metric.namespace, metric.name, *dimensions, look])
    lines = [{"label": label, "value": value} for label, value in graph.lines.items()]
    return {
        "title": graph.title,
        "view": "timeSeries",
        "region": account.region,
        "period": graph.period,
        "metrics": metrics,
        "yAxis": {"left": {"min": 0}},
        **({"annotations": {"horizontal": lines}} if lines else {}),
    }


def _services(
    watched: Watched, thresholds: Mapping[str, float]
) -> Iterator[tuple[str, Sequence[_Graph]]]:
    yield "Airflow", _airflow(watched)
    yield "EKS", _eks(watched, thresholds)
    yield "Spark on EMR", _spark(watched)
    if network := _network(watched):
        yield "Network", network


def _airflow(watched: Watched) -> Sequence[_Graph]:
    every = {"DAG": "All", "Task": "All"}
    parts = [("scheduler", "Scheduler"), ("web server", "WebServer")]
    if watched.has_workers_of_their_own:
        parts += [("workers", "BaseWorker"), ("further workers", "AdditionalWorker")]
    of = {"Function": "Scheduler"}
    parsing = {"Function": "DAG Processing"}
    executor = {"Function": "Executor"}
    return [
        _Graph(
            "Signs of life",
            [
                ("scheduler", of_airflow("SchedulerHeartbeat", "Sum", **of)),
                ("triggerer", of_airflow("TriggererHeartbeat", "Sum", Function="Triggerer")),
            ],
        ),
        _Graph(
            "Tasks that ended",
            [
                ("failed", of_airflow("TaskInstanceFailures", "Sum", **every)),
                ("done", of_airflow("TaskInstanceSuccesses", "Sum", **every)),
                ("zombies", of_airflow("ZombiesKilled", "Sum", **every)),
            ],
        ),
        _Graph(
            "Tasks",
            [
                ("running", of_airflow("RunningTasks", "Maximum", **executor)),
                ("queued", of_airflow("QueuedTasks", "Maximum", **executor)),
                ("open slots", of_airflow("OpenSlots", "Minimum", **executor)),
                ("starving", of_airflow("TasksStarving", "Maximum", **of)),
            ],
        ),
        _Graph(
            "Oldest task in the queue (s)",
            [("age", of_mwaa("ApproximateAgeOfOldestTask", "Maximum"))],
            lines={"too long": 1800},
        ),
        _Graph(
            "DAGs",
            [
                ("import errors", of_airflow("ImportErrors", "Maximum", **parsing)),
                ("DAGs", of_airflow("DagBagSize", "Maximum", **parsing)),
            ],
        ),
        _Graph(
            "Parsing all DAGs (s)", [("time", of_airflow("TotalParseTime", "Maximum", **parsing))]
        ),
        _Graph(
            "Scheduler's critical section (ms)",
            [("time", of_airflow("CriticalSectionDuration", "Average", **of))],
        ),
        *(
            _Graph(
                title,
                [(label, of_mwaa(name, "Average", Cluster=part)) for label, part in parts],
                lines={"limit": 95},
            )
            for title, name in (("CPU (%)", "CPUUtilization"), ("Memory (%)", "MemoryUtilization"))
        ),
        _Graph(
            "Database: CPU (%)",
            [("writer", of_mwaa("CPUUtilization", "Average", DatabaseRole="WRITER"))],
            lines={"limit": 95},
        ),
        _Graph(
            "Database: free memory (bytes)",
            [("writer", of_mwaa("FreeableMemory", "Average", DatabaseRole="WRITER"))],
            lines={"too little": 512 * 2**20},
        ),
        _Graph(
            "Database: connections",
            [("writer", of_mwaa("DatabaseConnections", "Average", DatabaseRole="WRITER"))],
        ),
        _Graph(
            "Database: time of a write (s)",
            [("writer", of_mwaa("WriteLatency", "Average", DatabaseRole="WRITER"))],
        ),
    ]


def _eks(watched: Watched, thresholds: Mapping[str, float]) -> Sequence[_Graph]:
    groups = [("nodes", "nodes"), *([("spot", "spot")] if watched.has_spot_nodes else [])]
    return [
        _Graph(
            "Pods that wait for a node",
            [("pods", of_eks("scheduler_pending_pods_UNSCHEDULABLE", "Sum"))],
            period=60,
        ),
        _Graph(
            "Nodes",
            [
                (
                    label if what == "InService" else f"{label}, wanted",
                    of_group(f"Group{what}Capacity", group),
                )
                for label, group in groups
                for what in ("InService", "Desired")
            ],
            period=60,
            lines={"least": watched.node_min},
        ),
        _Graph(
            "Requests to the Kubernetes API",
            [
                ("all", of_eks("apiserver_request_total", "Sum")),
                ("turned away (429)", of_eks("apiserver_request_total_429", "Sum")),
                ("errors (5xx)", of_eks("apiserver_request_total_5XX", "Sum")),
            ],
            period=60,
        ),
        _Graph(
            "Time of a request, all but 1% (s)",
            [
                (verb, of_eks(f"apiserver_request_duration_seconds_{verb}_P99", "Average"))
                for verb in ("GET", "LIST", "POST", "PUT", "PATCH", "DELETE")
            ],
            period=60,
        ),
        _Graph(
            "The cluster's database (bytes)",
            [("in use", of_eks("etcd_mvcc_db_total_size_in_use_in_bytes", "Maximum"))],
            lines={"alarm": thresholds["etcd-size"]},
        ),
    ]


def _spark(watched: Watched) -> Sequence[_Graph]:
    return [
        _Graph(
            "Job runs that failed",
            [(rule, of_rule("MatchedEvents", rule)) for rule in watched.job_run_rules],
        ),
        _Graph(
            "Messages that could not be delivered",
            [
                (rule, of_rule("FailedInvocations", rule))
                for rule in (*watched.job_run_rules, watched.key_rule)
            ],
        ),
    ]


def _network(watched: Watched) -> Sequence[_Graph]:
    graphs = []
    if watched.nat_gateways:
        for title, names in (
            ("NAT: no port left", ["ErrorPortAllocation"]),
            ("NAT: packets dropped", ["PacketsDropCount"]),
            ("NAT: bytes", ["BytesOutToDestination", "BytesInFromDestination"]),
        ):
            graphs.append(
                _Graph(
                    title,
                    [
                        (
                            f"{gateway} {name}" if len(names) > 1 else gateway,
                            of_gateway(name, gateway),
                        )
                        for gateway in watched.nat_gateways
                        for name in names
                    ],
                    period=60,
                )
            )
    if watched.endpoints:
        graphs.append(
            _Graph(
                "Endpoints: packets dropped",
                [
                    (
                        service,
                        of_endpoint("PacketsDropped", service, watched.region),
                    )
                    for service in watched.endpoints
                ],
                period=60,
            )
        )
    return graphs
