"""Rules for one value, and whether AWS knows the values."""

from __future__ import annotations

import re
from typing import Any

import pytest

from settings.sections import AirflowSettings, ClusterSettings, Section
from tests.settings.conftest import Load, assert_mistake, assert_right, botocore_shape, mistakes


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"account.id": "1111"}, "account.id", "12 digits of an AWS account"),
        ({"account.id": 12345678901}, "account.id", "in quotes"),
        ({"account.production": "perhaps"}, "account.production", "must be true or false"),
        (
            {"account.acceptedRisks": ["all"]},
            "account.acceptedRisks[0]",
            "must be 'deployerOnlyAdmin'",
        ),
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
        (
            {"network.interfaceEndpoints": ["s3"]},
            "network.interfaceEndpoints[0]",
            "gateway endpoint",
        ),
        (
            {"network.interfaceEndpoints": ["com.amazonaws.us-west-2.sts"]},
            "network.interfaceEndpoints[0]",
            "without com.amazonaws",
        ),
        ({"network.flowLogs": "s3"}, "network.flowLogs", "the ARN of an S3 bucket"),
        ({"network.flowLogs": "arn:aws:s3:::B"}, "network.flowLogs", "the ARN of an S3 bucket"),
        (
            {"network.forbiddenCidrs": ["10.1/16"]},
            "network.forbiddenCidrs[0]",
            "such as 10.0.0.0/16",
        ),
        (
            {"cluster.kubernetesVersion": "1.33"},
            "cluster.kubernetesVersion",
            "one of 1.36, 1.35, 1.34",
        ),
        ({"cluster.kubernetesVersion": 1.4}, "cluster.kubernetesVersion", "leaves 1.40 as it is"),
        ({"cluster.authenticationMode": "CONFIG_MAP"}, "cluster.authenticationMode", "'API' or"),
        ({"cluster.publicAccessCidrs": ["::/0"]}, "cluster.publicAccessCidrs[0]", "IPv4 range"),
        (
            {"cluster.publicAccessCidrs": ["10.0.0.0/8"]},
            "cluster.publicAccessCidrs[0]",
            "EKS refuses",
        ),
        *(
            ({setting: [cidr]}, f"{setting}[0]", f"lies in {block}, which holds no addresses of")
            for setting in ("cluster.publicAccessCidrs", "cluster.privateAccessCidrs")
            for cidr, block in (
                ("0.0.0.0/32", "0.0.0.0/8"),
                ("127.0.0.1/32", "127.0.0.0/8"),
                ("169.254.169.254/32", "169.254.0.0/16"),
                ("224.0.0.0/4", "224.0.0.0/4"),
                ("255.255.255.255/32", "240.0.0.0/4"),
            )
        ),
        (
            {"airflow.podEgress": [{"cidr": "169.254.169.254/32", "port": 80}]},
            "airflow.podEgress[0].cidr",
            "lies in 169.254.0.0/16",
        ),
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
            {"cluster.adminPrincipalArns": ["arn:aws-cn:iam::111122223333:role/Admin"]},
            "cluster.adminPrincipalArns[0]",
            "such as arn:aws:iam",
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
            {
                "cluster.adminPrincipalArns": [
                    "arn:aws:iam::111122223333:role/AWSReservedSSO_X_0123"
                ]
            },
            "cluster.adminPrincipalArns[0]",
            "role/aws-reserved/sso.amazonaws.com",
        ),
        ({"cluster.instanceTypes": []}, "cluster.instanceTypes", "at least 1"),
        ({"cluster.instanceTypes": ["m7i"]}, "cluster.instanceTypes[0]", "such as m7i.xlarge"),
        ({"cluster.instanceTypes": ["t3.nano"]}, "cluster.instanceTypes[0]", "room for more"),
        ({"cluster.architecture": "arm"}, "cluster.architecture", "'x86_64' or 'arm64'"),
        ({"cluster.nodeMin": 0}, "cluster.nodeMin", "greater than or equal to 1"),
        ({"cluster.nodeMax": 451}, "cluster.nodeMax", "less than or equal to 450"),
        ({"cluster.nodeMax": "ten"}, "cluster.nodeMax", "must be a whole number"),
        (
            {"cluster.imageRegistry": "https://registry.example.com"},
            "cluster.imageRegistry",
            "such as 111122223333.dkr.ecr",
        ),
        ({"cluster.imageRegistry": "example.com/"}, "cluster.imageRegistry", "must be a registry"),
        ({"cluster.imageRegistry": "example.com/A"}, "cluster.imageRegistry", "must be a registry"),
        ({"cluster.imageRegistry": "mirror"}, "cluster.imageRegistry", "must be a registry"),
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
        (
            {"airflow.weeklyMaintenanceWindow": "SUN:03:15"},
            "airflow.weeklyMaintenanceWindow",
            "00 or",
        ),
        (
            {"airflow.weeklyMaintenanceWindow": "SUN:24:00"},
            "airflow.weeklyMaintenanceWindow",
            "SUN:03",
        ),
        (
            {"airflow.weeklyMaintenanceWindow": "xSUN:03:30"},
            "airflow.weeklyMaintenanceWindow",
            "a day",
        ),
        ({"airflow.logLevel": "info"}, "airflow.logLevel", "'INFO'"),
        ({"airflow.options": {"parallelism": "5"}}, "airflow.options.parallelism", "a section and"),
        ({"airflow.options": {"Core.x": "5"}}, "airflow.options.Core.x", "small letters"),
        ({"airflow.options": {f"core.{'x' * 60}": "5"}}, "airflow.options.core.x", "a section and"),
        ({"airflow.options": {"core.x": "é"}}, "airflow.options.core.x", "printable ASCII"),
        ({"airflow.options": {"core.x": [1]}}, "airflow.options.core.x", "put it in quotes"),
        ({"airflow.dagDelivery": "git"}, "airflow.dagDelivery", "'pulumi' or 'pipeline'"),
        ({"airflow.podNamespace": "kube-system"}, "airflow.podNamespace", "nor kube-"),
        ({"airflow.podNamespace": "default"}, "airflow.podNamespace", "neither default"),
        ({"airflow.podNamespace": "Mwaa"}, "airflow.podNamespace", "small letters"),
        ({"airflow.podNamespace": "m" * 64}, "airflow.podNamespace", "up to 63"),
        ({"airflow.podQuota": {"cpu": "many"}}, "airflow.podQuota.cpu", "number of CPUs"),
        ({"airflow.podQuota": {"memory": "256"}}, "airflow.podQuota.memory", "with its unit"),
        ({"airflow.podQuota": {"pods": "1.5"}}, "airflow.podQuota.pods", "number of pods"),
        (
            {"spark.releaseLabel": "emr-7.2.0-latest"},
            "spark.releaseLabel",
            "choose one of emr-spark",
        ),
        ({"spark.releaseLabel": "emr-7.14.0"}, "spark.releaseLabel", "-latest or -<yyyymmdd>"),
        ({"spark.teams": []}, "spark.teams", "at least 1"),
        ({"spark.teams": [{"name": "Team"}]}, "spark.teams[0].name", "small letters"),
        ({"spark.teams": [{"name": "t" * 21}]}, "spark.teams[0].name", "up to 20"),
        ({"spark.teams": [{"name": "t", "cpu": "0"}]}, "spark.teams[0].cpu", "number of CPUs"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_way_out(
    load: Load, changes: dict[str, Any], key: str, text: str
) -> None:
    assert_mistake(load, changes, key, text)


@pytest.mark.parametrize(
    "changes",
    [
        {"account.id": 111122223333},
        {"network.cidrBlock": "100.64.0.0/16"},
        {"network.zones": "4"},
        {"cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:user/people/ada@example.com"]},
        {"airflow.weeklyMaintenanceWindow": "SUN:03:30"},
        {"airflow.options": {"core.parallelism": 40, "scheduler.catchup_by_default": "False"}},
        {"airflow.podQuota": {"cpu": 8, "pods": 20}},
        {"spark.releaseLabel": "emr-spark-8.1.0-20260812"},
        {"spark.releaseLabel": "emr-7.13.0-java11-latest"},
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


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
