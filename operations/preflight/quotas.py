"""Whether there is room for what is planned, by Service Quotas and what is in use.

The codes stand in "endpoints and quotas" of each service in the AWS General Reference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from operations.identities import Account
from operations.preflight.plan import Plan
from operations.preflight.result import Result, Verdict

Used = Callable[[Account], int]


@dataclass(frozen=True)
class Need:
    """How much of a quota is asked for."""

    name: str
    service: str
    code: str
    more: int
    used: Used = lambda _: 0
    at_once: int | None = None
    """How much of it an `up` takes; the rest comes later, if at all."""


# The quota counts VPC's own Elastic IPs; the letters are those of the names "Running On-Demand
# Standard (A, C, D, H, I, M, R, T, Z) instances" and "All Standard (…) Spot Instance Requests".
_STANDARD: Final = re.compile(r"(a|c|d|h|i|im|is|m|r|t|z)\d.*")
_CAPACITY: Final = {
    "ON_DEMAND": ("on demand", "L-1216C47A", None),
    "SPOT": ("on spot capacity", "L-34B43A08", "spot"),
}
_LARGER: Final = ("mw1.xlarge", "mw1.2xlarge")
_SMALLER: Final = ("mw1.small", "mw1.medium", "mw1.large")


def _listed(service: str, operation: str) -> Used:
    return lambda account: len(account.pages(service, operation))


def needs(account: Account, plan: Plan) -> Iterator[Need | Result]:
    """Yield what an `up` takes of each quota; of what there is no quota known, a result."""
    counts = plan.counts()
    for name, service, code, kind, used in (
        ("VPCs", "vpc", "L-F678F1CE", "ec2/vpc:Vpc", _listed("ec2", "describe_vpcs")),
        (
            "internet gateways",
            "vpc",
            "L-A4707A72",
            "ec2/internetGateway:InternetGateway",
            _listed("ec2", "describe_internet_gateways"),
        ),
        (
            "Elastic IPs",
            "ec2",
            "L-0263D0A3",
            "ec2/eip:Eip",
            lambda account: len(account.client("ec2").describe_addresses()["Addresses"]),
        ),
        (
            "EKS clusters",
            "eks",
            "L-1194D53C",
            "eks/cluster:Cluster",
            _listed("eks", "list_clusters"),
        ),
        (
            "S3 buckets",
            "s3",
            "L-DC2B2D3D",
            "s3/bucket:Bucket",
            _listed("s3", "list_buckets"),
        ),
    ):
        if more := counts[f"aws:{kind}"]:
            yield Need(name, service, code, more, used)
    yield from _endpoints(plan)
    yield from _nat_gateways(plan)
    yield from _processors(account, plan)
    yield from _environments(plan)


def _endpoints(plan: Plan) -> Iterator[Need]:
    kinds = Counter(
        one.inputs.get("vpcEndpointType", "Gateway")
        for one in plan.of("aws:ec2/vpcEndpoint:VpcEndpoint")
    )
    if more := kinds["Gateway"]:
        yield Need("gateway endpoints", "vpc", "L-1B52E74A", more, _gateway_endpoints)
    if more := kinds["Interface"]:
        yield Need("interface endpoints of a VPC", "vpc", "L-29B6F2EB", more)


def _gateway_endpoints(account: Account) -> int:
    kind = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    return len(account.pages("ec2", "describe_vpc_endpoints", Filters=kind))


def _nat_gateways(plan: Plan) -> Iterator[Need]:
    zones = Counter(
        subnet.inputs["availabilityZone"]
        for gateway in plan.of("aws:ec2/natGateway:NatGateway")
        for subnet in plan.from_(gateway, "subnetId")
    )

    def used(zone: str) -> Used:
        def count(account: Account) -> int:
            here = [{"Name": "availability-zone", "Values": [zone]}]
            subnets = {
                one["SubnetId"] for one in account.pages("ec2", "describe_subnets", Filters=here)
            }
            there = [{"Name": "state", "Values": ["pending", "available", "deleting"]}]
            gateways = account.pages("ec2", "describe_nat_gateways", Filters=there)
            return sum(one["SubnetId"] in subnets for one in gateways)

        return count

    for zone, more in zones.items():
        yield Need(f"NAT gateways in {zone}", "vpc", "L-FE5A380F", more, used(zone))


def _processors(account: Account, plan: Plan) -> Iterator[Need | Result]:
    for group in plan.of("aws:eks/nodeGroup:NodeGroup"):
        kinds, scaling = group.inputs["instanceTypes"], group.inputs["scalingConfig"]
        others = [kind for kind in kinds if not _STANDARD.fullmatch(kind)]
        how = _CAPACITY.get(group.inputs.get("capacityType") or "ON_DEMAND")
        if others or how is None:
            yield Result(
                "quota: vCPUs",
                f"{', '.join(others) or group.inputs['capacityType']}: of a quota of its own",
                Verdict.UNKNOWN,
                "look at EC2 in the Service Quotas console",
            )
            continue
        try:
            cpus = max(_processors_of(account, kinds).values())
        except (BotoCoreError, ClientError) as error:
            yield Result("quota: vCPUs", f"EC2 does not describe {kinds}: {error}", Verdict.UNKNOWN)
            continue
        least, most = (scaling[key] * cpus for key in ("minSize", "maxSize"))
        words, code, lifecycle = how
        yield Need(
            f"vCPUs {words} ({scaling['minSize']} to {scaling['maxSize']} nodes)",
            *("ec2", code, most, partial(_running_processors, lifecycle), least),
        )


def _running_processors(lifecycle: str | None, account: Account) -> int:
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    kinds = Counter(
        one["InstanceType"]
        for reservation in account.pages("ec2", "describe_instances", Filters=running)
        for one in reservation["Instances"]
        if one.get("InstanceLifecycle") == lifecycle and _STANDARD.fullmatch(one["InstanceType"])
    )
    cpus = _processors_of(account, kinds)
    return sum(count * cpus[kind] for kind, count in kinds.items())


def _processors_of(account: Account, kinds: Iterable[str]) -> dict[str, int]:
    if not (named := list(kinds)):
        return {}
    found = account.pages("ec2", "describe_instance_types", InstanceTypes=named)
    return {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in found}


def _environments(plan: Plan) -> Iterator[Need | Result]:
    for environment in plan.of("aws:mwaa/environment:Environment"):
        size = environment.inputs["environmentClass"]
        if size in _LARGER:
            yield Need(f"{size} environments", "airflow", "L-4BA0CB82", 1, _in_use(_LARGER))
        elif size in _SMALLER:
            yield Need("Airflow environments", "airflow", "L-67D41C6B", 1, _in_use(_SMALLER))
        else:
            yield Result(
                "quota: Airflow environments",
                f"{size}: whether and where AWS counts it is not documented",
                Verdict.UNKNOWN,
                "look at Amazon MWAA in the Service Quotas console",
            )
        workers = environment.inputs["maxWorkers"]
        yield Need("workers of an environment", "airflow", "L-78AC1883", workers)
        servers = environment.inputs["maxWebservers"]
        yield Need("web servers of an environment", "airflow", "L-52DCDA32", servers)


def _in_use(sizes: tuple[str, ...]) -> Used:
    def count(account: Account) -> int:
        client = account.client("mwaa")
        names = account.pages("mwaa", "list_environments")
        found = (client.get_environment(Name=name)["Environment"] for name in names)
        return sum(one["EnvironmentClass"] in sizes for one in found)

    return count


def check_quotas(account: Account, plan: Plan) -> Iterator[Callable[[], list[Result]]]:
    """Yield a comparison for each quota."""
    for need in needs(account, plan):
        if isinstance(need, Result):
            yield _constant(need)
        else:
            yield _comparison(account, need)
    if any(plan.of(f"aws:iam/{kind}") for kind in ("role:Role", "policy:Policy")):
        yield lambda: _iam(account, plan)


def _constant(result: Result) -> Callable[[], list[Result]]:
    return lambda: [result]


def _comparison(account: Account, need: Need) -> Callable[[], list[Result]]:
    def compare() -> list[Result]:
        try:
            quota = _quota(account, need.service, need.code)
        except ClientError as error:
            return [
                Result(
                    f"quota: {need.name}",
                    f"{need.more} wanted; Service Quotas: {error.response['Error']['Code']}",
                    Verdict.UNKNOWN,
                    f"look at {need.code} of {need.service} in the Service Quotas console",
                )
            ]
        where = f"aws service-quotas request-service-quota-increase --service-code {need.service} "
        return [_compared(need, need.used(account), quota, f"{where}--quota-code {need.code} …")]

    return compare


def _quota(account: Account, service: str, code: str) -> int:
    """Return the quota of the account, or else AWS's default."""
    client = account.client("service-quotas")
    try:
        found = client.get_service_quota(ServiceCode=service, QuotaCode=code)
    except client.exceptions.NoSuchResourceException:
        found = client.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
    return int(found["Quota"]["Value"])


