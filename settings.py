"""What a stack may set: the one reader of pulumi.Config.

Rules for one value stand at its type, rules that join several in settings_rules.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from ipaddress import IPv4Network
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from components.aws_account import AwsAccount
from components.subnet_plan import plan_subnets
from settings_rules import RULES, Finding, aws_regions
from versions import AIRFLOW, EMR, KUBERNETES

# ---- Rules for one value ----


def _pattern(regex: str, rule: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(regex, value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _one_of(table: Mapping[str, object], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in table:
            raise ValueError(
                f"is no {what} that this program supports; choose one of {', '.join(table)} "
                "(in quotes, so that YAML leaves 1.40 as it is)"
            )
        return value

    return AfterValidator(check)


def _network(value: object) -> IPv4Network:
    try:
        network = IPv4Network(str(value), strict=False)
    except ValueError as error:
        raise ValueError("must be an IPv4 range such as 10.0.0.0/16") from error
    if str(network) != value:
        raise ValueError(f"must be written in its canonical form: {network}")
    return network


# RFC 1918 and RFC 6598: what a VPC may use without hiding a part of the internet.
_PRIVATE = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)


def _vpc_range(network: IPv4Network) -> IPv4Network:
    if not any(network.subnet_of(private) for private in _PRIVATE):
        raise ValueError(f"must lie in one of {', '.join(map(str, _PRIVATE))}")
    plan_subnets(network, 2)
    return network


def _public_range(value: str) -> str:
    network = _network(value)
    if any(network.subnet_of(private) for private in _PRIVATE):
        raise ValueError(
            "is a private range, which EKS refuses here: name the public addresses that requests "
            "come from; from within the VPC the private endpoint is always open"
        )
    return value


def _principal(value: str) -> str:
    if session := re.fullmatch(r"arn:([\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.+", value):
        partition, account, role = session.groups()
        raise ValueError(
            "is a session, which lasts hours only; name its role, with the role's path if it has "
            f"one: arn:{partition}:iam::{account}:role/{role}"
        )
    if not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:(role|user)/([\w+=,.@-]+/)*[\w+=,.@-]+", value):
        raise ValueError(
            "must be the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/Admin"
        )
    if "/aws-service-role/" in value:
        raise ValueError("is a service-linked role, which EKS accepts no access entry for")
    if ":role/AWSReservedSSO_" in value:
        raise ValueError(
            "lacks its path: the role of an IAM Identity Center permission set is "
            "…:role/aws-reserved/sso.amazonaws.com/<region>/AWSReservedSSO_…"
        )
    return value


def _maintenance_window(value: str) -> str:
    # The pattern of botocore's WeeklyMaintenanceWindowStart, without what it lets through around.
    if not re.fullmatch(r"(MON|TUE|WED|THU|FRI|SAT|SUN):([01]\d|2[0-3]):(00|30)", value):
        raise ValueError("must be a day, an hour and 00 or 30 minutes in UTC, such as SUN:03:30")
    return value


def _retention(days: int) -> int:
    # The values that CloudWatch Logs documents for PutRetentionPolicy.
    allowed = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192]
    allowed += [2557, 2922, 3288, 3653]
    if days not in allowed:
        raise ValueError(f"CloudWatch Logs keeps logs for {', '.join(map(str, allowed))} days")
    return days


Cidr = Annotated[IPv4Network, BeforeValidator(_network, json_schema_input_type=str)]
Principal = Annotated[str, AfterValidator(_principal)]
Namespace = Annotated[
    str,
    _pattern(
        r"(?!kube-|default$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "must be a Kubernetes namespace of its own: up to 63 small letters, digits and hyphens, "
        "neither default nor kube-…",
    ),
]
InterfaceEndpoint = Annotated[
    str,
    _pattern(
        r"(?!com\.amazonaws|s3$)[a-z][a-z0-9-]*(\.[a-z0-9-]+)*",
        "must be an AWS service's short name such as ecr.api, without com.amazonaws.<region>; "
        "S3 has its gateway endpoint already",
    ),
]
TeamName = Annotated[
    str,
    # EMR's service accounts carry the job execution role's name, coded to half its length again.
    _pattern(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", "must be up to 20 small letters, digits, hyphens"),
]
Cpu = Annotated[str, _pattern(r"[1-9]\d*m?", "must be a number of CPUs, such as 64 or 500m")]
Memory = Annotated[str, _pattern(r"[1-9]\d*[MGT]i", "must be a size with its unit, such as 256Gi")]
Pods = Annotated[str, _pattern(r"[1-9]\d*", "must be a number of pods, such as 100")]
InstanceType = Annotated[
    str,
    _pattern(
        r"[a-z]+\d+[a-z0-9-]*\.(medium|\d*x?large|metal[a-z0-9-]*)",
        "must be an EC2 instance type with room for more than a few pods, such as m7i.xlarge",
    ),
]
TagKey = Annotated[
    str,
    _pattern(
        r"(?i:(?!aws:))[\w .:/=+@-]{1,128}",
        "must be up to 128 letters, digits, spaces and _.:/=+-@, and not begin with aws:",
    ),
]
TagValue = Annotated[
    str,
    _pattern(
        r"(?=.*\S)[\w .:/=+@-]{1,256}", "must be up to 256 letters, digits, spaces and _.:/=+-@"
    ),
]
OptionKey = Annotated[
    str,
    # botocore's ConfigKey, with the section that Airflow asks for.
    _pattern(
        r"(?=.{1,64}$)[a-z][a-z0-9_]*(\.[a-z0-9_]+)+",
        "must be a section and a key of airflow.cfg in small letters, such as core.parallelism",
    ),
]
OptionValue = Annotated[str, _pattern(r"[ -~]{1,65536}", "must be printable ASCII, not empty")]

_RELEASE_LABEL = re.compile(r"(emr-(?:spark-)?\d+\.\d+\.\d+)(?:-[a-z][a-z0-9-]*)?-(?:latest|\d{8})")


def _release_label(value: str) -> str:
    match = _RELEASE_LABEL.fullmatch(value)
    if not match or match[1] not in EMR:
        raise ValueError(
            f"is no label of a release that this program supports; choose one of {', '.join(EMR)} "
            "with -latest or -<yyyymmdd> behind it"
        )
    return value


Risk = Literal[
    "deployerOnlyAdmin",
    "endedSupport",
    "forceDestroy",
    "noDeletionProtection",
    "publicEndpoint",
    "publicWebServer",
    "shortLogRetention",
    "singleNat",
    "unlistedRegion",
]

# ---- The settings: Pulumi.yaml repeats their types, defaults and descriptions, and a test
# compares ----


class Section(BaseModel):
    """Settings of one concern, one configuration key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        coerce_numbers_to_str=True,  # YAML reads 111122223333 and 64 as numbers
        use_attribute_docstrings=True,
    )
    stand_ins: ClassVar[Mapping[str, str]] = {}
    """For settings without a default, so that rules about the other ones can still be checked."""


