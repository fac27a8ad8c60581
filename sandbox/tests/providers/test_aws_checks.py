"""The check of the aws stand-in: AWS's own rules for each value, before anything is made."""

from __future__ import annotations

import copy
import json
import re
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from sandbox.providers.aws import models
from sandbox.providers.aws.provider import AwsPlugin, resource_types
from sandbox.providers.aws.resource import ResourceType, Shape
from sandbox.providers.protocol import UNKNOWN, Properties, Resource, Value
from sandbox.tests.aws_account import Account, trust

ROLE = "arn:aws:iam::123456789012:role/one"
KEY = "arn:aws:kms:us-west-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
POLICY = "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"
TOPIC = "arn:aws:sns:us-west-2:123456789012:one"
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": []})

# What passes, one of each type.
VALID: dict[str, Properties] = {
    "budgets/budget:Budget": {
        "budgetType": "COST",
        "limitAmount": "100",
        "limitUnit": "USD",
        "name": "one",
        "notifications": [
            {
                "comparisonOperator": "GREATER_THAN",
                "notificationType": "ACTUAL",
                "subscriberEmailAddresses": ["night@example.com"],
                "subscriberSnsTopicArns": [TOPIC],
                "threshold": 80,
                "thresholdType": "PERCENTAGE",
            }
        ],
        "timeUnit": "MONTHLY",
    },
    "cloudwatch/dashboard:Dashboard": {"dashboardBody": "{}", "dashboardName": "one"},
    "cloudwatch/eventRule:EventRule": {"eventPattern": '{"source": ["aws.kms"]}', "name": "one"},
    "cloudwatch/eventTarget:EventTarget": {"arn": TOPIC, "rule": "one"},
    "cloudwatch/logGroup:LogGroup": {"name": "group", "kmsKeyId": KEY},
    "cloudwatch/metricAlarm:MetricAlarm": {
        "alarmActions": [TOPIC],
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 2,
        "metricName": "ImportErrors",
        "namespace": "AmazonMWAA",
        "period": 300,
        "statistic": "Maximum",
        "threshold": 0,
    },
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": {"vpcId": "vpc-1"},
    "ec2/eip:Eip": {"domain": "vpc"},
    "ec2/flowLog:FlowLog": {"vpcId": "vpc-1", "trafficType": "ALL", "logDestination": "arn"},
    "ec2/internetGateway:InternetGateway": {"vpcId": "vpc-1"},
    "ec2/launchTemplate:LaunchTemplate": {
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"encrypted": "true"}}],
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
        "monitoring": {"enabled": True},
        "tagSpecifications": [{"resourceType": "instance", "tags": {"one": "1"}}],
    },
    "ec2/natGateway:NatGateway": {"subnetId": "subnet-1"},
    "ec2/route:Route": {
        "routeTableId": "rtb-1",
        "destinationCidrBlock": "0.0.0.0/0",
        "gatewayId": "igw-1",
    },
    "ec2/routeTable:RouteTable": {"vpcId": "vpc-1"},
    "ec2/routeTableAssociation:RouteTableAssociation": {
        "routeTableId": "rtb-1",
        "subnetId": "subnet-1",
    },
    "ec2/securityGroup:SecurityGroup": {"vpcId": "vpc-1"},
    "ec2/subnet:Subnet": {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24"},
    "ec2/vpc:Vpc": {"cidrBlock": "10.0.0.0/16", "instanceTenancy": "default"},
    "ec2/vpcEndpoint:VpcEndpoint": {"vpcId": "vpc-1", "serviceName": "com.amazonaws.us-west-2.s3"},
    "eks/accessEntry:AccessEntry": {"clusterName": "one", "principalArn": ROLE},
    "eks/accessPolicyAssociation:AccessPolicyAssociation": {
        "accessScope": {"type": "namespace", "namespaces": ["default"]},
        "clusterName": "one",
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
        "principalArn": ROLE,
    },
    "eks/addon:Addon": {
        "addonName": "vpc-cni",
        "clusterName": "one",
        "podIdentityAssociations": [{"roleArn": ROLE, "serviceAccount": "aws-node"}],
        "resolveConflictsOnUpdate": "PRESERVE",
    },
    "eks/cluster:Cluster": {
        "name": "one",
        "roleArn": ROLE,
        "accessConfig": {"authenticationMode": "API"},
        "enabledClusterLogTypes": ["api", "audit"],
        "encryptionConfig": {"provider": {"keyArn": KEY}, "resources": ["secrets"]},
        "kubernetesNetworkConfig": {"ipFamily": "ipv4"},
        "upgradePolicy": {"supportType": "STANDARD"},
        "vpcConfig": {"subnetIds": ["subnet-1", "subnet-2"], "endpointPublicAccess": False},
    },
    "eks/nodeGroup:NodeGroup": {
        "clusterName": "one",
        "amiType": "AL2023_ARM_64_STANDARD",
        "labels": {"tier": "work"},
        "nodeRoleArn": ROLE,
        "scalingConfig": {"desiredSize": 0, "maxSize": 4, "minSize": 0},
        "subnetIds": ["subnet-1"],
        "taints": [{"effect": "NO_SCHEDULE", "key": "only", "value": ""}],
        "updateConfig": {"maxUnavailablePercentage": 50},
    },
    "eks/podIdentityAssociation:PodIdentityAssociation": {
        "clusterName": "one",
        "namespace": "default",
        "roleArn": ROLE,
        "serviceAccount": "someone",
    },
    "emrcontainers/virtualCluster:VirtualCluster": {
        "name": "one",
        "containerProvider": {
            "id": "one",
            "type": "EKS",
            "info": {"eksInfo": {"namespace": "default"}},
        },
    },
    "iam/policy:Policy": {"policy": DOCUMENT, "path": "/one/"},
    "iam/openIdConnectProvider:OpenIdConnectProvider": {
        "url": "https://issuer.example.com",
        "clientIdLists": ["sts.amazonaws.com"],
    },
    "iam/role:Role": {"assumeRolePolicy": trust("ec2.amazonaws.com"), "path": "/one/"},
    "iam/rolePolicy:RolePolicy": {"role": "one", "policy": DOCUMENT},
    "iam/rolePolicyAttachment:RolePolicyAttachment": {"role": "one", "policyArn": POLICY},
    "kms/alias:Alias": {"name": "alias/one", "targetKeyId": KEY},
    "kms/key:Key": {"description": "", "enableKeyRotation": True, "rotationPeriodInDays": 90},
    "mwaa/environment:Environment": {
        "airflowConfigurationOptions": {"core.parallelism": "32"},
        "airflowVersion": "3.3.1",
        "dagS3Path": "dags",
        "executionRoleArn": ROLE,
        "kmsKey": KEY,
        "loggingConfiguration": {"taskLogs": {"enabled": True, "logLevel": "INFO"}},
        "networkConfiguration": {
            "securityGroupIds": ["sg-1"],
            "subnetIds": ["subnet-1", "subnet-2"],
        },
        "sourceBucketArn": "arn:aws:s3:::one",
        "webserverAccessMode": "PUBLIC_AND_PRIVATE",
        "weeklyMaintenanceWindowStart": "SUN:03:30",
    },
    "s3/bucket:Bucket": {"bucket": "one"},
    "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {
        "bucket": "one",
        "rules": [{"id": "old", "status": "Enabled", "expiration": {"days": 1}}],
    },
    "s3/bucketLogging:BucketLogging": {
        "bucket": "one",
        "targetBucket": "logs",
        "targetPrefix": "one/",
    },
    "s3/bucketObjectv2:BucketObjectv2": {"bucket": "one", "key": "key", "content": ""},
    "s3/bucketOwnershipControls:BucketOwnershipControls": {
        "bucket": "one",
        "rule": {"objectOwnership": "BucketOwnerEnforced"},
    },
    "s3/bucketPolicy:BucketPolicy": {"bucket": "one", "policy": DOCUMENT},
    "s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {"bucket": "one"},
    "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
        "bucket": "one",
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}],
    },
    "s3/bucketVersioning:BucketVersioning": {
        "bucket": "one",
        "versioningConfiguration": {"status": "Enabled"},
    },
    "secretsmanager/secret:Secret": {"name": "one", "kmsKeyId": KEY},
    "secretsmanager/secretVersion:SecretVersion": {"secretId": "one", "secretString": "{}"},
    "sns/topic:Topic": {"name": "one", "kmsMasterKeyId": KEY},
    "sns/topicPolicy:TopicPolicy": {"arn": TOPIC, "policy": DOCUMENT},
    "sns/topicSubscription:TopicSubscription": {
        "endpoint": "night@example.com",
        "protocol": "email",
        "topic": TOPIC,
    },
    "vpc/securityGroupEgressRule:SecurityGroupEgressRule": {
        "cidrIpv4": "0.0.0.0/0",
        "ipProtocol": "-1",
        "securityGroupId": "sg-1",
    },
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": {
        "cidrIpv4": "0.0.0.0/0",
        "ipProtocol": "-1",
        "securityGroupId": "sg-1",
    },
}

