"""The plugin as the engine sees it: a process that speaks the provider protocol."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from inspect import getsource
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from sandbox.engine import plugins
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.provider import resource_types
from sandbox.providers.aws.resource import UPDATES, same
from sandbox.providers.protocol import UNKNOWN, Asset, Properties, decode, encode

VPC = "aws:ec2/vpc:Vpc"


def test_every_kind_of_value_survives_the_wire() -> None:
    properties: Properties = {
        "none": None,
        "text": "",
        "number": 3,
        "fraction": 0.5,
        "flag": True,
        "list": [1, "two", {"three": UNKNOWN}],
        "object": {"below": []},
        "file": Asset(path="/x", hash="1"),
        "empty": Asset(text="", hash="2"),
    }
    assert decode(encode(properties)) == properties


def test_a_secret_comes_as_its_value() -> None:
    signature = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
    assert decode(encode({"password": {**signature, "value": "open"}})) == {"password": "open"}


def test_an_unknown_value_decides_nothing() -> None:
    with pytest.raises(TypeError, match="unknown"):
        bool(UNKNOWN)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    plugin = plugins.PROVIDERS / "pulumi-resource-aws"
    process = subprocess.Popen(
        [sys.executable, str(plugin), "127.0.0.1:1"],  # where the engine would listen
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def engine(process: subprocess.Popen[str]) -> Iterator[Any]:
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)


def test_the_version_is_that_of_the_sdk(engine: Any) -> None:  # noqa: ANN401
    import pulumi_aws  # noqa: PLC0415  (slow, and only for this)

    found = engine.GetPluginInfo(empty_pb2.Empty()).version
    plugin_file = importlib.resources.files(pulumi_aws).joinpath("pulumi-plugin.json").read_text()
    assert f'"version": "{found}"' in plugin_file


def test_an_error_is_one_message_without_a_traceback(
    engine: Any,  # noqa: ANN401
    process: subprocess.Popen[str],
) -> None:
    engine.Configure(provider_pb2.ConfigureRequest(args=encode({"region": "us-west-2"})))
    unknown = "aws:sqs/queue:Queue"
    with pytest.raises(grpc.RpcError) as failed:
        engine.Check(provider_pb2.CheckRequest(urn="urn", type=unknown, name="q"))
    details = failed.value.details() or ""
    assert unknown in details
    assert "\n" not in details
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=5)
    assert errors == ""


def test_an_unforeseen_error_tells_where_it_arose(engine: Any) -> None:  # noqa: ANN401
    archive = struct_pb2.Struct()
    archive.update({"4dabf18193072939515e22adb298388d": "0def7320c3a5731c473e5ecbe6d01bc7"})
    properties = struct_pb2.Struct(fields={"one": struct_pb2.Value(struct_value=archive)})
    with pytest.raises(grpc.RpcError) as failed:
        engine.Check(provider_pb2.CheckRequest(type=VPC, news=properties))
    assert re.search(r"KeyError: .*protocol\.py:\d+\)$", failed.value.details() or "")


def test_a_failed_check_names_the_property(engine: Any) -> None:  # noqa: ANN401
    engine.Configure(provider_pb2.ConfigureRequest(args=encode({"region": "us-west-2"})))
    given = encode({"cidrBlock": "10.0.0.0/16", "wrong": "1"})
    answer = engine.Check(provider_pb2.CheckRequest(type=VPC, name="v", news=given))
    (failure,) = answer.failures
    assert failure.property == "wrong"


def test_a_replacement_is_told_with_its_property(engine: Any) -> None:  # noqa: ANN401
    engine.Configure(provider_pb2.ConfigureRequest(args=encode({"region": "us-west-2"})))
    old, new = ({"cidrBlock": block} for block in ("10.0.0.0/16", "10.1.0.0/16"))
    request = provider_pb2.DiffRequest(
        type=VPC, olds=encode(old), old_inputs=encode(old), news=encode(new)
    )
    answer = engine.Diff(request)
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == ["cidrBlock"]
    kind = answer.detailedDiff["cidrBlock"].kind
    assert kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_plugin_ends_at_once_and_quietly(
    engine: Any,  # noqa: ANN401
    process: subprocess.Popen[str],
    number: signal.Signals,
) -> None:
    engine.GetPluginInfo(empty_pb2.Empty())
    process.send_signal(number)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=5)
    assert time.monotonic() - begun < 1
    assert (process.returncode, errors) == (0, "")


def test_a_plugin_does_not_outlive_its_engine() -> None:
    plugin = plugins.PROVIDERS / "pulumi-resource-aws"
    # A shell in the place of the engine, which is killed before it could tell anybody.
    script = f"{sys.executable} {plugin} 127.0.0.1:1 & echo $!; wait"
    engine = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    child = int(engine.stdout.readline())
    assert engine.stdout.readline().strip().isdigit()
    engine.kill()
    engine.wait()
    wait_for(lambda: not _runs(child), "the plugin to end")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_property_is_one_of_the_sdk() -> None:
    for token, one in resource_types().items():
        _, module, name = token.split(":")
        sdk = importlib.import_module(f"pulumi_aws.{module.partition('/')[0]}")
        source = getsource(getattr(sdk, name))
        getters = re.findall(
            r'@pulumi\.getter(?:\(name="(\w+)"\))?\s+(?:@\S+\s+)*def (\w+)\(self\)', source
        )
        known = {camel or snake for camel, snake in getters}
        declared = {*one.inputs, *one.outputs, *(["tagsAll"] if one.tagged() else [])}
        assert declared <= known, token


def test_lists_of_objects_are_the_same_in_whatever_order_their_properties_come() -> None:
    told = [{"a": "1", "z": "2"}, {"a": "2", "z": "1"}]
    retold = [{"z": "2", "a": "1"}, {"z": "1", "a": "2"}]
    assert same(told, retold, UPDATES)
    assert not same(told, told[:1], UPDATES)
