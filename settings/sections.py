"""What a stack may set: one section for each concern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from components.alarms import Thresholds
from components.capacity import EnvironmentCapacity, NodeGroup
from settings.values import (
    AccountId,
    BucketName,
    Cidr,
    Cpu,
    DataPrefix,
    Email,
    FlowLogs,
    GithubRepository,
    GlueDatabase,
    ImageRegistry,
    InstanceType,
    InterfaceEndpoint,
    KeyArn,
    LogRetentionDays,
    MaintenanceWindow,
    MetricNamespace,
    Namespace,
    OidcProviderArn,
    OptionKey,
    OptionValue,
    Pods,
    PolicyArn,
    Principal,
    Protected,
    PublicCidr,
    ReachableCidr,
    ReleaseLabel,
    Risk,
    SecurityGroupId,
    ServiceAccount,
    Size,
    StateBucketArn,
    SupportedAirflow,
    SupportedKubernetes,
    TagKey,
    TagValue,
    TeamName,
    TopicArn,
    VpcCidr,
    release_of,
)


class Section(BaseModel):
    """Settings of one concern, one configuration key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        coerce_numbers_to_str=True,  # YAML reads 111122223333 and 64 as numbers
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _count(cls, value: object, info: ValidationInfo) -> object:
        """Refuse a boolean as a number, which Python takes for 1 or 0."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is int:
            raise ValueError("must be a whole number")
        return value

    stand_ins: ClassVar[Mapping[str, str]] = {}
    """For settings without a default, so that rules about the other ones can still be checked."""


class AccountSettings(Section):
    """Where the platform stands and how carefully it is kept."""

    stand_ins = {"id": "000000000000", "region": "us-east-1"}

    id: AccountId
    """The AWS account; with credentials of any other one nothing is done."""
    region: str
    """The region, one that has MWAA, EKS and EMR on EKS."""
    production: bool = False
    """Refuse whatever is weak for production, unless acceptedRisks names it."""
    accepted_risks: tuple[Risk, ...] = ()
    """Weaknesses that somebody has decided to live with."""
    tags: dict[TagKey, TagValue] = {}
    """Tags for everything, besides project and stack."""
    log_retention_days: LogRetentionDays = 365
    """How long logs are kept."""
    access_log_bucket: BucketName | None = None
    """Bucket of this account and region that takes the buckets' access logs; null: none does."""
    force_destroy: bool = False
    """Let `pulumi destroy` empty the buckets."""
    unprotected: tuple[Protected, ...] = ()
    """What `pulumi destroy`, or a change that replaces it, may delete."""
    asleep: bool = False
    """Leave the stack without nodes and without its environment, which is made anew afterwards."""


# What nodes, MWAA and jobs call, S3 apart ("Creating the required VPC service endpoints", MWAA user
# guide; "Deploy private clusters with limited internet access", EKS user guide). The autoscaler
# asks `ec2` for instance types, so that it needs no static list of them.
NEEDED_WITHOUT_NAT = (
    *("airflow.api", "airflow.env", "airflow.ops", "autoscaling", "ec2", "ecr.api", "ecr.dkr"),
    *("eks", "eks-auth", "emr-containers", "kms", "logs", "monitoring", "secretsmanager"),
    *("sqs", "sts"),
)


class NetworkSettings(Section):
    """The VPC."""

    cidr_block: VpcCidr = IPv4Network("10.0.0.0/16")
    """Address range of the VPC, /16 to /24; each private subnet takes a sixteenth of it."""
    zones: Annotated[int, Field(ge=2, le=4)] = 3
    """In how many availability zones there are subnets: the region's first ones."""
    availability_zones: tuple[str, ...] = ()
    """The zones by name, instead of zones. Append only: a zone's place fixes its range."""
    nat: Literal["single", "perZone", "none"] = "single"
    """NAT gateways for the private subnets; with none, they reach AWS alone, by endpoints."""
    interface_endpoints: tuple[InterfaceEndpoint, ...] = ()
    """AWS services reached without NAT, such as ecr.api; with nat none, besides what is needed."""
    forbidden_cidrs: tuple[Cidr, ...] = ()
    """Ranges in use elsewhere (peers, offices), which the VPC must not overlap."""

    flow_logs: FlowLogs = "cloudWatch"
    """Where all traffic is recorded; in a bucket, which you keep, for less than in CloudWatch."""

    @property
    def flow_log_bucket_arn(self) -> str | None:
        """The bucket that all traffic is recorded in, if it is one."""
        return None if self.flow_logs == "cloudWatch" else self.flow_logs

    @property
    def zone_count(self) -> int:
        """In how many zones there are subnets."""
        return len(self.availability_zones) or self.zones


