"""What follows from the settings of a stack."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from components.capacity import EnvironmentCapacity
from tests.settings.conftest import PRODUCTION, WITHOUT_NAT, Load, botocore_shape


def test_a_minimal_stack_has_every_default(load: Load, warnings: list[str]) -> None:
    settings = load({})

    assert warnings == []
    assert settings.network.zone_count == 3
    assert settings.name == "mwaa-on-eks-dev"
    assert settings.dag_bucket_name == "mwaa-on-eks-dev-dags-111122223333"
    assert settings.job_bucket_name == "mwaa-on-eks-dev-jobs-111122223333"
    assert settings.virtual_cluster_name(settings.default_team) == "mwaa-on-eks-dev-mwaa"
    assert settings.spark.teams[0].namespace == "emr-mwaa"
    assert settings.airflow.pod_namespace == "mwaa"
    assert settings.spark.release == "emr-7.14.0"
    assert settings.aws_account.partition == "aws"


def test_tags_carry_project_and_stack(load: Load) -> None:
    assert load({"account.tags": {"owner": "me"}}).tags == {
        "project": "mwaa-on-eks",
        "stack": "dev",
        "owner": "me",
    }


def test_flow_logs_go_to_a_bucket_only_where_one_is_named(load: Load) -> None:
    bucket = "arn:aws:s3:::log-archive/platform/"

    assert load({}).network.flow_log_bucket_arn is None
    assert load({"network.flowLogs": bucket}).network.flow_log_bucket_arn == bucket


def test_data_is_of_this_account_unless_another_is_named(load: Load) -> None:
    data = [
        {"bucket": "lake", "prefix": "raw/trades"},
        {"bucket": "theirs", "access": "readWrite", "accountId": 444455556666},
    ]
    settings = load({"spark.teams": [{"name": "mwaa", "data": data}]})

    ours, theirs = settings.bucket_accesses(settings.spark.teams[0])
    assert (ours.bucket_arn, ours.prefix, ours.write) == ("arn:aws:s3:::lake", "raw/trades", False)
    assert (theirs.bucket_arn, theirs.prefix, theirs.write) == ("arn:aws:s3:::theirs", "", True)
    assert (ours.account_id, theirs.account_id) == ("111122223333", "444455556666")


def test_tables_need_an_endpoint_where_there_is_no_nat(load: Load) -> None:
    tables = {"spark.teams": [{"name": "mwaa", "glueDatabases": [{"database": "sales"}]}]}

    assert "glue" not in load(tables).endpoints
    assert "glue" not in load(WITHOUT_NAT).endpoints
    assert "glue" in load(WITHOUT_NAT | tables).endpoints


def test_keys_can_be_brought_back_for_longer_in_production(load: Load) -> None:
    assert load({}).key_deletion_window_days == 7
    assert load(PRODUCTION).key_deletion_window_days == 30


@pytest.mark.parametrize(
    ("architecture", "kind", "image"),
    [
        ("x86_64", "m7i.xlarge", "AL2023_x86_64_STANDARD"),
        ("arm64", "m7g.xlarge", "AL2023_ARM_64_STANDARD"),
    ],
)
def test_the_image_follows_the_architecture(
    load: Load, architecture: str, kind: str, image: str
) -> None:
    changes = {"cluster.architecture": architecture, "cluster.instanceTypes": [kind]}
    assert load(changes).cluster.node_group.ami_type == image
    assert image in botocore_shape("eks", "AMITypes")["enum"]


def test_no_number_takes_the_place_of_another(load: Load) -> None:
    workers = {"airflow.minWorkers": 6, "airflow.maxWorkers": 7, "airflow.schedulers": 3}
    webservers = {"airflow.minWebservers": 4, "airflow.maxWebservers": 5}
    nodes = {"cluster.nodeMin": 4, "cluster.nodeMax": 8, "cluster.nodeDiskGib": 50}
    spot = {"spark.spot": {"instanceTypes": ["r7i.xlarge", "r6i.xlarge"], "max": 7}}
    settings = load(workers | webservers | nodes | spot)

    assert settings.airflow.capacity == EnvironmentCapacity(
        environment_class="mw1.small",
        min_workers=6,
        max_workers=7,
        schedulers=3,
        min_webservers=4,
        max_webservers=5,
    )
    node_group = settings.cluster.node_group
    assert (node_group.min_size, node_group.max_size, node_group.disk_gib) == (4, 8, 50)
    assert settings.spot_node_group == replace(
        node_group, instance_types=("r7i.xlarge", "r6i.xlarge"), min_size=0, max_size=7
    )


def test_settings_stay_as_they_were_read(load: Load) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load({}).network.zones = 2
