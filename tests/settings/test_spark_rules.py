"""EMR on EKS."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session

from components.emr_images import REGISTRY_ACCOUNTS, spark_image
from settings.rules import spark
from tests.settings.conftest import Load, assert_mistake, assert_right, assert_warning, mistakes
from tests.settings.test_dag_file_rules import ACCESS_KEY


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


def teams(count: int) -> dict[str, Any]:
    return {"spark.teams": [{"name": f"team-{number}"} for number in range(count)]}


def test_there_are_as_many_teams_as_policies_that_let_them_in(
    load: Load, warnings: list[str]
) -> None:
    assert_mistake(
        load,
        teams(251),
        "spark.teams = 251: ",
        "are more teams than 250: Airflow's role has a managed policy for each 10, and takes 25; "
        "make a second stack for the others",
    )
    assert_warning(
        load,
        warnings,
        teams(201),
        "spark.teams",
        "= 201: are more teams than AWS has room for unasked, 200: have IAM's quota of managed "
        "policies per role raised first",
    )


def test_two_hundred_teams_need_no_quota_raised(load: Load, warnings: list[str]) -> None:
    assert_right(load, warnings, teams(200))


def test_a_history_server_needs_emrs_image_in_the_region(load: Load, warnings: list[str]) -> None:
    elsewhere = {"account.region": "ca-west-1", "account.acceptedRisks": ["unlistedRegion"]}
    assert_right(load, warnings, {"spark.historyServer": True})
    assert_mistake(
        load,
        {"spark.historyServer": True, **elsewhere},
        "spark.historyServer = true: ",
        "needs EMR's image, and from which account nodes of ca-west-1 pull it is not known here: "
        "set it to false, or add the account to components/emr_images.py, as EMR's guide names it "
        "under “Details for selecting a base image URI”",
    )


def test_emrs_image_is_known_in_every_region_that_has_the_services() -> None:
    session = get_session()
    listed = (session.get_available_regions(one) for one in ("mwaa", "eks", "emr-containers"))
    assert set.intersection(*map(set, listed)) <= REGISTRY_ACCOUNTS.keys()


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("emr-7.14.0-latest", "spark/emr-7.14.0:latest"),
        ("emr-7.13.0-20260518", "spark/emr-7.13.0:20260518"),
    ],
)
def test_the_image_is_the_one_of_the_release(label: str, image: str) -> None:
    registry = "895885662937.dkr.ecr.us-west-2.amazonaws.com"
    assert spark_image(label, "us-west-2") == f"{registry}/{image}"


@pytest.fixture
def templates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the templates."""
    folder = tmp_path / "pod-templates"
    shutil.copytree(spark.TEMPLATES, folder)
    monkeypatch.setattr(spark, "TEMPLATES", folder)
    return folder


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: [", "is not YAML (while parsing"),
        ("kind: Deployment\napiVersion: apps/v1\n", "is no pod of apiVersion v1"),
        (
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: spark}]}\n",
            "has no container spark-kubernetes-driver, by which name EMR finds Spark's own",
        ),
        ("apiVersion: v1\nkind: Pod\n", "has no container spark-kubernetes-driver"),
        (None, "is missing, and a connection of Airflow's names it: bring it back"),
    ],
)
def test_a_template_with_which_no_job_could_run_is_refused(
    load: Load, templates: Path, content: str | None, told: str
) -> None:
    if content is None:
        (templates / "driver.yaml").unlink()
    else:
        (templates / "driver.yaml").write_text(content)
    (line,) = mistakes(load, {})
    assert line.startswith(f"spark/pod-templates/driver.yaml: {told}")


def test_a_template_of_ones_own_may_call_its_containers_as_it_likes_but_holds_no_secret(
    load: Load, templates: Path
) -> None:
    own = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: mine}]}\n"
    (templates / "large.yaml").write_text(own)
    load({})
    (templates / "large.yaml").write_text(f"{own}# {ACCESS_KEY}\n")
    (line,) = mistakes(load, {})
    assert line.startswith("spark/pod-templates/large.yaml: holds an AWS access key")
