"""Airflow environments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from sandbox.providers.aws.calls import Answer, RefusedError, error_code, find, wait_until
from sandbox.providers.aws.eks import require_role
from sandbox.providers.aws.kms import require_usable_key
from sandbox.providers.aws.resource import (
    CHOSEN,
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
from sandbox.providers.protocol import UNKNOWN, Failure, Properties, Value

_LOGS = ("dagProcessingLogs", "schedulerLogs", "taskLogs", "webserverLogs", "workerLogs")
# The groups are not all named as the settings are.
_LOG_GROUPS = {"dagProcessingLogs": "DAGProcessing", "webserverLogs": "WebServer"}
# Files that the environment reads at a fixed version.
_VERSIONED = (
    ("pluginsS3Path", "pluginsS3ObjectVersion"),
    ("requirementsS3Path", "requirementsS3ObjectVersion"),
    ("startupScriptS3Path", "startupScriptS3ObjectVersion"),
)
_WINDOW = re.compile(r"(MON|TUE|WED|THU|FRI|SAT|SUN):([01]\d|2[0-3]):(00|30)")


def _api_name(key: str) -> str:
    return key[:1].upper() + key[1:]


class Environment(ResourceType):
    pulumi_type = "aws:mwaa/environment:Environment"
    service = "mwaa"
    auto_name = AutoName(longest=80)
    _log = shape("enabled", "logLevel")
    _settings: ClassVar = {
        "airflowConfigurationOptions": UPDATES,
        "airflowVersion": CHOSEN,
        "dagS3Path": REQUIRED,
        "endpointManagement": Input(computed=True, replaces=True, allowed=("CUSTOMER", "SERVICE")),
        "environmentClass": CHOSEN,
        "executionRoleArn": REQUIRED,
        "kmsKey": REPLACES,
        "loggingConfiguration": Input(
            computed=True,
            shape=dict.fromkeys(_LOGS, _log),
            adds=dict.fromkeys(_LOGS, shape("cloudWatchLogGroupArn")),
        ),
        "maxWebservers": CHOSEN,
        "maxWorkers": CHOSEN,
        "minWebservers": CHOSEN,
        "minWorkers": CHOSEN,
        "networkConfiguration": Input(required=True, shape=shape("securityGroupIds", "subnetIds")),
        "pluginsS3ObjectVersion": CHOSEN,
        "pluginsS3Path": UPDATES,
        "requirementsS3ObjectVersion": CHOSEN,
        "requirementsS3Path": UPDATES,
        "schedulers": CHOSEN,
        "sourceBucketArn": REQUIRED,
        "startupScriptS3ObjectVersion": CHOSEN,
        "startupScriptS3Path": UPDATES,
        "webserverAccessMode": Input(
            computed=True, allowed=("PRIVATE_ONLY", "PUBLIC_AND_PRIVATE", "PUBLIC_ONLY")
        ),
        "weeklyMaintenanceWindowStart": CHOSEN,
    }
    inputs: ClassVar = {
        **_settings,
        "name": Input(replaces=True),
        "tags": UPDATES,
        "workerReplacementStrategy": Input(local=True, allowed=("FORCED", "GRACEFUL")),
    }
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

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        for path, version in _VERSIONED:
            if path in inputs and version not in inputs:
                yield Failure(version, f"{version} must be set together with {path}")
        window = inputs.get("weeklyMaintenanceWindowStart", UNKNOWN)
        if window is not UNKNOWN and not _WINDOW.fullmatch(window):
            reason = f"expected DAY:HH:MM in half hours, like SUN:03:30, got {window}"
            yield Failure("weeklyMaintenanceWindowStart", reason)

    def _require_preconditions(self, operation: str, inputs: Properties) -> None:
        network = inputs["networkConfiguration"]
        for problem in (
            *self._network_problems(network),
            *self._bucket_problems(inputs),
            *self._key_problems(inputs.get("kmsKey")),
        ):
            raise RefusedError(operation, "ValidationException", problem)
        services = ("airflow.amazonaws.com", "airflow-env.amazonaws.com")
        require_role(self.aws, operation, inputs["executionRoleArn"], *services)
        require_usable_key(self.aws, inputs.get("kmsKey"))

    def _network_problems(self, network: Value) -> Iterator[str]:
        ec2, subnet_ids = self.aws.client("ec2"), network["subnetIds"]
        if len(set(subnet_ids)) != 2:
            yield f"Exactly two subnets must be given, got {len(set(subnet_ids))}: {subnet_ids}"
        subnets = ec2.describe_subnets(SubnetIds=subnet_ids)["Subnets"]
        if len({subnet["AvailabilityZone"] for subnet in subnets}) < len(subnets):
            yield f"Subnets must be in different availability zones: {subnet_ids}"
        for subnet in subnets:
            if _has_internet_gateway(ec2, subnet):
                yield f"Subnet {subnet['SubnetId']} is not private: it has an internet gateway"
        groups = ec2.describe_security_groups(GroupIds=network["securityGroupIds"])
        if not any(_refers_to_itself(group) for group in groups["SecurityGroups"]):
            names = ", ".join(network["securityGroupIds"])
            yield f"No security group has an ingress rule that refers to the group itself: {names}"

    def _bucket_problems(self, inputs: Properties) -> Iterator[str]:
        s3, bucket = self.aws.client("s3"), inputs["sourceBucketArn"].rpartition(":")[2]
        if find(s3.head_bucket, Bucket=bucket) is None:
            yield f"Bucket {bucket} does not exist"
            return
        if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
            yield f"Bucket {bucket} is not versioned: enable bucket versioning"
        answer = find(s3.get_public_access_block, Bucket=bucket)
        block = answer["PublicAccessBlockConfiguration"] if answer else {}
        if len(block) < 4 or not all(block.values()):
            yield f"Bucket {bucket} does not block all public access"
        for path, version in _VERSIONED:
            if path not in inputs:
                continue
            where = {"Bucket": bucket, "Key": inputs[path], "VersionId": inputs[version]}
            if not _object_exists(s3, where):
                yield f"s3://{bucket}/{inputs[path]} has no version {inputs[version]}"

    def _key_problems(self, key: str | None) -> Iterator[str]:
        if key and (key.startswith("alias/") or ":alias/" in key):
            yield f"kmsKey must be the ARN or id of a key, not an alias: {key}"

    def create(self, inputs: Properties) -> str:
        self._require_preconditions("CreateEnvironment", inputs)
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

        wait_until(available, f"environment {resource_id}")
        logs = self.aws.client("logs")
        for key, log in (inputs.get("loggingConfiguration") or {}).items():
            if not log.get("enabled"):
                continue
            # MWAA makes the groups that nobody has made.
            try:
                kind = _LOG_GROUPS.get(key, _api_name(key).removesuffix("Logs"))
                logs.create_log_group(logGroupName=f"airflow-{resource_id}-{kind}")
            except Exception as error:
                if error_code(error) != "ResourceAlreadyExistsException":
                    raise

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
        if key == "networkConfiguration":
            before, after = (one[key].get("subnetIds") for one in (old, new))
            return not same(before, after, UPDATES)
        if key == "airflowVersion":
            # The provider makes a new environment for a new major version.
            before, after = (str(one.get(key, "")).partition(".")[0] for one in (old, new))
            return bool(before) and int(before) < int(after or 0)
        return super()._replaces(key, old, new)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        changes = {
            _api_name(key): new.get(key)
            for key in self._settings
            if not same(old.get(key), new.get(key), UPDATES)
        }
        for path, _ in _VERSIONED:
            if path in old and path not in new:
                message = f"{path} cannot be taken away once it was set: give an empty file"
                raise RefusedError("UpdateEnvironment", "ValidationException", message)
        if changes:
            self._require_preconditions("UpdateEnvironment", new)
            if "NetworkConfiguration" in changes:
                groups = new["networkConfiguration"]["securityGroupIds"]
                changes["NetworkConfiguration"] = {"SecurityGroupIds": groups}
            if changes.get("LoggingConfiguration"):
                changes["LoggingConfiguration"] = _logging(new["loggingConfiguration"])
            if "AirflowConfigurationOptions" in changes:
                options = new.get("airflowConfigurationOptions", {})
                changes["AirflowConfigurationOptions"] = options
            given = {key: value for key, value in changes.items() if value is not None}
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


def _has_internet_gateway(ec2: Answer, subnet: Answer) -> bool:
    """Tell whether the subnet's route table, or its VPC's main one, leads to a gateway."""
    explicit = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
    main = [
        {"Name": "association.main", "Values": ["true"]},
        {"Name": "vpc-id", "Values": [subnet["VpcId"]]},
    ]
    tables = (
        ec2.describe_route_tables(Filters=explicit)["RouteTables"]
        or ec2.describe_route_tables(Filters=main)["RouteTables"]
    )
    return any(
        str(route.get("GatewayId", "")).startswith("igw-")
        for table in tables
        for route in table["Routes"]
    )


def _refers_to_itself(group: Answer) -> bool:
    return any(
        pair["GroupId"] == group["GroupId"]
        for permission in group["IpPermissions"]
        for pair in permission.get("UserIdGroupPairs", [])
    )


def _object_exists(s3: Answer, where: dict[str, str]) -> bool:
    try:
        s3.head_object(**where)
    except Exception as error:
        # A version id of a wrong form is a bad request.
        if error_code(error) in {"400", "404", "NoSuchKey", "NoSuchVersion", "InvalidArgument"}:
            return False
        raise
    return True
