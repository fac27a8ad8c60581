"""How strictly the policy pack judges a stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from rules import RULES

from components.protection import PROTECTED
from operations.policy_settings import ACCEPTED, PRODUCTION, UNPROTECTED, policy_settings
from settings.values import Risk

ROOT = Path(__file__).resolve().parents[2]
STRICT = json.loads((ROOT / PRODUCTION).read_text())


@pytest.mark.parametrize(
    ("account", "told"),
    [
        ({}, {}),
        ({"production": True}, STRICT),
        (
            {"unprotected": ["key", "vpc"]},
            {"data-protected": {"unprotected": ["aws:kms/key:Key"]}},
        ),
        (
            {"production": True, "unprotected": ["buckets"]},
            STRICT
            | {
                "data-protected": {
                    "unprotected": ["aws:s3/bucket:Bucket"],
                    "enforcementLevel": "mandatory",
                }
            },
        ),
    ],
)
def test_a_stack_is_judged_by_its_section_account(account: Any, told: Any) -> None:  # noqa: ANN401
    assert policy_settings(account, STRICT) == told


@pytest.mark.parametrize("risk", ACCEPTED)
def test_of_a_risk_that_is_accepted_a_stack_is_only_warned(risk: str) -> None:
    accepted = policy_settings({"production": True, "acceptedRisks": [risk]}, STRICT)
    assert STRICT.items() - accepted.items() == {(ACCEPTED[risk], "mandatory")}


def test_the_names_are_those_of_settings_and_of_policies() -> None:
    assert ACCEPTED.keys() <= set(get_args(Risk))
    assert set(ACCEPTED.values()) <= {rule.name for rule in RULES if rule.gate == "production"}
    assert {name: kind for kind, name in PROTECTED.items() if name in UNPROTECTED} == UNPROTECTED
    (kept,) = (rule for rule in RULES if rule.name == "data-protected")
    assert kept.types - {"aws:s3/bucketV2:BucketV2"} == set(UNPROTECTED.values())


def test_the_command_reads_what_pulumi_prints() -> None:
    printed = {"mwaa-on-eks:account": {"value": "{}", "objectValue": {"production": True}}}
    done = subprocess.run(
        [sys.executable, "-m", "operations.policy_settings"],
        input=json.dumps(printed | {"aws:region": {"value": "us-west-2"}}),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == STRICT