MANY = {f"tag{number}": "" for number in range(51)}
LONG = "x" * 3000

# A type, the place of one value in what is valid, another value, and what the failure says of it.
INVALID: list[tuple[str, str, Value, str]] = [
    ("budgets/budget:Budget", "budgetType", "MONEY", "one of ["),
    ("budgets/budget:Budget", "timePeriodStart", "today", "cannot be parsed"),
    ("cloudwatch/dashboard:Dashboard", "dashboardBody", "{", "invalid JSON"),
    ("cloudwatch/dashboard:Dashboard", "dashboardName", "a b", "only alphanumeric"),
    ("cloudwatch/eventRule:EventRule", "eventPattern", "{", "invalid JSON"),
    ("cloudwatch/eventRule:EventRule", "name", LONG, "1 to 64 characters"),
    ("cloudwatch/eventTarget:EventTarget", "arn", LONG, "1 to 1600 characters"),
    ("cloudwatch/logGroup:LogGroup", "kmsKeyId", LONG, "at most 256 characters"),
    ("cloudwatch/logGroup:LogGroup", "logGroupClass", "FREQUENT", "one of [STANDARD]"),
    ("cloudwatch/logGroup:LogGroup", "name", "group:latest", "match"),
    ("cloudwatch/logGroup:LogGroup", "name", LONG, "1 to 512 characters"),
    ("cloudwatch/logGroup:LogGroup", "retentionInDays", 31, "one of"),
    ("cloudwatch/logGroup:LogGroup", "tags", MANY, "1 to 50 items"),
    ("cloudwatch/logGroup:LogGroup", "tags", {"a&b": ""}, "keys of tags to match"),
    ("cloudwatch/logGroup:LogGroup", "tags.a", LONG, "at most 256 characters"),
    ("cloudwatch/logGroup:LogGroup", "tags.a", "a&b", "match"),
    ("cloudwatch/metricAlarm:MetricAlarm", "alarmActions", TOPIC, "a list"),
    ("cloudwatch/metricAlarm:MetricAlarm", "comparisonOperator", ">", "one of ["),
    ("cloudwatch/metricAlarm:MetricAlarm", "treatMissingData", "bad", "one of ["),
    ("ec2/defaultSecurityGroup:DefaultSecurityGroup", "vpcId", ["vpc-1"], "text"),
    ("ec2/eip:Eip", "domain", "ipv6", "one of [vpc]"),
    ("ec2/flowLog:FlowLog", "logDestinationType", "s4", "one of"),
    ("ec2/flowLog:FlowLog", "maxAggregationInterval", 61, "one of"),
    ("ec2/flowLog:FlowLog", "trafficType", "DROP", "one of [ACCEPT, REJECT, ALL]"),
    ("ec2/flowLog:FlowLog", "vpcId", ["vpc-1"], "text"),
    ("ec2/internetGateway:InternetGateway", "vpcId", ["vpc-1"], "text"),
    (
        "ec2/launchTemplate:LaunchTemplate",
        "blockDeviceMappings[0].ebs.encrypted",
        "yes",
        "true or false",
    ),
    ("ec2/launchTemplate:LaunchTemplate", "blockDeviceMappings[0].ebs.volumeSize", "8G", "number"),
    (
        "ec2/launchTemplate:LaunchTemplate",
        "blockDeviceMappings[0].ebs.volumeType",
        "gp4",
        "one of [standard, io1",
    ),
    ("ec2/launchTemplate:LaunchTemplate", "description", LONG, "0 to 255 characters"),
    ("ec2/launchTemplate:LaunchTemplate", "instanceType", "m7i.huge", "one of"),
    (
        "ec2/launchTemplate:LaunchTemplate",
        "metadataOptions.httpEndpoint",
        "on",
        "one of [disabled, enabled]",
    ),
    (
        "ec2/launchTemplate:LaunchTemplate",
        "metadataOptions.httpTokens",
        "always",
        "one of [optional, required]",
    ),
    ("ec2/launchTemplate:LaunchTemplate", "name", LONG, "128"),
    (
        "ec2/launchTemplate:LaunchTemplate",
        "tagSpecifications[0].resourceType",
        "node",
        "one of [capacity-reservation",
    ),
    ("ec2/launchTemplate:LaunchTemplate", "vpcSecurityGroupIds", "sg-1", "a list"),
    ("ec2/natGateway:NatGateway", "connectivityType", "open", "one of [private, public]"),
    ("ec2/route:Route", "gatewayId", {"id": "igw-1"}, "text"),
    ("ec2/routeTable:RouteTable", "tags.one", ["1"], "text"),
    ("ec2/routeTableAssociation:RouteTableAssociation", "subnetId", ["subnet-1"], "text"),
    ("ec2/securityGroup:SecurityGroup", "name", LONG, "255"),
    ("ec2/subnet:Subnet", "mapPublicIpOnLaunch", "no", "true or false"),
    ("ec2/vpc:Vpc", "enableDnsSupport", "on", "true or false"),
    ("ec2/vpc:Vpc", "instanceTenancy", "shared", "one of [default, dedicated, host]"),
    ("ec2/vpcEndpoint:VpcEndpoint", "subnetIds", "subnet-1", "a list"),
    ("ec2/vpcEndpoint:VpcEndpoint", "vpcEndpointType", "Direct", "one of [Gateway, Interface]"),
    ("eks/accessEntry:AccessEntry", "kubernetesGroups", "people", "a list"),
    ("eks/accessEntry:AccessEntry", "tags", {"": "1"}, "1 to 128 characters"),
    ("eks/accessEntry:AccessEntry", "type", "ADMIN", "one of"),
    (
        "eks/accessPolicyAssociation:AccessPolicyAssociation",
        "accessScope.type",
        "region",
        "one of [cluster, namespace]",
    ),
    ("eks/addon:Addon", "clusterName", "my.cluster", "match"),
    ("eks/addon:Addon", "clusterName", LONG, "1 to 100 characters"),
    ("eks/addon:Addon", "preserve", "kept", "true or false"),
    ("eks/addon:Addon", "resolveConflictsOnCreate", "PRESERVE", "one of [NONE, OVERWRITE]"),
    ("eks/addon:Addon", "resolveConflictsOnUpdate", "KEEP", "one of [OVERWRITE, NONE, PRESERVE]"),
    ("eks/addon:Addon", "serviceAccountRoleArn", LONG, "1 to 255 characters"),
    (
        "eks/cluster:Cluster",
        "accessConfig.authenticationMode",
        "IAM",
        "one of [API, API_AND_CONFIG_MAP, CONFIG_MAP]",
    ),
    ("eks/cluster:Cluster", "deletionProtection", "never", "true or false"),
    ("eks/cluster:Cluster", "enabledClusterLogTypes[1]", "kubelet", "one of [api, audit"),
    ("eks/cluster:Cluster", "encryptionConfig.resources", "secrets", "a list"),
    ("eks/cluster:Cluster", "kubernetesNetworkConfig.ipFamily", "ipv5", "one of [ipv4, ipv6]"),
    ("eks/cluster:Cluster", "name", "-one", "match"),
    ("eks/cluster:Cluster", "name", "my.cluster", "match"),
    ("eks/cluster:Cluster", "name", LONG, "1 to 100 characters"),
    ("eks/cluster:Cluster", "tags", MANY, "1 to 50 items"),
    ("eks/cluster:Cluster", "tags", {LONG: ""}, "1 to 128 characters"),
    ("eks/cluster:Cluster", "tags.a", LONG, "at most 256 characters"),
    ("eks/cluster:Cluster", "upgradePolicy.supportType", "LONG", "one of [STANDARD, EXTENDED]"),
    ("eks/cluster:Cluster", "vpcConfig.endpointPublicAccess", "open", "true or false"),
    ("eks/nodeGroup:NodeGroup", "amiType", "AL2024_x86_64", "one of [AL2_x86_64"),
    ("eks/nodeGroup:NodeGroup", "capacityType", "RESERVED", "one of [ON_DEMAND, SPOT"),
    ("eks/nodeGroup:NodeGroup", "diskSize", "100", "a whole number"),
    ("eks/nodeGroup:NodeGroup", "labels", {LONG: "1"}, "1 to 63 characters"),
    ("eks/nodeGroup:NodeGroup", "labels.tier", "", "1 to 63 characters"),
    ("eks/nodeGroup:NodeGroup", "labels.tier", LONG, "1 to 63 characters"),
    ("eks/nodeGroup:NodeGroup", "nodeGroupName", LONG, "63"),
    ("eks/nodeGroup:NodeGroup", "scalingConfig.desiredSize", -1, "at least 0"),
    ("eks/nodeGroup:NodeGroup", "scalingConfig.maxSize", 0, "at least 1"),
    ("eks/nodeGroup:NodeGroup", "scalingConfig.minSize", -1, "at least 0"),
    ("eks/nodeGroup:NodeGroup", "taints[0].effect", "NoSchedule", "one of [NO_SCHEDULE"),
    ("eks/nodeGroup:NodeGroup", "taints[0].key", "", "1 to 63 characters"),
    ("eks/nodeGroup:NodeGroup", "taints[0].value", LONG, "0 to 63 characters"),
    ("eks/nodeGroup:NodeGroup", "updateConfig.maxUnavailable", 0, "at least 1"),
    ("eks/nodeGroup:NodeGroup", "updateConfig.maxUnavailablePercentage", 101, "1 to 100"),
    (
        "eks/podIdentityAssociation:PodIdentityAssociation",
        "disableSessionTags",
        "yes",
        "true or false",
    ),
    ("eks/podIdentityAssociation:PodIdentityAssociation", "tags.a", LONG, "at most 256"),
    ("emrcontainers/virtualCluster:VirtualCluster", "containerProvider.id", "a b", "match"),
    (
        "emrcontainers/virtualCluster:VirtualCluster",
        "containerProvider.info.eksInfo.namespace",
        "Spark",
        "match",
    ),
    ("emrcontainers/virtualCluster:VirtualCluster", "containerProvider.type", "ECS", "one of [EKS"),
    ("emrcontainers/virtualCluster:VirtualCluster", "name", "spark jobs", "match"),
    ("emrcontainers/virtualCluster:VirtualCluster", "name", LONG, "1 to 64 characters"),
    ("emrcontainers/virtualCluster:VirtualCluster", "tags", MANY, "0 to 50 items"),
    ("emrcontainers/virtualCluster:VirtualCluster", "tags.a", "  ", "match"),
    ("iam/policy:Policy", "description", LONG, "at most 1000 characters"),
    ("iam/policy:Policy", "name", "let in", "match"),
    ("iam/policy:Policy", "name", LONG, "1 to 128 characters"),
    ("iam/policy:Policy", "policy", json.dumps("…", ensure_ascii=False), "match"),
    ("iam/policy:Policy", "tags.a", "R&D", "match"),
    ("iam/openIdConnectProvider:OpenIdConnectProvider", "url", LONG, "1 to 255 characters"),
    ("iam/role:Role", "assumeRolePolicy", json.dumps({"one": "x" * 131072}), "1 to 131072"),
    ("iam/role:Role", "description", "role → nodes", "match"),
    ("iam/role:Role", "description", LONG, "at most 1000 characters"),
    ("iam/role:Role", "maxSessionDuration", 43201, "3600 to 43200"),
    ("iam/role:Role", "maxSessionDuration", 60, "3600 to 43200"),
    ("iam/role:Role", "name", "nodes of one", "match"),
    ("iam/role:Role", "name", "rôle", "match"),
    ("iam/role:Role", "name", LONG, "1 to 64 characters"),
    ("iam/role:Role", "path", "one", "match"),
    ("iam/role:Role", "permissionsBoundary", "boundary", "20 to 2048 characters"),
    ("iam/role:Role", "tags", MANY, "at most 50 items"),
    ("iam/role:Role", "tags.a", "R&D", "match"),
    ("iam/rolePolicy:RolePolicy", "name", "let in", "match"),
    ("iam/rolePolicy:RolePolicy", "name", LONG, "1 to 128 characters"),
    ("iam/rolePolicy:RolePolicy", "policy", json.dumps("…", ensure_ascii=False), "match"),
    ("iam/rolePolicy:RolePolicy", "role", ROLE, "match"),
    ("iam/rolePolicyAttachment:RolePolicyAttachment", "policyArn", "Admin", "20 to 2048 char"),
    ("iam/rolePolicyAttachment:RolePolicyAttachment", "role", ROLE, "match"),
    ("kms/alias:Alias", "name", "alias/my key", "match"),
    ("kms/alias:Alias", "name", LONG, "1 to 256 characters"),
    ("kms/alias:Alias", "targetKeyId", "", "1 to 2048 characters"),
    ("kms/key:Key", "customerMasterKeySpec", "AES_256", "one of [RSA_2048"),
    ("kms/key:Key", "deletionWindowInDays", 31, "one of [7, 8"),
    ("kms/key:Key", "description", "x" * 8193, "0 to 8192 characters"),
    ("kms/key:Key", "keyUsage", "ENCRYPT", "one of [SIGN_VERIFY"),
    ("kms/key:Key", "multiRegion", "all", "true or false"),
    ("kms/key:Key", "rotationPeriodInDays", 30, "90 to 2560"),
    ("kms/key:Key", "tags", {LONG: ""}, "1 to 128 characters"),
    ("kms/key:Key", "tags.a", LONG, "0 to 256 characters"),
    ("mwaa/environment:Environment", "airflowConfigurationOptions", {"Core.x": "1"}, "match"),
    (
        "mwaa/environment:Environment",
        "airflowConfigurationOptions",
        {"core.parallelism": ""},
        "1 to 65536",
    ),
    ("mwaa/environment:Environment", "airflowVersion", "3-3", "match"),
    ("mwaa/environment:Environment", "dagS3Path", LONG, "0 to 1024 characters"),
    ("mwaa/environment:Environment", "endpointManagement", "NONE", "one of [CUSTOMER, SERVICE]"),
    ("mwaa/environment:Environment", "environmentClass", LONG, "1 to 1024 characters"),
    ("mwaa/environment:Environment", "executionRoleArn", "one", "match"),
    ("mwaa/environment:Environment", "kmsKey", "01234567", "match"),
    (
        "mwaa/environment:Environment",
        "loggingConfiguration.taskLogs.enabled",
        "yes",
        "true or false",
    ),
    (
        "mwaa/environment:Environment",
        "loggingConfiguration.taskLogs.logLevel",
        "TRACE",
        "one of [CRITICAL, ERROR, WARNING, INFO, DEBUG]",
    ),
    ("mwaa/environment:Environment", "maxWorkers", 0, "at least 1"),
    ("mwaa/environment:Environment", "minWebservers", 0, "at least 1"),
    ("mwaa/environment:Environment", "minWorkers", 0, "at least 1"),
    ("mwaa/environment:Environment", "name", "1st", "match"),
    ("mwaa/environment:Environment", "name", "air.flow", "match"),
    ("mwaa/environment:Environment", "name", LONG, "1 to 80 characters"),
    (
        "mwaa/environment:Environment",
        "networkConfiguration.securityGroupIds",
        ["sg-1"] * 6,
        "1 to 5 items, it has 6",
    ),
    ("mwaa/environment:Environment", "networkConfiguration.securityGroupIds", [], "1 to 5 items"),
    ("mwaa/environment:Environment", "networkConfiguration.subnetIds", ["subnet-1"], "2 items"),
    ("mwaa/environment:Environment", "networkConfiguration.subnetIds[1]", "vpc-1", "match"),
    ("mwaa/environment:Environment", "requirementsS3ObjectVersion", LONG, "0 to 1024 characters"),
    ("mwaa/environment:Environment", "schedulers", 6, "at most 5"),
    ("mwaa/environment:Environment", "sourceBucketArn", "one", "match"),
    ("mwaa/environment:Environment", "tags", MANY, "1 to 50 items"),
    ("mwaa/environment:Environment", "tags.a", "", "1 to 256 characters"),
    ("mwaa/environment:Environment", "tags.a", "R&D", "match"),
    ("mwaa/environment:Environment", "webserverAccessMode", "OPEN", "one of [PRIVATE_ONLY"),
    ("mwaa/environment:Environment", "weeklyMaintenanceWindowStart", "SUN:03:15", "match"),
    (
        "mwaa/environment:Environment",
        "weeklyMaintenanceWindowStart",
        "SUN:03:30 UTC",
        "1 to 9 characters",
    ),
    (
        "mwaa/environment:Environment",
        "workerReplacementStrategy",
        "SLOW",
        "one of [FORCED, GRACEFUL]",
    ),
    ("s3/bucket:Bucket", "bucket", LONG, "63"),
    ("s3/bucket:Bucket", "tags", {"": "1"}, "at least 1 character"),
    (
        "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "rules[0].expiration.days",
        "1 day",
        "a whole number",
    ),
    (
        "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "rules[0].status",
        "On",
        "one of [Enabled, Disabled]",
    ),
    ("s3/bucketLogging:BucketLogging", "bucket", "", "in the range (1 - 63)"),
    ("s3/bucketObjectv2:BucketObjectv2", "key", "", "at least 1 character"),
    ("s3/bucketObjectv2:BucketObjectv2", "serverSideEncryption", "aes", "one of [AES256"),
    (
        "s3/bucketOwnershipControls:BucketOwnershipControls",
        "rule.objectOwnership",
        "Owner",
        "one of [BucketOwnerPreferred",
    ),
    ("s3/bucketPolicy:BucketPolicy", "policy", "{", "invalid JSON"),
    (
        "s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "blockPublicAcls",
        "yes",
        "true or false",
    ),
    (
        "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm",
        "kms",
        "one of [AES256",
    ),
    (
        "s3/bucketVersioning:BucketVersioning",
        "versioningConfiguration.status",
        "On",
        "one of [Enabled, Suspended, Disabled]",
    ),
    ("secretsmanager/secret:Secret", "description", LONG, "at most 2048 characters"),
    ("secretsmanager/secret:Secret", "kmsKeyId", LONG, "0 to 2048 characters"),
    ("secretsmanager/secret:Secret", "name", LONG, "1 to 512 characters"),
    ("secretsmanager/secret:Secret", "policy", json.dumps("x" * 20480), "1 to 20480 characters"),
    ("secretsmanager/secret:Secret", "recoveryWindowInDays", 6, "one of [0, 7, 8"),
    ("secretsmanager/secret:Secret", "tags.a", LONG, "0 to 256 characters"),
    ("secretsmanager/secretVersion:SecretVersion", "secretId", LONG, "1 to 2048 characters"),
    ("secretsmanager/secretVersion:SecretVersion", "secretString", "", "1 to 65536 characters"),
    ("secretsmanager/secretVersion:SecretVersion", "secretString", 1, "text, got a secret"),
    ("secretsmanager/secretVersion:SecretVersion", "versionStages", [], "1 to 20 items"),
    ("sns/topic:Topic", "fifoTopic", "maybe", "one of [True, False]"),
    ("sns/topic:Topic", "name", "a topic", "invalid topic name"),
    ("sns/topicPolicy:TopicPolicy", "policy", "{", "invalid JSON"),
    ("sns/topicSubscription:TopicSubscription", "protocol", "pigeon", "one of ["),
    ("vpc/securityGroupEgressRule:SecurityGroupEgressRule", "cidrIpv4", ["0.0.0.0/0"], "text"),
    ("vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ipProtocol", 6, "text"),
]


