"""What a preview would do, as the comment of a pull request: the dangerous first.

    pulumi preview --json --stack dev > preview.json
    python -m operations.preview_comment --stack dev preview.json > comment.md

With `--events`, what `pulumi preview --event-log` has written, also what policies say. With
`--cost`, what `python -m cost --json` has printed before and after the change, also what it costs.

Needs nothing but Python, whatever CI runs it.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any

LONGEST: Final = 65_536
"""Characters that GitHub takes for a comment."""

_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (Pulumi's mark of a secret)

OPERATIONS: Final = {
    "replace": "replaced",
    "delete": "deleted",
    "update": "changed",
    "create": "created",
    "import": "imported",
}
"""What a step does, in the order in which a reader should know of it."""

# What is lost with a resource that is replaced or deleted.
_HOLDS: Final = {
    "aws:mwaa/environment:Environment": "Airflow's metadata: runs, variables and connections of "
    "its database",
    "aws:eks/cluster:Cluster": "the cluster with all that runs in it",
    "aws:ec2/vpc:Vpc": "the network under everything",
    "aws:kms/key:Key": "the key that logs, secrets, volumes and buckets are encrypted with",
    "aws:s3/bucket:Bucket": "the objects in it",
    "aws:emrcontainers/virtualCluster:VirtualCluster": "the team's job runs and their history",
    "kubernetes:core/v1:Namespace": "all that is in the namespace",
}
_NOT_LOOKED_AT: Final = (
    "<sub>Compared with the stack's state. What somebody has changed by hand since, and what AWS "
    "or Kubernetes would refuse, a preview does not see.</sub>"
)
_LEVELS: Final = ("**refused**", "warning", "excepted")
_BOUNDS: Final = ("least", "most")
_TAGS: Final = frozenset({"tags", "tagsAll"})


@dataclass(frozen=True)
class Step:
    """One resource that does not stay as it is."""

    operation: str
    """A key of OPERATIONS."""
    type: str
    name: str
    component: str
    changed: tuple[str, ...]
    """Paths of the properties that change."""
    replacing: tuple[str, ...]
    """Those for which it is replaced."""
    old: Mapping[str, Json]
    new: Mapping[str, Json]

    @property
    def kind(self) -> str:
        """The type as a reader knows it: aws:ec2:Vpc."""
        package, _, rest = self.type.partition(":")
        module, _, kind = rest.partition(":")
        return f"{package}:{module.partition('/')[0]}:{kind}"


@dataclass(frozen=True)
class Section:
    """What another check says of the same change."""

    title: str
    body: str


def steps_of(preview: Json) -> list[Step]:
    """Return what changes, the most dangerous first."""
    parents = {
        step["urn"]: (step.get("newState") or step["oldState"]).get("parent", "")
        for step in preview["steps"]
    }
    found = []
    for step in preview["steps"]:
        if step["op"] not in OPERATIONS:
            continue
        old, new = step.get("oldState") or {}, step.get("newState") or {}
        found.append(
            Step(
                step["op"],
                _kinds(step["urn"])[-1],
                step["urn"].split("::", 3)[3],
                _component(step["urn"], parents),
                tuple(step.get("detailedDiff") or step.get("diffReasons") or ()),
                tuple(step.get("replaceReasons") or ()),
                old.get("inputs", {}),
                new.get("inputs", {}),
            )
        )
    known = {step.component for step in found} | {_component(urn, parents) for urn in parents}
    found = [replace(step, component=_named(step.component, known)) for step in found]
    ranks = list(OPERATIONS)
    return sorted(
        found, key=lambda step: (ranks.index(step.operation), step.component, step.type, step.name)
    )


def _component(urn: str, parents: Mapping[str, str]) -> str:
    """The outermost component that a resource belongs to, or the stack."""
    outermost = _kinds(urn)[0]
    if ":index:" not in outermost:
        return "stack"
    kind = outermost.rpartition(":")[2]
    while urn and _kinds(urn) != [outermost]:
        urn = parents.get(urn, "")
    return f"{kind} {urn.rpartition('::')[2]}" if urn else kind


def _named(component: str, known: Set[str]) -> str:
    """The component with its name: a preview leaves out some that stay as they are, and so whose
    the resources in them are."""
    same = [one for one in known if one.startswith(f"{component} ")]
    return same[0] if len(same) == 1 else component


def _kinds(urn: str) -> list[str]:
    """The types of a resource and of those that it belongs to, the outermost first."""
    return urn.split("::", 2)[2].partition("::")[0].split("$")


def comment(stack: str, preview: Json, sections: Sequence[Section] = ()) -> str:
    """Return the comment as Markdown; what does not fit is said to be left out.

    sections: what other checks say, such as policies or the price.
    """
    steps = steps_of(preview)
    errors = errors_of(preview)
    parts = [marker(stack), f"### `{stack}`: {_headline(steps, errors)}"]
    if errors:
        parts.append(_alert("CAUTION", ["**The preview failed**", *_fenced("\n".join(errors))]))
    parts += [_alert("CAUTION", dangers)] if (dangers := list(_dangers(steps))) else []
    parts += [_alert("WARNING", effects)] if (effects := list(_effects(steps))) else []
    parts += [_table(steps)] if steps else []
    parts += [f"#### {one.title}\n\n{one.body}" for one in sections]
    parts += (
        [_alert("NOTE", _fenced("\n".join(warned)))] if (warned := warnings_of(preview)) else []
    )
    parts += [_NOT_LOOKED_AT]
    room = LONGEST - sum(len(part) + 2 for part in parts)
    parts += [_differences(steps, room)] if steps else []
    return "\n\n".join(parts) + "\n"


def marker(stack: str) -> str:
    """Return the first line of a stack's comment, by which it is found again."""
    return f"<!-- preview of {re.sub(r'[^A-Za-z0-9._/-]', '_', stack)} -->"


