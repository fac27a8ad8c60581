"""What MWAA refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.cloud.aws.refusals.keys import require_usable
from sandbox.cloud.aws.refusals.roles import require_role
from sandbox.machine.aws_api import Answer, Aws, error_code, find

# Files that an environment reads at a fixed version.
_VERSIONED: Final = (
    ("PluginsS3Path", "PluginsS3ObjectVersion"),
    ("RequirementsS3Path", "RequirementsS3ObjectVersion"),
    ("StartupScriptS3Path", "StartupScriptS3ObjectVersion"),
)


@refuses("mwaa", "CreateEnvironment")
def _environment(aws: Aws, told: Told) -> None:
    _require_subnets(aws, told["NetworkConfiguration"]["SubnetIds"])
    _require_preconditions(aws, told)


@refuses("mwaa", "UpdateEnvironment")
def _changed_environment(aws: Aws, told: Told) -> None:
    answer = find(aws.client("mwaa").get_environment, Name=told["Name"])
    if answer is None:
        return
    before = answer["Environment"]
    for path, _ in _VERSIONED:
        if before.get(path) and told.get(path) == "":
            # "Deleting files on Amazon S3", Amazon MWAA user guide.
            problem = f"{path} cannot be taken away: point to an empty file instead"
            raise RefusedError("ValidationException", problem)
    _require_preconditions(aws, {**before, **told})
    if key := before.get("KmsKey"):  # which no update can change
        require_usable(aws, key)


def _require_preconditions(aws: Aws, told: Told) -> None:
    for problem in (
        *_group_problems(aws, told["NetworkConfiguration"]["SecurityGroupIds"]),
        *_bucket_problems(aws, told),
        *_key_problems(told.get("KmsKey")),
    ):
        raise RefusedError("ValidationException", problem)
    services = ("airflow.amazonaws.com", "airflow-env.amazonaws.com")
    require_role(aws, told["ExecutionRoleArn"], *services, code="ValidationException")


def _require_subnets(aws: Aws, subnet_ids: list[str]) -> None:
    for problem in _subnet_problems(aws.client("ec2"), subnet_ids):
        raise RefusedError("ValidationException", problem)


def _subnet_problems(ec2: Answer, subnet_ids: list[str]) -> Iterator[str]:
    if len(set(subnet_ids)) != 2:
        yield f"Exactly two subnets must be given, got {len(set(subnet_ids))}: {subnet_ids}"
    subnets = ec2.describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    if len({subnet["AvailabilityZone"] for subnet in subnets}) < len(subnets):
        yield f"Subnets must be in different availability zones: {subnet_ids}"
    for subnet in subnets:
        if _has_internet_gateway(ec2, subnet):
            yield f"Subnet {subnet['SubnetId']} is not private: it has an internet gateway"


def _group_problems(aws: Aws, group_ids: list[str]) -> Iterator[str]:
    groups = aws.client("ec2").describe_security_groups(GroupIds=group_ids)["SecurityGroups"]
    if not any(_refers_to_itself(group) for group in groups):
        names = ", ".join(group_ids)
        yield f"No security group has an ingress rule that refers to the group itself: {names}"


def _bucket_problems(aws: Aws, told: Told) -> Iterator[str]:
    s3, bucket = aws.client("s3"), told["SourceBucketArn"].rpartition(":")[2]
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
        if not told.get(path):
            continue
        if not told.get(version):
            yield f"{version} must be given together with {path}"
        elif not _object_exists(
            s3, {"Bucket": bucket, "Key": told[path], "VersionId": told[version]}
        ):
            yield f"s3://{bucket}/{told[path]} has no version {told[version]}"


def _key_problems(key: str | None) -> Iterator[str]:
    if key and (key.startswith("alias/") or ":alias/" in key):
        yield f"kmsKey must be the ARN or id of a key, not an alias: {key}"


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


def _object_exists(s3: Answer, where: Mapping[str, str]) -> bool:
    try:
        s3.head_object(**where)
    except Exception as error:
        # A version id of a wrong form is a bad request.
        if error_code(error) in {"400", "404", "NoSuchKey", "NoSuchVersion", "InvalidArgument"}:
            return False
        raise
    return True
