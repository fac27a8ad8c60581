"""Every rule of the settings, and what the files of the repository say about them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import botocore.loaders
import pulumi
import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

import settings_rules
from settings import (
    SECTIONS,
    AirflowSettings,
    ClusterSettings,
    PodQuotaSettings,
    Section,
    Settings,
    TeamSettings,
)
from versions import AIRFLOW, EMR, KUBERNETES

ROOT = Path(__file__).parent.parent
TODAY = date(2026, 11, 23)
MINIMUM = {
    "account": {"id": "111122223333", "region": "us-west-2"},
    "cluster": {"publicAccessCidrs": ["203.0.113.0/24"]},
}
PRODUCTION = {
    "account.production": True,
    "network.nat": "perZone",
    "cluster.publicAccessCidrs": [],
    "cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:role/Admin"],
    "cluster.deletionProtection": True,
    "airflow.webserverAccess": "PUBLIC_AND_PRIVATE",
}
WITHOUT_NAT = {
    "network.nat": "none",
    "network.interfaceEndpoints": [
        *("airflow.api", "airflow.env", "airflow.ops", "autoscaling", "ec2", "ecr.api", "ecr.dkr"),
        *("eks", "eks-auth", "emr-containers", "kms", "logs", "monitoring", "secretsmanager"),
        *("sqs", "sts"),
    ],
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

    def loaded(changes: dict[str, Any], *, stack: str = "dev", today: date = TODAY) -> Settings:
        sections: dict[str, Any] = json.loads(json.dumps(MINIMUM))
        for key, value in changes.items():
            section, _, setting = key.partition(".")
            if setting:
                sections.setdefault(section, {})[setting] = value
            else:
                sections[section] = value
        return load_sections(sections, stack=stack, today=today)

    def load_sections(sections: dict[str, Any], *, stack: str, today: date) -> Settings:
        monkeypatch.setattr(pulumi, "get_stack", lambda: stack)
        config = {f"mwaa-on-eks:{key}": json.dumps(value) for key, value in sections.items()}
        pulumi.runtime.set_all_config(config | {"aws:region": "nowhere"}, secret_keys=[])
        return Settings.load(pulumi.Config("mwaa-on-eks"), today=today)

    yield loaded
    pulumi.runtime.set_all_config({}, secret_keys=[])


def mistakes(
    load: Load, changes: dict[str, Any], *, stack: str = "dev", today: date = TODAY
) -> list[str]:
    """The lines of the one error, without its heading."""
    with pytest.raises(pulumi.RunError) as error:
        load(changes, stack=stack, today=today)
    heading, *lines = str(error.value).split("\n  ")
    assert heading == (
        "1 setting is wrong:" if len(lines) == 1 else f"{len(lines)} settings are wrong:"
    )
    return lines


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


@pytest.mark.parametrize(("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn")])
def test_the_partition_follows_the_region(load: Load, region: str, partition: str) -> None:
    assert load({"account.region": region}).aws_account.partition == partition


def test_tags_carry_project_and_stack(load: Load) -> None:
    assert load({"account.tags": {"owner": "me"}}).tags == {
        "project": "mwaa-on-eks",
        "stack": "dev",
        "owner": "me",
    }


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
    assert load(changes).cluster.ami_type == image
    assert image in botocore_shape("eks", "AMITypes")["enum"]


# What is wrong by itself: one line each, which begins with the key.
WRONG_ALONE: list[tuple[dict[str, Any], str, str]] = [
    ({"account.id": "1111"}, "account.id", "12 digits of an AWS account"),
    ({"account.id": 12345678901}, "account.id", "in quotes"),
    ({"account.production": "perhaps"}, "account.production", "must be a valid boolean"),
    ({"account.acceptedRisks": ["all"]}, "account.acceptedRisks[0]", "must be 'deployerOnlyAdmin'"),
    ({"account.logRetentionDays": 100}, "account.logRetentionDays", "90, 120, 150"),
    ({"account.tags": {"aws:x": "y"}}, "account.tags.aws:x", "not begin with aws:"),
    ({"account.tags": {"AWS:x": "y"}}, "account.tags.AWS:x", "not begin with aws:"),
    ({"account.tags": {"a" * 129: "y"}}, "account.tags.aaa", "up to 128"),
    ({"account.tags": {"a!": "y"}}, "account.tags.a!", "letters, digits"),
    ({"account.tags": {"a": ""}}, "account.tags.a", "up to 256"),
    ({"account.tags": {"a": " "}}, "account.tags.a", "up to 256"),
    ({"account.tags": {"a": True}}, "account.tags.a", "put it in quotes"),
    ({"network.cidrBlock": "10.0.0.5/16"}, "network.cidrBlock", "canonical form: 10.0.0.0/16"),
    ({"network.cidrBlock": "10.0.0.0"}, "network.cidrBlock", "canonical form: 10.0.0.0/32"),
    ({"network.cidrBlock": "fd00::/56"}, "network.cidrBlock", "must be an IPv4 range"),
    ({"network.cidrBlock": 16}, "network.cidrBlock", "must be an IPv4 range"),
    ({"network.cidrBlock": "8.8.0.0/16"}, "network.cidrBlock", "must lie in one of 10.0.0.0/8"),
    ({"network.cidrBlock": "172.0.0.0/8"}, "network.cidrBlock", "must lie in one of"),
    ({"network.cidrBlock": "10.0.0.0/15"}, "network.cidrBlock", "from /16 to /24"),
    ({"network.cidrBlock": "10.0.0.0/25"}, "network.cidrBlock", "from /16 to /24"),
    ({"network.zones": 1}, "network.zones", "greater than or equal to 2"),
    ({"network.zones": 5}, "network.zones", "less than or equal to 4"),
    ({"network.nat": "many"}, "network.nat", "must be 'single', 'perZone' or 'none'"),
    ({"network.interfaceEndpoints": ["s3"]}, "network.interfaceEndpoints[0]", "gateway endpoint"),
    (
        {"network.interfaceEndpoints": ["com.amazonaws.us-west-2.sts"]},
        "network.interfaceEndpoints[0]",
        "without com.amazonaws",
    ),
    ({"network.forbiddenCidrs": ["10.1/16"]}, "network.forbiddenCidrs[0]", "such as 10.0.0.0/16"),
    ({"cluster.kubernetesVersion": "1.33"}, "cluster.kubernetesVersion", "one of 1.36, 1.35, 1.34"),
    ({"cluster.kubernetesVersion": 1.4}, "cluster.kubernetesVersion", "leaves 1.40 as it is"),
    ({"cluster.authenticationMode": "CONFIG_MAP"}, "cluster.authenticationMode", "'API' or"),
    ({"cluster.publicAccessCidrs": ["::/0"]}, "cluster.publicAccessCidrs[0]", "IPv4 range"),
    ({"cluster.publicAccessCidrs": ["10.0.0.0/8"]}, "cluster.publicAccessCidrs[0]", "EKS refuses"),
    (
        {"cluster.publicAccessCidrs": [f"203.0.113.{host}/32" for host in range(41)]},
        "cluster.publicAccessCidrs",
        "at most 40",
    ),
    (
        {"cluster.adminPrincipalArns": ["arn:aws:sts::111122223333:assumed-role/Admin/me"]},
        "cluster.adminPrincipalArns[0]",
        "arn:aws:iam::111122223333:role/Admin",
    ),
    (
        {"cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:root"]},
        "cluster.adminPrincipalArns[0]",
        "IAM role or user",
    ),
    (
        {"cluster.viewerPrincipalArns": ["Admin"]},
        "cluster.viewerPrincipalArns[0]",
        "IAM role or user",
    ),
    (
        {
            "cluster.adminPrincipalArns": [
                "arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRole"
            ]
        },
        "cluster.adminPrincipalArns[0]",
        "service-linked",
    ),
    (
        {"cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:role/AWSReservedSSO_X_0123"]},
        "cluster.adminPrincipalArns[0]",
        "role/aws-reserved/sso.amazonaws.com",
    ),
    ({"cluster.instanceTypes": []}, "cluster.instanceTypes", "at least 1"),
    ({"cluster.instanceTypes": ["m7i"]}, "cluster.instanceTypes[0]", "such as m7i.xlarge"),
    ({"cluster.instanceTypes": ["t3.nano"]}, "cluster.instanceTypes[0]", "room for more"),
    ({"cluster.architecture": "arm"}, "cluster.architecture", "'x86_64' or 'arm64'"),
    ({"cluster.nodeMin": 0}, "cluster.nodeMin", "greater than or equal to 1"),
    ({"cluster.nodeMax": 451}, "cluster.nodeMax", "less than or equal to 450"),
    ({"cluster.nodeMax": "ten"}, "cluster.nodeMax", "valid integer"),
    ({"cluster.nodeDiskGib": 10}, "cluster.nodeDiskGib", "greater than or equal to 20"),
    ({"airflow.version": "2.5.1"}, "airflow.version", "choose one of 3.3.1, 3.2.1"),
    ({"airflow.version": "v3.3.1"}, "airflow.version", "no Airflow version"),
    ({"airflow.version": 3}, "airflow.version", "no Airflow version"),
    ({"airflow.environmentClass": "mw1.tiny"}, "airflow.environmentClass", "'mw1.micro'"),
    ({"airflow.minWorkers": 0}, "airflow.minWorkers", "greater than or equal to 1"),
    ({"airflow.maxWorkers": 51}, "airflow.maxWorkers", "less than or equal to 50"),
    ({"airflow.schedulers": 6}, "airflow.schedulers", "less than or equal to 5"),
    ({"airflow.maxWebservers": 6}, "airflow.maxWebservers", "less than or equal to 5"),
    ({"airflow.webserverAccess": "PUBLIC"}, "airflow.webserverAccess", "'PUBLIC_ONLY'"),
    ({"airflow.weeklyMaintenanceWindow": "SUN:03:15"}, "airflow.weeklyMaintenanceWindow", "00 or"),
    ({"airflow.weeklyMaintenanceWindow": "SUN:24:00"}, "airflow.weeklyMaintenanceWindow", "SUN:03"),
    ({"airflow.weeklyMaintenanceWindow": "xSUN:03:30"}, "airflow.weeklyMaintenanceWindow", "a day"),
    ({"airflow.logLevel": "info"}, "airflow.logLevel", "'INFO'"),
    ({"airflow.options": {"parallelism": "5"}}, "airflow.options.parallelism", "a section and"),
    ({"airflow.options": {"Core.x": "5"}}, "airflow.options.Core.x", "small letters"),
    ({"airflow.options": {f"core.{'x' * 60}": "5"}}, "airflow.options.core.x", "a section and"),
    ({"airflow.options": {"core.x": "é"}}, "airflow.options.core.x", "printable ASCII"),
    ({"airflow.options": {"core.x": True}}, "airflow.options.core.x", "put it in quotes"),
    ({"airflow.dagDelivery": "git"}, "airflow.dagDelivery", "'pulumi' or 'pipeline'"),
    ({"airflow.podNamespace": "kube-system"}, "airflow.podNamespace", "nor kube-"),
    ({"airflow.podNamespace": "default"}, "airflow.podNamespace", "neither default"),
    ({"airflow.podNamespace": "Mwaa"}, "airflow.podNamespace", "small letters"),
    ({"airflow.podNamespace": "m" * 64}, "airflow.podNamespace", "up to 63"),
    ({"airflow.podQuota": {"cpu": "many"}}, "airflow.podQuota.cpu", "number of CPUs"),
    ({"airflow.podQuota": {"memory": "256"}}, "airflow.podQuota.memory", "with its unit"),
    ({"airflow.podQuota": {"pods": "1.5"}}, "airflow.podQuota.pods", "number of pods"),
    ({"airflow.podQuota": 5}, "airflow.podQuota", "must be a map of settings: cpu, memory, pods"),
    ({"spark.releaseLabel": "emr-7.2.0-latest"}, "spark.releaseLabel", "choose one of emr-spark"),
    ({"spark.releaseLabel": "emr-7.14.0"}, "spark.releaseLabel", "-latest or -<yyyymmdd>"),
    ({"spark.teams": []}, "spark.teams", "at least 1"),
    ({"spark.teams": [{}]}, "spark.teams[0].name", "missing"),
    ({"spark.teams": [{"name": "Team"}]}, "spark.teams[0].name", "small letters"),
    ({"spark.teams": [{"name": "t" * 21}]}, "spark.teams[0].name", "up to 20"),
    ({"spark.teams": [{"name": "t", "cpu": "0"}]}, "spark.teams[0].cpu", "number of CPUs"),
    ({"cluster": 5}, "cluster", "must be a map of settings: kubernetesVersion"),
    # Unknown names
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
]

# What is wrong beside another setting.
WRONG_TOGETHER: list[tuple[dict[str, Any], str, str]] = [
    ({"account.region": "us-west"}, "account.region", "is no AWS region"),
    ({"account.region": "ap-east-2"}, "account.region", "has no MWAA and no EMR on EKS"),
    ({"account.region": "ca-west-1"}, "account.region", "has no EMR on EKS,"),
    ({"account.region": "us-gov-west-1"}, "account.region", "has no MWAA,"),
    ({"account.tags": {f"t{n}": "x" for n in range(8)}}, "account.tags", "more tags than 7"),
    (
        {"account.tags": {f"t{n}": "x" for n in range(38)}, "airflow.dagDelivery": "pipeline"},
        "account.tags",
        "more tags than 37",
    ),
    ({"account.tags": {"Stack": "x"}}, "account.tags.Stack", "whatever its capitals"),
    (
        {"network.cidrBlock": "10.1.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/8"]},
        "network.cidrBlock",
        "overlaps 10.0.0.0/8",
    ),
    ({"network.cidrBlock": "10.0.0.0/22"}, "network.cidrBlock", "a /19 or wider"),
    ({"network.cidrBlock": "10.0.0.0/22", "network.zones": 2}, "network.cidrBlock", "a /19 or"),
    ({"network.cidrBlock": "10.0.0.0/22", "network.zones": 4}, "network.cidrBlock", "a /19 or"),
    ({"cluster.nodeMax": 450}, "network.cidrBlock", "fewer or smaller nodes"),
    ({"network.availabilityZones": ["us-west-2a"]}, "network.availabilityZones", "2 to 4"),
    (
        {"network.availabilityZones": [f"us-west-2{zone}" for zone in "abcde"]},
        "network.availabilityZones",
        "2 to 4",
    ),
    (
        {"network.availabilityZones": ["us-west-2a", "us-west-2a"]},
        "network.availabilityZones",
        "listed 2 times",
    ),
    (
        {"network.availabilityZones": ["us-west-2a", "us-east-1b"]},
        "network.availabilityZones",
        "no availability zone of us-west-2",
    ),
    (
        {"network.availabilityZones": ["us-west-2a", "us-west-2-lax-1a"]},
        "network.availabilityZones",
        "local or Wavelength",
    ),
    (
        WITHOUT_NAT | {"network.interfaceEndpoints": WITHOUT_NAT["network.interfaceEndpoints"][1:]},
        "network.interfaceEndpoints",
        "lacks airflow.api,",
    ),
    ({"network.interfaceEndpoints": ["sts", "sts"]}, "network.interfaceEndpoints", "2 times"),
    ({"cluster.nodeMin": 10}, "cluster.nodeMin", "more than cluster.nodeMax, 9"),
    (
        {"cluster.instanceTypes": ["m7i.xlarge", "m7g.xlarge"]},
        "cluster.instanceTypes",
        "is arm64: set cluster.architecture",
    ),
    (
        {"cluster.architecture": "arm64", "cluster.instanceTypes": ["m7g.xlarge", "g4dn.xlarge"]},
        "cluster.instanceTypes",
        "is x86_64: set",
    ),
    ({"cluster.instanceTypes": ["m7i.xlarge"] * 2}, "cluster.instanceTypes", "listed 2 times"),
    ({"cluster.publicAccessCidrs": ["192.0.2.0/24"] * 2}, "cluster.publicAccessCidrs", "2 times"),
    ({"cluster.adminPrincipalArns": [ADMIN, ADMIN]}, "cluster.adminPrincipalArns", "2 times"),
    ({"cluster.viewerPrincipalArns": [ADMIN, ADMIN]}, "cluster.viewerPrincipalArns", "2 times"),
    (
        {"cluster.adminPrincipalArns": [ADMIN], "cluster.viewerPrincipalArns": [ADMIN]},
        "cluster.viewerPrincipalArns",
        "an administrator too",
    ),
    (
        {"cluster.adminPrincipalArns": ["arn:aws:iam::999999999999:role/Admin"]},
        "cluster.adminPrincipalArns",
        "another account than account.id, 111122223333",
    ),
    ({"airflow.minWorkers": 11}, "airflow.minWorkers", "more than airflow.maxWorkers, 10"),
    ({"airflow.minWebservers": 3}, "airflow.minWebservers", "more than airflow.maxWebservers, 2"),
    ({"airflow.schedulers": 1}, "airflow.schedulers", "2 to 5 with environmentClass mw1.medium"),
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
    ({"airflow.options": {"core.executor": "x"}}, "airflow.options.core.executor", "MWAA sets it"),
    ({"airflow.options": {"metrics.x": "y"}}, "airflow.options.metrics.x", "CloudWatch"),
    ({"airflow.options": {"secrets.backend": "x"}}, "airflow.options.secrets.backend", "rely on"),
    (
        {"airflow.options": {"scheduler.dag_dir_list_interval": "5"}},
        "airflow.options.scheduler.dag_dir_list_interval",
        "write dag_processor.refresh_interval",
    ),
    (
        {"airflow.options": {"webserver.dag_orientation": "LR"}},
        "airflow.options.webserver.dag_orientation",
        "remove it",
    ),
    (
        {
            "airflow.options": {"triggerer.capacity": "5"},
            "airflow.version": "2.11.2",
            "airflow.dagDelivery": "pipeline",
        },
        "airflow.options.triggerer.capacity",
        "write that",
    ),
    ({"spark.teams": [{"name": "a"}, {"name": "a"}]}, "spark.teams", "listed 2 times"),
    ({"airflow.podNamespace": "emr-mwaa"}, "airflow.podNamespace", "the Spark team mwaa"),
    # Production
    (PRODUCTION | {"network.nat": "single"}, "network.nat", "add singleNat"),
    (
        PRODUCTION | {"cluster.deletionProtection": False},
        "cluster.deletionProtection",
        "add noDeletionProtection",
    ),
    (PRODUCTION | {"account.forceDestroy": True}, "account.forceDestroy", "add forceDestroy"),
    (
        PRODUCTION | {"airflow.webserverAccess": "PUBLIC_ONLY"},
        "airflow.webserverAccess",
        "add publicWebServer",
    ),
    (
        PRODUCTION | {"cluster.publicAccessCidrs": ["203.0.113.0/24"]},
        "cluster.publicAccessCidrs",
        "add publicEndpoint",
    ),
    (
        PRODUCTION
        | {
            "cluster.publicAccessCidrs": ["0.0.0.0/0"],
            "account.acceptedRisks": ["publicEndpoint"],
        },
        "cluster.publicAccessCidrs",
        "whole internet",
    ),
    (
        PRODUCTION | {"cluster.adminPrincipalArns": []},
        "cluster.adminPrincipalArns",
        "add deployerOnlyAdmin",
    ),
    (
        PRODUCTION | {"account.logRetentionDays": 180},
        "account.logRetentionDays",
        "add shortLogRetention",
    ),
]


@pytest.mark.parametrize(("changes", "key", "text"), WRONG_ALONE + WRONG_TOGETHER)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    (line,) = mistakes(load, changes)

    assert line.startswith(f"mwaa-on-eks:{key}")
    assert text in line


RIGHT: list[dict[str, Any]] = [
    PRODUCTION,
    WITHOUT_NAT,
    MICRO,
    {"account.id": 111122223333},
    {"account.region": "ca-west-1", "account.acceptedRisks": ["unlistedRegion"]},
    {"account.tags": {f"t{n}": "x" for n in range(7)}},
    {"network.cidrBlock": "100.64.0.0/16"},
    {"network.cidrBlock": "172.31.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/16"]},
    {"network.availabilityZones": ["us-west-2a", "us-west-2b"]},
    {"network.zones": "4"},
    {"cluster.nodeMin": 9},
    {"cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:user/people/ada@example.com"]},
    {"cluster.architecture": "arm64", "cluster.instanceTypes": ["m7g.xlarge", "c7gn.xlarge"]},
    {"cluster.instanceTypes": ["g4dn.xlarge", "m7i-flex.xlarge"]},
    {"airflow.weeklyMaintenanceWindow": "SUN:03:30"},
    {"airflow.options": {"core.parallelism": 40, "scheduler.catchup_by_default": "False"}},
    {
        "airflow.options": {"triggerer.default_capacity": "5"},
        "airflow.version": "2.11.2",
        "airflow.dagDelivery": "pipeline",
    },
    {"airflow.podQuota": {"cpu": 8, "pods": 20}},
    {"spark.releaseLabel": "emr-spark-8.1.0-20260812"},
    {"spark.releaseLabel": "emr-7.13.0-java11-latest"},
    {"spark.teams": [{"name": "a"}, {"name": "b", "memory": "1Ti"}]},
    PRODUCTION | {"network.nat": "single", "account.acceptedRisks": ["singleNat"]},
]


@pytest.mark.parametrize("changes", RIGHT)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    load(changes)

    assert warnings == []


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"cluster.kubernetesVersion": "1.34"}, "cluster.kubernetesVersion", "2026-12-02 only"),
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
        (
            {"network.forbiddenCidrs": ["172.16.0.0/12"]},
            "network.forbiddenCidrs",
            "172.20.0.0/16, which EKS gives to Services",
        ),
        (
            {"network.cidrBlock": "192.168.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/8"]},
            "network.forbiddenCidrs",
            "a VPC within 10.0.0.0/8",
        ),
        ({"network.cidrBlock": "10.0.0.0/20"}, "network.cidrBlock", "a /19 or wider"),
        ({"cluster.instanceTypes": ["m7i.xlarge"]}, "cluster.instanceTypes", "is one type"),
        (
            {"cluster.instanceTypes": ["m7i.xlarge", "m7i.2xlarge"]},
            "cluster.instanceTypes",
            "of several sizes",
        ),
        (
            {"cluster.publicAccessCidrs": ["0.0.0.0/0"]},
            "cluster.publicAccessCidrs",
            "whole internet",
        ),
        ({"cluster.publicAccessCidrs": []}, "cluster.publicAccessCidrs", "must run there"),
        ({"airflow.maxWorkers": 26}, "airflow.maxWorkers", "quota"),
        ({"airflow.webserverAccess": "PRIVATE_ONLY"}, "airflow.webserverAccess", "wheels"),
        (
            WITHOUT_NAT | {"airflow.dagDelivery": "pulumi"},
            "airflow.webserverAccess",
            "wheels",
        ),
        (
            PRODUCTION | {"account.acceptedRisks": ["singleNat"]},
            "account.acceptedRisks",
            "singleNat is accepted without need",
        ),
    ],
)
def test_what_may_be_meant_is_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any], key: str, text: str
) -> None:
    load(changes)

    (line,) = warnings
    assert line.startswith(f"mwaa-on-eks:{key} = ")
    assert text in line


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
        Settings.load(pulumi.Config("mwaa-on-eks"), today=TODAY)


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
        Settings.load(pulumi.Config("mwaa-on-eks"), today=TODAY)
    assert "smtp_password = [secret]: must be printable ASCII" in str(error.value)
    assert "hünter2" not in str(error.value)


def test_unknown_sections_are_found_in_the_environment_too(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The official language host hands the configuration over in this variable.
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"mwaa-on-eks:netwrok": "{}", "aws:x": "y"}))

    (line,) = mistakes(load, {})
    assert line.startswith("mwaa-on-eks:netwrok")


def test_settings_stay_as_they_were_read(load: Load) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load({}).network.zones = 2


class Recorder:
    """A section that remembers which of its settings were read."""

    def __init__(self, name: str, section: Section, read: set[str]) -> None:
        self._name, self._section, self._read = name, section, read

    def __getattr__(self, attribute: str) -> object:
        if attribute in type(self._section).model_fields:
            self._read.add(f"{self._name}.{to_camel(attribute)}")
            return getattr(self._section, attribute)
        return getattr(type(self._section), attribute).fget(self)


@pytest.mark.parametrize("rule", settings_rules.RULES)
@pytest.mark.parametrize(
    "changes", [{}, PRODUCTION, WITHOUT_NAT, {"network.cidrBlock": "10.0.0.0/20"}]
)
def test_a_rule_names_all_that_it_reads(
    load: Load, rule: settings_rules.Rule, changes: dict[str, Any]
) -> None:
    read: set[str] = set()
    settings = load(changes)
    sections: dict[str, Any] = {
        name: Recorder(name, getattr(settings, name), read) for name in SECTIONS
    }

    list(rule.check(replace(settings, **sections)))

    assert read <= rule.reads


@pytest.mark.parametrize(
    ("size", "addresses"),
    [("medium", 8), ("large", 30), ("xlarge", 60), ("2xlarge", 60), ("4xlarge", 250)],
)
def test_addresses_are_reckoned_with_everything_at_its_maximum(
    load: Load, size: str, addresses: int
) -> None:
    settings = load(
        {
            "network.interfaceEndpoints": ["sts", "logs"],
            "cluster.instanceTypes": ["m6i.medium", f"m7i.{size}"],
        }
    )

    used = settings_rules.addresses_used(settings, IPv4Network("10.0.0.0/20"))

    # Three of nine nodes, half of MWAA, the endpoints and EKS, in a /24 of which AWS keeps five.
    assert used == (3 * addresses + 8 + 2 + 16) / 251


# ---- Versions ----


def test_the_defaults_are_supported_for_months_to_come(load: Load, warnings: list[str]) -> None:
    load({}, today=date(2027, 1, 26))
    assert warnings == []

    load({}, today=date(2027, 1, 27))
    load({}, today=date(2027, 3, 26))
    assert len(warnings) == 2
    assert all("is supported until 2027-03-27 only: plan 1.36" in line for line in warnings)

    (line,) = mistakes(load, {}, today=date(2027, 3, 27))
    assert "is without support since 2027-03-27: choose 1.36, or add endedSupport" in line


def test_airflow_without_support_is_refused(
    load: Load, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = date(2026, 12, 24)
    monkeypatch.setitem(AIRFLOW, "3.3.1", replace(AIRFLOW["3.3.1"], support_ends=ends))
    load({})
    assert warnings[0].startswith("mwaa-on-eks:airflow.version = ")
    assert mistakes(load, {}, today=ends)[0].startswith("mwaa-on-eks:airflow.version = ")


def test_versions_are_listed_from_the_newest_on() -> None:
    def number(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    for table in (KUBERNETES, AIRFLOW, EMR):
        assert list(table) == sorted(table, key=number, reverse=True)


# ---- dags/requirements.txt ----

CONSTRAINT = (
    '--constraint "https://raw.githubusercontent.com/apache/airflow/'
    'constraints-3.3.1/constraints-3.12.txt"\n'
)


@pytest.mark.parametrize(
    ("requirements", "text"),
    [
        ("", "asks dags/requirements.txt to begin --constraint"),
        (CONSTRAINT.replace("3.12", "3.11"), "constraints-3.3.1/constraints-3.12.txt"),
        (CONSTRAINT.replace("3.3.1", "3.2.1"), "constraints-3.3.1/constraints-3.12.txt"),
        (f"boto3==1.0\n{CONSTRAINT}", "to begin --constraint"),
        (f"{CONSTRAINT}requests\n", "requests is not pinned"),
        (f"{CONSTRAINT}requests>=2\n", "requests>=2 is not pinned"),
        (f"{CONSTRAINT}git+https://example.com/x\n", "git+https://example.com/x is not pinned"),
        (f"{CONSTRAINT}x @ https://example.com/x.whl\n", "is not pinned"),
        (f"{CONSTRAINT}kubernetes==11.0.0\n", "pin kubernetes already"),
        (f"{CONSTRAINT}apache-airflow==3.3.1\n", "pin apache-airflow already"),
        (
            f"{CONSTRAINT}apache-airflow-providers-cncf-kubernetes==10.16.0\n",
            "write apache-airflow-providers-cncf-kubernetes==10.21.0",
        ),
        (None, "needs requirements.txt"),
    ],
)
def test_requirements_that_mwaa_would_stumble_over(
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    requirements: str | None,
    text: str,
) -> None:
    file = tmp_path / "requirements.txt"
    if requirements is not None:
        file.write_text(requirements)
    monkeypatch.setattr(settings_rules, "REQUIREMENTS", file)

    (line,) = mistakes(load, {})
    assert line.startswith('mwaa-on-eks:airflow.version = "3.3.1": ')
    assert text in line

    load({"airflow.dagDelivery": "pipeline"})


def test_requirements_of_wheels_need_no_internet(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warnings: list[str]
) -> None:
    file = tmp_path / "requirements.txt"
    wheels = "--find-links /usr/local/airflow/plugins\n--no-index\nrequests[socks]==2.0\n"
    file.write_text(f"{CONSTRAINT}# comment\n\n{wheels}")
    monkeypatch.setattr(settings_rules, "REQUIREMENTS", file)

    load({"airflow.webserverAccess": "PRIVATE_ONLY"})

    assert warnings == []


def test_another_airflow_version_asks_for_other_requirements(load: Load) -> None:
    assert len(mistakes(load, {"airflow.version": "3.2.1"})) == 2


# ---- Names ----


def botocore_shape(service: str, shape: str) -> dict[str, Any]:
    model = botocore.loaders.Loader().load_service_model(service, "service-2")
    found: dict[str, Any] = model["shapes"][shape]
    return found


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


# ---- What AWS documents ----


def test_values_are_those_that_botocore_knows() -> None:
    def choices(section: type[Section], setting: str) -> set[str]:
        return set(section.model_json_schema()["properties"][setting]["enum"])

    def documented_in(service: str, shape: str, member: str) -> str:
        return str(botocore_shape(service, shape)["members"][member]["documentation"])

    assert choices(AirflowSettings, "webserverAccess") == set(
        botocore_shape("mwaa", "WebserverAccessMode")["enum"]
    )
    assert choices(AirflowSettings, "logLevel") == set(
        botocore_shape("mwaa", "LoggingLevel")["enum"]
    )
    assert choices(AirflowSettings, "environmentClass") == set(
        re.findall(r"mw1\.\w+", documented_in("mwaa", "CreateEnvironmentInput", "EnvironmentClass"))
    )
    # The third one is without access entries.
    assert choices(ClusterSettings, "authenticationMode") == set(
        botocore_shape("eks", "AuthenticationMode")["enum"]
    ) - {"CONFIG_MAP"}


def test_the_days_of_log_retention_are_those_of_cloudwatch(load: Load) -> None:
    text = botocore_shape("logs", "Days")["documentation"]
    documented_days = re.findall(r"\d+", text.partition("values are:")[2].partition("</p>")[0])

    (line,) = mistakes(load, {"account.logRetentionDays": 2})

    assert re.findall(r"\d+", line.partition("keeps logs for")[2]) == documented_days


@pytest.mark.parametrize("window", ["MON:00:00", "TUE:09:30", "SUN:23:30"])
def test_a_maintenance_window_is_one_to_mwaa(load: Load, window: str) -> None:
    load({"airflow.weeklyMaintenanceWindow": window})
    pattern = botocore_shape("mwaa", "WeeklyMaintenanceWindowStart")["pattern"]
    assert re.fullmatch(pattern, window)


# ---- Files ----


def project() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    return content


NESTED: dict[str, type[Section]] = {"podQuota": PodQuotaSettings, "teams": TeamSettings}


def kind(schema: dict[str, Any]) -> str:
    """The type of a setting, as Pulumi.yaml has to tell it."""
    match schema:
        case {"enum": choices}:
            return " | ".join(choices)
        case {"anyOf": kinds}:
            return " or ".join(kind(one) for one in kinds)
        case {"$ref": _}:
            return "map"
        case {"type": "array", "items": items}:
            return f"list of {kind(items)}"
        case {"type": "object"}:
            return "map of string"
        case _:
            return str(schema["type"])


def lines(model: type[Section], prefix: str = "") -> Iterator[str]:
    """What Pulumi.yaml has to tell about the settings of a section."""
    for name, schema in model.model_json_schema()["properties"].items():
        default = f"default {json.dumps(schema['default'])}" if "default" in schema else "required"
        yield f"- {prefix}{name} ({kind(schema)}, {default}): {schema['description']}"
        if name in NESTED:
            items = "[]" if schema.get("type") == "array" else ""
            yield from lines(NESTED[name], f"{prefix}{name}{items}.")


def test_pulumi_yaml_declares_the_sections_and_nothing_else() -> None:
    declared = [key for key in project()["config"] if ":" not in key]
    assert declared == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_pulumi_yaml_describes_each_setting_with_type_and_default(section: str) -> None:
    declared = project()["config"][section]
    assert declared["type"] == "object"
    assert declared["description"].splitlines() == [
        SECTIONS[section].__doc__,
        *lines(SECTIONS[section]),
    ]


@pytest.mark.parametrize("section", SECTIONS)
def test_pulumi_yaml_has_the_defaults_of_the_program(section: str) -> None:
    model = SECTIONS[section]
    if any(field.is_required() for field in model.model_fields.values()):
        assert "default" not in project()["config"][section]
    else:
        default = model().model_dump(mode="json", by_alias=True)
        assert project()["config"][section]["default"] == default


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_has_each_setting_with_its_default(section: str) -> None:
    readme = (ROOT / "README.md").read_text()
    for line in lines(SECTIONS[section]):
        told = re.fullmatch(r"- (\S+) \(.*?(?:(required)|default (.*))\): (.*)", line)
        assert told is not None, line
        key, required, default, text = told.groups()
        shown = "**required**" if required else f"`{default}`"
        assert f"| `{section}.{key}` | {shown} | {text} |" in readme


def test_no_provider_is_taken_by_default() -> None:
    declared = project()["config"]["pulumi:disable-default-providers"]
    assert declared == {"value": ["aws", "kubernetes"]}


@pytest.mark.parametrize("stack", ["dev", "prod", "sandbox"])
def test_the_example_stacks_are_right(load: Load, warnings: list[str], stack: str) -> None:
    content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    sections = {key.removeprefix("mwaa-on-eks:"): value for key, value in content["config"].items()}

    settings = load({"account": None, "cluster": None} | sections, stack=stack)

    assert warnings == []
    assert settings.account.production == (stack == "prod")


def test_the_production_example_shows_that_nothing_weak_is_needed() -> None:
    content = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())
    assert content["config"]["mwaa-on-eks:account"]["acceptedRisks"] == []


def test_the_sandbox_opens_with_its_documented_passphrase() -> None:
    content = yaml.safe_load((ROOT / "Pulumi.sandbox.yaml").read_text())
    # v1:<salt of the key>:v1:<nonce>:<"pulumi", encrypted>
    _, salt, _, nonce, sealed = content["encryptionsalt"].split(":")
    key = hashlib.pbkdf2_hmac("sha256", b"sandbox", base64.b64decode(salt), 1_000_000)
    opened = AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None)
    assert opened == b"pulumi"
