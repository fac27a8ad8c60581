"""After a destroy: what is left of a stack, by its tags and names.

    python -m operations.sweep --stack dev

It asks AWS and not the state, since a destroy that was interrupted says that all is gone (pulumi
ends with 0 then), and what services and volume drivers made by themselves is in no state. It
changes nothing, and ends with 1 if anything is left.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from operations.identities import Account, tagged
from operations.stack import Stack, StackError

Tags = Mapping[str, str]

_IN_EC2: Final = {
    "VPC": ("describe_vpcs", "VpcId"),
    "subnet": ("describe_subnets", "SubnetId"),
    "internet gateway": ("describe_internet_gateways", "InternetGatewayId"),
    "NAT gateway": ("describe_nat_gateways", "NatGatewayId"),
    "address": ("describe_addresses", "AllocationId"),
    "route table": ("describe_route_tables", "RouteTableId"),
    "security group": ("describe_security_groups", "GroupId"),
    "security group rule": ("describe_security_group_rules", "SecurityGroupRuleId"),
    "VPC endpoint": ("describe_vpc_endpoints", "VpcEndpointId"),
    "flow log": ("describe_flow_logs", "FlowLogId"),
    "launch template": ("describe_launch_templates", "LaunchTemplateId"),
    "network interface": ("describe_network_interfaces", "NetworkInterfaceId"),
    "volume": ("describe_volumes", "VolumeId"),
}
_OF_A_CLUSTER: Final = {
    "node group": ("list_nodegroups", "{}"),
    "add-on": ("list_addons", "{}"),
    "access entry": ("list_access_entries", "{}"),
    "pod identity association": ("list_pod_identity_associations", "{[associationId]}"),
}


@dataclass
class Found:
    """What there is of a stack."""

    left: list[str] = field(default_factory=list)
    going: list[str] = field(default_factory=list)
    """What AWS deletes by itself on a day that is set."""


def sweep(account: Account, project: str, stack: str) -> Found:
    """Ask each service for what has the tags or a name of the stack."""
    name, tags = f"{project}-{stack}", {"project": project, "stack": stack}
    found = Found()
    found.left += dict.fromkeys(
        (
            *_ec2(account, name, tags),
            *_clusters(account, name, tags),
            *_iam(account, tags),
            *_stores(account, name, tags),
            *_monitoring(account, name, tags),
        )
    )
    _keys(account, name, tags, found)
    _secrets(account, name, tags, found)
    return found


def _ec2(account: Account, name: str, tags: Tags) -> Iterator[str]:
    # What nodes, volume driver and load balancers of the cluster have made is tagged by Kubernetes.
    of_cluster: tuple[Tags, ...] = (
        {f"kubernetes.io/cluster/{name}": "owned"},
        {"cluster.k8s.amazonaws.com/name": name},
    )
    for kind, (listing, key) in _IN_EC2.items():
        look = tagged(listing, key)
        yield from (f"{kind} {one}" for one in look(account, {"tags": tags}))
        if kind in {"security group", "network interface", "volume"}:
            for other in of_cluster:
                yield from (f"{kind} {one}" for one in look(account, {"tags": other}))


def _clusters(account: Account, name: str, tags: Tags) -> Iterator[str]:
    if name in account.pages("eks", "list_clusters"):
        yield f"cluster {name}"
        for kind, (listing, form) in _OF_A_CLUSTER.items():
            for one in account.pages("eks", listing, clusterName=name):
                yield f"{kind} {form.format(one)}"
    if name in account.pages("mwaa", "list_environments"):
        yield f"MWAA environment {name}"
    for one in account.pages("emr-containers", "list_virtual_clusters"):
        is_ours = one["containerProvider"]["id"] == name or _has(one.get("tags", {}), tags)
        if is_ours and one["state"] != "TERMINATED":
            yield f"virtual cluster {one['id']} ({one['name']}), {one['state']}"


def _iam(account: Account, tags: Tags) -> Iterator[str]:
    iam = account.client("iam")
    for role in account.pages("iam", "list_roles"):
        if not role["Path"].startswith("/aws-"):  # those are AWS's own
            of_role = iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
            if _has(_pairs(of_role), tags):
                yield f"role {role['RoleName']}"
    for policy in account.pages("iam", "list_policies", Scope="Local"):
        if _has(_pairs(iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"]), tags):
            yield f"policy {policy['PolicyName']}"


def _stores(account: Account, name: str, tags: Tags) -> Iterator[str]:
    logs = account.client("logs")
    # EKS and MWAA make their groups anew, without tags, if they have something to say at the end.
    for prefix in (f"airflow-{name}-", f"/aws/eks/{name}/", f"/aws/emr-containers/{name}-"):
        for group in account.pages("logs", "describe_log_groups", logGroupNamePrefix=prefix):
            yield f"log group {group['logGroupName']}"
    for group in account.pages("logs", "describe_log_groups", logGroupNamePrefix="platform-"):
        arn = group["arn"].removesuffix(":*")
        if _has(logs.list_tags_for_resource(resourceArn=arn)["tags"], tags):
            yield f"log group {group['logGroupName']}"
    number = account.client("sts").get_caller_identity()["Account"]
    ours = {f"{name}-dags-{number}", f"{name}-jobs-{number}"}
    for bucket in account.client("s3").list_buckets()["Buckets"]:
        if bucket["Name"] in ours:
            yield f"bucket {bucket['Name']}"


def _monitoring(account: Account, name: str, tags: Tags) -> Iterator[str]:
    cloudwatch, events = account.client("cloudwatch"), account.client("events")
    for alarm in account.pages("cloudwatch", "describe_alarms", AlarmNamePrefix=f"{name}-"):
        if "AlarmArn" in alarm:
            of_alarm = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
            if _has(_pairs(of_alarm), tags):
                yield f"alarm {alarm['AlarmName']}"
    for one in account.pages("cloudwatch", "list_dashboards", DashboardNamePrefix=name):
        if one["DashboardName"] == name:
            yield f"dashboard {name}"
    for rule in account.pages("events", "list_rules", NamePrefix=f"{name}-"):
        if _has(_pairs(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]), tags):
            yield f"rule {rule['Name']}"
    ours = {f"{name}-alarms", f"{name}-key-alarms"}
    for topic in account.pages("sns", "list_topics"):
        if (topic_name := topic["TopicArn"].rpartition(":")[2]) in ours:
            yield f"topic {topic_name}"
    budgets = account.client("budgets")
    try:
        budgets.describe_budget(
            AccountId=account.client("sts").get_caller_identity()["Account"], BudgetName=name
        )
    except budgets.exceptions.NotFoundException:
        return
    yield f"budget {name}"


def _keys(account: Account, name: str, tags: Tags, found: Found) -> None:
    kms = account.client("kms")
    for key in account.pages("kms", "list_keys"):
        about = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if about["KeyManager"] != "CUSTOMER":
            continue
        of_key = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
        if _has({one["TagKey"]: one["TagValue"] for one in of_key}, tags):
            if about["KeyState"] == "PendingDeletion":
                found.going.append(f"key {key['KeyId']}, on {about['DeletionDate']:%Y-%m-%d}")
            else:
                found.left.append(f"key {key['KeyId']}")
    for alias in account.pages("kms", "list_aliases"):
        if alias["AliasName"] == f"alias/{name}":
            found.left.append(alias["AliasName"])


def _secrets(account: Account, name: str, tags: Tags, found: Found) -> None:
    for secret in account.pages("secretsmanager", "list_secrets", IncludePlannedDeletion=True):
        is_ours = _has(_pairs(secret.get("Tags", [])), tags)
        if is_ours or secret["Name"].startswith(f"airflow/{name}/"):
            if day := secret.get("DeletedDate"):
                found.going.append(f"secret {secret['Name']}, deleted on {day:%Y-%m-%d}")
            else:
                found.left.append(f"secret {secret['Name']}")


def _pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in tags}


def _has(found: Tags, tags: Tags) -> bool:
    return tags.items() <= found.items()


def _place(stack: str) -> Any:  # noqa: ANN401  (as the stack has set it)
    """Return what the stack's settings say of account and region."""
    return json.loads(Stack(stack).run("config", "get", "account"))


def main() -> int:
    """Print what is left."""
    parser = argparse.ArgumentParser(prog="python -m operations.sweep")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--region", help="as the stack's settings say, if not told")
    told = parser.parse_args()
    project = yaml.safe_load(Path("Pulumi.yaml").read_text())["name"]
    try:
        region, number = told.region, None
        if region is None:
            place = _place(told.stack)
            region, number = place["region"], place["id"]
        account = Account(region)
        caller = account.client("sts").get_caller_identity()["Account"]
        if number not in {None, caller}:
            print(f"the credentials are of account {caller}, and the stack is in {number}: take "
                  "credentials of that", file=sys.stderr)  # fmt: skip
            return 2
        found = sweep(account, project, told.stack)
    except (BotoCoreError, ClientError, StackError) as error:
        print(error, file=sys.stderr)
        return 2
    where = f"of {project}-{told.stack} in account {caller}, {region}"
    for line in found.going:
        print(f"AWS deletes by itself: {line}")
    print(f"left {where}:" if found.left else f"nothing is left {where}")
    for line in found.left:
        print(f"- {line}")
    return 1 if found.left else 0


if __name__ == "__main__":
    sys.exit(main())