@pytest.fixture(scope="module")
def account() -> Account:
    """An account in which nothing is made."""
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2"})
    return Account(plugin)


def test_what_is_valid_passes(account: Account) -> None:
    assert {f"aws:{name}" for name in VALID} == set(resource_types())
    for pulumi_type, given in VALID.items():
        assert account.check(pulumi_type, **given) == (), pulumi_type


def with_value(given: Properties, place: str, value: Value) -> Properties:
    """The same with another value at a place, which need not be there yet."""
    changed: Value = copy.deepcopy(given)
    target, steps = changed, [step for step in re.split(r"[.\[\]]+", place) if step]
    for step in steps[:-1]:
        target = target[int(step)] if isinstance(target, list) else target.setdefault(step, {})
    target[int(steps[-1]) if isinstance(target, list) else steps[-1]] = value
    result: Properties = changed
    return result


@pytest.mark.parametrize(
    ("pulumi_type", "place", "value", "rule"),
    INVALID,
    ids=[f"{one[0].rpartition(':')[2]}.{one[1]}={str(one[2])[:16]}" for one in INVALID],
)
def test_an_invalid_value_is_refused_by_its_property_and_the_rule(
    account: Account, pulumi_type: str, place: str, value: Value, rule: str
) -> None:
    (failure,) = account.check(pulumi_type, **with_value(VALID[pulumi_type], place, value))
    assert failure.property == place or failure.property.startswith(f"{place}.")
    assert place in failure.reason
    assert rule in failure.reason


