"""What stands in the way of an `up`, besides rights and quotas."""

from __future__ import annotations

import base64
import http.client
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from operations.identities import Account
from operations.preflight.plan import Json, Plan, Planned
from operations.preflight.result import Result, Verdict

Check = Callable[[], list[Result]]

# What the README asks for. pulumi-eks takes an AWS CLI of version 1 from 1.24 on, too.
OLDEST: Final = {"pulumi": (3, 274, 1), "uv": (0,), "aws": (1, 24)}


def tools() -> list[Result]:
    """Look for the programs that an `up` runs."""
    return [_tool(name, oldest) for name, oldest in OLDEST.items()]


def _tool(name: str, oldest: tuple[int, ...]) -> Result:
    program = shutil.which(name)
    if program is None:
        return Result(name, "not on PATH", Verdict.FAIL, "install it (README, Deploy to AWS)")
    ask = [program, "version" if name == "pulumi" else "--version"]
    done = subprocess.run(ask, check=False, capture_output=True, text=True)  # noqa: S603
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    if done.returncode != 0 or found is None:
        return Result(name, f"{program} does not run", Verdict.FAIL, "install it anew")
    wanted = ".".join(map(str, oldest))
    if tuple(map(int, found[0].split("."))) < oldest:
        return Result(name, found[0], Verdict.FAIL, f"install {wanted} or newer")
    if name == "aws" and found[0].startswith("1."):
        return Result(name, found[0], Verdict.WARN, "install version 2: it gets the tokens for EKS")
    return Result(name, found[0])


def credentials() -> tuple[str | None, list[Result]]:
    """Return the ARN of the caller, if AWS knows one, and what there is to say about it."""
    session = boto3.Session()
    # The account is the same from each region; the stack's is not known before the preview.
    client = session.client("sts", region_name=session.region_name or "us-east-1")
    try:
        caller: str = client.get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError) as error:
        to_do = "log in to AWS in this shell"
        return None, [Result("credentials", str(error), Verdict.FAIL, to_do)]
    if caller.endswith(":root"):
        to_do = "deploy by a role: nothing limits this user"
        return caller, [Result("credentials", caller, Verdict.WARN, to_do)]
    results = [Result("credentials", caller)]
    if os.environ.get("AWS_SESSION_TOKEN"):
        results.append(
            Result(
                "credentials: how long",
                "a session from the environment does not tell when it ends",
                Verdict.UNKNOWN,
                "see that it lasts for an hour",
            )
        )
    return caller, results


def account_of(plan: Plan, caller: str) -> Result:
    """Compare the caller's account with those that the stack's provider allows."""
    number = caller.split(":")[4]
    if plan.accounts and number not in plan.accounts:
        allowed = ", ".join(plan.accounts)
        to_do = f"take credentials of {allowed}, or change account.id"
        return Result("account", f"{number}, the stack is in {allowed}", Verdict.FAIL, to_do)
    return Result("account", f"{number}, {plan.region}")


def checks(account: Account, plan: Plan, state: Json) -> Iterator[tuple[str, Check]]:
    """Yield what to look at, by name.

    state: of the stack, as `pulumi stack export` tells it.
    """
    for service, operation, kind, name in (
        ("mwaa", "list_environments", "mwaa/environment:Environment", "Amazon MWAA"),
        ("eks", "list_clusters", "eks/cluster:Cluster", "Amazon EKS"),
        (
            *("emr-containers", "list_virtual_clusters"),
            *("emrcontainers/virtualCluster:VirtualCluster", "EMR on EKS"),
        ),
    ):
        if not plan.of(f"aws:{kind}"):
            continue
        label = f"region: {name}"
        yield label, partial(_service, account, plan, (service, operation, label))
    for one in plan.of("aws:eks/cluster:Cluster"):
        yield "version: Kubernetes", partial(_kubernetes_version, account, one)
    for group in plan.of("aws:eks/nodeGroup:NodeGroup"):
        yield "zones: instance types", partial(_instance_types, account, plan, group)
    if plan.of("aws:eks/addon:Addon"):
        yield "version: add-ons", partial(_addons, account, plan)
    for environment in plan.of("aws:mwaa/environment:Environment"):
        yield "version: Airflow", partial(_airflow_version, environment)
    if plan.of("aws:ec2/vpcEndpoint:VpcEndpoint"):
        yield "zones: VPC endpoints", partial(_endpoint_services, account, plan)
    yield "names", partial(_names, account, plan)
    for vpc in plan.of("aws:ec2/vpc:Vpc"):
        yield "address space", partial(_address_space, account, vpc)
    yield "API server", partial(_api_server, plan, state)


