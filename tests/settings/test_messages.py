"""Each kind of bad input, and the whole of what is told about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from settings.requirements import NOT_PINNED
from tests.settings.conftest import (
    ADMIN,
    CONSTRAINT,
    MICRO,
    PRODUCTION,
    WITHOUT_NAT,
    Load,
    mistakes,
)
from tests.settings.test_dag_file_rules import ACCESS_KEY


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"network.cidrBlock": "10.0.0.0/15"},
            'network.cidrBlock = "10.0.0.0/15": 10.0.0.0/15 has prefix /15: AWS allows a '
            "VPC no prefix below /16, and above /24 a sixteenth is no subnet (AWS: /28 "
            "at the smallest); choose a prefix from /16 to /24",
        ),
        (
            {"network.cidrBlock": "10.0.0.0/25"},
            'network.cidrBlock = "10.0.0.0/25": 10.0.0.0/25 has prefix /25: AWS allows a '
            "VPC no prefix below /16, and above /24 a sixteenth is no subnet (AWS: /28 "
            "at the smallest); choose a prefix from /16 to /24",
        ),
        (
            {"network.cidrBlock": "10.0.0.5/16"},
            'network.cidrBlock = "10.0.0.5/16": must be written in its canonical form: 10.0.0.0/16',
        ),
        (
            {"network.cidrBlock": "fd00::/56"},
            'network.cidrBlock = "fd00::/56": must be an IPv4 range such as 10.0.0.0/16, '
            "since the network and its cluster have no IPv6",
        ),
        (
            {"network.cidrBlock": "8.8.0.0/16"},
            'network.cidrBlock = "8.8.0.0/16": must lie in one of 10.0.0.0/8, '
            "172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10",
        ),
        (
            {"network.cidrBlock": " 10.0.0.0/16"},
            'network.cidrBlock = " 10.0.0.0/16": must be an IPv4 range such as 10.0.0.0/16',
        ),
        ({"network.cidrBlock": None}, "network.cidrBlock: has no value: give it one"),
        (
            {"network.cidrBlock": "10.1.0.0/16", "network.forbiddenCidrs": ["10.0.0.0/8"]},
            'network.cidrBlock = "10.1.0.0/16": overlaps 10.0.0.0/8 of '
            "network.forbiddenCidrs: choose a range beside it",
        ),
        (
            {"network.forbiddenCidrs": ["192.168.0.0/16", "192.168.0.0/16"]},
            'network.forbiddenCidrs = "192.168.0.0/16": is listed 2 times: leave one',
        ),
        (
            {"network.cidrBlock": "10.0.0.0/22"},
            'network.cidrBlock = "10.0.0.0/22": gives a private subnet too few '
            "addresses: with all of cluster.nodeMax and airflow.maxWorkers running, 346% "
            "of them are taken, and the VPC cannot be resized; choose a /19 or wider, "
            "more zones, fewer or smaller nodes",
        ),
        ({"network.zones": 1}, "network.zones = 1: must be greater than or equal to 2"),
        ({"network.zones": 5}, "network.zones = 5: must be less than or equal to 4"),
        ({"network.zones": True}, "network.zones = true: must be a whole number"),
        (
            {"network.availabilityZones": ["us-west-2a"]},
            'network.availabilityZones = ["us-west-2a"]: must be 2 to 4 zones, or none named',
        ),
        (
            {"network.availabilityZones": ["us-west-2a", "us-west-2-lax-1a"]},
            'network.availabilityZones = "us-west-2-lax-1a": is no availability zone of '
            "us-west-2, such as us-west-2a (neither MWAA nor EKS run in local or "
            "Wavelength zones)",
        ),
        (
            {"network.availabilityZones": ["us-west-2a", "us-west-2a"]},
            'network.availabilityZones = "us-west-2a": is listed 2 times: leave one',
        ),
        (
            {"account.region": "ap-east-2"},
            'account.region = "ap-east-2": has no MWAA and no EMR on EKS, as far as this '
            "botocore knows: choose another region, or add unlistedRegion to "
            "account.acceptedRisks if AWS offers it by now",
        ),
        (
            {"account.region": "us-wset-2"},
            'account.region = "us-wset-2": has no MWAA and no EKS and no EMR on EKS, as '
            "far as this botocore knows; did you mean us-west-2? Or choose another "
            "region, or add unlistedRegion to account.acceptedRisks if AWS offers it by "
            "now",
        ),
        (
            {"account.region": "us-west-2a"},
            'account.region = "us-west-2a": is no AWS region; did you mean us-west-2?',
        ),
        (
            {"account.region": "cn-north-1"},
            'account.region = "cn-north-1": is in AWS\'s partition aws-cn, where nobody '
            "has tried this program: choose a region of the partition aws, such as "
            "us-west-2",
        ),
        (
            {"account.id": "1111"},
            'account.id = "1111": must be the 12 digits of an AWS account, in quotes',
        ),
        (
            {"account.id": "١١١١٢٢٢٢٣٣٣٣"},
            'account.id = "١١١١٢٢٢٢٣٣٣٣": must be the 12 digits of an AWS account, in quotes',
        ),
        ({"account.id": None}, "account.id: has no value: give it one"),
        (
            {"airflow.version": "2.5.1", "airflow.dagDelivery": "pipeline"},
            'airflow.version = "2.5.1": is no Airflow version that this program '
            "supports; choose one of 3.3.1, 3.2.1, 3.0.6, 2.11.2, 2.11.0 (in quotes, so "
            "that YAML leaves 1.40 as it is)",
        ),
        (
            {"airflow.version": 3},
            "airflow.version = 3: is no Airflow version that this program supports; "
            "choose one of 3.3.1, 3.2.1, 3.0.6, 2.11.2, 2.11.0 (in quotes, so that YAML "
            "leaves 1.40 as it is)",
        ),
        (
            {"airflow.version": "v3.2.1"},
            'airflow.version = "v3.2.1": is no Airflow version that this program '
            "supports; choose one of 3.3.1, 3.2.1, 3.0.6, 2.11.2, 2.11.0 (in quotes, so "
            "that YAML leaves 1.40 as it is)",
        ),
        (
            {"cluster.kubernetesVersion": "1.33"},
            'cluster.kubernetesVersion = "1.33": is no Kubernetes version that this '
            "program supports; choose one of 1.36, 1.35, 1.34 (in quotes, so that YAML "
            "leaves 1.40 as it is)",
        ),
        (
            {"cluster.kubernetesVersion": 1.3},
            "cluster.kubernetesVersion = 1.3: is no Kubernetes version that this program "
            "supports; choose one of 1.36, 1.35, 1.34 (in quotes, so that YAML leaves "
            "1.40 as it is)",
        ),
        (
            {"cluster.instanceTypes": ["m7i.xlarge", "m7g.xlarge"]},
            'cluster.instanceTypes = "m7g.xlarge": is arm64: set cluster.architecture to '
            "that or choose another type",
        ),
        (
            {"cluster.instanceTypes": ["g5.xlarge", "m7i.xlarge"]},
            'cluster.instanceTypes = "g5.xlarge": has GPUs, for which the nodes have '
            "neither driver nor device plugin: choose a type for general work, such as "
            "m7i.xlarge",
        ),
        (
            {"cluster.architecture": "arm"},
            "cluster.architecture = \"arm\": must be 'x86_64' or 'arm64'",
        ),
        (
            {"airflow.environmentClass": "mw1.tiny"},
            "airflow.environmentClass = \"mw1.tiny\": must be 'mw1.micro', 'mw1.small', "
            "'mw1.medium', 'mw1.large', 'mw1.xlarge' or 'mw1.2xlarge'",
        ),
        (
            MICRO | {"airflow.maxWorkers": 2},
            "airflow.maxWorkers = 2: must be 1 with environmentClass mw1.micro",
        ),
        (
            {"airflow.schedulers": 1},
            "airflow.schedulers = 1: must be 2 to 5 with environmentClass mw1.small; "
            "only mw1.micro runs on one",
        ),
        (
            {"airflow.minWorkers": 11},
            "airflow.minWorkers = 11: is more than airflow.maxWorkers, 10: lower it or raise that",
        ),
        (
            {"cluster.nodeMin": 10},
            "cluster.nodeMin = 10: is more than cluster.nodeMax, 9: lower it or raise that",
        ),
        ({"airflow.minWorkers": 0}, "airflow.minWorkers = 0: must be greater than or equal to 1"),
        ({"cluster.nodeMin": -1}, "cluster.nodeMin = -1: must be greater than or equal to 1"),
        ({"cluster.nodeMin": True}, "cluster.nodeMin = true: must be a whole number"),
        ({"cluster.nodeMax": 9.5}, "cluster.nodeMax = 9.5: must be a whole number"),
        (
            {
                "airflow.webserverAccess": "PUBLIC_AND_PRIVATE",
                "airflow.version": "3.0.6",
                "airflow.dagDelivery": "pipeline",
            },
            'airflow.webserverAccess = "PUBLIC_AND_PRIVATE": needs Airflow 3.2 or later, '
            "and airflow.version is 3.0.6: choose PUBLIC_ONLY or PRIVATE_ONLY, or raise "
            "the version",
        ),
        (
            WITHOUT_NAT | {"airflow.webserverAccess": "PUBLIC_ONLY"},
            'airflow.webserverAccess = "PUBLIC_ONLY": leaves the workers of Airflow 3, '
            "which call the web server, no way to it without NAT: choose "
            "PUBLIC_AND_PRIVATE or PRIVATE_ONLY, or a network.nat",
        ),
        (
            {"airflow.weeklyMaintenanceWindow": "SUN:03:15"},
            'airflow.weeklyMaintenanceWindow = "SUN:03:15": must be a day, an hour and '
            "00 or 30 minutes in UTC, such as SUN:03:30",
        ),
        (
            {"airflow.weeklyMaintenanceWindow": "sun:03:30"},
            'airflow.weeklyMaintenanceWindow = "sun:03:30": must be a day, an hour and '
            "00 or 30 minutes in UTC, such as SUN:03:30",
        ),
        (
            {"airflow.options": {"core.fernet_key": "x"}},
            "airflow.options.core.fernet_key: cannot be set, because MWAA sets it: remove it",
        ),
        (
            {"airflow.options": {"core.dags_folder": "x"}},
            'airflow.options.core.dags_folder = "x": cannot be set, because MWAA puts '
            "the DAGs where it looks for them: remove it",
        ),
        (
            {"airflow.options": {"scheduler.dag_dir_list_interval": "5"}},
            'airflow.options.scheduler.dag_dir_list_interval = "5": is not known to '
            "Airflow 3.3.1: write dag_processor.refresh_interval",
        ),
        (
            PRODUCTION
            | {
                "cluster.publicAccessCidrs": ["0.0.0.0/1", "128.0.0.0/1"],
                "account.acceptedRisks": ["publicEndpoint"],
            },
            'cluster.publicAccessCidrs = ["0.0.0.0/1", "128.0.0.0/1"]: lets the whole '
            "internet try the API server: name the ranges that need it, together no more "
            "than a /8",
        ),
        (
            {"cluster.publicAccessCidrs": ["::/0"]},
            'cluster.publicAccessCidrs[0] = "::/0": must be a public IPv4 range such as '
            "203.0.113.0/24, since the network and its cluster have no IPv6",
        ),
        (
            {"cluster.publicAccessCidrs": ["0.0.0.0/32"]},
            'cluster.publicAccessCidrs[0] = "0.0.0.0/32": lies in 0.0.0.0/8, which holds '
            "no addresses of machines on a network (of the machine itself, of a link, "
            "multicast): name the addresses that are meant",
        ),
        (
            {"cluster.publicAccessCidrs": ["10.0.0.0/8"]},
            'cluster.publicAccessCidrs[0] = "10.0.0.0/8": is a private range, which EKS '
            "refuses here: name the public addresses that requests come from; from "
            "within the VPC the private endpoint is always open",
        ),
        (
            {"cluster.publicAccessCidrs": []},
            "cluster.publicAccessCidrs = []: leaves nobody a way to the API server, not "
            "even Pulumi: name where it runs, in cluster.privateAccessCidrs or "
            "privateAccessSecurityGroupIds (a machine in a network connected to the "
            "VPC), or here, until such a machine is there",
        ),
        (
            PRODUCTION | {"network.nat": "single"},
            'network.nat = "single": ends the way out for all zones when one zone fails: '
            "choose perZone; or add singleNat to account.acceptedRisks",
        ),
        (
            PRODUCTION | {"cluster.deletionProtection": False},
            "cluster.deletionProtection = false: lets one command delete the cluster: "
            "set it to true; or add noDeletionProtection to account.acceptedRisks",
        ),
        (
            PRODUCTION | {"account.forceDestroy": True},
            "account.forceDestroy = true: lets one command delete all DAGs and job data: "
            "set it to false; or add forceDestroy to account.acceptedRisks",
        ),
        (
            PRODUCTION | {"airflow.webserverAccess": "PUBLIC_AND_PRIVATE"},
            'airflow.webserverAccess = "PUBLIC_AND_PRIVATE": lets the whole internet try '
            "Airflow's sign-in: choose PRIVATE_ONLY; or add publicWebServer to "
            "account.acceptedRisks",
        ),
        (
            PRODUCTION | {"account.logRetentionDays": 90},
            "account.logRetentionDays = 90: is less than a year: choose 365 or more; or "
            "add shortLogRetention to account.acceptedRisks",
        ),
        (
            {"account.acceptedRisks": ["all"]},
            "account.acceptedRisks[0] = \"all\": must be 'deployerOnlyAdmin', "
            "'endedSupport', 'forceDestroy', 'noAccessLogs', 'noAlarms', 'noDeletionProtection', "
            "'noSubscribers', 'openPodEgress', 'publicEndpoint', 'publicWebServer', "
            "'shortLogRetention', 'singleNat' or 'unlistedRegion'",
        ),
        (
            {"spark.teams": [{"name": "t" * 21}]},
            'spark.teams[0].name = "ttttttttttttttttttttt": must be up to 20 small '
            "letters, digits, hyphens",
        ),
        (
            {
                "airflow.podServiceAccounts": [
                    {
                        "name": "s" * 47,
                        "policyArns": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"],
                    }
                ]
            },
            "airflow.podServiceAccounts[0].name = "
            '"sssssssssssssssssssssssssssssssssssssssssssssss": must be a name of its '
            "own, not default: up to 46 small letters, digits and hyphens",
        ),
        (
            {"airflow.podNamespace": "n" * 64},
            "airflow.podNamespace = "
            '"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn": must be '
            "a Kubernetes namespace of its own: up to 63 small letters, digits and "
            "hyphens, neither default nor kube-…",
        ),
        (
            {"cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:role/" + "r" * 65]},
            "cluster.adminPrincipalArns[0] = "
            '"arn:aws:iam::111122223333:role/rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr'
            'rrrrrrrrrrrrrrrrrrrrr": must be the ARN of an IAM role or user, such as '
            "arn:aws:iam::111122223333:role/Admin",
        ),
        (
            {"airflow.podNamespace": "kube-x"},
            'airflow.podNamespace = "kube-x": must be a Kubernetes namespace of its own: '
            "up to 63 small letters, digits and hyphens, neither default nor kube-…",
        ),
        (
            {"airflow.podNamespace": "Mwaa"},
            'airflow.podNamespace = "Mwaa": must be a Kubernetes namespace of its own: '
            "up to 63 small letters, digits and hyphens, neither default nor kube-…",
        ),
        (
            {"spark.teams": [{"name": "1a"}]},
            'spark.teams[0].name = "1a": must be up to 20 small letters, digits, hyphens',
        ),
        (
            {"airflow.podNamespace": "emr-mwaa"},
            'airflow.podNamespace = "emr-mwaa": belongs to the Spark team mwaa, whose '
            "jobs need other rights: choose a name that does not begin with emr-",
        ),
        (
            {"airflow.podNamespace": "default"},
            'airflow.podNamespace = "default": must be a Kubernetes namespace of its '
            "own: up to 63 small letters, digits and hyphens, neither default nor kube-…",
        ),
        (
            PRODUCTION | {"cluster.adminPrincipalArns": []},
            "cluster.adminPrincipalArns = []: leaves the cluster to the identity that "
            "deployed it: name a role of its administrators; or add deployerOnlyAdmin to "
            "account.acceptedRisks",
        ),
        (
            {"cluster.adminPrincipalArns": ["arn:aws:sts::111122223333:assumed-role/Admin/me"]},
            "cluster.adminPrincipalArns[0] = "
            '"arn:aws:sts::111122223333:assumed-role/Admin/me": is a session, which '
            "lasts hours only; name its role, with the role's path if it has one: "
            "arn:aws:iam::111122223333:role/Admin",
        ),
        (
            {"cluster.adminPrincipalArns": ["arn:aws:iam::111122223333:root"]},
            'cluster.adminPrincipalArns[0] = "arn:aws:iam::111122223333:root": must be '
            "the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/Admin",
        ),
        (
            {
                "cluster.adminPrincipalArns": [
                    "arn:aws:iam::111122223333:role/AWSReservedSSO_X_0123"
                ]
            },
            "cluster.adminPrincipalArns[0] = "
            '"arn:aws:iam::111122223333:role/AWSReservedSSO_X_0123": lacks its path: the '
            "role of an IAM Identity Center permission set is "
            "…:role/aws-reserved/sso.amazonaws.com/<region>/AWSReservedSSO_…",
        ),
        (
            {"cluster.adminPrincipalArns": ["arn:aws:iam::999999999999:role/Admin"]},
            'cluster.adminPrincipalArns = "arn:aws:iam::999999999999:role/Admin": is of '
            "another account than account.id, 111122223333: name a role there that these "
            "people may assume",
        ),
        (
            {
                "cluster.adminPrincipalArns": [
                    "arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS"
                ]
            },
            "cluster.adminPrincipalArns[0] = "
            '"arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServic'
            'eRoleForAmazonEKS": is a service-linked role, which EKS accepts no access '
            "entry for: name one of people",
        ),
        (
            {"cluster.adminPrincipalArns": [ADMIN, ADMIN]},
            'cluster.adminPrincipalArns = "arn:aws:iam::111122223333:role/Admin": is '
            "listed 2 times: leave one",
        ),
        (
            {"cluster.adminPrincipalArns": [ADMIN], "cluster.viewerPrincipalArns": [ADMIN]},
            'cluster.viewerPrincipalArns = "arn:aws:iam::111122223333:role/Admin": is an '
            "administrator too, and EKS takes one access entry for each: leave one",
        ),
        (
            {
                "cluster.adminPrincipalArns": [ADMIN],
                "cluster.viewerPrincipalArns": ["arn:aws:iam::111122223333:role/people/admin"],
            },
            "cluster.viewerPrincipalArns = "
            '"arn:aws:iam::111122223333:role/people/admin": has the name of '
            "arn:aws:iam::111122223333:role/Admin, and IAM keeps a name once, whatever "
            "its path and capitals: leave the one that exists",
        ),
        (
            {"account.tags": {"note": ACCESS_KEY}},
            "account.tags.note = [secret]: holds an AWS access key: revoke it, take it "
            "out, and keep its successor in Secrets Manager, as a connection or variable "
            "of Airflow",
        ),
        ({"cluster.nodeMaks": 5}, "cluster.nodeMaks = 5: is no setting; did you mean nodeMax?"),
        ({"netwrok": {}}, 'netwrok = "{}": is no section of settings; did you mean network?'),
        ({"airflow.maxWorkers": "ten"}, 'airflow.maxWorkers = "ten": must be a whole number'),
        ({"account.production": "ja"}, 'account.production = "ja": must be true or false'),
        (
            {"airflow.podQuota": {"cpu": 0.5}},
            "airflow.podQuota.cpu = 0.5: must be a number of CPUs, such as 64 or 500m",
        ),
        (
            {"account.logRetentionDays": 100},
            "account.logRetentionDays = 100: CloudWatch Logs keeps logs for 1, 3, 5, 7, "
            "14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, "
            "2922, 3288, 3653 days",
        ),
        (
            {"account.tags": {"aws:x": "y"}},
            'account.tags.aws:x = "aws:x": must be up to 128 letters, digits, spaces and '
            "_.:/=+-@, and not begin with aws:",
        ),
        (
            {
                "account.tags": {
                    "t0": "x",
                    "t1": "x",
                    "t2": "x",
                    "t3": "x",
                    "t4": "x",
                    "t5": "x",
                    "t6": "x",
                    "t7": "x",
                }
            },
            "account.tags = 8: are more tags than 7: S3 objects take 10 with project, "
            "stack and Name (airflow.dagDelivery: pipeline makes none), other things 40",
        ),
        (
            {"account.tags": {"a!": "y"}},
            'account.tags.a! = "a!": must be up to 128 letters, digits, spaces and '
            "_.:/=+-@, and not begin with aws:",
        ),
        (
            {"account.tags": {"version": 1.1}},
            "account.tags.version = 1.1: must be text: put it in quotes, since YAML "
            "makes 1.1 of 1.10",
        ),
        (
            {"account.acceptedRisks": ["singleNat", "singleNat"]},
            'account.acceptedRisks = "singleNat": is listed 2 times: leave one',
        ),
        (
            {"account.unprotected": ["vpc", "vpc"]},
            'account.unprotected = "vpc": is listed 2 times: leave one',
        ),
        (
            {"airflow.plugins": "../plugins"},
            'airflow.plugins = "../plugins": is no part of this repository: name what '
            "lies in it, by its path from here",
        ),
        (
            {"airflow.startupScript": "/etc/profile.d/x.sh"},
            'airflow.startupScript = "/etc/profile.d/x.sh": is no part of this '
            "repository: name what lies in it, by its path from here",
        ),
    ],
)
def test_a_fault_is_refused_in_these_words(load: Load, changes: dict[str, Any], line: str) -> None:
    assert mistakes(load, changes) == [f"mwaa-on-eks:{line}"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"network.forbiddenCidrs": ["172.16.0.0/12"]},
            'network.forbiddenCidrs = "172.16.0.0/12": overlaps 172.20.0.0/16, which EKS '
            "gives to Services: pods will not reach addresses there; a VPC outside "
            "10.0.0.0/8 avoids it",
        ),
        (
            {"network.cidrBlock": "10.0.0.0/20"},
            'network.cidrBlock = "10.0.0.0/20": gives a private subnet too few '
            "addresses: with all of cluster.nodeMax and airflow.maxWorkers running, 81% "
            "of them are taken, and the VPC cannot be resized; choose a /19 or wider, "
            "more zones, fewer or smaller nodes",
        ),
        (
            {"cluster.kubernetesVersion": "1.34"},
            'cluster.kubernetesVersion = "1.34": is supported until 2026-12-02 only: plan 1.36',
        ),
        (
            {"airflow.maxWorkers": 26},
            "airflow.maxWorkers = 26: is more than AWS gives unasked, 25: have the quota "
            "raised first",
        ),
        (
            {"airflow.options": {"core.paralelism": "5"}},
            'airflow.options.core.paralelism = "5": is no option of Airflow 3.3.1; did '
            "you mean core.parallelism?",
        ),
        (
            {"cluster.publicAccessCidrs": ["0.0.0.0/0"]},
            'cluster.publicAccessCidrs = ["0.0.0.0/0"]: lets the whole internet try the '
            "API server: name the ranges that need it, together no more than a /8",
        ),
        (
            {"cluster.instanceTypes": ["m7i.xlarge"]},
            'cluster.instanceTypes = ["m7i.xlarge"]: is one type: when AWS runs out of '
            "it, no node starts; add a similar one",
        ),
    ],
)
def test_what_may_be_meant_is_warned_about_in_these_words(
    load: Load, warnings: list[str], changes: dict[str, Any], line: str
) -> None:
    load(changes)
    assert warnings == [f"mwaa-on-eks:{line}"]


REVOKE = (
    "revoke it, take it out, and keep its successor in Secrets Manager, as a connection below "
    "airflow/mwaa-on-eks-dev/connections/"
)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (
            "dag.py",
            f"x\nKEY = '{ACCESS_KEY}'",
            f"dags/dag.py: holds an AWS access key (line 2): {REVOKE}",
        ),
        (
            "requirements.txt",
            CONSTRAINT.replace("3.3.1", "3.2.1"),
            f"dags/requirements.txt = {json.dumps(CONSTRAINT[:-1].replace('3.3.1', '3.2.1'))}"
            f": is for Airflow 3.2.1 with Python 3.12: write {CONSTRAINT[:-1]}",
        ),
        (
            "requirements.txt",
            f"{CONSTRAINT}kubernetes==11.0.0",
            'dags/requirements.txt = "kubernetes==11.0.0": is against the constraints: write '
            "kubernetes==36.0.3",
        ),
        (
            "requirements.txt",
            f"{CONSTRAINT}git+https://example.com/x",
            'dags/requirements.txt = "git+https://example.com/x": ' + NOT_PINNED,
        ),
    ],
)
def test_a_file_is_refused_in_these_words(
    load: Load, dags: Path, name: str, content: str, line: str
) -> None:
    (dags / name).write_text(content)
    assert mistakes(load, {}) == [line]


def test_a_large_file_is_left_out_in_these_words(
    load: Load, warnings: list[str], dags: Path
) -> None:
    with (dags / "model.bin").open("wb") as file:
        file.truncate(150 * 2**20)

    load({})

    assert warnings == [
        "dags/model.bin: is not uploaded: its 150 MiB are more than 100, and MWAA copies the "
        "folder to every container: put it into a bucket that DAGs read as they run"
    ]
