"""The VPC: who talks with whom."""

from __future__ import annotations

from .addresses import is_internet
from .documents import IDENTITY_POLICIES, actions, permissions
from .rule import Findings, Props, Resource, Stack, listed, rule, stack_rule, truth

VPC = "aws:ec2/vpc:Vpc"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
IN = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
OUT = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
CLASSIC = "aws:ec2/securityGroupRule:SecurityGroupRule"
# What is called from within the VPC for each of these ("Creating the required VPC service
# endpoints", MWAA user guide; "Deploy private clusters with limited internet access", EKS user
# guide).
_CALLED = {
    "aws:eks/addon:Addon": ("ec2", "ecr.api", "ecr.dkr", "eks", "s3", "sts"),
    "aws:eks/nodeGroup:NodeGroup": ("ec2", "ecr.api", "ecr.dkr", "eks", "s3", "sts"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": ("eks-auth",),
    "aws:emrcontainers/virtualCluster:VirtualCluster": ("emr-containers", "logs", "s3", "sts"),
    "aws:mwaa/environment:Environment": (
        *("airflow.api", "airflow.env", "airflow.ops", "ecr.api", "ecr.dkr", "kms", "logs"),
        *("monitoring", "s3", "sqs"),
    ),
    "aws:secretsmanager/secret:Secret": ("secretsmanager",),
}
_AUTOSCALER = "cluster-autoscaler"
# What a security group says without being told.
_NO_DESCRIPTIONS = {None, "", "Managed by Pulumi", "Managed by Terraform"}


@stack_rule(
    VPC,
    demand="All traffic of a VPC is recorded.",
    sources="CKV2_AWS_11, EC2.6",
    way_out="add an aws.ec2.FlowLog with trafficType ALL",
)
def vpc_flow_logs(vpc: Resource, stack: Stack) -> Findings:
    logs = stack.of("aws:ec2/flowLog:FlowLog")
    if not any(
        log.refers_to("vpcId", vpc) and log.props.get("trafficType") == "ALL" for log in logs
    ):
        yield "no flow log of it has trafficType ALL"


@stack_rule(
    VPC,
    demand="The default security group of a VPC lets nothing through.",
    sources="CKV2_AWS_12, EC2.2",
    way_out="add an aws.ec2.DefaultSecurityGroup with ingress [] and egress []",
)
def vpc_default_group_closed(vpc: Resource, stack: Stack) -> Findings:
    groups = [
        one
        for one in stack.of("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
        if one.refers_to("vpcId", vpc)
    ]
    # Left out, they stay as somebody has set them: only empty lists are enforced.
    if not groups:
        yield "it is left as AWS makes it"
    for one in groups:
        for way in ("ingress", "egress"):
            if one.props.get(way) is None or listed(one.props[way]):
                yield f"{one.name}.{way} is not an empty list"


@rule(
    "aws:ec2/subnet:Subnet",
    demand="What starts in a subnet gets no address on the internet by itself.",
    sources="CKV_AWS_130, EC2.15",
    way_out="set mapPublicIpOnLaunch to false",
)
def subnet_without_public_addresses(subnet: Resource) -> Findings:
    if truth(subnet.props.get("mapPublicIpOnLaunch")):
        yield "mapPublicIpOnLaunch is on"


@rule(
    GROUP,
    IN,
    OUT,
    CLASSIC,
    demand="Each security group and each of its rules says what it is for.",
    sources="CKV_AWS_23",
    way_out="write a description",
)
def security_group_described(resource: Resource) -> Findings:
    if resource.props.get("description") in _NO_DESCRIPTIONS:
        yield "it has no description"
    for way in ("ingress", "egress"):
        for one in listed(resource.props.get(way)):
            if one.get("description") in _NO_DESCRIPTIONS:
                yield f"a rule of {way} has no description"


@rule(
    GROUP,
    IN,
    CLASSIC,
    demand="Nothing is open to the whole internet.",
    sources="CKV_AWS_24, CKV_AWS_25, CKV_AWS_260, CKV_AWS_277, EC2.18, EC2.19",
    way_out="name the networks or the security group that calls",
)
def security_group_not_open(resource: Resource) -> Findings:
    given = [resource.props] if resource.type != CLASSIC or _is(resource, "ingress") else []
    if resource.type == GROUP:
        given = listed(resource.props.get("ingress"))
    for one in given:
        ranges = _ranges(one)
        if is_internet(ranges):
            yield f"{', '.join(ranges)} may come in"


@stack_rule(
    GROUP,
    OUT,
    CLASSIC,
    demand="Only an MWAA environment, of which AWS demands it, may call anybody on any port.",
    sources="CKV_AWS_382, MWAA user guide (Security in your VPC)",
    way_out="name the ports and ranges that are called",
    gate="production",
)
def security_group_calls_named(resource: Resource, stack: Stack) -> Findings:
    environments = stack.of("aws:mwaa/environment:Environment")
    groups = [one for one in stack.of(GROUP) if resource.refers_to("securityGroupId", one)]
    if resource.type == GROUP:
        groups = [resource]
    if any(e.refers_to("networkConfiguration", g) for e in environments for g in groups):
        return
    given = [resource.props] if resource.type != CLASSIC or _is(resource, "egress") else []
    if resource.type == GROUP:
        given = listed(resource.props.get("egress"))
    for one in given:
        protocol = one.get("ipProtocol", one.get("protocol"))
        if str(protocol) in {"-1", "all"} and is_internet(_ranges(one)):
            yield f"{', '.join(_ranges(one))} may be called on any port"


def _is(resource: Resource, way: str) -> bool:
    return bool(resource.props["type"] == way)


def _ranges(props: Props) -> list[str]:
    keys = ("cidrIpv4", "cidrIpv6", "cidrBlocks", "ipv6CidrBlocks")
    return [one for key in keys for one in listed(props.get(key))]


@rule(
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    demand="An interface endpoint serves the service's own name, in two zones, to named callers.",
    sources="prowler vpc_endpoint_multi_az_enabled, EC2.10",
    way_out="set privateDnsEnabled, two subnetIds of different zones and securityGroupIds",
)
def endpoint_serves_all_zones(endpoint: Resource) -> Findings:
    if endpoint.props.get("vpcEndpointType") != "Interface":
        return
    if not truth(endpoint.props.get("privateDnsEnabled")):
        yield "privateDnsEnabled is off"
    if not listed(endpoint.props.get("securityGroupIds")):
        yield "securityGroupIds is empty, which takes the VPC's default group"
    if (count := len(listed(endpoint.props.get("subnetIds")))) < 2:
        yield f"it is in {count} subnets"


@stack_rule(
    VPC,
    demand="From a VPC without a way to the internet, endpoints lead to what is called from it.",
    sources="EKS user guide (private clusters), MWAA user guide (required endpoints)",
    way_out="add an aws.ec2.VpcEndpoint for it, or a route to a NAT gateway",
)
def endpoints_instead_of_internet(vpc: Resource, stack: Stack) -> Findings:
    if any(_leads_out(route) for route in _routes(stack)):
        return
    called = {one for kind, services in _CALLED.items() if stack.of(kind) for one in services}
    if any(_AUTOSCALER in str(one.props) for one in stack.of("kubernetes:apps/v1:Deployment")):
        called.add("autoscaling")
    if any(
        action.startswith("glue:")
        for policy in stack.of(*IDENTITY_POLICIES)
        for statement in permissions(policy)
        for action in actions(statement)
    ):
        called.add("glue")
    there = {
        one.props["serviceName"].split(".", 3)[-1]
        for one in stack.of("aws:ec2/vpcEndpoint:VpcEndpoint")
        if one.refers_to("vpcId", vpc)
    }
    for service in sorted(called - there):
        yield f"none leads to {service}"


def _routes(stack: Stack) -> list[Props]:
    tables = stack.of("aws:ec2/routeTable:RouteTable")
    within = [one for table in tables for one in listed(table.props.get("routes"))]
    return [*within, *(one.props for one in stack.of("aws:ec2/route:Route"))]


def _leads_out(route: Props) -> bool:
    """Tell whether it leads to the internet for who has no address there."""
    to = route.get("destinationCidrBlock", route.get("cidrBlock"))
    return to == "0.0.0.0/0" and route.get("gatewayId") is None
