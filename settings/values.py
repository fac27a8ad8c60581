"""Rules for one value, whichever the other ones are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from components.subnet_plan import plan_subnets
from settings.versions import AIRFLOW, EMR, KUBERNETES


@dataclass(frozen=True)
class _Values:
    """The values that pass, in words."""

    words: str

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "values": self.words}


@dataclass(frozen=True)
class _Rule(_Values):
    """The check that lets them pass, too."""

    check: Callable[[Any], object]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))


def _pattern(regex: str, words: str) -> _Rule:
    def check(value: str) -> str:
        if not re.fullmatch(regex, value, re.ASCII):
            raise ValueError(f"must be {words}")
        return value

    return _Rule(words, check)


def _one_of(table: Mapping[str, object], what: str) -> _Rule:
    words = f"one of {', '.join(table)}"

    def check(value: str) -> str:
        if value not in table:
            raise ValueError(
                f"is no {what} that this program supports; choose {words} "
                "(in quotes, so that YAML leaves 1.40 as it is)"
            )
        return value

    return _Rule(words, check)


_IPV4_RANGE = "an IPv4 range such as 10.0.0.0/16"
_PUBLIC_RANGE = "a public IPv4 range such as 203.0.113.0/24"


def _network(value: object, words: str = _IPV4_RANGE) -> IPv4Network:
    try:
        network = IPv4Network(str(value), strict=False)
    except ValueError as error:
        if ":" in str(value):
            words = f"{words}, since the network and its cluster have no IPv6"
        raise ValueError(f"must be {words}") from error
    if str(network) != value:
        raise ValueError(f"must be written in its canonical form: {network}")
    return network


# RFC 1918 and RFC 6598: what a VPC may use without hiding a part of the internet.
_PRIVATE = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)
_IN_PRIVATE = f"in one of {', '.join(map(str, _PRIVATE))}"


def _vpc_range(network: IPv4Network) -> IPv4Network:
    if not any(network.subnet_of(private) for private in _PRIVATE):
        raise ValueError(f"must lie {_IN_PRIVATE}")
    plan_subnets(network, 2)
    return network


# "IANA IPv4 Special-Purpose Address Registry" and multicast: nobody calls from there or answers.
_UNREACHABLE = tuple(
    map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"))
)


def _reachable_range(network: IPv4Network) -> IPv4Network:
    for block in _UNREACHABLE:
        if network.subnet_of(block):
            raise ValueError(
                f"lies in {block}, which holds no addresses of machines on a network (of the "
                "machine itself, of a link, multicast): name the addresses that are meant"
            )
    return network


def public_addresses(networks: Iterable[IPv4Network]) -> int:
    """Count the addresses of the internet that lie in these ranges together."""
    count = 0
    for network in collapse_addresses(networks):
        # Of two blocks one lies in the other, or they have nothing in common.
        private = [block for block in _PRIVATE if block.overlaps(network)]
        count += network.num_addresses
        count -= sum(min(network.num_addresses, block.num_addresses) for block in private)
    return count


def _public_range(value: str) -> str:
    network = _reachable_range(_network(value, _PUBLIC_RANGE))
    if any(network.subnet_of(private) for private in _PRIVATE):
        raise ValueError(
            "is a private range, which EKS refuses here: name the public addresses that requests "
            "come from; from within the VPC the private endpoint is always open"
        )
    return value


_PRINCIPAL = "the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/Admin"


def _principal(value: str) -> str:
    if session := re.fullmatch(r"arn:([\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.+", value):
        partition, account, role = session.groups()
        raise ValueError(
            "is a session, which lasts hours only; name its role, with the role's path if it has "
            f"one: arn:{partition}:iam::{account}:role/{role}"
        )
    # Names and paths as botocore's models of IAM have them.
    if not re.fullmatch(
        r"arn:aws:iam::\d{12}:(role|user)/(?=.{0,575}$)([\w+=,.@-]+/)*[\w+=,.@-]{1,64}",
        value,
        re.ASCII,
    ):
        raise ValueError(f"must be {_PRINCIPAL}")
    if "/aws-service-role/" in value:
        raise ValueError(
            "is a service-linked role, which EKS accepts no access entry for: name one of people"
        )
    if ":role/AWSReservedSSO_" in value:
        raise ValueError(
            "lacks its path: the role of an IAM Identity Center permission set is "
            "…:role/aws-reserved/sso.amazonaws.com/<region>/AWSReservedSSO_…"
        )
    return value


# The values that CloudWatch Logs documents for PutRetentionPolicy.
_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192),
    *(2557, 2922, 3288, 3653),
)
_RETENTION = ", ".join(map(str, _RETENTION_DAYS))


def _retention(days: int) -> int:
    if days not in _RETENTION_DAYS:
        raise ValueError(f"CloudWatch Logs keeps logs for {_RETENTION} days")
    return days


_RELEASE_LABEL = re.compile(
    r"(emr-(?:spark-)?\d+\.\d+\.\d+)(?:-[a-z][a-z0-9-]*)?-(?:latest|\d{8})", re.ASCII
)
_RELEASE_LABELS = f"one of {', '.join(EMR)} with -latest or -<yyyymmdd> behind it"


def release_of(label: str) -> str:
    """Return the EMR release that a release label stands for; of what is no label, nothing."""
    match = _RELEASE_LABEL.fullmatch(label)
    return match[1] if match else ""


def _release_label(value: str) -> str:
    if release_of(value) not in EMR:
        raise ValueError(
            f"is no label of a release that this program supports; choose {_RELEASE_LABELS}"
        )
    return value


def _no_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("must be text: put it in quotes, since YAML makes 1.1 of 1.10")
    return value


AccountId = Annotated[str, _pattern(r"\d{12}", "the 12 digits of an AWS account, in quotes")]
Cidr = Annotated[
    IPv4Network,
    BeforeValidator(_network, json_schema_input_type=str),
    _Values(_IPV4_RANGE),
]
ReachableCidr = Annotated[Cidr, _Rule(_IPV4_RANGE, _reachable_range)]
VpcCidr = Annotated[Cidr, _Rule(f"an IPv4 range {_IN_PRIVATE}; /16 to /24", _vpc_range)]
PublicCidr = Annotated[str, _Rule(_PUBLIC_RANGE, _public_range)]
SecurityGroupId = Annotated[
    str,
    _pattern(
        r"sg-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a security group, such as sg-0a1b2c3d4e5f67890"
    ),
]
Principal = Annotated[str, _Rule(_PRINCIPAL, _principal)]
Namespace = Annotated[
    str,
    _pattern(
        r"(?!kube-|default$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "a Kubernetes namespace of its own: up to 63 small letters, digits and hyphens, "
        "neither default nor kube-…",
    ),
]
ServiceAccount = Annotated[
    str,
    _pattern(
        # IAM takes 64 characters for its role, of which others are used around it.
        r"(?!default$)[a-z0-9]([a-z0-9-]{0,44}[a-z0-9])?",
        "a name of its own, not default: up to 46 small letters, digits and hyphens",
    ),
]
PolicyArn = Annotated[
    str,
    _pattern(
        r"arn:aws[\w-]*:iam::(aws|\d{12}):policy/(?=.{0,639}$)([\w+=,.@-]+/)*[\w+=,.@-]{1,128}",
        "the ARN of an IAM policy, such as arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    ),
]
InterfaceEndpoint = Annotated[
    str,
    _pattern(
        r"(?!com\.amazonaws|s3$)[a-z][a-z0-9-]*(\.[a-z0-9-]+)*",
        "an AWS service's short name such as ecr.api, without com.amazonaws.<region>; "
        "S3 has its gateway endpoint already",
    ),
]
ImageRegistry = Annotated[
    str,
    # Host names, and botocore's RepositoryName.
    _pattern(
        r"(?=.{1,255}$)([a-z0-9-]+\.)+[a-z0-9-]+(:\d{1,5})?(/[a-z0-9]+([._-][a-z0-9]+)*)*",
        "a registry, with the path that its images begin with if there is one, such as "
        "111122223333.dkr.ecr.us-west-2.amazonaws.com/mirror",
    ),
]
GithubRepository = Annotated[
    str,
    _pattern(
        r"[A-Za-z0-9][A-Za-z0-9-]{0,38}(/[\w.-]{1,100}|@\d+/[\w.-]{1,100}@\d+)",
        "a repository as its tokens name it, owner/name or owner@id/name@id: what `gh api "
        "repos/<owner>/<name>/actions/oidc/customization/sub` tells as sub_claim_prefix, without "
        "repo:",
    ),
]
OidcProviderArn = Annotated[
    str,
    _pattern(
        r"arn:aws:iam::\d{12}:oidc-provider/[a-z0-9.-]+(/[\w./-]+)?",
        "the ARN of an OIDC provider of IAM, such as "
        "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com",
    ),
]
Email = Annotated[
    str,
    _pattern(
        r"(?=.{3,254}$)[\w.!#$%&'*+/=?^`{|}~-]+@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}",
        "an e-mail address such as data-platform@example.com",
    ),
]
TopicArn = Annotated[
    str,
    # botocore's names of topics; alarms do not publish to those that keep an order.
    _pattern(
        r"arn:aws:sns:[a-z0-9-]+:\d{12}:(?!.*\.fifo$)[\w-]{1,256}",
        "the ARN of an SNS topic, not a FIFO one, which alarms cannot publish to, such as "
        "arn:aws:sns:us-west-2:111122223333:on-call",
    ),
]
BucketName = Annotated[
    str,
    _pattern(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of an S3 bucket, such as acme-access-logs"
    ),
]
DataPrefix = Annotated[
    str,
    # Where IAM reads wildcards and variables, they would be such, whatever the bucket holds.
    _pattern(
        r"(?=.{1,512}$)[\w.!'()=+@,-]+(/[\w.!'()=+@,-]+)*",
        "a path within the bucket without a slash at either end, wildcards or blanks, such as "
        "curated/trades; all below it counts",
    ),
]
GlueDatabase = Annotated[
    str,
    # What Hive takes; Spark does not start where there is a global_temp.
    _pattern(
        r"(?!global_temp$)[a-z0-9_-]{1,255}",
        "the name of a Glue database in small letters, digits, _ and -, such as sales",
    ),
]
StateBucketArn = Annotated[
    str,
    _pattern(
        r"arn:aws:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.!'()/-]*[\w.!'()-])?",
        "the ARN of an S3 bucket, with the state's prefix behind it if it has one, such as "
        "arn:aws:s3:::pulumi-state/platform",
    ),
]
KeyArn = Annotated[
    str,
    _pattern(
        r"arn:aws:kms:[a-z0-9-]+:\d{12}:key/[\w-]+",
        "the ARN of a KMS key (not of an alias, which no policy can name), such as "
        "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ),
]
TeamName = Annotated[
    str,
    # EMR's service accounts carry the job execution role's name, coded to half its length again.
    _pattern(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", "up to 20 small letters, digits, hyphens"),
]
Cpu = Annotated[str, _pattern(r"[1-9]\d{0,8}m?", "a number of CPUs, such as 64 or 500m")]
Size = Annotated[str, _pattern(r"[1-9]\d{0,8}[MGT]i", "a size with its unit, such as 256Gi")]
Pods = Annotated[str, _pattern(r"[1-9]\d{0,8}", "a number of pods, such as 100")]
InstanceType = Annotated[
    str,
    _pattern(
        r"[a-z]+\d+[a-z0-9-]*\.(medium|\d*x?large|metal[a-z0-9-]*)",
        "an EC2 instance type with room for more than a few pods, such as m7i.xlarge",
    ),
]
TagKey = Annotated[
    str,
    _pattern(
        r"(?i:(?!aws:))(?u:[\w .:/=+@-]{1,128})",
        "up to 128 letters, digits, spaces and _.:/=+-@, and not begin with aws:",
    ),
]
TagValue = Annotated[
    str,
    BeforeValidator(_no_float, json_schema_input_type=str),
    _pattern(r"(?u:(?=.*\S)[\w .:/=+@-]{1,256})", "up to 256 letters, digits, spaces and _.:/=+-@"),
]
OptionKey = Annotated[
    str,
    # botocore's ConfigKey, with the section that Airflow asks for.
    _pattern(
        r"(?=.{1,64}$)[a-z][a-z0-9_]*(\.[a-z0-9_]+)+",
        "a section and a key of airflow.cfg in small letters, such as core.parallelism",
    ),
]
OptionValue = Annotated[
    str,
    # A boolean as Airflow writes it: `pulumi config set --path` makes one of true.
    BeforeValidator(
        lambda value: str(value) if isinstance(value, bool) else value, json_schema_input_type=str
    ),
    _pattern(r"[ -~]{1,65536}", "printable ASCII, not empty"),
]
MetricNamespace = Annotated[
    str,
    # botocore's Namespace, and AWS's own ones are not for others to write to.
    _pattern(
        r"(?!AWS/)[\w.#/*-][\w.#:/* -]{0,254}",
        "a CloudWatch namespace of your own, such as Sales, or a pattern, such as Sales/*",
    ),
]
FlowLogs = Annotated[
    str,
    _pattern(
        r"cloudWatch|arn:aws:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.!*'()/-]*)?",
        "cloudWatch or the ARN of an S3 bucket, such as arn:aws:s3:::log-archive/platform",
    ),
]
MaintenanceWindow = Annotated[
    str,
    # The pattern of botocore's WeeklyMaintenanceWindowStart, without what it lets through around.
    _pattern(
        r"(MON|TUE|WED|THU|FRI|SAT|SUN):([01]\d|2[0-3]):(00|30)",
        "a day, an hour and 00 or 30 minutes in UTC, such as SUN:03:30",
    ),
]
LogRetentionDays = Annotated[int, _Rule(_RETENTION, _retention)]
SupportedKubernetes = Annotated[str, _one_of(KUBERNETES, "Kubernetes version")]
SupportedAirflow = Annotated[str, _one_of(AIRFLOW, "Airflow version")]
ReleaseLabel = Annotated[str, _Rule(_RELEASE_LABELS, _release_label)]

Protected = Literal[
    "buckets",
    "cluster",
    "environment",
    "key",
    "namespaces",
    "subnets",
    "virtualClusters",
    "vpc",
]
Risk = Literal[
    "deployerOnlyAdmin",
    "endedSupport",
    "forceDestroy",
    "noAccessLogs",
    "noAlarms",
    "noDeletionProtection",
    "noSubscribers",
    "openPodEgress",
    "publicEndpoint",
    "publicWebServer",
    "shortLogRetention",
    "singleNat",
    "unlistedRegion",
]
