"""Names that AWS and Kubernetes accept."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.settings.conftest import Load, assert_mistake, assert_right, botocore_shape, mistakes


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"spark.teams": [{"name": "a"}, {"name": "a"}]}, "spark.teams", "listed 2 times"),
        ({"airflow.podNamespace": "emr-mwaa"}, "airflow.podNamespace", "the Spark team mwaa"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        {"spark.teams": [{"name": "a"}, {"name": "b", "memory": "1Ti"}]},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


@pytest.mark.parametrize("stack", ["a", "x" * 33, "a-1"])
def test_names_made_from_the_stack_are_names_to_aws(load: Load, stack: str) -> None:
    settings = load({"spark.teams": [{"name": "t" * 8}]}, stack=stack)

    for service, shape, name in (
        ("eks", "ClusterName", settings.name),
        ("mwaa", "EnvironmentName", settings.name),
        ("emr-containers", "ResourceNameString", settings.virtual_cluster_name("t" * 8)),
        ("emr-containers", "KubernetesNamespace", settings.spark.teams[0].namespace),
    ):
        limits = botocore_shape(service, shape)
        assert re.fullmatch(limits["pattern"].removeprefix("^"), name)
        assert len(name) <= limits["max"]
    for bucket in (settings.dag_bucket_name, settings.job_bucket_name):
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket)


@pytest.mark.parametrize("stack", ["x" * 34, "Dev", "a.b", "a_b", "a-", "org/x"])
def test_a_stack_whose_name_aws_would_refuse(load: Load, stack: str) -> None:
    (line,) = mistakes(load, {}, stack=stack)
    assert line.startswith(f'stack = "{stack}": its name is part of')
    assert "up to 33 small letters" in line


def test_a_team_whose_virtual_cluster_gets_too_long_a_name(load: Load) -> None:
    load({"spark.teams": [{"name": "t" * 18}]}, stack="x" * 33)

    (line,) = mistakes(load, {"spark.teams": [{"name": "t" * 20}]}, stack="x" * 33)
    assert line.startswith("mwaa-on-eks:spark.teams")
    assert "by 2" in line
