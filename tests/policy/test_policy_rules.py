"""Each rule of the policy pack, with what it lets through and what it does not."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rules import RULES, Resource, Rule, Stack

Json = Any
ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "111122223333"
EMR = "895885662937.dkr.ecr.us-west-2.amazonaws.com"
NAMES = {rule.name: rule for rule in RULES}

CLUSTER = "aws:eks/cluster:Cluster"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
ENVIRONMENT = "aws:mwaa/environment:Environment"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"
KEY = "aws:kms/key:Key"
LOGS = "aws:cloudwatch/logGroup:LogGroup"
POLICY = "aws:iam/policy:Policy"
ROLE = "aws:iam/role:Role"
BUCKET = "aws:s3/bucket:Bucket"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
IN = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
OUT = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
PROVIDER = "pulumi:providers:aws"
ADDON = "aws:eks/addon:Addon"
SECRET_OF_AWS = "aws:secretsmanager/secret:Secret"  # noqa: S105  (a type)
OF_NODES = ("ecr.api", "ecr.dkr", "eks", "s3", "sts")
NAMESPACE = "kubernetes:core/v1:Namespace"
RBAC = "kubernetes:rbac.authorization.k8s.io/v1"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
SECRET = "kubernetes:core/v1:Secret"  # noqa: S105  (a type)


def made(kind: str, props: Json, *, of: str = "it", **references: str) -> Resource:
    """A resource; references: the names of what its properties are made of."""
    dependencies = {key: frozenset({f"urn:{name}"}) for key, name in references.items()}
    return Resource(kind, of, f"urn:{of}", props, dependencies=dependencies)


def part(kind: str, props: Json, bucket: str = "it") -> Resource:
    """What configures a bucket."""
    return made(f"aws:s3/bucket{kind}:Bucket{kind}", props, of=kind, bucket=bucket)


def document(*statements: Json) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Json, resource: Json = "arn:aws:s3:::b", **more: Json) -> Json:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal: Json, **conditions: Json) -> Json:
    given = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {**given, **({"Condition": conditions} if conditions else {})}


def policy(*statements: Json) -> Resource:
    return made(POLICY, {"policy": document(*statements)})


def role(*statements: Json, **more: Json) -> Resource:
    return made(ROLE, {"assumeRolePolicy": document(*statements), **more})


def named(name: str, namespace: str | None = None, **more: Json) -> Json:
    """The metadata of an object."""
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def cluster(**props: Json) -> Resource:
    return made(CLUSTER, props)


def vpc() -> Resource:
    return made("aws:ec2/vpc:Vpc", {}, of="vpc")


def route(**props: Json) -> Resource:
    return made("aws:ec2/route:Route", {"destinationCidrBlock": "0.0.0.0/0", **props})


def leading_to(service: str, vpc: str = "vpc") -> Resource:
    """An endpoint of a VPC."""
    props = {"serviceName": f"com.amazonaws.us-west-2.{service}"}
    return made("aws:ec2/vpcEndpoint:VpcEndpoint", props, of=service, vpcId=vpc)


def endpoint(**props: Json) -> Resource:
    return cluster(vpcConfig={"endpointPublicAccess": True, **props})


def rbac(kind: str, *rules: Json) -> Resource:
    return made(f"{RBAC}:{kind}", {"metadata": named("jobs", "jobs"), "rules": list(rules)})


def may(verbs: list[str], resources: list[str], **more: Json) -> Json:
    return {"apiGroups": [""], "resources": resources, "verbs": verbs, **more}


def binding(kind: str, to: str, *subjects: Json, namespace: str = "jobs") -> Resource:
    props = {
        "metadata": named("jobs", namespace),
        "roleRef": {"kind": kind, "name": to},
        "subjects": list(subjects) or [{"kind": "Group", "name": "airflow"}],
    }
    return made(f"{RBAC}:RoleBinding", props)


RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
BOUNDED = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}


def container(**props: Json) -> Json:
    given = {"name": "main", "image": "r/app:1.2", "securityContext": RESTRICTED}
    return {**given, "resources": BOUNDED, **props}


def pod(*containers: Json, **spec: Json) -> Json:
    return {"containers": list(containers) or [container()], **spec}


def deployment(*containers: Json, **spec: Json) -> Resource:
    template = {"spec": pod(*containers, **spec)}
    props = {"metadata": named("app", "apps"), "spec": {"template": template}}
    return made("kubernetes:apps/v1:Deployment", props)


def object_in(kind: str, namespace: str, **props: Json) -> Resource:
    return made(kind, {"metadata": named("x", namespace), **props}, of=kind)


SPACE = made(NAMESPACE, {"metadata": named("jobs")})
SYSTEM = made(NAMESPACE, {"metadata": named("kube-system")})
QUOTA = object_in("kubernetes:core/v1:ResourceQuota", "jobs")
LIMITS = object_in("kubernetes:core/v1:LimitRange", "jobs")
VPC = made("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"})
S3 = made(BUCKET, {"bucket": "b"})
TLS = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
TLS_ONLY = {**TLS, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
CLOSED = dict.fromkeys(
    ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
)
ISSUER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
LOG_KINDS = ("dagProcessingLogs", "schedulerLogs", "taskLogs", "webserverLogs", "workerLogs")
WRITES_LOGS = {one: {"enabled": True} for one in LOG_KINDS}


def deny_all(*kinds: str, **more: Json) -> Resource:
    return object_in(NETWORK_POLICY, "jobs", spec={"podSelector": {}, "policyTypes": kinds, **more})


def encrypted(algorithm: str) -> Resource:
    by_default = {"applyServerSideEncryptionByDefault": {"sseAlgorithm": algorithm}}
    return part("ServerSideEncryptionConfiguration", {"rules": [by_default]})


def github(sub: str, key: str = "StringEquals", **more: str) -> Json:
    conditions = {"token.actions.githubusercontent.com:sub": sub}
    if "aud" in more:
        conditions["token.actions.githubusercontent.com:aud"] = more["aud"]
    return trust({"Federated": ISSUER}, **{key: conditions})


def environment(**props: Json) -> Resource:
    return made(ENVIRONMENT, props)


# By rule: what is let through, and what is not with a part of what is said. The first resource of
# a tuple is the one that is looked at.
CASES: dict[str, tuple[list[Any], list[tuple[Any, str]]]] = {
    "eks-control-plane-logs": (
        [
            cluster(
                enabledClusterLogTypes=[
                    *("api", "audit", "authenticator", "controllerManager", "scheduler")
                ]
            )
        ],
        [
            (cluster(), "lacks api, audit, authenticator"),
            (
                cluster(enabledClusterLogTypes=["api", "audit", "authenticator"]),
                "lacks controllerManager, scheduler",
            ),
        ],
    ),
    "eks-secrets-encrypted": (
        [cluster(encryptionConfig={"provider": {"keyArn": "k"}, "resources": ["secrets"]})],
        [(cluster(), "does not name secrets")],
    ),
    "eks-endpoint-not-open": (
        [
            endpoint(publicAccessCidrs=["203.0.113.0/24"]),
            endpoint(endpointPublicAccess=False),
            endpoint(publicAccessCidrs=["10.0.0.0/8", "172.16.0.0/12"]),
        ],
        [
            (endpoint(), "is 0.0.0.0/0"),
            (endpoint(publicAccessCidrs=["0.0.0.0/0"]), "is 0.0.0.0/0"),
            (endpoint(publicAccessCidrs=["0.0.0.0/1", "128.0.0.0/1"]), "is 0.0.0.0/1, 128"),
        ],
    ),
    "eks-endpoint-private-only": (
        [endpoint(endpointPublicAccess=False)],
        [(endpoint(publicAccessCidrs=["203.0.113.0/24"]), "endpointPublicAccess is on")],
    ),
    "eks-endpoint-private": (
        [endpoint(endpointPrivateAccess=True)],
        [(endpoint(), "endpointPrivateAccess is off")],
    ),
    "eks-deletion-protection": (
        [cluster(deletionProtection=True)],
        [(cluster(), "deletionProtection is off")],
    ),
    "eks-standard-support": (
        [cluster(upgradePolicy={"supportType": "STANDARD"})],
        [
            (cluster(), "EXTENDED, the default"),
            (cluster(upgradePolicy={"supportType": "EXTENDED"}), "is EXTENDED"),
        ],
    ),
    "eks-network-policies-enforced": (
        [
            made(
                "aws:eks/addon:Addon",
                {"addonName": "vpc-cni", "configurationValues": '{"enableNetworkPolicy": "true"}'},
            ),
            made("aws:eks/addon:Addon", {"addonName": "coredns"}),
        ],
        [(made("aws:eks/addon:Addon", {"addonName": "vpc-cni"}), "enableNetworkPolicy is off")],
    ),
    "eks-nodes-without-ssh": (
        [
            made("aws:eks/nodeGroup:NodeGroup", {}),
            made(
                "aws:eks/nodeGroup:NodeGroup",
                {"remoteAccess": {"ec2SshKey": "k", "sourceSecurityGroupIds": ["sg"]}},
            ),
        ],
        [(made("aws:eks/nodeGroup:NodeGroup", {"remoteAccess": {"ec2SshKey": "k"}}), "0.0.0.0/0")],
    ),
    "instances-ask-for-tokens": (
        [made(TEMPLATE, {"metadataOptions": {"httpTokens": "required"}})],
        [
            (made(TEMPLATE, {}), "httpTokens is optional"),
            (
                made(
                    TEMPLATE,
                    {"metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 2}},
                ),
                "HopLimit is 2",
            ),
        ],
    ),
    "instance-volumes-encrypted": (
        [made(TEMPLATE, {"blockDeviceMappings": [{"ebs": {"encrypted": "true"}}]})],
        [
            (
                made(TEMPLATE, {"blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {}}]}),
                "/dev/xvda is not",
            )
        ],
    ),
    "instances-without-public-address": (
        [made(TEMPLATE, {"networkInterfaces": [{"associatePublicIpAddress": "false"}]})],
        [
            (
                made(TEMPLATE, {"networkInterfaces": [{"associatePublicIpAddress": "true"}]}),
                "is on",
            )
        ],
    ),
    "instances-start-without-keys": (
        [made(TEMPLATE, {"userData": base64.b64encode(b"#!/bin/sh").decode()})],
        [
            (made(TEMPLATE, {"userData": base64.b64encode(key).decode()}), "has an access key")
            for key in (b"export K=AKIAIOSFODNN7EXAMPLE", b"-----BEGIN RSA PRIVATE KEY-----")
        ],
    ),
    "vpc-flow-logs": (
        [(VPC, made("aws:ec2/flowLog:FlowLog", {"trafficType": "ALL"}, of="log", vpcId="it"))],
        [
            (VPC, "no flow log"),
            (
                (VPC, made("aws:ec2/flowLog:FlowLog", {"trafficType": "REJECT"}, vpcId="it")),
                "no flow log",
            ),
            (
                (VPC, made("aws:ec2/flowLog:FlowLog", {"trafficType": "ALL"}, vpcId="other")),
                "no flow log",
            ),
        ],
    ),
    "vpc-default-group-closed": (
        [
            (
                VPC,
                made(
                    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
                    {"ingress": [], "egress": []},
                    vpcId="it",
                ),
            )
        ],
        [
            (VPC, "as AWS makes it"),
            (
                (
                    VPC,
                    made(
                        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
                        {"ingress": []},
                        of="default",
                        vpcId="it",
                    ),
                ),
                "default.egress is not an empty list",
            ),
        ],
    ),
    "subnet-without-public-addresses": (
        [made("aws:ec2/subnet:Subnet", {"mapPublicIpOnLaunch": False})],
        [(made("aws:ec2/subnet:Subnet", {"mapPublicIpOnLaunch": True}), "is on")],
    ),
    "security-group-described": (
        [made(GROUP, {"description": "Airflow"}), made(IN, {"description": "Airflow"})],
        [
            (made(GROUP, {"description": "Managed by Pulumi"}), "no description"),
            (made(OUT, {}), "no description"),
            (made(GROUP, {"description": "A", "egress": [{}]}), "a rule of egress"),
        ],
    ),
    "security-group-not-open": (
        [
            made(IN, {"cidrIpv4": "10.0.0.0/8"}),
            made(IN, {"referencedSecurityGroupId": "sg"}),
            made(
                "aws:ec2/securityGroupRule:SecurityGroupRule",
                {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]},
            ),
        ],
        [
            (made(IN, {"cidrIpv4": "0.0.0.0/0"}), "0.0.0.0/0 may come in"),
            (made(IN, {"cidrIpv6": "::/0"}), "::/0 may come in"),
            (made(GROUP, {"ingress": [{"cidrBlocks": ["0.0.0.0/0"]}]}), "may come in"),
            (
                made(
                    "aws:ec2/securityGroupRule:SecurityGroupRule",
                    {"type": "ingress", "cidrBlocks": ["0.0.0.0/0"]},
                ),
                "may come in",
            ),
        ],
    ),
    "security-group-calls-named": (
        [
            made(OUT, {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "tcp", "fromPort": 443}),
            made(OUT, {"cidrIpv4": "10.0.0.0/16", "ipProtocol": "-1"}),
            (
                made(
                    OUT,
                    {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "-1"},
                    of="rule",
                    securityGroupId="it",
                ),
                made(GROUP, {}),
                made(ENVIRONMENT, {}, of="environment", networkConfiguration="it"),
            ),
        ],
        [
            (made(OUT, {"cidrIpv4": "0.0.0.0/0", "ipProtocol": "-1"}), "on any port"),
            (
                made(GROUP, {"egress": [{"cidrBlocks": ["0.0.0.0/0"], "protocol": "-1"}]}),
                "on any port",
            ),
        ],
    ),
    "endpoints-instead-of-internet": (
        [
            (vpc(), made(ENVIRONMENT, {}), route(natGatewayId="nat")),
            (vpc(), route(gatewayId="igw"), *map(leading_to, ("ec2", *OF_NODES)), made(ADDON, {})),
            (vpc(), made(KEY, {})),
            (vpc(), policy(allow("glue:GetTable")), leading_to("glue")),
        ],
        [
            ((vpc(), policy(allow("glue:GetTable"))), "none leads to glue"),
            ((vpc(), made(ENVIRONMENT, {})), "none leads to airflow.api"),
            ((vpc(), route(gatewayId="igw"), made(ENVIRONMENT, {})), "none leads to sqs"),
            ((vpc(), made(ADDON, {}), *map(leading_to, OF_NODES)), "none leads to ec2"),
            ((vpc(), made(SECRET_OF_AWS, {}), leading_to("sqs")), "none leads to secretsmanager"),
            (
                (vpc(), made(SECRET_OF_AWS, {}), leading_to("secretsmanager", vpc="other")),
                "none leads to secretsmanager",
            ),
            ((vpc(), deployment(container(image="r/cluster-autoscaler:1"))), "to autoscaling"),
        ],
    ),
    "endpoint-serves-all-zones": (
        [
            made("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Gateway"}),
            made(
                "aws:ec2/vpcEndpoint:VpcEndpoint",
                {
                    "vpcEndpointType": "Interface",
                    "privateDnsEnabled": True,
                    "securityGroupIds": ["sg"],
                    "subnetIds": ["a", "b"],
                },
            ),
        ],
        [
            (
                made("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Interface"}),
                "privateDnsEnabled is off",
            )
        ],
    ),
    "iam-actions-named": (
        [
            policy(allow("s3:Get*")),
            policy({"Effect": "Deny", "Action": "*", "Resource": "*"}),
            role(trust({"Service": "ec2.amazonaws.com"})),
        ],
        [
            (policy(allow("*")), "* is allowed"),
            (policy(allow(["s3:GetObject", "EKS:*"])), "eks:* is allowed"),
            (
                role(
                    trust({"Service": "ec2.amazonaws.com"}),
                    inlinePolicies=[{"policy": document(allow("s3:*"))}],
                ),
                "s3:* is allowed",
            ),
        ],
    ),
    "iam-nothing-allowed-by-exception": (
        [policy({"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"})],
        [
            (policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}), "NotAction"),
            (policy({"Effect": "Allow", "Action": "a:B", "NotResource": "x"}), "NotResource"),
            (role({"Effect": "Allow", "NotPrincipal": {"AWS": "x"}}), "NotPrincipal"),
        ],
    ),
    "iam-resources-named": (
        [
            policy(allow(["ec2:DescribeSubnets", "cloudwatch:PutMetricData"], "*")),
            policy(
                allow(
                    "autoscaling:SetDesiredCapacity",
                    "*",
                    Condition={"StringEquals": {"aws:ResourceTag/owner": "me"}},
                )
            ),
        ],
        [(policy(allow("ec2:TerminateInstances", "*")), "ec2:terminateinstances is allowed on *")],
    ),
    "iam-roles-passed-by-name": (
        [policy(allow("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/job"))],
        [
            (policy(allow("iam:PassRole", one)), f"allowed on {one}")
            for one in ("*", f"arn:aws:iam::{ACCOUNT}:role/*")
        ],
    ),
    "iam-no-escalation": (
        [policy(allow("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/reader"))],
        [
            (policy(allow("eks:CreateAccessEntry", "*")), "eks:createaccessentry"),
            (policy(allow("sts:AssumeRole", "*")), "sts:assumerole"),
        ],
    ),
    "iam-no-reading-of-all": (
        [policy(allow("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:r:a:secret:x/*"))],
        [(policy(allow(["kms:Decrypt"], "*")), "kms:decrypt is allowed on *")],
    ),
    "emr-jobs-run-as-named-roles": (
        [
            policy(
                allow(
                    "emr-containers:StartJobRun",
                    Condition={"ArnEquals": {"emr-containers:ExecutionRoleArn": "arn:role"}},
                )
            )
        ],
        [(policy(allow("emr-containers:StartJobRun")), "with any role")],
    ),
    "iam-trust-named": (
        [
            role(trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})),
            role(trust({"AWS": "*"}, StringEquals={"aws:PrincipalOrgID": "o-1"})),
        ],
        [(role(trust("*")), "anybody"), (role(trust({"AWS": "*"})), "anybody")],
    ),
    "iam-trust-source": (
        [
            role(trust({"Service": "ec2.amazonaws.com"})),
            role(
                trust(
                    {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
                    StringEquals={"aws:SourceAccount": ACCOUNT},
                )
            ),
        ],
        [
            (role(trust({"Service": one})), f"{one} may take it for anybody")
            for one in ("airflow.amazonaws.com", "pods.eks.amazonaws.com")
        ],
    ),
    "iam-trust-of-tokens": (
        [
            role(github("repo:acme/platform:pull_request", aud="sts.amazonaws.com")),
            role(trust({"Service": "ec2.amazonaws.com"})),
        ],
        [
            (role(github("repo:acme/platform:ref:refs/heads/main")), "does not ask for :aud"),
            (role(trust({"Federated": ISSUER})), "does not ask for :sub"),
            (role(github("*", aud="a")), "takes the subject *"),
            (role(github("repo:*", aud="a")), "takes the subject repo:*"),
        ],
    ),
    "iam-no-administrators": (
        [
            made(
                "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
                {"policyArn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"},
            )
        ],
        [
            (
                made(
                    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
                    {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
                ),
                "AdministratorAccess",
            ),
            (
                role(trust("x"), managedPolicyArns=["arn:aws-cn:iam::aws:policy/PowerUserAccess"]),
                "PowerUserAccess",
            ),
        ],
    ),
    "bucket-tls-only": (
        [(S3, part("Policy", {"policy": document(TLS_ONLY)}))],
        [
            (S3, "no policy of it denies"),
            ((S3, part("Policy", {"policy": document(allow("s3:Get"))})), "no policy"),
            ((S3, part("Policy", {"policy": document(TLS_ONLY)}, "other")), "no policy"),
        ],
    ),
    "bucket-closed-to-public": (
        [(S3, part("PublicAccessBlock", CLOSED))],
        [
            (S3, "no public access block"),
            (
                (S3, part("PublicAccessBlock", {**CLOSED, "restrictPublicBuckets": False})),
                "restrictPublicBuckets is off",
            ),
        ],
    ),
    "alarm-told": (
        [made(ALARM, {"alarmActions": ["arn:aws:sns:us-west-2:1:on-call"]})],
        [
            (made(ALARM, {"alarmActions": []}), "it has no alarmActions"),
            (
                made(ALARM, {"alarmActions": ["arn"], "actionsEnabled": False}),
                "actionsEnabled is off",
            ),
        ],
    ),
    "topic-policy-named": (
        [
            made(TOPIC_POLICY, {"policy": document(allow("sns:Publish", Principal=one, **more))})
            for one, more in (
                ({"Service": "events.amazonaws.com"}, {}),
                ("*", {"Condition": {"StringEquals": {"aws:SourceOwner": ACCOUNT}}}),
            )
        ],
        [
            (
                made(TOPIC_POLICY, {"policy": document(allow("sns:Publish", Principal=one))}),
                "everybody is allowed something",
            )
            for one in ("*", {"AWS": "*"})
        ],
    ),
    "bucket-policy-named": (
        [part("Policy", {"policy": document(TLS_ONLY, trust({"AWS": ACCOUNT}))})],
        [(part("Policy", {"policy": document(trust({"AWS": "*"}))}), "everybody")],
    ),
    "bucket-versioned": (
        [(S3, part("Versioning", {"versioningConfiguration": {"status": "Enabled"}}))],
        [
            (S3, "is not Enabled"),
            (
                (S3, part("Versioning", {"versioningConfiguration": {"status": "Suspended"}})),
                "is not Enabled",
            ),
        ],
    ),
    "bucket-encrypted": (
        [
            (S3, encrypted("aws:kms")),
            (S3, made("aws:s3/bucketLogging:BucketLogging", {}, of="x", targetBucket="it")),
        ],
        [(S3, "a key that S3 keeps"), ((S3, encrypted("AES256")), "with AES256")],
    ),
    "bucket-without-access-lists": (
        [(S3, part("OwnershipControls", {"rule": {"objectOwnership": "BucketOwnerEnforced"}}))],
        [
            (
                (S3, part("OwnershipControls", {"rule": {"objectOwnership": "ObjectWriter"}})),
                "is not BucketOwnerEnforced",
            )
        ],
    ),
    "bucket-tidied": (
        [
            (
                S3,
                part(
                    "LifecycleConfiguration",
                    {
                        "rules": [
                            {
                                "status": "Enabled",
                                "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
                            }
                        ]
                    },
                ),
            )
        ],
        [(S3, "keeps uploads")],
    ),
    "bucket-access-logged": (
        [
            (S3, part("Logging", {"targetBucket": "logs"})),
            (S3, made("aws:s3/bucketLogging:BucketLogging", {}, of="x", targetBucket="it")),
        ],
        [(S3, "no access logs")],
    ),
    "key-rotated": ([made(KEY, {"enableKeyRotation": True})], [(made(KEY, {}), "is off")]),
    "key-policy-named": (
        [
            made(KEY, {}),
            made(KEY, {"policy": document(trust({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))}),
            made(
                KEY,
                {"policy": document(trust({"AWS": "*"}, StringEquals={"kms:CallerAccount": "1"}))},
            ),
        ],
        [(made(KEY, {"policy": document(trust({"AWS": "*"}))}), "everybody")],
    ),
    "key-of-one-region": ([made(KEY, {})], [(made(KEY, {"multiRegion": True}), "is on")]),
    "logs-encrypted": ([made(LOGS, {"kmsKeyId": "k"})], [(made(LOGS, {}), "is missing")]),
    "logs-end": ([made(LOGS, {"retentionInDays": 1})], [(made(LOGS, {}), "is missing")]),
    "logs-kept-for-a-year": (
        [made(LOGS, {"retentionInDays": 365}), made(LOGS, {})],
        [(made(LOGS, {"retentionInDays": 90.0}), "retentionInDays is 90")],
    ),
    "secrets-encrypted": (
        [made("aws:secretsmanager/secret:Secret", {"kmsKeyId": "k"})],
        [(made("aws:secretsmanager/secret:Secret", {}), "is missing")],
    ),
    "airflow-logs": (
        [environment(loggingConfiguration=WRITES_LOGS)],
        [
            (environment(), "dagProcessingLogs is off"),
            (
                environment(loggingConfiguration={**WRITES_LOGS, "taskLogs": {"enabled": False}}),
                "taskLogs is off",
            ),
        ],
    ),
    "airflow-encrypted": ([environment(kmsKey="k")], [(environment(), "kmsKey is missing")]),
    "airflow-web-server-private": (
        [environment(), environment(webserverAccessMode="PRIVATE_ONLY")],
        [
            (environment(webserverAccessMode=mode), f"is {mode}")
            for mode in ("PUBLIC_ONLY", "PUBLIC_AND_PRIVATE")
        ],
    ),
    "airflow-version-chosen": (
        [environment(airflowVersion="3.3.1")],
        [(environment(), "takes the latest")],
    ),
    "airflow-files-pinned": (
        [environment(requirementsS3Path="r.txt", requirementsS3ObjectVersion="v")],
        [(environment(pluginsS3Path="p.zip"), "pluginsS3ObjectVersion is missing")],
    ),
    "airflow-in-two-zones": (
        [environment(networkConfiguration={"subnetIds": ["a", "b"], "securityGroupIds": ["sg"]})],
        [
            (
                environment(networkConfiguration={"subnetIds": ["a"], "securityGroupIds": []}),
                "has 1",
            )
        ],
    ),
    "emr-namespace": (
        [
            made(
                "aws:emrcontainers/virtualCluster:VirtualCluster",
                {"containerProvider": {"info": {"eksInfo": {"namespace": "emr-risk"}}}},
            )
        ],
        [
            (
                made(
                    "aws:emrcontainers/virtualCluster:VirtualCluster",
                    {"containerProvider": {"info": {"eksInfo": {"namespace": name}}}},
                ),
                f"run in {name}",
            )
            for name in ("default", "kube-system")
        ],
    ),
    "data-protected": (
        [replace(S3, protected=True), made("aws:iam/role:Role", {})],
        [(S3, "no protect"), (cluster(), "no protect")],
    ),
    "provider-of-one-account": (
        [made(PROVIDER, {"allowedAccountIds": json.dumps([ACCOUNT])})],
        [(made(PROVIDER, {}), "is empty"), (made(PROVIDER, {"allowedAccountIds": "[]"}), "empty")],
    ),
    "provider-tags-everything": (
        [made(PROVIDER, {"defaultTags": json.dumps({"tags": {"owner": "me"}})})],
        [(made(PROVIDER, {}), "defaultTags is empty")],
    ),
    "namespace-pod-security": (
        [
            SYSTEM,
            made(
                NAMESPACE,
                {
                    "metadata": named(
                        "jobs", labels={"pod-security.kubernetes.io/enforce": "baseline"}
                    )
                },
            ),
        ],
        [(SPACE, "enforce is missing")],
    ),
    "namespace-limits": (
        [SYSTEM, (SPACE, QUOTA, LIMITS)],
        [((SPACE, QUOTA), "no LimitRange"), ((SPACE, LIMITS), "no ResourceQuota")],
    ),
    "namespace-default-deny": (
        [SYSTEM, (SPACE, deny_all("Ingress", "Egress"))],
        [
            (SPACE, "Egress and Ingress is open"),
            ((SPACE, deny_all("Ingress")), "Egress is open"),
            ((SPACE, deny_all("Ingress", "Egress", egress=[{}])), "Egress is open"),
        ],
    ),
    "namespace-default-account": (
        [
            SYSTEM,
            (
                SPACE,
                made(
                    "kubernetes:core/v1:ServiceAccountPatch",
                    {
                        "metadata": named("default", "jobs"),
                        "automountServiceAccountToken": False,
                    },
                ),
            ),
        ],
        [(SPACE, "hands out tokens")],
    ),
    "rbac-named": (
        [rbac("Role", may(["get"], ["pods"]))],
        [
            (rbac("Role", may(["*"], ["pods"])), "verbs has a *"),
            (rbac("ClusterRole", may(["get"], ["*"])), "resources has a *"),
        ],
    ),
    "rbac-no-escalation": (
        [rbac("Role", may(["create", "get"], ["pods"]))],
        [
            (rbac("Role", may(["create"], ["serviceaccounts/token"])), "may create serviceacc"),
            (rbac("ClusterRole", may(["impersonate"], ["groups"])), "may impersonate groups"),
            (rbac("ClusterRole", may(["get"], ["nodes/proxy"])), "may get nodes/proxy"),
        ],
    ),
    "rbac-no-secrets": (
        [
            rbac("Role", may(["get"], ["secrets"], resourceNames=["one"])),
            rbac("Role", may(["create"], ["secrets"])),
        ],
        [(rbac("Role", may(["watch"], ["pods", "secrets"])), "may watch all secrets")],
    ),
    "rbac-bound-to-few": (
        [binding("Role", "jobs"), binding("ClusterRole", "view")],
        [
            (binding("ClusterRole", "cluster-admin"), "gives cluster-admin"),
            (
                binding("Role", "jobs", {"kind": "Group", "name": "system:authenticated"}),
                "to system:authenticated",
            ),
            (
                binding("Role", "jobs", {"kind": "Group", "name": "system:masters"}),
                "to system:masters",
            ),
            (
                binding("Role", "jobs", {"kind": "ServiceAccount", "name": "default"}),
                "service account default",
            ),
        ],
    ),
    "rbac-bound-to-something": (
        [
            (binding("Role", "jobs"), rbac("Role")),
            (binding("ClusterRole", "jobs"), rbac("ClusterRole")),
            binding("ClusterRole", "view"),
        ],
        [
            (binding("Role", "jobs"), "there is no Role jobs"),
            ((binding("Role", "jobs-role"), rbac("Role")), "there is no Role jobs-role"),
            ((binding("Role", "jobs", namespace="other"), rbac("Role")), "there is no Role jobs"),
        ],
    ),
    "rbac-no-masters": (
        [
            made(
                "kubernetes:core/v1:ConfigMap",
                {"metadata": named("aws-auth", "kube-system"), "data": {"mapRoles": "[]"}},
            )
        ],
        [
            (
                made(
                    "kubernetes:core/v1:ConfigMap",
                    {
                        "metadata": named("aws-auth", "kube-system"),
                        "data": {"mapUsers": "- groups: [system:masters]"},
                    },
                ),
                "mapUsers names system:masters",
            )
        ],
    ),
    "object-has-namespace": (
        [deployment()],
        [
            (made(SECRET, {"metadata": named("x")}), "is default"),
            (object_in(SECRET, "default"), "is default"),
        ],
    ),
    "secrets-outside-cluster": (
        [deployment()],
        [(object_in(SECRET, "jobs"), "kept in the cluster")],
    ),
    "volumes-encrypted": (
        [
            made(
                "kubernetes:storage.k8s.io/v1:StorageClass",
                {"provisioner": "ebs.csi.aws.com", "parameters": {"encrypted": "true"}},
            )
        ],
        [
            (
                made(
                    "kubernetes:storage.k8s.io/v1:StorageClass",
                    {"provisioner": "ebs.csi.aws.com", "parameters": {"type": "gp3"}},
                ),
                "encrypted is off",
            )
        ],
    ),
    "pods-call-named-ports": (
        [
            deny_all("Egress", egress=[{"ports": [{"port": 443}], "to": []}]),
            deny_all("Egress", egress=[{"to": [{"podSelector": {}}]}]),
            made(
                NETWORK_POLICY, {"metadata": named("all", "kube-system"), "spec": {"egress": [{}]}}
            ),
        ],
        [
            (deny_all("Egress", egress=[{}]), "everybody may be called"),
            (
                deny_all("Egress", egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]),
                "0.0.0.0/0 may be called",
            ),
        ],
    ),
    "pod-apart-from-node": (
        [deployment(volumes=[{"name": "tmp", "emptyDir": {}}])],
        [
            (deployment(hostNetwork=True), "hostNetwork is on"),
            (deployment(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "v is a hostPath"),
            (
                deployment(container(securityContext={**RESTRICTED, "privileged": True})),
                "main is privileged",
            ),
        ],
    ),
    "container-restricted": (
        [
            deployment(),
            made("kubernetes:core/v1:Pod", {"metadata": named("p", "apps"), "spec": pod()}),
        ],
        [
            (deployment(container(securityContext={})), "runAsNonRoot is off"),
            (
                made(
                    "kubernetes:batch/v1:CronJob",
                    {
                        "metadata": named("p", "apps"),
                        "spec": {
                            "jobTemplate": {
                                "spec": {
                                    "template": {
                                        "spec": pod(
                                            container(
                                                securityContext={**RESTRICTED, "capabilities": {}}
                                            )
                                        )
                                    }
                                }
                            }
                        },
                    },
                ),
                "drop lacks ALL",
            ),
        ],
    ),
    "container-bounded": (
        [deployment()],
        [(deployment(container(resources={"requests": {"cpu": "1"}})), "requests.memory")],
    ),
    "container-image-chosen": (
        [
            deployment(container(image="registry:5000/app:1.2")),
            deployment(container(image="app@sha256:0123")),
            deployment(container(image=f"{EMR}/spark/emr-7.14.0:latest")),
        ],
        [
            (deployment(container(image=image)), f"runs {image}")
            for image in (
                *("app", "app:latest", "registry:5000/app", f"{EMR}/spark/emr-7.14.0"),
                *(f"{EMR}/spark/emr:latest", "example.com/spark/emr-7.14.0:latest"),
            )
        ],
    ),
}


def _said(rule: Rule, given: Resource | tuple[Resource, ...], **settings: Json) -> list[str]:
    resources = given if isinstance(given, tuple) else (given,)
    if resources[0].type not in rule.types:
        return []
    return list(rule.check(resources[0], Stack(list(resources)), settings))


def test_each_rule_has_what_it_lets_through_and_what_it_does_not() -> None:
    assert CASES.keys() == NAMES.keys()
    assert len(NAMES) == len(RULES)
    assert all(good and bad for good, bad in CASES.values())


@pytest.mark.parametrize(
    ("name", "given"), [(name, one) for name, (good, _) in CASES.items() for one in good]
)
def test_what_is_right_passes(name: str, given: Resource | tuple[Resource, ...]) -> None:
    assert _said(NAMES[name], given) == []


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [(name, one, told) for name, (_, bad) in CASES.items() for one, told in bad],
)
def test_what_is_wrong_is_told(
    name: str, given: Resource | tuple[Resource, ...], told: str
) -> None:
    found = _said(NAMES[name], given)
    assert found
    assert told in " ".join(found)


def test_what_a_rule_of_one_resource_sees_is_that_one() -> None:
    for name, (good, bad) in CASES.items():
        sizes = {len(one) for one in (*good, *(one for one, _ in bad)) if isinstance(one, tuple)}
        assert not sizes or NAMES[name].of_stack, name


def test_a_stack_names_what_may_be_replaced() -> None:
    assert _said(NAMES["data-protected"], S3, unprotected=[BUCKET]) == []
    assert _said(NAMES["data-protected"], cluster(), unprotected=[BUCKET]) != []


def test_production_stacks_must_meet_what_others_are_warned_of() -> None:
    listed = json.loads((ROOT / "policy/production.json").read_text())
    assert listed == {r.name: "mandatory" for r in RULES if r.gate == "production"}