def _zones(plan: Plan) -> list[str]:
    subnets = plan.any_of("aws:ec2/subnet:Subnet")
    return sorted({subnet.inputs["availabilityZone"] for subnet in subnets})


def _service(account: Account, plan: Plan, ask: tuple[str, str, str]) -> list[Result]:
    service, operation, label = ask
    try:
        getattr(account.client(service), operation)()
    except ClientError as error:  # an answer, if none that helps
        code = error.response["Error"]["Code"]
        if code in {"OptInRequired", "UnrecognizedClientException", "InvalidClientTokenId"}:
            to_do = f"enable {plan.region} in the account's settings, or choose another region"
            return [Result(label, f"{plan.region}: {code}", Verdict.FAIL, to_do)]
        return [Result(label, f"answers in {plan.region} ({code})")]
    except BotoCoreError as error:
        to_do = "choose a region that has it, if others of this region answer"
        return [Result(label, f"no answer in {plan.region}: {error}", Verdict.FAIL, to_do)]
    return [Result(label, f"answers in {plan.region}")]


def _kubernetes_version(account: Account, cluster: Planned) -> list[Result]:
    check, version = "version: Kubernetes", cluster.inputs["version"]
    told = account.client("eks").describe_cluster_versions(clusterVersions=[version])
    found = [one for one in told["clusterVersions"] if one["clusterVersion"] == version]
    if not found:
        to_do = "choose another cluster.kubernetesVersion"
        return [Result(check, f"EKS does not offer {version}", Verdict.FAIL, to_do)]
    ends = found[0]["endOfStandardSupportDate"]
    text = f"{version}, in standard support until {ends.date()}"
    if found[0]["versionStatus"] != "STANDARD_SUPPORT" or ends <= datetime.now(UTC):
        text = f"{version}, without standard support since {ends.date()}"
        return [Result(check, text, Verdict.FAIL, "choose a newer cluster.kubernetesVersion")]
    if ends - datetime.now(UTC) < timedelta(days=60):
        return [Result(check, text, Verdict.WARN, "begin with a newer one")]
    return [Result(check, text)]


def _addons(account: Account, plan: Plan) -> list[Result]:
    version = plan.any_of("aws:eks/cluster:Cluster")[0].inputs["version"]
    missing = []
    addons = plan.of("aws:eks/addon:Addon")
    for addon in addons:
        name, wanted = addon.inputs["addonName"], addon.inputs.get("addonVersion")
        told = account.pages(
            "eks", "describe_addon_versions", addonName=name, kubernetesVersion=version
        )
        offered = {one["addonVersion"] for found in told for one in found["addonVersions"]}
        if not offered or (wanted and wanted not in offered):
            missing.append(f"{name} {wanted or ''}".rstrip())
    if missing:
        text = f"EKS does not offer for {version}: {', '.join(missing)}"
        return [Result("version: add-ons", text, Verdict.FAIL, "preview again, or see the setting")]
    return [Result("version: add-ons", f"{len(addons)} are offered for Kubernetes {version}")]


def _airflow_version(environment: Planned) -> list[Result]:
    version = environment.inputs["airflowVersion"]
    text = f"{version}: no API lists what MWAA offers; the preview has compared its own table"
    return [Result("version: Airflow", text, Verdict.UNKNOWN)]


