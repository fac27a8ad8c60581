"""What differs between a stack and the cloud, also where Pulumi's refresh does not look.

    python -m operations.drift --stack dev

It changes neither. What the cluster autoscaler owns, the size of a node group, is no drift. The
exit status is 0 without drift, 3 with, and 1 if it could not look. With --repository (and
GITHUB_TOKEN, which needs `issues: write`), each resource that drifts has one issue there, written
anew in its place and closed when the drift is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from operations.github_comment import GitHubError, Repository
from operations.identities import Account
from operations.objects import live_object
from operations.stack import Stack, StackError

Json: TypeAlias = Any

FOUND: Final = 3
_AUTOSCALERS: Final = {"aws:eks/nodeGroup:NodeGroup": {"scalingConfig.desiredSize"}}
_RBAC: Final = "kubernetes:rbac.authorization.k8s.io/v1:"


@dataclass(frozen=True)
class Drift:
    """One resource that is not what the stack says."""

    urn: str
    what: tuple[str, ...]
    """One line for each difference; values of secrets are in none."""

    @property
    def name(self) -> str:
        """The resource's name in the program, with its type."""
        kinds, _, name = self.urn.split("::", 2)[2].partition("::")
        return f"{name} ({kinds.rpartition('$')[2]})"


class State:
    """The resources that a stack knows of."""

    def __init__(self, deployment: Json) -> None:
        self.resources: list[Json] = [
            one for one in deployment.get("resources") or [] if not one.get("delete")
        ]

    def of(self, *kinds: str) -> list[Json]:
        """Return those of some types."""
        return [one for one in self.resources if one["type"] in kinds]

    @property
    def region(self) -> str | None:
        """Where they are; None before anything is there."""
        found = (one["inputs"].get("region") for one in self.of("pulumi:providers:aws"))
        return next(filter(None, found), None)


def seen_by_refresh(told: Json) -> Iterator[Drift]:
    """Yield what `pulumi refresh --preview-only --json` has found."""
    for step in told.get("steps", []):
        old, new = step.get("oldState"), step.get("newState")
        if old is None:
            continue
        if new is None or step["op"] == "delete":
            yield Drift(step["urn"], ("is gone",))
            continue
        before, after = (_leaves(one.get("inputs") or {}) for one in (old, new))
        owned = _AUTOSCALERS.get(old["type"], set())
        changed = sorted(
            path
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path) and path not in owned
        )
        if changed:
            lines = (_line(path, before.get(path), after.get(path)) for path in changed)
            yield Drift(step["urn"], tuple(lines))


def _leaves(value: Json, path: str = "") -> dict[str, Json]:
    """Return what is at the end of each path, without the engine's own."""
    if isinstance(value, dict) and value:
        found: dict[str, Json] = {}
        for key, item in value.items():
            if not key.startswith("__"):
                found |= _leaves(item, f"{path}.{key}" if path else key)
        return found
    return {path: value}


def _line(path: str, before: Json, after: Json) -> str:
    def shown(value: Json) -> str:
        return "nothing" if value is None else json.dumps(value)[:200]

    return f"{path}: {shown(after)} instead of {shown(before)}"


def unseen_in_aws(state: State, account: Account) -> Iterator[Drift]:
    """Yield what somebody has added, or put in the place of ours, beside what refresh reads."""
    yield from _security_groups(state, account)
    yield from _roles(state, account)
    yield from _airflow_options(state, account)
    yield from _secrets(state, account)
    yield from _buckets(state, account)


def _security_groups(state: State, account: Account) -> Iterator[Drift]:
    rules = "aws:vpc/securityGroup{}Rule:SecurityGroup{}Rule"
    known = {one["id"] for one in state.of(*(rules.format(d, d) for d in ("Ingress", "Egress")))}
    groups = (
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    )
    for group in state.of(*groups):
        filters = [{"Name": "group-id", "Values": [group["id"]]}]
        found = account.pages("ec2", "describe_security_group_rules", Filters=filters)
        added = [one for one in found if one["SecurityGroupRuleId"] not in known]
        if added:
            yield Drift(group["urn"], tuple(f"has the rule {_rule(one)} too" for one in added))


def _rule(rule: Json) -> str:
    other = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId")
    other = other or rule.get("ReferencedGroupInfo", {}).get("GroupId")
    ports = f"{rule.get('FromPort')}-{rule.get('ToPort')}"
    way = "to" if rule["IsEgress"] else "from"
    return f"{rule['SecurityGroupRuleId']} ({rule['IpProtocol']} {ports} {way} {other})"


