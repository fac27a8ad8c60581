"""Zones, addresses and ways out."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from moto.ec2.models.vpcs import AWS_ENDPOINT_SERVICES, COVERED_ENDPOINT_SERVICES

from settings.rules.network import addresses_used
from settings.sections import NEEDED_WITHOUT_NAT
from tests.settings.conftest import WITHOUT_NAT, Load, assert_mistake, assert_right, assert_warning


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (
            {"network.cidrBlock": "10.1.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/8"]},
            "network.cidrBlock",
            "overlaps 10.0.0.0/8",
        ),
        ({"network.cidrBlock": "10.0.0.0/22"}, "network.cidrBlock", "a /19 or wider"),
        ({"network.cidrBlock": "10.0.0.0/22", "network.zones": 2}, "network.cidrBlock", "a /19 or"),
        ({"network.cidrBlock": "10.0.0.0/22", "network.zones": 4}, "network.cidrBlock", "a /19 or"),
        ({"cluster.nodeMax": 450}, "network.cidrBlock", "fewer or smaller nodes"),
        (
            {"spark.spot": {"instanceTypes": ["m7i.xlarge", "m6i.xlarge"], "max": 450}},
            "network.cidrBlock",
            "with all of cluster.nodeMax, spark.spot.max and airflow.maxWorkers running",
        ),
        ({"network.availabilityZones": ["us-west-2a"]}, "network.availabilityZones", "2 to 4"),
        (
            {"network.availabilityZones": [f"us-west-2{zone}" for zone in "abcde"]},
            "network.availabilityZones",
            "2 to 4",
        ),
        (
            {"network.availabilityZones": ["us-west-2a", "us-west-2a"]},
            "network.availabilityZones",
            "listed 2 times",
        ),
        (
            {"network.availabilityZones": ["us-west-2a", "us-east-1b"]},
            "network.availabilityZones",
            "no availability zone of us-west-2",
        ),
        (
            {"network.availabilityZones": ["us-west-2a", "us-west-2-lax-1a"]},
            "network.availabilityZones",
            "local or Wavelength",
        ),
        (
            WITHOUT_NAT | {"cluster.imageRegistry": None},
            "cluster.imageRegistry",
            "copy the images into ECR in us-west-2",
        ),
        (
            WITHOUT_NAT | {"cluster.imageRegistry": "public.ecr.aws/docker"},
            "cluster.imageRegistry",
            "is on the internet",
        ),
        (
            WITHOUT_NAT
            | {"cluster.imageRegistry": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror"},
            "cluster.imageRegistry",
            "is in eu-west-1, and endpoints lead to ECR in us-west-2 only",
        ),
        ({"network.interfaceEndpoints": ["sts", "sts"]}, "network.interfaceEndpoints", "2 times"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        WITHOUT_NAT,
        {"cluster.imageRegistry": "public.ecr.aws/copies"},
        {"cluster.imageRegistry": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mirror"},
        {"network.cidrBlock": "172.31.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/16"]},
        {"network.availabilityZones": ["us-west-2a", "us-west-2b"]},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (
            {"network.forbiddenCidrs": ["172.16.0.0/12"]},
            "network.forbiddenCidrs",
            "172.20.0.0/16, which EKS gives to Services",
        ),
        (
            {"network.cidrBlock": "192.168.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/8"]},
            "network.forbiddenCidrs",
            "a VPC within 10.0.0.0/8",
        ),
        ({"network.cidrBlock": "10.0.0.0/20"}, "network.cidrBlock", "a /19 or wider"),
        (
            WITHOUT_NAT | {"cluster.imageRegistry": "registry.example.com:5000/copies"},
            "cluster.imageRegistry",
            "in a network connected to the VPC",
        ),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    assert_warning(load, warnings, changes, key, text)


@pytest.mark.parametrize(
    ("size", "addresses"),
    [("medium", 8), ("large", 30), ("xlarge", 60), ("2xlarge", 60), ("4xlarge", 250)],
)
def test_addresses_are_reckoned_with_everything_at_its_maximum(
    load: Load, size: str, addresses: int
) -> None:
    settings = load(
        {
            "network.interfaceEndpoints": ["sts", "logs"],
            "cluster.instanceTypes": ["m6i.medium", f"m7i.{size}"],
        }
    )

    used = addresses_used(settings, IPv4Network("10.0.0.0/20"))

    # Three of nine nodes, half of MWAA, the endpoints and EKS, in a /24 of which AWS keeps five.
    assert used == (3 * addresses + 8 + 2 + 16) / 251


def test_a_vpc_has_fifty_endpoints_unasked(load: Load, warnings: list[str]) -> None:
    names = [f"service-{number}" for number in range(51)]
    assert_right(load, warnings, {"network.interfaceEndpoints": names[:50]})
    assert_warning(
        load,
        warnings,
        {"network.interfaceEndpoints": names},
        "network.interfaceEndpoints",
        "= 51: are more endpoints than AWS gives a VPC unasked, 50: have the quota of interface "
        "endpoints per VPC raised first",
    )


def test_without_nat_there_is_an_endpoint_for_all_that_is_called(load: Load) -> None:
    named = {"network.interfaceEndpoints": ["sts", "rds"]}

    assert load({}).endpoints == ()
    assert load(named).endpoints == ("sts", "rds")
    needed = load(WITHOUT_NAT).endpoints
    assert load(WITHOUT_NAT | named).endpoints == (*needed, "rds")
    # The AWS documents that sections.py names: of MWAA, of EKS, and what this platform uses.
    assert set(needed) == {
        *("airflow.api", "airflow.env", "airflow.ops", "kms", "logs", "monitoring", "sqs"),
        *("autoscaling", "ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sts"),
        *("emr-containers", "secretsmanager", "sns"),
    }
    assert "sns" not in load(WITHOUT_NAT | {"monitoring.level": "none"}).endpoints


def test_the_endpoints_are_of_services_that_aws_offers() -> None:
    assert set(NEEDED_WITHOUT_NAT) <= {*AWS_ENDPOINT_SERVICES, *COVERED_ENDPOINT_SERVICES}


def test_the_endpoints_take_addresses_of_each_subnet(load: Load) -> None:
    cidr = IPv4Network("10.0.0.0/20")
    with_nat, without = load({}), load(WITHOUT_NAT)

    more = addresses_used(without, cidr) - addresses_used(with_nat, cidr)

    assert more == pytest.approx(17 / 251)