class ClusterSettings(Section):
    """The EKS cluster and its nodes."""

    kubernetes_version: SupportedKubernetes = "1.35"
    """Minor version of Kubernetes; raise it one step at a time."""
    authentication_mode: Literal["API", "API_AND_CONFIG_MAP"] = "API_AND_CONFIG_MAP"
    """API: access entries only, for good. API_AND_CONFIG_MAP: the aws-auth ConfigMap counts too."""
    public_access_cidrs: Annotated[tuple[PublicCidr, ...], Field(max_length=40)] = ()
    """Who may reach the API server from the internet; empty: nobody, only privateAccess… may."""
    private_access_cidrs: Annotated[tuple[ReachableCidr, ...], Field(max_length=40)] = ()
    """Who may reach the API server within the VPC and from networks connected to it, by address."""
    private_access_security_group_ids: Annotated[
        tuple[SecurityGroupId, ...], Field(max_length=40)
    ] = ()
    """The same by security group, of the VPC or of a peer: a build server's, a VPN's."""
    admin_principal_arns: tuple[Principal, ...] = ()
    """IAM roles and users that administer the cluster, besides who deploys it."""
    viewer_principal_arns: tuple[Principal, ...] = ()
    """IAM roles and users that may look at what runs in all namespaces, but at no secrets."""
    network_policy_mode: Literal["standard", "strict"] = "standard"
    """strict: pods have no connection before a network policy allows it, not even as they start."""
    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1, max_length=20)] = (
        "m7i.xlarge",
        "m6i.xlarge",
    )
    """Instance types of the nodes, of one size and by preference; another order makes new nodes."""
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Architecture of the nodes."""
    node_min: Annotated[int, Field(ge=1, le=450)] = 2
    """How many nodes there are at least."""
    node_max: Annotated[int, Field(ge=1, le=450)] = 9
    """How many nodes the cluster autoscaler may ask for."""
    node_disk_gib: Annotated[int, Field(ge=20, le=16384)] = 50
    """Size of each node's encrypted gp3 volume."""
    image_registry: ImageRegistry | None = None
    """Registry with copies of public images, under their whole names; null: public registries."""
    deletion_protection: bool = False
    """Refuse to delete the cluster until this is false again."""

    @property
    def node_group(self) -> NodeGroup:
        """The nodes, with the EKS image for their architecture."""
        images = {"x86_64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}
        return NodeGroup(
            instance_types=self.instance_types,
            ami_type=images[self.architecture],
            min_size=self.node_min,
            max_size=self.node_max,
            disk_gib=self.node_disk_gib,
        )


class PodQuotaSettings(Section):
    """What the pods of KubernetesPodOperator may ask for together."""

    cpu: Cpu = "32"
    """CPUs."""
    memory: Size = "128Gi"
    """Memory, by their requests and again by their limits."""
    storage: Size = "1Ti"
    """Storage of their volume claims, and as much again of the nodes' disks."""
    pods: Pods = "100"
    """Pods."""


class PodServiceAccountSettings(Section):
    """Service accounts with an IAM role of their own, for pods that name them."""

    name: ServiceAccount
    """Name of the service account, as DAGs give it in service_account_name."""
    policy_arns: Annotated[tuple[PolicyArn, ...], Field(min_length=1, max_length=20)]
    """IAM policies of its role."""


class PodEgressSettings(Section):
    """What pods may call besides HTTPS."""

    cidr: ReachableCidr
    """Range of addresses."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """TCP port, such as 5432."""


class AirflowSettings(Section):
    """The MWAA environment and the pods that its DAGs start."""

    version: SupportedAirflow = "3.3.1"
    """Version of Airflow; dags/requirements.txt must match it."""
    environment_class: Literal[
        "mw1.micro", "mw1.small", "mw1.medium", "mw1.large", "mw1.xlarge", "mw1.2xlarge"
    ] = "mw1.small"
    """Size of schedulers, workers and web servers."""
    min_workers: Annotated[int, Field(ge=1, le=50)] = 1
    """How many workers there are at least."""
    max_workers: Annotated[int, Field(ge=1, le=50)] = 10
    """How many workers there may be; more than 25 need a raised quota."""
    schedulers: Annotated[int, Field(ge=1, le=5)] = 2
    """How many schedulers: 2 to 5, with mw1.micro 1."""
    min_webservers: Annotated[int, Field(ge=1, le=5)] = 2
    """How many web servers there are at least: 2 to 5, with mw1.micro 1."""
    max_webservers: Annotated[int, Field(ge=1, le=5)] = 2
    """How many web servers there may be."""
    webserver_access: Literal["PUBLIC_ONLY", "PRIVATE_ONLY", "PUBLIC_AND_PRIVATE"] = "PUBLIC_ONLY"
    """Where the web server listens; who signs in is a matter of IAM in each case."""
    weekly_maintenance_window: MaintenanceWindow | None = None
    """When MWAA may update the environment, in UTC, such as SUN:03:30; null: AWS's choice."""
    log_level: Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"] = "INFO"
    """Least severe messages that reach the five log groups."""
    egress: Literal["all", "https"] = "all"
    """What Airflow may call, by any port, as MWAA's guide has it, or by HTTPS alone."""
    metric_namespaces: tuple[MetricNamespace, ...] = ()
    """CloudWatch namespaces that DAGs may write metrics to, besides Airflow's; * means all."""
    options: dict[OptionKey, OptionValue] = {}
    """Options of airflow.cfg by section.key."""
    dag_delivery: Literal["pulumi", "pipeline"] = "pulumi"
    """Who fills the DAG bucket: this program from dags/, or a pipeline of its own."""
    metadata_backups: bool = False
    """Let the DAGs backup_metadata and restore_metadata work; every DAG gets Airflow's role Op."""
    plugins: Annotated[str, Field(min_length=1)] | None = None
    """Folder or zip file that becomes /usr/local/airflow/plugins: plugins, wheels, binaries."""
    startup_script: Annotated[str, Field(min_length=1)] | None = None
    """Shell script that MWAA runs before Airflow in each of its containers."""
    pod_namespace: Namespace = "mwaa"
    """Kubernetes namespace for the pods of KubernetesPodOperator."""
    pod_quota: PodQuotaSettings = PodQuotaSettings()
    """What those pods may ask for together."""
    pod_xcom: bool = False
    """Let those pods return a value (do_xcom_push): Airflow may run commands in each of them."""
    pod_service_accounts: tuple[PodServiceAccountSettings, ...] = ()
    """Service accounts with an IAM role of their own; every DAG may use each of them."""
    pod_egress: tuple[PodEgressSettings, ...] = ()
    """What those pods may call besides HTTPS, such as databases."""

    @property
    def plugins_source(self) -> Path | None:
        """Where the plugins are."""
        return Path(self.plugins) if self.plugins else None

    @property
    def startup_script_file(self) -> Path | None:
        """Where the startup script is."""
        return Path(self.startup_script) if self.startup_script else None

    @property
    def capacity(self) -> EnvironmentCapacity:
        """The size of the MWAA environment."""
        return EnvironmentCapacity(
            environment_class=self.environment_class,
            min_workers=self.min_workers,
            max_workers=self.max_workers,
            schedulers=self.schedulers,
            min_webservers=self.min_webservers,
            max_webservers=self.max_webservers,
        )


class DataSettings(Section):
    """Data in S3 that belongs to somebody else than this stack."""

    bucket: BucketName
    """Name of the bucket."""
    prefix: DataPrefix | None = None
    """Where in it; null: all of it."""
    access: Literal["read", "readWrite"] = "read"
    """What jobs may do there."""
    account_id: AccountId | None = None
    """The account that the bucket belongs to, which must let the job role in; null: account.id."""
    kms_key_arn: KeyArn | None = None
    """The KMS key that it is encrypted with; null: S3's own."""

    @property
    def writes(self) -> bool:
        """Whether jobs may write there."""
        return self.access == "readWrite"


class GlueDatabaseSettings(Section):
    """A database of the account's Glue Data Catalog in the stack's region."""

    database: GlueDatabase
    """Name of the database, which is there already."""
    access: Literal["read", "readWrite"] = "read"
    """What jobs may do with its tables; where these have their data is a matter of data."""

    @property
    def writes(self) -> bool:
        """Whether jobs may make, change and delete its tables."""
        return self.access == "readWrite"


class TeamSettings(Section):
    """A team that runs Spark jobs, with a virtual cluster of its own."""

    name: TeamName
    """Name of the team; its namespace is emr-<name>."""
    cpu: Cpu = "64"
    """CPUs that its jobs may ask for together."""
    memory: Size = "256Gi"
    """Memory that its jobs may ask for together."""
    storage: Size = "4Ti"
    """Storage that their volume claims may ask for together, and as much again of nodes' disks."""
    pods: Pods = "100"
    """Pods that its jobs may consist of together."""
    data: tuple[DataSettings, ...] = ()
    """What its jobs may read, or write too, besides the team's prefix in the bucket of jobs."""
    glue_databases: tuple[GlueDatabaseSettings, ...] = ()
    """Databases of the Glue Data Catalog, which is Spark's metastore then."""
    members: tuple[Principal, ...] = ()
    """IAM roles and users that may run its jobs and see them, by a role of the team's."""

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace that the team's virtual cluster stands for."""
        return f"emr-{self.name}"


class SpotSettings(Section):
    """Nodes on spot capacity for executors: of one size and kind, and none where no job runs."""

    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1, max_length=20)]
    """Instance types of these nodes, of cluster.architecture: the more, the rarer AWS has none."""
    max: Annotated[int, Field(ge=1, le=450)]
    """How many of these nodes the cluster autoscaler may ask for."""


