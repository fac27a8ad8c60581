"""The EKS cluster, its nodes and who may enter it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from settings.rules.cluster import UNFIT_TYPES
from tests.settings.conftest import (
    ADMIN,
    PRODUCTION,
    Load,
    assert_mistake,
    assert_right,
    assert_warning,
    botocore_shape,
    mistakes,
)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"cluster.nodeMin": 10}, "cluster.nodeMin", "more than cluster.nodeMax, 9"),
        (
            {"cluster.instanceTypes": ["m7i.xlarge", "m7g.xlarge"]},
            "cluster.instanceTypes",
            "is arm64: set cluster.architecture",
        ),
        (
            {
                "cluster.architecture": "arm64",
                "cluster.instanceTypes": ["m7g.xlarge", "m5dn.xlarge"],
            },
            "cluster.instanceTypes",
            "is x86_64: set",
        ),
        ({"cluster.instanceTypes": ["m7i.xlarge"] * 2}, "cluster.instanceTypes", "listed 2 times"),
        (
            {"spark.spot": {"instanceTypes": ["m7i.xlarge", "m7g.xlarge"], "max": 9}},
            "spark.spot.instanceTypes",
            "is arm64: set cluster.architecture",
        ),
        (
            {"spark.spot": {"instanceTypes": ["m7i.xlarge"] * 2, "max": 9}},
            "spark.spot.instanceTypes",
            "listed 2 times",
        ),
        (
            {"spark.spot": {"instanceTypes": ["m7i.xlarge", "g5.xlarge"], "max": 9}},
            "spark.spot.instanceTypes",
            "has GPUs",
        ),
        ({"cluster.publicAccessCidrs": []}, "cluster.publicAccessCidrs", "nobody a way"),
        (
            {"cluster.privateAccessCidrs": ["10.8.0.0/16"] * 2},
            "cluster.privateAccessCidrs",
            "2 times",
        ),
        (
            {"cluster.privateAccessSecurityGroupIds": ["sg-1234"]},
            "cluster.privateAccessSecurityGroupIds[0]",
            "must be the id of a security group",
        ),
        (
            {"cluster.publicAccessCidrs": ["192.0.2.0/24"] * 2},
            "cluster.publicAccessCidrs",
            "2 times",
        ),
        ({"cluster.adminPrincipalArns": [ADMIN, ADMIN]}, "cluster.adminPrincipalArns", "2 times"),
        ({"cluster.viewerPrincipalArns": [ADMIN, ADMIN]}, "cluster.viewerPrincipalArns", "2 times"),
        (
            {"cluster.adminPrincipalArns": [ADMIN], "cluster.viewerPrincipalArns": [ADMIN]},
            "cluster.viewerPrincipalArns",
            "an administrator too",
        ),
        (
            {"spark.teams": [{"name": "mwaa", "members": [ADMIN, ADMIN]}]},
            "spark.teams[0].members",
            "2 times",
        ),
        (
            {
                "spark.teams": [
                    {"name": "mwaa"},
                    {"name": "b", "members": ["arn:aws:iam::999999999999:role/B"]},
                ]
            },
            "spark.teams[1].members",
            "another account than account.id, 111122223333",
        ),
        (
            {"cluster.adminPrincipalArns": ["arn:aws:iam::999999999999:role/Admin"]},
            "cluster.adminPrincipalArns",
            "another account than account.id, 111122223333",
        ),
        (
            PRODUCTION
            | {
                "cluster.publicAccessCidrs": ["0.0.0.0/0"],
                "account.acceptedRisks": ["publicEndpoint"],
            },
            "cluster.publicAccessCidrs",
            "whole internet",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster.nodeMin": 9},
        {"cluster.architecture": "arm64", "cluster.instanceTypes": ["m7g.xlarge", "m8gn.xlarge"]},
        {"cluster.instanceTypes": ["m5dn.xlarge", "m7i-flex.xlarge"]},
        {"spark.spot": {"instanceTypes": ["r7i.2xlarge", "r6i.2xlarge", "i4i.2xlarge"], "max": 1}},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"cluster.kubernetesVersion": "1.34"}, "cluster.kubernetesVersion", "2026-12-02 only"),
        ({"cluster.instanceTypes": ["m7i.xlarge"]}, "cluster.instanceTypes", "is one type"),
        (
            {"cluster.instanceTypes": ["m7i.xlarge", "m7i.2xlarge"]},
            "cluster.instanceTypes",
            "of several sizes",
        ),
        (
            {"cluster.instanceTypes": ["r7i.xlarge", "m7i.xlarge"]},
            "cluster.instanceTypes",
            "of several sizes",
        ),
        (
            {"spark.spot": {"instanceTypes": ["m7i.xlarge"], "max": 9}},
            "spark.spot.instanceTypes",
            "is one type",
        ),
        (
            {"spark.spot": {"instanceTypes": ["c7i.xlarge", "m7i.xlarge"], "max": 9}},
            "spark.spot.instanceTypes",
            "of several sizes",
        ),
        (
            {"cluster.publicAccessCidrs": ["0.0.0.0/0"]},
            "cluster.publicAccessCidrs",
            "whole internet",
        ),
        (
            {"cluster.publicAccessCidrs": [], "cluster.privateAccessCidrs": ["10.8.0.0/16"]},
            "cluster.publicAccessCidrs",
            "must run where",
        ),
        (
            {"cluster.authenticationMode": "API"},
            "cluster.authenticationMode",
            "EMR on EKS documents API_AND_CONFIG_MAP",
        ),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    assert_warning(load, warnings, changes, key, text)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        *((kind, "has GPUs") for kind in ("g4dn", "g4ad", "g6e", "gr6", "p3", "p4de", "p6-b200")),
        *((kind, "has Neuron chips") for kind in ("inf1", "inf2", "trn1n", "trn2")),
        *((kind, "has accelerators") for kind in ("dl1", "dl2q", "f2", "vt1")),
        ("mac2-m2", "runs macOS"),
    ],
)
def test_a_type_that_needs_another_image_or_driver_is_refused(
    load: Load, kind: str, why: str
) -> None:
    kinds = [f"{kind}.2xlarge", "m7i.2xlarge"]
    assert_mistake(load, {"cluster.instanceTypes": kinds}, "cluster.instanceTypes", why)


@pytest.mark.parametrize("kind", ["m7i.metal-24xl", "c5.metal"])
def test_a_whole_machine_is_refused(load: Load, kind: str) -> None:
    kinds = [kind, "m7i.24xlarge"]
    (line,) = mistakes(load, {"cluster.instanceTypes": kinds, "network.cidrBlock": "10.0.0.0/16"})
    assert "is a whole machine" in line


def test_whole_families_are_refused_of_those_that_ec2_has() -> None:
    kinds = [kind for kind in botocore_shape("ec2", "InstanceType")["enum"] if "metal" not in kind]
    families = {found[0] for kind in kinds if (found := re.match(r"[a-z]+(?=\d)", kind))}
    refused = {
        family
        for family in families
        if any(re.fullmatch(pattern, f"{family}1.xlarge") for pattern in UNFIT_TYPES)
    }

    assert refused == {"g", "gr", "cg", "p", "inf", "trn", "dl", "f", "vt"}
    assert {"m", "c", "r", "t", "i", "im", "is", "x", "z", "hpc"} <= families - refused


HALVES = ["0.0.0.0/1", "128.0.0.0/1"]
MOST = [f"{first}.0.0.0/4" for first in range(16, 224, 16)]


@pytest.mark.parametrize(
    ("cidrs", "part"),
    [
        (HALVES, "the whole internet"),
        (["0.0.0.0/0", "203.0.113.0/24"], "the whole internet"),
        (MOST, "81.5% of the internet"),
        (["8.0.0.0/7"], "0.8% of the internet"),
        (["9.0.0.0/8", "203.0.113.7/32"], "0.4% of the internet"),
    ],
)
@pytest.mark.parametrize("setting", ["publicAccessCidrs", "privateAccessCidrs"])
def test_ranges_that_open_the_api_server_together_are_refused_in_production(
    load: Load, warnings: list[str], setting: str, cidrs: list[str], part: str
) -> None:
    changes = {f"cluster.{setting}": cidrs}
    accepted = {"account.acceptedRisks": ["publicEndpoint"]}

    load(changes)
    (warned,) = warnings
    production = PRODUCTION | changes | (accepted if setting == "publicAccessCidrs" else {})
    (line,) = mistakes(load, production)

    assert line == warned
    assert line.startswith(f'mwaa-on-eks:cluster.{setting} = ["{cidrs[0]}"')
    assert f"lets {part} try the API server" in line
    assert line.endswith("name the ranges that need it, together no more than a /8")


def test_private_ranges_open_nothing_to_the_internet(load: Load, warnings: list[str]) -> None:
    private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "9.0.0.0/8"]
    assert_right(load, warnings, {"cluster.privateAccessCidrs": private})


def test_a_security_group_has_sixty_rules_unasked(load: Load, warnings: list[str]) -> None:
    groups = [f"sg-{number:08x}" for number in range(19)]
    changes = {
        "cluster.privateAccessCidrs": [f"10.{number}.0.0/16" for number in range(100, 140)],
        "cluster.privateAccessSecurityGroupIds": groups,
    }
    assert_right(load, warnings, changes | {"cluster.privateAccessSecurityGroupIds": groups[:18]})
    assert_warning(
        load,
        warnings,
        changes,
        "cluster.privateAccessCidrs",
        "= 59: are, with privateAccessSecurityGroupIds, 61 rules of the cluster's security group, "
        "and AWS gives it 60 unasked: name wider ranges, or have the quota of inbound rules per "
        "security group raised first",
    )


def test_a_cluster_has_three_thousand_access_entries(load: Load, warnings: list[str]) -> None:
    people = [f"arn:aws:iam::111122223333:user/user-{number}" for number in range(2993)]
    changes = {
        "cluster.adminPrincipalArns": people[:1],
        "cluster.viewerPrincipalArns": people[1:],
        "spark.teams": [
            {"name": "mwaa", "members": people[:2]},
            {"name": "risk", "members": people[:1]},
        ],
    }
    assert_mistake(
        load,
        changes,
        "cluster.viewerPrincipalArns = 2995: ",
        "are, with administrators and teams, more principals than 2994, and no cluster has "
        "room for more: name roles that people assume instead of users",
    )
    assert_right(load, warnings, changes | {"cluster.adminPrincipalArns": []})
