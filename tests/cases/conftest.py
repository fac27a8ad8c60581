"""The whole program under a recording engine, with the settings of the sandbox's stack."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs

from components import credentials, destroy_check, protection
from tests.components.conftest import (
    AUTO_SCALING,
    Engine,
    Resource,
    addon_version,
    leave_references_alone,
    made,
)

ROOT = Path(__file__).resolve().parents[2]
NAME = "mwaa-on-eks-test"


class Recorder(Engine):
    """Remembers what was looked up, too, and gives each object a version of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        self.asked.add(args.token)
        return super().call(args)

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        resource_id, state = super().new_resource(args)
        if args.typ == "aws:s3/bucketObjectv2:BucketObjectv2":
            state["versionId"] = f"version-of-{args.name}"
        return resource_id, state


@dataclass(frozen=True)
class Program:
    """What the program asked for."""

    engine: Recorder

    def all(self, typ: str, name: str = "") -> list[Resource]:
        """The resources of a type (`eks/addon:Addon`) whose logical names end so, at least one."""
        found = [
            resource
            for resource in self.engine.recorded.values()
            if resource.typ.split(":", 1)[-1] == typ and resource.name.endswith(name)
        ]
        assert found, f"the program has no {typ} {name}"
        return found

    def one(self, typ: str, name: str = "") -> Resource:
        (found,) = self.all(typ, name)
        return found

    def documents(self) -> list[tuple[Resource, Any]]:
        """Every policy that the program writes, by the resource that it is given to."""
        keys = ("assumeRolePolicy", "policy")
        return [
            (resource, json.loads(resource.inputs[key]))
            for resource in self.engine.recorded.values()
            for key in keys
            if isinstance(resource.inputs.get(key), str)
        ]

    def before(self, resource: Resource) -> set[Resource]:
        """All that exists before a resource is made, and until it has been deleted."""
        recorded = self.engine.recorded
        urns, found = [resource.request], set[str]()
        while urns:
            request = urns.pop()
            provider = request.provider.rpartition("::")[0]
            for urn in (*request.dependencies, provider, request.parent):
                if urn in recorded and urn not in found:
                    found.add(urn)
                    urns.append(recorded[urn].request)
        return {recorded[urn] for urn in found}


Run = Callable[..., Program]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run the program with some settings changed, named as in section.setting."""

    def run_program(example: str = "sandbox", **changes: Any) -> Program:  # noqa: ANN401
        stack = yaml.safe_load((ROOT / f"Pulumi.{example}.yaml").read_text())["config"]
        for key, value in changes.items():
            section, _, setting = key.partition("_")
            stack.setdefault(f"mwaa-on-eks:{section}", {})[setting] = value
        engine = Recorder()
        region = stack["mwaa-on-eks:account"]["region"]
        zones = [f"{region}{letter}" for letter in "abc"]
        engine.answers = {
            "pulumi:pulumi:readStackResourceOutputs": lambda _: {"outputs": {}},
            "aws:ecr/getImage:getImage": lambda _: {},
            "aws:eks/getAddonVersion:getAddonVersion": addon_version,
            "aws:ec2/getVpcEndpointService:getVpcEndpointService": lambda _: {
                "availabilityZones": zones,
                "vpcEndpointPolicySupported": True,
            },
            "aws:index/getAvailabilityZones:getAvailabilityZones": lambda _: {
                "id": region,
                "names": zones,
            },
        }
        cluster = {
            "name": NAME,
            "arn": f"arn:aws:eks:us-west-2:123456789012:cluster/{NAME}",
            "vpcConfig": {"clusterSecurityGroupId": "sg-cluster"},
        }
        engine.outputs = {
            "aws:iam/role:Role": {"uniqueId": "AROAEXAMPLE"},
            "aws:mwaa/environment:Environment": {"webserverUrl": "example.airflow"},
            "eks:index:Cluster": {
                "eksCluster": made(engine, "aws:eks/cluster:Cluster", "control-plane", cluster),
                "kubeconfigJson": "{}",
            },
            "eks:index:ManagedNodeGroup": {
                "nodeGroup": made(
                    engine,
                    "aws:eks/nodeGroup:NodeGroup",
                    "node-group",
                    {"clusterName": NAME, **AUTO_SCALING},
                )
            },
        }
        config = {key: json.dumps(value) for key, value in stack.items()}
        pulumi.runtime.set_all_config(config, secret_keys=[])

        def program() -> None:
            runpy.run_path(str(ROOT / "__main__.py"))

        with pytest.MonkeyPatch.context() as patch:
            leave_references_alone(patch)
            # Mocks know no transforms.
            patch.setattr(protection, "protect_all_but", lambda _: None)
            patch.setattr(credentials, "check_caller", lambda *_: None)  # no cloud to ask
            patch.setattr(destroy_check, "let_roles_go", lambda: None)
            patch.chdir(ROOT)
            pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
        pulumi.runtime.set_all_config({}, secret_keys=[])
        return Program(engine)

    return run_program


@pytest.fixture(scope="session")
def program(run: Run) -> Program:
    return run()
