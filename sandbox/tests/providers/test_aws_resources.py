"""The stand-in for pulumi-aws: what it makes, sees, changes and takes away."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from sandbox.machine.injection import InjectedError, Injection
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.provider import AwsPlugin, resource_types
from sandbox.providers.protocol import (
    UNKNOWN,
    Asset,
    InitializationError,
    PluginError,
    Properties,
    Resource,
)
from sandbox.tests.aws_account import DEFAULT_TAGS, Account, Made, given, push, sent

VPC = "ec2/vpc:Vpc"
LOG_GROUP = "cloudwatch/logGroup:LogGroup"
OBJECT = "s3/bucketObjectv2:BucketObjectv2"


@pytest.fixture
def plugin(emulators: dict[str, str]) -> AwsPlugin:
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2", "defaultTags": json.dumps({"tags": DEFAULT_TAGS})})
    return plugin


@pytest.fixture
def account(plugin: AwsPlugin) -> Iterator[Account]:
    account = Account(plugin)
    yield account
    account.clean_up()


# Provider configuration.


def configuration_failures(**config: str) -> list[str]:
    return [failure.property for failure in AwsPlugin().check_config(config).failures]


def test_a_provider_setting_that_the_sandbox_does_not_know_is_an_error() -> None:
    assert configuration_failures(region="us-west-2", profile="mine") == ["profile"]
    assert configuration_failures(region="us-west-2", skipMetadataApiCheck="true") == []


def test_another_account_is_refused(emulators: dict[str, str]) -> None:
    with pytest.raises(PluginError, match="AWS account ID not allowed: 123456789012"):
        AwsPlugin().configure({"region": "us-west-2", "allowedAccountIds": '["999999999999"]'})


def test_the_right_account_is_allowed(emulators: dict[str, str]) -> None:
    AwsPlugin().configure({"region": "us-west-2", "allowedAccountIds": '["123456789012"]'})


# Check.


def test_an_unknown_type_is_an_error_that_names_it(plugin: AwsPlugin) -> None:
    queue = "aws:sqs/queue:Queue"
    with pytest.raises(PluginError, match=queue):
        plugin.check(Resource("urn", queue, "q"), {}, {}, b"seed")


def test_an_unknown_property_is_an_error_that_names_it(account: Account) -> None:
    (failure,) = account.check(VPC, cidrBlock="10.0.0.0/16", ipv6CidrBlock="::/56")
    assert failure.property == "ipv6CidrBlock"
    assert "ipv6CidrBlock" in failure.reason


def test_an_unknown_property_further_down_is_an_error_that_names_it(account: Account) -> None:
    mapping = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 8, "snapshotId": "snap-1"}}
    (failure,) = account.check("ec2/launchTemplate:LaunchTemplate", blockDeviceMappings=[mapping])
    assert failure.property == "blockDeviceMappings.ebs.snapshotId"


def test_a_missing_property_is_an_error_that_names_it(account: Account) -> None:
    (failure,) = account.check(VPC)
    assert failure.property == "cidrBlock"


def test_another_region_is_an_error(account: Account) -> None:
    (failure,) = account.check(VPC, cidrBlock="10.0.0.0/16", region="eu-west-1")
    assert failure.property == "region"


def test_invalid_json_is_an_error(account: Account) -> None:
    (failure,) = account.check("iam/role:Role", assumeRolePolicy="{")
    assert failure.property == "assumeRolePolicy"


def test_a_value_that_aws_does_not_know_is_an_error(account: Account) -> None:
    (failure,) = account.check(LOG_GROUP, retentionInDays=31)
    assert failure.property == "retentionInDays"


def test_unknown_values_pass_the_check(account: Account) -> None:
    for one in resource_types().values():
        required = {key: UNKNOWN for key, declared in one.inputs.items() if declared.required}
        choices = {"destinationCidrBlock": "0.0.0.0/0", "gatewayId": UNKNOWN, "cidrIpv4": UNKNOWN}
        choices["eventPattern"] = UNKNOWN
        extra = {key: value for key, value in choices.items() if key in one.inputs}
        assert account.check(one.pulumi_type.removeprefix("aws:"), **(required | extra)) == ()


def check(plugin: AwsPlugin, old: Properties, seed: bytes, **new: Any) -> Properties:  # noqa: ANN401
    log_group = Resource("urn", f"aws:{LOG_GROUP}", "flow")
    return plugin.check(log_group, old, new, seed).inputs


def test_a_name_is_made_of_the_logical_name_and_kept(plugin: AwsPlugin) -> None:
    first = check(plugin, {}, b"one")
    name = first["name"]
    assert name.startswith("flow-")
    assert len(name) == len("flow-") + 7
    assert check(plugin, first, b"two")["name"] == name
    assert check(plugin, {}, b"two")["name"] != name


def test_a_name_that_the_program_gives_up_is_made_again(plugin: AwsPlugin) -> None:
    first = check(plugin, {}, b"one", name="mine")
    assert check(plugin, first, b"two")["name"].startswith("flow-")


def test_all_tags_are_the_providers_and_the_resources(plugin: AwsPlugin) -> None:
    inputs = check(plugin, {}, b"", tags={"project": "other", "own": "1"})
    assert inputs["tagsAll"] == {"project": "other", "own": "1"}
    assert check(plugin, {}, b"")["tagsAll"] == DEFAULT_TAGS
    assert check(plugin, {}, b"", tags=UNKNOWN)["tagsAll"] is UNKNOWN


# Every type: it is there, it is quiet, it goes.


def policy(*statements: Properties) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


LET_LOGS = {"Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": ["*"]}
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
ROOT = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
    "Resource": "*",
}


def make_all(account: Account) -> None:
    """Make one of each type, with as much as the platform says of it."""
    _make_network(account)
    _make_storage(account)
    _make_compute(account)
    _make_monitoring(account)


def _make_network(account: Account) -> None:
    make = account.make
    vpc = make(VPC, cidrBlock="10.0.0.0/16", enableDnsHostnames=True, tags={"Name": "one"})
    make("ec2/defaultSecurityGroup:DefaultSecurityGroup", vpcId=vpc.id)
    gateway = make("ec2/internetGateway:InternetGateway", vpcId=vpc.id)
    subnets = account.subnets(vpc)
    table = make("ec2/routeTable:RouteTable", vpcId=vpc.id)
    out = {"destinationCidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}
    make("ec2/route:Route", routeTableId=table.id, **out)
    join = "ec2/routeTableAssociation:RouteTableAssociation"
    public = account.subnet(vpc, 5)
    make(join, routeTableId=table.id, subnetId=public.id)
    address = make("ec2/eip:Eip", domain="vpc")
    make("ec2/natGateway:NatGateway", allocationId=address.id, subnetId=public.id)
    endpoint = "ec2/vpcEndpoint:VpcEndpoint"
    s3 = "com.amazonaws.us-west-2.s3"
    make(endpoint, vpcId=vpc.id, serviceName=s3, routeTableIds=[table.id])
    group = account.group(vpc, refers_to_itself=True)
    make(
        "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        securityGroupId=group.id,
        ipProtocol="tcp",
        fromPort=443,
        toPort=443,
        cidrIpv4="0.0.0.0/0",
        description="out",
    )
    make(
        endpoint,
        vpcId=vpc.id,
        serviceName="com.amazonaws.us-west-2.sts",
        vpcEndpointType="Interface",
        privateDnsEnabled=True,
        subnetIds=[subnet.id for subnet in subnets],
        securityGroupIds=[group.id],
    )
    logs, role = make(LOG_GROUP, retentionInDays=30), account.role("vpc-flow-logs.amazonaws.com")
    make("iam/rolePolicy:RolePolicy", role=role.id, policy=policy(LET_LOGS))
    make("iam/policy:Policy", policy=policy(LET_LOGS))
    make(
        "iam/openIdConnectProvider:OpenIdConnectProvider",
        url="https://example.com/issuer",
        clientIdLists=["sts.amazonaws.com"],
    )
    make(
        "ec2/flowLog:FlowLog",
        vpcId=vpc.id,
        trafficType="ALL",
        logDestination=logs.state["arn"],
        iamRoleArn=role.state["arn"],
        maxAggregationInterval=60,
    )


def _make_storage(account: Account) -> None:
    make = account.make
    key = make("kms/key:Key", enableKeyRotation=True, description="all", policy=policy(ROOT))
    make("kms/alias:Alias", targetKeyId=key.id, name=f"alias/{account.suffix}")
    bucket = account.bucket()
    default = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key.state["arn"]}
    rule = {"applyServerSideEncryptionByDefault": default, "bucketKeyEnabled": True}
    sse = "bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    make(f"s3/{sse}", bucket=bucket.id, rules=[rule])
    logs = make("s3/bucket:Bucket", bucket=f"logs-{account.suffix}", forceDestroy=True)
    deliver = {"Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject"}
    make(
        "s3/bucketPolicy:BucketPolicy",
        bucket=logs.id,
        policy=policy({"Effect": "Allow", **deliver, "Resource": f"arn:aws:s3:::{logs.id}/*"}),
    )
    make(
        "s3/bucketLogging:BucketLogging",
        bucket=bucket.id,
        targetBucket=logs.id,
        targetPrefix="one/",
    )
    make(
        "s3/bucketOwnershipControls:BucketOwnershipControls",
        bucket=bucket.id,
        rule={"objectOwnership": "BucketOwnerEnforced"},
    )
    make(
        "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        bucket=bucket.id,
        rules=[
            {
                "id": "old",
                "status": "Enabled",
                "filter": {},
                "noncurrentVersionExpiration": {"noncurrentDays": 30},
                "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
            }
        ],
    )
    make("s3/bucketPolicy:BucketPolicy", bucket=bucket.id, policy=policy(TLS_ONLY))
    make(OBJECT, bucket=bucket.id, key="requirements.txt", content="one")
    secret = make("secretsmanager/secret:Secret", recoveryWindowInDays=0, kmsKeyId=key.id)
    make("secretsmanager/secretVersion:SecretVersion", secretId=secret.id, secretString="{}")


def _make_compute(account: Account) -> None:
    make = account.make
    (vpc, *_) = (one for one in account.made if one.resource.type == f"aws:{VPC}")
    group = account.group(vpc, refers_to_itself=True)
    subnets = [account.subnet(vpc, 6, "us-west-2a"), account.subnet(vpc, 7, "us-west-2b")]
    (nat,) = (one for one in account.made if one.resource.type.endswith(":NatGateway"))
    make(
        "ec2/route:Route",
        routeTableId=vpc.state["mainRouteTableId"],
        destinationCidrBlock="0.0.0.0/0",
        natGatewayId=nat.id,
    )
    cluster = account.cluster(
        subnets,
        upgradePolicy={"supportType": "STANDARD"},
        enabledClusterLogTypes=["audit", "api"],
        bootstrapSelfManagedAddons=False,
        vpcConfig={
            "subnetIds": [subnet.id for subnet in reversed(subnets)],
            "endpointPrivateAccess": True,
            "publicAccessCidrs": ["203.0.113.0/24"],
        },
    )
    pods = account.role("pods.eks.amazonaws.com").state["arn"]
    make(
        "eks/addon:Addon",
        clusterName=cluster.id,
        addonName="vpc-cni",
        configurationValues=json.dumps({"enableNetworkPolicy": "true"}),
        podIdentityAssociations=[{"roleArn": pods, "serviceAccount": "aws-node"}],
        resolveConflictsOnCreate="OVERWRITE",
        preserve=False,
    )
    template = make(
        "ec2/launchTemplate:LaunchTemplate",
        blockDeviceMappings=[
            {
                "deviceName": "/dev/xvda",
                "ebs": {"volumeSize": 100, "volumeType": "gp3", "encrypted": "true"},
            }
        ],
        metadataOptions={"httpTokens": "required", "httpPutResponseHopLimit": 1},
        tagSpecifications=[{"resourceType": "instance", "tags": {"one": "1"}}],
    )
    account.node_group(
        cluster,
        subnets,
        amiType="AL2023_x86_64_STANDARD",
        labels={"tier": "work"},
        launchTemplate={"id": template.id, "version": "1"},
    )
    person = account.role("ec2.amazonaws.com")
    entry = {"clusterName": cluster.id, "principalArn": person.state["arn"]}
    make("eks/accessEntry:AccessEntry", **entry, kubernetesGroups=["people"])
    make(
        "eks/accessPolicyAssociation:AccessPolicyAssociation",
        **entry,
        policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
        accessScope={"type": "namespace", "namespaces": ["default"]},
    )
    make(
        "eks/podIdentityAssociation:PodIdentityAssociation",
        clusterName=cluster.id,
        namespace="default",
        serviceAccount="someone",
        roleArn=pods,
    )
    make(
        "emrcontainers/virtualCluster:VirtualCluster",
        containerProvider={
            "id": cluster.id,
            "type": "EKS",
            "info": {"eksInfo": {"namespace": "default"}},
        },
    )
    bucket, _ = (one for one in account.made if one.resource.type == "aws:s3/bucket:Bucket")
    (requirements,) = (one for one in account.made if one.resource.type == f"aws:{OBJECT}")
    logs = {"enabled": True, "logLevel": "INFO"}
    make(
        "mwaa/environment:Environment",
        **account.environment_settings(subnets, group, bucket),
        airflowVersion="3.3.1",
        airflowConfigurationOptions={"core.parallelism": "32"},
        loggingConfiguration={"taskLogs": logs, "webserverLogs": logs},
        requirementsS3Path="requirements.txt",
        requirementsS3ObjectVersion=requirements.state["versionId"],
        weeklyMaintenanceWindowStart="SUN:03:30",
    )


LET_CLOUDWATCH = {
    "Effect": "Allow",
    "Principal": {"Service": "cloudwatch.amazonaws.com"},
    "Action": "sns:Publish",
    "Resource": "*",
    "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
}


def _make_monitoring(account: Account) -> None:
    make = account.make
    (key,) = (one for one in account.made if one.resource.type == "aws:kms/key:Key")
    topic = make(
        "sns/topic:Topic",
        name=f"alarms-{account.suffix}",
        kmsMasterKeyId=key.id,
        policy=policy(LET_CLOUDWATCH),
    )
    make("sns/topicPolicy:TopicPolicy", arn=topic.id, policy=policy(LET_CLOUDWATCH))
    subscription = "sns/topicSubscription:TopicSubscription"
    make(subscription, topic=topic.id, protocol="email", endpoint="night@example.com")
    queue = "arn:aws:sqs:us-west-2:123456789012:alarms"
    make(subscription, topic=topic.id, protocol="sqs", endpoint=queue, rawMessageDelivery=True)
    alarm = make(
        "cloudwatch/metricAlarm:MetricAlarm",
        namespace="AmazonMWAA",
        metricName="SchedulerHeartbeat",
        dimensions={"Function": "Scheduler", "Environment": "one"},
        statistic="Sum",
        comparisonOperator="LessThanThreshold",
        threshold=1,
        period=300,
        evaluationPeriods=2,
        datapointsToAlarm=2,
        treatMissingData="breaching",
        alarmActions=[topic.id],
        okActions=[topic.id],
        alarmDescription="The scheduler is silent.",
    )
    errors = {"metricName": "apiserver_request_total_5XX", "namespace": "AWS/EKS", "stat": "Sum"}
    dimensions = {"ClusterName": "one"}
    make(
        "cloudwatch/metricAlarm:MetricAlarm",
        metricQueries=[
            {"id": "share", "expression": "100 * FILL(errors, 0) / total", "returnData": True},
            {"id": "errors", "metric": {**errors, "period": 60, "dimensions": dimensions}},
            {
                "id": "total",
                "metric": {
                    **errors,
                    "metricName": "apiserver_request_total",
                    "period": 60,
                    "dimensions": dimensions,
                },
            },
        ],
        comparisonOperator="GreaterThanThreshold",
        threshold=0.5,
        evaluationPeriods=5,
    )
    widget = {"type": "alarm", "width": 24, "height": 4}
    make(
        "cloudwatch/dashboard:Dashboard",
        dashboardName=f"one-{account.suffix}",
        dashboardBody=json.dumps(
            {"widgets": [{**widget, "properties": {"alarms": [alarm.state["arn"]]}}]}
        ),
    )
    pattern = {"source": ["aws.emr-containers"], "detail": {"state": ["FAILED"]}}
    rule = make("cloudwatch/eventRule:EventRule", eventPattern=json.dumps(pattern))
    make(
        "cloudwatch/eventTarget:EventTarget",
        rule=rule.id,
        arn=topic.id,
        inputTransformer={"inputPaths": {"id": "$.detail.id"}, "inputTemplate": '"<id> failed"'},
    )
    told = {"subscriberEmailAddresses": ["night@example.com"], "subscriberSnsTopicArns": [topic.id]}
    make(
        "budgets/budget:Budget",
        budgetType="COST",
        limitAmount="100",
        limitUnit="USD",
        timeUnit="MONTHLY",
        costFilters=[{"name": "TagKeyValue", "values": ["user:project$test"]}],
        notifications=[
            {
                "comparisonOperator": "GREATER_THAN",
                "notificationType": kind,
                "threshold": 80,
                "thresholdType": "PERCENTAGE",
                **told,
            }
            for kind in ("ACTUAL", "FORECASTED")
        ],
    )


@pytest.fixture(scope="module")
def everything(emulators: dict[str, str]) -> Iterator[Account]:
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2", "defaultTags": json.dumps({"tags": DEFAULT_TAGS})})
    account = Account(plugin)
    make_all(account)
    yield account
    account.clean_up()


def test_one_of_every_type_is_made(everything: Account) -> None:
    assert {one.resource.type for one in everything.made} == set(resource_types())


def test_nothing_changes_by_itself(everything: Account) -> None:
    for one in everything.made:
        assert one.diff(given(one)).changes == {}, one.resource.type


def test_a_refresh_finds_what_was_made(everything: Account) -> None:
    for one in everything.made:
        found = one.read()
        assert found is not None, one.resource.type
        # Other resources have changed what these tell of themselves.
        told = {"associationId", "networkInterface", "privateIp"}
        assert found.inputs == one.inputs, one.resource.type
        before, after = (
            {key: value for key, value in state.items() if key not in told}
            for state in (one.state, found.state)
        )
        assert after == before, one.resource.type


IMPORTED_BY: dict[str, Callable[[Properties, str], str]] = {
    "Route": lambda inputs, _: f"{inputs['routeTableId']}_{inputs['destinationCidrBlock']}",
    "RouteTableAssociation": lambda inputs, _: f"{inputs['subnetId']}/{inputs['routeTableId']}",
    "EventTarget": lambda inputs, own: f"{inputs['rule']}/{own.removeprefix(inputs['rule'] + '-')}",
    "PodIdentityAssociation": lambda inputs, own: f"{inputs['clusterName']},{own}",
}


def test_everything_can_be_imported(everything: Account) -> None:
    for one in everything.made:
        by = IMPORTED_BY.get(one.resource.type.rpartition(":")[2])
        name = by(one.inputs, one.id) if by else one.id
        found = one.plugin.read(one.resource, name, {}, {})
        assert found is not None, one.resource.type
        assert found.id == one.id
        required = {
            key
            for key, declared in resource_types()[one.resource.type].inputs.items()
            if declared.required
        }
        assert required <= found.inputs.keys(), one.resource.type


def test_the_state_has_every_declared_output(everything: Account) -> None:
    optional = {"hostedZoneId", "cidrBlocks", "instanceId", "instanceOwnerId", "externalId"}
    for one in everything.made:
        declared = set(resource_types()[one.resource.type].outputs)
        found = {key for key, value in one.state.items() if value is not None}
        missing = declared - found - optional
        assert not missing - {"privateIp", "prefixListId"}, one.resource.type


def test_a_preview_of_creation_knows_what_is_given_and_nothing_else(everything: Account) -> None:
    for one in everything.made:
        checked = one.check(given(one))
        _, state = one.plugin.create(one.resource, checked, preview=True)
        known = {key: value for key, value in state.items() if value is not UNKNOWN}
        assert known.keys() <= checked.keys(), one.resource.type
        declared = set(resource_types()[one.resource.type].outputs)
        assert declared <= state.keys(), one.resource.type


def test_a_preview_of_creation_knows_that_more_comes_below_what_is_given(
    everything: Account,
) -> None:
    made = {one.resource.type.rpartition(":")[2]: one for one in everything.made}
    _, cluster = made["Cluster"].plugin.create(
        made["Cluster"].resource, made["Cluster"].inputs, preview=True
    )
    assert cluster["vpcConfig"]["clusterSecurityGroupId"] is UNKNOWN
    assert cluster["vpcConfig"]["endpointPrivateAccess"] is True
    _, environment = made["Environment"].plugin.create(
        made["Environment"].resource, made["Environment"].inputs, preview=True
    )
    assert environment["loggingConfiguration"]["taskLogs"]["cloudWatchLogGroupArn"] is UNKNOWN


def test_a_preview_of_new_tags_keeps_every_output(everything: Account) -> None:
    for one in everything.made:
        if "tags" not in resource_types()[one.resource.type].inputs:
            continue
        new = one.check(given(one, tags={"new": "tag"}))
        assert one.plugin.diff(one.resource, one.inputs, one.state, new).replaces == frozenset()
        state = one.plugin.update(one.resource, one.id, one.inputs, one.state, new, preview=True)
        unknown = {key for key, value in state.items() if value is UNKNOWN}
        # The provider takes them for a new version.
        assert unknown == ({"latestVersion"} if "LaunchTemplate" in one.resource.type else set())
        state |= {key: one.state[key] for key in unknown}
        assert {**state, "tags": None, "tagsAll": None} == {
            **one.state,
            "tags": None,
            "tagsAll": None,
        }


def test_new_tags_arrive_and_go(everything: Account) -> None:
    for one in everything.made:
        if "tags" not in resource_types()[one.resource.type].inputs:
            continue
        before = given(one)
        tags = {**before.get("tags", {}), "new": "tag"}
        one.update({**before, "tags": tags})
        found = one.read()
        assert found is not None
        assert found.inputs["tagsAll"] == DEFAULT_TAGS | tags, one.resource.type
        one.update(before)
        found = one.read()
        assert found is not None
        assert found.inputs["tagsAll"] == DEFAULT_TAGS | before.get("tags", {}), one.resource.type


# Drift, updates and replacement of what matters most.


def drift_of(one: Made) -> Properties:
    """What the next `up` would change back after a refresh."""
    program = given(one)
    one.refresh()
    return dict(one.diff(program).changes)


def test_drift_of_a_log_group_is_seen_and_mended(account: Account) -> None:
    group = account.make(LOG_GROUP, retentionInDays=30)
    program = given(group)
    account.api("logs").put_retention_policy(logGroupName=group.id, retentionInDays=7)
    assert drift_of(group) == {"retentionInDays": "update"}
    group.update(program)
    assert drift_of(group) == {}


def test_drift_of_a_setting_that_the_program_leaves_alone_is_seen(account: Account) -> None:
    subnet = account.subnet(account.vpc())
    account.api("ec2").modify_subnet_attribute(
        SubnetId=subnet.id, MapPublicIpOnLaunch={"Value": True}
    )
    program = given(subnet)
    subnet.refresh()
    assert subnet.diff(program).changes == {"mapPublicIpOnLaunch": "update"}
    subnet.update(program)
    assert subnet.state["mapPublicIpOnLaunch"] is False


def test_what_aws_may_choose_is_left_as_it_is(account: Account) -> None:
    vpc = account.vpc()
    account.api("ec2").modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})
    program = given(vpc)
    vpc.refresh()
    assert vpc.diff(program).changes == {}
    vpc.update({**program, "tags": {"a": "b"}})
    assert vpc.state["enableDnsHostnames"] is True


def test_a_tag_made_by_hand_is_seen(account: Account) -> None:
    vpc = account.vpc()
    account.api("ec2").create_tags(Resources=[vpc.id], Tags=[{"Key": "hand", "Value": "made"}])
    program = given(vpc)
    vpc.refresh()
    assert vpc.inputs["tags"] == {"hand": "made"}
    assert vpc.diff(program).changes.keys() == {"tags", "tagsAll"}


@pytest.mark.parametrize("forbidden", [True, False])
def test_a_rule_made_by_hand_in_the_default_group_goes_if_rules_are_forbidden(
    account: Account, forbidden: bool
) -> None:
    rules: Properties = {"ingress": [], "egress": []} if forbidden else {}
    vpc = account.vpc()
    closed = account.make("ec2/defaultSecurityGroup:DefaultSecurityGroup", vpcId=vpc.id, **rules)
    ec2 = account.api("ec2")

    def found() -> list[Any]:
        (group,) = ec2.describe_security_groups(GroupIds=[closed.id])["SecurityGroups"]
        return [*group["IpPermissions"], *group["IpPermissionsEgress"]]

    assert found() == []
    anyone = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=closed.id, IpPermissions=[anyone])
    program = given(closed, **rules)
    closed.refresh()
    assert closed.diff(program).changes == ({"ingress": "update"} if forbidden else {})
    closed.update({**program, "tags": {"a": "b"}})
    assert bool(found()) is not forbidden


def test_another_table_for_a_subnet_comes_in_place_of_the_old_one(account: Account) -> None:
    vpc = account.vpc()
    subnet = account.subnet(vpc)
    one, two = (account.make("ec2/routeTable:RouteTable", vpcId=vpc.id) for _ in range(2))
    join = account.make(
        "ec2/routeTableAssociation:RouteTableAssociation", routeTableId=one.id, subnetId=subnet.id
    )
    join.update({"routeTableId": two.id, "subnetId": subnet.id})
    assert join.state["routeTableId"] == two.id
    join.refresh()
    assert join.inputs["routeTableId"] == two.id


def test_a_bucket_whose_versioning_is_disabled_is_left_alone(account: Account) -> None:
    bucket = account.bucket(versioned=False)
    versioning = account.make(
        "s3/bucketVersioning:BucketVersioning",
        bucket=bucket.id,
        versioningConfiguration={"status": "Disabled"},
    )
    versioning.refresh()
    assert versioning.inputs["versioningConfiguration"] == {"status": "Disabled"}
    versioning.delete()
    assert "Status" not in account.api("s3").get_bucket_versioning(Bucket=bucket.id)


def test_a_resource_that_is_gone_reads_as_gone_and_deletes_quietly(account: Account) -> None:
    group = account.make(LOG_GROUP)
    account.api("logs").delete_log_group(logGroupName=group.id)
    assert group.read() is None
    group.delete()


def test_a_policy_in_another_spelling_is_the_same(account: Account) -> None:
    role = account.role("ec2.amazonaws.com")
    one = account.make("iam/rolePolicy:RolePolicy", role=role.id, policy=policy(LET_LOGS))
    spelled = {"Resource": "*", "Action": "logs:PutLogEvents", "Effect": "Allow"}
    assert one.diff(given(one, policy=policy(spelled))).changes == {}
    other = {**spelled, "Action": "logs:*"}
    assert one.diff(given(one, policy=policy(other))).changes == {"policy": "update"}


def test_a_policy_keeps_its_last_five_versions(account: Account) -> None:
    iam, one = account.api("iam"), account.make("iam/policy:Policy", policy=policy(LET_LOGS))
    for number in range(6):
        one.update(given(one, policy=policy({**LET_LOGS, "Sid": f"Number{number}"})))
    versions = iam.list_policy_versions(PolicyArn=one.id)["Versions"]
    assert {version["VersionId"] for version in versions} == {"v3", "v4", "v5", "v6", "v7"}
    one.refresh()
    assert json.loads(one.inputs["policy"])["Statement"] == [{**LET_LOGS, "Sid": "Number5"}]
    one.update(given(one, tags={"a": "b"}))
    assert len(iam.list_policy_versions(PolicyArn=one.id)["Versions"]) == 5


def test_an_oidc_provider_is_changed_in_place(account: Account) -> None:
    kind = "iam/openIdConnectProvider:OpenIdConnectProvider"
    one = account.make(kind, url="https://example.com/one", clientIdLists=["a", "b"])
    assert one.diff(given(one, url="https://example.com/two")).replaces == {"url"}
    one.refresh()
    assert one.inputs["url"] == "https://example.com/one", "without its scheme it is the same"
    one.update(given(one, clientIdLists=["b", "c"], tags={"a": "b"}, thumbprintLists=["0" * 40]))
    one.refresh()
    assert sorted(one.inputs["clientIdLists"]) == ["b", "c"]
    assert one.inputs["tags"] == {"a": "b"}
    assert one.state["thumbprintLists"] == ["0" * 40]


def test_another_range_makes_another_vpc(account: Account) -> None:
    vpc = account.vpc()
    diff = vpc.diff(given(vpc, cidrBlock="10.1.0.0/16"))
    assert diff.replaces == {"cidrBlock"}
    assert not diff.delete_before_replace


def test_a_named_resource_goes_before_its_replacement_comes(account: Account) -> None:
    trusting = {"assumeRolePolicy": policy({**ROOT, "Action": "sts:AssumeRole"})}
    document = json.loads(trusting["assumeRolePolicy"])
    del document["Statement"][0]["Resource"]
    trusting = {"assumeRolePolicy": json.dumps(document)}
    named = account.make("iam/role:Role", **trusting, name=f"role-{account.suffix}")
    automatic = account.make("iam/role:Role", **trusting)
    assert named.diff(given(named, path="/other/")).delete_before_replace
    diff = automatic.diff(given(automatic, path="/other/"))
    assert diff.replaces == {"path"}
    assert not diff.delete_before_replace


def test_an_unknown_value_is_a_change(account: Account) -> None:
    vpc = account.vpc()
    subnet = account.subnet(vpc)
    assert subnet.diff(given(subnet, vpcId=UNKNOWN)).replaces == {"vpcId"}


def test_new_content_makes_a_new_version(account: Account, tmp_path: Path) -> None:
    bucket = account.bucket()
    file = tmp_path / "dag.py"
    file.write_text("one")
    where = {"bucket": bucket.id, "key": "dags/dag.py"}
    dag = account.make(OBJECT, **where, source=Asset(path=str(file), hash="1"), sourceHash="1")
    first = dag.state["versionId"]
    file.write_text("two")
    new = {**where, "source": Asset(path=str(file), hash="2"), "sourceHash": "2"}
    preview = dag.plugin.update(
        dag.resource, dag.id, dag.inputs, dag.state, dag.check(new), preview=True
    )
    assert preview["versionId"] is UNKNOWN
    dag.update(new)
    assert dag.state["versionId"] != first
    body = account.api("s3").get_object(Bucket=bucket.id, Key="dags/dag.py")["Body"].read()
    assert body == b"two"


def test_the_etag_of_what_kms_encrypts_is_no_digest(account: Account) -> None:
    key = account.make("kms/key:Key", description="objects")
    bucket = account.bucket().id
    plain = account.make(OBJECT, bucket=bucket, key="one", content="one")
    encrypted = account.make(
        OBJECT, bucket=bucket, key="two", content="one", kmsKeyId=key.state["arn"]
    )
    digest = hashlib.md5(b"one", usedforsecurity=False).hexdigest()
    assert plain.state["etag"] == digest
    assert encrypted.state["etag"] != digest
    before = dict(encrypted.state)
    encrypted.refresh()
    assert encrypted.state == before


def test_an_object_takes_ten_tags(account: Account) -> None:
    account.plugin.default_tags = DEFAULT_TAGS
    bucket = account.bucket()
    tags = {f"tag{number}": "" for number in range(10)}
    given = {"bucket": bucket.id, "content": "", "tags": tags}
    with pytest.raises(ClientError, match="greater than 10"):
        account.make(OBJECT, key="one", **given)
    override: Properties = {"defaultTags": {"tags": {}}}
    account.make(OBJECT, key="two", **given, overrideProvider=override)


def test_a_new_disk_makes_a_new_version_of_the_template(account: Account) -> None:
    template = account.make("ec2/launchTemplate:LaunchTemplate", instanceType="m7i.large")
    assert template.state["latestVersion"] == 1
    new = given(template, instanceType="m7i.xlarge")
    preview = template.plugin.update(
        template.resource,
        template.id,
        template.inputs,
        template.state,
        template.check(new),
        preview=True,
    )
    assert preview["latestVersion"] is UNKNOWN
    template.update(new)
    assert template.state["latestVersion"] == 2


# MWAA.


def test_a_larger_environment_is_the_same_one(account: Account) -> None:
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc, refers_to_itself=True)
    settings = account.environment_settings(subnets, group, account.bucket())
    settings |= {"airflowVersion": "2.11.2", "environmentClass": "mw1.small"}
    environment = account.make("mwaa/environment:Environment", **settings)
    larger = {**settings, "environmentClass": "mw1.large"}
    assert environment.diff(larger).replaces == frozenset()
    environment.update(larger)
    assert environment.state["environmentClass"] == "mw1.large"
    newer = {**settings, "airflowVersion": "3.3.1"}
    assert environment.diff(newer).replaces == {"airflowVersion"}
    assert environment.diff(newer).delete_before_replace


def test_how_workers_are_replaced_is_told_when_it_changes_and_in_no_other_update(
    account: Account,
) -> None:
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc, refers_to_itself=True)
    settings = account.environment_settings(subnets, group, account.bucket())
    settings |= {"maxWorkers": 5, "workerReplacementStrategy": "GRACEFUL"}
    mwaa = account.api("mwaa")
    created, updated = sent(mwaa, "CreateEnvironment"), sent(mwaa, "UpdateEnvironment")
    environment = account.make("mwaa/environment:Environment", **settings)
    environment.update({**settings, "maxWorkers": 6})
    environment.update({**settings, "maxWorkers": 6, "workerReplacementStrategy": "FORCED"})
    key = "WorkerReplacementStrategy"
    assert [one.get(key) for one in (*created, *updated)] == [None, None, "FORCED"]


# Functions and latencies.


def test_the_functions_tell_of_account_and_region(plugin: AwsPlugin) -> None:
    def ask(name: str, **args: Any) -> Properties:  # noqa: ANN401
        return plugin.invoke(f"aws:index/{name}:{name}", args)

    assert ask("getCallerIdentity")["accountId"] == "123456789012"
    assert ask("getPartition")["partition"] == "aws"
    assert ask("getRegion")["region"] == "us-west-2"
    zones = ask("getAvailabilityZones", state="available")["names"]
    assert zones[:3] == ["us-west-2a", "us-west-2b", "us-west-2c"]
    with pytest.raises(PluginError, match="getAmi"):
        ask("getAmi")


def test_the_zones_of_an_endpoint_service_are_told(plugin: AwsPlugin) -> None:
    def ask(service: str) -> Any:  # noqa: ANN401
        args = {"serviceName": f"com.amazonaws.us-west-2.{service}", "serviceType": "Interface"}
        token = "aws:ec2/getVpcEndpointService:getVpcEndpointService"  # noqa: S105
        return plugin.invoke(token, args)["availabilityZones"]

    assert ask("airflow.api")[:2] == ["us-west-2a", "us-west-2b"]
    with pytest.raises(ClientError, match="nothing"):
        ask("nothing")


def test_an_image_is_looked_up_in_the_accounts_registry(
    account: Account, plugin: AwsPlugin
) -> None:
    repository = f"copies-{account.suffix}/registry.k8s.io/pause"
    push(account.api("ecr"), repository, "3.10")

    def ask(name: str, tag: str) -> Any:  # noqa: ANN401
        return plugin.invoke("aws:ecr/getImage:getImage", {"repositoryName": name, "imageTag": tag})

    found = ask(repository, "3.10")
    assert found["imageTags"] == ["3.10"]
    assert found["id"] == found["imageDigest"]
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        ask(repository, "3.11")
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        ask(f"{repository}-er", "3.10")


def test_the_version_of_an_addon_is_the_default_for_that_of_kubernetes(plugin: AwsPlugin) -> None:
    def ask(**args: Any) -> Any:  # noqa: ANN401
        return plugin.invoke("aws:eks/getAddonVersion:getAddonVersion", args)["version"]

    assert ask(addonName="kube-proxy", kubernetesVersion="1.35") == "v1.35.0-eksbuild.2"
    assert ask(addonName="kube-proxy", kubernetesVersion="1.36") == "v1.36.0-eksbuild.2"
    newest = ask(addonName="kube-proxy", kubernetesVersion="1.35", mostRecent=True)
    assert newest == "v1.35.0-eksbuild.4"
    with pytest.raises(PluginError, match="kube-prox, "):
        ask(addonName="kube-prox", kubernetesVersion="1.35")


def test_latencies_are_those_of_the_table(
    account: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {f"aws:{LOG_GROUP}": {"create": 7, "delete": 5, "update": 3}}
    inject(account, "SANDBOX_LATENCIES", table, tmp_path, monkeypatch)
    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        group = account.make(LOG_GROUP)
        group.plugin.create(group.resource, group.inputs, preview=True)
        group.update(given(group, retentionInDays=7))
        group.delete()
    assert slept == [7, 3, 5]


def inject(
    account: Account,
    variable: str,
    table: object,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = directory / "table.json"
    file.write_text(json.dumps(table))
    with monkeypatch.context() as patch:
        patch.setenv(variable, str(file))
        account.plugin.injection = Injection("aws", resource_types().__contains__)


def test_the_call_that_a_fault_names_is_not_made(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = {f"aws:{LOG_GROUP}": {"create": {"2": "fail", "3": "throttle"}}}
    inject(account, "SANDBOX_FAULTS", faults, tmp_path, monkeypatch)
    logs = boto3.client("logs")
    before = len(logs.describe_log_groups()["logGroups"])
    account.make(LOG_GROUP)
    with pytest.raises(InjectedError, match="InternalFailure"):
        account.make(LOG_GROUP)
    with pytest.raises(InjectedError, match="ThrottlingException: Rate exceeded"):
        account.make(LOG_GROUP)
    account.make(LOG_GROUP)
    assert len(logs.describe_log_groups()["logGroups"]) == before + 2


def test_a_call_that_hangs_is_made_and_never_answered(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = account.make(LOG_GROUP)
    inject(
        account,
        "SANDBOX_FAULTS",
        {f"aws:{LOG_GROUP}": {"delete": {"1": "hang"}}},
        tmp_path,
        monkeypatch,
    )
    deletion = threading.Thread(target=group.delete, daemon=True)
    deletion.start()
    logs = boto3.client("logs")
    wait_for(
        lambda: not logs.describe_log_groups(logGroupNamePrefix=group.id)["logGroups"],
        "the group to go",
    )
    deletion.join(0.5)
    assert deletion.is_alive()


def test_a_call_that_is_dropped_is_not_made_and_never_answered(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = {f"aws:{LOG_GROUP}": {"create": {"1": "drop"}}}
    inject(account, "SANDBOX_FAULTS", faults, tmp_path, monkeypatch)
    logs = boto3.client("logs")
    before = len(logs.describe_log_groups()["logGroups"])
    creation = threading.Thread(target=account.make, args=[LOG_GROUP], daemon=True)
    creation.start()
    creation.join(0.5)
    assert creation.is_alive()
    assert len(logs.describe_log_groups()["logGroups"]) == before


def test_what_aws_has_not_finished_in_time_is_known_to_exist(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "ec2/subnet:Subnet"
    made = account.make(kind, vpcId=account.vpc().id, cidrBlock="10.0.0.0/24")
    inputs = {**made.inputs, "cidrBlock": "10.0.1.0/24"}
    inject(account, "SANDBOX_LATENCIES", {f"aws:{kind}": {"create": 700}}, tmp_path, monkeypatch)
    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        for seconds, waited in ((None, 600), (7, 7)):
            resource = replace(made.resource, seconds=seconds)
            with pytest.raises(InitializationError, match=rf"\(timeout: {waited}s\)") as told:
                account.plugin.create(resource, inputs, preview=False)
            account.plugin.delete(made.resource, told.value.resource_id, inputs, inputs)
    assert slept == [600, 7]


def test_a_time_that_terraform_does_not_know_is_ignored_and_told(account: Account) -> None:
    told: list[str] = []
    account.plugin.warn = lambda _, text: told.append(text)
    group = account.make(LOG_GROUP)
    account.plugin.update(
        replace(group.resource, seconds=60),
        group.id,
        group.inputs,
        group.state,
        given(group, retentionInDays=7),
        preview=False,
    )
    assert told == ["Resource does not support customTimeouts, ignoring: update=60s"]


def test_a_fault_that_is_none_is_refused(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table, match in (
        ({"aws:none:None": {"create": {"1": "fail"}}}, "lacks: aws:none:None"),
        ({"awd:none:None": {"create": {"1": "fail"}}}, "lacks: awd:none:None"),
        ({f"aws:{LOG_GROUP}": {"list": {"1": "fail"}}}, "create"),
        ({f"aws:{LOG_GROUP}": {"create": {"1": "explode"}}}, "explode"),
    ):
        with pytest.raises((InjectedError, ValidationError), match=match):
            inject(account, "SANDBOX_FAULTS", table, tmp_path, monkeypatch)


def test_an_endpoint_follows_its_route_tables_and_subnets(account: Account) -> None:
    vpc, ec2 = account.vpc(), account.api("ec2")
    endpoint = "ec2/vpcEndpoint:VpcEndpoint"
    tables = [account.make("ec2/routeTable:RouteTable", vpcId=vpc.id) for _ in range(2)]
    subnets = account.subnets(vpc)
    gateway = account.make(
        endpoint,
        vpcId=vpc.id,
        serviceName="com.amazonaws.us-west-2.s3",
        routeTableIds=[tables[0].id],
    )
    interface = account.make(
        endpoint,
        vpcId=vpc.id,
        serviceName="com.amazonaws.us-west-2.sts",
        vpcEndpointType="Interface",
        subnetIds=[subnets[0].id],
    )

    def leads_to_s3(table: Made) -> bool:
        (found,) = ec2.describe_route_tables(RouteTableIds=[table.id])["RouteTables"]
        return any(route.get("GatewayId") == gateway.id for route in found["Routes"])

    def has_interface(subnet: Made) -> bool:
        filters = [{"Name": "subnet-id", "Values": [subnet.id]}]
        return bool(ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"])

    assert [*map(leads_to_s3, tables)] == [*map(has_interface, subnets)] == [True, False]
    gateway.update({**gateway.inputs, "routeTableIds": [table.id for table in tables]})
    interface.update({**interface.inputs, "subnetIds": [subnet.id for subnet in subnets]})
    assert [*map(leads_to_s3, tables)] == [*map(has_interface, subnets)] == [True, True]
    gateway.update({**gateway.inputs, "routeTableIds": [tables[1].id]})
    interface.update({**interface.inputs, "subnetIds": [subnets[1].id]})
    assert [*map(leads_to_s3, tables)] == [*map(has_interface, subnets)] == [False, True]
    subnets[0].delete()


def test_a_rule_for_every_protocol_can_be_described_anew(account: Account) -> None:
    group = account.group(account.vpc())
    rule = account.make(
        "vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        securityGroupId=group.id,
        ipProtocol="-1",
        cidrIpv4="0.0.0.0/0",
    )
    rule.update(given(rule, description="all"))
    found = rule.read()
    assert found is not None
    assert found.inputs == {**rule.inputs, "description": "all"}
