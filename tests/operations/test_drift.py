"""What is drift, and what is not."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from operations.drift import (
    Drift,
    State,
    _buckets,
    seen_by_refresh,
    unseen_in_kubernetes,
)
from operations.stack import Stack, StackError

Json = Any
GROUP = "aws:eks/nodeGroup:NodeGroup"
ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"


def urn(kind: str) -> str:
    return f"urn:pulumi:dev::p::c${kind}::one"


def seen(kind: str, before: Json, after: Json) -> list[tuple[str, ...]]:
    step = {
        "op": "update" if after else "delete",
        "urn": urn(kind),
        "oldState": {"type": kind, "inputs": before},
        "newState": after and {"type": kind, "inputs": after},
    }
    return [one.what for one in seen_by_refresh({"steps": [step]})]


def test_what_the_autoscaler_owns_is_no_drift_and_what_stands_beside_it_is() -> None:
    before = {"scalingConfig": {"desiredSize": 3, "maxSize": 9}}
    assert seen(GROUP, before, {"scalingConfig": {"desiredSize": 8, "maxSize": 9}}) == []
    assert seen(GROUP, before, {"scalingConfig": {"desiredSize": 8, "maxSize": 20}}) == [
        ("scalingConfig.maxSize: 20 instead of 9",)
    ]


def test_what_is_gone_changed_and_added_is_told() -> None:
    assert seen("aws:kms/key:Key", {"a": 1}, None) == [("is gone",)]
    assert seen("aws:kms/key:Key", {"a": 1, "__defaults": []}, {"b": {"c": True}}) == [
        ("a: nothing instead of 1", "b.c: true instead of nothing")
    ]
    assert seen("aws:kms/key:Key", {"a": 1}, {"a": 1, "__defaults": ["x"]}) == []


def test_what_was_added_to_a_role_or_a_binding_is_told() -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    alike = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
    ]
    asked: Json = {
        "rules": [{**rule, "verbs": ["get", "list"]}],
        "subjects": [{"kind": "User", "name": "a"}],
    }
    state = State({"resources": [{"type": ROLE, "urn": urn(ROLE), "inputs": asked}]})

    def told(live: Json) -> list[Drift]:
        return list(unseen_in_kubernetes(state, lambda _: live))

    assert told(None) == []
    assert told({"rules": [rule], "subjects": []}) == []  # less: which a refresh sees
    live = {
        "rules": [rule, *alike, {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
        "subjects": [*asked["subjects"], {"kind": "ServiceAccount", "namespace": "x", "name": "b"}],
    }
    assert told(live) == [
        Drift(
            urn(ROLE),
            (
                "also allows get of /metrics",
                "also allows get of jobs.batch",
                "is also for ServiceAccount x b",
            ),
        )
    ]
    named = {"rules": [{**rule, "verbs": ["list"], "resourceNames": ["p"]}]}
    assert told(named)[0].what == ("also allows list of pods named p",)


def test_a_refresh_that_fails_is_told_by_what_it_says_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = [
        {"severity": "warning", "message": "careful\n"},
        {"severity": "error", "message": "may not get it\n"},
    ]
    printed = json.dumps({"config": {}, "steps": [], "diagnostics": said})

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, printed, "")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(StackError) as raised:
        Stack("dev").run("refresh", "--json")
    assert str(raised.value).endswith("failed:\nmay not get it\n")


@pytest.mark.parametrize(
    ("component", "keys", "within"),
    [
        ("dags", ["dags/a.py", "requirements.txt"], {}),
        ("jobs", ["pod_templates/driver.yaml"], {"Prefix": "pod_templates/"}),
    ],
)
def test_what_others_have_written_where_the_program_writes_is_told_and_nothing_else_is_listed(
    component: str, keys: list[str], within: Json
) -> None:
    bucket = "aws:s3/bucket:Bucket"
    record = {"outputs": {"files": {key: {"version": "ours"} for key in keys}}, "type": "dynamic"}
    state = State(
        {
            "resources": [
                {"type": bucket, "urn": f"urn::p::{bucket}::{component}-bucket", "id": "b"},
                {**record, "urn": f"urn::p::dynamic::{component}-written"},
            ]
        }
    )
    listed: list[Json] = []

    class Stub:
        def pages(self, *operation: str, **which: Json) -> Json:
            listed.append((operation, which))
            return [
                {"Key": key, "VersionId": "theirs", "IsLatest": True, "ETag": "x"} for key in keys
            ]

    account: Any = Stub()
    (found,) = _buckets(state, account)
    assert found.what == tuple(
        f"{key} was written by somebody else, version theirs" for key in keys
    )
    assert listed == [(("s3", "list_object_versions"), {"Bucket": "b", **within})]