def _instance_types(account: Account, plan: Plan, group: Planned) -> list[Result]:
    kinds, zones = group.inputs["instanceTypes"], _zones(plan)
    offers = account.pages(
        "ec2",
        "describe_instance_type_offerings",
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": kinds}],
    )
    offered = {(one["InstanceType"], one["Location"]) for one in offers}
    missing = [(kind, zone) for kind in kinds for zone in zones if (kind, zone) not in offered]
    if not missing:
        return [Result("zones: instance types", f"{', '.join(kinds)} in {', '.join(zones)}")]
    without = {zone for zone in zones if all((kind, zone) in missing for kind in kinds)}
    text = "; ".join(f"{kind} is not in {zone}" for kind, zone in missing)
    verdict = Verdict.FAIL if without else Verdict.WARN
    spot = group.inputs.get("capacityType") == "SPOT"
    setting = "spark.spot.instanceTypes" if spot else "cluster.instanceTypes"
    return [Result("zones: instance types", text, verdict, f"choose others ({setting})")]


def _endpoint_services(account: Account, plan: Plan) -> list[Result]:
    check = "zones: VPC endpoints"
    endpoints = plan.of("aws:ec2/vpcEndpoint:VpcEndpoint")
    kinds = {one.inputs["serviceName"]: one.inputs.get("vpcEndpointType") for one in endpoints}
    client = account.client("ec2")
    details = client.describe_vpc_endpoint_services()["ServiceDetails"]
    there: dict[str, set[str]] = {}
    for one in details:
        there.setdefault(one["ServiceName"], set()).update(one["AvailabilityZones"])
    if missing := sorted(kinds.keys() - there.keys()):
        to_do = "leave them out of network.interfaceEndpoints, or choose another region"
        text = f"{plan.region} does not have {', '.join(missing)}"
        return [Result(check, text, Verdict.FAIL, to_do)]
    partly = [
        f"{name} is not in {', '.join(gone)}"
        for name, kind in sorted(kinds.items())
        if kind == "Interface" and (gone := sorted(set(_zones(plan)) - there[name]))
    ]
    if partly:
        to_do = "its zones reach it through the others"
        return [Result(check, "; ".join(partly), Verdict.WARN, to_do)]
    return [Result(check, f"{len(kinds)} in all zones")]


# Who has a name already, and what to do about it. What answers is in the way, or would be written
# over without a word.
_TAKEN: Final[dict[str, tuple[str, str, str, str]]] = {
    "aws:cloudwatch/dashboard:Dashboard": (
        *("cloudwatch", "get_dashboard", "dashboardName"),
        "aws cloudwatch delete-dashboards --dashboard-names {name}, or choose another stack name: "
        "`up` would write over it",
    ),
    "aws:cloudwatch/eventRule:EventRule": (
        *("events", "describe_rule", "name"),
        "choose another stack name: `up` would write over it",
    ),
    "aws:cloudwatch/logGroup:LogGroup": (
        *("logs", "describe_log_groups", "name"),
        "aws logs delete-log-group --log-group-name {name} (its logs go with it)",
    ),
    "aws:eks/cluster:Cluster": (
        *("eks", "describe_cluster", "name"),
        "choose another stack name; of a stack cut off: python -m operations.recover",
    ),
    "aws:iam/role:Role": ("iam", "get_role", "name", "delete the role, or choose another name"),
    "aws:kms/alias:Alias": (
        *("kms", "list_aliases", "name"),
        "aws kms delete-alias --alias-name {name} (the key stays)",
    ),
    "aws:mwaa/environment:Environment": (
        *("mwaa", "get_environment", "name"),
        "choose another stack name; of a stack cut off: python -m operations.recover",
    ),
    "aws:s3/bucket:Bucket": (
        *("s3", "head_bucket", "bucket"),
        "choose another stack name, or delete the bucket if nobody uses it",
    ),
    "aws:secretsmanager/secret:Secret": (
        *("secretsmanager", "describe_secret", "name"),
        "aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {name} "
        "(for good)",
    ),
}


def _names(account: Account, plan: Plan) -> list[Result]:
    results, free = [], 0
    for one in plan.resources:
        if one.type not in _TAKEN or one.named_by_pulumi:
            continue
        service, operation, key, to_do = _TAKEN[one.type]
        name = one.inputs.get(key)
        if name is None:
            continue
        check = f"name: {one.type.rpartition(':')[2]}"
        try:
            taken = _holder(account, service, operation, name)
        except ClientError as error:
            text = f"{name}: {error.response['Error']['Code']}"
            results.append(Result(check, text, Verdict.UNKNOWN, "look whether it exists"))
            continue
        if taken:
            text = f"{name} {taken}"
            results.append(Result(check, text, Verdict.FAIL, to_do.format(name=name)))
        else:
            free += 1
    if free:
        results.append(Result("names", f"{free} are free"))
    return results


