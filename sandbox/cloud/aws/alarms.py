"""CloudWatch's alarms: what moto lacks of them, above all that they look at their metrics.

A minute of an alarm's periods takes SECONDS_OF_A_MINUTE here.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final, TypeAlias

from botocore.session import Session

from sandbox.cloud.aws import metric_math, topics
from sandbox.cloud.aws.refusals.front import RefusedError

Json: TypeAlias = Any
Module: TypeAlias = Any
Key: TypeAlias = tuple[str, str, frozenset[tuple[str, str]]]
Source: TypeAlias = Callable[[Json, frozenset[str]], None]
"""Puts what there is to measure at the moment, of the namespaces that alarms look at, into a
backend of moto's CloudWatch."""

SECONDS_OF_A_MINUTE: Final = 2.0
_SERVICE: Final = "cloudwatch.amazonaws.com"
_EXTRA: Final = 2
"""How many periods more than it needs an alarm looks back for data."""
_KEPT: Final = timedelta(minutes=5)
"""For how long metrics of AWS's services are kept, which no alarm looks at: hours, as minutes pass
here."""


def complete() -> None:
    """Let an alarm begin without data, keep its state as it is changed, and take its tags along."""
    models: Module = import_module("moto.cloudwatch.models")
    backend = models.CloudWatchBackend
    put, delete, set_state = (
        backend.put_metric_alarm,
        backend.delete_alarms,
        backend.set_alarm_state,
    )

    def put_metric_alarm(self: Json, name: str, **told: Json) -> Json:
        before = self.alarms.get(name)
        if before is not None:
            told["tags"] = None  # which CloudWatch takes as it makes one
        alarm = put(self, name=name, **told)
        alarm.state_value = "INSUFFICIENT_DATA"
        if before is not None:
            for kept in ("state_reason", "state_reason_data", "state_value", "history"):
                setattr(alarm, kept, getattr(before, kept))
            alarm.state_updated_timestamp = before.state_updated_timestamp
        return alarm

    def delete_alarms(self: Json, alarm_names: list[str]) -> None:
        for name in alarm_names:
            if name in self.alarms:
                self.tagger.delete_all_tags_for_resource(self.alarms[name].alarm_arn)
        delete(self, alarm_names)

    def set_alarm_state(self: Json, alarm_name: str, *told: Json) -> None:
        before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else None
        set_state(self, alarm_name, *told)
        _act(self, self.alarms[alarm_name], before)

    backend.put_metric_alarm, backend.delete_alarms = put_metric_alarm, delete_alarms
    backend.set_alarm_state = set_alarm_state
    # moto's knows no metric of two dimensions again, and lists it once for each time it was put.
    models.are_dimensions_same = _are_same


def _are_same(some: Sequence[Json], others: Sequence[Json]) -> bool:
    return {(one.name, one.value) for one in some} == {(one.name, one.value) for one in others}


def watch(*sources: Source) -> None:
    """Measure, and look at all alarms, from now on."""

    def look() -> None:
        while True:
            began = time.monotonic()
            for backend in _backends():
                try:
                    _look(backend, sources)
                except Exception as error:
                    print(f"alarms: {type(error).__name__}: {error}", file=sys.stderr)
            time.sleep(max(0.1, SECONDS_OF_A_MINUTE - (time.monotonic() - began)))

    threading.Thread(target=look, daemon=True, name="alarms").start()


def _backends() -> list[Json]:
    models: Module = import_module("moto.cloudwatch.models")
    accounts = list(models.cloudwatch_backends.values())
    return [one for regions in accounts for one in list(regions.values()) if one.alarms]


def _look(backend: Json, sources: Sequence[Source]) -> None:
    alarms = list(backend.alarms.values())
    namespaces = frozenset(key[0] for alarm in alarms for key in _read_by(alarm))
    for source in sources:
        try:
            source(backend, namespaces)
        except Exception as error:
            print(f"metrics: {type(error).__name__}: {error}", file=sys.stderr)
    now = datetime.now(UTC)
    kept = max([_KEPT, *map(_looks_back, alarms)])
    backend.metric_data[:] = [
        one
        for one in list(backend.metric_data)
        if now - _time(one) < kept or not one.namespace.startswith(("AWS/", "AmazonMWAA"))
    ]
    data = _Data(backend.metric_data, now)
    for alarm in alarms:
        _evaluate(backend, alarm, data)


