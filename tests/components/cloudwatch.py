"""What CloudWatch takes: the body of a dashboard, and the metrics that AWS's guides list.

"Dashboard Body Structure and Syntax" of the CloudWatch API Reference; the guides are those that
components/alarms.py names. Written down here a second time, so that a slip there is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ANY = "*"
_OF_AIRFLOW: Mapping[str, Mapping[str, str]] = {
    "CriticalSectionDuration": {"Function": "Scheduler"},
    "DagBagSize": {"Function": "DAG Processing"},
    "ImportErrors": {"Function": "DAG Processing"},
    "OpenSlots": {"Function": "Executor"},
    "QueuedTasks": {"Function": "Executor"},
    "RunningTasks": {"Function": "Executor"},
    "SchedulerHeartbeat": {"Function": "Scheduler"},
    "TaskInstanceFailures": {"DAG": "All", "Task": "All"},
    "TaskInstanceSuccesses": {"DAG": "All", "Task": "All"},
    "TasksStarving": {"Function": "Scheduler"},
    "TotalParseTime": {"Function": "DAG Processing"},
    "TriggerHeartbeat": {"Function": "Triggerer"},
    "TriggererHeartbeat": {"Function": "Triggerer"},
    "ZombiesKilled": {"DAG": "All", "Task": "All"},
}
_CONTAINERS = ("Scheduler", "BaseWorker", "AdditionalWorker", "WebServer")
_OF_DATABASE = ("CPUUtilization", "DatabaseConnections", "FreeableMemory", "WriteLatency")
_OF_EKS = (
    *("apiserver_request_total", "apiserver_request_total_429", "apiserver_request_total_5XX"),
    *(
        f"apiserver_request_duration_seconds_{verb}_P99"
        for verb in ("GET", "LIST", "POST", "PUT", "PATCH", "DELETE")
    ),
    *("etcd_mvcc_db_total_size_in_use_in_bytes", "scheduler_pending_pods_UNSCHEDULABLE"),
)
_OF_NAT = (
    *("BytesInFromDestination", "BytesOutToDestination", "ErrorPortAllocation"),
    *("PacketsDropCount", "PacketsInFromDestination", "PacketsInFromSource"),
)
_OF_ENDPOINT = {
    "VPC Id": ANY,
    "VPC Endpoint Id": ANY,
    "Endpoint Type": "Interface",
    "Service Name": ANY,
}


def _known() -> list[tuple[str, str, Mapping[str, str]]]:
    environment = {"Environment": ANY}
    return [
        *(("AmazonMWAA", name, {**at, **environment}) for name, at in _OF_AIRFLOW.items()),
        *(
            ("AWS/MWAA", name, {"Cluster": part, **environment})
            for name in ("CPUUtilization", "MemoryUtilization")
            for part in _CONTAINERS
        ),
        *(("AWS/MWAA", one, {"DatabaseRole": "WRITER", **environment}) for one in _OF_DATABASE),
        ("AWS/MWAA", "ApproximateAgeOfOldestTask", environment),
        *(("AWS/EKS", name, {"ClusterName": ANY}) for name in _OF_EKS),
        *(
            ("AWS/AutoScaling", name, {"AutoScalingGroupName": ANY})
            for name in ("GroupDesiredCapacity", "GroupInServiceCapacity")
        ),
        *(("AWS/NATGateway", name, {"NatGatewayId": ANY}) for name in _OF_NAT),
        ("AWS/PrivateLinkEndpoints", "PacketsDropped", _OF_ENDPOINT),
        *(("AWS/Events", one, {"RuleName": ANY}) for one in ("FailedInvocations", "MatchedEvents")),
    ]


def is_metric(namespace: str, name: str, dimensions: Mapping[str, str]) -> bool:
    """Tell whether AWS has a metric of exactly these dimensions."""
    return any(
        (namespace, name) == (known_namespace, known_name)
        and dimensions.keys() == known.keys()
        and all(value in {ANY, dimensions[key]} for key, value in known.items())
        for known_namespace, known_name, known in _known()
    )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Placed(_Strict):
    x: Annotated[int, Field(ge=0, le=23)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(ge=1, le=24)]
    height: Annotated[int, Field(ge=1, le=1000)]


class _Text(_Strict):
    markdown: str


class _TextWidget(_Placed):
    type: Literal["text"]
    properties: _Text


class _Alarms(_Strict):
    title: str
    alarms: Annotated[
        list[Annotated[str, Field(pattern=r"^arn:aws:cloudwatch:[\w-]+:\d{12}:alarm:.+$")]],
        Field(min_length=1, max_length=100),
    ]
    sortBy: Literal["default", "stateUpdatedTimestamp", "timestamp"]  # noqa: N815
    states: list[Literal["ALARM", "INSUFFICIENT_DATA", "OK"]]


class AlarmWidget(_Placed):
    """The state of alarms."""

    type: Literal["alarm"]
    properties: _Alarms


class _Horizontal(_Strict):
    label: str
    value: float | int


class _Annotations(_Strict):
    horizontal: list[_Horizontal]


class _Side(_Strict):
    min: int


class _Axes(_Strict):
    left: _Side


class _Metrics(_Strict):
    title: str
    view: Literal["timeSeries"]
    region: str
    period: Literal[60, 300]
    metrics: Annotated[list[list[Any]], Field(min_length=1, max_length=500)]
    yAxis: _Axes  # noqa: N815
    annotations: _Annotations | None = None


class _MetricWidget(_Placed):
    type: Literal["metric"]
    properties: _Metrics


class Body(_Strict):
    """The body of a dashboard."""

    widgets: Annotated[
        list[Annotated[_TextWidget | AlarmWidget | _MetricWidget, Field(discriminator="type")]],
        Field(min_length=1, max_length=500),
    ]


class Rendering(_Strict):
    """What may stand at the end of a metric."""

    stat: Literal["Average", "Maximum", "Minimum", "Sum"]
    label: str


def metrics_of(body: Body) -> list[tuple[str, str, Mapping[str, str]]]:
    """Return namespace, name and dimensions of all metrics."""
    found: list[tuple[str, str, Mapping[str, str]]] = []
    for widget in body.widgets:
        if isinstance(widget, _MetricWidget):
            for namespace, name, *rest in widget.properties.metrics:
                *dimensions, look = rest
                Rendering.model_validate(look)
                pairs = dict(zip(dimensions[::2], dimensions[1::2], strict=True))
                found.append((namespace, name, pairs))
    return found
