"""Log groups, alarms and dashboards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from sandbox.machine.aws_api import find
from sandbox.providers.aws.resource import (
    KEY,
    LOCAL,
    OFF,
    ON,
    REQUIRED,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    shape,
)
from sandbox.providers.aws.tags import retag, retag_listed, tag_list, tag_map
from sandbox.providers.protocol import UNKNOWN, Failure, PluginError, Properties, Value

_RETENTIONS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096),
    *(1827, 2192, 2557, 2922, 3288, 3653),
)


class LogGroup(ResourceType):
    pulumi_type = "aws:cloudwatch/logGroup:LogGroup"
    service = "logs"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "kmsKeyId": UPDATES,
        "logGroupClass": Input(computed=True, replaces=True, allowed=("STANDARD",)),
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "retentionInDays": Input(default=0, allowed=_RETENTIONS),
        "skipDestroy": LOCAL,
        "tags": UPDATES,
    }
    api_inputs = ("CreateLogGroup", "PutRetentionPolicy")
    members: ClassVar = {"name": "logGroupName", "skipDestroy": None}
    outputs = ("arn",)

    def create(self, inputs: Properties) -> str:
        key = inputs.get("kmsKeyId")
        tags = inputs.get("tagsAll")
        self.api.create_log_group(
            logGroupName=inputs["name"],
            **({"kmsKeyId": key} if key else {}),
            **({"tags": tags} if tags else {}),
        )
        return str(inputs["name"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._retain(resource_id, inputs.get("retentionInDays", 0))

    def _retain(self, name: str, days: int) -> None:
        if days:
            self.api.put_retention_policy(logGroupName=name, retentionInDays=days)
        else:
            self.api.delete_retention_policy(logGroupName=name)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        groups = self.api.describe_log_groups(logGroupNamePrefix=resource_id)["logGroups"]
        group = next((one for one in groups if one["logGroupName"] == resource_id), None)
        if group is None:
            return None
        arn = group["arn"].removesuffix(":*")
        return {
            "arn": arn,
            "kmsKeyId": group.get("kmsKeyId"),
            "logGroupClass": group.get("logGroupClass", "STANDARD"),
            "name": resource_id,
            "retentionInDays": group.get("retentionInDays", 0),
            "tagsAll": self.api.list_tags_for_resource(resourceArn=arn)["tags"],
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._retain(resource_id, new.get("retentionInDays", 0))
        key = new.get("kmsKeyId")
        if old.get("kmsKeyId") != key and key:
            self.api.associate_kms_key(logGroupName=resource_id, kmsKeyId=key)
        elif old.get("kmsKeyId") != key:
            self.api.disassociate_kms_key(logGroupName=resource_id)
        arn = self.aws.arn("logs", f"log-group:{resource_id}")
        retag(self.api, arn, old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        if not inputs.get("skipDestroy"):
            self.api.delete_log_group(logGroupName=resource_id)


# Properties of an alarm that are one value in the API, by its name there.
_OF_ALARMS = {
    "actionsEnabled": "ActionsEnabled",
    "alarmActions": "AlarmActions",
    "alarmDescription": "AlarmDescription",
    "comparisonOperator": "ComparisonOperator",
    "datapointsToAlarm": "DatapointsToAlarm",
    "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
    "evaluationPeriods": "EvaluationPeriods",
    "extendedStatistic": "ExtendedStatistic",
    "insufficientDataActions": "InsufficientDataActions",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "okActions": "OKActions",
    "period": "Period",
    "statistic": "Statistic",
    "threshold": "Threshold",
    "thresholdMetricId": "ThresholdMetricId",
    "treatMissingData": "TreatMissingData",
    "unit": "Unit",
}
# The provider's own: the API knows more.
_EXTENDED = re.compile(
    r"(p|tm|wm|tc|ts)(\d{1,2}(\.\d{1,2})?|100)|IQM|"
    r"(TM|WM|PR|TC|TS)\((\d+(\.\d+)?%?)?:(\d+(\.\d+)?%?)?\)"
)


def _is_period(value: Value, short: tuple[int, ...]) -> bool:
    return value is None or value is UNKNOWN or value in short or value % 60 == 0


class MetricAlarm(ResourceType):
    pulumi_type = "aws:cloudwatch/metricAlarm:MetricAlarm"
    service = "cloudwatch"
    auto_name = AutoName()
    inputs: ClassVar = {
        **dict.fromkeys(_OF_ALARMS, UPDATES),
        "actionsEnabled": ON,
        "comparisonOperator": REQUIRED,
        "dimensions": UPDATES,
        "evaluateLowSampleCountPercentiles": Input(computed=True),
        "evaluationPeriods": REQUIRED,
        "metricQueries": Input(
            shape=shape(
                *("accountId", "expression", "id", "label", "period"),
                metric=shape("dimensions", "metricName", "namespace", "period", "stat", "unit"),
                returnData=OFF,
            )
        ),
        "name": Input(replaces=True),
        "tags": UPDATES,
        "treatMissingData": Input(
            default="missing", allowed=("breaching", "ignore", "missing", "notBreaching")
        ),
    }
    api_inputs = ("PutMetricAlarm",)
    members: ClassVar = {
        "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
        "metricQueries": None,
        "name": "AlarmName",
    }
    outputs = ("arn",)

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        queries = inputs.get("metricQueries")
        conflicts = ("dimensions", "extendedStatistic", "metricName", "namespace")
        for key in (*conflicts, "period", "statistic"):
            if queries not in (None, UNKNOWN) and key in inputs:
                yield Failure(key, "conflicts with metricQueries")
        if "metricName" in inputs and len({"statistic", "extendedStatistic"} & inputs.keys()) != 1:
            rule = "One of `statistic` or `extended_statistic` must be set"
            yield Failure("statistic", f"{rule} for a cloudwatch metric alarm")
        if not _is_period(inputs.get("period"), (10, 20, 30)):
            rule = "expected period to be one of [10, 20, 30] or divisible by 60"
            yield Failure("period", f"{rule}, got {inputs['period']}")
        extended = inputs.get("extendedStatistic")
        if isinstance(extended, str) and not _EXTENDED.fullmatch(extended):
            yield Failure("extendedStatistic", f"invalid statistic: {extended}")
        for query in queries if isinstance(queries, list) else []:
            yield from self._query(query)

    @staticmethod
    def _query(query: Value) -> Iterator[Failure]:
        if not isinstance(query, dict):
            return
        metric = query.get("metric")
        if "id" not in query:
            yield Failure("metricQueries", "a metric query needs an id")
        if metric is not None and query.get("expression") not in (None, UNKNOWN):
            rule = "No metric_query may have both `expression` and a `metric` specified"
            yield Failure("metricQueries", rule)
        for one in (query, metric):
            if isinstance(one, dict) and not _is_period(one.get("period"), (1, 5, 10, 20, 30)):
                rule = "expected period to be one of [1, 5, 10, 20, 30] or divisible by 60"
                yield Failure("metricQueries", f"{rule}, got {one['period']}")
        if isinstance(metric, dict):
            for key in sorted({"metricName", "period", "stat"} - metric.keys()):
                yield Failure("metricQueries", f"the metric of {query.get('id')} needs {key}")

    def create(self, inputs: Properties) -> str:
        if self._find(inputs["name"]) is not None:
            message = f'CloudWatch metric alarm "{inputs["name"]}" already exists'
            raise PluginError(message)
        self._put(inputs, Tags=tag_list(inputs.get("tagsAll", {})))
        return str(inputs["name"])

    def _find(self, name: str) -> Any:  # noqa: ANN401
        answer = self.api.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm"])
        return next(iter(answer["MetricAlarms"]), None)

    def _put(self, inputs: Properties, **more: Any) -> None:  # noqa: ANN401
        given = {
            name: value
            for key, name in _OF_ALARMS.items()
            if (value := inputs.get(key, self.inputs[key].default)) is not None
        }
        if dimensions := inputs.get("dimensions"):
            given["Dimensions"] = _dimension_list(dimensions)
        if queries := inputs.get("metricQueries"):
            given["Metrics"] = [_asked(query) for query in queries]
        self.api.put_metric_alarm(AlarmName=inputs["name"], **given, **more)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        alarm = self._find(resource_id)
        if alarm is None:
            return None
        tags = self.api.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        queries = [_answered(one) for one in alarm.get("Metrics", [])]
        return {
            **{key: _given(alarm.get(name)) for key, name in _OF_ALARMS.items()},
            "arn": alarm["AlarmArn"],
            "dimensions": _dimension_map(alarm.get("Dimensions")),
            "metricQueries": queries or None,
            "name": alarm["AlarmName"],
            "tagsAll": tag_map(tags),
            "treatMissingData": alarm.get("TreatMissingData", "missing"),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._put({**new, "name": resource_id})
        retag_listed(
            self.api, old, new, ResourceARN=self.aws.arn("cloudwatch", f"alarm:{resource_id}")
        )

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_alarms(AlarmNames=[resource_id])


def _given(value: Value) -> Value:
    """Return a value, of which the API tells an empty one as none."""
    return None if value in ("", []) else value


def _dimension_list(dimensions: dict[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in sorted(dimensions.items())]


def _dimension_map(dimensions: list[dict[str, str]] | None) -> dict[str, str] | None:
    return {one["Name"]: one["Value"] for one in dimensions or []} or None


_OF_QUERIES = {
    "accountId": "AccountId",
    "expression": "Expression",
    "id": "Id",
    "label": "Label",
    "period": "Period",
}


def _asked(query: Properties) -> dict[str, Any]:
    asked: dict[str, Any] = {
        name: query[key] for key, name in _OF_QUERIES.items() if query.get(key) is not None
    }
    asked["ReturnData"] = query.get("returnData") or False
    if one := query.get("metric"):
        metric = {"Namespace": one.get("namespace", ""), "MetricName": one["metricName"]}
        metric |= {"Dimensions": _dimension_list(one.get("dimensions") or {})}
        unit = {"Unit": one["unit"]} if one.get("unit") else {}
        asked["MetricStat"] = {
            "Metric": metric,
            "Period": one["period"],
            "Stat": one["stat"],
            **unit,
        }
    return asked


def _answered(query: dict[str, Any]) -> Properties:
    found: Properties = {key: query.get(name) for key, name in _OF_QUERIES.items()}
    found["returnData"] = bool(query.get("ReturnData"))
    if stat := query.get("MetricStat"):
        metric = stat["Metric"]
        found["metric"] = {
            "dimensions": _dimension_map(metric.get("Dimensions")),
            "metricName": metric["MetricName"],
            "namespace": metric.get("Namespace"),
            "period": int(stat["Period"]),
            "stat": stat["Stat"],
            "unit": stat.get("Unit"),
        }
        found["metric"] = {key: one for key, one in found["metric"].items() if one is not None}
    return {key: one for key, one in found.items() if one is not None}


class Dashboard(ResourceType):
    pulumi_type = "aws:cloudwatch/dashboard:Dashboard"
    service = "cloudwatch"
    inputs: ClassVar = {
        "dashboardBody": Input(required=True, json=True, ordered=True),
        "dashboardName": KEY,
    }
    api_inputs = ("PutDashboard",)
    outputs = ("dashboardArn",)

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        name = inputs["dashboardName"]
        if isinstance(name, str) and not re.fullmatch(r"[-_A-Za-z0-9]{1,255}", name):
            rule = "only alphanumeric characters, hyphens and underscores, 255 at most, allowed"
            yield Failure("dashboardName", f"{rule} in dashboardName: {name}")

    def create(self, inputs: Properties) -> str:
        self._put(inputs)
        return str(inputs["dashboardName"])

    def _put(self, inputs: Properties) -> None:
        self.api.put_dashboard(
            DashboardName=inputs["dashboardName"], DashboardBody=inputs["dashboardBody"]
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        one = find(self.api.get_dashboard, DashboardName=resource_id)
        if one is None:
            return None
        return {
            "dashboardArn": one["DashboardArn"],
            "dashboardBody": one["DashboardBody"],
            "dashboardName": one["DashboardName"],
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._put(new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_dashboards(DashboardNames=[resource_id])