def test_who_is_told_of_a_budget_is_a_list(account: Account) -> None:
    # A text is a list of texts to Python, and so to mypy.
    place = "notifications[0].subscriberSnsTopicArns"
    given = with_value(VALID["budgets/budget:Budget"], place, TOPIC)
    (failure,) = account.check("budgets/budget:Budget", **given)
    assert "expected subscriberSnsTopicArns to be a list" in failure.reason


def test_every_type_refuses_something() -> None:
    assert {pulumi_type for pulumi_type, *_ in INVALID} == VALID.keys()


def test_a_name_made_of_the_logical_one_obeys_its_rules(account: Account) -> None:
    resource = Resource("urn", "aws:emrcontainers/virtualCluster:VirtualCluster", "spark jobs")
    given = VALID["emrcontainers/virtualCluster:VirtualCluster"] | {"name": None}
    (failure,) = account.plugin.check(resource, {}, given, b"seed").failures
    assert failure.property == "name"


def test_default_tags_obey_the_rules_of_each_service() -> None:
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2", "defaultTags": json.dumps({"tags": {"a": "R&D"}})})
    account = Account(plugin)
    (failure,) = account.check("iam/role:Role", **VALID["iam/role:Role"])
    assert failure.property == "tags.a"
    # EKS has no rule for what a tag consists of.
    assert account.check("eks/cluster:Cluster", **VALID["eks/cluster:Cluster"]) == ()


