"""What can be reached from a subnet: the internet by its routes, services of AWS by endpoints."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sandbox.machine.aws_api import Client

Json: TypeAlias = Any

_ANYWHERE: Final = "0.0.0.0/0"
_HTTPS: Final = 443


@dataclass(frozen=True)
class WaysOut:
    """Where an address of a subnet that is not a public one can go."""

    internet: bool
    services: frozenset[str]
    """The services of AWS that an endpoint leads to, by short name, such as `ecr.api`."""

    def lead_to(self, *services: str) -> bool:
        """Tell whether they lead to all of these services of AWS in the region."""
        return self.internet or self.services.issuperset(services)


def of_subnet(ec2: Client, subnet_id: str) -> WaysOut:
    """Return the ways out of a subnet, as they are now."""
    subnet = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]
    table = _route_table(ec2, subnet)
    internet = any(_leads_to_internet(ec2, route, subnet) for route in table["Routes"])
    return WaysOut(internet, frozenset(_endpoints(ec2, subnet, table["RouteTableId"])))


def _route_table(ec2: Client, subnet: Json) -> Json:
    """Return the route table of a subnet (or what is in one): its own, or else the main one."""
    for name, value in (
        ("association.subnet-id", subnet["SubnetId"]),
        ("vpc-id", subnet["VpcId"]),
    ):
        found = ec2.describe_route_tables(Filters=[{"Name": name, "Values": [value]}])
        for table in found["RouteTables"]:
            main = any(one.get("Main") for one in table["Associations"])
            if main or name == "association.subnet-id":
                return table
    raise LookupError(f"the VPC of {subnet['SubnetId']} has no main route table")


def _leads_to_internet(ec2: Client, route: Json, subnet: Json) -> bool:
    if _is_to_internet_gateway(route):
        return bool(subnet["MapPublicIpOnLaunch"])
    if not _is_default(route):
        return False
    if gateway_id := route.get("NatGatewayId"):
        gateways = ec2.describe_nat_gateways(NatGatewayIds=[gateway_id])["NatGateways"]
        return any(
            gateway["State"] == "available"
            and gateway.get("ConnectivityType") != "private"
            and any(map(_is_to_internet_gateway, _route_table(ec2, gateway)["Routes"]))
            for gateway in gateways
        )
    # What is behind these, nobody knows here.
    return any(key in route for key in ("NetworkInterfaceId", "TransitGatewayId"))


def _is_default(route: Json) -> bool:
    to = str(route.get("DestinationCidrBlock", ""))
    return to == _ANYWHERE and str(route.get("State", "")) != "blackhole"


def _is_to_internet_gateway(route: Json) -> bool:
    return _is_default(route) and str(route.get("GatewayId", "")).startswith("igw-")


def _endpoints(ec2: Client, subnet: Json, table_id: str) -> Iterator[str]:
    in_vpc = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    for endpoint in ec2.describe_vpc_endpoints(Filters=in_vpc)["VpcEndpoints"]:
        service = endpoint["ServiceName"].split(".", 3)[3]
        if endpoint["State"] != "available":
            continue
        if endpoint["VpcEndpointType"] == "Gateway":
            if table_id in endpoint["RouteTableIds"]:
                yield service
        elif endpoint.get("PrivateDnsEnabled"):
            group_ids = [group["GroupId"] for group in endpoint["Groups"]]
            groups = ec2.describe_security_groups(GroupIds=group_ids)["SecurityGroups"]
            if any(_lets_in(rule, subnet) for group in groups for rule in group["IpPermissions"]):
                yield service


def _lets_in(rule: Json, subnet: Json) -> bool:
    """Tell whether a rule lets HTTPS from the subnet in; one that names a group may do so."""
    if rule["IpProtocol"] not in {"-1", "tcp"}:
        return False
    if rule["IpProtocol"] == "tcp" and not rule["FromPort"] <= _HTTPS <= rule["ToPort"]:
        return False
    own = ipaddress.IPv4Network(subnet["CidrBlock"])
    return bool(rule["UserIdGroupPairs"]) or any(
        own.subnet_of(ipaddress.IPv4Network(one["CidrIp"])) for one in rule["IpRanges"]
    )
