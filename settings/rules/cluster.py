"""The EKS cluster, its nodes and who may enter it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network

from settings.rules.rule import Finding, Findings, Rules, listed_once, supported, too_open
from settings.stack import Settings
from settings.versions import KUBERNETES

RULES = Rules()


@RULES.reading("cluster.kubernetesVersion", "account.acceptedRisks")
def _kubernetes_support(s: Settings) -> Findings:
    version = s.cluster.kubernetes_version
    ends = KUBERNETES[version].support_ends
    yield from supported(s, "cluster.kubernetesVersion", version, ends, next(iter(KUBERNETES)))


@RULES.reading("cluster.authenticationMode")
def _authentication_mode(s: Settings) -> Findings:
    if s.cluster.authentication_mode == "API":
        yield Finding(
            "cluster.authenticationMode",
            s.cluster.authentication_mode,
            "has no way back, and EMR on EKS documents API_AND_CONFIG_MAP only for the access that "
            "a virtual cluster gets: choose that, unless EMR works without in your account",
            warning=True,
        )


@RULES.reading("cluster.nodeMin", "cluster.nodeMax")
def _node_range(s: Settings) -> Findings:
    if s.cluster.node_min > s.cluster.node_max:
        yield Finding(
            "cluster.nodeMin",
            s.cluster.node_min,
            f"is more than cluster.nodeMax, {s.cluster.node_max}: lower it or raise that",
        )


# What runs on the nodes' image (AL2023 standard, "AMI types" in the EKS user guide) but without
# what it is paid for: drivers, and a device plugin that gives the devices to pods.
UNFIT_TYPES = {
    r"(g|gr|cg|p)\d.*": "has GPUs, for which the nodes have neither driver nor device plugin",
    r"(inf|trn)\d.*": "has Neuron chips, for which the nodes have neither driver nor device plugin",
    r"(dl|f|vt)\d.*": "has accelerators, for which the nodes have neither driver nor device plugin",
    r"mac\d.*": "runs macOS only",
    r".*\.metal.*": "is a whole machine, which may take longer to start than the autoscaler waits",
}


def _groups(s: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the instance types of each group of nodes, by the setting that names them."""
    yield "cluster.instanceTypes", s.cluster.instance_types
    if s.spark.spot is not None:
        yield "spark.spot.instanceTypes", s.spark.spot.instance_types


@RULES.reading("cluster.instanceTypes", "spark.spot")
def _fit_types(s: Settings) -> Findings:
    for key, kinds in _groups(s):
        for kind in kinds:
            for pattern, why in UNFIT_TYPES.items():
                if re.fullmatch(pattern, kind):
                    yield Finding(
                        key, kind, f"{why}: choose a type for general work, such as m7i.xlarge"
                    )
                    break


@RULES.reading("cluster.instanceTypes", "cluster.architecture", "spark.spot")
def _instance_types(s: Settings) -> Findings:
    for key, kinds in _groups(s):
        yield from listed_once(key, kinds)
        for kind in kinds:
            # Graviton families have a g behind their generation: m7g, c7gn, im4gn.
            graviton = bool(re.match(r"[a-z]+\d+g|a1\.", kind))
            if graviton != (s.cluster.architecture == "arm64"):
                right = "arm64" if graviton else "x86_64"
                yield Finding(
                    key,
                    kind,
                    f"is {right}: set cluster.architecture to that or choose another type",
                )
        if len(kinds) == 1:
            yield Finding(
                key,
                kinds,
                "is one type: when AWS runs out of it, no node starts; add a similar one",
                warning=True,
            )
        if len(set(map(_size, kinds))) > 1:
            yield Finding(
                key,
                kinds,
                "are of several sizes: the cluster autoscaler reckons with the first one's",
                warning=True,
            )


# What a family has of memory, by its first letter: those of one have the same for each CPU.
_LIKE = {"t": "m", "i": "r", "z": "r"}


def _size(kind: str) -> tuple[str, str]:
    """Return what decides on CPUs and memory of an instance."""
    return _LIKE.get(kind[0], kind[0]), kind.partition(".")[2]


