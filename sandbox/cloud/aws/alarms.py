"""What moto's CloudWatch lacks of alarms."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

Json: TypeAlias = Any
Module: TypeAlias = Any


def complete() -> None:
    """Let an alarm begin without data, keep its state as it is changed, and take its tags along."""
    models: Module = import_module("moto.cloudwatch.models")
    backend = models.CloudWatchBackend
    put, delete = backend.put_metric_alarm, backend.delete_alarms

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

    backend.put_metric_alarm, backend.delete_alarms = put_metric_alarm, delete_alarms