def test_what_is_not_known_yet_passes(account: Account) -> None:
    for pulumi_type, given in VALID.items():
        for key in given:
            unknown = given | {key: UNKNOWN}
            assert account.check(pulumi_type, **unknown) == (), f"{pulumi_type} {key}"
    template = "ec2/launchTemplate:LaunchTemplate"
    mapping = {"deviceName": UNKNOWN, "ebs": {"kmsKeyId": UNKNOWN, "volumeType": UNKNOWN}}
    assert account.check(template, blockDeviceMappings=[mapping, UNKNOWN]) == ()
    assert account.check(template, tags={"one": UNKNOWN}) == ()


def _partly_unknown(value: Value, shape: Shape | None) -> Iterator[Value]:
    """The value with each part of it unknown in turn, and what has not been given, too."""
    yield UNKNOWN
    items = value if isinstance(value, list) else [value]
    for item in items if shape else ():
        known = item if isinstance(item, dict) else {}
        for name, below in (shape or {}).items():
            for part in _partly_unknown(known.get(name), below.shape):
                whole = {**known, name: part}
                yield [whole, UNKNOWN] if isinstance(value, list) else whole
    if isinstance(value, list):
        yield [*value[1:], UNKNOWN]
    elif isinstance(value, dict) and not shape:
        yield from ({**value, key: UNKNOWN} for key in value)


