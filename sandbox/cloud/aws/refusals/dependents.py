"""Who still uses a part of the network: what makes AWS refuse to delete it."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.machine.aws_api import Answer, Aws


def _joined(users: Iterator[str]) -> str:
    return ", ".join(sorted(set(users)))


def _nat_gateways(aws: Aws) -> list[Answer]:
    gateways: list[Answer] = aws.client("ec2").describe_nat_gateways()["NatGateways"]
    return [one for one in gateways if one["State"] not in {"deleted", "deleting"}]


def _endpoints(aws: Aws) -> list[Answer]:
    endpoints: list[Answer] = aws.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    return [one for one in endpoints if one["State"].lower() not in {"deleted", "deleting"}]


def _clusters(aws: Aws) -> Iterator[Answer]:
    eks = aws.client("eks")
    for name in eks.list_clusters()["clusters"]:
        yield eks.describe_cluster(name=name)["cluster"]


def _node_groups(aws: Aws) -> Iterator[Answer]:
    eks = aws.client("eks")
    for cluster in eks.list_clusters()["clusters"]:
        for name in eks.list_nodegroups(clusterName=cluster)["nodegroups"]:
            answer = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)
            yield answer["nodegroup"]


def _environments(aws: Aws) -> Iterator[Answer]:
    mwaa = aws.client("mwaa")
    for name in mwaa.list_environments()["Environments"]:
        yield mwaa.get_environment(Name=name)["Environment"]


def _interfaces(aws: Aws, name: str, value: str) -> Iterator[str]:
    """Those of instances and of what others made; a NAT gateway goes with its own."""
    ec2 = aws.client("ec2")
    chosen = [{"Name": name, "Values": [value]}]
    own = {
        address.get("NetworkInterfaceId")
        for gateway in ec2.describe_nat_gateways()["NatGateways"]
        for address in gateway.get("NatGatewayAddresses", [])
    }
    for interface in ec2.describe_network_interfaces(Filters=chosen)["NetworkInterfaces"]:
        if interface["NetworkInterfaceId"] not in own:
            yield interface["NetworkInterfaceId"]


def of_vpc(aws: Aws, vpc_id: str) -> str:
    """Name what is in a VPC besides what AWS makes and deletes with it."""
    return _joined(_of_vpc(aws, vpc_id))


def _of_vpc(aws: Aws, vpc_id: str) -> Iterator[str]:
    ec2 = aws.client("ec2")
    inside = [{"Name": "vpc-id", "Values": [vpc_id]}]
    for subnet in ec2.describe_subnets(Filters=inside)["Subnets"]:
        yield subnet["SubnetId"]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc_id]}]
    for gateway in ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
        yield gateway["InternetGatewayId"]
    for group in ec2.describe_security_groups(Filters=inside)["SecurityGroups"]:
        if group["GroupName"] != "default":
            yield group["GroupId"]
    for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]:
        if not any(one.get("Main") for one in table["Associations"]):
            yield table["RouteTableId"]
    for acl in ec2.describe_network_acls(Filters=inside)["NetworkAcls"]:
        if not acl["IsDefault"]:
            yield acl["NetworkAclId"]
    for one in (*_nat_gateways(aws), *_endpoints(aws)):
        if one["VpcId"] == vpc_id:
            yield one.get("NatGatewayId") or one["VpcEndpointId"]


def of_subnet(aws: Aws, subnet_id: str) -> str:
    """Name what has network interfaces in a subnet."""
    return _joined(_of_subnet(aws, subnet_id))


def _of_subnet(aws: Aws, subnet_id: str) -> Iterator[str]:
    yield from _interfaces(aws, "subnet-id", subnet_id)
    for gateway in _nat_gateways(aws):
        if gateway["SubnetId"] == subnet_id:
            yield gateway["NatGatewayId"]
    for endpoint in _endpoints(aws):
        if subnet_id in endpoint.get("SubnetIds", []):
            yield endpoint["VpcEndpointId"]
    for cluster in _clusters(aws):
        if subnet_id in cluster["resourcesVpcConfig"]["subnetIds"]:
            yield f"EKS cluster {cluster['name']}"
    for group in _node_groups(aws):
        if subnet_id in group["subnets"]:
            yield f"node group {group['nodegroupName']}"
    for environment in _environments(aws):
        if subnet_id in environment["NetworkConfiguration"]["SubnetIds"]:
            yield f"MWAA environment {environment['Name']}"


def of_security_group(aws: Aws, group_id: str) -> str:
    """Name what has network interfaces with a group, and the groups whose rules name it."""
    return _joined(_of_security_group(aws, group_id))


def _of_security_group(aws: Aws, group_id: str) -> Iterator[str]:
    yield from _interfaces(aws, "group-id", group_id)
    for endpoint in _endpoints(aws):
        if group_id in [group["GroupId"] for group in endpoint.get("Groups", [])]:
            yield endpoint["VpcEndpointId"]
    for cluster in _clusters(aws):
        network = cluster["resourcesVpcConfig"]
        if group_id in {*network["securityGroupIds"], network.get("clusterSecurityGroupId")}:
            yield f"EKS cluster {cluster['name']}"
    for environment in _environments(aws):
        if group_id in environment["NetworkConfiguration"]["SecurityGroupIds"]:
            yield f"MWAA environment {environment['Name']}"
    rules = aws.client("ec2").describe_security_group_rules()["SecurityGroupRules"]
    for rule in rules:
        peer = rule.get("ReferencedGroupInfo", {}).get("GroupId")
        if peer == group_id and rule["GroupId"] != group_id:
            yield f"rule {rule['SecurityGroupRuleId']} of {rule['GroupId']}"


def of_address(aws: Aws, allocation_id: str) -> str:
    """Name the NAT gateway that has an elastic address."""
    return _joined(
        gateway["NatGatewayId"]
        for gateway in _nat_gateways(aws)
        for address in gateway.get("NatGatewayAddresses", [])
        if address.get("AllocationId") == allocation_id
    )


def public_addresses_of_vpc(aws: Aws, vpc_id: str) -> str:
    """Name the NAT gateways that give public addresses to a VPC."""
    return _joined(
        gateway["NatGatewayId"]
        for gateway in _nat_gateways(aws)
        if gateway["VpcId"] == vpc_id and gateway.get("ConnectivityType", "public") == "public"
    )
