"""The package's functions: what a program may ask about the account and the region."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.machine.aws_api import Aws
from sandbox.providers.protocol import PluginError, Properties

Function = Callable[[Aws, Properties], Properties]


def _no_arguments(token: str, args: Properties) -> None:
    for key in args:
        raise PluginError(f"{token} has no argument {key} in the sandbox")


def _addon_version(aws: Aws, args: Properties) -> Properties:
    name, kubernetes = args.pop("addonName"), args.pop("kubernetesVersion")
    most_recent = args.pop("mostRecent", None)
    _no_arguments("getAddonVersion", args)
    answer = aws.client("eks").describe_addon_versions(
        addonName=name, kubernetesVersion=kubernetes
    )["addons"]
    for version in (version for addon in answer for version in addon["addonVersions"]):
        if most_recent or any(fit["defaultVersion"] for fit in version["compatibilities"]):
            return {
                "addonName": name,
                "id": name,
                "kubernetesVersion": kubernetes,
                "mostRecent": most_recent,
                "region": aws.region,
                "version": version["addonVersion"],
            }
    raise PluginError(f"reading EKS Add-On version info ({name}, {kubernetes}): empty result")


def _availability_zones(aws: Aws, args: Properties) -> Properties:
    state = args.pop("state", None)
    excluded = args.pop("excludeZoneIds", [])
    filters = args.pop("filters", [])
    _no_arguments("getAvailabilityZones", args)
    answer = aws.client("ec2").describe_availability_zones(
        Filters=[{"Name": one["name"], "Values": one["values"]} for one in filters]
    )["AvailabilityZones"]
    zones = [
        one for one in answer if state in {None, one["State"]} and one["ZoneId"] not in excluded
    ]
    zones.sort(key=lambda one: str(one["ZoneName"]))
    return {
        "id": aws.region,
        "groupNames": [aws.region],
        "names": [one["ZoneName"] for one in zones],
        "region": aws.region,
        "state": state,
        "zoneIds": [one["ZoneId"] for one in zones],
    }


def _caller_identity(aws: Aws, args: Properties) -> Properties:
    _no_arguments("getCallerIdentity", args)
    caller = aws.caller
    return {
        "accountId": caller["Account"],
        "arn": caller["Arn"],
        "id": caller["Account"],
        "userId": caller["UserId"],
    }


def _image(aws: Aws, args: Properties) -> Properties:
    repository, tag = args.pop("repositoryName"), args.pop("imageTag")
    _no_arguments("getImage", args)
    found = aws.client("ecr").describe_images(
        repositoryName=repository, imageIds=[{"imageTag": tag}]
    )["imageDetails"][0]
    digest, registry = found["imageDigest"], found["registryId"]
    return {
        "id": digest,
        "imageDigest": digest,
        "imagePushedAt": int(found["imagePushedAt"].timestamp()),
        "imageSizeInBytes": found["imageSizeInBytes"],
        "imageTag": tag,
        "imageTags": found["imageTags"],
        "imageUri": f"{registry}.dkr.ecr.{aws.region}.amazonaws.com/{repository}@{digest}",
        "region": aws.region,
        "registryId": registry,
        "repositoryName": repository,
    }


def _partition(aws: Aws, args: Properties) -> Properties:
    _no_arguments("getPartition", args)
    china = aws.partition == "aws-cn"
    return {
        "dnsSuffix": "amazonaws.com.cn" if china else "amazonaws.com",
        "id": aws.partition,
        "partition": aws.partition,
        "reverseDnsPrefix": "cn.com.amazonaws" if china else "com.amazonaws",
    }


def _region(aws: Aws, args: Properties) -> Properties:
    _no_arguments("getRegion", args)
    return {
        "description": aws.region,
        "endpoint": f"ec2.{aws.region}.amazonaws.com",
        "id": aws.region,
        "name": aws.region,
        "region": aws.region,
    }


def _vpc_endpoint_service(aws: Aws, args: Properties) -> Properties:
    name, kind = args.pop("serviceName"), args.pop("serviceType", None)
    _no_arguments("getVpcEndpointService", args)
    answer = aws.client("ec2").describe_vpc_endpoint_services(ServiceNames=[name])
    for one in answer["ServiceDetails"]:
        if kind in {None, *(each["ServiceType"] for each in one["ServiceType"])}:
            return {
                "availabilityZones": sorted(one["AvailabilityZones"]),
                "id": one["ServiceId"],
                "region": aws.region,
                "serviceId": one["ServiceId"],
                "serviceName": name,
                "serviceType": kind or one["ServiceType"][0]["ServiceType"],
                "vpcEndpointPolicySupported": one["VpcEndpointPolicySupported"],
            }
    raise PluginError(f"no matching EC2 VPC Endpoint Service found: {name}")


FUNCTIONS: dict[str, Function] = {
    "aws:ecr/getImage:getImage": _image,
    "aws:eks/getAddonVersion:getAddonVersion": _addon_version,
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": _vpc_endpoint_service,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getRegion:getRegion": _region,
}