_ABSENT: Final = {
    *("NoSuchEntity", "ResourceNotFound", "ResourceNotFoundException", "404", "NoSuchBucket"),
}


def _holder(account: Account, service: str, operation: str, name: str) -> str | None:
    """Return who has a name, in words; None if it is free."""
    client = account.client(service)
    asked = {
        "describe_cluster": "name",
        "describe_rule": "Name",
        "describe_secret": "SecretId",
        "get_dashboard": "DashboardName",
        "get_environment": "Name",
        "get_role": "RoleName",
        "head_bucket": "Bucket",
    }
    try:
        if operation == "describe_log_groups":
            groups = account.pages(service, operation, logGroupNamePrefix=name)
            return "exists" if name in (one["logGroupName"] for one in groups) else None
        if operation == "list_aliases":
            aliases = account.pages(service, operation)
            return "exists" if name in (one["AliasName"] for one in aliases) else None
        told = getattr(client, operation)(**{asked[operation]: name})
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if operation == "head_bucket" and code in {"301", "400", "403"}:
            return "belongs to somebody else, or is in another region"
        if code in _ABSENT:
            return None
        raise
    if "DeletedDate" in told:
        return "is deleted, and its name held until its recovery window ends"
    return "exists"


def _address_space(account: Account, vpc: Planned) -> list[Result]:
    planned = ip_network(vpc.inputs["cidrBlock"])
    others = [
        (one["VpcId"], association["CidrBlock"])
        for one in account.pages("ec2", "describe_vpcs")
        for association in one.get("CidrBlockAssociationSet", [])
    ]
    for peering in account.pages("ec2", "describe_vpc_peering_connections"):
        for side in ("AccepterVpcInfo", "RequesterVpcInfo"):
            told = peering.get(side, {})
            blocks = [block["CidrBlock"] for block in told.get("CidrBlockSet", [])]
            others += [(told.get("VpcId", "a peer"), block) for block in blocks]
    overlapping = sorted({one for one in others if planned.overlaps(ip_network(one[1]))})
    if overlapping:
        text = ", ".join(f"{name} ({block})" for name, block in overlapping)
        to_do = "another network.cidrBlock, if the two are ever to be connected"
        return [Result("address space", f"{planned} overlaps {text}", Verdict.WARN, to_do)]
    return [Result("address space", f"{planned} overlaps no other VPC of {len(others)}")]


def _api_server(plan: Plan, state: Json) -> list[Result]:
    for resource in state["deployment"].get("resources") or []:
        if resource["type"] == "aws:eks/cluster:Cluster":
            return [_reached(resource["outputs"])]
    results = []
    for cluster in plan.of("aws:eks/cluster:Cluster"):
        access = cluster.inputs["vpcConfig"]
        public: Sequence[str] = access.get("publicAccessCidrs") or []
        if access.get("endpointPublicAccess") and "0.0.0.0/0" in public:
            results.append(Result("API server", "will answer the whole internet"))
            continue
        if access.get("endpointPublicAccess"):
            text = f"will answer {', '.join(public)}; from where AWS sees this machine come is open"
            to_do = "compare: curl https://checkip.amazonaws.com"
        else:
            text = "will answer within the VPC and from connected networks only"
            to_do = "see that Pulumi will run in one (README, Deploy to AWS)"
        results.append(Result("API server", text, Verdict.UNKNOWN, to_do))
    return results


def _reached(outputs: Json) -> Result:
    address = urlsplit(outputs["endpoint"])
    authority = base64.b64decode(outputs["certificateAuthority"]["data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    connection = http.client.HTTPSConnection(
        str(address.hostname), address.port, timeout=5, context=context
    )
    with closing(connection):
        try:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
        except OSError as error:
            to_do = "go to a machine that cluster.publicAccessCidrs or privateAccess… let in"
            return Result("API server", f"no answer: {error}", Verdict.FAIL, to_do)
    return Result("API server", f"answers from here ({status})")