class AccountSettings(Section):
    """Where the platform stands and how carefully it is kept."""

    stand_ins = {"id": "000000000000", "region": "us-east-1"}

    id: Annotated[str, _pattern(r"\d{12}", "must be the 12 digits of an AWS account, in quotes")]
    """The AWS account; with credentials of any other one nothing is done."""
    region: str
    """The region, one that has MWAA, EKS and EMR on EKS."""
    production: bool = False
    """Refuse whatever is weak for production, unless acceptedRisks names it."""
    accepted_risks: tuple[Risk, ...] = ()
    """Weaknesses that somebody has decided to live with."""
    tags: dict[TagKey, TagValue] = {}
    """Tags for everything, besides project and stack."""
    log_retention_days: Annotated[int, AfterValidator(_retention)] = 365
    """How long logs are kept."""
    force_destroy: bool = False
    """Let `pulumi destroy` empty the buckets."""


class NetworkSettings(Section):
    """The VPC."""

    cidr_block: Annotated[Cidr, AfterValidator(_vpc_range)] = IPv4Network("10.0.0.0/16")
    """Address range of the VPC, /16 to /24; each private subnet takes a sixteenth of it."""
    zones: Annotated[int, Field(ge=2, le=4)] = 3
    """In how many availability zones there are subnets: the region's first ones."""
    availability_zones: tuple[str, ...] = ()
    """The zones by name, instead of zones. Append only: a zone's place fixes its range."""
    nat: Literal["single", "perZone", "none"] = "single"
    """NAT gateways for the private subnets; with none, all goes through interfaceEndpoints."""
    interface_endpoints: tuple[InterfaceEndpoint, ...] = ()
    """AWS services reached without NAT, by short name, such as ecr.api. S3 always is."""
    forbidden_cidrs: tuple[Cidr, ...] = ()
    """Ranges in use elsewhere (peers, offices), which the VPC must not overlap."""

    @property
    def zone_count(self) -> int:
        """In how many zones there are subnets."""
        return len(self.availability_zones) or self.zones


