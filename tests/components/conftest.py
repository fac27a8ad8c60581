"""A recording engine: what a program asks for, and what every resource waits for."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto import resource_pb2 as messages

from components.aws_account import AwsAccount

ACCOUNT = AwsAccount("123456789012", "us-west-2", "aws")


@dataclass(frozen=True, eq=False)
class Resource:
    """One registered resource; `request` is the whole message, for its resource options."""

    typ: str
    name: str
    inputs: dict[str, Any]
    request: messages.RegisterResourceRequest = field(repr=False)


_LOOP = asyncio.new_event_loop()


class Engine(Mocks, MockMonitor):
    """Answers a resource with its inputs, an id, an ARN, a name, and what `outputs` adds."""

    def __init__(self) -> None:
        MockMonitor.__init__(self, self)
        # The SDK takes the current one, and asyncio.run in a test before has left none.
        asyncio.set_event_loop(_LOOP)
        self.recorded: dict[str, Resource] = {}  # by URN
        self.outputs: dict[str, dict[str, Any]] = {}  # by type token
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}  # by token
        set_mocks(
            self, monitor=self, project="mwaa-on-eks", stack="test", organization="organization"
        )

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        return self.answers[args.token](args.args), []  # one that nobody answers fails the test

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        made = {"arn": f"arn:aws:mock:::{args.name}", "name": f"{args.name}-auto"}
        state = made | args.inputs | self.outputs.get(args.typ, {})
        return state.pop("id", f"{args.name}-id"), state  # the id "" is not known yet

    def RegisterResource(  # noqa: N802 (the engine's name for it)
        self, request: messages.RegisterResourceRequest
    ) -> messages.RegisterResourceResponse:
        response: messages.RegisterResourceResponse
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            if response.urn in self.recorded:
                raise ValueError(f"two resources are {response.urn}")
            given = rpc.deserialize_properties(request.object)
            inputs = {key: rpc.unwrap_rpc_secret(value) for key, value in given.items()}
            self.recorded[response.urn] = Resource(request.type, request.name, inputs, request)
        return response

    def run(self, program: Callable[[], object]) -> dict[str, Resource]:
        """Run the program; each declared output of the component that it returns comes back as
        a resource using it would have it: `inputs["value"]`, and all that it must wait for."""

        def body() -> None:
            component = program()
            for key in getattr(type(component), "__annotations__", {}):
                value = getattr(component, key)
                if isinstance(value, pulumi.Output | list):
                    pulumi.CustomResource("test:index:Consumer", key, {"value": value})

        pulumi.runtime.test(body)()  # type: ignore[no-untyped-call]
        return {consumer.name: consumer for consumer in self.all("test:index:Consumer")}

    def all(self, typ: str) -> list[Resource]:
        return [resource for resource in self.recorded.values() if resource.typ == typ]

    def one(self, typ: str, name: str = "") -> Resource:
        """The only resource of the type, or the only one whose logical name ends so."""
        (found,) = (resource for resource in self.all(typ) if resource.name.endswith(name))
        return found

    def tops(self) -> set[str]:
        """Names of the resources that lie under no component of the program."""
        found = (r for r in self.recorded.values() if r.request.parent not in self.recorded)
        return {resource.name for resource in found}

    def before(self, resource: Resource) -> set[Resource]:
        """All that must exist before the resource, and be deleted after it."""
        urns, found = list(resource.request.dependencies), set[str]()
        while urns:
            if (urn := urns.pop()) not in found and urn in self.recorded:
                found.add(urn)
                urns += self.recorded[urn].request.dependencies
        return {self.recorded[urn] for urn in found}

    def waits_for(self, resource: Resource) -> set[str]:
        """The same by logical name, which resources of different types may share."""
        return {other.name for other in self.before(resource)}


def addon_version(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer with a version that tells what was asked."""
    return {"version": f"{asked['addonName']} for {asked['kubernetesVersion']}"}


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    engine.answers["aws:eks/getAddonVersion:getAddonVersion"] = addon_version
    return engine


AUTO_SCALING = {
    "resources": [{"autoscalingGroups": [{"name": "eks-nodes-1a2b3c4"}]}],
}
"""What EKS has made for a node group."""


def made(engine: Engine, typ: str, name: str, state: dict[str, Any]) -> dict[str, str]:
    """Let a remote component have made a resource; a reference to it."""
    urn = f"urn:pulumi:test::mwaa-on-eks::{typ}::{name}"
    engine.resources[urn] = MockMonitor.ResourceRegistration(urn, f"{name}-id", state)
    engine.recorded[urn] = Resource(typ, name, {}, messages.RegisterResourceRequest())
    return {rpc._special_sig_key: rpc._special_resource_sig, "urn": urn, "id": f"{name}-id"}


def leave_references_alone(patch: pytest.MonkeyPatch) -> None:
    """Keep the mock monitor, in a thread of its own, from looking references to resources up: it
    would wait for ever."""
    look_up = rpc.deserialize_resource

    def deserialize(
        reference: struct_pb2.Struct, keep_unknowns: bool | None = None
    ) -> pulumi.Resource | str:
        if threading.current_thread() is threading.main_thread():
            return look_up(reference, keep_unknowns)
        return str(reference["urn"])

    patch.setattr(rpc, "deserialize_resource", deserialize)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an emulated AWS."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  (slow, and few tests need it)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
