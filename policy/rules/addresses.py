"""How much of the internet a list of ranges is."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network


def is_internet(ranges: Iterable[str]) -> bool:
    """Tell whether the ranges are, taken together, about all of it: more than four /8."""
    networks = [ip_network(one, strict=False) for one in ranges]
    four = collapse_addresses(one for one in networks if isinstance(one, IPv4Network))
    six = collapse_addresses(one for one in networks if isinstance(one, IPv6Network))
    return (
        sum(one.num_addresses for one in four if not one.is_private) > 4 * 2**24
        or sum(one.num_addresses for one in six) >= 2**120
    )