class SparkSettings(Section):
    """EMR on EKS."""

    release_label: ReleaseLabel = "emr-7.14.0-latest"
    """EMR release that the sample DAG asks for: emr-7.3.0 or later, with -latest or a date."""
    pod_security: Literal["baseline", "restricted"] = "baseline"
    """Pod Security standard of teams' namespaces; EMR promises no pods that are restricted."""
    history_server: bool = False
    """A pod for each team, in its namespace, that shows its finished jobs on Spark's own pages."""
    teams: Annotated[tuple[TeamSettings, ...], Field(min_length=1)] = (TeamSettings(name="mwaa"),)
    """One virtual cluster each; the first one belongs to the connection emr_eks."""
    spot: SpotSettings | None = None
    """Further nodes, on spot capacity, for executors alone; null: these run with the drivers."""

    @property
    def release(self) -> str:
        """The release that the label stands for."""
        return release_of(self.release_label)


class DeliverySettings(Section):
    """What workflows on GitHub may do in the account, by roles that they assume without a key."""

    github_repository: GithubRepository | None = None
    """The repository whose workflows get the roles; null: there are none."""
    github_oidc_provider_arn: OidcProviderArn | None = None
    """The account's OIDC provider for GitHub, of which there is one at most; null: made here."""
    state_bucket_arn: StateBucketArn | None = None
    """Where Pulumi's state is, which previews read; null: not in S3."""
    state_key_arns: Annotated[tuple[KeyArn, ...], Field(max_length=10)] = ()
    """KMS keys that the state cannot be read without: of the bucket, of the secrets provider."""


