"""The tables of versions, and the defaults among them."""

from __future__ import annotations

import re
from datetime import date

from settings.versions import AIRFLOW, EMR, KUBERNETES
from tests.settings.conftest import Load, mistakes


def test_the_defaults_are_supported_for_months_to_come(load: Load, warnings: list[str]) -> None:
    load({}, today=date(2027, 1, 26))
    assert warnings == []

    load({}, today=date(2027, 1, 27))
    load({}, today=date(2027, 3, 26))
    assert len(warnings) == 2
    assert all("is supported until 2027-03-27 only: plan 1.36" in line for line in warnings)

    (line,) = mistakes(load, {}, today=date(2027, 3, 27))
    assert "is without support since 2027-03-27: choose 1.36, or add endedSupport" in line


def test_versions_are_listed_from_the_newest_on() -> None:
    def number(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    for table in (KUBERNETES, AIRFLOW, EMR):
        assert list(table) == sorted(table, key=number, reverse=True)
