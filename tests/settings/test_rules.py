"""What holds for every rule across settings."""

from __future__ import annotations

import pkgutil
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

import settings.rules
from settings.loading import RULES
from settings.rules.rule import Rule
from settings.sections import SECTIONS, Section
from tests.settings.conftest import PRODUCTION, WITHOUT_NAT, Load


def test_the_rules_of_every_module_are_checked() -> None:
    modules = [
        import_module(f"settings.rules.{module.name}")
        for module in pkgutil.iter_modules(settings.rules.__path__)
        if module.name != "rule"
    ]

    assert all(module.RULES for module in modules)
    assert {rule for module in modules for rule in module.RULES} == set(RULES)


class Recorder:
    """A section that remembers which of its settings were read."""

    def __init__(self, name: str, section: Section, read: set[str]) -> None:
        self._name, self._section, self._read = name, section, read

    def __getattr__(self, attribute: str) -> object:
        if attribute in type(self._section).model_fields:
            self._read.add(f"{self._name}.{to_camel(attribute)}")
            return getattr(self._section, attribute)
        return getattr(type(self._section), attribute).fget(self)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "changes", [{}, PRODUCTION, WITHOUT_NAT, {"network.cidrBlock": "10.0.0.0/20"}]
)
def test_a_rule_names_all_that_it_reads(load: Load, rule: Rule, changes: dict[str, Any]) -> None:
    read: set[str] = set()
    loaded = load(changes)
    sections: dict[str, Any] = {
        name: Recorder(name, getattr(loaded, name), read) for name in SECTIONS
    }

    list(rule.check(replace(loaded, **sections)))

    assert read <= rule.reads
