"""What EC2 refuses about networks."""

from __future__ import annotations

from sandbox.cloud.aws.refusals import dependents
from sandbox.cloud.aws.refusals.front import RefusedError, Told, refuses
from sandbox.machine.aws_api import Aws


@refuses("ec2", "DeleteVpc")
def _vpc_in_use(aws: Aws, told: Told) -> None:
    if users := dependents.of_vpc(aws, told["VpcId"]):
        message = f"The vpc '{told['VpcId']}' has dependencies and cannot be deleted: {users}"
        raise RefusedError("DependencyViolation", message)


@refuses("ec2", "DeleteSubnet")
def _subnet_in_use(aws: Aws, told: Told) -> None:
    if users := dependents.of_subnet(aws, told["SubnetId"]):
        message = f"The subnet '{told['SubnetId']}' has dependencies and cannot be deleted: {users}"
        raise RefusedError("DependencyViolation", message)


@refuses("ec2", "DeleteSecurityGroup")
def _security_group_in_use(aws: Aws, told: Told) -> None:
    if users := dependents.of_security_group(aws, told["GroupId"]):
        message = f"resource {told['GroupId']} has a dependent object: {users}"
        raise RefusedError("DependencyViolation", message)


@refuses("ec2", "DetachInternetGateway")
def _public_addresses_mapped(aws: Aws, told: Told) -> None:
    if mapped := dependents.public_addresses_of_vpc(aws, told["VpcId"]):
        message = (
            f"Network {told['VpcId']} has some mapped public address(es). Please unmap those "
            f"public address(es) before detaching the gateway: {mapped}"
        )
        raise RefusedError("DependencyViolation", message)


@refuses("ec2", "ReleaseAddress")
def _address_in_use(aws: Aws, told: Told) -> None:
    allocation_id = told.get("AllocationId", "")
    if users := dependents.of_address(aws, allocation_id):
        message = f"Address {allocation_id} is in use: {users}"
        raise RefusedError("InvalidIPAddress.InUse", message)


@refuses("ec2", "CreateNatGateway")
def _no_way_out(aws: Aws, told: Told) -> None:
    if told.get("ConnectivityType", "public") != "public":
        return
    ec2 = aws.client("ec2")
    vpc_id = ec2.describe_subnets(SubnetIds=[told["SubnetId"]])["Subnets"][0]["VpcId"]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc_id]}]
    if not ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]:
        message = f"Network {vpc_id} has no Internet gateway attached"
        raise RefusedError("Gateway.NotAttached", message)


@refuses("ec2", "CreateNatGateway")
def _address_taken(aws: Aws, told: Told) -> None:
    # moto refuses this too, but has made an interface by then, which holds the subnet for good.
    if "AllocationId" in told:
        which = [told["AllocationId"]]
        for address in aws.client("ec2").describe_addresses(AllocationIds=which)["Addresses"]:
            if "AssociationId" in address:
                message = f"The address {which[0]} is already associated"
                raise RefusedError("Resource.AlreadyAssociated", message)


@refuses("ec2", "CreateVpcEndpoint")
def _two_subnets_of_one_zone(aws: Aws, told: Told) -> None:
    subnet_ids = told.get("SubnetIds")
    if not subnet_ids:
        return
    subnets = aws.client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    if len({subnet["AvailabilityZone"] for subnet in subnets}) < len(subnets):
        message = "Found another VPC endpoint subnet in the availability zone"
        raise RefusedError("DuplicateSubnetsInSameZone", message)
