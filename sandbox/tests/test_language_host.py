"""Where the language host looks for what a policy pack needs, and what it tells of a program."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi import log
from pulumi.runtime import resource
from pulumi.runtime.proto import language_pb2, source_pb2

from sandbox.engine.language_host import (
    keep_the_programs_frames,
    leave_out_the_sdks_steps,
    python_of,
)


def _info(**options: str) -> language_pb2.ProgramInfo:
    given = struct_pb2.Struct()
    given.update(options)
    return language_pb2.ProgramInfo(root_directory="/srv/policy", options=given)


def test_a_pack_has_the_environment_that_its_project_names_and_no_other() -> None:
    assert python_of(_info(virtualenv="../.venv")) == "/srv/policy/../.venv/bin/python"
    assert python_of(_info(virtualenv="/venv")) == "/venv/bin/python"
    assert python_of(_info()) == "python3"


def test_a_resource_is_traced_to_the_program_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def frame(place: str | None) -> source_pb2.StackFrame:
        return source_pb2.StackFrame(
            pc=source_pb2.SourcePosition(uri=place, line=1) if place else None
        )

    told = ("components/network.py", "__main__.py", None, "sandbox/engine/language_host.py")
    whole = source_pb2.StackTrace(frames=map(frame, told))
    monkeypatch.setattr(resource, "_get_stack_trace", lambda: whole)
    keep_the_programs_frames()
    kept = resource._get_stack_trace().frames
    assert [one.pc.uri for one in kept] == ["components/network.py", "__main__.py"]


def test_of_the_sdk_the_engine_gets_what_the_user_is_to_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(log, "get_engine", object)
    monkeypatch.setattr(log, "_log", lambda _engine, _severity, text, *_: told.append(text))
    sdk: list[Any] = [
        module
        for name, module in sys.modules.items()
        if name.startswith("pulumi.runtime.") and "log.debug(" in inspect.getsource(module)
    ]
    for module in sdk:
        monkeypatch.setattr(module, "log", log)
    leave_out_the_sdks_steps()
    for module in sdk:
        module.log.debug("resource registration prepared")
        module.log.warn("of the SDK")
    log.debug("of the program")
    assert told == ["of the SDK"] * len(sdk) + ["of the program"]
    assert len(sdk) == 6
