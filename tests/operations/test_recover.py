"""What is written into the state of a stack whose engine was killed, and when nothing is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from operations import identities
from operations.recover import Pending, RecoveryError, Stack, adopted, pending_of, recover

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
    after = adopted(before, pending_of(before), lambda *_: found)
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

    def lock(self) -> str | None:
        return self.holder

    def run(self, *arguments: str) -> str:
        self.ran.append(arguments[0])
        return '{"deployment": {}}'


def created_by(pid: int) -> str:
    return f"created by me@{socket.gethostname()} (pid {pid}) at 2026-01-01T00:00:00Z"


def test_a_lock_whose_holder_runs_is_left_alone() -> None:
    stack = Locked(created_by(os.getpid()))
    with pytest.raises(RecoveryError, match=r"pid \d+.*that process runs: let it end"):
        recover(stack, agreed=lambda _: True, say=lambda _: None)
    assert stack.ran == []


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
    assert stack.ran == []
    recover(stack, agreed=lambda _: True, say=lambda _: None)
    assert stack.ran == ["cancel", "stack"]


def test_a_pending_operation_is_told_by_name_and_type() -> None:
    assert Pending("creating", resource(VPC, "vpc")).name == f"vpc ({VPC})"


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