def _roles(state: State, account: Account) -> Iterator[Drift]:
    attached = {
        (one["inputs"]["role"], one["inputs"]["policyArn"])
        for one in state.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    }
    inline = {
        (one["inputs"]["role"], one["inputs"]["name"])
        for one in state.of("aws:iam/rolePolicy:RolePolicy")
    }
    for role in state.of("aws:iam/role:Role"):
        name = role["id"]
        ours = {arn for owner, arn in attached if owner == name}
        ours |= set(role["inputs"].get("managedPolicyArns") or ())
        policies = account.pages("iam", "list_attached_role_policies", RoleName=name)
        names = account.pages("iam", "list_role_policies", RoleName=name)
        added = [
            *(one["PolicyArn"] for one in policies if one["PolicyArn"] not in ours),
            *(f"{one} (inline)" for one in names if (name, one) not in inline),
        ]
        if added:
            yield Drift(role["urn"], tuple(f"has the policy {one} too" for one in added))


def _airflow_options(state: State, account: Account) -> Iterator[Drift]:
    for one in state.of("aws:mwaa/environment:Environment"):
        found = account.client("mwaa").get_environment(Name=one["id"])["Environment"]
        live = found.get("AirflowConfigurationOptions") or {}
        ours = _plain(one["inputs"].get("airflowConfigurationOptions")) or {}
        lines = (
            f"the Airflow option {key} is {'set' if key not in ours else 'unset'}"
            if key not in ours or key not in live
            else f"the Airflow option {key} has another value"
            for key in sorted(live.keys() | ours.keys())
            if live.get(key) != ours.get(key)
        )
        if what := tuple(lines):
            yield Drift(one["urn"], what)


def _plain(value: Json) -> Json:
    """Return a value of which the state, exported with its secrets, says that it is secret."""
    if isinstance(value, dict) and "plaintext" in value:
        return json.loads(value["plaintext"])
    return value


def _secrets(state: State, account: Account) -> Iterator[Drift]:
    client = account.client("secretsmanager")
    for one in state.of("aws:secretsmanager/secretVersion:SecretVersion"):
        # Versions tell, and the right to read a secret is not needed.
        told = client.describe_secret(SecretId=one["inputs"]["secretId"])
        stages = told.get("VersionIdsToStages", {})
        current = [version for version, names in stages.items() if "AWSCURRENT" in names]
        if current != [one["outputs"]["versionId"]]:
            what = f"the secret's current version is {', '.join(current) or 'none'}, and not ours"
            yield Drift(one["urn"], (what,))


def _buckets(state: State, account: Account) -> Iterator[Drift]:
    """Compare versions where the program delivers; a pipeline's own are not known here."""
    named = {one["urn"].rpartition("::")[2]: one for one in state.resources}
    for component in ("dags", "jobs"):
        record, bucket = (named.get(f"{component}-{kind}") for kind in ("written", "bucket"))
        if record is None or bucket is None:
            continue
        files = record["outputs"]["files"]
        # Of the jobs' bucket the rest is the teams', and more than anybody would list.
        folder = posixpath.commonpath([posixpath.dirname(key) for key in files])
        within = {"Prefix": f"{folder}/"} if folder else {}
        found = account.pages("s3", "list_object_versions", Bucket=bucket["id"], **within)
        latest = {
            one["Key"]: one["VersionId"] for one in found if one["IsLatest"] and "ETag" in one
        }
        lines = [
            f"{key} is deleted"
            if key not in latest
            else f"{key} was written by somebody else, version {latest[key]}"
            for key, file in sorted(files.items())
            if latest.get(key) != file["version"]
        ]
        lines += [
            f"{key} was put there by somebody else, and Airflow runs it"
            for key in sorted(latest.keys() - files.keys())
            if key.startswith("dags/") and not key.endswith("/")
        ]
        if lines:
            yield Drift(bucket["urn"], tuple(lines))


def unseen_in_kubernetes(state: State, get: Callable[[Json], Json]) -> Iterator[Drift]:
    """Yield what was added to the rules of roles and the subjects of bindings.

    get: from what the program asked for to what the cluster has.
    """
    for one in state.resources:
        if not one["type"].startswith(_RBAC):
            continue
        live = get(one["inputs"])
        if live is None:
            continue  # which a refresh sees
        lines = [
            f"also allows {rule}"
            for rule in sorted(set(_allowed(live)) - set(_allowed(one["inputs"])))
        ]
        subjects = [_subjects(other) for other in (live, one["inputs"])]
        lines += [f"is also for {subject}" for subject in sorted(subjects[0] - subjects[1])]
        if lines:
            yield Drift(one["urn"], tuple(lines))


