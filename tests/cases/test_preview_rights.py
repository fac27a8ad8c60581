"""Whoever previews may look up what the program looks up, and nothing else."""

from __future__ import annotations

import json

from tests.cases.conftest import Run

# What the AWS provider asks for each of its functions.
ACTIONS = {
    "aws:ec2/getVpcEndpointService:getVpcEndpointService": "ec2:DescribeVpcEndpointServices",
    "aws:ecr/getImage:getImage": "ecr:DescribeImages",
    "aws:eks/getAddonVersion:getAddonVersion": "eks:DescribeAddonVersions",
    "aws:index/getAvailabilityZones:getAvailabilityZones": "ec2:DescribeAvailabilityZones",
}


def test_the_role_of_previews_may_do_what_the_program_looks_up(run: Run) -> None:
    program = run(
        delivery_githubRepository="acme/platform",
        network_interfaceEndpoints=["sts"],
        cluster_imageRegistry="123456789012.dkr.ecr.us-west-2.amazonaws.com",
    )
    asked = {ACTIONS[one] for one in program.engine.asked if one.startswith("aws:")}
    policy = json.loads(
        program.one("iam/rolePolicy:RolePolicy", "delivery-preview").inputs["policy"]
    )
    allowed: set[str] = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        allowed |= {actions} if isinstance(actions, str) else {*actions}
    assert allowed == asked