@pytest.mark.parametrize("pulumi_type", VALID)
def test_a_preview_bears_what_is_not_known_yet_in_every_input(
    account: Account, pulumi_type: str
) -> None:
    plugin, one = account.plugin, resource_types()[f"aws:{pulumi_type}"]
    resource = Resource(f"urn:pulumi:test::test::{one.pulumi_type}::x", one.pulumi_type, "x")
    old = plugin.check(resource, {}, VALID[pulumi_type], b"seed").inputs
    state = {**dict.fromkeys(one.outputs, "output"), **old}
    for key, declared in one.inputs.items():
        for value in _partly_unknown(VALID[pulumi_type].get(key), declared.shape):
            given = VALID[pulumi_type] | {key: value}
            new = plugin.check(resource, old, given, b"seed").inputs
            diff = plugin.diff(resource, old, state, new)
            assert key in diff.changes, f"{key}: {value}"
            assert (key in diff.replaces) >= declared.replaces, f"{key}: {value}"
            plugin.create(resource, new, preview=True)
            plugin.update(resource, "x", old, state, new, preview=True)
            # What was not known when it was made, and is now.
            plugin.diff(resource, new, state, old)


# The declarations and the models.


def members(one: type[ResourceType]) -> Iterator[models.Shape]:
    """Every property's model, and those of the properties below it."""
    for key, declared in one.inputs.items():
        member = one.member(key)
        if member is not None:
            yield member
            yield from _below(member, declared.shape or {})