def _allowed(role: Json) -> Iterator[str]:
    """Yield each thing that a role allows."""
    for rule in role.get("rules") or ():
        names = (
            f" named {', '.join(sorted(rule['resourceNames']))}"
            if rule.get("resourceNames")
            else ""
        )
        for verb in rule["verbs"]:
            yield from (f"{verb} of {url}" for url in rule.get("nonResourceURLs") or ())
            for group in rule.get("apiGroups") or ("",):
                for resource in rule.get("resources") or ():
                    yield f"{verb} of {'.'.join(filter(None, (resource, group)))}{names}"


def _subjects(binding: Json) -> set[str]:
    return {
        " ".join(filter(None, (one["kind"], one.get("namespace"), one["name"])))
        for one in binding.get("subjects") or ()
    }


def _cluster(state: State) -> Callable[[Json], Json] | None:
    """Return how to ask the cluster as the stack's own provider does."""
    providers = state.of("pulumi:providers:kubernetes")
    if not providers:
        return None
    return partial(live_object, _plain(providers[-1]["inputs"]["kubeconfig"]))


def drifts(stack: Stack) -> list[Drift]:
    """Return what differs, by resource."""
    state = State(json.loads(stack.run("stack", "export", "--show-secrets"))["deployment"])
    found = list(seen_by_refresh(json.loads(stack.run("refresh", "--preview-only", "--json"))))
    if region := state.region:
        found += unseen_in_aws(state, Account(region))
    if get := _cluster(state):
        found += unseen_in_kubernetes(state, get)
    merged: dict[str, tuple[str, ...]] = {}
    for one in found:
        merged[one.urn] = (*merged.get(one.urn, ()), *one.what)
    return [Drift(urn, what) for urn, what in merged.items()]


def marker(stack: str, urn: str) -> str:
    """Return the first line of an issue, which tells whose it is."""
    return f"<!-- drift of {stack}: {urn} -->"


def body(stack: str, drift: Drift) -> str:
    """Return an issue about one resource."""
    # In a block: what somebody has written in the cloud is text, whatever it looks like.
    lines = "\n".join(drift.what).replace("```", "'''")
    return (
        f"{marker(stack, drift.urn)}\n\n`{drift.name}` is not what the stack `{stack}` says:\n\n"
        f"```\n{lines}\n```\n\n`pulumi up --refresh` puts back what a refresh sees; what somebody "
        "has added goes by hand, or into the program. This issue is closed when it is gone.\n"
    )


def report(repository: Repository, stack: str, found: Iterable[Drift]) -> Iterator[str]:
    """Let each drift have one open issue, and yield what was done."""
    beginning = marker(stack, "").removesuffix(" -->")
    open_issues: Mapping[str, Json] = repository.issues(beginning)
    wanted = {marker(stack, one.urn): one for one in found}
    for first_line, one in wanted.items():
        text = body(stack, one)
        issue = open_issues.get(first_line)
        if issue is None:
            address = repository.open_issue(f"Drift in {stack}: {one.name}", text)
            yield f"opened {address}"
        elif issue["body"].strip() != text.strip():
            repository.change_issue(issue["number"], body=text)
            yield f"changed {issue['html_url']}"
    for first_line, issue in open_issues.items():
        if first_line not in wanted:
            repository.change_issue(issue["number"], state="closed")
            yield f"closed {issue['html_url']}"


def main() -> int:
    """Tell what differs."""
    parser = argparse.ArgumentParser(prog="python -m operations.drift")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--repository", help="owner/name of the repository that gets the issues")
    told = parser.parse_args()
    token = os.environ.get("GITHUB_TOKEN", "")
    if told.repository and not token:
        print("GITHUB_TOKEN is not set: it says who writes the issues", file=sys.stderr)
        return 1
    try:
        found = drifts(Stack(told.stack))
        for one in found:
            print(one.name, *one.what, sep="\n  ")
        if not found:
            print(f"{told.stack} is what its state says")
        if told.repository:
            api = os.environ.get("GITHUB_API_URL", "https://api.github.com")
            for line in report(Repository(api, token, told.repository), told.stack, found):
                print(line)
    except (
        BotoCoreError,
        ClientError,
        GitHubError,
        StackError,
        urllib3.exceptions.HTTPError,
    ) as error:
        print(error, file=sys.stderr)
        return 1
    return FOUND if found else 0


if __name__ == "__main__":
    sys.exit(main())
