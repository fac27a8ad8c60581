"""The Python language host, for a Pulumi CLI that comes without one.

The official CLI brings its own. This one is the server that the Python SDK has for its Automation
API, with the program read from the project's directory.
"""

# ruff: noqa: N802  (gRPC handlers carry the protocol's names)

from __future__ import annotations

import itertools
import os
import queue
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import grpc
from pulumi import log
from pulumi.automation._server import LanguageServer
from pulumi.runtime import resource
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, source_pb2

from sandbox.machine.lifetime import end_with_engine
from sandbox.machine.neighbours import keep_out

_MAX_MESSAGE = 400 * 1024 * 1024
_TELLING = ("_callbacks", "invoke", "resource", "rpc", "rpc_manager", "stack")
"""The modules of the SDK's that tell the engine what they do."""


class LanguageHost(LanguageServer):
    """Runs programs and policy packs for the engine at the given address."""

    def __init__(self, engine: str) -> None:
        super().__init__(lambda: None)
        self.engine = engine

    def Handshake(
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Accept whatever the engine says of itself."""
        return language_pb2.LanguageHandshakeResponse()

    def Run(
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        """Run the project's program; its imports start in its own directory."""
        program = Path(request.info.program_directory)
        entry = program / request.info.entry_point
        script = entry / "__main__.py" if entry.is_dir() else entry
        os.chdir(program)
        sys.path.insert(0, str(script.parent))
        request.args[:] = [self.engine]  # where the SDK's server looks for the engine
        self.program = lambda: _run(script)
        response: language_pb2.RunResponse = super().Run(request, context)  # type: ignore[no-untyped-call]
        return response

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack, handing on what it prints."""
        directory = request.info.program_directory
        process = subprocess.Popen(
            [python_of(request.info), "-u", "-m", "pulumi.policy", *request.args, directory],
            cwd=directory,
            env={**os.environ, **dict(entry.split("=", 1) for entry in request.env)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        context.add_callback(process.kill)
        printed: queue.Queue[language_pb2.RunPluginResponse | None] = queue.Queue()
        pumps = [
            threading.Thread(target=_pump, args=(stream, answer, printed), daemon=True)
            for stream, answer in (
                (process.stdout, lambda chunk: language_pb2.RunPluginResponse(stdout=chunk)),
                (process.stderr, lambda chunk: language_pb2.RunPluginResponse(stderr=chunk)),
            )
        ]
        for pump in pumps:
            pump.start()
        for _ in pumps:  # each says once that its stream has ended
            yield from iter(printed.get, None)
        yield language_pb2.RunPluginResponse(exitcode=process.wait())


def python_of(info: language_pb2.ProgramInfo) -> str:
    """Return the interpreter of the environment that a project names, where it names one."""
    options = dict(info.options)
    if "virtualenv" not in options:
        return "python3"
    return str(Path(info.root_directory, str(options["virtualenv"]), "bin", "python"))


def _pump(
    stream: IO[bytes],
    answer: Callable[[bytes], language_pb2.RunPluginResponse],
    printed: queue.Queue[language_pb2.RunPluginResponse | None],
) -> None:
    while chunk := os.read(stream.fileno(), 65536):
        printed.put(answer(chunk))
    printed.put(None)


def _run(script: Path) -> None:
    runpy.run_path(str(script), run_name="__main__")


def keep_the_programs_frames() -> None:
    """Let the state of a resource have the calls in the program that led to it, and no others.

    Those of this host are twenty, with paths of this machine, and the engine writes the whole state
    after each step.
    """
    whole = resource._get_stack_trace

    def of_program() -> source_pb2.StackTrace:
        # Between the two is runpy, which is frozen and has no source.
        return source_pb2.StackTrace(
            frames=itertools.takewhile(lambda frame: frame.HasField("pc"), whole().frames)
        )

    resource._get_stack_trace = of_program


def leave_out_the_sdks_steps() -> None:
    """Let the engine have the program's own messages for `--debug`, and none of the SDK's.

    Those are four for a resource, and the program waits until the engine has taken each.
    """
    quiet = SimpleNamespace(**{**vars(log), "debug": lambda *_, **__: None})
    for name in _TELLING:
        module: Any = import_module(f"pulumi.runtime.{name}")
        module.log = quiet


def main() -> None:
    """Serve the engine whose address is the last argument."""
    end_with_engine()
    keep_out()
    keep_the_programs_frames()
    leave_out_the_sdks_steps()
    server = grpc.server(
        futures.ThreadPoolExecutor(16),
        options=[(f"grpc.max_{way}_message_length", _MAX_MESSAGE) for way in ("receive", "send")],
    )
    engine = [argument for argument in sys.argv[1:] if not argument.startswith("-")][-1]
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
