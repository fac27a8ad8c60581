"""The lists of options against each Airflow itself."""

from __future__ import annotations

import yaml

from sandbox.machine import python_environments
from sandbox.runs.packages import LOCKS
from settings.airflow_options import options_of
from settings.rules.airflow_options import wrong_value


def test_airflows_own_defaults_and_examples_pass(version: str) -> None:
    installed = python_environments.ensure(f"airflow-{version}", LOCKS / f"{version}.txt")
    (config,) = installed.glob("lib/python*/site-packages/airflow/config_templates/config.yml")
    known = options_of(version).types
    checked = 0

    for section, described in yaml.safe_load(config.read_text()).items():
        for key, option in described["options"].items():
            kind = known[f"{section}.{key}".lower()]
            for value in (option["default"], option["example"]):
                # Some are filled in as Airflow starts, some are empty, as no option on MWAA is.
                if value not in (None, "", "None") and "{" not in str(value):
                    assert wrong_value(str(value), kind) is None, (section, key, value)
                    checked += 1

    assert checked > 200
