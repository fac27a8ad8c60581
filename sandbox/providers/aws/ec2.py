"""The network: VPC, subnets, gateways, routes, endpoints, security groups, launch templates."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import ClassVar

from sandbox.machine.aws_api import Answer, find
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    LOCAL,
    OFF,
    ON,
    REPLACES,
    REQUIRED,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    same,
    shape,
)
from sandbox.providers.aws.tags import Tag, tag_changes, tag_list, tag_map
from sandbox.providers.protocol import UNKNOWN, Failure, PluginError, Properties, Value


class Ec2Type(ResourceType):
    """A resource of EC2, tagged as all of them are."""

    service = "ec2"
    kind: ClassVar[str]

    def tag_specifications(self, inputs: Properties) -> list[dict[str, str | list[Tag]]]:
        tags = tag_list(inputs.get("tagsAll", {}))
        return [{"ResourceType": self.kind, "Tags": tags}] if tags else []

    def retag(self, resource_id: str, old: Properties, new: Properties) -> None:
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.delete_tags(Resources=[resource_id], Tags=[{"Key": key} for key in removed])
        if wanted:
            self.api.create_tags(Resources=[resource_id], Tags=tag_list(wanted))

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self.retag(resource_id, old, new)

    def one(self, operation: str, key: str, **arguments: Value) -> Answer | None:
        """Return the only item of a describe call, or None."""
        answer = find(getattr(self.api, operation), **arguments)
        items = answer[key] if answer else []
        return items[0] if items else None

    def arn(self, resource_id: str) -> str:
        return self.aws.arn("ec2", f"{self.kind}/{resource_id}")


def _filters(**values: str) -> list[dict[str, str | list[str]]]:
    return [{"Name": key.replace("_", "-"), "Values": [value]} for key, value in values.items()]


class Vpc(Ec2Type):
    pulumi_type = "aws:ec2/vpc:Vpc"
    kind = "vpc"
    inputs: ClassVar = {
        "cidrBlock": KEY,
        "enableDnsHostnames": CHOSEN,
        "enableDnsSupport": ON,
        "instanceTenancy": Input(default="default", replaces=True),
        "tags": UPDATES,
    }
    api_inputs = ("CreateVpc", "ModifyVpcAttribute", "CreateTags")
    members: ClassVar = {
        "enableDnsHostnames": "EnableDnsHostnames.Value",
        "enableDnsSupport": "EnableDnsSupport.Value",
    }
    outputs = (
        "arn",
        "defaultNetworkAclId",
        "defaultRouteTableId",
        "defaultSecurityGroupId",
        "dhcpOptionsId",
        "mainRouteTableId",
        "ownerId",
    )

    def create(self, inputs: Properties) -> str:
        answer = self.api.create_vpc(
            CidrBlock=inputs["cidrBlock"],
            InstanceTenancy=inputs.get("instanceTenancy", "default"),
            TagSpecifications=self.tag_specifications(inputs),
        )
        return str(answer["Vpc"]["VpcId"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._set_attributes(resource_id, inputs)

    def _set_attributes(self, resource_id: str, inputs: Properties) -> None:
        support = inputs.get("enableDnsSupport", True)
        self.api.modify_vpc_attribute(VpcId=resource_id, EnableDnsSupport={"Value": support})
        if "enableDnsHostnames" in inputs:
            hostnames = {"Value": inputs["enableDnsHostnames"]}
            self.api.modify_vpc_attribute(VpcId=resource_id, EnableDnsHostnames=hostnames)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._set_attributes(resource_id, new)
        self.retag(resource_id, old, new)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        vpc = self.one("describe_vpcs", "Vpcs", VpcIds=[resource_id])
        if vpc is None:
            return None
        hers = {"vpc_id": resource_id}
        group = self.one(
            "describe_security_groups",
            "SecurityGroups",
            Filters=_filters(group_name="default", **hers),
        )
        acl = self.one(
            "describe_network_acls", "NetworkAcls", Filters=_filters(default="true", **hers)
        )
        main = [{"Name": "association.main", "Values": ["true"]}, *_filters(**hers)]
        table = self.one("describe_route_tables", "RouteTables", Filters=main)
        return {
            "arn": self.arn(resource_id),
            "cidrBlock": vpc["CidrBlock"],
            "enableDnsHostnames": self._attribute(resource_id, "enableDnsHostnames"),
            "enableDnsSupport": self._attribute(resource_id, "enableDnsSupport"),
            "instanceTenancy": vpc["InstanceTenancy"],
            "defaultNetworkAclId": acl and acl["NetworkAclId"],
            "defaultRouteTableId": table and table["RouteTableId"],
            "defaultSecurityGroupId": group and group["GroupId"],
            "dhcpOptionsId": vpc["DhcpOptionsId"],
            "mainRouteTableId": table and table["RouteTableId"],
            "ownerId": vpc["OwnerId"],
            "tagsAll": tag_map(vpc.get("Tags")),
        }

    def _attribute(self, resource_id: str, name: str) -> Value:
        answer = self.api.describe_vpc_attribute(VpcId=resource_id, Attribute=name)
        return answer[name[0].upper() + name[1:]]["Value"]

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_vpc(VpcId=resource_id)


class Subnet(Ec2Type):
    pulumi_type = "aws:ec2/subnet:Subnet"
    kind = "subnet"
    inputs: ClassVar = {
        "vpcId": KEY,
        "cidrBlock": KEY,
        "availabilityZone": Input(replaces=True, computed=True),
        "mapPublicIpOnLaunch": OFF,
        "tags": UPDATES,
    }
    api_inputs = ("CreateSubnet", "ModifySubnetAttribute", "CreateTags")
    members: ClassVar = {"mapPublicIpOnLaunch": "MapPublicIpOnLaunch.Value"}
    outputs = ("arn", "availabilityZoneId", "ownerId")

    def create(self, inputs: Properties) -> str:
        zone = inputs.get("availabilityZone")
        answer = self.api.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            **({"AvailabilityZone": zone} if zone else {}),
            TagSpecifications=self.tag_specifications(inputs),
        )
        return str(answer["Subnet"]["SubnetId"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        if inputs.get("mapPublicIpOnLaunch"):
            self._map_public_ip(resource_id, enabled=True)

    def _map_public_ip(self, resource_id: str, *, enabled: bool) -> None:
        self.api.modify_subnet_attribute(
            SubnetId=resource_id, MapPublicIpOnLaunch={"Value": enabled}
        )

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._map_public_ip(resource_id, enabled=new.get("mapPublicIpOnLaunch", False))
        self.retag(resource_id, old, new)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        subnet = self.one("describe_subnets", "Subnets", SubnetIds=[resource_id])
        if subnet is None:
            return None
        return {
            "arn": self.arn(resource_id),
            "vpcId": subnet["VpcId"],
            "cidrBlock": subnet["CidrBlock"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet["AvailabilityZoneId"],
            "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
            "ownerId": subnet["OwnerId"],
            "tagsAll": tag_map(subnet.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_subnet(SubnetId=resource_id)


class InternetGateway(Ec2Type):
    pulumi_type = "aws:ec2/internetGateway:InternetGateway"
    kind = "internet-gateway"
    inputs: ClassVar = {"vpcId": CHOSEN, "tags": UPDATES}
    api_inputs = ("AttachInternetGateway", "CreateTags")
    outputs = ("arn", "ownerId")

    def create(self, inputs: Properties) -> str:
        answer = self.api.create_internet_gateway(TagSpecifications=self.tag_specifications(inputs))
        return str(answer["InternetGateway"]["InternetGatewayId"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._attach(resource_id, inputs.get("vpcId"))

    def _attach(self, resource_id: str, vpc_id: str | None) -> None:
        if vpc_id:
            self.api.attach_internet_gateway(InternetGatewayId=resource_id, VpcId=vpc_id)

    def _detach(self, resource_id: str, vpc_id: str | None) -> None:
        if vpc_id:
            self.api.detach_internet_gateway(InternetGatewayId=resource_id, VpcId=vpc_id)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        attached = (self.read(resource_id, old) or {}).get("vpcId")
        if attached != new.get("vpcId"):
            self._detach(resource_id, attached)
            self._attach(resource_id, new.get("vpcId"))
        self.retag(resource_id, old, new)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        gateway = self.one(
            "describe_internet_gateways", "InternetGateways", InternetGatewayIds=[resource_id]
        )
        if gateway is None:
            return None
        attachments = gateway["Attachments"]
        return {
            "arn": self.arn(resource_id),
            "ownerId": gateway.get("OwnerId", self.aws.account),
            "vpcId": attachments[0]["VpcId"] if attachments else None,
            "tagsAll": tag_map(gateway.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        found = self.read(resource_id, inputs) or {}
        self._detach(resource_id, found.get("vpcId"))
        self.api.delete_internet_gateway(InternetGatewayId=resource_id)


class Eip(Ec2Type):
    pulumi_type = "aws:ec2/eip:Eip"
    kind = "elastic-ip"
    inputs: ClassVar = {
        "domain": Input(replaces=True, computed=True, allowed=("vpc",)),
        "tags": UPDATES,
    }
    api_inputs = ("AllocateAddress", "CreateTags")
    outputs = (
        "allocationId",
        "arn",
        "associationId",
        "networkInterface",
        "privateIp",
        "publicDns",
        "publicIp",
    )

    def create(self, inputs: Properties) -> str:
        answer = self.api.allocate_address(
            Domain="vpc", TagSpecifications=self.tag_specifications(inputs)
        )
        return str(answer["AllocationId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        address = self.one("describe_addresses", "Addresses", AllocationIds=[resource_id])
        if address is None:
            return None
        host = address["PublicIp"].replace(".", "-")
        return {
            "allocationId": resource_id,
            "arn": self.arn(resource_id),
            "associationId": address.get("AssociationId") or "",
            "domain": address["Domain"],
            "networkInterface": address.get("NetworkInterfaceId") or "",
            "privateIp": address.get("PrivateIpAddress"),
            "publicDns": f"ec2-{host}.{self.aws.region}.compute.amazonaws.com",
            "publicIp": address["PublicIp"],
            "tagsAll": tag_map(address.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.release_address(AllocationId=resource_id)


class NatGateway(Ec2Type):
    pulumi_type = "aws:ec2/natGateway:NatGateway"
    kind = "natgateway"
    inputs: ClassVar = {
        "allocationId": REPLACES,
        "connectivityType": Input(default="public", replaces=True),
        "subnetId": KEY,
        "tags": UPDATES,
    }
    api_inputs = ("CreateNatGateway", "CreateTags")
    outputs = ("associationId", "networkInterfaceId", "privateIp", "publicIp", "vpcId")

    def create(self, inputs: Properties) -> str:
        allocation = inputs.get("allocationId")
        public = inputs.get("connectivityType", "public") == "public"
        answer = self.api.create_nat_gateway(
            SubnetId=inputs["subnetId"],
            ConnectivityType="public" if public else "private",
            **({"AllocationId": allocation} if allocation else {}),
            TagSpecifications=self.tag_specifications(inputs),
        )
        return str(answer["NatGateway"]["NatGatewayId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        gateway = self.one("describe_nat_gateways", "NatGateways", NatGatewayIds=[resource_id])
        if gateway is None or gateway["State"] in {"deleted", "deleting"}:
            return None
        address = (gateway.get("NatGatewayAddresses") or [{}])[0]
        return {
            "allocationId": address.get("AllocationId"),
            "associationId": address.get("AssociationId"),
            "connectivityType": gateway.get("ConnectivityType", "public"),
            "networkInterfaceId": address.get("NetworkInterfaceId"),
            "privateIp": address.get("PrivateIp"),
            "publicIp": address.get("PublicIp"),
            "subnetId": gateway["SubnetId"],
            "vpcId": gateway["VpcId"],
            "tagsAll": tag_map(gateway.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_nat_gateway(NatGatewayId=resource_id)
        wait_for(lambda: self.read(resource_id, inputs) is None, f"{resource_id} to go")


class RouteTable(Ec2Type):
    pulumi_type = "aws:ec2/routeTable:RouteTable"
    kind = "route-table"
    inputs: ClassVar = {"vpcId": KEY, "tags": UPDATES}
    api_inputs = ("CreateRouteTable", "CreateTags")
    outputs = ("arn", "ownerId")

    def create(self, inputs: Properties) -> str:
        answer = self.api.create_route_table(
            VpcId=inputs["vpcId"], TagSpecifications=self.tag_specifications(inputs)
        )
        return str(answer["RouteTable"]["RouteTableId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        table = self.one("describe_route_tables", "RouteTables", RouteTableIds=[resource_id])
        if table is None:
            return None
        return {
            "arn": self.arn(resource_id),
            "ownerId": table.get("OwnerId", self.aws.account),
            "vpcId": table["VpcId"],
            "tagsAll": tag_map(table.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_route_table(RouteTableId=resource_id)


_ROUTE_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
}


class Route(Ec2Type):
    pulumi_type = "aws:ec2/route:Route"
    inputs: ClassVar = {
        "routeTableId": KEY,
        "destinationCidrBlock": KEY,
        **dict.fromkeys(_ROUTE_TARGETS, UPDATES),
        "networkInterfaceId": CHOSEN,
    }
    api_inputs = ("CreateRoute",)
    outputs = ("instanceId", "instanceOwnerId", "origin", "state")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        given = [key for key in _ROUTE_TARGETS if key in inputs]
        if len(given) != 1:
            yield Failure("", f"one of {', '.join(_ROUTE_TARGETS)} must be specified, got {given}")

    def imported(self, given: str) -> tuple[str, Properties]:
        table_id, _, destination = given.partition("_")
        if not table_id or not destination:
            raise PluginError(
                f'unexpected format of ID ("{given}"), expected ROUTETABLEID_DESTINATION'
            )
        inputs = {"routeTableId": table_id, "destinationCidrBlock": destination}
        return _route_id(inputs), inputs

    def _arguments(self, inputs: Properties) -> dict[str, str]:
        targets = {_ROUTE_TARGETS[key]: inputs[key] for key in _ROUTE_TARGETS if key in inputs}
        return {
            "RouteTableId": inputs["routeTableId"],
            "DestinationCidrBlock": inputs["destinationCidrBlock"],
            **targets,
        }

    def create(self, inputs: Properties) -> str:
        self.api.create_route(**self._arguments(inputs))
        return _route_id(inputs)

    def _find(self, table_id: str, destination: str) -> Answer | None:
        table = self.one("describe_route_tables", "RouteTables", RouteTableIds=[table_id])
        routes = table["Routes"] if table else []
        return next((r for r in routes if r.get("DestinationCidrBlock") == destination), None)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        route = self._find(inputs["routeTableId"], inputs["destinationCidrBlock"])
        if route is None:
            return None
        return {
            "routeTableId": inputs["routeTableId"],
            "destinationCidrBlock": route["DestinationCidrBlock"],
            **{key: route.get(name) for key, name in _ROUTE_TARGETS.items()},
            "instanceId": route.get("InstanceId", ""),
            "instanceOwnerId": route.get("InstanceOwnerId", ""),
            "origin": route.get("Origin", "CreateRoute"),
            "state": route.get("State", "active"),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self.api.replace_route(**self._arguments(new))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_route(
            RouteTableId=inputs["routeTableId"],
            DestinationCidrBlock=inputs["destinationCidrBlock"],
        )


def _route_id(inputs: Properties) -> str:
    destination = zlib.crc32(inputs["destinationCidrBlock"].encode())
    return f"r-{inputs['routeTableId']}{destination}"


class RouteTableAssociation(Ec2Type):
    pulumi_type = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    inputs: ClassVar = {"routeTableId": REQUIRED, "subnetId": KEY}
    api_inputs = ("AssociateRouteTable",)

    def imported(self, given: str) -> tuple[str, Properties]:
        subnet_id, _, table_id = given.partition("/")
        if not table_id:
            raise PluginError(
                f"Unexpected format for import: {given}. Use 'subnet ID/route table ID' or "
                "'gateway ID/route table ID"
            )
        found = self._of(subnet_id)
        if found is None or found["RouteTableId"] != table_id:
            raise PluginError(
                f"No association found between route table ID {table_id} and target ID {subnet_id}"
            )
        return str(found["RouteTableAssociationId"]), {"subnetId": subnet_id}

    def create(self, inputs: Properties) -> str:
        answer = self.api.associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )
        return str(answer["AssociationId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        # Another table is another association to AWS, with an id that Pulumi does not get to know.
        found = self._of(inputs["subnetId"])
        if found is None:
            return None
        return {"routeTableId": found["RouteTableId"], "subnetId": found["SubnetId"]}

    def _of(self, subnet_id: str) -> Answer | None:
        filters = [{"Name": "association.subnet-id", "Values": [subnet_id]}]
        table = self.one("describe_route_tables", "RouteTables", Filters=filters)
        associations = table["Associations"] if table else []
        return next((one for one in associations if one.get("SubnetId") == subnet_id), None)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        found = self._of(new["subnetId"])
        if found is None:
            raise PluginError(f"{resource_id} does not exist any more; run `pulumi refresh`")
        self.api.replace_route_table_association(
            AssociationId=found["RouteTableAssociationId"], RouteTableId=new["routeTableId"]
        )

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        found = self._of(inputs["subnetId"])
        if found is not None:
            self.api.disassociate_route_table(AssociationId=found["RouteTableAssociationId"])


class VpcEndpoint(Ec2Type):
    pulumi_type = "aws:ec2/vpcEndpoint:VpcEndpoint"
    kind = "vpc-endpoint"
    inputs: ClassVar = {
        "policy": Input(json=True, computed=True),
        "privateDnsEnabled": Input(computed=True),
        "routeTableIds": CHOSEN,
        "securityGroupIds": CHOSEN,
        "serviceName": KEY,
        "subnetIds": CHOSEN,
        "tags": UPDATES,
        "vpcEndpointType": Input(
            default="Gateway", replaces=True, allowed=("Gateway", "Interface")
        ),
        "vpcId": KEY,
    }
    api_inputs = ("CreateVpcEndpoint", "CreateTags")
    members: ClassVar = {"policy": "PolicyDocument"}
    outputs = (
        "arn",
        "cidrBlocks",
        "dnsEntries",
        "networkInterfaceIds",
        "ownerId",
        "prefixListId",
        "requesterManaged",
        "state",
    )
    _lists: ClassVar = {
        "routeTableIds": ("RouteTableIds", "RouteTableIds"),
        "subnetIds": ("SubnetIds", "SubnetIds"),
        "securityGroupIds": ("SecurityGroupIds", "Groups"),
    }

    def create(self, inputs: Properties) -> str:
        interface = inputs.get("vpcEndpointType") == "Interface"
        given = {name: inputs[key] for key, (name, _) in self._lists.items() if inputs.get(key)}
        if "policy" in inputs:
            given["PolicyDocument"] = inputs["policy"]
        if interface:
            given["PrivateDnsEnabled"] = inputs.get("privateDnsEnabled", False)
        answer = self.api.create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType="Interface" if interface else "Gateway",
            TagSpecifications=self.tag_specifications(inputs),
            **given,
        )
        return str(answer["VpcEndpoint"]["VpcEndpointId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        endpoint = self.one("describe_vpc_endpoints", "VpcEndpoints", VpcEndpointIds=[resource_id])
        if endpoint is None or endpoint["State"].lower() in {"deleted", "deleting"}:
            return None
        service = [{"Name": "prefix-list-name", "Values": [endpoint["ServiceName"]]}]
        prefix_list = self.one("describe_managed_prefix_lists", "PrefixLists", Filters=service)
        groups = [group["GroupId"] for group in endpoint.get("Groups", [])]
        return {
            "arn": self.arn(resource_id),
            "cidrBlocks": [],
            "dnsEntries": [
                {"dnsName": entry.get("DnsName"), "hostedZoneId": entry.get("HostedZoneId")}
                for entry in endpoint.get("DnsEntries", [])
            ],
            "networkInterfaceIds": endpoint.get("NetworkInterfaceIds", []),
            "ownerId": endpoint.get("OwnerId", self.aws.account),
            "policy": endpoint.get("PolicyDocument"),
            "prefixListId": prefix_list and prefix_list["PrefixListId"],
            "privateDnsEnabled": endpoint.get("PrivateDnsEnabled", False),
            "requesterManaged": endpoint.get("RequesterManaged", False),
            "routeTableIds": endpoint.get("RouteTableIds", []),
            "securityGroupIds": groups,
            "serviceName": endpoint["ServiceName"],
            "state": endpoint["State"].lower(),
            "subnetIds": endpoint.get("SubnetIds", []),
            "vpcEndpointType": endpoint["VpcEndpointType"],
            "vpcId": endpoint["VpcId"],
            "tagsAll": tag_map(endpoint.get("Tags")),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        changes: dict[str, Value] = {}
        for key, (name, _) in self._lists.items():
            before, after = set(old.get(key, [])), set(new.get(key, []))
            if key in new and before != after:
                changes[f"Add{name}"] = sorted(after - before)
                changes[f"Remove{name}"] = sorted(before - after)
        if "policy" in new and old.get("policy") != new["policy"]:
            changes["PolicyDocument"] = new["policy"]
        if "privateDnsEnabled" in new and old.get("privateDnsEnabled") != new["privateDnsEnabled"]:
            changes["PrivateDnsEnabled"] = new["privateDnsEnabled"]
        given = {key: value for key, value in changes.items() if value != []}
        if given:
            self.api.modify_vpc_endpoint(VpcEndpointId=resource_id, **given)
        self.retag(resource_id, old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_vpc_endpoints(VpcEndpointIds=[resource_id])
        wait_for(lambda: self.read(resource_id, inputs) is None, f"{resource_id} to go")


_MANAGED = "Managed by Pulumi"


class SecurityGroup(Ec2Type):
    pulumi_type = "aws:ec2/securityGroup:SecurityGroup"
    kind = "security-group"
    auto_name = AutoName(longest=255, by_prefix="namePrefix")
    inputs: ClassVar = {
        "description": Input(default=_MANAGED, replaces=True),
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "revokeRulesOnDelete": LOCAL,
        "tags": UPDATES,
        "vpcId": Input(replaces=True, computed=True),
    }
    api_inputs = ("CreateSecurityGroup", "CreateTags")
    members: ClassVar = {"name": "GroupName", "revokeRulesOnDelete": None}
    outputs = ("arn", "ownerId")

    def create(self, inputs: Properties) -> str:
        vpc = {"VpcId": inputs["vpcId"]} if "vpcId" in inputs else {}
        answer = self.api.create_security_group(
            GroupName=inputs["name"],
            Description=inputs.get("description", _MANAGED),
            TagSpecifications=self.tag_specifications(inputs),
            **vpc,
        )
        return str(answer["GroupId"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        # The provider takes away the rule for all egress that AWS adds.
        _revoke_all(self, resource_id, "egress")

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        group = self.one("describe_security_groups", "SecurityGroups", GroupIds=[resource_id])
        if group is None:
            return None
        return {
            "arn": self.arn(resource_id),
            "description": group["Description"],
            "name": group["GroupName"],
            "ownerId": group["OwnerId"],
            "vpcId": group["VpcId"],
            "tagsAll": tag_map(group.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        if inputs.get("revokeRulesOnDelete"):
            _revoke_all(self, resource_id, "ingress", "egress")
        self.api.delete_security_group(GroupId=resource_id)


def _revoke_all(one: Ec2Type, group_id: str, *directions: str) -> None:
    group = one.api.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
    if group["IpPermissionsEgress"] and "egress" in directions:
        one.api.revoke_security_group_egress(
            GroupId=group_id, IpPermissions=group["IpPermissionsEgress"]
        )
    if group["IpPermissions"] and "ingress" in directions:
        one.api.revoke_security_group_ingress(
            GroupId=group_id, IpPermissions=group["IpPermissions"]
        )


class DefaultSecurityGroup(Ec2Type):
    """The group that comes with a VPC, taken over; here it can only be closed.

    It is closed once; afterwards only an empty list that the program gives is enforced.
    """

    pulumi_type = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
    kind = "security-group"
    inputs: ClassVar = {
        "egress": CHOSEN,
        "ingress": CHOSEN,
        "revokeRulesOnDelete": LOCAL,
        "tags": UPDATES,
        "vpcId": KEY,
    }
    api_inputs = ("CreateSecurityGroup", "CreateTags")
    members: ClassVar = {"egress": None, "ingress": None, "revokeRulesOnDelete": None}
    outputs = ("arn", "description", "name", "ownerId")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        for key in ("ingress", "egress"):
            if inputs.get(key, []) not in (UNKNOWN, []):
                yield Failure(key, "the sandbox knows the default security group without rules")

    def create(self, inputs: Properties) -> str:
        group = self._of(inputs["vpcId"])
        if group is None:
            raise PluginError(f"VPC {inputs['vpcId']} has no default security group")
        return str(group["GroupId"])

    def finish(self, resource_id: str, inputs: Properties) -> None:
        _revoke_all(self, resource_id, "ingress", "egress")
        self.retag(resource_id, {}, inputs)

    def _of(self, vpc_id: str) -> Answer | None:
        filters = _filters(group_name="default", vpc_id=vpc_id)
        return self.one("describe_security_groups", "SecurityGroups", Filters=filters)

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        closed = [direction for direction in ("ingress", "egress") if new.get(direction) == []]
        _revoke_all(self, resource_id, *closed)
        self.retag(resource_id, old, new)

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        group = self.one("describe_security_groups", "SecurityGroups", GroupIds=[resource_id])
        if group is None:
            return None
        return {
            "arn": self.arn(resource_id),
            "description": group["Description"],
            "egress": [_inline_rule(rule) for rule in group["IpPermissionsEgress"]],
            "ingress": [_inline_rule(rule) for rule in group["IpPermissions"]],
            "name": group["GroupName"],
            "ownerId": group["OwnerId"],
            "vpcId": group["VpcId"],
            "tagsAll": tag_map(group.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        """Leave it: AWS deletes the group with its VPC."""


def _inline_rule(permission: Answer) -> Properties:
    return {
        "protocol": permission["IpProtocol"],
        "fromPort": permission.get("FromPort", 0),
        "toPort": permission.get("ToPort", 0),
        "cidrBlocks": [one["CidrIp"] for one in permission.get("IpRanges", [])],
        "securityGroups": [one["GroupId"] for one in permission.get("UserIdGroupPairs", [])],
    }


class SecurityGroupRule(Ec2Type):
    """What rules of both directions share."""

    kind = "security-group-rule"
    egress: ClassVar[bool]
    inputs: ClassVar = {
        "cidrIpv4": UPDATES,
        "description": UPDATES,
        "fromPort": UPDATES,
        "ipProtocol": REQUIRED,
        "prefixListId": UPDATES,
        "referencedSecurityGroupId": UPDATES,
        "securityGroupId": KEY,
        "tags": UPDATES,
        "toPort": UPDATES,
    }
    api_inputs = (
        "ModifySecurityGroupRules.SecurityGroupRules[].SecurityGroupRule",
        "ModifySecurityGroupRules",
        "CreateTags",
    )
    members: ClassVar = {
        "referencedSecurityGroupId": "ReferencedGroupId",
        "securityGroupId": "GroupId",
    }
    outputs = ("arn", "securityGroupRuleId")
    _peers = ("cidrIpv4", "prefixListId", "referencedSecurityGroupId")

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        given = [key for key in self._peers if key in inputs]
        if len(given) != 1:
            yield Failure("", f"exactly one of {', '.join(self._peers)} must be set, got {given}")
        if inputs["ipProtocol"] == "-1" and ("fromPort" in inputs or "toPort" in inputs):
            yield Failure("fromPort", "ports cannot be set for all protocols (-1)")

    def _replaces(self, key: str, old: Properties, new: Properties) -> bool:
        other_kind = key in self._peers and (key in old) != (key in new)
        return other_kind or super()._replaces(key, old, new)

    def create(self, inputs: Properties) -> str:
        permission: dict[str, Value] = {"IpProtocol": inputs["ipProtocol"]}
        for key, name in (("fromPort", "FromPort"), ("toPort", "ToPort")):
            if key in inputs:
                permission[name] = inputs[key]
        note = {"Description": inputs["description"]} if "description" in inputs else {}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **note}]
        elif "prefixListId" in inputs:
            permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **note}]
        else:
            peer = inputs["referencedSecurityGroupId"]
            permission["UserIdGroupPairs"] = [{"GroupId": peer, **note}]
        direction = "egress" if self.egress else "ingress"
        answer = getattr(self.api, f"authorize_security_group_{direction}")(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[permission],
            TagSpecifications=self.tag_specifications(inputs),
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        rule = self.one(
            "describe_security_group_rules",
            "SecurityGroupRules",
            SecurityGroupRuleIds=[resource_id],
        )
        if rule is None:
            return None
        every = rule["IpProtocol"] == "-1"
        return {
            "arn": self.arn(resource_id),
            "cidrIpv4": rule.get("CidrIpv4"),
            "description": rule.get("Description") or self._note_on_peer(rule),
            "fromPort": None if every else rule.get("FromPort"),
            "ipProtocol": rule["IpProtocol"],
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": rule.get("ReferencedGroupInfo", {}).get("GroupId"),
            "securityGroupId": rule["GroupId"],
            "securityGroupRuleId": resource_id,
            "toPort": None if every else rule.get("ToPort"),
            "tagsAll": tag_map(rule.get("Tags")),
        }

    def _note_on_peer(self, rule: Value) -> str | None:
        """The description of a rule about another group, which moto tells with the group only."""
        peer = rule.get("ReferencedGroupInfo", {}).get("GroupId")
        if peer is None:
            return None
        (group,) = self.api.describe_security_groups(GroupIds=[rule["GroupId"]])["SecurityGroups"]
        for permission in group["IpPermissionsEgress" if self.egress else "IpPermissions"]:
            if any(
                permission.get(key, -1) != rule[key] for key in ("IpProtocol", "FromPort", "ToPort")
            ):
                continue
            for pair in permission["UserIdGroupPairs"]:
                if pair["GroupId"] == peer and "Description" in pair:
                    return str(pair["Description"])
        return None

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        names = {
            "cidrIpv4": "CidrIpv4",
            "description": "Description",
            "fromPort": "FromPort",
            "ipProtocol": "IpProtocol",
            "prefixListId": "PrefixListId",
            "referencedSecurityGroupId": "ReferencedGroupId",
            "toPort": "ToPort",
        }
        if any(old.get(key) != new.get(key) for key in names):
            rule = {name: new[key] for key, name in names.items() if key in new}
            if new["ipProtocol"] == "-1":
                rule |= {"FromPort": -1, "ToPort": -1}  # all, which moto wants to hear
            self.api.modify_security_group_rules(
                GroupId=new["securityGroupId"],
                SecurityGroupRules=[
                    {"SecurityGroupRuleId": resource_id, "SecurityGroupRule": rule}
                ],
            )
        self.retag(resource_id, old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        direction = "egress" if self.egress else "ingress"
        getattr(self.api, f"revoke_security_group_{direction}")(
            GroupId=inputs["securityGroupId"], SecurityGroupRuleIds=[resource_id]
        )


class SecurityGroupIngressRule(SecurityGroupRule):
    pulumi_type = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    egress = False


class SecurityGroupEgressRule(SecurityGroupRule):
    pulumi_type = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    egress = True


class FlowLog(Ec2Type):
    pulumi_type = "aws:ec2/flowLog:FlowLog"
    kind = "vpc-flow-log"
    inputs: ClassVar = {
        "iamRoleArn": REPLACES,
        "logDestination": Input(replaces=True, required=True),
        "logDestinationType": Input(
            default="cloud-watch-logs", replaces=True, allowed=("cloud-watch-logs", "s3")
        ),
        "logFormat": Input(replaces=True, computed=True),
        "maxAggregationInterval": Input(default=600, replaces=True, allowed=(60, 600)),
        "tags": UPDATES,
        "trafficType": KEY,
        "vpcId": KEY,
    }
    api_inputs = ("CreateFlowLogs", "CreateTags")
    members: ClassVar = {"iamRoleArn": "DeliverLogsPermissionArn", "vpcId": "ResourceIds[]"}
    outputs = ("arn",)

    def create(self, inputs: Properties) -> str:
        role = {"DeliverLogsPermissionArn": inputs["iamRoleArn"]} if "iamRoleArn" in inputs else {}
        layout = {"LogFormat": inputs["logFormat"]} if "logFormat" in inputs else {}
        answer = self.api.create_flow_logs(
            ResourceIds=[inputs["vpcId"]],
            ResourceType="VPC",
            TrafficType=inputs["trafficType"],
            LogDestinationType=inputs.get("logDestinationType", "cloud-watch-logs"),
            LogDestination=inputs["logDestination"],
            MaxAggregationInterval=inputs.get("maxAggregationInterval", 600),
            TagSpecifications=self.tag_specifications(inputs),
            **role,
            **layout,
        )
        if answer.get("Unsuccessful"):
            error = answer["Unsuccessful"][0]["Error"]
            raise PluginError(f"CreateFlowLogs: api error {error['Code']}: {error['Message']}")
        return str(answer["FlowLogIds"][0])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        log = self.one("describe_flow_logs", "FlowLogs", FlowLogIds=[resource_id])
        if log is None:
            return None
        destination = log.get("LogDestination") or self.aws.arn(
            "logs", f"log-group:{log.get('LogGroupName')}"
        )
        return {
            "arn": self.arn(resource_id),
            "iamRoleArn": log.get("DeliverLogsPermissionArn"),
            "logDestination": destination,
            "logDestinationType": log["LogDestinationType"],
            "logFormat": log.get("LogFormat"),
            "maxAggregationInterval": int(log["MaxAggregationInterval"]),
            "trafficType": log["TrafficType"],
            "vpcId": log["ResourceId"],
            "tagsAll": tag_map(log.get("Tags")),
        }

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_flow_logs(FlowLogIds=[resource_id])


# Pulumi has these as text, because Terraform tells "not given" from "false" with them.
_TEXT_BOOLEANS = frozenset({"deleteOnTermination", "encrypted", "ebsOptimized"})


class LaunchTemplate(Ec2Type):
    pulumi_type = "aws:ec2/launchTemplate:LaunchTemplate"
    kind = "launch-template"
    auto_name = AutoName(longest=128, by_prefix="namePrefix")
    _data: ClassVar = {
        "blockDeviceMappings": Input(
            ordered=True,
            shape=shape(
                "deviceName",
                ebs=shape(
                    "deleteOnTermination",
                    "encrypted",
                    "kmsKeyId",
                    iops=CHOSEN,
                    throughput=CHOSEN,
                    volumeSize=CHOSEN,
                    volumeType=CHOSEN,
                ),
            ),
        ),
        "ebsOptimized": UPDATES,
        "imageId": UPDATES,
        "instanceType": UPDATES,
        "metadataOptions": Input(
            computed=True,
            shape=shape(
                httpEndpoint=CHOSEN,
                httpPutResponseHopLimit=CHOSEN,
                httpTokens=CHOSEN,
                instanceMetadataTags=CHOSEN,
            ),
        ),
        "monitoring": Input(shape=shape("enabled")),
        "tagSpecifications": Input(ordered=True, shape=shape("resourceType", "tags")),
        "userData": UPDATES,
        "vpcSecurityGroupIds": UPDATES,
    }
    inputs: ClassVar = {
        **_data,
        "defaultVersion": CHOSEN,
        "description": UPDATES,
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "tags": UPDATES,
        "updateDefaultVersion": LOCAL,
    }
    api_inputs = ("CreateLaunchTemplate.LaunchTemplateData", "CreateLaunchTemplate", "CreateTags")
    members: ClassVar = {
        "defaultVersion": None,  # a number in Pulumi, text in the API
        "description": "VersionDescription",
        "name": "LaunchTemplateName",
        "updateDefaultVersion": None,
        "vpcSecurityGroupIds": "SecurityGroupIds",
    }
    outputs = ("arn", "latestVersion")

    def _template_data(self, inputs: Properties) -> Value:
        names = {"vpcSecurityGroupIds": "SecurityGroupIds"}
        data = {key: inputs[key] for key in self._data if key in inputs}
        return {names.get(key, _pascal(key)): _to_aws(key, data[key]) for key in data}

    def volatile(self, old: Properties, new: Properties) -> tuple[str, ...]:
        # The provider says so of tags, which make no version, and not of a description, which does.
        if not any(
            not same(old.get(key), new.get(key), self.inputs[key]) for key in (*self._data, "tags")
        ):
            return ()
        return ("latestVersion", *(["defaultVersion"] if new.get("updateDefaultVersion") else []))

    def _data_changed(self, old: Properties, new: Properties) -> bool:
        keys = (*self._data, "description")
        return any(not same(old.get(key), new.get(key), self.inputs[key]) for key in keys)

    def create(self, inputs: Properties) -> str:
        answer = self.api.create_launch_template(
            LaunchTemplateName=inputs["name"],
            LaunchTemplateData=self._template_data(inputs),
            VersionDescription=inputs.get("description", ""),
            TagSpecifications=self.tag_specifications(inputs),
        )
        return str(answer["LaunchTemplate"]["LaunchTemplateId"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        template = self.one(
            "describe_launch_templates", "LaunchTemplates", LaunchTemplateIds=[resource_id]
        )
        if template is None:
            return None
        versions = self.api.describe_launch_template_versions(
            LaunchTemplateId=resource_id, Versions=["$Latest"]
        )
        version = versions["LaunchTemplateVersions"][0]
        names = {"SecurityGroupIds": "vpcSecurityGroupIds"}
        live = {
            names.get(key, _camel(key)): _from_aws(names.get(key, _camel(key)), value)
            for key, value in version["LaunchTemplateData"].items()
        }
        # The emulator puts the template's own tags among those of the instances.
        live["tagSpecifications"] = [
            one for one in live.get("tagSpecifications", []) if one["resourceType"] != self.kind
        ]
        return {
            **{key: live.get(key) for key in self._data},
            "arn": self.arn(resource_id),
            "defaultVersion": template["DefaultVersionNumber"],
            "description": version.get("VersionDescription") or None,
            "latestVersion": template["LatestVersionNumber"],
            "name": template["LaunchTemplateName"],
            # The emulator tells the template's tags as they were at first.
            "tagsAll": tag_map(
                self.api.describe_tags(Filters=_filters(resource_id=resource_id))["Tags"]
            ),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if self._data_changed(old, new):
            answer = self.api.create_launch_template_version(
                LaunchTemplateId=resource_id,
                LaunchTemplateData=self._template_data(new),
                VersionDescription=new.get("description", ""),
            )
            if new.get("updateDefaultVersion"):
                number = answer["LaunchTemplateVersion"]["VersionNumber"]
                self.api.modify_launch_template(
                    LaunchTemplateId=resource_id, DefaultVersion=str(number)
                )
        if "defaultVersion" in new and old.get("defaultVersion") != new["defaultVersion"]:
            self.api.modify_launch_template(
                LaunchTemplateId=resource_id, DefaultVersion=str(new["defaultVersion"])
            )
        self.retag(resource_id, old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_launch_template(LaunchTemplateId=resource_id)


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _to_aws(key: str, value: Value) -> Value:
    if key == "tags":
        return tag_list(value)
    if isinstance(value, dict):
        return {_pascal(name): _to_aws(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_aws("", item) for item in value]
    if key in _TEXT_BOOLEANS:
        return value in {True, "true"}
    return value


def _from_aws(key: str, value: Value) -> Value:
    if key == "tags":
        return tag_map(value)
    if isinstance(value, dict):
        return {_camel(name): _from_aws(_camel(name), item) for name, item in value.items()}
    if isinstance(value, list):
        return [_from_aws("", item) for item in value]
    if key in _TEXT_BOOLEANS and isinstance(value, bool):
        return str(value).lower()
    return value
