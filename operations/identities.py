"""Which id Pulumi would know a resource by, found from what the program asked for.

Most ids follow from the inputs, whether or not AWS has the resource. What AWS numbers itself is
looked for: by the tags of the stack, by a name, or by what it belongs to.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from functools import cache
from threading import Lock
from typing import Any, Final, TypeAlias

import boto3
from botocore.config import Config

Inputs: TypeAlias = Mapping[str, Any]
Client: TypeAlias = Any


class Account:
    """The services of one region, with the credentials of the environment.

    region: None for the environment's.
    """

    def __init__(self, region: str | None, config: Config | None = None) -> None:
        session: Any = boto3.Session(region_name=region)
        making = Lock()

        @cache
        def client(service: str) -> Client:
            with making:  # clients work in any thread, and are made in one at a time
                return session.client(service, config=config)

        self.client: Callable[[str], Client] = client

    def pages(self, service: str, operation: str, **told: object) -> list[Any]:
        """Return what an operation lists, of all pages."""
        client = self.client(service)
        paginator = client.get_paginator(operation)
        keys = [key.expression for key in paginator.result_keys]
        return [
            one for page in paginator.paginate(**told) for key in keys for one in page.get(key, [])
        ]


class UnknownTypeError(Exception):
    """A type whose ids nobody has written down here."""


class TwinsError(Exception):
    """Several things of which each could be the one."""


def find(account: Account, kind: str, inputs: Inputs, known: Collection[str] = ()) -> str | None:
    """Return the id; None if AWS, asked for one that it has numbered, does not have it.

    known: ids that other resources have, which are not looked at.
    """
    if kind not in _FINDERS:
        raise UnknownTypeError(
            f"{kind}: nobody has written down by which id Pulumi knows it; look whether it exists, "
            "and `pulumi import` it or delete it"
        )
    found = _FINDERS[kind](account, inputs)
    candidates = [found] if isinstance(found, str) else [one for one in found if one not in known]
    if len(candidates) > 1:
        raise TwinsError(
            f"{', '.join(candidates)} could each be the one: delete those that nothing uses"
        )
    return candidates[0] if candidates else None


def _from(form: str) -> Callable[[Account, Inputs], str]:
    return lambda _, inputs: form.format_map(inputs)


def tagged(listing: str, key: str) -> Callable[[Account, Inputs], list[str]]:
    """Look in EC2 for what has all the tags of a resource."""

    def look(account: Account, inputs: Inputs) -> list[str]:
        tags = inputs.get("tagsAll") or inputs["tags"]
        filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        client = account.client("ec2")
        if client.can_paginate(listing):
            found = account.pages("ec2", listing, Filters=filters)
        else:
            (found,) = (
                value
                for value in getattr(client, listing)(Filters=filters).values()
                if isinstance(value, list)
            )
        gone = ("deleted", "deleting", "failed")
        return [one[key] for one in found if one.get("State", "") not in gone]

    return look


def _security_group(account: Account, inputs: Inputs) -> list[str]:
    filters = [
        {"Name": "group-name", "Values": [inputs.get("name", "default")]},
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
    ]
    found = account.pages("ec2", "describe_security_groups", Filters=filters)
    return [one["GroupId"] for one in found]


def _security_group_rule(account: Account, inputs: Inputs, *, egress: bool) -> list[str]:
    filters = [{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
    every = {"-1": (-1, -1)}
    low, high = every.get(inputs["ipProtocol"], (inputs.get("fromPort"), inputs.get("toPort")))
    wanted = (
        egress,
        inputs["ipProtocol"],
        low,
        high,
        inputs.get("cidrIpv4"),
        inputs.get("referencedSecurityGroupId"),
    )
    return [
        rule["SecurityGroupRuleId"]
        for rule in account.pages("ec2", "describe_security_group_rules", Filters=filters)
        if wanted
        == (
            rule["IsEgress"],
            rule["IpProtocol"],
            rule.get("FromPort", -1),
            rule.get("ToPort", -1),
            rule.get("CidrIpv4"),
            rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        )
    ]


def _route(_: Account, inputs: Inputs) -> str:
    # As the Terraform provider composes it: the table and a checksum of the destination.
    destination = inputs["destinationCidrBlock"].encode()
    return f"r-{inputs['routeTableId']}{zlib.crc32(destination)}"


def _route_table_association(account: Account, inputs: Inputs) -> list[str]:
    filters = [{"Name": "association.subnet-id", "Values": [inputs["subnetId"]]}]
    return [
        association["RouteTableAssociationId"]
        for table in account.pages("ec2", "describe_route_tables", Filters=filters)
        for association in table["Associations"]
        if association.get("SubnetId") == inputs["subnetId"]
    ]


def _flow_log(account: Account, inputs: Inputs) -> list[str]:
    filters = [{"Name": "resource-id", "Values": [inputs["vpcId"]]}]
    return [one["FlowLogId"] for one in account.pages("ec2", "describe_flow_logs", Filters=filters)]


def _launch_template(account: Account, inputs: Inputs) -> list[str]:
    filters = [{"Name": "launch-template-name", "Values": [inputs["name"]]}]
    found = account.pages("ec2", "describe_launch_templates", Filters=filters)
    return [one["LaunchTemplateId"] for one in found]


def _pod_identity(account: Account, inputs: Inputs) -> list[str]:
    wanted = {key: inputs[key] for key in ("clusterName", "namespace", "serviceAccount")}
    found = account.pages("eks", "list_pod_identity_associations", **wanted)
    return [one["associationId"] for one in found]


def _virtual_cluster(account: Account, inputs: Inputs) -> list[str]:
    found = account.pages("emr-containers", "list_virtual_clusters", states=["RUNNING"])
    return [one["id"] for one in found if one["name"] == inputs["name"]]


def _key(account: Account, inputs: Inputs) -> list[str]:
    kms = account.client("kms")
    found = []
    for key in account.pages("kms", "list_keys"):
        about = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if (
            about["Description"] == inputs["description"]
            and about["KeyState"] == "Enabled"
            and _has_tags(kms, key["KeyId"], inputs.get("tagsAll", {}))
        ):
            found.append(key["KeyId"])
    return found


def _has_tags(kms: Any, key_id: str, tags: Mapping[str, str]) -> bool:  # noqa: ANN401
    found = kms.list_resource_tags(KeyId=key_id)["Tags"]
    return tags.items() <= {one["TagKey"]: one["TagValue"] for one in found}.items()


def _policy(account: Account, inputs: Inputs) -> list[str]:
    found = account.pages("iam", "list_policies", Scope="Local")
    return [one["Arn"] for one in found if one["PolicyName"] == inputs["name"]]


def _oidc_provider(account: Account, inputs: Inputs) -> list[str]:
    iam, issuer = account.client("iam"), inputs["url"].removeprefix("https://")
    listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    found = [one["Arn"] for one in listed if one["Arn"].partition("/")[2] == issuer]
    # An account has one for each issuer, which may be others'.
    wanted = inputs.get("tagsAll", {}).items()
    return [arn for arn in found if wanted <= _oidc_provider_tags(iam, arn).items()]


def _oidc_provider_tags(iam: Any, arn: str) -> dict[str, str]:  # noqa: ANN401
    tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
    return {one["Key"]: one["Value"] for one in tags}


def _secret(account: Account, inputs: Inputs) -> list[str]:
    client = account.client("secretsmanager")
    try:
        return [client.describe_secret(SecretId=inputs["name"])["ARN"]]
    except client.exceptions.ResourceNotFoundException:
        return []


def _secret_version(account: Account, inputs: Inputs) -> list[str]:
    client = account.client("secretsmanager")
    try:
        stages = client.describe_secret(SecretId=inputs["secretId"])["VersionIdsToStages"]
    except client.exceptions.ResourceNotFoundException:
        return []
    current = [version for version, names in stages.items() if "AWSCURRENT" in names]
    return [f"{inputs['secretId']}|{version}" for version in current]


def _topic(account: Account, inputs: Inputs) -> list[str]:
    found = [one["TopicArn"] for one in account.pages("sns", "list_topics")]
    return [arn for arn in found if arn.rpartition(":")[2] == inputs["name"]]


def _subscription(account: Account, inputs: Inputs) -> list[str]:
    found = account.pages("sns", "list_subscriptions_by_topic", TopicArn=inputs["topic"])
    # Until it is confirmed it has no ARN here; to subscribe once more is to subscribe once.
    return [
        one["SubscriptionArn"]
        for one in found
        if (one["Protocol"], one["Endpoint"]) == (inputs["protocol"], inputs["endpoint"])
        and one["SubscriptionArn"].startswith("arn:")
    ]


_BUCKET: Final = _from("{bucket}")
_FINDERS: Final[Mapping[str, Callable[[Account, Inputs], str | list[str]]]] = {
    "aws:budgets/budget:Budget": _from("{accountId}:{name}"),
    "aws:cloudwatch/dashboard:Dashboard": _from("{dashboardName}"),
    "aws:cloudwatch/eventRule:EventRule": _from("{name}"),
    "aws:cloudwatch/eventTarget:EventTarget": _from("{rule}-{targetId}"),
    "aws:cloudwatch/logGroup:LogGroup": _from("{name}"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _from("{name}"),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _security_group,
    "aws:ec2/eip:Eip": tagged("describe_addresses", "AllocationId"),
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:ec2/internetGateway:InternetGateway": tagged(
        "describe_internet_gateways", "InternetGatewayId"
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": _launch_template,
    "aws:ec2/natGateway:NatGateway": tagged("describe_nat_gateways", "NatGatewayId"),
    "aws:ec2/route:Route": _route,
    "aws:ec2/routeTable:RouteTable": tagged("describe_route_tables", "RouteTableId"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": _security_group,
    "aws:ec2/subnet:Subnet": tagged("describe_subnets", "SubnetId"),
    "aws:ec2/vpc:Vpc": tagged("describe_vpcs", "VpcId"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": tagged("describe_vpc_endpoints", "VpcEndpointId"),
    "aws:eks/accessEntry:AccessEntry": _from("{clusterName}:{principalArn}"),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": _from(
        "{clusterName}#{principalArn}#{policyArn}"
    ),
    "aws:eks/addon:Addon": _from("{clusterName}:{addonName}"),
    "aws:eks/cluster:Cluster": _from("{name}"),
    "aws:eks/nodeGroup:NodeGroup": _from("{clusterName}:{nodeGroupName}"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _pod_identity,
    "aws:emrcontainers/virtualCluster:VirtualCluster": _virtual_cluster,
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": _oidc_provider,
    "aws:iam/policy:Policy": _policy,
    "aws:iam/role:Role": _from("{name}"),
    "aws:iam/rolePolicy:RolePolicy": _from("{role}:{name}"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _from("{role}/{policyArn}"),
    "aws:kms/alias:Alias": _from("{name}"),
    "aws:kms/key:Key": _key,
    "aws:mwaa/environment:Environment": _from("{name}"),
    "aws:s3/bucket:Bucket": _BUCKET,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _BUCKET,
    "aws:s3/bucketLogging:BucketLogging": _BUCKET,
    "aws:s3/bucketObjectv2:BucketObjectv2": _from("{bucket}/{key}"),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _BUCKET,
    "aws:s3/bucketPolicy:BucketPolicy": _BUCKET,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _BUCKET,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        _BUCKET
    ),
    "aws:s3/bucketVersioning:BucketVersioning": _BUCKET,
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:secretsmanager/secretVersion:SecretVersion": _secret_version,
    "aws:sns/topic:Topic": _topic,
    "aws:sns/topicPolicy:TopicPolicy": _from("{arn}"),
    "aws:sns/topicSubscription:TopicSubscription": _subscription,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": lambda account, inputs: (
        _security_group_rule(account, inputs, egress=True)
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": lambda account, inputs: (
        _security_group_rule(account, inputs, egress=False)
    ),
}