class ClusterSettings(Section):
    """The EKS cluster and its nodes."""

    kubernetes_version: Annotated[str, _one_of(KUBERNETES, "Kubernetes version")] = "1.35"
    """Minor version of Kubernetes; raise it one step at a time."""
    authentication_mode: Literal["API", "API_AND_CONFIG_MAP"] = "API"
    """API: access entries only. API_AND_CONFIG_MAP: the aws-auth ConfigMap counts too."""
    public_access_cidrs: Annotated[
        tuple[Annotated[str, AfterValidator(_public_range)], ...], Field(max_length=40)
    ] = ()
    """Who may reach the API server from the internet; empty: only from within the VPC."""
    admin_principal_arns: tuple[Principal, ...] = ()
    """IAM roles and users that administer the cluster, besides who deploys it."""
    viewer_principal_arns: tuple[Principal, ...] = ()
    """IAM roles and users that may look at everything but secrets."""
    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1, max_length=20)] = (
        "m7i.xlarge",
        "m6i.xlarge",
    )
    """Instance types of the nodes, of one size and by preference."""
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Architecture of the nodes."""
    node_min: Annotated[int, Field(ge=1, le=450)] = 3
    """How many nodes there are at least."""
    node_max: Annotated[int, Field(ge=1, le=450)] = 9
    """How many nodes the cluster autoscaler may ask for."""
    node_disk_gib: Annotated[int, Field(ge=20, le=16384)] = 100
    """Size of each node's encrypted gp3 volume."""
    deletion_protection: bool = False
    """Refuse to delete the cluster until this is false again."""

    @property
    def ami_type(self) -> str:
        """The EKS image for the architecture."""
        return {"x86_64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}[
            self.architecture
        ]


class PodQuotaSettings(Section):
    """What the pods of KubernetesPodOperator may ask for together."""

    cpu: Cpu = "32"
    """CPUs."""
    memory: Memory = "128Gi"
    """Memory."""
    pods: Pods = "100"
    """Pods."""


class AirflowSettings(Section):
    """The MWAA environment and the pods that its DAGs start."""

    version: Annotated[str, _one_of(AIRFLOW, "Airflow version")] = "3.3.1"
    """Version of Airflow; dags/requirements.txt must match it."""
    environment_class: Literal[
        "mw1.micro", "mw1.small", "mw1.medium", "mw1.large", "mw1.xlarge", "mw1.2xlarge"
    ] = "mw1.medium"
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
    weekly_maintenance_window: Annotated[str, AfterValidator(_maintenance_window)] | None = None
    """When MWAA may update the environment, in UTC, such as SUN:03:30; null: AWS's choice."""
    log_level: Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"] = "INFO"
    """Least severe messages that reach the five log groups."""
    options: dict[OptionKey, OptionValue] = {}
    """Options of airflow.cfg by section.key."""
    dag_delivery: Literal["pulumi", "pipeline"] = "pulumi"
    """Who fills the DAG bucket: this program from dags/, or a pipeline of its own."""
    pod_namespace: Namespace = "mwaa"
    """Kubernetes namespace for the pods of KubernetesPodOperator."""
    pod_quota: PodQuotaSettings = PodQuotaSettings()
    """What those pods may ask for together."""


class TeamSettings(Section):
    """A team that runs Spark jobs, with a virtual cluster of its own."""

    name: TeamName
    """Name of the team; its namespace is emr-<name>."""
    cpu: Cpu = "64"
    """CPUs that its jobs may ask for together."""
    memory: Memory = "256Gi"
    """Memory that its jobs may ask for together."""
    pods: Pods = "100"
    """Pods that its jobs may consist of together."""

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace that the team's virtual cluster stands for."""
        return f"emr-{self.name}"


class SparkSettings(Section):
    """EMR on EKS."""

    release_label: Annotated[str, AfterValidator(_release_label)] = "emr-7.14.0-latest"
    """EMR release that the sample DAG asks for: emr-7.3.0 or later, with -latest or a date."""
    teams: Annotated[tuple[TeamSettings, ...], Field(min_length=1)] = (TeamSettings(name="mwaa"),)
    """One virtual cluster each; the first one belongs to the connection emr_eks."""

    @property
    def release(self) -> str:
        """The release that the label stands for."""
        match = _RELEASE_LABEL.fullmatch(self.release_label)
        return match[1] if match else self.release_label


