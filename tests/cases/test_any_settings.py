"""Every stack that is accepted previews, with names that AWS takes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pulumi
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.cases.conftest import Run
from tests.settings.any_settings import FIXED, names, networks
from tests.settings.conftest import botocore_shape

SUFFIX = "-1234567"
"""What Pulumi puts behind a logical name to make a physical one."""
LIMITS = {"iam/role:Role": "roleNameType", "iam/policy:Policy": "policyNameType"}


@settings(
    FIXED,
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],  # a run takes a second, and would be shrunk many times
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(changes=st.tuples(networks(), names()))
def test_an_accepted_stack_previews(
    run: Run, changes: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    given_settings = {key.replace(".", "_"): value for one in changes for key, value in one.items()}
    program = None
    with suppress(pulumi.RunError):
        program = run(**given_settings)
    assume(program is not None)
    assert program is not None

    zones = len(given_settings.get("network_availabilityZones", [])) or given_settings.get(
        "network_zones", 3
    )
    assert len(program.all("ec2/subnet:Subnet")) == 2 * zones
    assert len(program.all("emrcontainers/virtualCluster:VirtualCluster")) == len(
        given_settings["spark_teams"]
    )
    for kind, shape in LIMITS.items():
        longest = botocore_shape("iam", shape)["max"]
        for resource in program.all(kind):
            name = resource.inputs.get("name", resource.name + SUFFIX)
            assert len(name) <= longest, name
