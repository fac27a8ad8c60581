"""What a live stack cannot change."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from settings.live import LiveStack
from tests.settings.conftest import Load, mistakes

LIVE = LiveStack(
    name="mwaa-on-eks-dev",
    account_id="111122223333",
    region="us-west-2",
    cidr_block=IPv4Network("10.0.0.0/16"),
    zones={0: "us-west-2a", 1: "us-west-2b", 2: "us-west-2c"},
    teams=("mwaa",),
    pod_namespace="mwaa",
    airflow_version="3.3.1",
    kubernetes_version="1.35",
    authentication_mode="API_AND_CONFIG_MAP",
)
ZONES = ["us-west-2a", "us-west-2b", "us-west-2c"]
RISK = {"name": "risk"}


def test_what_is_live_may_stay(load: Load, warnings: list[str]) -> None:
    load({}, live=LIVE)
    assert warnings == []


@pytest.mark.parametrize(
    "changes",
    [
        {"network.zones": 4},
        {"network.availabilityZones": ZONES},
        {"network.availabilityZones": [*ZONES, "us-west-2d"]},
        {"spark.teams": [RISK, {"name": "mwaa"}]},
        {"cluster.kubernetesVersion": "1.36"},
        {"cluster.authenticationMode": "API"},
        {"airflow.podNamespace": "pods", "account.unprotected": ["namespaces"]},
        {"spark.teams": [RISK], "account.unprotected": ["namespaces", "virtualClusters"]},
    ],
    ids=str,
)
def test_what_can_be_changed_is_no_mistake(load: Load, changes: dict[str, Any]) -> None:
    load(changes, live=LIVE)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"account.id": "444455556666"}, "account.id", "which is 111122223333: put it back"),
        ({"account.region": "eu-west-1"}, "account.region", "which is us-west-2: put it back"),
        ({"network.cidrBlock": "10.1.0.0/16"}, "network.cidrBlock", "live VPC, 10.0.0.0/16, and"),
        ({"network.cidrBlock": "10.0.0.0/17"}, "network.cidrBlock", "a second stack beside"),
        ({"network.zones": 2}, "network.zones", "us-west-2b, us-west-2c), and the control plane"),
        ({"network.availabilityZones": ZONES[:2]}, "network.availabilityZones", "put them back"),
        ({"network.availabilityZones": ZONES[::-1]}, "network.availabilityZones", "in their order"),
        ({"network.availabilityZones": ZONES[1:]}, "network.availabilityZones", "a subnet keeps"),
        ({"spark.teams": [RISK]}, "spark.teams", "lacks mwaa, a live team"),
        (
            {"spark.teams": [RISK], "account.unprotected": ["virtualClusters"]},
            "spark.teams",
            "add virtualClusters and namespaces to account.unprotected",
        ),
        (
            {"airflow.podNamespace": "pods"},
            "airflow.podNamespace",
            "is not the live namespace mwaa",
        ),
        ({"cluster.kubernetesVersion": "1.34"}, "cluster.kubernetesVersion", "older than the live"),
    ],
    ids=lambda given: str(given) if isinstance(given, dict) else "",
)
def test_a_change_that_cannot_be_made_is_refused(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    (line,) = mistakes(load, changes, live=LIVE)
    assert line.startswith(f"mwaa-on-eks:{key} = ")
    assert text in line


def test_whatever_is_unprotected_neither_network_nor_name_can_change(load: Load) -> None:
    all_of_them = ["buckets", "cluster", "environment", "key", "subnets", "vpc"]
    changes = {"network.cidrBlock": "10.1.0.0/16", "account.unprotected": all_of_them}
    (line,) = mistakes(load, changes, live=LIVE)
    assert line.startswith("mwaa-on-eks:network.cidrBlock")
    (line,) = mistakes(load, {"account.unprotected": all_of_them}, stack="new", live=LIVE)
    assert line.startswith('stack = "new": names everything mwaa-on-eks-new, and what this stack')
    assert "is named mwaa-on-eks-dev" in line


def test_kubernetes_goes_one_version_at_a_time(load: Load) -> None:
    live = replace(LIVE, kubernetes_version="1.33")
    (line,) = mistakes(load, {"cluster.kubernetesVersion": "1.35"}, live=live)
    assert "is 2 versions above the live 1.33" in line
    assert "choose 1.34 first" in line


def test_there_is_no_way_back_from_the_authentication_mode_api(load: Load) -> None:
    (line,) = mistakes(load, {}, live=replace(LIVE, authentication_mode="API"))
    assert line.startswith("mwaa-on-eks:cluster.authenticationMode")


def test_the_way_from_airflow_2_to_3_is_told(load: Load, warnings: list[str]) -> None:
    live = replace(LIVE, airflow_version="2.11.2")
    load({}, live=live)
    (line,) = warnings
    assert line.startswith('mwaa-on-eks:airflow.version = "3.3.1": is a major version above 2.11.2')
    assert "aws mwaa update-environment" in line
    warnings.clear()
    load({"account.unprotected": ["environment"]}, live=live)
    assert warnings == []


def test_a_half_made_network_is_held_to_the_zones_that_it_has(load: Load) -> None:
    live = replace(LIVE, zones={1: "us-west-2c"})
    named = {"network.availabilityZones": ["us-west-2b", "us-west-2c"]}
    load(named, live=live)
    (line,) = mistakes(load, {"network.availabilityZones": ZONES}, live=live)
    assert "(us-west-2c)" in line
