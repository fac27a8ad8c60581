"""One error names all that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from settings.loading import load as load_settings
from tests.settings.conftest import MINIMUM, TODAY, Load, assert_mistake, mistakes
from tests.settings.test_dag_file_rules import SECRETS


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        (
            {"airflow.podQuota": 5},
            "airflow.podQuota",
            "must be a map of settings: cpu, memory, storage, pods",
        ),
        ({"spark.teams": [{}]}, "spark.teams[0].name", "missing"),
        ({"cluster": 5}, "cluster", "must be a map of settings: kubernetesVersion"),
        ({"netwrok": {"zones": 2}}, "netwrok", "did you mean network?"),
        ({"nodeMax": 5}, "nodeMax", "did you mean cluster.nodeMax?"),
        ({"xyz": 5}, "xyz", "there are account, network, cluster, airflow, spark"),
        ({"cluster.nodeMaks": 5}, "cluster.nodeMaks", "did you mean nodeMax?"),
        ({"cluster.node_max": 5}, "cluster.node_max", "did you mean nodeMax?"),
        ({"network.nodeMax": 5}, "network.nodeMax", "did you mean cluster.nodeMax?"),
        ({"network.node_max": 5}, "network.node_max", "did you mean cluster.nodeMax?"),
        ({"network.xyz": 5}, "network.xyz", "there are cidrBlock, zones"),
        ({"airflow.podQuota": {"cpus": "5"}}, "airflow.podQuota.cpus", "did you mean cpu?"),
        ({"spark.teams": [{"name": "t", "pod": "5"}]}, "spark.teams[0].pod", "did you mean pods?"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    ("changes", "key", "way_out"),
    [
        # What `pulumi config set` makes of the commands in the comments.
        (
            {"airflow.options": {"core": {"parallelism": 32}}},  # --path airflow.options.core.…
            "airflow.options.core",
            "`pulumi config rm --path airflow.options.core`, then "
            "`pulumi config set --path 'airflow.options[\"core.parallelism\"]' 32`",
        ),
        (
            {"airflow.options": {"common": {"io": {"xcom_x": "y"}}}},
            "airflow.options.common",
            "`pulumi config set --path 'airflow.options[\"common.io.xcom_x\"]' y`",
        ),
        (
            {"account.tags": {"cost": {"center": "5"}}},  # --path account.tags.cost.center
            "account.tags.cost",
            "`pulumi config set --path 'account.tags[\"cost.center\"]' 5`",
        ),
        (
            {"cluster.instanceTypes": "m7i.xlarge"},  # --path cluster.instanceTypes
            "cluster.instanceTypes",
            "`pulumi config rm --path cluster.instanceTypes`, then "
            "`pulumi config set --path 'cluster.instanceTypes[0]' m7i.xlarge`",
        ),
        (
            {"cluster.instanceTypes": '["m7i.xlarge"]'},
            "cluster.instanceTypes",
            "`pulumi config set --path 'cluster.instanceTypes[0]' m7i.xlarge`",
        ),
        (
            {"spark.teams": {"mwaa": {"cpu": 5}}},  # --path spark.teams.mwaa.cpu
            "spark.teams",
            "`pulumi config set --path 'spark.teams[0]' <value>`",
        ),
        ({"account.tags": {"a": True}}, "account.tags.a", "--type string"),
    ],
)
def test_a_form_that_cannot_work_gets_the_one_that_does(
    load: Load, changes: dict[str, Any], key: str, way_out: str
) -> None:
    assert_mistake(load, changes, key, way_out)


def test_a_setting_that_was_set_without_path_gets_it(load: Load) -> None:
    load({})
    pulumi.runtime.set_config("mwaa-on-eks:network.nat", "perZone")

    with pytest.raises(pulumi.RunError) as error:
        load_settings(pulumi.Config("mwaa-on-eks"), today=TODAY)
    assert str(error.value).endswith(
        'mwaa-on-eks:network.nat = "perZone": is a setting within a section: '
        "`pulumi config rm network.nat`, then `pulumi config set --path 'network.nat' perZone`"
    )


def test_all_mistakes_are_told_together(load: Load) -> None:
    lines = mistakes(
        load,
        {
            "account": {"region": "us-west-2", "produktion": True},
            "netwrok": {},
            "network.zones": 9,
            "cluster.nodeMin": 20,
            "airflow.version": "2.5.1",
            "airflow.minWorkers": 20,
            "airflow.webserverAccess": "PRIVATE_ONLY",
            "spark.teams": [{"name": "B"}, {"name": "b", "cpu": "x"}],
        },
        stack="Dev.1",
    )

    assert [line.split(" = ")[0].split(": ")[0] for line in lines] == [
        "mwaa-on-eks:netwrok",
        "mwaa-on-eks:account.id",
        "mwaa-on-eks:account.produktion",
        "mwaa-on-eks:network.zones",
        "mwaa-on-eks:airflow.version",
        "mwaa-on-eks:spark.teams[0].name",
        "mwaa-on-eks:spark.teams[1].cpu",
        "stack",
        "mwaa-on-eks:cluster.nodeMin",
        "mwaa-on-eks:airflow.minWorkers",
    ]


def test_a_line_holds_key_value_rule_and_way_out(load: Load) -> None:
    assert mistakes(load, {"cluster.nodeMin": 10, "network.cidrBlock": "10.0.0.5/16"}) == [
        'mwaa-on-eks:network.cidrBlock = "10.0.0.5/16": must be written in its canonical form: '
        "10.0.0.0/16",
        "mwaa-on-eks:cluster.nodeMin = 10: is more than cluster.nodeMax, 9: lower it or raise that",
    ]


def test_a_stack_without_an_account_is_told_what_is_missing(load: Load) -> None:
    assert mistakes(load, {"account": {}}) == [
        "mwaa-on-eks:account.id: is missing and has no default",
        "mwaa-on-eks:account.region: is missing and has no default",
    ]


def test_a_section_that_is_no_json_is_told(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    load({})
    pulumi.runtime.set_config("mwaa-on-eks:network", "{zones")

    with pytest.raises(pulumi.RunError, match=r"network.*must be a map of settings: cidrBlock"):
        load_settings(pulumi.Config("mwaa-on-eks"), today=TODAY)


def test_a_secret_is_refused_and_never_shown(load: Load) -> None:
    load({})
    pulumi.runtime.set_all_config(
        {
            "mwaa-on-eks:account": json.dumps(MINIMUM["account"]),
            "mwaa-on-eks:airflow": json.dumps({"options": {"smtp.smtp_password": "hünter2"}}),
        },
        secret_keys=["mwaa-on-eks:airflow"],
    )

    with pytest.raises(pulumi.RunError, match="Secrets Manager") as error:
        load_settings(pulumi.Config("mwaa-on-eks"), today=TODAY)
    assert "smtp_password = [secret]: must be printable ASCII" in str(error.value)
    assert "hünter2" not in str(error.value)


@pytest.mark.parametrize(("secret", "kind"), SECRETS)
def test_a_plain_secret_is_refused_wherever_it_stands(load: Load, secret: str, kind: str) -> None:
    told = (
        f" = [secret]: holds {kind}: revoke it, take it out, and keep its successor in Secrets "
        "Manager, as a connection or variable of Airflow"
    )
    assert f"mwaa-on-eks:account.tags.note{told}" in mistakes(
        load, {"account.tags": {"note": secret}}
    )
    for line in mistakes(load, {"spark.teams": [{"name": "a"}, {"name": secret}]}):
        assert line.startswith("mwaa-on-eks:spark.teams[1].name = [secret]: ")
    assert mistakes(load, {"airflow.options": {"my_team.x": " ".join(secret.split())}})[
        0
    ].startswith("mwaa-on-eks:airflow.options.my_team.x = [secret]: ")


def test_unknown_sections_are_found_in_the_environment_too(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The official language host hands the configuration over in this variable.
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"mwaa-on-eks:netwrok": "{}", "aws:x": "y"}))

    (line,) = mistakes(load, {})
    assert line.startswith("mwaa-on-eks:netwrok")
