"""What holds for every stack that is accepted, whatever its settings."""

from __future__ import annotations

import operator
import re
from contextlib import suppress
from ipaddress import IPv4Network
from itertools import combinations
from math import ceil
from typing import Any

import pulumi
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from components.subnet_plan import plan_subnets
from settings.stack import Settings
from tests.settings.any_settings import FIXED, STACKS, names, networks
from tests.settings.conftest import Load, botocore_shape

# `load` and `dags` keep nothing from one example to the next.
FEW = settings(
    FIXED,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)

pytestmark = pytest.mark.usefixtures("dags")


def accepted(load: Load, changes: dict[str, Any], stack: str = "dev") -> Settings:
    """What is loaded; an example that is refused, in one error and no other way, is passed over."""
    loaded = None
    with suppress(pulumi.RunError):
        loaded = load(changes, stack=stack)
    assume(loaded is not None)
    assert loaded is not None
    return loaded


@FEW
@given(changes=networks())
def test_subnets_fit_do_not_overlap_and_have_room(load: Load, changes: dict[str, Any]) -> None:
    s = accepted(load, changes)
    vpc, zones = s.network.cidr_block, s.network.zone_count
    plan = plan_subnets(vpc, zones)
    subnets = [*plan.private, *plan.public]

    assert len(plan.private) == len(plan.public) == zones
    assert all(subnet.subnet_of(vpc) for subnet in subnets)
    assert not any(one.overlaps(other) for one, other in combinations(subnets, 2))
    # "Subnet CIDR blocks", Amazon VPC User Guide; a NAT gateway and what AWS keeps in the public.
    assert all(16 <= subnet.prefixlen <= 28 for subnet in (vpc, *subnets))
    # Every node with all addresses that its type can hold, "Maximum pods", Amazon EKS User Guide.
    most = {"large": 30, "xlarge": 60, "2xlarge": 60, "4xlarge": 250}
    groups = [s.cluster.node_group, *([s.spot_node_group] if s.spot_node_group else [])]
    nodes = sum(
        ceil(group.max_size / zones)
        * max(most[kind.partition(".")[2]] for kind in group.instance_types)
        for group in groups
    )
    assert nodes + s.airflow.max_workers / 2 < plan.private[0].num_addresses - 5


@FEW
@given(changes=networks())
def test_a_further_zone_moves_no_subnet(load: Load, changes: dict[str, Any]) -> None:
    s = accepted(load, changes)
    assume(s.network.zone_count < 4)
    plan, wider = (plan_subnets(s.network.cidr_block, s.network.zone_count + n) for n in (0, 1))

    assert wider.private[: len(plan.private)] == plan.private
    assert wider.public[: len(plan.public)] == plan.public


def is_name(service: str, shape: str, name: str) -> bool:
    limits = botocore_shape(service, shape)
    pattern = limits["pattern"].removeprefix("^").removesuffix("$")
    return bool(re.fullmatch(pattern, name)) and limits["min"] <= len(name) <= limits["max"]


@FEW
@example(changes={"spark.teams": [{"name": "t" * 19}]}, stack="x" * 33)
@example(changes={"spark.teams": [{"name": "t" * 18}]}, stack="x" * 33)
@given(changes=names(), stack=STACKS)
def test_names_are_names_to_every_service(load: Load, changes: dict[str, Any], stack: str) -> None:
    s = accepted(load, changes, stack)
    teams = [team.name for team in s.spark.teams]
    namespaces = [team.namespace for team in s.spark.teams] + [s.airflow.pod_namespace]

    assert is_name("eks", "ClusterName", s.name)
    assert is_name("mwaa", "EnvironmentName", s.name)
    assert is_name("kms", "AliasNameType", f"alias/{s.name}")
    assert is_name("logs", "LogGroupName", f"/aws/eks/{s.name}/cluster")
    for team in teams:
        assert is_name("emr-containers", "ResourceNameString", s.virtual_cluster_name(team))
        assert is_name("logs", "LogGroupName", f"/aws/x/{s.virtual_cluster_name(team)}")
    for namespace in namespaces:
        assert is_name("emr-containers", "KubernetesNamespace", namespace)
    # "General purpose bucket naming rules", Amazon S3 User Guide.
    for bucket in (s.dag_bucket_name, s.job_bucket_name):
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket)
    assert len(set(namespaces)) == len(namespaces)


def test_most_examples_are_accepted_and_some_are_not(load: Load) -> None:
    """Else the properties would hold for nothing."""
    told = {True: 0, False: 0}

    @settings(FEW, max_examples=40)
    @given(changes=st.builds(operator.or_, names(), networks()), stack=STACKS)
    def count(changes: dict[str, Any], stack: str) -> None:
        try:
            load(changes, stack=stack)
        except pulumi.RunError:
            told[False] += 1
        else:
            told[True] += 1

    count()
    assert told[True] > 10
    assert told[False] > 3


def test_ranges_are_drawn_at_both_ends() -> None:
    assert plan_subnets(IPv4Network("10.0.0.0/24"), 4).public[-1].prefixlen == 28
