"""What the aws stand-in makes of a change: nothing, an update, or another resource.

Each case was seen in `terraform plan` with the provider that pulumi-aws is made of, or is told by
what pulumi-aws adds to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from sandbox.providers.aws.provider import AwsPlugin
from sandbox.providers.protocol import UNKNOWN, Diff, PluginError, Properties, Resource
from sandbox.tests.aws_account import trust

ACCOUNT = "123456789012"
KEY_ID = "01234567-89ab-cdef-0123-456789abcdef"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/{KEY_ID}"
OTHER_KEY = KEY.replace("0123-4567", "9999-4567")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/one"
POLICY = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"

Outcome = Literal["nothing", "update", "create first", "delete first"]


@dataclass(frozen=True)
class Change:
    """A program's change of one resource."""

    pulumi_type: str
    same: Properties
    """What it says before and after."""
    before: Properties
    after: Properties
    outcome: Outcome
    recorded: Properties = field(default_factory=dict)
    """What AWS had chosen."""


NETWORK = {"subnetIds": ["subnet-1", "subnet-2"]}
CLUSTER: Properties = {"name": "one", "roleArn": ROLE}
ENCRYPTION = {"encryptionConfig": {"provider": {"keyArn": KEY}, "resources": ["secrets"]}}
OTHER_ENCRYPTION = {
    "encryptionConfig": {"provider": {"keyArn": OTHER_KEY}, "resources": ["secrets"]}
}
KUBERNETES_NETWORK = {"ipFamily": "ipv4", "serviceIpv4Cidr": "172.20.0.0/16"}
NODES: Properties = {
    "clusterName": "one",
    "nodeRoleArn": ROLE,
    "scalingConfig": {"desiredSize": 1, "maxSize": 2, "minSize": 1},
    "subnetIds": ["subnet-1"],
}
TEMPLATE = {"id": "lt-1", "version": "1"}
RECORDED_TEMPLATE = {"launchTemplate": {**TEMPLATE, "name": "template"}}
ENVIRONMENT: Properties = {
    "name": "one",
    "dagS3Path": "dags",
    "executionRoleArn": ROLE,
    "networkConfiguration": {"securityGroupIds": ["sg-1"], **NETWORK},
    "sourceBucketArn": "arn:aws:s3:::one",
}
LOG = {"enabled": True, "logLevel": "INFO"}
RULE: Properties = {"securityGroupId": "sg-1", "ipProtocol": "tcp", "fromPort": 1, "toPort": 1}
DISKS = [
    {"deviceName": name, "ebs": {"volumeSize": 8, "volumeType": "gp3"}}
    for name in ("/dev/xvda", "/dev/xvdb")
]
TAGGED = [{"resourceType": kind, "tags": {"a": "b"}} for kind in ("instance", "volume")]
LIFECYCLE = [
    {
        "id": name,
        "status": "Enabled",
        "filter": {"prefix": name},
        "noncurrentVersionExpiration": {"noncurrentDays": 30, "newerNoncurrentVersions": 3},
    }
    for name in ("one", "two")
]
FEWER_WORDS = [{**LIFECYCLE[0], "noncurrentVersionExpiration": {"noncurrentDays": 30}}]
ENTRY: Properties = {"clusterName": "one", "principalArn": ROLE}
VIEW, ADMIN = (
    f"arn:aws:eks::aws:cluster-access-policy/AmazonEKS{name}Policy" for name in ("View", "Admin")
)
LET_ALL = {"type": "cluster"}
LET_ONE = {"type": "namespace", "namespaces": ["default"]}
IDENTITY: Properties = {"clusterName": "one", "namespace": "default", "roleArn": ROLE}
ADDON: Properties = {"clusterName": "one", "addonName": "vpc-cni"}
VIRTUAL = {
    "containerProvider": {"id": "one", "type": "EKS", "info": {"eksInfo": {"namespace": "default"}}}
}


