"""Decisions of Network."""

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, Literal

import pulumi
import pytest

from components.network import Network, NetworkArgs
from tests.components.conftest import ACCOUNT, Engine, Resource

ZONES = ("us-west-2a", "us-west-2b", "us-west-2c")
ARGS = NetworkArgs(
    cidr_block=IPv4Network("10.0.0.0/16"),
    availability_zones=ZONES,
    nat="single",
    interface_endpoints=("ecr.api", "sts"),
    kms_key_arn="arn:aws:kms:us-west-2:123456789012:key/1",
    flow_log_bucket_arn=None,
    log_retention_days=365,
    account=ACCOUNT,
)
LOOK_UP = "aws:ec2/getVpcEndpointService:getVpcEndpointService"
SUBNET = "aws:ec2/subnet:Subnet"
ROUTE = "aws:ec2/route:Route"
NAT = "aws:ec2/natGateway:NatGateway"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"


@pytest.fixture(autouse=True)
def _services_are_everywhere(engine: Engine) -> None:
    engine.answers[LOOK_UP] = lambda _: {
        "availabilityZones": [*ZONES, "us-west-2d"],
        "vpcEndpointPolicySupported": True,
    }


def test_load_balancers_find_the_subnets_of_their_kind(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    for subnet in engine.all(SUBNET):
        kind = "elb" if "-public-" in subnet.name else "internal-elb"
        assert [tag for tag in subnet.inputs["tags"] if tag != "Name"] == [
            f"kubernetes.io/role/{kind}"
        ]


def test_nothing_gets_a_public_address_by_itself(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    assert len(engine.all(SUBNET)) == 6
    assert not any(subnet.inputs.get("mapPublicIpOnLaunch") for subnet in engine.all(SUBNET))


def test_only_public_subnets_lead_to_the_internet_gateway(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    (public,) = (route for route in engine.all(ROUTE) if "gatewayId" in route.inputs)
    reached = {
        link.inputs["subnetId"]
        for link in engine.all("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if link.inputs["routeTableId"] == public.inputs["routeTableId"]
    }
    assert reached == {f"platform-public-{zone}-id" for zone in ZONES}


@pytest.mark.parametrize(
    ("nat", "gateways"),
    [
        ("single", ["us-west-2a", "us-west-2a", "us-west-2a"]),
        ("perZone", ["us-west-2a", "us-west-2b", "us-west-2c"]),
        ("none", []),
    ],
)
def test_private_subnets_leave_through_the_chosen_nat_gateways(
    engine: Engine, nat: Literal["single", "perZone", "none"], gateways: list[str]
) -> None:
    engine.run(lambda: Network("platform", replace(ARGS, nat=nat)))

    through = {
        route.inputs["routeTableId"]: route.inputs["natGatewayId"]
        for route in engine.all(ROUTE)
        if "natGatewayId" in route.inputs
    }
    assert through == {
        f"platform-private-{zone}-id": f"platform-{gateway}-nat-id"
        for zone, gateway in zip(ZONES, gateways, strict=False)
    }
    assert len(engine.all(NAT)) == len(engine.all("aws:ec2/eip:Eip")) == len(set(gateways))


def test_gateways_and_endpoints_are_known_by_zone_and_by_service(engine: Engine) -> None:
    found: list[Network] = []
    engine.run(lambda: found.append(Network("platform", replace(ARGS, nat="perZone"))))

    (network,) = found
    assert [*network.nat_gateway_ids] == [*ZONES]
    assert [*network.interface_endpoint_ids] == ["ecr.api", "sts"]


def test_a_nat_gateway_stands_on_a_public_subnet_with_its_route(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    gateway = engine.one(NAT)
    assert gateway.inputs["subnetId"] == "platform-public-us-west-2a-id"
    assert {"platform-public-default", "platform-internet"} <= engine.waits_for(gateway)
    (link,) = (
        link
        for link in engine.all("aws:ec2/routeTableAssociation:RouteTableAssociation")
        if link.inputs["subnetId"] == gateway.inputs["subnetId"]
    )
    assert link in engine.before(gateway)


@pytest.mark.parametrize("output", ["private_subnet_ids", "public_subnet_ids"])
def test_who_uses_the_network_waits_for_its_ways_out(engine: Engine, output: str) -> None:
    outputs = engine.run(lambda: Network("platform", ARGS))

    types = {ROUTE, ENDPOINT, NAT, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"}
    ways_out = {resource for typ in types for resource in engine.all(typ)}
    assert len(ways_out) == 4 + 3 + 1 + 1
    assert ways_out <= engine.before(outputs[output])


def test_a_new_endpoint_leaves_the_subnets_known_in_a_preview(engine: Engine) -> None:
    engine.outputs[ENDPOINT] = {"id": ""}
    outputs = engine.run(lambda: Network("platform", ARGS))

    assert outputs["private_subnet_ids"].inputs["value"] == [
        f"platform-private-{zone}-id" for zone in ZONES
    ]


def endpoint(engine: Engine, service: str) -> Resource:
    (found,) = (
        e for e in engine.all(ENDPOINT) if e.inputs["serviceName"].endswith(f"us-west-2.{service}")
    )
    return found


def test_s3_needs_no_nat_gateway_from_any_private_subnet(engine: Engine) -> None:
    engine.run(lambda: Network("platform", replace(ARGS, interface_endpoints=())))

    s3 = engine.one(ENDPOINT)
    assert s3.inputs["vpcEndpointType"] == "Gateway"
    assert s3.inputs["routeTableIds"] == [f"platform-private-{zone}-id" for zone in ZONES]
    assert not engine.all("aws:ec2/securityGroup:SecurityGroup")  # nothing to guard


def test_interface_endpoints_answer_https_from_the_vpc_in_every_zone(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    group = engine.one("aws:ec2/securityGroup:SecurityGroup")
    rule = engine.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").inputs
    for service in ("ecr.api", "sts"):
        inputs = endpoint(engine, service).inputs
        assert inputs["vpcEndpointType"] == "Interface"
        assert inputs["privateDnsEnabled"] is True
        assert inputs["subnetIds"] == [f"platform-private-{zone}-id" for zone in ZONES]
        assert inputs["securityGroupIds"] == [f"{group.name}-id"]
    assert (rule["securityGroupId"], rule["cidrIpv4"]) == (f"{group.name}-id", "10.0.0.0/16")
    assert (rule["ipProtocol"], rule["fromPort"], rule["toPort"]) == ("tcp", 443, 443)
    assert not engine.all("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")


def test_only_who_is_of_the_account_gets_through_an_interface_endpoint(engine: Engine) -> None:
    services = ("ecr.api", "secretsmanager", "sts")
    engine.run(lambda: Network("platform", replace(ARGS, interface_endpoints=services)))

    ours = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalAccount": "123456789012"}},
    }
    secrets, tokens = (
        json.loads(endpoint(engine, service).inputs["policy"])["Statement"]
        for service in ("secretsmanager", "sts")
    )
    assert secrets == [ours]
    assert tokens[0] == ours
    assert [one["Action"] for one in tokens[1:]] == [
        ["sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"]
    ]
    assert "policy" not in endpoint(engine, "ecr.api").inputs  # MWAA's own containers pull too


def test_a_service_that_knows_no_endpoint_policy_gets_none(engine: Engine) -> None:
    engine.answers[LOOK_UP] = lambda _: {
        "availabilityZones": [*ZONES],
        "vpcEndpointPolicySupported": False,
    }
    engine.run(lambda: Network("platform", ARGS))

    assert "policy" not in endpoint(engine, "sts").inputs


def test_a_service_is_asked_for_where_it_is(engine: Engine) -> None:
    def in_two_zones(asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["serviceType"] == "Interface"
        lacking = asked["serviceName"] == "com.amazonaws.us-west-2.sts"
        return {"availabilityZones": ["us-west-2c", "us-west-2a"] if lacking else list(ZONES)}

    engine.answers[LOOK_UP] = in_two_zones
    engine.run(lambda: Network("platform", ARGS))

    assert endpoint(engine, "sts").inputs["subnetIds"] == [
        "platform-private-us-west-2a-id",
        "platform-private-us-west-2c-id",
    ]
    assert len(endpoint(engine, "ecr.api").inputs["subnetIds"]) == 3


def test_a_service_that_is_in_none_of_the_zones_is_named(engine: Engine) -> None:
    engine.answers[LOOK_UP] = lambda _: {"availabilityZones": ["us-west-2d"]}

    with pytest.raises(pulumi.RunError, match=r"ecr\.api is in us-west-2d only.*us-west-2a"):
        engine.run(lambda: Network("platform", replace(ARGS, interface_endpoints=("ecr.api",))))


def test_the_default_security_group_lets_nothing_through(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    group = engine.one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs
    assert (group["ingress"], group["egress"]) == ([], [])  # what is not given is not enforced


def test_all_traffic_is_logged_encrypted_and_kept_as_long_as_asked(engine: Engine) -> None:
    engine.run(lambda: Network("platform", ARGS))

    flow_log = engine.one("aws:ec2/flowLog:FlowLog")
    group = engine.one("aws:cloudwatch/logGroup:LogGroup").inputs
    policy = engine.one("aws:iam/rolePolicy:RolePolicy")
    assert (flow_log.inputs["vpcId"], flow_log.inputs["trafficType"]) == ("platform-vpc-id", "ALL")
    assert (group["kmsKeyId"], group["retentionInDays"]) == (ARGS.kms_key_arn, 365)
    assert policy in engine.before(flow_log)


def test_all_traffic_can_be_logged_to_a_bucket_instead(engine: Engine) -> None:
    bucket = "arn:aws:s3:::log-archive/platform"
    engine.run(lambda: Network("platform", replace(ARGS, flow_log_bucket_arn=bucket)))

    flow_log = engine.one("aws:ec2/flowLog:FlowLog").inputs
    assert (flow_log["logDestinationType"], flow_log["logDestination"]) == ("s3", bucket)
    assert (flow_log["vpcId"], flow_log["trafficType"]) == ("platform-vpc-id", "ALL")
    # S3 lets the service in by the bucket's policy.
    assert not engine.all("aws:cloudwatch/logGroup:LogGroup")
    assert not engine.all("aws:iam/role:Role")


def test_only_the_accounts_own_flow_logs_may_write_and_only_to_their_group(engine: Engine) -> None:
    engine.outputs["aws:cloudwatch/logGroup:LogGroup"] = {"arn": "arn:aws:logs:::log-group:flow"}
    engine.run(lambda: Network("platform", ARGS))

    (trust,) = json.loads(engine.one("aws:iam/role:Role").inputs["assumeRolePolicy"])["Statement"]
    policy = json.loads(engine.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ec2:us-west-2:123456789012:vpc-flow-log/*"},
    }
    write, look_up = policy["Statement"]
    assert write["Resource"] == "arn:aws:logs:::log-group:flow:*"
    assert (look_up["Action"], look_up["Resource"]) == ("logs:DescribeLogGroups", "*")


def test_two_networks_do_not_collide_and_own_their_children(engine: Engine) -> None:
    engine.run(lambda: (Network("one", ARGS), Network("two", ARGS)))

    assert engine.tops() == {"one", "two"}
    assert len(engine.all("aws:ec2/vpc:Vpc")) == 2
