"""Rules that join several settings, each in one function that tells what is wrong.

A rule names the settings that it reads: where one of them is wrong by itself, the rule is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import IPv4Network
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.session
from botocore.exceptions import UnknownRegionError

from components.subnet_plan import plan_subnets
from versions import AIRFLOW, EMR, KUBERNETES

if TYPE_CHECKING:
    from datetime import date

    from settings import Risk, Settings

REQUIREMENTS = Path(__file__).parent / "dags" / "requirements.txt"


@dataclass(frozen=True)
class Finding:
    """Something to say about a setting."""

    key: str
    value: object
    text: str
    warning: bool = False


Findings = Iterator[Finding]


@dataclass(frozen=True)
class Rule:
    """A check and the settings that it relies on."""

    reads: frozenset[str]
    check: Callable[[Settings], Findings]


RULES: list[Rule] = []


def _rule(*reads: str) -> Callable[[Callable[[Settings], Findings]], None]:
    def register(check: Callable[[Settings], Findings]) -> None:
        RULES.append(Rule(frozenset(reads), check))

    return register


# ---- Names ----

_RESERVED_TAGS = ("project", "stack", "Name")


@_rule()
def _names_of_fixed_things(s: Settings) -> Findings:
    # The tightest of the names made from it: a bucket takes 63 characters, "-dags-" and the account
    # 18 of them. MWAA wants a letter first, S3 no capitals, dots or underscores.
    longest = 63 - len("-dags-123456789012") - len(f"{s.project}-")
    if not re.fullmatch(r"[a-z][a-z0-9-]*[a-z0-9]", s.name) or len(s.stack) > longest:
        yield Finding(
            "stack",
            s.stack,
            f"its name is part of bucket and environment names: up to {longest} small letters, "
            "digits and hyphens, not at an end; use `pulumi stack rename` or another stack",
        )


@_rule("spark.teams", "airflow.podNamespace")
def _names_of_teams(s: Settings) -> Findings:
    yield from _listed_once("spark.teams", [team.name for team in s.spark.teams])
    for team in s.spark.teams:
        name = s.virtual_cluster_name(team.name)
        if len(name) > 64:  # botocore's ResourceNameString of emr-containers
            yield Finding(
                "spark.teams",
                team.name,
                f"makes the virtual cluster's name {name} longer than 64 characters: shorten the "
                f"team's or the stack's name by {len(name) - 64}",
            )
        if team.namespace == s.airflow.pod_namespace:
            yield Finding(
                "airflow.podNamespace",
                s.airflow.pod_namespace,
                f"belongs to the Spark team {team.name}, whose jobs need other rights: choose a "
                "name that does not begin with emr-",
            )


@_rule("account.tags", "airflow.dagDelivery")
def _tags(s: Settings) -> Findings:
    # An S3 object takes 10 tags, most other things 50, of which components and AWS use some.
    limit = (10 if s.airflow.dag_delivery == "pulumi" else 40) - len(_RESERVED_TAGS)
    if len(s.account.tags) > limit:
        yield Finding(
            "account.tags",
            len(s.account.tags),
            f"are more tags than {limit}: S3 objects take 10 with project, stack and Name "
            "(airflow.dagDelivery: pipeline makes none), other things 40",
        )
    # IAM takes Owner and owner for the same key.
    keys = Counter(key.lower() for key in [*_RESERVED_TAGS, *s.account.tags])
    for key in s.account.tags:
        if keys[key.lower()] > 1:
            yield Finding(
                f"account.tags.{key}",
                s.account.tags[key],
                "is a key twice, whatever its capitals (project, stack and Name are set already): "
                "remove or rename it",
            )


def _listed_once(key: str, values: Iterable[str]) -> Findings:
    for value, count in Counter(values).items():
        if count > 1:
            yield Finding(key, value, f"is listed {count} times: leave one")


# ---- Account ----


@cache
def aws_regions() -> botocore.session.Session:
    """What botocore knows about regions, without a call."""
    return botocore.session.get_session()


@_rule("account.region", "account.acceptedRisks")
def _region(s: Settings) -> Findings:
    region = s.account.region
    try:
        partition = aws_regions().get_partition_for_region(region)
    except UnknownRegionError:
        yield Finding("account.region", region, "is no AWS region, such as us-west-2")
        return
    lacking = [
        service
        for service, name in (("MWAA", "mwaa"), ("EKS", "eks"), ("EMR on EKS", "emr-containers"))
        if region not in aws_regions().get_available_regions(name, partition_name=partition)
    ]
    if lacking and "unlistedRegion" not in s.account.accepted_risks:
        yield Finding(
            "account.region",
            region,
            f"has no {' and no '.join(lacking)}, as far as this botocore knows: choose another "
            "region, or add unlistedRegion to account.acceptedRisks if AWS offers it by now",
        )


# ---- Versions ----


def _support(s: Settings, key: str, value: str, ends: date | None, newest: str) -> Findings:
    if ends is None or (ends - s.today).days >= 60:
        return
    if s.today < ends:
        yield Finding(key, value, f"is supported until {ends} only: plan {newest}", warning=True)
    else:
        yield Finding(
            key,
            value,
            f"is without support since {ends}: choose {newest}, or add endedSupport to "
            "account.acceptedRisks until then",
            warning="endedSupport" in s.account.accepted_risks,
        )


@_rule("cluster.kubernetesVersion", "account.acceptedRisks")
def _kubernetes_support(s: Settings) -> Findings:
    version = s.cluster.kubernetes_version
    ends = KUBERNETES[version].support_ends
    yield from _support(s, "cluster.kubernetesVersion", version, ends, next(iter(KUBERNETES)))


@_rule("airflow.version", "account.acceptedRisks")
def _airflow_support(s: Settings) -> Findings:
    ends = AIRFLOW[s.airflow.version].support_ends
    yield from _support(s, "airflow.version", s.airflow.version, ends, next(iter(AIRFLOW)))


@_rule("spark.releaseLabel", "account.acceptedRisks")
def _emr_support(s: Settings) -> Findings:
    label = s.spark.release_label
    ends = EMR[s.spark.release].support_ends
    newest = next(release for release in EMR if release.startswith("emr-7"))
    yield from _support(s, "spark.releaseLabel", label, ends, f"{newest}-latest")


# ---- Network ----


@_rule("network.cidrBlock", "network.forbiddenCidrs")
def _overlaps(s: Settings) -> Findings:
    vpc = s.network.cidr_block
    # EKS takes 172.20.0.0/16 for Services of clusters in a VPC within 10.0.0.0/8 and 10.100.0.0/16
    # in others (the bootstrap script of awslabs/amazon-eks-ami relied on it).
    in_ten = vpc.overlaps(IPv4Network("10.0.0.0/8"))
    services = IPv4Network("172.20.0.0/16" if in_ten else "10.100.0.0/16")
    for forbidden in s.network.forbidden_cidrs:
        if vpc.overlaps(forbidden):
            yield Finding(
                "network.cidrBlock", str(vpc), f"overlaps {forbidden} of network.forbiddenCidrs"
            )
        elif services.overlaps(forbidden):
            yield Finding(
                "network.forbiddenCidrs",
                str(forbidden),
                f"overlaps {services}, which EKS gives to Services: pods will not reach addresses "
                f"there; a VPC {'outside' if in_ten else 'within'} 10.0.0.0/8 avoids it",
                warning=True,
            )


@_rule("network.availabilityZones", "account.region")
def _zones(s: Settings) -> Findings:
    zones = s.network.availability_zones
    if zones and not 2 <= len(zones) <= 4:
        yield Finding("network.availabilityZones", zones, "must be 2 to 4 zones, or none named")
    yield from _listed_once("network.availabilityZones", zones)
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


def addresses_used(s: Settings, cidr: IPv4Network) -> float:
    """The part of the fullest private subnet that is in use with everything at its maximum."""
    zones = s.network.zone_count
    sizes = [kind.partition(".")[2] for kind in s.cluster.instance_types]
    per_node = max(_NODE_ADDRESSES.get(size, 250) for size in sizes)
    airflow = s.airflow.max_workers + s.airflow.schedulers + s.airflow.max_webservers + 2
    needed = (
        ceil(s.cluster.node_max / zones) * per_node
        + ceil(airflow / 2)  # MWAA takes two of the subnets
        + len(s.network.interface_endpoints)
        + 16  # for EKS itself ("Amazon EKS networking requirements for VPC and subnets")
    )
    usable = plan_subnets(cidr, zones).private[0].num_addresses - 5  # AWS keeps five
    return needed / usable


@_rule(
    "network.cidrBlock",
    "network.zones",
    "network.availabilityZones",
    "network.interfaceEndpoints",
    "cluster.instanceTypes",
    "cluster.nodeMax",
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
    wider = [f"a /{fitting[-1]} or wider"] if fitting else []
    yield Finding(
        "network.cidrBlock",
        str(vpc),
        "gives a private subnet too few addresses: with all of cluster.nodeMax and "
        f"airflow.maxWorkers running, {used:.0%} of them are taken, and the VPC cannot be resized; "
        f"choose {', '.join([*wider, 'more zones', 'fewer or smaller nodes'])}",
        warning=used <= 1,
    )


# What nodes, MWAA and jobs call, S3 apart ("Creating the required VPC service endpoints", MWAA user
# guide; "Deploy private clusters with limited internet access", EKS user guide).
_NEEDED_WITHOUT_NAT = (
    *("airflow.api", "airflow.env", "airflow.ops", "autoscaling", "ec2", "ecr.api", "ecr.dkr"),
    *("eks", "eks-auth", "emr-containers", "kms", "logs", "monitoring", "secretsmanager"),
    *("sqs", "sts"),
)


@_rule("network.nat", "network.interfaceEndpoints")
def _endpoints(s: Settings) -> Findings:
    given = s.network.interface_endpoints
    yield from _listed_once("network.interfaceEndpoints", given)
    missing = [name for name in _NEEDED_WITHOUT_NAT if name not in given]
    if s.network.nat == "none" and missing:
        yield Finding(
            "network.interfaceEndpoints",
            given,
            f"lacks {', '.join(missing)}, which network.nat: none leaves no other way to: add "
            "them or choose single or perZone",
        )


# ---- Cluster ----


@_rule("cluster.nodeMin", "cluster.nodeMax")
def _node_range(s: Settings) -> Findings:
    if s.cluster.node_min > s.cluster.node_max:
        yield Finding(
            "cluster.nodeMin",
            s.cluster.node_min,
            f"is more than cluster.nodeMax, {s.cluster.node_max}: lower it or raise that",
        )


@_rule("cluster.instanceTypes", "cluster.architecture")
def _instance_types(s: Settings) -> Findings:
    kinds = s.cluster.instance_types
    yield from _listed_once("cluster.instanceTypes", kinds)
    for kind in kinds:
        # Graviton families have a g behind their generation: m7g, c7gn, im4gn.
        graviton = bool(re.match(r"[a-z]+\d+g|a1\.", kind))
        if graviton != (s.cluster.architecture == "arm64"):
            right = "arm64" if graviton else "x86_64"
            yield Finding(
                "cluster.instanceTypes",
                kind,
                f"is {right}: set cluster.architecture to that or choose another type",
            )
    if len(kinds) == 1:
        yield Finding(
            "cluster.instanceTypes",
            kinds,
            "is one type: when AWS runs out of it, no node starts; add a similar one",
            warning=True,
        )
    if len({kind.partition(".")[2] for kind in kinds}) > 1:
        yield Finding(
            "cluster.instanceTypes",
            kinds,
            "are of several sizes: the cluster autoscaler reckons with the first one's",
            warning=True,
        )


@_rule("cluster.publicAccessCidrs", "account.production")
def _public_endpoint(s: Settings) -> Findings:
    cidrs = s.cluster.public_access_cidrs
    yield from _listed_once("cluster.publicAccessCidrs", cidrs)
    if "0.0.0.0/0" in cidrs:
        yield Finding(
            "cluster.publicAccessCidrs",
            cidrs,
            "lets the whole internet try the API server: name the ranges that need it",
            warning=not s.account.production,
        )
    if not cidrs and not s.account.production:
        yield Finding(
            "cluster.publicAccessCidrs",
            cidrs,
            "leaves the API server to the VPC: Pulumi must run there (VPN, CloudShell in the VPC)",
            warning=True,
        )


@_rule("cluster.adminPrincipalArns", "cluster.viewerPrincipalArns", "account.id", "account.region")
def _principals(s: Settings) -> Findings:
    admins, viewers = s.cluster.admin_principal_arns, s.cluster.viewer_principal_arns
    yield from _listed_once("cluster.adminPrincipalArns", admins)
    yield from _listed_once("cluster.viewerPrincipalArns", viewers)
    for arn in viewers:
        if arn in admins:
            yield Finding(
                "cluster.viewerPrincipalArns",
                arn,
                "is an administrator too, and EKS takes one access entry for each: leave one",
            )
    for key, arns in (
        ("cluster.adminPrincipalArns", admins),
        ("cluster.viewerPrincipalArns", viewers),
    ):
        for arn in arns:
            if arn.split(":")[4] != s.account.id:
                yield Finding(
                    key,
                    arn,
                    f"is of another account than account.id, {s.account.id}: name a role there "
                    "that these people may assume",
                )


# ---- Airflow ----


@_rule(
    "airflow.environmentClass",
    "airflow.minWorkers",
    "airflow.maxWorkers",
    "airflow.schedulers",
    "airflow.minWebservers",
    "airflow.maxWebservers",
)
def _environment_class(s: Settings) -> Findings:
    airflow = s.airflow
    for low, high, names in (
        (airflow.min_workers, airflow.max_workers, ("minWorkers", "maxWorkers")),
        (airflow.min_webservers, airflow.max_webservers, ("minWebservers", "maxWebservers")),
    ):
        if low > high:
            yield Finding(
                f"airflow.{names[0]}",
                low,
                f"is more than airflow.{names[1]}, {high}: lower it or raise that",
            )
    if airflow.max_workers > 25:
        yield Finding(
            "airflow.maxWorkers",
            airflow.max_workers,
            "is more than AWS gives unasked, 25: have the quota raised first",
            warning=True,
        )
    micro = airflow.environment_class == "mw1.micro"
    fixed = {
        "schedulers": airflow.schedulers,
        "minWebservers": airflow.min_webservers,
        "maxWebservers": airflow.max_webservers,
    }
    if micro:
        fixed |= {"minWorkers": airflow.min_workers, "maxWorkers": airflow.max_workers}
    for name, count in fixed.items():
        if micro and count != 1:
            yield Finding(f"airflow.{name}", count, "must be 1 with environmentClass mw1.micro")
        if not micro and count < 2:
            yield Finding(
                f"airflow.{name}",
                count,
                f"must be 2 to 5 with environmentClass {airflow.environment_class}; only mw1.micro "
                "runs on one",
            )


@_rule("airflow.webserverAccess", "airflow.version", "network.nat")
def _webserver_access(s: Settings) -> Findings:
    access, version = s.airflow.webserver_access, s.airflow.version
    number = tuple(map(int, version.split(".")))
    if access == "PUBLIC_AND_PRIVATE" and number < (3, 2):
        yield Finding(
            "airflow.webserverAccess",
            access,
            f"needs Airflow 3.2 or later, and airflow.version is {version}: choose PUBLIC_ONLY or "
            "PRIVATE_ONLY, or raise the version",
        )
    if access == "PUBLIC_ONLY" and number >= (3,) and s.network.nat == "none":
        yield Finding(
            "airflow.webserverAccess",
            access,
            "leaves the workers of Airflow 3, which call the web server, no way to it without NAT: "
            "choose PUBLIC_AND_PRIVATE or PRIVATE_ONLY, or a network.nat",
        )


# Options that MWAA keeps for itself (aws/amazon-mwaa-docker-images) or this program sets.
_BLOCKED_OPTIONS = {
    r"core\.(executor|auth_manager|load_examples|multi_team)": "MWAA sets it",
    r"celery\.(broker_url|result_backend)": "MWAA sets it",
    r"(core|database)\.sql_alchemy_conn": "MWAA sets it",
    r"logging\.logging_config_class": "MWAA sets it",
    r"metrics\..*": "MWAA sends metrics to CloudWatch itself",
    r"api_auth\..*": "MWAA issues the tokens",
    r"scheduler\.standalone_dag_processor": "MWAA sets it",
    r"triggerer\.queues_enabled": "deferred tasks would hang on MWAA",
    r"secrets\.(backend|backend_kwargs)": "the connections of this platform rely on what it sets",
}
_RENAMED_OPTIONS = {
    "triggerer.default_capacity": "triggerer.capacity",
    "scheduler.parsing_processes": "dag_processor.parsing_processes",
    "scheduler.min_file_process_interval": "dag_processor.min_file_process_interval",
    "scheduler.dag_dir_list_interval": "dag_processor.refresh_interval",
    "core.dag_file_processor_timeout": "dag_processor.dag_file_processor_timeout",
    "webserver.default_ui_timezone": None,
    "scheduler.scheduler_zombie_task_threshold": None,
    "webserver.dag_default_view": None,
    "webserver.dag_orientation": None,
    "core.load_default_connections": None,
}
"""Options of Airflow 2 and their names in Airflow 3, None where there is none."""


@_rule("airflow.options", "airflow.version")
def _options(s: Settings) -> Findings:
    three = s.airflow.version.startswith("3.")
    new_names = {new: old for old, new in _RENAMED_OPTIONS.items() if new}
    for option, value in s.airflow.options.items():
        key = f"airflow.options.{option}"
        for pattern, reason in _BLOCKED_OPTIONS.items():
            if re.fullmatch(pattern, option):
                yield Finding(key, value, f"cannot be set, because {reason}: remove it")
        if three and option in _RENAMED_OPTIONS:
            new = _RENAMED_OPTIONS[option]
            way_out = f"write {new}" if new else "remove it"
            yield Finding(key, value, f"is not known to Airflow {s.airflow.version}: {way_out}")
        if not three and option in new_names:
            text = f"is Airflow 3's name for {new_names[option]}: write that"
            yield Finding(key, value, text)


@_rule("airflow.version", "airflow.dagDelivery", "airflow.webserverAccess", "network.nat")
def _requirements(s: Settings) -> Findings:
    if s.airflow.dag_delivery == "pipeline":
        return
    key, version = "airflow.version", AIRFLOW[s.airflow.version]
    if not REQUIREMENTS.exists():
        yield Finding(key, s.airflow.version, f"needs {REQUIREMENTS.name} in dags/: write it")
        return
    lines = [line.strip() for line in REQUIREMENTS.read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    constraint = f'--constraint "{version.constraints_url(s.airflow.version)}"'
    if lines[:1] != [constraint]:
        yield Finding(key, s.airflow.version, f"asks dags/requirements.txt to begin {constraint}")
    packages = [line for line in lines if not line.startswith("-")]
    for line in packages:
        package, _, pin = line.partition("==")
        if not re.fullmatch(r"[\w.-]+(\[[\w,.-]+\])?==[\w.+!-]+", line):
            text = f"dags/requirements.txt: {line} is not pinned to a release: write name==version"
            yield Finding(key, s.airflow.version, text)
        elif package in ("apache-airflow", "kubernetes"):
            text = f"dags/requirements.txt: the constraints pin {package} already: remove {line}"
            yield Finding(key, s.airflow.version, text)
        elif (
            package == "apache-airflow-providers-cncf-kubernetes"
            and pin != version.kubernetes_provider
        ):
            right = f"{package}=={version.kubernetes_provider}"
            text = f"dags/requirements.txt: {line} is against the constraints: write {right}"
            yield Finding(key, s.airflow.version, text)
    offline = s.network.nat == "none" or s.airflow.webserver_access == "PRIVATE_ONLY"
    if packages and offline and "--no-index" not in lines:
        yield Finding(
            "airflow.webserverAccess",
            s.airflow.webserver_access,
            "or network.nat keeps MWAA from PyPI: ship the packages of dags/requirements.txt as "
            "wheels in plugins.zip, with --find-links and --no-index",
            warning=True,
        )


# ---- Production ----


@dataclass(frozen=True)
class Weakness:
    """What a production stack must not have, or must accept by name."""

    risk: Risk
    key: str
    found: Callable[[Settings], object]
    is_weak: Callable[[Settings], bool]
    text: str


_WEAKNESSES = (
    Weakness(
        "singleNat",
        "network.nat",
        lambda s: s.network.nat,
        lambda s: s.network.nat == "single",
        "ends the way out for all zones when one zone fails: choose perZone",
    ),
    Weakness(
        "noDeletionProtection",
        "cluster.deletionProtection",
        lambda s: s.cluster.deletion_protection,
        lambda s: not s.cluster.deletion_protection,
        "lets one command delete the cluster: set it to true",
    ),
    Weakness(
        "forceDestroy",
        "account.forceDestroy",
        lambda s: s.account.force_destroy,
        lambda s: s.account.force_destroy,
        "lets one command delete all DAGs and job data: set it to false",
    ),
    Weakness(
        "publicWebServer",
        "airflow.webserverAccess",
        lambda s: s.airflow.webserver_access,
        lambda s: s.airflow.webserver_access == "PUBLIC_ONLY",
        "sends workers to the web server through the internet: choose PUBLIC_AND_PRIVATE or "
        "PRIVATE_ONLY",
    ),
    Weakness(
        "publicEndpoint",
        "cluster.publicAccessCidrs",
        lambda s: s.cluster.public_access_cidrs,
        lambda s: bool(s.cluster.public_access_cidrs),
        "opens the API server to addresses on the internet: leave it empty",
    ),
    Weakness(
        "deployerOnlyAdmin",
        "cluster.adminPrincipalArns",
        lambda s: s.cluster.admin_principal_arns,
        lambda s: not s.cluster.admin_principal_arns,
        "leaves the cluster to the identity that deployed it: name a role of its administrators",
    ),
    Weakness(
        "shortLogRetention",
        "account.logRetentionDays",
        lambda s: s.account.log_retention_days,
        lambda s: s.account.log_retention_days < 365,
        "is less than a year: choose 365 or more",
    ),
)


def _weakness(weakness: Weakness, s: Settings) -> Findings:
    accepted = weakness.risk in s.account.accepted_risks
    if s.account.production and accepted != weakness.is_weak(s):
        if accepted:
            text = f"{weakness.risk} is accepted without need: remove it"
            yield Finding("account.acceptedRisks", s.account.accepted_risks, text, warning=True)
        else:
            yield Finding(
                weakness.key,
                weakness.found(s),
                f"{weakness.text}; or add {weakness.risk} to account.acceptedRisks",
            )


RULES.extend(
    Rule(
        frozenset({"account.production", "account.acceptedRisks", weakness.key}),
        partial(_weakness, weakness),
    )
    for weakness in _WEAKNESSES
)
