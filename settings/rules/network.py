"""Zones, addresses and ways out of the VPC."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from math import ceil

from components.subnet_plan import plan_subnets
from settings.rules.rule import Finding, Findings, Rules, listed_once
from settings.stack import Settings

RULES = Rules()


@RULES.reading("network.cidrBlock", "network.forbiddenCidrs")
def _overlaps(s: Settings) -> Findings:
    vpc = s.network.cidr_block
    # EKS takes 172.20.0.0/16 for Services of clusters in a VPC within 10.0.0.0/8 and 10.100.0.0/16
    # in others (the bootstrap script of awslabs/amazon-eks-ami relied on it).
    in_ten = vpc.overlaps(IPv4Network("10.0.0.0/8"))
    services = IPv4Network("172.20.0.0/16" if in_ten else "10.100.0.0/16")
    yield from listed_once("network.forbiddenCidrs", map(str, s.network.forbidden_cidrs))
    for forbidden in s.network.forbidden_cidrs:
        if vpc.overlaps(forbidden):
            yield Finding(
                "network.cidrBlock",
                str(vpc),
                f"overlaps {forbidden} of network.forbiddenCidrs: choose a range beside it",
            )
        elif services.overlaps(forbidden):
            yield Finding(
                "network.forbiddenCidrs",
                str(forbidden),
                f"overlaps {services}, which EKS gives to Services: pods will not reach addresses "
                f"there; a VPC {'outside' if in_ten else 'within'} 10.0.0.0/8 avoids it",
                warning=True,
            )


@RULES.reading("network.availabilityZones", "account.region")
def _zones(s: Settings) -> Findings:
    zones = s.network.availability_zones
    if zones and not 2 <= len(zones) <= 4:
        yield Finding("network.availabilityZones", zones, "must be 2 to 4 zones, or none named")
    yield from listed_once("network.availabilityZones", zones)
    for zone in zones:
        if not re.fullmatch(rf"{re.escape(s.account.region)}[a-z]", zone):
            yield Finding(
                "network.availabilityZones",
                zone,
                f"is no availability zone of {s.account.region}, such as {s.account.region}a "
                "(neither MWAA nor EKS run in local or Wavelength zones)",
            )


# How many addresses a node can hold: its network interfaces times the addresses of each, up to the
# 250 pods that EKS allows ("Maximum pods" in the EKS user guide; general purpose instances).
_NODE_ADDRESSES = {"medium": 8, "large": 30, "xlarge": 60, "2xlarge": 60}


def _node_addresses(kind: str) -> int:
    return _NODE_ADDRESSES.get(kind.partition(".")[2], 250)


def addresses_used(s: Settings, cidr: IPv4Network) -> float:
    """The part of the fullest private subnet that is in use with everything at its maximum."""
    zones = s.network.zone_count
    groups = [(s.cluster.node_max, s.cluster.instance_types)]
    if s.spark.spot is not None:
        groups.append((s.spark.spot.max, s.spark.spot.instance_types))
    airflow = s.airflow.max_workers + s.airflow.schedulers + s.airflow.max_webservers + 2
    needed = (
        sum(ceil(most / zones) * max(map(_node_addresses, kinds)) for most, kinds in groups)
        + ceil(airflow / 2)  # MWAA takes two of the subnets
        + len(s.endpoints)
        + 16  # for EKS itself ("Amazon EKS networking requirements for VPC and subnets")
    )
    usable = plan_subnets(cidr, zones).private[0].num_addresses - 5  # AWS keeps five
    return needed / usable


@RULES.reading(
    "network.cidrBlock",
    "network.zones",
    "network.availabilityZones",
    "network.nat",
    "network.interfaceEndpoints",
    "monitoring.level",
    "spark.teams",
    "cluster.instanceTypes",
    "cluster.nodeMax",
    "spark.spot",
    "airflow.maxWorkers",
    "airflow.schedulers",
    "airflow.maxWebservers",
)
def _addresses(s: Settings) -> Findings:
    if not 2 <= s.network.zone_count <= 4:
        return
    vpc = s.network.cidr_block
    used = addresses_used(s, vpc)
    if used <= 0.75:
        return
    fitting = [
        prefix
        for prefix in range(16, vpc.prefixlen)
        if addresses_used(s, IPv4Network(f"{vpc.network_address}/{prefix}", strict=False)) <= 0.75
    ]
    spot = ", spark.spot.max" if s.spark.spot is not None else ""
    wider = [f"a /{fitting[-1]} or wider"] if fitting else []
    yield Finding(
        "network.cidrBlock",
        str(vpc),
        f"gives a private subnet too few addresses: with all of cluster.nodeMax{spot} and "
        f"airflow.maxWorkers running, {used:.0%} of them are taken, and the VPC cannot be resized; "
        f"choose {', '.join([*wider, 'more zones', 'fewer or smaller nodes'])}",
        warning=used <= 1,
    )


@RULES.reading("network.interfaceEndpoints")
def _endpoints(s: Settings) -> Findings:
    yield from listed_once("network.interfaceEndpoints", s.network.interface_endpoints)


# Where images are copied from, and the other registries that no endpoint leads to.
_PUBLIC_REGISTRIES = (
    *("docker.io", "gcr.io", "ghcr.io", "public.ecr.aws", "quay.io", "registry-1.docker.io"),
    *("registry.gitlab.com", "registry.k8s.io"),
)


@RULES.reading("network.nat", "cluster.imageRegistry", "account.region")
def _images(s: Settings) -> Findings:
    key, registry = "cluster.imageRegistry", s.cluster.image_registry
    if s.network.nat != "none":
        return
    way_out = (
        f"copy the images into ECR in {s.account.region} and name that here, as README says under "
        "“Without NAT”, or choose a network.nat"
    )
    if registry is None:
        text = (
            "is null, and the images of the cluster autoscaler and of pods are on the internet, to "
            f"which network.nat: none leaves no way: {way_out}"
        )
        yield Finding(key, registry, text)
        return
    host = registry.partition("/")[0]
    ecr = re.fullmatch(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com", host)
    if host in _PUBLIC_REGISTRIES:
        text = f"is on the internet, to which network.nat: none leaves no way: {way_out}"
        yield Finding(key, registry, text)
    elif ecr and ecr[1] != s.account.region:
        text = f"is in {ecr[1]}, and endpoints lead to ECR in {s.account.region} only: {way_out}"
        yield Finding(key, registry, text)
    elif not ecr:
        yield Finding(
            key,
            registry,
            "is no registry of ECR: nodes pull from it if it is in a network connected to the VPC, "
            "where network.nat: none leaves no other way",
            warning=True,
        )


# "AWS PrivateLink quotas", AWS PrivateLink Guide.
_ENDPOINTS = 50


@RULES.reading("network.nat", "network.interfaceEndpoints", "monitoring.level", "spark.teams")
def _number_of_endpoints(s: Settings) -> Findings:
    count = len(s.endpoints)
    if count > _ENDPOINTS:
        yield Finding(
            "network.interfaceEndpoints",
            count,
            f"are more endpoints than AWS gives a VPC unasked, {_ENDPOINTS}: have the quota of "
            "interface endpoints per VPC raised first",
            warning=True,
        )
