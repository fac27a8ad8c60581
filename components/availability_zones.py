"""The availability zones that a stack spreads over."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

# EKS does not place a control plane in these zones ("Amazon EKS networking requirements for VPC
# and subnets").
ZONES_WITHOUT_EKS = ("use1-az3", "usw1-az2", "cac1-az3")


def availability_zones(
    count: int, live: Mapping[int, str], provider: aws.Provider
) -> tuple[str, ...]:
    """Return the live zones, each at its place, and else the region's first ones by their names.

    count: how many; an error names the zones when the account has fewer that EKS accepts.
    """
    if len(live) == count:
        return tuple(live[place] for place in range(count))
    found = aws.get_availability_zones(
        state="available",
        exclude_zone_ids=list(ZONES_WITHOUT_EKS),
        # Local and Wavelength zones are opt-in and hold neither EKS nor MWAA.
        filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}],
        opts=pulumi.InvokeOptions(provider=provider),
    )
    names = sorted(set(found.names) | set(live.values()))
    if len(names) < count:
        message = (
            f"mwaa-on-eks:network.zones: {count} zones are asked for, but {found.id} offers "
            f"{len(names)} ({', '.join(names)}): lower the setting or choose another region"
        )
        raise pulumi.RunError(message)
    # What AWS opens, closes or finds faulty later moves no subnet.
    further = iter(name for name in names if name not in live.values())
    return tuple(live.get(place) or next(further) for place in range(count))