def _time(datum: Json) -> datetime:
    stamp: datetime = datum.timestamp
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _key(namespace: str, name: str, dimensions: Sequence[Json]) -> Key:
    return namespace, name, frozenset((one.name, one.value) for one in dimensions)


def _read_by(alarm: Json) -> Iterator[Key]:
    if alarm.metric_name:
        yield _key(alarm.namespace, alarm.metric_name, alarm.dimensions)
    for query in alarm.metric_data_queries:
        if query.metric_stat:
            metric = query.metric_stat.metric
            yield _key(metric.namespace, metric.metric_name, metric.dimensions)


def _looks_back(alarm: Json) -> timedelta:
    stats = [query.metric_stat for query in alarm.metric_data_queries if query.metric_stat]
    longest = max(int(one.period or 0) for one in (alarm, *stats))
    return _passing(longest) * ((alarm.evaluation_periods or 0) + _EXTRA)


def _passing(seconds: int) -> timedelta:
    """Return what so many seconds of a period take here."""
    return timedelta(seconds=seconds / 60 * SECONDS_OF_A_MINUTE)


class _Data:
    """What was measured, as periods that end now."""

    def __init__(self, data: Sequence[Json], now: datetime) -> None:
        self.now = now
        self._data: dict[Key, deque[Json]] = {}
        for one in data:
            key = _key(one.namespace, one.name, one.dimensions)
            self._data.setdefault(key, deque()).append(one)

    def points(self, key: Key, statistic: str, period: int, count: int) -> list[float | None]:
        """Return the statistic of each of so many periods, the latest last."""
        length = _passing(period)
        found: list[list[Json]] = [[] for _ in range(count)]
        for one in self._data.get(key, ()):
            ago = self.now - _time(one)
            if timedelta(0) <= ago < length * count:
                found[int(ago / length)].append(one)
        return [_statistic(one, statistic) for one in reversed(found)]


def _statistic(data: Sequence[Json], statistic: str) -> float | None:
    if not data:
        return None
    of_several = [one for one in data if hasattr(one, "sample_count")]
    values = [one.value for one in data if hasattr(one, "value")]
    number = len(values) + sum(one.sample_count for one in of_several)
    total = sum(values) + sum(one.sum for one in of_several)
    tests: dict[str, Callable[[], float]] = {
        "Average": lambda: total / number,
        "Maximum": lambda: max(*values, *(one.max for one in of_several), -float("inf")),
        "Minimum": lambda: min(*values, *(one.min for one in of_several), float("inf")),
        "SampleCount": lambda: number,
        "Sum": lambda: total,
    }
    return float(tests[statistic]())


_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
}


def _points(alarm: Json, data: _Data) -> list[float | None]:
    count = alarm.evaluation_periods + _EXTRA
    if alarm.metric_name:
        (key,) = _read_by(alarm)
        return data.points(key, alarm.statistic, int(alarm.period), count)
    series: dict[str, list[float | None]] = {}
    for query in alarm.metric_data_queries:
        if stat := query.metric_stat:
            metric = stat.metric
            key = _key(metric.namespace, metric.metric_name, metric.dimensions)
            series[query.id] = data.points(key, stat.stat, int(stat.period), count)
    expressions = {one.id: one.expression for one in alarm.metric_data_queries if one.expression}
    wanted = next(one.id for one in alarm.metric_data_queries if one.return_data)
    return metric_math.evaluate(wanted, expressions, series, count)


@dataclass(frozen=True)
class Judgement:
    """What an alarm makes of its metric."""

    state: str
    reason: str


