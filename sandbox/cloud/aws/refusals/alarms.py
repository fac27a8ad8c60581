"""What CloudWatch refuses: alarms that cannot be evaluated or tell nobody, malformed dashboards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from sandbox.cloud.aws import metric_math
from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SHORT: Final = (10, 20, 30)
_SHORT_IN_MATH: Final = (1, 5, *_SHORT)
_ACTIONS: Final = ("AlarmActions", "InsufficientDataActions", "OKActions")


@refuses("cloudwatch", "PutMetricAlarm")
def _alarm(aws: Aws, told: Told) -> None:
    problem = next(
        (one for check in (_measures, _evaluates, _acts) for one in check(aws, told)), None
    )
    if problem:
        raise RefusedError("ValidationError", problem)


def _measures(_: Aws, told: Told) -> Iterator[str]:
    queries = told.get("Metrics") or []
    if not queries and not told.get("MetricName"):
        yield "Exactly one of MetricName or Metrics must be specified"
    if not queries:
        for name in ("Namespace", "Period"):
            if not told.get(name):
                yield f"The parameter {name} is required for an alarm on a metric"
        if bool(told.get("Statistic")) is bool(told.get("ExtendedStatistic")):
            yield "Exactly one of Statistic or ExtendedStatistic must be specified"
        return
    for name in ("MetricName", "Namespace", "Dimensions", "Period", "Statistic"):
        if told.get(name):
            yield f"The parameter {name} cannot be specified with Metrics"
    yield from _of_queries(queries)


def _of_queries(queries: list[Json]) -> Iterator[str]:
    returned = [one["Id"] for one in queries if one.get("ReturnData", True)]
    if len(returned) != 1:
        yield f"Exactly one element of the metrics list should return data, not {len(returned)}"
    ids = [one["Id"] for one in queries]
    if len(set(ids)) < len(ids):
        yield "The values for parameter id in class MetricDataQuery are not unique"
    for one in queries:
        identifier = one["Id"]
        if not (identifier[:1].islower() and identifier.replace("_", "").isalnum()):
            yield f"The value {identifier} for parameter id does not start with a lowercase letter"
        if bool(one.get("Expression")) is bool(one.get("MetricStat")):
            yield f"{identifier} needs either an Expression or a MetricStat"
        elif one.get("Expression"):
            try:
                metric_math.check(one["Expression"], set(ids) - {identifier})
            except metric_math.MetricMathError as error:
                yield f"Error in expression '{identifier}': {error}"


def _evaluates(_: Aws, told: Told) -> Iterator[str]:
    for name in ("ComparisonOperator", "EvaluationPeriods"):
        if not told.get(name):
            yield f"The parameter {name} is required"
    queries = told.get("Metrics") or []
    stats = [one["MetricStat"]["Period"] for one in queries if one.get("MetricStat")]
    periods = [*stats, *(one["Period"] for one in queries if one.get("Period"))]
    for period, short in [
        (told.get("Period"), _SHORT),
        *((one, _SHORT_IN_MATH) for one in periods),
    ]:
        if period and period not in short and period % _MINUTE:
            known = ", ".join(map(str, short))
            yield f"Period must be one of {known} or a multiple of 60: {period}"
    if told.get("Threshold") is None and not told.get("ThresholdMetricId"):
        yield "The parameter Threshold is required"
    count = told.get("EvaluationPeriods") or 1
    if (told.get("DatapointsToAlarm") or 1) > count:
        yield "DatapointsToAlarm cannot be greater than EvaluationPeriods"
    longest = max([told.get("Period") or 0, *periods])
    limit, words = (_DAY, "a day") if longest < _HOUR else (7 * _DAY, "seven days")
    if longest * count > limit:
        yield (
            f"Metrics cannot be checked across more than {words} (EvaluationPeriods * Period must "
            f"be <= {limit})."
        )
    if told.get("TreatMissingData") not in {None, "breaching", "ignore", "missing", "notBreaching"}:
        yield f"Option {told['TreatMissingData']} is not supported for TreatMissingData"


def _acts(aws: Aws, told: Told) -> Iterator[str]:
    for name in _ACTIONS:
        for arn in told.get(name) or []:
            parts = arn.split(":")
            if len(parts) < 6 or parts[0] != "arn":
                yield f"Invalid arn syntax: {arn}"
            elif parts[3] != aws.region and parts[2] != "ssm-incidents":
                yield f"Invalid region {parts[3]} specified. Only {aws.region} is supported."
            elif parts[2] == "sns" and arn.endswith(".fifo"):
                yield f"An alarm cannot publish to a FIFO topic: {arn}"


_WIDTH: Final = 24
_HEIGHT: Final = 1000
_WIDGETS: Final = 500
# "Dashboard body structure and syntax", CloudWatch API Reference: the types of widgets, and what
# their properties must have.
_TYPES: Final = {
    "alarm": ("alarms",),
    "custom": ("endpoint",),
    "explorer": ("metrics",),
    "log": ("query", "region"),
    "metric": (),
    "text": ("markdown",),
}
_METRIC_VIEWS: Final = ("bar", "gauge", "pie", "singleValue", "table", "timeSeries")
_PER_WIDGET: Final = 500


@refuses("cloudwatch", "PutDashboard")
def _dashboard(_: Aws, told: Told) -> None:
    try:
        body = json.loads(told["DashboardBody"])
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = "The field DashboardBody must be a valid JSON object"
        raise RefusedError("InvalidParameterInput", message)
    if problems := list(_of_body(body)):
        shown = "; ".join(f"{path}: {problem}" for path, problem in problems)
        message = f"The dashboard body is invalid, there are validation errors: {shown}"
        raise RefusedError("InvalidParameterInput", message)


def _of_body(body: Json) -> Iterator[tuple[str, str]]:
    widgets = body.get("widgets")
    if not isinstance(widgets, list):
        yield "/widgets", "should be an array"
        return
    if len(widgets) > _WIDGETS:
        yield "/widgets", f"should have at most {_WIDGETS} items"
    for index, widget in enumerate(widgets):
        path = f"/widgets/{index}"
        if isinstance(widget, dict):
            yield from ((f"{path}{below}", problem) for below, problem in _of_widget(widget))
        else:
            yield path, "should be an object"


def _is_whole(value: Json, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _of_widget(widget: Json) -> Iterator[tuple[str, str]]:
    kind, properties = widget.get("type"), widget.get("properties")
    if kind not in _TYPES:
        yield "/type", f"should be one of {', '.join(_TYPES)}"
        return
    limits = {"width": (1, _WIDTH), "height": (1, _HEIGHT), "x": (0, _WIDTH - 1), "y": (0, 10**6)}
    for name, limit in limits.items():
        if name in widget and not _is_whole(widget[name], *limit):
            yield f"/{name}", f"should be a whole number of {limit[0]} to {limit[1]}"
    if ("x" in widget) is not ("y" in widget):
        yield "", "should have both x and y, or neither"
    if not isinstance(properties, dict):
        yield "/properties", "should be an object"
        return
    for name in _TYPES[kind]:
        if name not in properties:
            yield "/properties", f"should have required property '{name}'"
    if kind == "metric":
        yield from _of_metrics(properties)
    if kind == "alarm" and not (
        isinstance(properties.get("alarms"), list)
        and 1 <= len(properties["alarms"]) <= 100
        and all(isinstance(one, str) and ":alarm:" in one for one in properties["alarms"])
    ):
        yield "/properties/alarms", "should be an array of 1 to 100 ARNs of alarms"


def _of_metrics(properties: Json) -> Iterator[tuple[str, str]]:
    metrics, annotations = properties.get("metrics"), properties.get("annotations") or {}
    if metrics is None and not annotations.get("alarms"):
        yield "/properties", "should have required property 'metrics', or annotations of an alarm"
        return
    if "region" not in properties and metrics is not None:
        yield "/properties", "should have required property 'region'"
    if properties.get("view", "timeSeries") not in _METRIC_VIEWS:
        yield "/properties/view", f"should be one of {', '.join(_METRIC_VIEWS)}"
    if metrics is None:
        return
    if not isinstance(metrics, list) or len(metrics) > _PER_WIDGET:
        yield "/properties/metrics", f"should be an array of at most {_PER_WIDGET} items"
        return
    for index, metric in enumerate(metrics):
        if problem := _of_metric(metric):
            yield f"/properties/metrics/{index}", problem


def _of_metric(metric: Json) -> str | None:
    """Say what a metric should be: namespace, name, pairs of a dimension's name and value, options.

    Or the options alone, with an expression.
    """
    if not isinstance(metric, list) or not metric:
        return "should be an array that is not empty"
    options = metric[-1] if isinstance(metric[-1], dict) else {}
    words = metric[:-1] if options or metric[-1] == {} else metric
    if not all(isinstance(one, str) for one in words):
        return "should have text only, and at most one object, at its end"
    if not words:
        return None if isinstance(options.get("expression"), str) else "should have an expression"
    if len(words) < 2 or len(words) % 2:
        return "should have a namespace, a name, and a value for each dimension"
    return None
