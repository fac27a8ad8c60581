"""The example stacks as the policy pack sees them when everything is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rules import RULES, Resource, Stack

from operations.policy_settings import policy_settings
from settings.sections import NEEDED_WITHOUT_NAT
from tests.cases.conftest import Program, Run

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {rule.name: "mandatory" for rule in RULES if rule.gate == "production"}


def _stack(program: Program) -> list[Resource]:
    """What the program itself asks for; what pulumi-eks makes, it does not."""
    return [
        Resource(
            one.typ,
            one.name,
            urn,
            one.inputs,
            dependencies={
                key: frozenset(found.urns)
                for key, found in one.request.propertyDependencies.items()
            },
        )
        for urn, one in program.engine.recorded.items()
        if one.request.type
    ]


@pytest.mark.parametrize("stack", ["dev", "prod", "private", "sandbox"])
def test_an_example_stack_violates_nothing_that_it_must_meet(run: Run, stack: str) -> None:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    resources = _stack(run(stack))
    settings = policy_settings(config["mwaa-on-eks:account"], PRODUCTION)
    judged, refused = set(), []
    for rule in RULES:
        # Mocks know no transforms, by which resources are protected.
        if rule.name == "data-protected":
            continue
        for one in resources:
            if one.type in rule.types:
                judged.add(rule.name)
                must = rule.gate == "always" or rule.name in settings
                found = list(rule.check(one, Stack(resources), {}))
                refused += [(rule.name, one.name, told) for told in found if must]
    assert refused == []
    assert len(judged) > 55


@pytest.mark.parametrize("service", ["s3", *NEEDED_WITHOUT_NAT])
def test_no_endpoint_of_a_private_stack_can_be_left_out(
    private: list[Resource], service: str
) -> None:
    (rule,) = (one for one in RULES if one.name == "endpoints-instead-of-internet")
    endpoints = [one for one in private if one.type == "aws:ec2/vpcEndpoint:VpcEndpoint"]
    (left_out,) = (one for one in endpoints if one.props["serviceName"].endswith(f"2.{service}"))
    (vpc,) = (one for one in private if one.type in rule.types)
    stack = Stack([one for one in private if one is not left_out])
    assert list(rule.check(vpc, stack, {})) == [f"none leads to {service}"]


def test_a_private_stack_with_tables_needs_an_endpoint_for_them(run: Run) -> None:
    (rule,) = (one for one in RULES if one.name == "endpoints-instead-of-internet")
    team = {"name": "risk", "glueDatabases": [{"database": "sales"}]}
    made = _stack(run("private", spark_teams=[team]))
    (vpc,) = (one for one in made if one.type in rule.types)
    assert list(rule.check(vpc, Stack(made), {})) == []
    without = [one for one in made if not one.props.get("serviceName", "").endswith(".glue")]
    assert list(rule.check(vpc, Stack(without), {})) == ["none leads to glue"]


@pytest.fixture(scope="module")
def private(run: Run) -> list[Resource]:
    """The example without a way to the internet."""
    return _stack(run("private"))