def judge(
    points: Sequence[float | None], breaches: Callable[[float], bool], alarm: Json
) -> Judgement | None:
    """Return the state of an alarm as of these points, the latest last; None if it stays.

    "Configuring how CloudWatch alarms treat missing data", CloudWatch User Guide: the latest data
    count, of more periods than are needed; only where there is too little of it, missing points are
    taken for what the alarm says.
    """
    wanted, needed = alarm.evaluation_periods, alarm.datapoints_to_alarm or alarm.evaluation_periods
    real = [one for one in points if one is not None][-wanted:]
    missing = wanted - len(real)
    treatment = alarm.treat_missing_data or "missing"
    breaching = [one for one in real if breaches(one)]
    shown = ", ".join(f"{one:g}" for one in real)
    line = f"{alarm.comparison_operator} {alarm.threshold:g}"
    told = f"{len(breaching)} of the last {len(real)} datapoints [{shown}] were {line}"
    if treatment == "breaching" and missing:
        told += f", and {missing} missing datapoints were treated as [Breaching]"
    count = len(breaching) + (missing if treatment == "breaching" else 0)
    crossed = Judgement("ALARM", f"Threshold Crossed: {told}.")
    quiet = Judgement("OK", f"Threshold not crossed: {told}.")
    if count >= needed:
        return crossed
    if not missing or treatment in {"breaching", "notBreaching"}:
        return quiet
    if len(breaching) < len(real):  # some of what is there is fine
        return quiet
    if treatment == "ignore":
        return None
    if real:
        return crossed
    reason = f"Insufficient Data: no datapoints were received for {wanted} periods."
    return Judgement("INSUFFICIENT_DATA", reason)


def _evaluate(backend: Json, alarm: Json, data: _Data) -> None:
    if alarm.rule or alarm.threshold is None or (alarm.metric_name and not alarm.statistic):
        return  # of kinds that are not known here
    compare = _COMPARISONS[alarm.comparison_operator]
    found = judge(_points(alarm, data), lambda value: compare(value, alarm.threshold), alarm)
    before = alarm.state_value
    if found is None or found.state == before or backend.alarms.get(alarm.name) is not alarm:
        return
    alarm.update_state(found.reason, "{}", found.state)
    _act(backend, alarm, before)


def _act(backend: Json, alarm: Json, before: str | None) -> None:
    """Do what an alarm is to do in the state that it has come to."""
    actions = {
        "ALARM": alarm.alarm_actions,
        "INSUFFICIENT_DATA": alarm.insufficient_data_actions,
        "OK": alarm.ok_actions,
    }[alarm.state_value]
    if before == alarm.state_value or not alarm.actions_enabled:
        return
    region = Session().get_data("endpoints")["partitions"][0]["regions"][backend.region_name]
    where = region["description"]
    subject = f'{alarm.state_value}: "{alarm.name}" in {where}'[:100]
    message = json.dumps(_message(backend, alarm, before, where))
    source = {"aws:SourceAccount": backend.account_id, "aws:SourceArn": alarm.alarm_arn}
    for arn in actions:
        if arn.split(":")[2] != "sns":
            continue
        try:
            topics.publish(_SERVICE, arn, message, source, subject)
        except RefusedError as refused:
            print(f"alarm {alarm.name}: {refused.message}", file=sys.stderr)


def _message(backend: Json, alarm: Json, before: str | None, where: str) -> Json:
    trigger: Json = {
        "Period": int(alarm.period or 0),
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "missing",
    }
    if alarm.metric_name:
        trigger |= {
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "StatisticType": "Statistic",
            "Statistic": str(alarm.statistic).upper(),
            "Dimensions": [{"name": one.name, "value": one.value} for one in alarm.dimensions],
        }
    else:
        trigger["Metrics"] = [
            {"Id": one.id, "Expression": one.expression, "ReturnData": bool(one.return_data)}
            if one.expression
            else {
                "Id": one.id,
                "MetricStat": {
                    "Metric": {
                        "Namespace": one.metric_stat.metric.namespace,
                        "MetricName": one.metric_stat.metric.metric_name,
                        "Dimensions": [
                            {"name": dimension.name, "value": dimension.value}
                            for dimension in one.metric_stat.metric.dimensions
                        ],
                    },
                    "Period": int(one.metric_stat.period),
                    "Stat": one.metric_stat.stat,
                },
                "ReturnData": bool(one.return_data),
            }
            for one in alarm.metric_data_queries
        ]
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": backend.account_id,
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
        "Region": where,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": before,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
        "Trigger": trigger,
    }
