"""What is written into the state of a stack whose engine was killed, and when nothing is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3.exceptions
from botocore.exceptions import ClientError

from operations import identities, objects, plugins
from operations import recover as module
from operations.recover import Pending, RecoveryError, adopted, pending_of, recover
from operations.stack import Stack

Json = Any
VPC = "aws:ec2/vpc:Vpc"


def resource(kind: str, name: str, **given: Json) -> Json:
    urn = f"urn:pulumi:dev::mwaa-on-eks::{kind}::{name}"
    return {"urn": urn, "type": kind, "inputs": {"cidrBlock": "10.0.0.0/16"}, **given}


def state(*resources: Json, pending: list[tuple[str, Json]]) -> Json:
    operations = [{"type": operation, "resource": one} for operation, one in pending]
    return {
        "version": 3,
        "deployment": {"resources": [*resources], "pending_operations": operations},
    }


def adopt(before: Json, found: str | None) -> list[Json]:
    after = adopted(before, pending_of(before), lambda *_: found and {"id": found})
    assert after["deployment"]["pending_operations"] == []
    assert after["version"] == 3
    resources: list[Json] = after["deployment"]["resources"]
    return resources


def test_what_aws_has_made_is_known_by_its_id_and_what_was_asked_for() -> None:
    new = resource(VPC, "vpc", parent="urn:component", provider="urn:provider::1")
    (one,) = adopt(state(pending=[("creating", new)]), "vpc-1")
    assert one == {**new, "id": "vpc-1", "outputs": {"cidrBlock": "10.0.0.0/16", "id": "vpc-1"}}


def test_what_aws_has_not_made_is_forgotten() -> None:
    assert adopt(state(pending=[("creating", resource(VPC, "vpc"))]), None) == []


def test_what_was_to_be_replaced_is_deleted_by_the_next_update() -> None:
    old = resource(VPC, "vpc", id="vpc-0")
    resources = adopt(state(old, pending=[("creating", resource(VPC, "vpc"))]), "vpc-1")
    assert [(one["id"], one.get("delete", False)) for one in resources] == [
        ("vpc-0", True),
        ("vpc-1", False),
    ]


def test_what_the_state_has_already_comes_in_no_second_time() -> None:
    old = resource(VPC, "vpc", id="vpc-0")
    (one,) = adopt(state(old, pending=[("creating", resource(VPC, "vpc"))]), "vpc-0")
    assert one == {**old}


@pytest.mark.parametrize("operation", ["updating", "deleting", "reading"])
def test_what_the_state_knows_stays_for_the_refresh(operation: str) -> None:
    old = resource(VPC, "vpc", id="vpc-0")
    assert adopt(state(old, pending=[(operation, old)]), "vpc-0") == [old]


def test_what_is_in_no_cloud_is_not_looked_for() -> None:
    drain = resource("pulumi-python:dynamic:Resource", "drain")
    assert adopt(state(pending=[("creating", drain)]), "anything") == []


class Locked(Stack):
    """A stack that somebody holds, and that notes what is done to it."""

    def __init__(self, holder: str) -> None:
        super().__init__("dev")
        self.holder = holder
        self.ran: list[str] = []

    def lock(self, state: Json) -> str | None:
        assert not pending_of(state)  # Pulumi would drop them
        return self.holder if "cancel" not in self.ran else None

    def run(self, *arguments: str) -> str:
        self.ran.append(arguments[0])
        return '{"deployment": {}}'


def created_by(pid: int) -> str:
    return f"created by me@{socket.gethostname()} (pid {pid}) at 2026-01-01T00:00:00Z"


def test_a_lock_whose_holder_runs_is_left_alone() -> None:
    stack = Locked(created_by(os.getpid()))
    with pytest.raises(RecoveryError, match=r"pid \d+.*that process runs: let it end"):
        recover(stack, agreed=lambda _: True, say=lambda _: None)
    assert stack.ran == ["stack"]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_a_lock_whose_holder_is_gone_or_elsewhere_goes_if_somebody_agrees(where: str) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    holder = created_by(ended.pid if where == "here" else os.getpid())
    if where == "elsewhere":
        holder = holder.replace(socket.gethostname(), "runner-1")
    stack = Locked(holder)
    with pytest.raises(RecoveryError, match="nothing was changed"):
        recover(stack, agreed=lambda _: False, say=lambda _: None)
    assert stack.ran == ["stack"]
    recover(stack, agreed=lambda _: True, say=lambda _: None)
    assert stack.ran == ["stack", "stack", "cancel", "stack"]


def test_a_pending_operation_is_told_by_name_and_type() -> None:
    assert Pending("creating", resource(VPC, "vpc")).name == f"vpc ({VPC})"


NAT = "aws:ec2/natGateway:NatGateway"
AIRFLOW = "aws:mwaa/environment:Environment"
PROVIDER = resource("pulumi:providers:aws", "aws") | {"inputs": {"region": "us-west-2"}}


class Cut(Stack):
    """A stack with this state, in which what is done to it leaves no trace but its words."""

    def __init__(self, state: Json) -> None:
        super().__init__("dev")
        self.state = state
        self.holder: str | None = None
        self.ran: list[tuple[str, ...]] = []

    def lock(self, state: Json) -> str | None:
        assert not pending_of(state)  # Pulumi would drop them
        if self.holder and ("cancel", "--yes") not in self.ran:
            return self.holder
        self.state = state
        return None

    def run(self, *arguments: str) -> str:
        self.ran.append(arguments)
        return json.dumps(self.state)


class Service:
    """Answers each operation with the next of what it was given, and at last with its last."""

    def __init__(self, **answers: list[Json]) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Callable[..., Json]:
        answers = self._answers[operation]

        def answer(**_: object) -> Json:
            one = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(one, Exception):
                raise one
            return one

        return answer


def recovered(
    monkeypatch: pytest.MonkeyPatch,
    stack: Cut,
    services: Mapping[str, Service],
    names: Collection[str] = (),
) -> list[str]:
    """What is said where AWS answers so."""
    sts = Service(get_caller_identity=[{"Account": "1"}])

    class Fake:
        def __init__(self, region: str) -> None:
            assert region == "us-west-2"
            self.client = {"sts": sts, **services}.__getitem__

    monkeypatch.setattr(module, "Account", Fake)
    monkeypatch.setattr(module, "POLL_SECONDS", 0)
    said: list[str] = []
    recover(stack, agreed=lambda _: True, say=said.append, names=names)
    return said


def nat(state: str) -> Json:
    return {"NatGateways": [{"State": state}]}


def test_what_aws_still_works_on_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = resource(NAT, "nat", id="nat-1")
    stack = Cut(state(PROVIDER, gateway, pending=[("deleting", gateway)]))
    ec2 = Service(describe_nat_gateways=[nat("deleting"), nat("deleting"), nat("deleted")])
    said = recovered(monkeypatch, stack, {"ec2": ec2})
    assert [line for line in said if "still works" in line] == [
        f"AWS still works on nat ({NAT}): deleting"
    ]
    assert ("refresh", "--yes", "--skip-preview", f"--target={gateway['urn']}") in stack.ran


def test_what_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = resource(NAT, "nat", id="nat-1")
    stack = Cut(state(PROVIDER, gateway, pending=[("deleting", gateway)]))
    gone = ClientError({"Error": {"Code": "NatGatewayNotFound"}}, "DescribeNatGateways")
    said = recovered(monkeypatch, stack, {"ec2": Service(describe_nat_gateways=[gone])})
    assert not [line for line in said if "still works" in line]


def test_what_aws_failed_to_make_is_replaced_although_it_is_protected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = resource(AIRFLOW, "airflow", protect=True) | {"inputs": {"name": "dev"}}
    stack = Cut(state(PROVIDER, pending=[("creating", made)]))
    statuses = [{"Environment": {"Status": one}} for one in ("CREATING", "CREATE_FAILED")]
    said = recovered(monkeypatch, stack, {"mwaa": Service(get_environment=statuses)})
    assert said[-2].endswith("AWS failed to make it; the next `pulumi up` replaces it")
    after = [one for one in stack.ran if one[0] == "state"]
    assert after == [("state", verb, made["urn"], "--yes") for verb in ("unprotect", "taint")]


def test_expired_credentials_change_nothing_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = resource(NAT, "nat", id="nat-1")
    stack = Cut(before := state(PROVIDER, gateway, pending=[("deleting", gateway)]))
    expired = ClientError(
        {"Error": {"Code": "ExpiredToken", "Message": "The security token is expired"}},
        "GetCallerIdentity",
    )
    sts = Service(get_caller_identity=[expired])
    with pytest.raises(RecoveryError, match=r"ExpiredToken: .* expired\): take others"):
        recovered(monkeypatch, stack, {"sts": sts})
    assert stack.state == before


def test_a_stack_on_which_nothing_was_done_has_nothing_to_recover() -> None:
    said: list[str] = []
    stack = Cut({"version": 3, "deployment": None})
    recover(stack, agreed=lambda _: True, say=said.append)
    assert said == ["the stack has no pending operations: nothing is to be recovered"]


CLUSTER = resource("pulumi:providers:kubernetes", "k8s") | {"inputs": {"kubeconfig": "{}"}}


@pytest.mark.parametrize("manager", ["pulumi-kubernetes-1234", None])
def test_for_what_is_in_kubernetes_alone_aws_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, manager: str | None
) -> None:
    def refuse(_: str) -> None:
        raise AssertionError("asks AWS")

    monkeypatch.setattr(module, "Account", refuse)
    monkeypatch.setattr(module, "field_manager", lambda *_, **__: manager)
    metadata = {"metadata": {"namespace": "jobs", "name": "quota"}}
    quota = resource("kubernetes:core/v1:ResourceQuota", "quota", provider=f"{CLUSTER['urn']}::1")
    stack = Cut(state(CLUSTER, pending=[("creating", quota | {"inputs": metadata})]))
    recover(stack, agreed=lambda _: True, say=lambda _: None)
    made = stack.state["deployment"]["resources"][1:]
    assert [(one["id"], one["outputs"]["__fieldManager"]) for one in made] == (
        [("jobs/quota", manager)] if manager else []
    )


class Planning(Cut):
    """A stack of which a preview shows this creation."""

    def __init__(self, state: Json, planned: Json) -> None:
        super().__init__(state)
        self.planned = planned

    def run(self, *arguments: str) -> str:
        if arguments[0] != "preview":
            return super().run(*arguments)
        step = {"op": "create", "urn": self.planned["urn"], "newState": self.planned}
        return json.dumps({"steps": [step, step | {"op": "same", "urn": "urn::other"}]})


def test_what_was_made_although_its_creation_failed_is_known_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = resource("aws:s3/bucket:Bucket", "logs") | {"inputs": {"bucket": "dev-logs"}}
    stack = Planning(state(PROVIDER, pending=[]), bucket)
    sts = Service(get_caller_identity=[{"Account": "1"}])
    recovered(monkeypatch, stack, {"sts": sts}, names=["logs"])
    assert [one.get("id") for one in stack.state["deployment"]["resources"]] == [None, "dev-logs"]
    with pytest.raises(RecoveryError, match="other: `pulumi up` would not create it"):
        recovered(monkeypatch, stack, {"sts": sts}, names=["other"])


@pytest.mark.parametrize("holder", [None, "created by me@elsewhere (pid 1) at 2026"])
def test_what_is_pending_outlives_the_look_for_a_lock(
    monkeypatch: pytest.MonkeyPatch, holder: str | None
) -> None:
    gateway = resource(NAT, "nat", id="nat-1")
    stack = Cut(state(PROVIDER, gateway, pending=[("deleting", gateway)]))
    stack.holder = holder
    ec2 = Service(describe_nat_gateways=[nat("deleted")])
    said = recovered(monkeypatch, stack, {"ec2": ec2})
    assert f"cut off while deleting nat ({NAT})" in said
    assert said[-1].startswith("recovered")


class Iam:
    """An account with a provider for GitHub."""

    arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"

    def __init__(self, **tags: str) -> None:
        self.tags = tags

    def list_open_id_connect_providers(self) -> Json:
        return {"OpenIDConnectProviderList": [{"Arn": self.arn}, {"Arn": f"{self.arn}/acme"}]}

    def list_open_id_connect_provider_tags(self, OpenIDConnectProviderArn: str) -> Json:  # noqa: N803
        assert OpenIDConnectProviderArn == self.arn
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}


@pytest.mark.parametrize(
    ("iam", "found"),
    [(Iam(stack="dev", owner="us"), Iam.arn), (Iam(stack="prod"), None), (Iam(), None)],
)
def test_an_oidc_provider_is_known_by_its_url_and_may_be_others(
    monkeypatch: pytest.MonkeyPatch, iam: Iam, found: str | None
) -> None:
    account = identities.Account("us-west-2")
    monkeypatch.setattr(account, "client", lambda _: iam)
    inputs = {"url": "https://token.actions.githubusercontent.com", "tagsAll": {"stack": "dev"}}
    kind = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
    assert identities.find(account, kind, inputs) == found


def test_an_api_server_that_is_gone_changes_nothing_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib3.exceptions.HTTPError("connection refused")

    monkeypatch.setattr(module, "field_manager", refuse)
    metadata = {"metadata": {"namespace": "jobs", "name": "quota"}}
    quota = resource("kubernetes:core/v1:ResourceQuota", "quota", provider=f"{CLUSTER['urn']}::1")
    before = state(CLUSTER, pending=[("creating", quota | {"inputs": metadata})])
    stack = Cut(before)
    with pytest.raises(RecoveryError, match=r"quota .* \(connection refused\): run this again"):
        recover(stack, agreed=lambda _: True, say=lambda _: None)
    assert stack.state == before


class OfFiles(Stack):
    """A stack of a backend of files, as Pulumi reads it: never with notes that are cut off."""

    def __init__(self, name: str, directory: Path, parameters: str = "") -> None:
        super().__init__(name)
        self.url = f"file://{directory}{parameters}"
        self.notes = directory / ".pulumi/stacks/mwaa-on-eks/dev.json.attrs"
        self.notes.parent.mkdir(parents=True)
        for file in ("dev.json", "dev.json.bak.attrs", "other.json.attrs"):
            self.notes.with_name(file).write_text("{}")
        self.notes.with_name("dev-2.json.attrs").write_text("")

    def _pulumi(self, *arguments: str) -> str:
        if arguments[0] == "whoami":
            return json.dumps({"user": "me", "url": self.url})
        if self.notes.exists() and not self.notes.read_text():
            raise RecoveryError("failed:\nerror: failed to load checkpoint: EOF")
        return '{"deployment": {}}'


@pytest.mark.parametrize(
    ("name", "parameters"), [("dev", ""), ("organization/mwaa-on-eks/dev", "?create_dir=true")]
)
def test_notes_of_the_state_that_a_kill_cut_off_go_if_somebody_agrees(
    tmp_path: Path, name: str, parameters: str
) -> None:
    stack = OfFiles(name, tmp_path, parameters)
    stack.notes.write_text("")
    before = {*stack.notes.parent.iterdir()}
    with pytest.raises(RecoveryError, match="nothing was changed"):
        recover(stack, agreed=lambda _: False, say=lambda _: None)
    assert stack.notes.exists()
    said: list[str] = []
    recover(stack, agreed=lambda _: True, say=said.append)
    assert said[0] == f"deleted {stack.notes}"
    assert before - {*stack.notes.parent.iterdir()} == {stack.notes}


@pytest.mark.parametrize("url", ["s3://states", "https://api.pulumi.com", None])
def test_a_state_that_is_damaged_otherwise_is_told_and_left_alone(
    tmp_path: Path, url: str | None
) -> None:
    class Damaged(OfFiles):
        def export(self) -> Json:
            raise RecoveryError("failed to load checkpoint: EOF")

    stack = Damaged("dev", tmp_path)
    stack.url = url or stack.url
    with pytest.raises(RecoveryError, match="EOF"):
        recover(stack, agreed=lambda _: True, say=lambda _: None)


@pytest.mark.parametrize(
    "command",
    [["/opt/plugins/pulumi-resource-aws-test"], ["-m", "pulumi.dynamic"], ["pulumi-resource-eks"]],
)
def test_a_plugin_is_waited_for_once_nothing_answers_where_its_engine_did(
    command: list[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        address = f"127.0.0.1:{engine.getsockname()[1]}"
        # Python takes the rest as the arguments of what it reads.
        started = [sys.executable, "-c", "input()", *command, address]
        plugin = subprocess.Popen(started, stdin=subprocess.PIPE)
        name = f"{Path(command[-1]).name} (pid {plugin.pid})"
        assert name not in plugins.orphaned()
    assert name in plugins.orphaned()
    plugin.communicate(b"\n")
    assert name not in plugins.orphaned()


def test_what_outlives_the_engine_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [["pulumi-resource-aws (pid 7)"], ["pulumi-resource-aws (pid 7)"], []]
    monkeypatch.setattr(module, "orphaned", lambda: found.pop(0))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    said: list[str] = []
    stack = Cut({"version": 3, "deployment": None})
    recover(stack, agreed=lambda _: True, say=said.append)
    waiting = "the engine is gone, and pulumi-resource-aws (pid 7) still runs: waiting for its end"
    assert said[0] == waiting
    assert said.count(waiting) == 1
    monkeypatch.setattr(module, "orphaned", lambda: ["pulumi-resource-aws (pid 7)"])
    monkeypatch.setattr(module, "PLUGINS_SECONDS", 0)
    with pytest.raises(RecoveryError, match=r"\(pid 7\) outlived the engine.*end it"):
        recover(stack, agreed=lambda _: True, say=said.append)


class Objects:
    """An API server that has one object, with these managers of its fields."""

    def __init__(self, *managers: str) -> None:
        fields = [{"manager": name, "time": str(n)} for n, name in enumerate(managers)]
        self.found = {"metadata": {"managedFields": fields} if fields else {}}
        self.resources = self

    def get(self, *_: object, **__: object) -> Objects:
        return self

    def to_dict(self) -> Json:
        return self.found


@pytest.mark.parametrize(
    ("managers", "is_patch", "found"),
    [
        (["pulumi-kubernetes-1", "kube-controller-manager", "pulumi-kubernetes-2"], False, "-2"),
        (["kube-controller-manager", "pulumi-kubernetes-1"], True, "-1"),
        (["kubectl"], False, None),  # somebody else's, who was there before
        ([], True, None),
        ([], False, "-recovered"),  # a ServiceAccount of which the program says nothing but a name
    ],
)
def test_an_object_is_pulumis_if_it_holds_a_field_of_it_or_nobody_holds_any(
    monkeypatch: pytest.MonkeyPatch, managers: list[str], is_patch: bool, found: str | None
) -> None:
    monkeypatch.setattr(objects, "_client", lambda _: Objects(*managers))
    inputs = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    manager = objects.field_manager("", inputs, is_patch=is_patch)
    assert manager == (found and f"pulumi-kubernetes{found}")