def _headline(steps: Sequence[Step], errors: Sequence[str]) -> str:
    if errors:
        return "the preview failed"
    counts = Counter(step.operation for step in steps)
    told = [
        f"**{count} {what}**" if operation in ("replace", "delete") else f"{count} {what}"
        for operation, what in OPERATIONS.items()
        if (count := counts[operation])
    ]
    return ", ".join(told) if told else "no changes"


def _dangers(steps: Sequence[Step]) -> Iterator[str]:
    """What is lost, each by name, and how much else is replaced."""
    replaced = 0
    for step in steps:
        if step.operation in ("replace", "delete") and (lost := _HOLDS.get(step.type)):
            because = f", for {_list(step.replacing)}" if step.replacing else ""
            yield (
                f"- **{OPERATIONS[step.operation]}**: {_code(step.name)} ({step.kind}{because}). "
                f"**Lost: {lost}.**"
            )
        else:
            replaced += step.operation == "replace"
    if replaced:
        yield f"- **{replaced} replaced** that hold no data"


def _effects(steps: Sequence[Step]) -> Iterator[str]:
    """What happens to work that is running."""
    for step in steps:
        changed = {_top(path) for path in step.changed} - _TAGS
        if step.operation == "update" and changed:
            if step.type == "aws:mwaa/environment:Environment":
                yield (
                    "- **MWAA will restart (20 to 40 minutes)**: its workers stop with the tasks "
                    f"that run on them ({_list(sorted(changed))})"
                )
            elif step.type == "aws:eks/cluster:Cluster" and "version" in changed:
                yield (
                    "- **The control plane is upgraded** to Kubernetes "
                    f"{_code(str(step.new.get('version')))}, for which there is no `up` back"
                )
            elif step.type == "aws:eks/nodeGroup:NodeGroup" and changed & {
                "launchTemplate",
                "releaseVersion",
                "version",
            }:
                yield "- **All nodes are exchanged**, and the pods on them evicted"
        elif step.operation == "replace" and step.type == "aws:eks/nodeGroup:NodeGroup":
            yield "- **New nodes take the place of all**, and the pods on the old ones are evicted"