@RULES.reading(
    "cluster.publicAccessCidrs",
    "cluster.privateAccessCidrs",
    "cluster.privateAccessSecurityGroupIds",
    "account.production",
)
def _ways_to_the_api_server(s: Settings) -> Findings:
    cidrs = s.cluster.public_access_cidrs
    yield from listed_once("cluster.publicAccessCidrs", cidrs)
    yield from too_open(
        "cluster.publicAccessCidrs",
        map(IPv4Network, cidrs),
        "try the API server",
        warning=not s.account.production,
    )
    yield from too_open(
        "cluster.privateAccessCidrs",
        s.cluster.private_access_cidrs,
        "try the API server, as far as it is routed to the VPC",
        warning=not s.account.production,
    )
    private = s.cluster.private_access_cidrs, s.cluster.private_access_security_group_ids
    yield from listed_once("cluster.privateAccessCidrs", map(str, private[0]))
    yield from listed_once("cluster.privateAccessSecurityGroupIds", private[1])
    if not cidrs and not any(private):
        # "Cluster API server endpoint", Amazon EKS user guide: all traffic must come from the VPC
        # or a connected network, and the cluster security group must let it in.
        yield Finding(
            "cluster.publicAccessCidrs",
            cidrs,
            "leaves nobody a way to the API server, not even Pulumi: name where it runs, in "
            "cluster.privateAccessCidrs or privateAccessSecurityGroupIds (a machine in a network "
            "connected to the VPC), or here, until such a machine is there",
        )
    elif not cidrs and not s.account.production:
        yield Finding(
            "cluster.publicAccessCidrs",
            cidrs,
            "leaves the private way only: Pulumi must run where cluster.privateAccessCidrs or "
            "privateAccessSecurityGroupIds say",
            warning=True,
        )


@RULES.reading(
    "cluster.adminPrincipalArns",
    "cluster.viewerPrincipalArns",
    "spark.teams",
    "account.id",
    "account.region",
)
def _principals(s: Settings) -> Findings:
    admins, viewers = s.cluster.admin_principal_arns, s.cluster.viewer_principal_arns
    lists = {"cluster.adminPrincipalArns": admins, "cluster.viewerPrincipalArns": viewers}
    for arn in viewers:
        if arn in admins:
            yield Finding(
                "cluster.viewerPrincipalArns",
                arn,
                "is an administrator too, and EKS takes one access entry for each: leave one",
            )
    lists |= _members(s)
    for key, arns in lists.items():
        yield from listed_once(key, arns)
        for arn in arns:
            if arn.split(":")[4] != s.account.id:
                yield Finding(
                    key,
                    arn,
                    f"is of another account than account.id, {s.account.id}: name a role there "
                    "that these people may assume",
                )


def _members(s: Settings) -> dict[str, tuple[str, ...]]:
    return {
        f"spark.teams[{place}].members": team.members for place, team in enumerate(s.spark.teams)
    }


@RULES.reading("cluster.adminPrincipalArns", "cluster.viewerPrincipalArns", "spark.teams")
def _names_of_principals(s: Settings) -> Findings:
    lists = {
        "cluster.adminPrincipalArns": s.cluster.admin_principal_arns,
        "cluster.viewerPrincipalArns": s.cluster.viewer_principal_arns,
        **_members(s),
    }
    before: dict[tuple[str, ...], str] = {}
    for key, arns in lists.items():
        for arn in arns:
            *kind, path = arn.lower().split("/", 1)
            other = before.setdefault((*kind, path.rpartition("/")[2]), arn)
            if other != arn:
                yield Finding(
                    key,
                    arn,
                    f"has the name of {other}, and IAM keeps a name once, whatever its path and "
                    "capitals: leave the one that exists",
                )


# "Amazon VPC quotas", Amazon VPC User Guide.
_INBOUND_RULES = 60


@RULES.reading("cluster.privateAccessCidrs", "cluster.privateAccessSecurityGroupIds")
def _rules_of_the_security_group(s: Settings) -> Findings:
    named = len(s.cluster.private_access_cidrs) + len(s.cluster.private_access_security_group_ids)
    rules = named + 2  # of the nodes, which EKS makes, and of Airflow
    if rules > _INBOUND_RULES:
        yield Finding(
            "cluster.privateAccessCidrs",
            named,
            f"are, with privateAccessSecurityGroupIds, {rules} rules of the cluster's security "
            f"group, and AWS gives it {_INBOUND_RULES} unasked: name wider ranges, or have the "
            "quota of inbound rules per security group raised first",
            warning=True,
        )


# "Amazon Elastic Kubernetes Service endpoints and quotas", AWS General Reference.
_ACCESS_ENTRIES = 3000


@RULES.reading("cluster.adminPrincipalArns", "cluster.viewerPrincipalArns", "spark.teams")
def _number_of_principals(s: Settings) -> Findings:
    listed = {*s.cluster.admin_principal_arns, *s.cluster.viewer_principal_arns}
    teams = sum(bool(team.members) for team in s.spark.teams)
    most = _ACCESS_ENTRIES - 6  # of whoever deploys, nodes, Airflow, EMR and the two for workflows
    if len(listed) + teams > most:
        yield Finding(
            "cluster.viewerPrincipalArns",
            len(listed) + teams,
            f"are, with administrators and teams, more principals than {most}, and no "
            "cluster has room for more: name roles that people assume instead of users",
        )