SECTIONS: dict[str, type[Section]] = {
    "account": AccountSettings,
    "network": NetworkSettings,
    "cluster": ClusterSettings,
    "airflow": AirflowSettings,
    "spark": SparkSettings,
}
_NESTED: dict[str, type[Section]] = {
    **SECTIONS,
    "airflow.podQuota": PodQuotaSettings,
    "spark.teams": TeamSettings,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that is decided before the first cloud call."""

    project: str
    stack: str
    today: date
    """The day that dates of support are compared with."""
    account: AccountSettings
    network: NetworkSettings
    cluster: ClusterSettings
    airflow: AirflowSettings
    spark: SparkSettings

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

    def virtual_cluster_name(self, team: str) -> str:
        """The name of a team's virtual cluster."""
        return f"{self.name}-{team}"

    def team_group(self, team: str) -> str:
        """The Kubernetes group of a team's people."""
        return f"spark-{team}"

    @classmethod
    def load(cls, config: pulumi.Config, *, today: date | None = None) -> Self:
        """Read the stack's settings, or raise one error that names everything wrong with them."""
        findings = list(_unknown_sections(config))
        wrong: set[str] = set()

        def read(name: str, model: type[S]) -> S:
            section, found = _read_section(config, name, model)
            findings.extend(found)
            wrong.update(_field(finding.key) for finding in found)
            if any(finding.key == name for finding in found):  # nothing of it can be relied upon
                wrong.update(f"{name}.{to_camel(field)}" for field in model.model_fields)
            return section

        settings = cls(
            project=config.name,
            stack=pulumi.get_stack(),
            today=today or datetime.now(UTC).date(),
            account=read("account", AccountSettings),
            network=read("network", NetworkSettings),
            cluster=read("cluster", ClusterSettings),
            airflow=read("airflow", AirflowSettings),
            spark=read("spark", SparkSettings),
        )
        for rule in RULES:
            if wrong.isdisjoint(rule.reads):
                findings.extend(rule.check(settings))
        for finding in findings:
            if finding.warning:
                pulumi.log.warn(_line(config, finding))
        problems = [_line(config, finding) for finding in findings if not finding.warning]
        if problems:
            count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
            raise pulumi.RunError(f"{count} wrong:\n  " + "\n  ".join(problems))
        return settings


S = TypeVar("S", bound=Section)

# ---- Reading ----


def _line(config: pulumi.Config, finding: Finding) -> str:
    """One line: the key, the value found, the rule and the way out."""
    section = finding.key.partition(".")[0]
    where = finding.key if section == "stack" else config.full_key(finding.key)
    if is_config_secret(config.full_key(section)):
        return f"{where} = [secret]: {finding.text}"
    if finding.value is None:
        return f"{where}: {finding.text}"
    shown = json.dumps(finding.value, default=str, ensure_ascii=False)
    return f"{where} = {shown if len(shown) <= 120 else shown[:119] + '…'}: {finding.text}"


def _field(key: str) -> str:
    """The setting that a key lies in: spark.teams for spark.teams[0].name."""
    return re.sub(r"\[.*", "", ".".join(key.split(".")[:2]))


def _unknown_sections(config: pulumi.Config) -> Iterator[Finding]:
    for full_key, value in {**get_config_env(), **CONFIG.get()}.items():
        namespace, _, key = full_key.rpartition(":")
        if namespace == config.name and key not in SECTIONS:
            yield Finding(key, value, f"is no section of settings{_suggestion(key, SECTIONS)}")


def _read_section(config: pulumi.Config, name: str, model: type[S]) -> tuple[S, list[Finding]]:
    """Validate one section; what is wrong is told, and has its default in the section returned."""
    findings: list[Finding] = []
    try:
        given = config.get_object(name, {})
    except pulumi.ConfigTypeError:
        given = config.get(name)
    if is_config_secret(config.full_key(name)):
        findings.append(
            Finding(
                name,
                None,
                "holds a secret: keep it in Secrets Manager, as a connection or "
                "variable of Airflow, and leave it out here",
            )
        )
    try:
        return model.model_validate(given), findings
    except ValidationError as error:
        details = error.errors()
        findings += [_translated(name, detail) for detail in details if not _echo(detail, details)]
        bad = {detail["loc"][0] for detail in details if detail["loc"]}
        given = given if isinstance(given, dict) else {}
        sound = {key: value for key, value in given.items() if key not in bad}
        return model.model_validate({**model.stand_ins, **sound}), findings


def _echo(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """A list is too short only because pydantic left out the items that are wrong."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(loc)] == loc and other["loc"] != loc for other in details
    )


def _translated(section: str, detail: ErrorDetails) -> Finding:
    key, value = section, detail["input"]
    for part in detail["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    path = re.sub(r"\[\d+\]", "", key)
    match detail["type"]:
        case "model_type":
            text = f"must be a map of settings: {', '.join(_settings_of(_NESTED[path]))}"
        case "missing":
            value, text = None, "is missing and has no default"
        case "string_type":
            text = "must be text: put it in quotes"
        case "value_error":
            text = str(detail["ctx"]["error"])
        case "extra_forbidden":
            parent, _, name = path.rpartition(".")
            text = f"is no setting{_suggestion(name, _settings_of(_NESTED[parent]))}"
        case _:
            text = detail["msg"].replace("Input should be", "must be")
    return Finding(key.replace(".[key]", ""), value, text)


def _settings_of(model: type[Section]) -> list[str]:
    return [to_camel(field) for field in model.model_fields]


def _suggestion(key: str, known: Mapping[str, object] | list[str]) -> str:
    camel = to_camel(key.replace("-", "_"))
    for section, model in SECTIONS.items():
        if camel in _settings_of(model) and camel not in known:
            return f"; did you mean {section}.{camel}?"
    if close := difflib.get_close_matches(camel, known, n=1):
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(known)}"
