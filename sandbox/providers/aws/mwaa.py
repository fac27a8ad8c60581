"""Airflow environments."""

from __future__ import annotations

from typing import ClassVar

from sandbox.machine.aws_api import find
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.resource import (
    CHOSEN,
    LOCAL,
    REPLACES,
    REQUIRED,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    same,
    shape,
)
from sandbox.providers.aws.tags import tag_changes
from sandbox.providers.protocol import UNKNOWN, Properties, Value

_LOGS = ("dagProcessingLogs", "schedulerLogs", "taskLogs", "webserverLogs", "workerLogs")


def _api_name(key: str) -> str:
    return key[:1].upper() + key[1:]


class Environment(ResourceType):
    pulumi_type = "aws:mwaa/environment:Environment"
    service = "mwaa"
    auto_name = AutoName()
    _log = Input(computed=True, shape=shape(enabled=CHOSEN, logLevel=CHOSEN))
    _settings: ClassVar = {
        "airflowConfigurationOptions": UPDATES,
        "airflowVersion": CHOSEN,
        "dagS3Path": REQUIRED,
        "endpointManagement": Input(computed=True, replaces=True),
        "environmentClass": CHOSEN,
        "executionRoleArn": REQUIRED,
        "kmsKey": REPLACES,
        "loggingConfiguration": Input(
            computed=True,
            shape=dict.fromkeys(_LOGS, _log),
            adds=shape(**dict.fromkeys(_LOGS, shape("cloudWatchLogGroupArn"))),
        ),
        "maxWebservers": CHOSEN,
        "maxWorkers": CHOSEN,
        "minWebservers": CHOSEN,
        "minWorkers": CHOSEN,
        "networkConfiguration": Input(
            required=True, shape=shape("securityGroupIds", subnetIds=REPLACES)
        ),
        "pluginsS3ObjectVersion": CHOSEN,
        "pluginsS3Path": UPDATES,
        "requirementsS3ObjectVersion": CHOSEN,
        "requirementsS3Path": UPDATES,
        "schedulers": CHOSEN,
        "sourceBucketArn": REQUIRED,
        "startupScriptS3ObjectVersion": CHOSEN,
        "startupScriptS3Path": UPDATES,
        "webserverAccessMode": CHOSEN,
        "weeklyMaintenanceWindowStart": CHOSEN,
    }
    inputs: ClassVar = {
        **_settings,
        "name": Input(replaces=True),
        "tags": UPDATES,
        "workerReplacementStrategy": LOCAL,
    }
    api_inputs = ("CreateEnvironment", "UpdateEnvironment")
    outputs = (
        "arn",
        "createdAt",
        "databaseVpcEndpointService",
        "lastUpdateds",
        "serviceRoleArn",
        "status",
        "webserverUrl",
        "webserverVpcEndpointService",
    )

    def create(self, inputs: Properties) -> str:
        given = {_api_name(key): inputs[key] for key in self._settings if key in inputs}
        given["NetworkConfiguration"] = _network(inputs)
        if "loggingConfiguration" in inputs:
            given["LoggingConfiguration"] = _logging(inputs["loggingConfiguration"])
        self.api.create_environment(Name=inputs["name"], Tags=inputs.get("tagsAll", {}), **given)
        return str(inputs["name"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        def available() -> bool:
            environment = self.api.get_environment(Name=resource_id)["Environment"]
            return bool(environment["Status"] == "AVAILABLE")

        wait_for(available, f"environment {resource_id}")

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_environment, Name=resource_id)
        if answer is None:
            return None
        live = answer["Environment"]
        network = live["NetworkConfiguration"]
        update = live.get("LastUpdate") or {}
        return {
            **{key: live.get(_api_name(key)) for key in self._settings},
            "airflowConfigurationOptions": live.get("AirflowConfigurationOptions") or None,
            "arn": live["Arn"],
            "createdAt": live["CreatedAt"].isoformat(),
            "databaseVpcEndpointService": live.get("DatabaseVpcEndpointService", ""),
            "endpointManagement": live.get("EndpointManagement", "SERVICE"),
            "lastUpdateds": [{"status": update.get("Status")}],
            "loggingConfiguration": _logging_found(live.get("LoggingConfiguration", {})),
            "name": live["Name"],
            "networkConfiguration": {
                "securityGroupIds": network["SecurityGroupIds"],
                "subnetIds": network["SubnetIds"],
            },
            "serviceRoleArn": live["ServiceRoleArn"],
            "status": live["Status"],
            "webserverUrl": live["WebserverUrl"],
            "webserverVpcEndpointService": live.get("WebserverVpcEndpointService", ""),
            "tagsAll": live.get("Tags", {}),
        }

    def _replaces(self, key: str, old: Properties, new: Properties) -> bool:
        if key == "airflowVersion":
            # The provider makes a new environment for a new major version.
            if UNKNOWN in (old.get(key), new.get(key)):
                return False
            before, after = (str(one.get(key, "")).partition(".")[0] for one in (old, new))
            return bool(before) and int(before) < int(after or 0)
        return super()._replaces(key, old, new)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        # How workers are replaced is told in the update that changes it, and in no other.
        changes = {
            _api_name(key): new.get(key)
            for key in (*self._settings, "workerReplacementStrategy")
            if not same(old.get(key), new.get(key), UPDATES)
        }
        if changes:
            if "NetworkConfiguration" in changes:
                groups = new["networkConfiguration"]["securityGroupIds"]
                changes["NetworkConfiguration"] = {"SecurityGroupIds": groups}
            if changes.get("LoggingConfiguration"):
                changes["LoggingConfiguration"] = _logging(new["loggingConfiguration"])
            if "AirflowConfigurationOptions" in changes:
                options = new.get("airflowConfigurationOptions", {})
                changes["AirflowConfigurationOptions"] = options
            given = {
                # What the program no longer says is given as empty where it is a path.
                key: "" if value is None else value
                for key, value in changes.items()
                if value is not None or key.endswith("S3Path")
            }
            self.api.update_environment(Name=resource_id, **given)
        wanted, removed = tag_changes(old, new)
        arn = self.aws.arn("airflow", f"environment/{resource_id}")
        if removed:
            self.api.untag_resource(ResourceArn=arn, tagKeys=removed)
        if wanted:
            self.api.tag_resource(ResourceArn=arn, Tags=wanted)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_environment(Name=resource_id)


def _network(inputs: Properties) -> Value:
    network = inputs["networkConfiguration"]
    return {"SecurityGroupIds": network["securityGroupIds"], "SubnetIds": network["subnetIds"]}


def _logging(settings: Value) -> Value:
    return {
        _api_name(key): {
            "Enabled": log.get("enabled", False),
            "LogLevel": log.get("logLevel", "INFO"),
        }
        for key, log in settings.items()
    }


def _logging_found(settings: Value) -> Value:
    return {
        key[:1].lower() + key[1:]: {
            "cloudWatchLogGroupArn": log.get("CloudWatchLogGroupArn"),
            "enabled": log.get("Enabled", False),
            "logLevel": log.get("LogLevel", "INFO"),
        }
        for key, log in settings.items()
    }
