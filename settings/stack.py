"""Everything that is decided before the first cloud call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

import botocore.session

from components.alarms import Watched
from components.aws_account import AwsAccount
from components.capacity import NodeGroup
from components.data_access import BucketAccess, DatabaseAccess
from settings.live import LiveStack
from settings.sections import (
    NEEDED_WITHOUT_NAT,
    AccountSettings,
    AirflowSettings,
    ClusterSettings,
    DeliverySettings,
    MonitoringSettings,
    NetworkSettings,
    SparkSettings,
    TeamSettings,
)


@cache
def aws_regions() -> botocore.session.Session:
    """What botocore knows about regions, without a call."""
    return botocore.session.get_session()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a stack has set, and the names that follow from it."""

    project: str
    stack: str
    today: date
    """The day that dates of support are compared with."""
    account: AccountSettings
    network: NetworkSettings
    cluster: ClusterSettings
    airflow: AirflowSettings
    spark: SparkSettings
    delivery: DeliverySettings
    monitoring: MonitoringSettings
    live: LiveStack
    """What the stack has built already."""

    @property
    def name(self) -> str:
        """Name of the cluster and the MWAA environment, and beginning of the other fixed names."""
        return f"{self.project}-{self.stack}"

    @property
    def aws_account(self) -> AwsAccount:
        """The account, the region, and the AWS partition of the region."""
        region = self.account.region
        partition = str(aws_regions().get_partition_for_region(region))
        return AwsAccount(self.account.id, region, partition)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of everything that can have tags."""
        return {"project": self.project, "stack": self.stack, **self.account.tags}

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The AWS services that have an interface endpoint, by short name."""
        named = self.network.interface_endpoints
        if self.network.nat != "none":
            return named
        tables = any(team.glue_databases for team in self.spark.teams)
        glue = ("glue",) if tables else ()
        sns = () if self.monitoring.level == "none" else ("sns",)  # DAGs tell of failures
        return tuple(dict.fromkeys((*NEEDED_WITHOUT_NAT, *glue, *sns, *named)))

    @property
    def dag_bucket_name(self) -> str:
        """The bucket that MWAA reads DAGs from."""
        return f"{self.name}-dags-{self.account.id}"

    @property
    def job_bucket_name(self) -> str:
        """The bucket in which each team has its prefix."""
        return f"{self.name}-jobs-{self.account.id}"

    @property
    def secrets_prefix(self) -> str:
        """Where in Secrets Manager Airflow looks for connections and variables."""
        return f"airflow/{self.name}"

    @property
    def key_deletion_window_days(self) -> int:
        """How long a deleted key can be brought back; AWS allows 7 to 30 days."""
        return 30 if self.account.production else 7

    @property
    def airflow_group(self) -> str:
        """The Kubernetes group of the MWAA execution role."""
        return "airflow"

    @property
    def default_team(self) -> str:
        """The team that the connection emr_eks belongs to."""
        return self.spark.teams[0].name

    @property
    def spot_node_group(self) -> NodeGroup | None:
        """The nodes on spot capacity, which differ from the others in type and number only."""
        if (spot := self.spark.spot) is None:
            return None
        return replace(
            self.cluster.node_group,
            instance_types=spot.instance_types,
            min_size=0,
            max_size=spot.max,
        )

    @property
    def alarm_topic_name(self) -> str | None:
        """The topic that alarms are told to; None where nothing is watched."""
        return None if self.monitoring.level == "none" else f"{self.name}-alarms"

    def watched(self, nat_gateways: Sequence[str]) -> Watched | None:
        """Return what there is to watch; None where nothing is.

        nat_gateways: a word for each.
        """
        level = self.monitoring.level
        if level == "none":
            return None
        return Watched(
            name=self.name,
            level=level,
            thresholds=self.monitoring.lines,
            has_workers_of_their_own=self.airflow.environment_class != "mw1.micro",
            node_min=self.cluster.node_min,
            has_spot_nodes=self.spark.spot is not None,
            nat_gateways=nat_gateways,
            endpoints=self.endpoints,
            region=self.account.region,
            virtual_clusters=len(self.spark.teams),
        )

    def virtual_cluster_name(self, team: str) -> str:
        """The name of a team's virtual cluster."""
        return f"{self.name}-{team}"

    def bucket_accesses(self, team: TeamSettings) -> tuple[BucketAccess, ...]:
        """What a team's jobs read and write besides the team's prefix."""
        return tuple(
            BucketAccess(
                bucket_arn=f"arn:{self.aws_account.partition}:s3:::{one.bucket}",
                account_id=one.account_id or self.account.id,
                prefix=one.prefix or "",
                write=one.writes,
                kms_key_arn=one.kms_key_arn,
            )
            for one in team.data
        )

    def database_accesses(self, team: TeamSettings) -> tuple[DatabaseAccess, ...]:
        """The databases of the Data Catalog whose tables a team's jobs read and write."""
        return tuple(
            DatabaseAccess(database=one.database, write=one.writes) for one in team.glue_databases
        )

    def team_group(self, team: str) -> str:
        """The Kubernetes group of a team's people."""
        return f"spark-{team}"