def _compared(need: Need, used: int, quota: int, raise_it: str) -> Result:
    now = need.more if need.at_once is None else need.at_once
    found = f"{used} of {quota} in use, {need.more} wanted" if used else f"{need.more} of {quota}"
    if used + now > quota:
        verdict = Verdict.FAIL
    elif used + need.more > quota:
        verdict = Verdict.WARN
    else:
        return Result(f"quota: {need.name}", found)
    return Result(f"quota: {need.name}", found, verdict, raise_it)


def _iam(account: Account, plan: Plan) -> list[Result]:
    """Compare with what IAM tells itself of its quotas, which are the whole account's."""
    summary = account.client("iam").get_account_summary()["SummaryMap"]
    results = []
    counts = plan.counts()
    kinds = {"Roles": counts["aws:iam/role:Role"], "Policies": counts["aws:iam/policy:Policy"]}
    for name, more in kinds.items():
        if not more:
            continue
        if name not in summary or f"{name}Quota" not in summary:
            results.append(Result(f"quota: IAM {name.lower()}", f"{more} wanted", Verdict.UNKNOWN))
            continue
        need = Need(f"IAM {name.lower()}", "iam", "", more)
        to_do = "raise it in the Service Quotas console, under IAM in us-east-1"
        results.append(_compared(need, summary[name], summary[f"{name}Quota"], to_do))
    return results