class ThresholdSettings(Section):
    """Where alarms draw lines that are a matter of judgement; AWS's own lines are fixed."""

    failed_tasks_percent: Annotated[int, Field(ge=1, le=99)] = 50
    """How many of the tasks may fail, twice in a row, in a quarter of an hour."""
    failed_tasks_min_count: Annotated[int, Field(ge=1, le=100000)] = 10
    """With fewer tasks than that in a quarter of an hour it does not matter how many fail."""
    stuck_queue_minutes: Annotated[int, Field(ge=5, le=1440, multiple_of=5)] = 15
    """How long tasks may be queued while none runs; a multiple of 5."""
    unschedulable_pods_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    """How long there may be pods that find no node; a further node takes a few minutes."""
    api_server_errors_percent: Annotated[int, Field(ge=1, le=99)] = 1
    """How many requests to the Kubernetes API may end with an error of the server."""
    api_server_throttling_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    """How long the Kubernetes API may turn requests away, since there are too many."""
    etcd_megabytes: Annotated[int, Field(ge=100, le=8000)] = 6400
    """How much the objects in the cluster may take; EKS has room for 8 GB."""


class MonitoringSettings(Section):
    """Who is told when something is wrong, and what of."""

    level: Literal["none", "essential", "full"] = "essential"
    """Which alarms there are: what somebody should get up for, or all; none: no topic either."""
    emails: Annotated[tuple[Email, ...], Field(max_length=50)] = ()
    """Who gets the messages; AWS asks each of them twice whether they want to."""
    topic_arns: Annotated[tuple[TopicArn, ...], Field(max_length=4)] = ()
    """Topics of your own that get them besides, such as that of your chat or pager."""
    thresholds: ThresholdSettings = ThresholdSettings()
    """Where the lines are."""
    monthly_budget_usd: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """What the stack may cost a month, by its tags; told at 50, 80 and 100%, and by forecast."""

    @property
    def lines(self) -> Thresholds:
        """The thresholds, as alarms want them."""
        return Thresholds(**self.thresholds.model_dump())


SECTIONS: dict[str, type[Section]] = {
    "account": AccountSettings,
    "network": NetworkSettings,
    "cluster": ClusterSettings,
    "airflow": AirflowSettings,
    "spark": SparkSettings,
    "delivery": DeliverySettings,
    "monitoring": MonitoringSettings,
}


def names_of(model: type[Section]) -> list[str]:
    """Return the names of a section's settings, as a stack writes them."""
    return [to_camel(field) for field in model.model_fields]


def _with_nested(path: str, model: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    yield path, model
    for name, field in zip(names_of(model), model.model_fields.values(), strict=True):
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from _with_nested(f"{path}.{name}", kind)


MODELS = dict(nested for section in SECTIONS.items() for nested in _with_nested(*section))
"""The sections and what they hold of their kind, by path: spark.teams too."""