def _table(steps: Sequence[Step]) -> str:
    counts = Counter((step.component, step.operation) for step in steps)
    shown = [one for one in OPERATIONS if any(step.operation == one for step in steps)]
    rows = [
        ["Component", *(OPERATIONS[one] for one in shown)],
        [":--", *("--:" for _ in shown)],
    ]
    for component in dict.fromkeys(step.component for step in steps):
        found = [counts[component, one] for one in shown]
        cells = [
            f"**{n}**" if n and one in ("replace", "delete") else str(n or "")
            for n, one in zip(found, shown, strict=True)
        ]
        rows.append([_cell(component), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _differences(steps: Sequence[Step], room: int) -> str:
    head = "<details><summary>All of it</summary>\n\n"
    tail = "\n\n</details>"
    left_out = "\n\n{} more: see the log of the preview"
    room -= len(head) + len(tail) + len(left_out) + 10
    told: list[str] = []
    for step in steps:
        text = _difference(step)
        if len(text) + 2 > room:
            break
        room -= len(text) + 2
        told.append(text)
    missing = len(steps) - len(told)
    return head + "\n\n".join(told) + (left_out.format(missing) if missing else "") + tail


def _difference(step: Step) -> str:
    title = f"**{OPERATIONS[step.operation]}** {_code(step.name)} ({step.kind})"
    names = sorted({_top(path) for path in step.changed} - {"tagsAll"}) or None
    if step.operation in ("create", "import", "delete"):
        return title
    old, new = (
        {k: v for k, v in one.items() if k in (names or one)} for one in (step.old, step.new)
    )
    lines = list(difflib.unified_diff(_readable(old), _readable(new), lineterm="", n=2))[2:]
    if not lines:
        return title + (": its tags" if step.changed and names is None else "")
    lines = [line for line in lines if not line.startswith("@@")]
    return "\n".join([title, "", *_fenced("\n".join(lines), "diff")])


def _readable(value: Json) -> list[str]:
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, sort_keys=True).splitlines()


def _plain(value: Json) -> Json:
    """A value as a reader wants it: no secret, no mark of Pulumi's, documents taken apart."""
    match value:
        case Mapping() if value.get(_SIGNATURE) == _SECRET:
            return "[secret]"
        case Mapping():
            return {key: _plain(one) for key, one in value.items() if key != _SIGNATURE}
        case list():
            return [_plain(one) for one in value]
        case str() if _UNKNOWN in value:
            return "[known after up]"
        case str() if value.startswith(("{", "[")):
            with suppress(ValueError):
                return _plain(json.loads(value))
    return value


def policies_of(events: Iterable[Json]) -> list[Section]:
    """Return what policies say, those that end the preview first; nothing if they say nothing."""
    told = set()
    for one in (event["policyEvent"] for event in events if "policyEvent" in event):
        text = " ".join(one["message"].split())
        level = "**refused**" if one["enforcementLevel"] == "mandatory" else "warning"
        if excepted := one.get("exceptions"):
            level, text = "excepted", "; ".join(each["reason"] for each in excepted)
        where = one.get("resourceUrn", "").rpartition("::")[2] or "the stack"
        told.add((_LEVELS.index(level), one["policyName"], where, text))
    lines = [
        f"- {_LEVELS[level]}: {_code(name)}, {_code(where)}: {_code(text)}"
        for level, name, where, text in sorted(told)
    ]
    return [Section("Policies", "\n".join(lines))] if lines else []


def price_of(before: Json, after: Json) -> list[Section]:
    """Return what becomes dearer or cheaper, by line; nothing if nothing does."""
    old, new = ({one["name"]: one for one in each["lines"]} for each in (before, after))
    nothing = dict.fromkeys(_BOUNDS, 0.0)
    both = [
        (name, old.get(name, nothing), new.get(name, nothing))
        for name in dict.fromkeys((*old, *new))
    ]
    rows = [
        (name, one, other)
        for name, one, other in both
        if any(one[bound] != other[bound] for bound in _BOUNDS)
    ]
    if not rows:
        return []
    lines = [
        f"US dollars in a month, list prices on demand in {_code(after['region'])}:",
        "",
        "| | Before | After | Difference |",
        "| :-- | --: | --: | --: |",
        *(
            f"| {_code(name)} | {_span(one)} | {_span(other)} | {_change(one, other)} |"
            for name, one, other in rows
        ),
        f"| **Total** | {_span(before)} | {_span(after)} | **{_change(before, after)}** |",
    ]
    if unknown := sorted({*before["unpriced"], *after["unpriced"]}):
        lines += ["", f"The total lacks what has no known price: {_list(unknown)}."]
    return [Section("Price", "\n".join(lines))]


def _span(amounts: Json) -> str:
    return _least_to_most([amounts[bound] for bound in _BOUNDS], ",.2f")


def _change(before: Json, after: Json) -> str:
    pairs = [(before[bound], after[bound]) for bound in _BOUNDS]
    # Rounded, since what is nothing must have no minus.
    found = [None if None in pair else round(pair[1] - pair[0], 2) + 0.0 for pair in pairs]
    return _least_to_most(found, "+,.2f")


def _least_to_most(amounts: Sequence[float | None], form: str) -> str:
    return " to ".join(
        dict.fromkeys("unknown" if one is None else format(one, form) for one in amounts)
    )


def errors_of(preview: Json) -> list[str]:
    """Return why a preview failed, each reason once."""
    return list(
        dict.fromkeys(
            re.sub(r"^error: (an unhandled error occurred: )?", "", text).strip()
            for text in _diagnostics(preview, "error")
        )
    )


def warnings_of(preview: Json) -> list[str]:
    """Return what a preview warns about, each once."""
    told = (text.removeprefix("warning: ").strip() for text in _diagnostics(preview, "warning"))
    return list(dict.fromkeys(told))


def _diagnostics(preview: Json, severity: str) -> list[str]:
    found = preview.get("diagnostics") or []
    return [one["message"] for one in found if one.get("severity") == severity]


def _alert(kind: str, lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    return "\n".join(f"> {line}".rstrip() for line in [f"[!{kind}]", *text.splitlines()])


def _fenced(text: str, language: str = "") -> list[str]:
    # A value may hold a fence itself, and whoever opens a pull request writes values.
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def _code(text: str) -> str:
    return "`" + re.sub(r"[`\s|<>]+", " ", text) + "`"


def _cell(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ._-]", " ", text)


def _list(names: Sequence[str]) -> str:
    return ", ".join(_code(name) for name in names)


def _top(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def main() -> int:
    """Print the comment for a preview that a file holds, or standard input."""
    parser = argparse.ArgumentParser(prog="python -m operations.preview_comment")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--events", type=Path)
    parser.add_argument("--cost", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    parser.add_argument("preview", type=Path, nargs="?")
    told = parser.parse_args()
    text = told.preview.read_text() if told.preview else sys.stdin.read()
    events = told.events.read_text().splitlines() if told.events and told.events.exists() else []
    try:
        preview = json.loads(text)
        sections = policies_of(map(json.loads, events))
        if told.cost:
            sections += price_of(*(json.loads(file.read_text()) for file in told.cost))
        print(comment(told.stack, preview, sections), end="")
    except (ValueError, KeyError, TypeError) as error:
        where = told.preview or "standard input"
        print(
            f"{where} is no preview ({type(error).__name__}: {error}): make it with "
            "`pulumi preview --json`",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
