"""What checkov says of a stack, which it reads as a plan of Terraform and as manifests:

    pulumi stack export --stack dev | python -m operations.scan prepare scanned
    checkov --directory scanned --framework terraform_plan kubernetes --output json > reports.json
    python -m operations.scan judge reports.json policy/waivers.toml

Each check that fails must be waived, with a reason, and each waiver be needed. checkov is no
package of this repository: `.ci/scan` runs it in an environment of its own.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
# What Terraform calls otherwise than by module and name, or with neither.
_WITHOUT_MODULE: Final = {"ec2"}
_NAMES: Final = {
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": "aws_iam_openid_connect_provider",
    "aws:s3/bucketObjectv2:BucketObjectv2": "aws_s3_object",
}
# Maps of the user's own keys; all other objects are blocks, of which there may be many.
_MAPS: Final = {"airflow_configuration_options", "tags", "tags_all"}
# Pulumi names a list for what it is, Terraform each block.
_SINGULAR: Final = {"rules": "rule"}
_NO_OBJECTS: Final = "Patch"
_FRAMEWORKS: Final = {"kubernetes", "terraform_plan"}


@dataclass(frozen=True)
class Failure:
    """A check that a resource does not pass."""

    check: str
    title: str
    resource: str
    """`aws_s3_bucket.dags-bucket`, or `Deployment.kube-system.cluster-autoscaler`."""


@dataclass(frozen=True)
class Waiver:
    """Why a check may fail."""

    check: str
    resources: tuple[str, ...]
    """Patterns of resources, as a shell has them."""
    reason: str

    def covers(self, failure: Failure) -> bool:
        """Tell whether it is about this failure."""
        return failure.check == self.check and any(
            fnmatch.fnmatchcase(failure.resource, one) for one in self.resources
        )


def terraform_type(token: str) -> str:
    """Return what Terraform calls a type: aws:eks/cluster:Cluster is aws_eks_cluster."""
    if token in _NAMES:
        return _NAMES[token]
    module, _, name = token.split(":")[1].partition("/")
    return _snake("_".join(["aws", *([] if module in _WITHOUT_MODULE else [module]), name]))


def plan(state: Json) -> Json:
    """Return the stack's AWS resources as Terraform tells a plan that makes all of them."""
    resources = [one for one in state["deployment"]["resources"] if _is_of(one, "aws:")]
    addresses = {one["urn"]: _address(one) for one in resources}
    planned, changes, configuration = [], [], []
    for one in resources:
        kind, _, name = addresses[one["urn"]].partition(".")
        head = {"address": f"{kind}.{name}", "mode": "managed", "type": kind, "name": name}
        values = _values(one.get("inputs", {}))
        planned.append({**head, "values": values})
        change = {"actions": ["create"], "before": None, "after": values, "after_unknown": {}}
        changes.append({**head, "change": change})
        made_of = one.get("propertyDependencies") or {}
        expressions = {
            _name(key): {"references": [addresses[urn] for urn in urns if urn in addresses]}
            for key, urns in made_of.items()
        }
        configuration.append({**head, "expressions": expressions})
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": planned}},
        "resource_changes": changes,
        "configuration": {"root_module": {"resources": configuration}},
    }


def objects(state: Json) -> list[Json]:
    """Return the stack's Kubernetes objects, as manifests."""
    return [
        {key: value for key, value in one["inputs"].items() if not key.startswith("__")}
        for one in state["deployment"]["resources"]
        if _is_of(one, "kubernetes:") and not one["type"].endswith(_NO_OBJECTS)
    ]


def _is_of(resource: Json, package: str) -> bool:
    return bool(resource["type"].startswith(package)) and not resource.get("delete")


def _address(resource: Json) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", resource["urn"].rpartition("::")[2])
    return f"{terraform_type(resource['type'])}.{name}"


def _values(inputs: Mapping[str, Json]) -> Json:
    return {
        _name(key): _value(_name(key), value)
        for key, value in inputs.items()
        if not key.startswith("__") and value != _UNKNOWN
    }


def _value(name: str, value: Json) -> Json:
    match value:
        case Mapping() if _SIGNATURE in value:
            return "(secret or file)"
        case Mapping() if name in _MAPS:
            return value
        case Mapping():
            return [_values(value)]
        case list():
            return [_values(one) if isinstance(one, Mapping) else one for one in value]
    return value


def _name(key: str) -> str:
    name = _snake(key)
    return _SINGULAR.get(name, name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def failures(report: Json) -> Iterator[Failure]:
    """Yield what checkov says has failed, given its JSON."""
    if broken := report["results"].get("parsing_errors"):
        raise ValueError(f"checkov cannot read {', '.join(broken)}")
    for one in report["results"]["failed_checks"]:
        yield Failure(one["check_id"], one["check_name"], one["resource"])


def read_waivers(text: str) -> list[Waiver]:
    """Return the waivers of a file, of which each has a reason."""
    found = []
    for check, one in tomllib.loads(text).items():
        if one.keys() != {"reason", "resources"} or not one["reason"].strip():
            raise ValueError(f"{check}: a waiver has resources and a reason, and nothing else")
        found.append(Waiver(check, tuple(one["resources"]), one["reason"]))
    return found


def complaints(failed: Iterable[Failure], waivers: Iterable[Waiver]) -> list[str]:
    """Return what nobody has waived, and what is waived for nothing."""
    failed, waivers = list(failed), list(waivers)
    told = [
        f"{one.check} {one.resource}: {one.title}: mend it, or waive it with the reason"
        for one in failed
        if not any(waiver.covers(one) for waiver in waivers)
    ]
    for waiver in waivers:
        for pattern in waiver.resources:
            only = Waiver(waiver.check, (pattern,), waiver.reason)
            if not any(only.covers(one) for one in failed):
                told.append(f"{waiver.check} {pattern}: nothing needs this waiver: remove it")
    return told


def _prepare(directory: Path) -> int:
    state = json.load(sys.stdin)
    directory.mkdir(exist_ok=True)
    (directory / "plan.json").write_text(json.dumps(plan(state)))
    manifests = "".join(f"---\n{json.dumps(one)}\n" for one in objects(state))
    (directory / "objects.yaml").write_text(manifests)
    return 0


def _judge(given: Path, waivers: Path) -> int:
    reports = json.loads(given.read_text())
    # With nothing to check of a framework, there is no report of it, or no list.
    if not isinstance(reports, list) or {one["check_type"] for one in reports} != _FRAMEWORKS:
        print(f"{given}: checkov has not judged both AWS resources and objects", file=sys.stderr)
        return 2
    passed = sum(report["summary"]["passed"] for report in reports)
    failed = [one for report in reports for one in failures(report)]
    told = complaints(failed, read_waivers(waivers.read_text()))
    print(
        f"checkov: {passed} passed, {len(failed)} failed, {len(told)} to look at", *told, sep="\n"
    )
    return 1 if told else 0


def main() -> int:
    """Write what checkov reads, or judge what it says."""
    parser = argparse.ArgumentParser(prog="python -m operations.scan")
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="write what checkov reads, from a state")
    prepare.add_argument("directory", type=Path)
    judge = commands.add_parser("judge", help="tell what has failed and is not waived")
    judge.add_argument("reports", type=Path)
    judge.add_argument("waivers", type=Path)
    told = parser.parse_args()
    if told.command == "prepare":
        return _prepare(told.directory)
    return _judge(told.reports, told.waivers)


if __name__ == "__main__":
    sys.exit(main())
