"""The comment of a pull request, from previews as `pulumi preview --json` prints them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from operations.preview_comment import LONGEST, Section, comment, marker, policies_of, price_of

Json = Any
AIRFLOW = "mwaa-on-eks:index:AirflowEnvironment"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def urn(kinds: str, name: str) -> str:
    return f"urn:pulumi:dev::mwaa-on-eks::{kinds}::{name}"


def step(  # one property per argument, as a step has them
    operation: str,
    kind: str,
    name: str,
    *,
    component: str = AIRFLOW,
    old: Json = None,
    new: Json = None,
    replaces: tuple[str, ...] = (),
) -> Json:
    parent = urn(component, component.rpartition(":")[2].lower())
    changed = {
        key: {"kind": "update"}
        for key in (old or {}).keys() | (new or {}).keys()
        if (old or {}).get(key) != (new or {}).get(key)
    }
    found: Json = {
        "op": operation,
        "urn": urn(f"{component}${kind}", name),
        "detailedDiff": changed if operation in ("update", "replace") else None,
        "replaceReasons": list(replaces),
    }
    if operation != "create":
        found["oldState"] = {"parent": parent, "inputs": old or {}}
    if operation != "delete":
        found["newState"] = {"parent": parent, "inputs": new or {}}
    return found


def preview(*steps: Json, **other: Json) -> Json:
    return {"steps": list(steps), **other}


def rendered(text: str) -> str:
    """As GitHub renders it, but for its alerts."""
    html: str = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    return html


ENVIRONMENT = "aws:mwaa/environment:Environment"
VPC = "aws:ec2/vpc:Vpc"


def test_nothing_to_do_is_said_in_one_line() -> None:
    mark, headline, rest = comment("dev", preview()).split("\n\n")
    assert (mark, headline) == ("<!-- preview of dev -->", "### `dev`: no changes")
    # And what is said under each preview: what it has not looked at.
    assert re.fullmatch(r"<sub>Compared with the stack's state\..* does not see\.</sub>\n", rest)


def test_what_is_lost_comes_first_and_by_name() -> None:
    text = comment(
        "dev",
        preview(
            step("create", "aws:iam/role:Role", "a-role"),
            step("replace", ENVIRONMENT, "airflow-environment", replaces=("kmsKey",)),
            step("delete", "kubernetes:core/v1:Namespace", "spark-risk-namespace"),
            step("replace", "aws:iam/rolePolicy:RolePolicy", "a-policy"),
        ),
    )
    lines = text.splitlines()
    assert lines[2] == "### `dev`: **2 replaced**, **1 deleted**, 1 created"
    assert lines[4] == "> [!CAUTION]"
    assert "`airflow-environment` (aws:mwaa:Environment, for `kmsKey`)" in lines[5]
    assert "Lost: Airflow's metadata" in lines[5]
    assert "`spark-risk-namespace`" in lines[6]
    assert "all that is in the namespace" in lines[6]
    assert lines[7] == "> - **1 replaced** that hold no data"
    assert "a-role" not in "\n".join(lines[:8])


@pytest.mark.parametrize(
    ("kind", "changed", "told"),
    [
        (ENVIRONMENT, "maxWorkers", "MWAA will restart (20 to 40 minutes)"),
        (ENVIRONMENT, "requirementsS3ObjectVersion", "MWAA will restart (20 to 40 minutes)"),
        ("aws:eks/cluster:Cluster", "version", "The control plane is upgraded"),
        ("aws:eks/nodeGroup:NodeGroup", "version", "All nodes are exchanged"),
        ("aws:eks/nodeGroup:NodeGroup", "launchTemplate", "All nodes are exchanged"),
    ],
)
def test_what_stops_work_is_told(kind: str, changed: str, told: str) -> None:
    text = comment(
        "dev", preview(step("update", kind, "x", old={changed: "1"}, new={changed: "2"}))
    )
    assert "[!WARNING]" in text
    assert told in text


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (ENVIRONMENT, "tagsAll"),
        ("aws:eks/cluster:Cluster", "enabledClusterLogTypes"),
        ("aws:eks/nodeGroup:NodeGroup", "labels"),
        ("aws:iam/role:Role", "version"),
    ],
)
def test_what_stops_nothing_is_no_warning(kind: str, changed: str) -> None:
    text = comment(
        "dev", preview(step("update", kind, "x", old={changed: "1"}, new={changed: "2"}))
    )
    assert "WARNING" not in text
    assert "1 changed" in text


def test_new_nodes_are_a_warning() -> None:
    text = comment("dev", preview(step("replace", "aws:eks/nodeGroup:NodeGroup", "nodes")))
    assert "New nodes take the place of all" in text


def test_the_table_counts_by_component() -> None:
    network = "mwaa-on-eks:index:Network"
    text = rendered(
        comment(
            "dev",
            preview(
                step("update", ENVIRONMENT, "x", old={"a": 1}, new={"a": 2}),
                step("create", VPC, "y", component=network),
                step("create", VPC, "z", component=network),
            ),
        )
    )
    rows = re.findall(r"<tr>(.*?)</tr>", text, flags=re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert cells == [
        ["Component", "changed", "created"],
        ["AirflowEnvironment airflowenvironment", "1", ""],
        ["Network network", "", "2"],
    ]


def test_a_component_that_a_preview_leaves_out_is_known_by_its_other_resources() -> None:
    inner = step("create", VPC, "x")
    inner["newState"]["parent"] = urn(f"{AIRFLOW}$eks:index:Inner", "not-in-the-preview")
    text = comment("dev", preview(inner, step("create", VPC, "y")))
    assert "| AirflowEnvironment airflowenvironment | 2 |" in text


def test_a_difference_shows_values_documents_and_what_is_not_known() -> None:
    text = comment(
        "dev",
        preview(
            step(
                "update",
                "aws:iam/rolePolicy:RolePolicy",
                "p",
                old={"policy": '{"Statement":[{"Action":"s3:Get"}]}', "role": "r", "id": "i"},
                new={"policy": '{"Statement":[{"Action":"s3:Put"}]}', "role": UNKNOWN, "id": "i"},
            )
        ),
    )
    assert '-        "Action": "s3:Get"' in text
    assert '+        "Action": "s3:Put"' in text
    assert '+  "role": "[known after up]"' in text
    assert '"id"' not in text


def test_no_secret_is_shown() -> None:
    secret = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "value": "hunter2",
    }
    kind = "aws:secretsmanager/secretVersion:SecretVersion"
    changed = step("update", kind, "s", old={"v": secret, "w": 1}, new={"v": "other", "w": 2})
    text = comment("dev", preview(changed))
    assert "hunter2" not in text
    assert "[secret]" in text


HOSTILE = '</details>\n```\n<img src=x onerror="x"> @everyone | `a` ``````'


def test_what_the_author_writes_stays_text() -> None:
    hostile = HOSTILE.replace("\n", " ")
    changed = step("update", VPC, hostile, old={"x": "1"}, new={"x": HOSTILE})
    failed = {"diagnostics": [{"severity": "error", "message": f"error: {HOSTILE}"}]}
    text = rendered(comment("dev", preview(changed, **failed)))
    assert "<img" not in text
    assert text.count("</details>") == 1
    assert text.rstrip().endswith("</details>")
    outside = re.sub(r"<(pre|code).*?</\1>", "", text, flags=re.DOTALL)
    assert "@everyone" not in outside


def test_an_error_takes_the_place_of_the_headline_and_is_told_once() -> None:
    message = "1 setting is wrong:\n  network.nat = 3: must be single"
    text = comment(
        "dev",
        preview(
            diagnostics=[
                {"severity": "error", "message": f"error: {message}\n"},
                {"severity": "error", "message": f"error: an unhandled error occurred: {message}"},
                {"severity": "warning", "message": "warning: network.nat is single"},
            ]
        ),
    )
    assert "### `dev`: the preview failed" in text
    assert text.count("must be single") == 1
    assert "> network.nat is single" in text


def test_a_long_preview_is_cut_between_resources_and_says_so() -> None:
    steps = [
        step("update", VPC, f"vpc-{n}", old={"x": "a" * 300}, new={"x": "b" * 300})
        for n in range(200)
    ]
    text = comment("dev", preview(*steps))
    assert LONGEST - 1500 < len(text) <= LONGEST
    shown = len(re.findall(r"\*\*changed\*\* `vpc-", text))
    assert f"{200 - shown} more: see the log of the preview" in text
    assert text.rstrip().endswith("</details>")


def test_other_checks_have_their_place_before_the_details() -> None:
    price = Section("Price", "$1,118 a month, $12 more")
    text = comment("dev", preview(step("create", VPC, "v")), [price])
    assert text.index("| Component") < text.index("#### Price") < text.index("<details>")


def test_each_stack_has_one_marker_that_no_name_breaks() -> None:
    assert marker("dev") != marker("prod")
    assert marker("a --> b").count("-->") == 1
    assert comment("dev", preview()).startswith(marker("dev"))


def violation(level: str, policy: str, of: str, message: str, **more: Json) -> Json:
    found = {"enforcementLevel": level, "policyName": policy, "message": message, **more}
    return {"policyEvent": {**found, "resourceUrn": urn(VPC, of) if of else ""}}


def test_policies_are_told_what_ends_the_preview_first_and_each_once() -> None:
    warning = violation("advisory", "a-warning", "vpc", "All is well.\nit is not: mend it\n")
    events = [
        {"preludeEvent": {}},
        warning,
        warning,
        violation("mandatory", "z-refused", "", "x"),
        violation(
            "mandatory",
            "excepted",
            "vpc",
            "x",
            exceptions=[{"id": "e", "reason": "somebody else does it"}],
        ),
    ]
    (section,) = policies_of(events)
    assert section.body.splitlines() == [
        "- **refused**: `z-refused`, `the stack`: `x`",
        "- warning: `a-warning`, `vpc`: `All is well. it is not: mend it`",
        "- excepted: `excepted`, `vpc`: `somebody else does it`",
    ]
    assert policies_of([{"preludeEvent": {}}]) == []


def test_what_policies_quote_of_the_author_stays_text() -> None:
    sections = policies_of([violation("mandatory", "p", HOSTILE, HOSTILE)])
    text = rendered(comment("dev", preview(), sections))
    assert "<img" not in text
    assert "@everyone" not in re.sub(r"<code>.*?</code>", "", text, flags=re.DOTALL)


def cost(*lines: tuple[str, float | None, float | None]) -> Json:
    return {
        "region": "us-west-2",
        "lines": [{"name": name, "least": least, "most": most} for name, least, most in lines],
        "least": sum(least or 0 for _, least, _ in lines),
        "most": sum(most or 0 for _, _, most in lines),
        "unpriced": [name for name, _, most in lines if most is None],
    }


def test_what_becomes_dearer_or_cheaper_is_told_by_line() -> None:
    before = cost(
        ("KMS key", 1.0, 3.0), ("MWAA environment", 540.2, 540.2), ("MWAA workers", 0.0, 722.7)
    )
    after = cost(("KMS key", 1.0, 3.0), ("MWAA environment", 211.7, 211.7), ("Nodes", 10.0, 1030.0))
    (section,) = price_of(before, after)
    assert section.title == "Price"
    assert section.body.splitlines() == [
        "US dollars in a month, list prices on demand in `us-west-2`:",
        "",
        "| | Before | After | Difference |",
        "| :-- | --: | --: | --: |",
        "| `MWAA environment` | 540.20 | 211.70 | -328.50 |",
        "| `MWAA workers` | 0.00 to 722.70 | 0.00 | +0.00 to -722.70 |",
        "| `Nodes` | 0.00 | 10.00 to 1,030.00 | +10.00 to +1,030.00 |",
        "| **Total** | 541.20 to 1,265.90 | 222.70 to 1,244.70 | **-318.50 to -21.20** |",
    ]
    assert price_of(before, before) == []


def test_a_price_that_is_not_known_is_no_difference_of_nothing() -> None:
    (section,) = price_of(cost(("Nodes", 10.0, 30.0)), cost(("Nodes", None, None)))
    assert "| `Nodes` | 10.00 to 30.00 | unknown | unknown |" in section.body
    assert section.body.endswith("\nThe total lacks what has no known price: `Nodes`.")


def test_the_command_reads_what_it_costs_before_and_after(tmp_path: Path) -> None:
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for file, dollars in zip(files, (1.0, 2.0), strict=True):
        file.write_text(json.dumps(cost(("KMS key", dollars, dollars))))
    text = _run(json.dumps(preview()), tmp_path, "--cost", *map(str, files)).stdout
    assert "#### Price" in text
    assert "<strong>+1.00</strong>" in rendered(text)


def _run(text: str, tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "preview.json"
    file.write_text(text)
    command = [sys.executable, "-m", "operations.preview_comment", "--stack", "dev", *more]
    command.append(str(file))
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_command_prints_the_comment(tmp_path: Path) -> None:
    assert _run(json.dumps(preview()), tmp_path).stdout == comment("dev", preview())


def test_the_command_reads_the_log_of_events(tmp_path: Path) -> None:
    log = tmp_path / "events.json"
    log.write_text(json.dumps(violation("mandatory", "p", "vpc", "x")) + "\n")
    assert "**refused**: `p`" in _run(json.dumps(preview()), tmp_path, "--events", str(log)).stdout
    missing = _run(json.dumps(preview()), tmp_path, "--events", str(tmp_path / "none"))
    assert missing.stdout == comment("dev", preview())


@pytest.mark.parametrize("text", ["", "Previewing update (dev)", "[]", "{}"])
def test_the_command_says_what_is_no_preview(text: str, tmp_path: Path) -> None:
    done = _run(text, tmp_path)
    assert done.returncode == 2
    assert "is no preview" in done.stderr
    assert "pulumi preview --json" in done.stderr
