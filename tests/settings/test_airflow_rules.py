"""The MWAA environment."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from settings.versions import AIRFLOW
from tests.settings.conftest import (
    MICRO,
    WITHOUT_NAT,
    Load,
    assert_mistake,
    assert_right,
    assert_warning,
    mistakes,
)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"airflow.minWorkers": 11}, "airflow.minWorkers", "more than airflow.maxWorkers, 10"),
        (
            {"airflow.minWebservers": 3},
            "airflow.minWebservers",
            "more than airflow.maxWebservers, 2",
        ),
        (
            {"airflow.schedulers": 1},
            "airflow.schedulers",
            "2 to 5 with environmentClass mw1.small",
        ),
        (MICRO | {"airflow.maxWorkers": 2}, "airflow.maxWorkers", "must be 1 with"),
        (MICRO | {"airflow.schedulers": 2}, "airflow.schedulers", "must be 1 with"),
        (
            {
                "airflow.webserverAccess": "PUBLIC_AND_PRIVATE",
                "airflow.version": "2.11.2",
                "airflow.dagDelivery": "pipeline",
            },
            "airflow.webserverAccess",
            "Airflow 3.2 or later",
        ),
        (
            WITHOUT_NAT | {"airflow.webserverAccess": "PUBLIC_ONLY"},
            "airflow.webserverAccess",
            "without NAT",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


def test_the_smallest_environment_is_right(load: Load, warnings: list[str]) -> None:
    assert_right(load, warnings, MICRO)


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"airflow.maxWorkers": 26}, "airflow.maxWorkers", "quota"),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    assert_warning(load, warnings, changes, key, text)


def test_airflow_without_support_is_refused(
    load: Load, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = date(2026, 12, 24)
    monkeypatch.setitem(AIRFLOW, "3.3.1", replace(AIRFLOW["3.3.1"], support_ends=ends))
    load({})
    assert warnings[0].startswith("mwaa-on-eks:airflow.version = ")
    assert mistakes(load, {}, today=ends)[0].startswith("mwaa-on-eks:airflow.version = ")
