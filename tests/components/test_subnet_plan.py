"""Which address ranges subnets get."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest

from components.subnet_plan import plan_subnets


def test_three_zones_divide_the_default_block_as_documented() -> None:
    plan = plan_subnets(IPv4Network("10.0.0.0/16"), 3)

    assert [str(block) for block in plan.private] == ["10.0.0.0/20", "10.0.16.0/20", "10.0.32.0/20"]
    assert [str(block) for block in plan.public] == [
        "10.0.192.0/24",
        "10.0.193.0/24",
        "10.0.194.0/24",
    ]


@pytest.mark.parametrize("prefix", range(16, 25))
@pytest.mark.parametrize("zones", [2, 3, 4])
def test_every_allowed_block_gives_subnets_that_aws_accepts(prefix: int, zones: int) -> None:
    vpc = IPv4Network(f"10.0.0.0/{prefix}")
    plan = plan_subnets(vpc, zones)

    blocks = plan.private + plan.public
    assert (len(plan.private), len(plan.public)) == (zones, zones)
    assert all(block.subnet_of(vpc) and 16 <= block.prefixlen <= 28 for block in blocks)
    assert not any(one.overlaps(other) for one, other in combinations(blocks, 2))


def test_one_more_zone_moves_no_subnet() -> None:
    three, four = (plan_subnets(IPv4Network("10.0.0.0/16"), zones) for zones in (3, 4))

    assert (four.private[:3], four.public[:3]) == (three.private, three.public)


@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/25"])
def test_a_block_of_the_wrong_size_is_refused_with_the_way_out(cidr: str) -> None:
    with pytest.raises(ValueError, match=rf"{cidr} has prefix .*choose a prefix from /16 to /24"):
        plan_subnets(IPv4Network(cidr), 3)
