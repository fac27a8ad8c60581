"""The host of dynamic providers, with faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from sandbox.engine.dynamic_provider import injected
from sandbox.machine.injection import Injection

KIND = "pulumi-python:dynamic:Resource"
URN = f"urn:pulumi:dev::p::my:index:Component${KIND}::drain"


class AbortedError(Exception):
    """What gRPC raises to end a handler."""


@pytest.fixture
def injection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Injection:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({KIND: {"create": {"1": "fail"}}}))
    monkeypatch.setenv("SANDBOX_FAULTS", str(file))
    return Injection("pulumi-python")


def test_a_fault_meets_the_call_that_it_names_and_no_preview(injection: Injection) -> None:
    asked: list[Any] = []
    context = mock.create_autospec(grpc.ServicerContext, instance=True)
    context.abort.side_effect = AbortedError
    handle = injected(lambda request, _: asked.append(request), "create", injection)
    preview = provider_pb2.CreateRequest(urn=URN, preview=True)
    handle(preview, context)
    with pytest.raises(AbortedError):
        handle(provider_pb2.CreateRequest(urn=URN), context)
    told = "InternalFailure: the sandbox was told to fail here"
    context.abort.assert_called_once_with(grpc.StatusCode.UNKNOWN, told)
    assert asked == [preview]
    handle(again := provider_pb2.CreateRequest(urn=URN), context)
    assert asked == [preview, again]
