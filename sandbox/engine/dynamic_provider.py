"""The host of dynamic providers, for a Pulumi CLI that comes without one."""

from __future__ import annotations

import io
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from sandbox.machine.injection import InjectedError, Injection, Operation
from sandbox.machine.lifetime import end_with_engine
from sandbox.machine.neighbours import keep_out

_OPERATIONS: Final[dict[str, Operation]] = {
    "Create": "create",
    "Read": "read",
    "Update": "update",
    "Delete": "delete",
}


def main() -> None:
    """Serve the dynamic providers of the project in the working directory."""
    end_with_engine()
    keep_out()
    # As `python -u -m pulumi.dynamic`, which the official CLI runs: it does not flush its port,
    # and a provider's modules are looked for in the working directory.
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.path[0] = str(Path.cwd())
    _inject()
    runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)


def _inject() -> None:
    """Let the host, which defines its servicer as it runs, serve it with faults."""
    injection = Injection("pulumi-python")
    add = provider_pb2_grpc.add_ResourceProviderServicer_to_server

    def add_injected(
        servicer: provider_pb2_grpc.ResourceProviderServicer, server: grpc.Server | grpc.aio.Server
    ) -> None:
        for handler, operation in _OPERATIONS.items():
            setattr(servicer, handler, injected(getattr(servicer, handler), operation, injection))
        add(servicer, server)

    provider_pb2_grpc.add_ResourceProviderServicer_to_server = add_injected


def injected(
    handler: Callable[[Any, grpc.ServicerContext], Any], operation: Operation, injection: Injection
) -> Callable[[Any, grpc.ServicerContext], Any]:
    """Return the handler with what is to be injected; what hangs, hangs: nothing limits it here."""

    def handle(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401
        if getattr(request, "preview", False):
            return handler(request, context)
        call = injection.call(request.urn.split("::")[2].rpartition("$")[2], operation)
        try:
            call.send()
            if operation == "delete":
                call.work()
            answer = handler(request, context)
            call.answer()
            if operation != "delete":
                call.work()
        except InjectedError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return answer

    return handle
