"""How a network divides its address range."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network


@dataclass(frozen=True)
class SubnetPlan:
    """The address ranges of the subnets: one private and one public subnet in each zone."""

    private: tuple[IPv4Network, ...]
    public: tuple[IPv4Network, ...]


def plan_subnets(cidr: IPv4Network, zones: int) -> SubnetPlan:
    """Give each zone a private sixteenth of the range and a small public subnet.

    Public subnets begin at the thirteenth sixteenth, so that zones can be added to both.
    """
    if not 16 <= cidr.prefixlen <= 24:
        message = (
            f"{cidr} has prefix /{cidr.prefixlen}: AWS allows a VPC no prefix below /16, and above "
            "/24 a sixteenth is no subnet (AWS: /28 at the smallest); choose a prefix from /16 to "
            "/24"
        )
        raise ValueError(message)
    sixteenths = list(cidr.subnets(prefixlen_diff=4))
    small_blocks = list(cidr.subnets(new_prefix=min(cidr.prefixlen + 8, 28)))
    first_public = len(small_blocks) * 12 // 16
    return SubnetPlan(
        private=tuple(sixteenths[:zones]),
        public=tuple(small_blocks[first_public : first_public + zones]),
    )
