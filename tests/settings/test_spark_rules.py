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


KEY = "arn:aws:kms:us-west-2:111122223333:key/1234abcd"


def team(**given: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"spark.teams": [{"name": "mwaa"}, {"name": "risk", **given}]}


def test_data_databases_and_members_of_several_teams_are_right(
    load: Load, warnings: list[str]
) -> None:
    person = "arn:aws:iam::111122223333:role/Person"
    one = {
        "data": [
            {"bucket": "lake", "prefix": "raw/trades", "access": "readWrite", "kmsKeyArn": KEY},
            {"bucket": "lake", "prefix": "raw", "access": "read"},
            {"bucket": "theirs", "accountId": "444455556666"},
        ],
        "glueDatabases": [{"database": "sales"}, {"database": "risk-1", "access": "readWrite"}],
        "members": [person],
    }
    teams = [{"name": "mwaa", **one}, {"name": "risk", **one}]
    assert_right(load, warnings, {"spark.teams": teams, "cluster.adminPrincipalArns": [person]})


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (
            [{"bucket": "mwaa-on-eks-dev-jobs-111122223333", "prefix": "mwaa"}],
            'data[0].bucket = "mwaa-on-eks-dev-jobs-111122223333": is where this stack\'s teams '
            "have a prefix each, which is theirs alone: remove it; what teams share lies in a "
            "bucket of yours",
        ),
        (
            [{"bucket": "mwaa-on-eks-dev-dags-111122223333"}],
            'data[0].bucket = "mwaa-on-eks-dev-dags-111122223333": is where Airflow\'s DAGs lie, '
            "and whoever writes there is Airflow: remove it; what teams share lies in a bucket of "
            "yours",
        ),
        (
            [
                {"bucket": "lake", "prefix": "a"},
                {"bucket": "lake", "prefix": "b", "accountId": "444455556666"},
            ],
            'data[1].accountId = "444455556666": is another owner of lake than 111122223333, which '
            "is named before: name one",
        ),
        (
            [{"bucket": "lake", "kmsKeyArn": KEY.replace("us-west-2", "eu-west-1")}],
            'data[0].kmsKeyArn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd": is in '
            "eu-west-1, and S3 uses keys of a bucket's own region, here us-west-2: name that, and "
            "copy data of another region here first",
        ),
        (
            [{"bucket": "lake", "prefix": "a"}, {"bucket": "lake", "prefix": "a"}],
            'data[1] = "s3://lake/a": is what data[0] allows already, read of s3://lake/a: remove '
            "one",
        ),
        (
            [
                {"bucket": "lake", "prefix": "a/b"},
                {"bucket": "lake", "prefix": "a", "access": "readWrite"},
            ],
            'data[0] = "s3://lake/a/b": is what data[1] allows already, readWrite of s3://lake/a: '
            "remove one",
        ),
        (
            [{"bucket": "lake"}, {"bucket": "lake", "prefix": "a"}],
            'data[1] = "s3://lake/a": is what data[0] allows already, read of s3://lake: remove '
            "one",
        ),
        (
            [{"bucket": "lake", "prefix": "/a"}],
            'data[0].prefix = "/a": must be a path within the bucket without a slash at either '
            "end, wildcards or blanks, such as curated/trades; all below it counts",
        ),
        (
            [{"bucket": "Lake"}],
            'data[0].bucket = "Lake": must be the name of an S3 bucket, such as acme-access-logs',
        ),
        (
            [{"bucket": "lake", "access": "write"}],
            "data[0].access = \"write\": must be 'read' or 'readWrite'",
        ),
        ([{"prefix": "a"}], "data[0].bucket: is missing and has no default"),
    ],
)
def test_data_that_cannot_be_meant_is_refused_in_these_words(
    load: Load, data: list[dict[str, Any]], line: str
) -> None:
    assert mistakes(load, team(data=data)) == [f"mwaa-on-eks:spark.teams[1].{line}"]


@pytest.mark.parametrize(
    "prefix", ["a/", "/", "", "a//b", "a*", "a?", "${aws:username}", "a b", "a/*", "a" * 513]
)
def test_a_prefix_is_a_plain_path(load: Load, prefix: str) -> None:
    data = [{"bucket": "lake", "prefix": prefix}]
    assert_mistake(load, team(data=data), "spark.teams[1].data[0].prefix", "must be a path within")


@pytest.mark.parametrize(
    ("databases", "line"),
    [
        (
            [{"database": "sales"}, {"database": "sales", "access": "readWrite"}],
            'glueDatabases = "sales": is listed 2 times: leave one',
        ),
        *(
            (
                [{"database": name}],
                f'glueDatabases[0].database = "{name}": must be the name of a Glue database in '
                "small letters, digits, _ and -, such as sales",
            )
            for name in ("Sales", "*", "a/b", "global_temp")
        ),
    ],
)
def test_databases_that_cannot_be_meant_are_refused_in_these_words(
    load: Load, databases: list[dict[str, Any]], line: str
) -> None:
    assert mistakes(load, team(glueDatabases=databases)) == [f"mwaa-on-eks:spark.teams[1].{line}"]


def test_a_policy_has_room_for_so_much_data(load: Load, warnings: list[str]) -> None:
    data = [{"bucket": "lake", "prefix": f"{number:02}/{'x' * 60}"} for number in range(60)]
    line = (
        "spark.teams[1].data = 60: make, with glueDatabases, 13647 characters of the job role's "
        "policy, in which there is room for 7240: name fewer and wider prefixes"
    )
    assert mistakes(load, team(data=data)) == [f"mwaa-on-eks:{line}"]
    assert_right(load, warnings, team(data=data[:30]))


def test_a_role_names_so_many_members(load: Load, warnings: list[str]) -> None:
    people = [f"arn:aws:iam::111122223333:user/somebody-{number:02}" for number in range(90)]
    assert mistakes(load, team(members=people)) == [
        "mwaa-on-eks:spark.teams[1].members = 90: make a trust policy of 4155 characters, and IAM "
        "takes 4096 at most: name roles that people assume instead of users"
    ]
    assert_right(load, warnings, team(members=people[:40]))
    assert_warning(
        load,
        warnings,
        team(members=people[:50]),
        "spark.teams[1].members",
        "= 50: make a trust policy of 2355 characters, and IAM takes 2048 unasked: name roles that "
        "people assume instead of users, or have IAM's quota of the length of trust policies "
        "raised first",
    )
