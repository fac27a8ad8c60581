"""The EKS cluster, its nodes and who may enter it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import (
    ADMIN,
    PRODUCTION,
    Load,
    assert_mistake,
    assert_right,
    assert_warning,
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
                "cluster.instanceTypes": ["m7g.xlarge", "g4dn.xlarge"],
            },
            "cluster.instanceTypes",
            "is x86_64: set",
        ),
        ({"cluster.instanceTypes": ["m7i.xlarge"] * 2}, "cluster.instanceTypes", "listed 2 times"),
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
            {"spark.teams": [{"name": "mwaa", "viewerPrincipalArns": [ADMIN, ADMIN]}]},
            "spark.teams[0].viewerPrincipalArns",
            "2 times",
        ),
        (
            {
                "cluster.viewerPrincipalArns": [ADMIN],
                "spark.teams": [{"name": "mwaa", "viewerPrincipalArns": [ADMIN]}],
            },
            "spark.teams[0].viewerPrincipalArns",
            "may look at everything already",
        ),
        (
            {
                "spark.teams": [
                    {"name": "mwaa"},
                    {"name": "b", "viewerPrincipalArns": ["arn:aws:iam::999999999999:role/B"]},
                ]
            },
            "spark.teams[1].viewerPrincipalArns",
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
        {"cluster.architecture": "arm64", "cluster.instanceTypes": ["m7g.xlarge", "c7gn.xlarge"]},
        {"cluster.instanceTypes": ["g4dn.xlarge", "m7i-flex.xlarge"]},
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