def _below(shape: models.Shape, names: Shape) -> Iterator[models.Shape]:
    structure = shape.member if shape.type_name == "list" else shape
    for name, below in names.items():
        member = models.members(structure)[name.lower()]
        yield member
        yield from _below(member, below.shape or {})


@pytest.mark.parametrize("token", resource_types())
def test_every_property_is_a_member_of_the_api_or_said_to_be_none(token: str) -> None:
    one = resource_types()[token]
    assert list(members(one))
    for key, name in one.members.items():
        assert key in one.inputs
        assert name is None or name.lower() != key.lower()


def test_a_member_that_the_api_lacks_is_an_error(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_group = resource_types()["aws:cloudwatch/logGroup:LogGroup"]
    with monkeypatch.context() as patch:
        patch.setattr(log_group, "members", {"name": "groupName"})
        with pytest.raises(LookupError, match="CreateLogGroup, PutRetentionPolicy lack groupName"):
            account.check("cloudwatch/logGroup:LogGroup")


def test_every_rule_of_a_member_can_be_read() -> None:
    patterns = set()
    for one in resource_types().values():
        for member in members(one):
            patterns |= set(_patterns(member))
    assert len(patterns) > 20
    for text in patterns:
        models.pattern(text)


def _patterns(shape: models.Shape) -> Iterator[str]:
    assert shape.type_name in models.KINDS, shape
    if "pattern" in shape.metadata:
        yield shape.metadata["pattern"]
    for part in ("member", "key", "value"):
        if hasattr(shape, part):
            yield from _patterns(getattr(shape, part))


def test_letters_numbers_and_spaces_are_those_of_unicode() -> None:
    pattern = models.pattern(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*")
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        allowed = unicodedata.category(character)[0] in "LNZ" or character in "_.:/=+-@"
        assert bool(pattern.fullmatch(character)) == allowed, hex(code)


def test_a_pattern_that_python_reads_otherwise_is_an_error() -> None:
    with pytest.raises(re.error):
        models.pattern(r"\p{Alpha}+")
