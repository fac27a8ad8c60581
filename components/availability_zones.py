"""The availability zones that a stack spreads over."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

# EKS does not place a control plane in these zones ("Amazon EKS networking requirements for VPC
# and subnets").
ZONES_WITHOUT_EKS = ("use1-az3", "usw1-az2", "cac1-az3")


def first_availability_zones(count: int, provider: aws.Provider) -> tuple[str, ...]:
    """Return the region's first availability zones that EKS accepts, in the order of their names.

    count: how many; an error names the zones when the account has fewer.
    """
    found = aws.get_availability_zones(
        state="available",
        exclude_zone_ids=list(ZONES_WITHOUT_EKS),
        # Local and Wavelength zones are opt-in and hold neither EKS nor MWAA.
        filters=[{"name": "opt-in-status", "values": ["opt-in-not-required"]}],
        opts=pulumi.InvokeOptions(provider=provider),
    )
    names = tuple(sorted(found.names))
    if len(names) < count:
        message = (
            f"mwaa-on-eks:network.zones: {count} zones are asked for, but {found.id} offers "
            f"{len(names)} ({', '.join(names)}): lower the setting or choose another region"
        )
        raise pulumi.RunError(message)
    return names[:count]
