"""EMR on EKS."""

from __future__ import annotations

from typing import Any

import pytest

from tests.settings.conftest import Load, assert_warning


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (
            {"spark.releaseLabel": "emr-7.6.0-latest"},
            "spark.releaseLabel",
            "plan emr-7.14.0-latest",
        ),
        (
            {
                "spark.releaseLabel": "emr-7.5.0-latest",
                "account.acceptedRisks": ["endedSupport"],
            },
            "spark.releaseLabel",
            "without support since 2026-11-21",
        ),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    assert_warning(load, warnings, changes, key, text)
