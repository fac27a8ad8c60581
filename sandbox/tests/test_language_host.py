"""Where the language host looks for what a policy pack needs."""

from __future__ import annotations

from google.protobuf import struct_pb2
from pulumi.runtime.proto import language_pb2

from sandbox.engine.language_host import python_of


def _info(**options: str) -> language_pb2.ProgramInfo:
    given = struct_pb2.Struct()
    given.update(options)
    return language_pb2.ProgramInfo(root_directory="/srv/policy", options=given)


def test_a_pack_has_the_environment_that_its_project_names_and_no_other() -> None:
    assert python_of(_info(virtualenv="../.venv")) == "/srv/policy/../.venv/bin/python"
    assert python_of(_info(virtualenv="/venv")) == "/venv/bin/python"
    assert python_of(_info()) == "python3"
