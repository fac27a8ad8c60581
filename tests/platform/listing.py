"""What the emulated AWS and the API server hold, by asking them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import MethodNotAllowedError, NotFoundError

from sandbox.clone import Clone

# Kinds that the control plane itself makes and drops as it runs.
_TRANSIENT = {"Event", "Lease", "ComponentStatus"}


def everything(clone: Clone) -> set[str]:
    """Return a line for everything there is, in the emulated AWS and in the API server."""
    return set(_aws(clone)) | set(_kubernetes(clone.kubernetes))


def _aws(clone: Clone) -> Iterator[str]:
    yield from _ec2(clone.aws("ec2"))
    iam = clone.aws("iam")
    yield from _named("iam role", iam.list_roles()["Roles"], "RoleName")
    yield from _named("iam policy", iam.list_policies(Scope="Local")["Policies"], "Arn")
    yield from _named("iam user", iam.list_users()["Users"], "UserName")
    kms = clone.aws("kms")
    for key in kms.list_keys()["Keys"]:
        if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion":
            yield f"kms key {key['KeyId']}"
    for alias in kms.list_aliases()["Aliases"]:
        # AWS's own aliases come and go with the keys that a service makes on first use.
        if not alias["AliasName"].startswith("alias/aws/"):
            yield f"kms alias {alias['AliasName']}"
    logs = clone.aws("logs").describe_log_groups()["logGroups"]
    yield from _named("log group", logs, "logGroupName")
    yield from _named("bucket", clone.aws("s3").list_buckets()["Buckets"], "Name")
    secrets = clone.aws("secretsmanager").list_secrets()["SecretList"]
    yield from _named("secret", secrets, "Name")
    yield from _told(clone)
    yield from _eks(clone.aws("eks"))
    providers = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    yield from _named("oidc provider", providers, "Arn")
    for environment in clone.aws("mwaa").list_environments()["Environments"]:
        yield f"mwaa environment {environment}"
    virtual_clusters = clone.aws("emr-containers").list_virtual_clusters()["virtualClusters"]
    for cluster in virtual_clusters:
        if cluster["state"] != "TERMINATED":
            yield f"virtual cluster {cluster['id']}"


def _told(clone: Clone) -> Iterator[str]:
    """Yield what tells somebody of something."""
    cloudwatch, events, sns = clone.aws("cloudwatch"), clone.aws("events"), clone.aws("sns")
    yield from _named("topic", sns.list_topics()["Topics"], "TopicArn")
    subscriptions = sns.list_subscriptions()["Subscriptions"]
    yield from _named("subscription", subscriptions, "SubscriptionArn")
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    yield from _named("alarm", alarms, "AlarmName")
    dashboards = cloudwatch.list_dashboards()["DashboardEntries"]
    yield from _named("dashboard", dashboards, "DashboardName")
    for rule in events.list_rules()["Rules"]:
        yield f"rule {rule['Name']}"
        targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        yield from _named(f"target of {rule['Name']}", targets, "Id")
    account = clone.aws("sts").get_caller_identity()["Account"]
    budgets = clone.aws("budgets").describe_budgets(AccountId=account)["Budgets"]
    yield from _named("budget", budgets, "BudgetName")


def _eks(eks: Any) -> Iterator[str]:  # noqa: ANN401
    for cluster in eks.list_clusters()["clusters"]:
        yield f"eks cluster {cluster}"
        for group in eks.list_nodegroups(clusterName=cluster)["nodegroups"]:
            yield f"node group {group}"
        for addon in eks.list_addons(clusterName=cluster)["addons"]:
            yield f"add-on {addon}"
        for entry in eks.list_access_entries(clusterName=cluster)["accessEntries"]:
            yield f"access entry {entry}"
        associations = eks.list_pod_identity_associations(clusterName=cluster)["associations"]
        yield from _named("pod identity association", associations, "associationId")


def _ec2(ec2: Any) -> Iterator[str]:  # noqa: ANN401  (boto3 makes its clients at run time)
    yield from _named("vpc", ec2.describe_vpcs()["Vpcs"], "VpcId")
    yield from _named("subnet", ec2.describe_subnets()["Subnets"], "SubnetId")
    gateways = ec2.describe_internet_gateways()["InternetGateways"]
    yield from _named("internet gateway", gateways, "InternetGatewayId")
    for gateway in ec2.describe_nat_gateways()["NatGateways"]:
        if gateway["State"] != "deleted":
            yield f"nat gateway {gateway['NatGatewayId']}"
    yield from _named("address", ec2.describe_addresses()["Addresses"], "AllocationId")
    yield from _named("route table", ec2.describe_route_tables()["RouteTables"], "RouteTableId")
    groups = ec2.describe_security_groups()["SecurityGroups"]
    yield from _named("security group", groups, "GroupId")
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    yield from _named("security group rule", rules, "SecurityGroupRuleId")
    for endpoint in ec2.describe_vpc_endpoints()["VpcEndpoints"]:
        if endpoint["State"].lower() != "deleted":
            yield f"vpc endpoint {endpoint['VpcEndpointId']}"
    yield from _named("flow log", ec2.describe_flow_logs()["FlowLogs"], "FlowLogId")
    templates = ec2.describe_launch_templates()["LaunchTemplates"]
    yield from _named("launch template", templates, "LaunchTemplateId")
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    yield from _named("network interface", interfaces, "NetworkInterfaceId")
    yield from _named("volume", ec2.describe_volumes()["Volumes"], "VolumeId")


def _named(kind: str, found: list[dict[str, Any]], key: str) -> Iterator[str]:
    for item in found:
        yield f"{kind} {item[key]}"


def _kubernetes(api: ApiClient) -> Iterator[str]:
    client = DynamicClient(api)
    for resource in client.resources.search():
        if "list" not in (resource.verbs or ()) or resource.kind in _TRANSIENT:
            continue
        if resource.kind.endswith("List"):
            continue
        try:
            found = client.get(resource)
        except (MethodNotAllowedError, NotFoundError):
            continue
        for item in found.items:
            place = f"{item.metadata.namespace}/" if item.metadata.namespace else ""
            yield f"{resource.group_version} {resource.kind} {place}{item.metadata.name}"