TOPIC = f"arn:aws:sns:us-west-2:{ACCOUNT}:one"
ALARM: Properties = {
    "namespace": "AWS/EKS",
    "metricName": "one",
    "statistic": "Sum",
    "comparisonOperator": "GreaterThanThreshold",
    "threshold": 0,
    "period": 60,
    "evaluationPeriods": 1,
}
WIDGETS = [{"type": "text", "properties": {"markdown": text}} for text in ("a", "b")]
DASHBOARD = json.dumps({"widgets": WIDGETS})
SUBSCRIPTION: Properties = {"topic": TOPIC, "protocol": "email", "endpoint": "a@example.com"}
TARGET: Properties = {"rule": "one", "arn": TOPIC, "targetId": "a"}
BUDGET: Properties = {"name": "one", "budgetType": "COST", "timeUnit": "MONTHLY"}


def disks(**ebs: object) -> list[Properties]:
    return [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 8, **ebs}}]


def vpc_config(**more: object) -> Properties:
    return {"vpcConfig": {**NETWORK, **more}}


CHANGES: Mapping[str, Change] = {
    # Who is told what.
    "another key of a topic": Change(
        "sns/topic:Topic", {}, {"kmsMasterKeyId": KEY}, {"kmsMasterKeyId": OTHER_KEY}, "update"
    ),
    "no longer a key of a topic": Change(
        "sns/topic:Topic", {}, {"kmsMasterKeyId": KEY}, {}, "update"
    ),
    "another name of a topic": Change(
        "sns/topic:Topic", {}, {"name": "one"}, {"name": "two"}, "delete first"
    ),
    "a topic that keeps the order": Change(
        "sns/topic:Topic",
        {"name": "one.fifo", "fifoTopic": True},
        {"contentBasedDeduplication": False},
        {"contentBasedDeduplication": True},
        "update",
    ),
    "a topic's policy, when another resource has put it": Change(
        "sns/topic:Topic", {}, {}, {}, "nothing", {"policy": "{}"}
    ),
    "another address": Change(
        "sns/topicSubscription:TopicSubscription",
        {},
        SUBSCRIPTION,
        {**SUBSCRIPTION, "endpoint": "b@example.com"},
        "create first",
    ),
    "messages as they are": Change(
        "sns/topicSubscription:TopicSubscription",
        SUBSCRIPTION,
        {},
        {"rawMessageDelivery": True},
        "update",
    ),
    "another threshold": Change(
        "cloudwatch/metricAlarm:MetricAlarm", ALARM, {}, {"threshold": 0.5}, "update"
    ),
    "one dimension fewer": Change(
        "cloudwatch/metricAlarm:MetricAlarm",
        ALARM,
        {"dimensions": {"a": "1", "b": "2"}},
        {"dimensions": {"a": "1"}},
        "update",
    ),
    "how an alarm takes missing data, said or not": Change(
        "cloudwatch/metricAlarm:MetricAlarm", ALARM, {}, {"treatMissingData": "missing"}, "nothing"
    ),
    "another name of an alarm": Change(
        "cloudwatch/metricAlarm:MetricAlarm",
        ALARM,
        {"name": "one"},
        {"name": "two"},
        "delete first",
    ),
    "white space in a dashboard": Change(
        "cloudwatch/dashboard:Dashboard",
        {"dashboardName": "one"},
        {"dashboardBody": DASHBOARD},
        {"dashboardBody": json.dumps(json.loads(DASHBOARD), indent=2)},
        "nothing",
    ),
    "widgets in another order": Change(
        "cloudwatch/dashboard:Dashboard",
        {"dashboardName": "one"},
        {"dashboardBody": DASHBOARD},
        {"dashboardBody": json.dumps({"widgets": WIDGETS[::-1]})},
        "update",
    ),
    "an event pattern": Change(
        "cloudwatch/eventRule:EventRule",
        {"name": "one"},
        {"eventPattern": '{"source": ["a"]}'},
        {"eventPattern": '{"source": ["b"]}'},
        "update",
    ),
    "a rule that AWS has enabled": Change(
        "cloudwatch/eventRule:EventRule",
        {"name": "one", "eventPattern": '{"source": ["a"]}'},
        {},
        {},
        "nothing",
        {"state": "ENABLED"},
    ),
    "another topic of a rule": Change(
        "cloudwatch/eventTarget:EventTarget", TARGET, {}, {"arn": f"{TOPIC}-2"}, "update"
    ),
    "another id of a target": Change(
        "cloudwatch/eventTarget:EventTarget", TARGET, {}, {"targetId": "b"}, "create first"
    ),
    "a limit in other words": Change(
        "budgets/budget:Budget", BUDGET, {"limitAmount": "100"}, {"limitAmount": "100.0"}, "nothing"
    ),
    "another limit": Change(
        "budgets/budget:Budget", BUDGET, {"limitAmount": "100"}, {"limitAmount": "101"}, "update"
    ),
    # Lists in which the order counts, and one in which it does not.
    "instance types in another order": Change(
        "eks/nodeGroup:NodeGroup",
        NODES,
        {"instanceTypes": ["a", "b"]},
        {"instanceTypes": ["b", "a"]},
        "create first",
    ),
    "disks in another order": Change(
        "ec2/launchTemplate:LaunchTemplate",
        {},
        {"blockDeviceMappings": DISKS},
        {"blockDeviceMappings": DISKS[::-1]},
        "update",
    ),
    "tags of instances in another order": Change(
        "ec2/launchTemplate:LaunchTemplate",
        {},
        {"tagSpecifications": TAGGED},
        {"tagSpecifications": TAGGED[::-1]},
        "update",
    ),
    "lifecycle rules in another order": Change(
        "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        {"bucket": "one"},
        {"rules": LIFECYCLE},
        {"rules": LIFECYCLE[::-1]},
        "update",
    ),
    "subnets in another order": Change(
        "eks/cluster:Cluster",
        CLUSTER,
        vpc_config(),
        {"vpcConfig": {"subnetIds": NETWORK["subnetIds"][::-1]}},
        "nothing",
    ),
    # What AWS chose stays when the program says it no longer.
    "rules of the default group no longer given": Change(
        "ec2/defaultSecurityGroup:DefaultSecurityGroup",
        {"vpcId": "vpc-1"},
        {"ingress": []},
        {},
        "nothing",
        {"ingress": [{"protocol": "-1"}]},
    ),
    "rules of the default group forbidden": Change(
        "ec2/defaultSecurityGroup:DefaultSecurityGroup",
        {"vpcId": "vpc-1"},
        {},
        {"ingress": []},
        "update",
        {"ingress": [{"protocol": "-1"}]},
    ),
    "DNS names no longer given": Change(
        "ec2/vpc:Vpc",
        {"cidrBlock": "10.0.0.0/16"},
        {"enableDnsHostnames": True},
        {},
        "nothing",
    ),
    "VPC of a gateway no longer given": Change(
        "ec2/internetGateway:InternetGateway", {}, {"vpcId": "vpc-1"}, {}, "nothing"
    ),
    "description of a key no longer given": Change(
        "kms/key:Key", {}, {"description": "one"}, {}, "nothing"
    ),
    "several regions no longer given": Change(
        "kms/key:Key", {}, {"multiRegion": True}, {}, "nothing"
    ),
    "metadata options no longer given": Change(
        "ec2/launchTemplate:LaunchTemplate",
        {},
        {"metadataOptions": {"httpTokens": "required"}},
        {},
        "nothing",
    ),
    "one metadata option no longer given": Change(
        "ec2/launchTemplate:LaunchTemplate",
        {},
        {"metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1}},
        {"metadataOptions": {"httpTokens": "required"}},
        "nothing",
    ),
    "type of a volume no longer given": Change(
        "ec2/launchTemplate:LaunchTemplate",
        {},
        {"blockDeviceMappings": disks(volumeType="gp3")},
        {"blockDeviceMappings": disks()},
        "nothing",
    ),
    "encryption of a volume no longer given": Change(
        "ec2/launchTemplate:LaunchTemplate",
        {},
        {"blockDeviceMappings": disks(encrypted="true")},
        {"blockDeviceMappings": disks()},
        "update",
    ),
    "disks no longer given": Change(
        "ec2/launchTemplate:LaunchTemplate", {}, {"blockDeviceMappings": disks()}, {}, "update"
    ),
    "monitoring no longer given": Change(
        "ec2/launchTemplate:LaunchTemplate", {}, {"monitoring": {"enabled": True}}, {}, "update"
    ),
    "addresses of an API server no longer given": Change(
        "eks/cluster:Cluster",
        CLUSTER,
        vpc_config(publicAccessCidrs=["203.0.113.0/24"]),
        vpc_config(),
        "nothing",
    ),
    "public endpoint no longer given": Change(
        "eks/cluster:Cluster",
        CLUSTER,
        vpc_config(endpointPublicAccess=True),
        vpc_config(),
        "nothing",
    ),
    "public endpoint no longer forbidden": Change(
        "eks/cluster:Cluster",
        CLUSTER,
        vpc_config(endpointPublicAccess=False),
        vpc_config(),
        "update",
    ),
    "private endpoint no longer given": Change(
        "eks/cluster:Cluster",
        CLUSTER,
        vpc_config(endpointPrivateAccess=True),
        vpc_config(),
        "update",
    ),
    "access no longer given": Change(
        "eks/cluster:Cluster",
        {**CLUSTER, **vpc_config()},
        {
            "accessConfig": {
                "authenticationMode": "API",
                "bootstrapClusterCreatorAdminPermissions": False,
            }
        },
        {},
        "nothing",
    ),
    "creator as administrator no longer given": Change(
        "eks/cluster:Cluster",
        {**CLUSTER, **vpc_config()},
        {
            "accessConfig": {
                "authenticationMode": "API",
                "bootstrapClusterCreatorAdminPermissions": True,
            }
        },
        {"accessConfig": {"authenticationMode": "API"}},
        "delete first",
    ),
    "network of a cluster given in part": Change(
        "eks/cluster:Cluster",
        {**CLUSTER, **vpc_config()},
        {"kubernetesNetworkConfig": KUBERNETES_NETWORK},
        {"kubernetesNetworkConfig": {"ipFamily": "ipv4"}},
        "nothing",
    ),
    "network of a cluster given in part for the first time": Change(
        "eks/cluster:Cluster",
        {**CLUSTER, **vpc_config()},
        {},
        {"kubernetesNetworkConfig": {"ipFamily": "ipv4"}},
        "nothing",
        {"kubernetesNetworkConfig": KUBERNETES_NETWORK},
    ),
    "another network of a cluster": Change(
        "eks/cluster:Cluster",
        {**CLUSTER, **vpc_config()},
        {"kubernetesNetworkConfig": {"ipFamily": "ipv4"}},
        {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.100.0.0/16"}},
        "delete first",
        {"kubernetesNetworkConfig": KUBERNETES_NETWORK},
    ),
    "one log no longer given": Change(
        "mwaa/environment:Environment",
        ENVIRONMENT,
        {"loggingConfiguration": {"taskLogs": LOG, "workerLogs": LOG}},
        {"loggingConfiguration": {"taskLogs": LOG}},
        "nothing",
    ),
    "level of a log no longer given": Change(
        "mwaa/environment:Environment",
        ENVIRONMENT,
        {"loggingConfiguration": {"taskLogs": LOG}},
        {"loggingConfiguration": {"taskLogs": {"enabled": True}}},
        "nothing",
    ),
    "another level of a log": Change(
        "mwaa/environment:Environment",
        ENVIRONMENT,
        {"loggingConfiguration": {"taskLogs": LOG}},
        {"loggingConfiguration": {"taskLogs": {"logLevel": "ERROR"}}},
        "update",
    ),
    "number of versions no longer given": Change(
        "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        {"bucket": "one"},
        {"rules": LIFECYCLE[:1]},
        {"rules": FEWER_WORDS},
        "nothing",
    ),
    "values of an add-on no longer given": Change(
        "eks/addon:Addon", ADDON, {"configurationValues": "{}"}, {}, "nothing"
    ),
    # Another spelling.
    "values of an add-on spelt otherwise": Change(
        "eks/addon:Addon",
        ADDON,
        {"configurationValues": '{"a": 1}'},
        {"configurationValues": '{"a":1}'},
        "update",
    ),
    "key of an alias by its ARN": Change(
        "kms/alias:Alias",
        {"name": "alias/one"},
        {"targetKeyId": KEY_ID},
        {"targetKeyId": KEY},
        "nothing",
    ),
    "another key of an alias": Change(
        "kms/alias:Alias",
        {"name": "alias/one"},
        {"targetKeyId": KEY_ID},
        {"targetKeyId": OTHER_KEY},
        "update",
    ),
    # In place, or another resource.
    "another key of a cluster": Change(
        "eks/cluster:Cluster",
        {**CLUSTER, **vpc_config()},
        ENCRYPTION,
        OTHER_ENCRYPTION,
        "update",
    ),
    "a key for a cluster": Change(
        "eks/cluster:Cluster", {**CLUSTER, **vpc_config()}, {}, ENCRYPTION, "update"
    ),
    "no key for a cluster": Change(
        "eks/cluster:Cluster", {**CLUSTER, **vpc_config()}, ENCRYPTION, {}, "delete first"
    ),
    "no launch template": Change(
        "eks/nodeGroup:NodeGroup",
        NODES,
        {"launchTemplate": TEMPLATE},
        {},
        "update",
        RECORDED_TEMPLATE,
    ),
    "a launch template": Change(
        "eks/nodeGroup:NodeGroup", NODES, {}, {"launchTemplate": TEMPLATE}, "create first"
    ),
    "a launch template by its name": Change(
        "eks/nodeGroup:NodeGroup",
        NODES,
        {"launchTemplate": TEMPLATE},
        {"launchTemplate": {"name": "template", "version": "1"}},
        "nothing",
        RECORDED_TEMPLATE,
    ),
    "another version of a launch template by its name": Change(
        "eks/nodeGroup:NodeGroup",
        NODES,
        {"launchTemplate": TEMPLATE},
        {"launchTemplate": {"name": "template", "version": "2"}},
        "update",
        RECORDED_TEMPLATE,
    ),
    "another launch template": Change(
        "eks/nodeGroup:NodeGroup",
        NODES,
        {"launchTemplate": TEMPLATE},
        {"launchTemplate": {"id": "lt-2", "version": "1"}},
        "create first",
        RECORDED_TEMPLATE,
    ),
    "another version of a launch template": Change(
        "eks/nodeGroup:NodeGroup",
        NODES,
        {"launchTemplate": TEMPLATE},
        {"launchTemplate": {"id": "lt-1", "version": "2"}},
        "update",
        RECORDED_TEMPLATE,
    ),
    "other subnets of an environment": Change(
        "mwaa/environment:Environment",
        ENVIRONMENT,
        {},
        {
            "networkConfiguration": {
                "securityGroupIds": ["sg-1"],
                "subnetIds": ["subnet-1", "subnet-3"],
            }
        },
        "delete first",
    ),
    "another security group of an environment": Change(
        "mwaa/environment:Environment",
        ENVIRONMENT,
        {},
        {"networkConfiguration": {"securityGroupIds": ["sg-2"], **NETWORK}},
        "update",
    ),
    "another table for a subnet": Change(
        "ec2/routeTableAssociation:RouteTableAssociation",
        {"subnetId": "subnet-1"},
        {"routeTableId": "rtb-1"},
        {"routeTableId": "rtb-2"},
        "update",
    ),
    "another subnet for a table": Change(
        "ec2/routeTableAssociation:RouteTableAssociation",
        {"routeTableId": "rtb-1"},
        {"subnetId": "subnet-1"},
        {"subnetId": "subnet-2"},
        "create first",
    ),
    "another range as the peer of a rule": Change(
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        RULE,
        {"cidrIpv4": "10.0.0.0/8"},
        {"cidrIpv4": "10.0.0.0/9"},
        "update",
    ),
    "another kind of peer of a rule": Change(
        "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        RULE,
        {"cidrIpv4": "10.0.0.0/8"},
        {"referencedSecurityGroupId": "sg-2"},
        "create first",
    ),
    # Which goes first.
    "another policy of a role": Change(
        "iam/rolePolicyAttachment:RolePolicyAttachment",
        {"role": "one"},
        {"policyArn": POLICY},
        {"policyArn": f"{POLICY}2"},
        "delete first",
    ),
    "another description of a policy": Change(
        "iam/policy:Policy",
        {"policy": trust("ec2.amazonaws.com")},
        {"description": "one"},
        {"description": "two"},
        "create first",
    ),
    "another policy of an access entry": Change(
        "eks/accessPolicyAssociation:AccessPolicyAssociation",
        {**ENTRY, "accessScope": LET_ALL},
        {"policyArn": VIEW},
        {"policyArn": ADMIN},
        "create first",
    ),
    "another scope of a policy": Change(
        "eks/accessPolicyAssociation:AccessPolicyAssociation",
        {**ENTRY, "policyArn": VIEW},
        {"accessScope": LET_ALL},
        {"accessScope": LET_ONE},
        "create first",
    ),
    "a pod identity of another service account": Change(
        "eks/podIdentityAssociation:PodIdentityAssociation",
        IDENTITY,
        {"serviceAccount": "one"},
        {"serviceAccount": "two"},
        "create first",
    ),
    "another name of a role": Change(
        "iam/role:Role",
        {"assumeRolePolicy": trust("ec2.amazonaws.com")},
        {"name": "one"},
        {"name": "two"},
        "delete first",
    ),
    "a name for a role that had none": Change(
        "iam/role:Role",
        {"assumeRolePolicy": trust("ec2.amazonaws.com")},
        {},
        {"name": "two"},
        "delete first",
    ),
    "no name for a role that had one": Change(
        "iam/role:Role",
        {"assumeRolePolicy": trust("ec2.amazonaws.com")},
        {"name": "one"},
        {},
        "create first",
    ),
    "another name of a virtual cluster": Change(
        "emrcontainers/virtualCluster:VirtualCluster",
        VIRTUAL,
        {"name": "one"},
        {"name": "two"},
        "delete first",
    ),
    "another key of an object": Change(
        "s3/bucketObjectv2:BucketObjectv2",
        {"bucket": "one"},
        {"key": "one"},
        {"key": "two"},
        "create first",
    ),
}


@pytest.fixture(scope="module")
def plugin() -> AwsPlugin:
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2"})
    return plugin


def resource(pulumi_type: str) -> Resource:
    full = f"aws:{pulumi_type}"
    return Resource(f"urn:pulumi:test::test::{full}::one", full, "one")


def checked(plugin: AwsPlugin, pulumi_type: str, old: Properties, **given: Any) -> Properties:  # noqa: ANN401
    found = plugin.check(resource(pulumi_type), old, given, b"seed")
    assert found.failures == ()
    return found.inputs


def outcome(diff: Diff) -> Outcome:
    if diff.replaces:
        return "delete first" if diff.delete_before_replace else "create first"
    return "update" if diff.changes else "nothing"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_leads_to_what_it_leads_to_in_aws(plugin: AwsPlugin, change: Change) -> None:
    old = checked(plugin, change.pulumi_type, {}, **{**change.same, **change.before})
    new = checked(plugin, change.pulumi_type, old, **{**change.same, **change.after})
    state = old | change.recorded
    assert outcome(plugin.diff(resource(change.pulumi_type), old, state, new)) == change.outcome


def test_versioning_can_be_suspended_and_not_disabled(plugin: AwsPlugin) -> None:
    kind = "s3/bucketVersioning:BucketVersioning"
    enabled, suspended, disabled = (
        checked(plugin, kind, {}, bucket="one", versioningConfiguration={"status": status})
        for status in ("Enabled", "Suspended", "Disabled")
    )
    assert outcome(plugin.diff(resource(kind), enabled, enabled, suspended)) == "update"
    assert outcome(plugin.diff(resource(kind), disabled, disabled, enabled)) == "update"
    for old in (enabled, suspended):
        with pytest.raises(PluginError, match=r"cannot be updated from '.*ed' to 'Disabled'"):
            plugin.diff(resource(kind), old, old, disabled)


def test_an_object_without_a_key_has_the_logical_name(plugin: AwsPlugin) -> None:
    assert checked(plugin, "s3/bucketObjectv2:BucketObjectv2", {}, bucket="one")["key"] == "one"


@pytest.mark.parametrize(
    ("pulumi_type", "before", "after", "unknown"),
    [
        ("s3/bucketObjectv2:BucketObjectv2", {}, {"kmsKeyId": KEY}, {"versionId"}),
        (
            "s3/bucketObjectv2:BucketObjectv2",
            {},
            {"serverSideEncryption": "aws:kms"},
            {"versionId"},
        ),
        ("s3/bucketObjectv2:BucketObjectv2", {}, {"bucketKeyEnabled": True}, {"versionId"}),
        ("s3/bucketObjectv2:BucketObjectv2", {}, {"content": "one"}, {"versionId"}),
        ("s3/bucketObjectv2:BucketObjectv2", {}, {"tags": {"a": "b"}}, set()),
        ("ec2/launchTemplate:LaunchTemplate", {}, {"tags": {"a": "b"}}, {"latestVersion"}),
        ("ec2/launchTemplate:LaunchTemplate", {}, {"imageId": "ami-1"}, {"latestVersion"}),
        ("ec2/launchTemplate:LaunchTemplate", {}, {"description": "one"}, set()),
        (
            "ec2/launchTemplate:LaunchTemplate",
            {"updateDefaultVersion": True},
            {"updateDefaultVersion": True, "imageId": "ami-1"},
            {"defaultVersion", "latestVersion"},
        ),
    ],
)
def test_a_preview_knows_which_outputs_a_change_renews(
    plugin: AwsPlugin,
    pulumi_type: str,
    before: Properties,
    after: Properties,
    unknown: set[str],
) -> None:
    same = {"bucket": "one", "key": "one"} if "Object" in pulumi_type else {}
    old = checked(plugin, pulumi_type, {}, **same, **before)
    new = checked(plugin, pulumi_type, old, **same, **after)
    outputs = {"etag": "1", "versionId": "1", "latestVersion": 1, "defaultVersion": 1}
    state = plugin.update(resource(pulumi_type), "one", old, old | outputs, new, preview=True)
    assert {key for key, value in state.items() if value is UNKNOWN} == unknown


@pytest.mark.parametrize(
    ("pulumi_type", "given", "told"),
    [
        ("ec2/route:Route", "r-rtb-11080289494", "expected ROUTETABLEID_DESTINATION"),
        (
            "ec2/routeTableAssociation:RouteTableAssociation",
            "rtbassoc-1",
            "Use 'subnet ID/route table ID'",
        ),
        (
            "eks/podIdentityAssociation:PodIdentityAssociation",
            "a-1",
            "expected more than one part",
        ),
    ],
)
def test_an_id_that_does_not_tell_where_the_resource_is_is_not_imported(
    plugin: AwsPlugin, pulumi_type: str, given: str, told: str
) -> None:
    with pytest.raises(PluginError, match=told):
        plugin.read(resource(pulumi_type), given, {}, {})
