"""After an engine that was killed: the stack knows again what there is.

    python -m operations.recover --stack dev

A killed engine leaves its lock, and operations of which nobody knows how they ended; Pulumi alone
makes a second one of what AWS has numbered already, or stops at what has a name. This unlocks the
stack and lets it know what AWS has by now; in AWS it changes nothing but the default rule of a new
security group. `pulumi up` then completes what is missing, or `pulumi destroy` takes it away.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from operations.identities import Account, TwinsError, UnknownTypeError, find
from operations.objects import field_manager, object_id
from operations.plugins import orphaned
from operations.stack import Stack, StackError

Json: TypeAlias = Any

# Under these words a service works on something, and refuses most changes.
_WORKING: Final = re.compile(
    r"(?i)creating|creating_snapshot|updating|pending|deleting|terminating|rolling.*"
)
_FAILED: Final = re.compile(r"(?i)create_failed|failed")
POLL_SECONDS: Final = 15
LONGEST_SECONDS: Final = 3 * 3600
"""MWAA takes longest: an upgrade in place up to two hours."""
PLUGINS_SECONDS: Final = 600
"""Pulumi's plugins look every five minutes whether their engine is still there."""


_QUESTIONS: Final[Mapping[str, tuple[str, str, Callable[[Json, str], Json], str]]] = {
    "aws:ec2/natGateway:NatGateway": (
        *("ec2", "describe_nat_gateways"),
        lambda _, identity: {"NatGatewayIds": [identity]},
        "NatGateways.State",
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (
        *("ec2", "describe_vpc_endpoints"),
        lambda _, identity: {"VpcEndpointIds": [identity]},
        "VpcEndpoints.State",
    ),
    "aws:eks/addon:Addon": (
        *("eks", "describe_addon"),
        lambda told, _: {key: told[key] for key in ("clusterName", "addonName")},
        "addon.status",
    ),
    "aws:eks/cluster:Cluster": (
        *("eks", "describe_cluster"),
        lambda _, identity: {"name": identity},
        "cluster.status",
    ),
    "aws:eks/nodeGroup:NodeGroup": (
        *("eks", "describe_nodegroup"),
        lambda told, _: {
            "clusterName": told["clusterName"],
            "nodegroupName": told["nodeGroupName"],
        },
        "nodegroup.status",
    ),
    "aws:emrcontainers/virtualCluster:VirtualCluster": (
        *("emr-containers", "describe_virtual_cluster"),
        lambda _, identity: {"id": identity},
        "virtualCluster.state",
    ),
    "aws:mwaa/environment:Environment": (
        *("mwaa", "get_environment"),
        lambda _, identity: {"Name": identity},
        "Environment.Status",
    ),
}
"""What takes time: the service, the operation, its input, and where its output tells the status."""


class RecoveryError(StackError):
    """What somebody has to decide."""


@dataclass(frozen=True)
class Pending:
    """An operation of which the state does not say how it ended."""

    operation: str
    resource: Json

    @property
    def urn(self) -> str:
        """The resource's name among all of Pulumi's."""
        urn: str = self.resource["urn"]
        return urn

    @property
    def name(self) -> str:
        """The resource's name in the program, with its type."""
        return f"{self.urn.rpartition('::')[2]} ({self.resource['type']})"


def pending_of(state: Json) -> list[Pending]:
    """Return the operations that were cut off."""
    found = (state["deployment"] or {}).get("pending_operations") or []
    return [Pending(one["type"], one["resource"]) for one in found]


def adopted(
    state: Json, pending: list[Pending], look: Callable[[Pending, list[str]], Json | None]
) -> Json:
    """Return the state without pending operations, in which what is there is known.

    look: from an operation and the ids that are known already to outputs enough to read what came
    of it, its id among them, or None.
    """
    resources = list(state["deployment"].get("resources") or [])
    for one in pending:
        kind = one.resource["type"]
        if one.operation != "creating" or not _is_in_a_cloud(kind):
            continue
        known = [other["id"] for other in resources if other["type"] == kind and "id" in other]
        found = look(one, known)
        if found is None or found["id"] in known:
            continue
        for other in resources:  # the one that it was to replace
            if other["urn"] == one.urn:
                other["delete"] = True
        # Whatever the provider needs in order to read it: some ids alone say too little.
        outputs = {**one.resource["inputs"], **found}
        resources.append({**one.resource, "id": found["id"], "outputs": outputs})
    deployment = {**state["deployment"], "resources": resources, "pending_operations": []}
    return {**state, "deployment": deployment}


def _is_in_a_cloud(kind: str) -> bool:
    """Tell whether a resource is anywhere but in the state."""
    return kind.startswith(("aws:", "kubernetes:"))


def _region(state: Json) -> str:
    for resource in state["deployment"].get("resources") or []:
        if resource["type"] == "pulumi:providers:aws":
            region: str = resource["inputs"]["region"]
            return region
    raise RecoveryError("the stack has no AWS provider yet: nothing was made in AWS")


def _kubeconfig(state: Json, resource: Json) -> str:
    urn = resource["provider"].rpartition("::")[0]
    (provider,) = (one for one in state["deployment"]["resources"] if one["urn"] == urn)
    kubeconfig: str = provider["inputs"]["kubeconfig"]
    return kubeconfig


def _statuses(
    account: Account, pending: list[Pending], known: Collection[str]
) -> Iterator[tuple[Pending, str]]:
    """Tell what AWS says of what it may still work on."""
    for one in pending:
        kind, told = one.resource["type"], one.resource["inputs"]
        if kind not in _QUESTIONS:
            continue
        service, operation, given, path = _QUESTIONS[kind]
        identity = one.resource.get("id") or find(account, kind, told, known)
        if identity is None:
            continue
        try:
            answer: Json = getattr(account.client(service), operation)(**given(told, identity))
        except ClientError as error:
            if "NotFound" in error.response["Error"]["Code"]:
                continue
            raise
        for key in path.split("."):
            answer = answer[key]
            if isinstance(answer, list):
                (answer,) = answer
        yield one, str(answer)


def _wait(
    account: Account, pending: list[Pending], known: Collection[str], say: Callable[[str], None]
) -> None:
    """Return when AWS has ended what the killed engine had asked for."""
    deadline = time.monotonic() + LONGEST_SECONDS
    said: dict[str, str] = {}
    while True:
        working = {
            one.name: status
            for one, status in _statuses(account, pending, known)
            if _WORKING.fullmatch(status)
        }
        if not working:
            return
        if working != said:
            said = working
            for name, status in working.items():
                say(f"AWS still works on {name}: {status}")
        if time.monotonic() > deadline:
            raise RecoveryError(f"AWS has worked on {', '.join(working)} for three hours: look why")
        time.sleep(POLL_SECONDS)


def lost(stack: Stack, names: Collection[str]) -> list[Pending]:
    """Return the creations of these resources, which failed and yet may have been done."""
    if not names:
        return []
    steps = json.loads(stack.run("preview", "--json"))["steps"]
    planned = [
        Pending("creating", step["newState"])
        for step in steps
        if step["op"] == "create" and step["urn"].rpartition("::")[2] in names
    ]
    if missing := {*names} - {one.urn.rpartition("::")[2] for one in planned}:
        raise RecoveryError(f"{', '.join(sorted(missing))}: `pulumi up` would not create it")
    return planned


def recover(
    stack: Stack,
    *,
    agreed: Callable[[str], bool],
    say: Callable[[str], None],
    names: Collection[str] = (),
) -> None:
    """Unlock the stack and let it know what there is.

    names: resources whose creation failed, and of which the provider says now that they exist.
    """
    _wait_for_plugins(say)
    state = _readable(stack, agreed, say)
    # `pulumi stack import` drops pending operations: nothing is imported that still has some.
    if not pending_of(state) and (holder := stack.lock(state)):
        _release(stack, holder, agreed, say)
        state = stack.export()
    state["deployment"] = state["deployment"] or {}  # a stack on which nothing was done has none
    pending = pending_of(state) or lost(stack, names)
    if not pending:
        say("the stack has no pending operations: nothing is to be recovered")
        return
    for one in pending:
        say(f"cut off while {one.operation} {one.name}")
    if not agreed("look in AWS for these, and write into the state what is there?"):
        raise RecoveryError("nothing was changed")
    in_aws = [one for one in pending if one.resource["type"].startswith("aws:")]
    account = Account(_region(state)) if in_aws else None
    known = {resource.get("id", "") for resource in state["deployment"].get("resources") or []}

    def look(one: Pending, others: list[str]) -> Json | None:
        kind, inputs = one.resource["type"], one.resource["inputs"]
        if account is None or kind.startswith("kubernetes:"):
            try:
                manager = field_manager(
                    _kubeconfig(state, one.resource), inputs, is_patch=kind.endswith("Patch")
                )
            except (ApiException, HTTPError) as error:
                raise RecoveryError(
                    f"{one.name}: the API server does not tell whether it is there ({error}): run "
                    "this again once it does"
                ) from None
            return manager and {"id": object_id(inputs), "__fieldManager": manager}
        identity = find(account, kind, inputs, others)
        return identity and {"id": identity}

    if account:
        _require_account(account, state)
        _wait(account, in_aws, known, say)
    state = adopted(state, pending, look)
    if holder := stack.lock(state):
        _release(stack, holder, agreed, say)
        recover(stack, agreed=agreed, say=say, names=names)  # of what the state says by now
        return
    if account:
        _finish_security_groups(account, state, in_aws, say)
    recorded = {resource["urn"] for resource in state["deployment"]["resources"]}
    targets = [
        f"--target={one.urn}"
        for one in pending
        if one.urn in recorded and _is_in_a_cloud(one.resource["type"])
    ]
    if targets:
        stack.run("refresh", "--yes", "--skip-preview", *targets)
    there = {resource["urn"] for resource in stack.export()["deployment"].get("resources") or []}
    for one in pending:
        say(f"{one.name}: {'the stack knows it' if one.urn in there else 'is not there'}")
    failed = (
        [
            one
            for one, status in _statuses(account, in_aws, known)
            if one.operation == "creating" and _FAILED.fullmatch(status) and one.urn in there
        ]
        if account
        else []
    )
    for one in failed:
        stack.run("state", "unprotect", one.urn, "--yes")  # it never held anything
        stack.run("state", "taint", one.urn, "--yes")
        say(f"{one.name}: AWS failed to make it; the next `pulumi up` replaces it")
    say("recovered: `pulumi up` completes the stack, `pulumi destroy` takes it away")


def _readable(stack: Stack, agreed: Callable[[str], bool], say: Callable[[str], None]) -> Json:
    try:
        return stack.export()
    except StackError as error:
        if "failed to load checkpoint: EOF" not in str(error) or not (notes := stack.cut_notes()):
            raise
    names = ", ".join(map(str, notes))
    if not agreed(f"{names} is empty, and Pulumi can do without; the state is whole: delete it?"):
        raise RecoveryError("nothing was changed")
    for path in notes:
        path.unlink()
    say(f"deleted {names}")
    return stack.export()


def _wait_for_plugins(say: Callable[[str], None]) -> None:
    """Return when no plugin of a killed engine can ask for anything any more."""
    deadline = time.monotonic() + PLUGINS_SECONDS
    said: list[str] = []
    while found := orphaned():
        told = ", ".join(found)
        if time.monotonic() > deadline:
            raise RecoveryError(
                f"{told} outlived the engine, and may still ask for what it had begun: end it, and "
                "run this again"
            )
        if found != said:
            said = found
            say(f"the engine is gone, and {told} still runs: waiting for its end")
        time.sleep(1)


def _finish_security_groups(
    account: Account, state: Json, pending: list[Pending], say: Callable[[str], None]
) -> None:
    """Take the rule for all egress away that AWS gives each new group.

    Pulumi's provider does so in a second call; no property tells of it, so that no `up` would.
    """
    making = {one.urn for one in pending if one.operation == "creating"}
    for resource in state["deployment"]["resources"]:
        kind = "aws:ec2/securityGroup:SecurityGroup"
        if resource["urn"] not in making or resource["type"] != kind:
            continue
        filters = [{"Name": "group-id", "Values": [resource["id"]]}]
        for rule in account.pages("ec2", "describe_security_group_rules", Filters=filters):
            if rule["IsEgress"] and rule["IpProtocol"] == "-1" and not rule.get("Tags"):
                account.client("ec2").revoke_security_group_egress(
                    GroupId=resource["id"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
                )
                say(f"took AWS's rule for all egress from {resource['id']}")


def _require_account(account: Account, state: Json) -> None:
    try:
        caller = account.client("sts").get_caller_identity()["Account"]
    except ClientError as error:  # ExpiredToken, InvalidClientTokenId
        told = error.response["Error"]
        raise RecoveryError(
            f"AWS does not take the credentials ({told['Code']}: {told['Message']}): take others, "
            "and run this again"
        ) from None
    allowed = {
        number
        for resource in state["deployment"]["resources"]
        if resource["type"] == "pulumi:providers:aws"
        for number in json.loads(resource["inputs"].get("allowedAccountIds", "[]"))
    }
    if allowed and caller not in allowed:
        raise RecoveryError(
            f"the credentials are of account {caller}, and the stack is in "
            f"{', '.join(sorted(allowed))}: take credentials of that"
        )


def _release(
    stack: Stack, holder: str, agreed: Callable[[str], bool], say: Callable[[str], None]
) -> None:
    """Take a lock away whose holder has ended."""
    found = re.search(r"created by .*@(\S+) \(pid (\d+)\)", holder)
    if found and found[1] == socket.gethostname() and _runs(int(found[2])):
        raise RecoveryError(f"the stack is locked, {holder}, and that process runs: let it end")
    if not agreed(f"the stack is locked, {holder}; is that over?"):
        raise RecoveryError("nothing was changed")
    stack.run("cancel", "--yes")
    say("unlocked the stack")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def main() -> int:
    """Recover a stack, asking before each change unless told not to."""
    parser = argparse.ArgumentParser(prog="python -m operations.recover")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--yes", action="store_true", help="agree to everything")
    parser.add_argument(
        "--lost",
        action="append",
        default=[],
        metavar="NAME",
        help="a resource whose creation failed, and of which the next `up` says that it exists",
    )
    told = parser.parse_args()

    @cache  # after the lock is gone, the same is found again
    def agreed(question: str) -> bool:
        return told.yes or input(f"{question} (yes/no) ").strip().lower() == "yes"

    try:
        recover(
            Stack(told.stack),
            agreed=agreed,
            say=lambda text: print(text, flush=True),
            names=told.lost,
        )
    except (BotoCoreError, ClientError, StackError, TwinsError, UnknownTypeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
