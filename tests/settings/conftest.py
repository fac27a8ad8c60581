"""How the tests of settings load a stack, and what they expect of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import botocore.loaders
import pulumi
import pytest

from settings.live import LiveStack
from settings.loading import load as load_settings
from settings.rules import dag_files
from settings.stack import Settings

TODAY = date(2026, 11, 23)
MINIMUM = {
    "account": {"id": "111122223333", "region": "us-west-2"},
    "cluster": {"publicAccessCidrs": ["203.0.113.0/24"]},
}
PRODUCTION = {
    "account.production": True,
    "account.accessLogBucket": "access-logs",
    "network.nat": "perZone",
    "cluster.publicAccessCidrs": [],
    "cluster.privateAccessCidrs": ["192.168.0.0/16"],
    "cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:role/Admin"],
    "cluster.deletionProtection": True,
    "airflow.webserverAccess": "PRIVATE_ONLY",
    "airflow.dagDelivery": "pipeline",  # PyPI is out of reach for what dags/ asks for
    "monitoring.emails": ["on-call@example.com"],
}
WITHOUT_NAT = {
    "network.nat": "none",
    "cluster.imageRegistry": "111122223333.dkr.ecr.us-west-2.amazonaws.com/mirror",
    "airflow.webserverAccess": "PUBLIC_AND_PRIVATE",
    "airflow.dagDelivery": "pipeline",
}
MICRO = {
    "airflow.environmentClass": "mw1.micro",
    "airflow.minWorkers": 1,
    "airflow.maxWorkers": 1,
    "airflow.schedulers": 1,
    "airflow.minWebservers": 1,
    "airflow.maxWebservers": 1,
}
CONSTRAINT = (
    '--constraint "https://raw.githubusercontent.com/apache/airflow/'
    'constraints-3.3.1/constraints-3.12.txt"\n'
)
ADMIN = "arn:aws:iam::111122223333:role/Admin"
Load = Callable[..., Settings]


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the program warned about."""
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    return warned


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> Iterator[Load]:
    """Load a minimal stack with some settings changed, named as in section.setting."""

    def loaded(
        changes: dict[str, Any],
        *,
        stack: str = "dev",
        today: date = TODAY,
        live: LiveStack | None = None,
    ) -> Settings:
        sections: dict[str, Any] = json.loads(json.dumps(MINIMUM))
        for key, value in changes.items():
            section, _, setting = key.partition(".")
            if setting:
                sections.setdefault(section, {})[setting] = value
            else:
                sections[section] = value
        return load_sections(sections, stack=stack, today=today, live=live)

    def load_sections(
        sections: dict[str, Any], *, stack: str, today: date, live: LiveStack | None
    ) -> Settings:
        monkeypatch.setattr(pulumi, "get_stack", lambda: stack)
        config = {f"mwaa-on-eks:{key}": json.dumps(value) for key, value in sections.items()}
        pulumi.runtime.set_all_config(config | {"aws:region": "nowhere"}, secret_keys=[])
        return load_settings(pulumi.Config("mwaa-on-eks"), today=today, live=live)

    yield loaded
    pulumi.runtime.set_all_config({}, secret_keys=[])


@pytest.fixture
def dags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of DAGs without any."""
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "requirements.txt").write_text(CONSTRAINT)
    monkeypatch.setattr(dag_files, "DAGS", folder)
    return folder


def mistakes(
    load: Load,
    changes: dict[str, Any],
    *,
    stack: str = "dev",
    today: date = TODAY,
    live: LiveStack | None = None,
) -> list[str]:
    """The lines of the one error, without its heading."""
    with pytest.raises(pulumi.RunError) as error:
        load(changes, stack=stack, today=today, live=live)
    heading, *lines = str(error.value).split("\n  ")
    assert heading == (
        "1 setting is wrong:" if len(lines) == 1 else f"{len(lines)} settings are wrong:"
    )
    return lines


def assert_mistake(load: Load, changes: dict[str, Any], key: str, text: str) -> None:
    (line,) = mistakes(load, changes)
    assert line.startswith(f"mwaa-on-eks:{key}")
    assert text in line


def assert_warning(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    load(changes)
    (line,) = warnings
    assert line.startswith(f"mwaa-on-eks:{key} = ")
    assert text in line


def assert_right(load: Load, warnings: list[str], changes: dict[str, Any]) -> None:
    load(changes)
    assert warnings == []


@cache
def botocore_shape(service: str, shape: str) -> dict[str, Any]:
    model = botocore.loaders.Loader().load_service_model(service, "service-2")
    found: dict[str, Any] = model["shapes"][shape]
    return found
