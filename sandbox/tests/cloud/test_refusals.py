"""What AWS refuses, the stand-in refuses."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

# moto answers some of what the stand-in leaves to it.
from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.jwk import OctKey

from sandbox.cloud.kubernetes import nodes
from sandbox.providers.protocol import InitializationError, Plugin, PluginError
from sandbox.tests.aws_account import Account, Made, trust


def refuses(match: str) -> Any:  # noqa: ANN401 (pytest's own type needs the exceptions' types)
    return pytest.raises((PluginError, ClientError), match=match)


# The network.


def test_a_vpc_with_a_subnet_stays(account: Account) -> None:
    vpc = account.vpc()
    subnet = account.subnet(vpc)
    with refuses(f"DependencyViolation.*{subnet.id}"):
        vpc.delete()


def test_a_vpc_with_an_internet_gateway_stays(account: Account) -> None:
    vpc = account.vpc()
    gateway = account.gateway(vpc)
    with refuses(f"DependencyViolation.*{gateway.id}"):
        vpc.delete()


def test_a_vpc_with_a_security_group_stays(account: Account) -> None:
    vpc = account.vpc()
    group = account.group(vpc)
    with refuses(f"DependencyViolation.*{group.id}"):
        vpc.delete()


def test_a_vpc_with_a_route_table_stays(account: Account) -> None:
    vpc = account.vpc()
    table = account.make("ec2/routeTable:RouteTable", vpcId=vpc.id)
    with refuses(f"DependencyViolation.*{table.id}"):
        vpc.delete()


def test_a_vpc_with_an_endpoint_stays(account: Account) -> None:
    vpc = account.vpc()
    service = "com.amazonaws.us-west-2.s3"
    endpoint = account.make("ec2/vpcEndpoint:VpcEndpoint", vpcId=vpc.id, serviceName=service)
    with refuses(f"DependencyViolation.*{endpoint.id}"):
        vpc.delete()


def test_a_subnet_outside_its_vpc_is_refused(account: Account) -> None:
    vpc = account.vpc()
    with refuses("InvalidSubnet.Range"):
        account.make("ec2/subnet:Subnet", vpcId=vpc.id, cidrBlock="10.1.0.0/24")


def test_overlapping_subnets_are_refused(account: Account) -> None:
    vpc = account.vpc()
    account.subnet(vpc)
    with refuses("InvalidSubnet.Conflict"):
        account.make("ec2/subnet:Subnet", vpcId=vpc.id, cidrBlock="10.0.0.128/25")


@pytest.fixture
def public(account: Account) -> tuple[Made, Made, Made]:
    vpc = account.vpc()
    subnet = account.subnet(vpc)
    return vpc, subnet, account.gateway(vpc)


def nat_gateway(account: Account, subnet: Made) -> tuple[Made, Made]:
    address = account.make("ec2/eip:Eip", domain="vpc")
    nat = account.make("ec2/natGateway:NatGateway", allocationId=address.id, subnetId=subnet.id)
    return nat, address


def test_a_subnet_with_a_nat_gateway_stays(
    account: Account, public: tuple[Made, Made, Made]
) -> None:
    _, subnet, _ = public
    nat, _ = nat_gateway(account, subnet)
    with refuses(f"DependencyViolation.*{nat.id}"):
        subnet.delete()


def test_an_internet_gateway_stays_while_addresses_are_mapped(
    account: Account, public: tuple[Made, Made, Made]
) -> None:
    _, subnet, gateway = public
    nat_gateway(account, subnet)
    with refuses("DependencyViolation.*mapped public address"):
        gateway.delete()


def test_the_address_of_a_nat_gateway_stays(
    account: Account, public: tuple[Made, Made, Made]
) -> None:
    _, subnet, _ = public
    nat, address = nat_gateway(account, subnet)
    with refuses(f"InvalidIPAddress.InUse.*{nat.id}"):
        address.delete()


def test_a_nat_gateway_needs_a_free_address(
    account: Account, public: tuple[Made, Made, Made]
) -> None:
    _, subnet, _ = public
    _, address = nat_gateway(account, subnet)
    with refuses("Resource.AlreadyAssociated"):
        account.make("ec2/natGateway:NatGateway", allocationId=address.id, subnetId=subnet.id)


def test_a_nat_gateway_needs_an_internet_gateway(account: Account) -> None:
    subnet = account.subnet(account.vpc())
    with refuses("Gateway.NotAttached"):
        nat_gateway(account, subnet)


def test_routes_and_nat_gateways_go_at_any_time(
    account: Account, public: tuple[Made, Made, Made]
) -> None:
    vpc, subnet, _ = public
    nat, _ = nat_gateway(account, subnet)
    table = account.make("ec2/routeTable:RouteTable", vpcId=vpc.id)
    out = {"destinationCidrBlock": "0.0.0.0/0", "natGatewayId": nat.id}
    route = account.make("ec2/route:Route", routeTableId=table.id, **out)
    nat.delete()
    assert nat.read() is None
    route.delete()
    assert route.read() is None


def test_a_route_is_made_once(account: Account, public: tuple[Made, Made, Made]) -> None:
    vpc, _, gateway = public
    table = account.make("ec2/routeTable:RouteTable", vpcId=vpc.id)
    out = {"destinationCidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}
    account.make("ec2/route:Route", routeTableId=table.id, **out)
    with refuses("RouteAlreadyExists"):
        account.make("ec2/route:Route", "two", routeTableId=table.id, **out)


def test_subnet_and_group_of_an_endpoint_stay(account: Account) -> None:
    vpc = account.vpc()
    subnet, group = account.subnet(vpc), account.group(vpc)
    endpoint = account.make(
        "ec2/vpcEndpoint:VpcEndpoint",
        vpcId=vpc.id,
        serviceName="com.amazonaws.us-west-2.sts",
        vpcEndpointType="Interface",
        subnetIds=[subnet.id],
        securityGroupIds=[group.id],
    )
    for one in (subnet, group):
        with refuses(f"DependencyViolation.*{endpoint.id}"):
            one.delete()


def test_subnet_and_group_of_a_network_interface_stay(account: Account) -> None:
    vpc = account.vpc()
    subnet, group = account.subnet(vpc), account.group(vpc)
    ec2 = account.api("ec2")
    interface = ec2.create_network_interface(SubnetId=subnet.id, Groups=[group.id])
    interface_id = interface["NetworkInterface"]["NetworkInterfaceId"]
    for one in (subnet, group):
        with refuses(f"DependencyViolation.*{interface_id}"):
            one.delete()
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)


def test_a_vpc_with_a_network_acl_stays(account: Account) -> None:
    vpc = account.vpc()
    ec2 = account.api("ec2")
    acl = ec2.create_network_acl(VpcId=vpc.id)["NetworkAcl"]["NetworkAclId"]
    with refuses(f"DependencyViolation.*{acl}"):
        vpc.delete()
    ec2.delete_network_acl(NetworkAclId=acl)


def test_an_endpoint_has_one_subnet_in_a_zone(account: Account) -> None:
    vpc = account.vpc()
    subnets = [account.subnet(vpc, 0).id, account.subnet(vpc, 1).id]
    with refuses("DuplicateSubnetsInSameZone"):
        account.make(
            "ec2/vpcEndpoint:VpcEndpoint",
            vpcId=vpc.id,
            serviceName="com.amazonaws.us-west-2.sts",
            vpcEndpointType="Interface",
            subnetIds=subnets,
        )


def test_a_security_group_that_another_names_stays(account: Account) -> None:
    vpc = account.vpc()
    named, naming = account.group(vpc), account.group(vpc)
    account.make(
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        securityGroupId=naming.id,
        ipProtocol="tcp",
        fromPort=443,
        toPort=443,
        referencedSecurityGroupId=named.id,
    )
    with refuses(f"DependencyViolation.*{naming.id}"):
        named.delete()


# Roles, keys and policies.


def test_a_role_with_a_policy_attached_stays(account: Account) -> None:
    role = account.role("ec2.amazonaws.com", policies=("AmazonEKSWorkerNodePolicy",))
    with refuses("DeleteConflict"):
        role.delete()


def test_a_role_with_an_inline_policy_stays(account: Account) -> None:
    role = account.role("ec2.amazonaws.com")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.make("iam/rolePolicy:RolePolicy", role=role.id, policy=policy)
    with refuses("DeleteConflict"):
        role.delete()


WHOLE = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Principal": "*"}


def document(*without: str, version: str | None = "2012-10-17") -> str:
    statement = {key: value for key, value in WHOLE.items() if key not in without}
    return json.dumps({"Statement": [statement]} | ({"Version": version} if version else {}))


@pytest.mark.parametrize(
    "policy",
    [
        document("Principal", version=None),
        document("Principal", "Effect"),
        document("Principal", "Action"),
        document("Principal", "Resource"),
        document(),
    ],
    ids=["version", "effect", "action", "resource", "principal"],
)
def test_a_malformed_role_policy_is_refused(account: Account, policy: str) -> None:
    role = account.role("ec2.amazonaws.com")
    with refuses("MalformedPolicyDocument"):
        account.make("iam/rolePolicy:RolePolicy", role=role.id, policy=policy)


@pytest.mark.parametrize(
    "policy",
    [
        document("Resource", version=None),
        document("Resource", "Effect"),
        document("Resource", "Action"),
        document("Resource", "Principal"),
        document(),
    ],
    ids=["version", "effect", "action", "principal", "resource"],
)
def test_a_malformed_trust_policy_is_refused(account: Account, policy: str) -> None:
    with refuses("MalformedPolicyDocument"):
        account.make("iam/role:Role", assumeRolePolicy=policy)


def test_a_role_trusts_nobody_who_is_not_there(account: Account) -> None:
    def trusting_person(arn: str) -> str:
        statement = {"Effect": "Allow", "Principal": {"AWS": [arn]}, "Action": "sts:AssumeRole"}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    there = account.role("ec2.amazonaws.com").state["arn"]
    for arn in (there.replace(":role/", ":role/path/"), there.replace(":role/", ":user/")):
        with refuses(f"MalformedPolicyDocument.*Invalid principal in policy: .*{arn}"):
            account.make("iam/role:Role", assumeRolePolicy=trusting_person(arn))
    for arn in (there, "123456789012", "arn:aws:iam::999999999999:role/elsewhere"):
        account.make("iam/role:Role", assumeRolePolicy=trusting_person(arn))


def long_document(characters: int) -> str:
    """A policy of so many characters, white space apart."""
    made = document("Principal").replace("s3:GetObject", "s3:GetObject" + "{}")
    return made.replace("{}", "x" * (characters - len("".join(made.split())) + 2))


def test_the_inline_policies_of_a_role_have_a_limit_together(account: Account) -> None:
    role = account.role("ec2.amazonaws.com")
    first = account.make("iam/rolePolicy:RolePolicy", role=role.id, policy=long_document(6000))
    second = "iam/rolePolicy:RolePolicy", "two"
    with refuses(f"LimitExceeded.*10240 bytes exceeded for role {role.id}"):
        account.make(*second, role=role.id, policy=long_document(4241))
    account.make(*second, role=role.id, policy=long_document(4240))
    first.update({"role": role.id, "policy": long_document(5999)})


@pytest.mark.parametrize(
    ("operation", "limit", "whose"),
    [
        ("put_user_policy", 2048, {"UserName": "limited", "PolicyName": "one"}),
        ("put_group_policy", 5120, {"GroupName": "limited", "PolicyName": "one"}),
        ("create_policy", 6144, {"PolicyName": "limited"}),
    ],
)
def test_other_policies_have_a_limit(
    account: Account, operation: str, limit: int, whose: dict[str, str]
) -> None:
    iam = account.api("iam")
    with refuses(f"LimitExceeded.*{limit}"):
        getattr(iam, operation)(**whose, PolicyDocument=long_document(limit + 1))


@pytest.mark.parametrize(("owner", "limit"), [("role", 20), ("user", 10), ("group", 10)])
def test_a_number_of_policies_can_be_attached(account: Account, owner: str, limit: int) -> None:
    iam, name = account.api("iam"), f"attached-{account.suffix}"
    whose = {f"{owner.title()}Name": name}
    trusting = {"AssumeRolePolicyDocument": trust("ec2.amazonaws.com")} if owner == "role" else {}
    getattr(iam, f"create_{owner}")(**whose, **trusting)
    attach, detach = (getattr(iam, f"{verb}_{owner}_policy") for verb in ("attach", "detach"))
    arns = [
        policy["Arn"] for policy in iam.list_policies(Scope="AWS", MaxItems=limit + 1)["Policies"]
    ]
    for arn in arns[:limit]:
        attach(**whose, PolicyArn=arn)
    attach(**whose, PolicyArn=arns[0])  # which it has
    with refuses(f"LimitExceeded.*Cannot exceed quota for PoliciesPer{owner.title()}: {limit}"):
        attach(**whose, PolicyArn=arns[limit])
    for arn in arns[:limit]:
        detach(**whose, PolicyArn=arn)
    getattr(iam, f"delete_{owner}")(**whose)


def test_a_policy_has_five_versions(account: Account) -> None:
    iam = account.api("iam")
    arn = account.make("iam/policy:Policy", policy=document("Principal")).id
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document("Principal"))
    with refuses("LimitExceeded.*up to 5 versions"):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document("Principal"))


def test_a_policy_that_is_attached_or_has_other_versions_stays(account: Account) -> None:
    iam = account.api("iam")
    policy = account.make("iam/policy:Policy", policy=document("Principal"))
    role = account.role("ec2.amazonaws.com")
    attachment = account.make(
        "iam/rolePolicyAttachment:RolePolicyAttachment", role=role.id, policyArn=policy.id
    )
    with refuses("DeleteConflict.*attached to entities"):
        policy.delete()
    attachment.delete()
    iam.create_policy_version(PolicyArn=policy.id, PolicyDocument=document("Principal"))
    with refuses("DeleteConflict.*more than one version"):
        iam.delete_policy(PolicyArn=policy.id)


def test_a_trust_policy_has_a_limit(account: Account) -> None:
    with refuses("LimitExceeded.*2048"):
        account.role(*[f"{letter}.amazonaws.com" for letter in map(str, range(150))])


@pytest.mark.parametrize("lacking", ["Action", "Effect", "Principal", "Resource"])
def test_a_malformed_bucket_policy_is_refused(account: Account, lacking: str) -> None:
    bucket = account.bucket(versioned=False, closed=False)
    with refuses("MalformedPolicy"):
        account.make("s3/bucketPolicy:BucketPolicy", bucket=bucket.id, policy=document(lacking))


@pytest.mark.parametrize("lacking", ["Action", "Effect", "Principal", "Resource"])
def test_a_malformed_key_policy_is_refused(account: Account, lacking: str) -> None:
    with refuses("MalformedPolicyDocument"):
        account.make("kms/key:Key", policy=document(lacking))


def test_a_key_about_to_be_deleted_is_gone_and_cannot_be_used(account: Account) -> None:
    key = account.make("kms/key:Key", deletionWindowInDays=7)
    key.delete()
    state = account.api("kms").describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"
    assert key.read() is None
    arn = key.state["arn"]
    bucket = account.bucket(versioned=False, closed=False)
    default = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": arn}
    sse = "bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    for pulumi_type, given in (
        ("cloudwatch/logGroup:LogGroup", {"kmsKeyId": arn}),
        ("secretsmanager/secret:Secret", {"kmsKeyId": arn}),
        ("kms/alias:Alias", {"targetKeyId": arn}),
        (
            f"s3/{sse}",
            {"bucket": bucket.id, "rules": [{"applyServerSideEncryptionByDefault": default}]},
        ),
    ):
        with refuses("KMSInvalidStateException"):
            account.make(pulumi_type, **given)


# Buckets.


def test_a_bucket_with_objects_stays_unless_it_is_forced(account: Account) -> None:
    bucket = account.bucket()
    bucket.inputs["forceDestroy"] = False
    for content in ("one", "two"):
        account.api("s3").put_object(Bucket=bucket.id, Key="key", Body=content.encode())
    account.api("s3").delete_object(Bucket=bucket.id, Key="key")
    with refuses("BucketNotEmpty"):
        bucket.delete()
    bucket.inputs["forceDestroy"] = True
    bucket.delete()
    assert bucket.read() is None


# EKS.


@pytest.fixture
def platform(account: Account) -> tuple[Made, list[Made]]:
    vpc = account.vpc()
    subnets = account.subnets_with_a_way_out(vpc)
    return account.cluster(subnets), subnets


def test_the_subnets_of_a_cluster_stay(platform: tuple[Made, list[Made]]) -> None:
    cluster, subnets = platform
    with refuses(f"DependencyViolation.*EKS cluster {cluster.id}"):
        subnets[0].delete()


def test_the_security_group_of_a_cluster_stays(account: Account) -> None:
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc)
    network = {"subnetIds": [one.id for one in subnets], "securityGroupIds": [group.id]}
    cluster = account.cluster(subnets, vpcConfig=network)
    with refuses(f"DependencyViolation.*EKS cluster {cluster.id}"):
        group.delete()


def test_there_is_one_control_plane(account: Account, platform: tuple[Made, list[Made]]) -> None:
    cluster, subnets = platform
    with refuses(f"one control plane, which is that of the cluster {cluster.id}: .*another clone"):
        account.cluster(subnets, name="another")
    with refuses("Cluster already exists"):
        account.cluster(subnets)
    cluster.delete()
    account.cluster(subnets, name="another")


def test_a_cluster_can_be_reached_by_somebody(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    nobody = {"endpointPublicAccess": False, "endpointPrivateAccess": False}
    network = {"subnetIds": [one.id for one in subnets]}
    with refuses("Both private and public endpoint access cannot be false"):
        account.cluster(subnets, vpcConfig=network | nobody)
    cluster = account.cluster(subnets)
    given = {key: value for key, value in cluster.inputs.items() if key != "tagsAll"}
    with refuses("Both private and public endpoint access cannot be false"):
        cluster.update({**given, "vpcConfig": network | nobody})
    cluster.update({**given, "vpcConfig": network | nobody | {"endpointPrivateAccess": True}})


def test_a_cluster_needs_two_zones(account: Account) -> None:
    vpc = account.vpc()
    with refuses("at least two different AZs"):
        account.cluster([account.subnet(vpc, 0), account.subnet(vpc, 1)])


def test_a_cluster_needs_a_role_that_eks_can_assume(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    role = account.role("ec2.amazonaws.com")
    with refuses(r"cannot be assumed by eks\.amazonaws\.com"):
        account.cluster(subnets, roleArn=role.state["arn"])


def test_a_cluster_needs_a_role_that_exists(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    with refuses("does not exist"):
        account.cluster(subnets, roleArn="arn:aws:iam::123456789012:role/nobody")


def test_a_cluster_with_node_groups_stays(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    account.node_group(cluster, subnets)
    with refuses("ResourceInUseException.*nodegroups"):
        cluster.delete()


def test_a_protected_cluster_stays(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    cluster = account.cluster(subnets, deletionProtection=True)
    with refuses("deletion protection"):
        cluster.delete()
    cluster.update({**cluster.inputs, "deletionProtection": False, "tagsAll": None})


def test_a_cluster_goes_up_one_version_at_a_time(platform: tuple[Made, list[Made]]) -> None:
    cluster, _ = platform
    given = {key: value for key, value in cluster.inputs.items() if key != "tagsAll"}
    with refuses("Unsupported Kubernetes minor version update"):
        cluster.update({**given, "version": "1.36"})
    cluster.update({**given, "version": "1.35"})
    assert cluster.state["version"] == "1.35"


def test_a_cluster_goes_back_one_version_nodes_first(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    group = account.node_group(cluster, subnets)
    eks, which = account.api("eks"), {"clusterName": cluster.id}
    which["nodegroupName"] = group.id.partition(":")[2]
    with refuses("InvalidRequestException.*not upgraded in place"):
        eks.update_cluster_version(name=cluster.id, version="1.33")
    eks.update_cluster_version(name=cluster.id, version="1.35")
    with refuses("InvalidRequestException.*must be updated to match cluster version 1.35"):
        eks.update_cluster_version(name=cluster.id, version="1.36")
    with refuses("InvalidParameterException.*cannot be newer"):
        eks.update_nodegroup_version(**which, version="1.36")
    eks.update_nodegroup_version(**which, version="1.35")
    with refuses("InvalidRequestException.*newer kubelet than 1.34"):
        eks.update_cluster_version(name=cluster.id, version="1.34")
    eks.update_nodegroup_version(**which, version="1.34")
    update = eks.update_cluster_version(name=cluster.id, version="1.34")["update"]
    assert update["type"] == "VersionRollback"
    assert eks.describe_cluster(name=cluster.id)["cluster"]["version"] == "1.34"
    with refuses("InvalidRequestException.*not upgraded in place"):
        eks.update_cluster_version(name=cluster.id, version="1.33")


def test_a_cluster_stays_in_its_vpc_and_zones(account: Account) -> None:
    vpc = account.vpc()
    subnets, third = account.subnets(vpc), account.subnet(vpc, 7, "us-west-2c")
    cluster = account.cluster(subnets)
    eks = account.api("eks")

    def move_to(*ids: str) -> None:
        eks.update_cluster_config(name=cluster.id, resourcesVpcConfig={"subnetIds": ids})

    with refuses("exact set of AZs us-west-2a,us-west-2b"):
        move_to(subnets[0].id, subnets[1].id, third.id)
    with refuses("the cluster was created in"):
        move_to(*[one.id for one in account.subnets(account.vpc())])
    move_to(subnets[1].id, subnets[0].id)


def test_access_entries_have_no_way_back(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    cluster = account.cluster(subnets, accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})

    def change_to(mode: str) -> None:
        account.api("eks").update_cluster_config(
            name=cluster.id, accessConfig={"authenticationMode": mode}
        )

    with refuses("from API_AND_CONFIG_MAP to CONFIG_MAP"):
        change_to("CONFIG_MAP")
    change_to("API")
    with refuses("from API to API_AND_CONFIG_MAP"):
        change_to("API_AND_CONFIG_MAP")


def test_the_subnet_of_a_node_group_stays(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    vpc_id = subnets[0].state["vpcId"]
    extra = account.make(
        "ec2/subnet:Subnet", vpcId=vpc_id, cidrBlock="10.0.9.0/24", mapPublicIpOnLaunch=True
    )
    group = account.node_group(cluster, [extra])
    name = group.state["nodeGroupName"]
    with refuses(f"DependencyViolation.*node group {name}"):
        extra.delete()


def test_nodes_need_the_worker_policy(account: Account, platform: tuple[Made, list[Made]]) -> None:
    cluster, subnets = platform
    role = account.role("ec2.amazonaws.com")
    with refuses("NodeCreationFailure"):
        account.node_group(cluster, subnets, nodeRoleArn=role.state["arn"])


def test_nodes_need_a_way_to_what_they_start_with(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    cluster = account.cluster(subnets)
    with pytest.raises(InitializationError, match="failed to join the kubernetes cluster"):
        account.node_group(cluster, subnets, nodeGroupName="alone")
    account.api("eks").delete_nodegroup(clusterName=cluster.id, nodegroupName="alone")


def test_nodes_need_a_container_network(account: Account) -> None:
    subnets = account.subnets_with_a_way_out(account.vpc())
    cluster = account.cluster(subnets, bootstrapSelfManagedAddons=False)
    with pytest.raises(InitializationError, match="container network not ready") as failed:
        account.node_group(cluster, subnets, nodeGroupName="early")
    # The engine keeps what was made, so that it can be deleted.
    assert failed.value.resource_id == f"{cluster.id}:early"
    assert failed.value.state["nodeGroupName"] == "early"
    account.api("eks").delete_nodegroup(clusterName=cluster.id, nodegroupName="early")
    account.make("eks/addon:Addon", clusterName=cluster.id, addonName="vpc-cni")
    assert account.node_group(cluster, subnets).state["status"] == "ACTIVE"


def test_the_disk_size_belongs_into_the_launch_template(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    template = account.make("ec2/launchTemplate:LaunchTemplate")
    given = {"launchTemplate": {"id": template.id, "version": "1"}, "diskSize": 100}
    with refuses("within the launch template"):
        account.node_group(cluster, subnets, **given)


def test_a_node_group_needs_a_version_of_its_launch_template(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    template = account.make("ec2/launchTemplate:LaunchTemplate")
    with refuses("VersionNotFound"):
        account.node_group(
            cluster, subnets, launchTemplate={"id": template.id, "version": "undefined"}
        )


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        ((3, 2, 4), "minSize can't be greater than desiredSize"),
        ((1, 5, 4), "desiredSize can't be greater than maxSize"),
    ],
)
def test_the_counts_of_a_node_group_fit_together(
    account: Account, platform: tuple[Made, list[Made]], counts: tuple[int, ...], match: str
) -> None:
    cluster, subnets = platform
    scaling = dict(zip(("minSize", "desiredSize", "maxSize"), counts, strict=True))
    with refuses(match):
        account.node_group(cluster, subnets, scalingConfig=scaling)


def test_a_minimum_cannot_be_raised_above_the_nodes_there_are(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    group = account.node_group(cluster, subnets)
    name = group.inputs["nodeGroupName"]
    with refuses("Minimum capacity 3 can't be greater than desired size 2"):
        account.api("eks").update_nodegroup_config(
            clusterName=cluster.id, nodegroupName=name, scalingConfig={"minSize": 3}
        )


def test_a_maximum_cannot_be_lowered_below_the_nodes_there_are(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    group = account.node_group(cluster, subnets)
    name = group.inputs["nodeGroupName"]
    with refuses("desiredSize can't be greater than maxSize"):
        account.api("eks").update_nodegroup_config(
            clusterName=cluster.id, nodegroupName=name, scalingConfig={"maxSize": 1}
        )


def test_bounds_alone_leave_the_number_of_nodes(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, subnets = platform
    eks, name = account.api("eks"), account.node_group(cluster, subnets).inputs["nodeGroupName"]
    which = {"clusterName": cluster.id, "nodegroupName": name}

    update = eks.update_nodegroup_config(**which, scalingConfig={"minSize": 2, "maxSize": 7})

    scaling = eks.describe_nodegroup(**which)["nodegroup"]["scalingConfig"]
    assert scaling == {"minSize": 2, "desiredSize": 2, "maxSize": 7}
    told = {"name": cluster.id, "updateId": update["update"]["id"]}
    assert eks.describe_update(**told, nodegroupName=name)["update"]["status"] == "Successful"
    with refuses("ResourceNotFoundException.*No update found"):
        eks.describe_update(**told)  # it is none of the cluster itself


def test_a_group_that_is_not_active_takes_no_change(account: Account) -> None:
    subnets = account.subnets(account.vpc())
    cluster = account.cluster(subnets, bootstrapSelfManagedAddons=False)
    with pytest.raises(InitializationError):
        account.node_group(cluster, subnets, nodeGroupName="early")
    eks, which = account.api("eks"), {"clusterName": cluster.id, "nodegroupName": "early"}
    with refuses("ResourceInUseException.*not in Active State"):
        eks.update_nodegroup_config(**which, scalingConfig={"maxSize": 5})
    with refuses("ResourceInUseException.*not in Active State"):
        eks.update_nodegroup_version(**which, version="1.34")
    eks.delete_nodegroup(**which)


def test_coredns_needs_nodes(account: Account, platform: tuple[Made, list[Made]]) -> None:
    cluster, _ = platform
    with refuses("DEGRADED.*InsufficientNumberOfReplicas"):
        account.make("eks/addon:Addon", clusterName=cluster.id, addonName="coredns")


def entry(account: Account, cluster: Made, arn: str, **given: Any) -> Made:  # noqa: ANN401
    return account.make(
        "eks/accessEntry:AccessEntry", clusterName=cluster.id, principalArn=arn, **given
    )


def test_nobody_makes_an_entry_for_a_service_linked_role(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    service = "emr-containers.amazonaws.com/AWSServiceRoleForAmazonEMRContainers"
    arn = f"arn:aws:iam::123456789012:role/aws-service-role/{service}"
    with refuses("Service Linked Role"):
        entry(account, cluster, arn)


def test_a_principal_has_one_entry(account: Account, platform: tuple[Made, list[Made]]) -> None:
    cluster, _ = platform
    role = account.role("ec2.amazonaws.com")
    entry(account, cluster, role.state["arn"])
    with refuses("ResourceInUseException"):
        entry(account, cluster, role.state["arn"])


def test_the_creator_has_an_entry_already(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    eks = account.api("eks")
    (creator,) = eks.list_access_entries(clusterName=cluster.id)["accessEntries"]
    policies = eks.list_associated_access_policies(clusterName=cluster.id, principalArn=creator)
    (policy,) = policies["associatedAccessPolicies"]
    assert policy["policyArn"].endswith("/AmazonEKSClusterAdminPolicy")
    assert policy["accessScope"]["type"] == "cluster"


def test_an_entry_needs_a_principal_that_exists(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    with refuses("invalid principal"):
        entry(account, cluster, "arn:aws:iam::123456789012:role/nobody")


def test_an_entry_has_no_group_of_kubernetes_itself(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    role = account.role("ec2.amazonaws.com")
    with refuses("must not begin with"):
        entry(account, cluster, role.state["arn"], kubernetesGroups=["system:masters"])


def test_an_access_policy_is_one_of_those_that_aws_has(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    role = account.role("ec2.amazonaws.com")
    entry(account, cluster, role.state["arn"])
    with refuses("policyArn"):
        account.make(
            "eks/accessPolicyAssociation:AccessPolicyAssociation",
            clusterName=cluster.id,
            principalArn=role.state["arn"],
            policyArn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSOwnerPolicy",
            accessScope={"type": "cluster"},
        )


def test_a_pod_identity_needs_a_role_that_pods_can_assume(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    cluster, _ = platform
    role = account.role("ec2.amazonaws.com")
    with refuses(r"cannot be assumed by pods\.eks\.amazonaws\.com"):
        account.make(
            "eks/podIdentityAssociation:PodIdentityAssociation",
            clusterName=cluster.id,
            namespace="default",
            serviceAccount="someone",
            roleArn=role.state["arn"],
        )


# EMR on EKS.


@pytest.fixture
def namespace(account: Account) -> str:
    name = f"emr-{account.suffix}"
    nodes.core_api().create_namespace({"metadata": {"name": name}})
    return name


def virtual_cluster(account: Account, cluster: Made, namespace: str) -> Made:
    return account.make(
        "emrcontainers/virtualCluster:VirtualCluster",
        containerProvider={
            "id": cluster.id,
            "type": "EKS",
            "info": {"eksInfo": {"namespace": namespace}},
        },
    )


def test_a_virtual_cluster_needs_its_namespace(
    account: Account, platform: tuple[Made, list[Made]]
) -> None:
    with refuses("Namespace missing does not exist"):
        virtual_cluster(account, platform[0], "missing")


def test_a_namespace_has_one_virtual_cluster(
    account: Account, platform: tuple[Made, list[Made]], namespace: str
) -> None:
    first = virtual_cluster(account, platform[0], namespace)
    with refuses("already exists in the given namespace"):
        virtual_cluster(account, platform[0], namespace)
    first.delete()
    assert virtual_cluster(account, platform[0], namespace).read() is not None


def test_a_virtual_cluster_is_arrested_without_its_namespace(
    account: Account, platform: tuple[Made, list[Made]], namespace: str
) -> None:
    one = virtual_cluster(account, platform[0], namespace)
    nodes.core_api().delete_namespace(namespace)
    with refuses("ARRESTED"):
        one.delete()
    state = account.api("emr-containers").describe_virtual_cluster(id=one.id)
    assert state["virtualCluster"]["state"] == "ARRESTED"
    one.gone = True  # as far as anybody can help it


def test_a_virtual_cluster_stays_while_jobs_run(
    account: Account, platform: tuple[Made, list[Made]], namespace: str
) -> None:
    one = virtual_cluster(account, platform[0], namespace)
    emr = account.api("emr-containers")
    run = emr.start_job_run(
        name="job",
        virtualClusterId=one.id,
        executionRoleArn="arn:aws:iam::123456789012:role/job",
        releaseLabel="emr-7.14.0-latest",
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": "local:///pi.py"}},
    )
    with refuses(f"active job runs: {run['id']}"):
        one.delete()
    emr.cancel_job_run(id=run["id"], virtualClusterId=one.id)


def test_emr_has_access_to_the_namespaces_of_its_virtual_clusters(
    account: Account, platform: tuple[Made, list[Made]], namespace: str
) -> None:
    cluster, _ = platform
    other = f"{namespace}-b"
    nodes.core_api().create_namespace({"metadata": {"name": other}})
    eks, service = account.api("eks"), "AWSServiceRoleForAmazonEMRContainers"

    def scope() -> list[str]:
        entries = eks.list_access_entries(clusterName=cluster.id)["accessEntries"]
        roles = [arn for arn in entries if arn.endswith(service)]
        if not roles:
            return []
        answer = eks.list_associated_access_policies(clusterName=cluster.id, principalArn=roles[0])
        (policy,) = answer["associatedAccessPolicies"]
        assert policy["policyArn"].endswith("/AmazonEMRJobPolicy")
        namespaces: list[str] = policy["accessScope"]["namespaces"]
        return namespaces

    first = virtual_cluster(account, cluster, namespace)
    second = virtual_cluster(account, cluster, other)
    assert scope() == [namespace, other]
    first.delete()
    assert scope() == [other]
    second.delete()
    assert scope() == []


# MWAA.

ENVIRONMENT = "mwaa/environment:Environment"


@pytest.fixture
def settings(account: Account) -> dict[str, Any]:
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc, refers_to_itself=True)
    return account.environment_settings(subnets, group, account.bucket())


def with_subnets(settings: dict[str, Any], *subnets: str) -> dict[str, Any]:
    network = {**settings["networkConfiguration"], "subnetIds": list(subnets)}
    return {**settings, "networkConfiguration": network}


def test_subnets_and_group_of_an_environment_stay(
    account: Account, settings: dict[str, Any]
) -> None:
    environment = account.make(ENVIRONMENT, **settings)
    for one in account.made:
        if one.resource.type in {"aws:ec2/subnet:Subnet", "aws:ec2/securityGroup:SecurityGroup"}:
            with refuses(f"DependencyViolation.*MWAA environment {environment.id}"):
                one.delete()


def test_an_environment_needs_two_subnets(account: Account, settings: dict[str, Any]) -> None:
    first, _ = settings["networkConfiguration"]["subnetIds"]
    with refuses("Exactly two subnets"):
        account.make(ENVIRONMENT, **with_subnets(settings, first, first))


def test_an_environment_needs_two_zones(account: Account, settings: dict[str, Any]) -> None:
    first, _ = settings["networkConfiguration"]["subnetIds"]
    (vpc,) = (one for one in account.made if one.resource.type == "aws:ec2/vpc:Vpc")
    other = account.subnet(vpc, 7, "us-west-2a")
    with refuses("different availability zones"):
        account.make(ENVIRONMENT, **with_subnets(settings, first, other.id))


def test_an_environment_needs_private_subnets(account: Account, settings: dict[str, Any]) -> None:
    first, _ = settings["networkConfiguration"]["subnetIds"]
    (vpc,) = (one for one in account.made if one.resource.type == "aws:ec2/vpc:Vpc")
    gateway = account.gateway(vpc)
    table = account.make("ec2/routeTable:RouteTable", vpcId=vpc.id)
    out = {"destinationCidrBlock": "0.0.0.0/0", "gatewayId": gateway.id}
    account.make("ec2/route:Route", routeTableId=table.id, **out)
    join = "ec2/routeTableAssociation:RouteTableAssociation"
    account.make(join, routeTableId=table.id, subnetId=first)
    with refuses(f"Subnet {first} is not private"):
        account.make(ENVIRONMENT, **settings)


def test_an_environment_needs_a_group_that_refers_to_itself(account: Account) -> None:
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc)
    settings = account.environment_settings(subnets, group, account.bucket())
    with refuses("refers to the group itself"):
        account.make(ENVIRONMENT, **settings)


@pytest.mark.parametrize(
    ("bucket", "problem"),
    [
        ({"versioned": False}, "is not versioned"),
        ({"closed": False}, "does not block all public access"),
    ],
)
def test_an_environment_needs_a_versioned_and_closed_bucket(
    account: Account, bucket: dict[str, bool], problem: str
) -> None:
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc, refers_to_itself=True)
    settings = account.environment_settings(subnets, group, account.bucket(**bucket))
    with refuses(problem):
        account.make(ENVIRONMENT, **settings)


PINNED = pytest.mark.parametrize(
    ("file", "key"),
    [
        ("requirements", "requirements.txt"),
        ("plugins", "plugins.zip"),
        ("startupScript", "startup.sh"),
    ],
)


def pinned(account: Account, settings: dict[str, Any], file: str, key: str) -> dict[str, Any]:
    """An object for an environment to read, and how it is told of it."""
    bucket = settings["sourceBucketArn"].rpartition(":")[2]
    version = account.api("s3").put_object(Bucket=bucket, Key=key, Body=b"")["VersionId"]
    return {f"{file}S3Path": key, f"{file}S3ObjectVersion": version}


@PINNED
def test_a_file_needs_a_version(
    account: Account, settings: dict[str, Any], file: str, key: str
) -> None:
    name = file[:1].upper() + file[1:]
    with refuses(f"{name}S3ObjectVersion must be given together with {name}S3Path"):
        account.make(ENVIRONMENT, **settings, **{f"{file}S3Path": key})


@PINNED
def test_a_file_needs_a_version_that_exists(
    account: Account, settings: dict[str, Any], file: str, key: str
) -> None:
    given = pinned(account, settings, file, key)
    for wrong in (
        {f"{file}S3ObjectVersion": "00000000-0000-0000-0000-000000000000"},
        {f"{file}S3Path": f"other/{key}"},
    ):
        with refuses(f"{key} has no version"):
            account.make(ENVIRONMENT, **settings, **given | wrong)
    environment = account.make(ENVIRONMENT, **settings, **given)
    assert environment.state.items() >= given.items()
    newer = pinned(account, settings, file, key)
    environment.update({**settings, **newer})
    assert environment.state.items() >= newer.items()


@PINNED
def test_a_file_cannot_be_taken_away(
    account: Account, settings: dict[str, Any], file: str, key: str
) -> None:
    given = pinned(account, settings, file, key)
    environment = account.make(ENVIRONMENT, **settings, **given)
    with refuses("cannot be taken away"):
        environment.update(settings)
    path = f"{file[:1].upper()}{file[1:]}S3Path"
    with refuses("cannot be taken away"):
        account.api("mwaa").update_environment(Name=environment.id, **{path: ""})


def test_an_environment_takes_no_alias_for_its_key(
    account: Account, settings: dict[str, Any]
) -> None:
    key = account.make("kms/key:Key")
    alias = account.make("kms/alias:Alias", targetKeyId=key.id)
    with refuses("not an alias"):
        account.make(ENVIRONMENT, **settings, kmsKey=alias.state["arn"])


def test_an_environment_needs_a_role_that_both_services_assume(
    account: Account, settings: dict[str, Any]
) -> None:
    role = account.make("iam/role:Role", assumeRolePolicy=trust("airflow.amazonaws.com"))
    with refuses(r"cannot be assumed by airflow-env\.amazonaws\.com"):
        account.make(ENVIRONMENT, **{**settings, "executionRoleArn": role.state["arn"]})


def test_every_refusal_is_one_line_for_the_user(account: Account) -> None:
    vpc = account.vpc()
    account.subnet(vpc)
    plugin: Plugin = account.plugin
    with pytest.raises(ClientError) as refused:
        vpc.delete()
    text = plugin.explain(refused.value)
    assert text.startswith("DeleteVpc: api error DependencyViolation: ")
    assert "\n" not in text


# Who else says who somebody is.

GITHUB = "token.actions.githubusercontent.com"


def oidc_provider(account: Account, **given: Any) -> Made:  # noqa: ANN401
    provider = {"url": f"https://{GITHUB}", "clientIdLists": ["sts.amazonaws.com"], **given}
    return account.make("iam/openIdConnectProvider:OpenIdConnectProvider", **provider)


def test_an_account_has_one_oidc_provider_for_each_url(account: Account) -> None:
    oidc_provider(account)
    with refuses("EntityAlreadyExists.*https://token.actions.githubusercontent.com"):
        oidc_provider(account)


@pytest.mark.parametrize(
    ("url", "rule"), [("http://example.com", "HTTPS"), ("https://example.com?a=b", "query")]
)
def test_an_oidc_provider_has_a_plain_https_url(account: Account, url: str, rule: str) -> None:
    kind = "iam/openIdConnectProvider:OpenIdConnectProvider"
    (failure,) = account.check(kind, url=url, clientIdLists=["sts.amazonaws.com"])
    assert failure.property == "url"
    assert rule in failure.reason


def test_iam_itself_takes_no_url_without_tls(account: Account) -> None:
    with refuses("Invalid Open ID Connect Provider URL"):
        account.api("iam").create_open_id_connect_provider(Url="http://example.com")


def trusting(provider: str, **conditions: str) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{GITHUB}:{k}": v for k, v in conditions.items()}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_role_does_not_trust_every_repository_of_github(account: Account) -> None:
    provider = oidc_provider(account)
    with refuses("MalformedPolicyDocument.*githubusercontent.com:sub"):
        account.make(
            "iam/role:Role", assumeRolePolicy=trusting(provider.id, aud="sts.amazonaws.com")
        )


def token(kid: str = "", signed_with: str = "", **claims: Any) -> str:  # noqa: ANN401
    given = {
        "iss": f"https://{GITHUB}",
        "aud": "sts.amazonaws.com",
        "sub": "repo:acme/platform:pull_request",
        "exp": time.time() + 600,
        **claims,
    }
    key_id, secret = (os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    header = {"alg": "HS256", "kid": kid or key_id}
    return jwt.encode(header, given, OctKey.import_key(signed_with or secret))


def assume(account: Account, role: Made, token: str) -> str:
    # A workflow has no credentials yet.
    sts = boto3.client("sts", config=Config(signature_version=UNSIGNED))
    answer = sts.assume_role_with_web_identity(
        RoleArn=role.state["arn"], RoleSessionName="workflow", WebIdentityToken=token
    )
    return str(answer["AssumedRoleUser"]["Arn"])


@pytest.fixture
def workflow_role(account: Account) -> Made:
    conditions = {"aud": "sts.amazonaws.com", "sub": "repo:acme/platform:pull_request"}
    policy = trusting(oidc_provider(account).id, **conditions)
    return account.make("iam/role:Role", assumeRolePolicy=policy)


def test_a_token_that_a_role_trusts_is_exchanged(account: Account, workflow_role: Made) -> None:
    assert f"assumed-role/{workflow_role.id}/" in assume(account, workflow_role, token())


@pytest.mark.parametrize(
    ("claims", "match"),
    [
        ({"sub": "repo:acme/platform:ref:refs/heads/main"}, "Not authorized to perform sts:"),
        ({"sub": "repo:acme@1/platform@2:pull_request"}, "Not authorized to perform sts:"),
        ({"sub": "repo:other/platform:pull_request"}, "Not authorized to perform sts:"),
        ({"aud": "https://github.com/acme"}, "Incorrect token audience"),
        ({"iss": "https://example.com"}, "No OpenIDConnect provider found"),
        ({"exp": 1}, "ExpiredToken"),
        ({"signed_with": "guessed by somebody"}, "retrieve verification key"),
        ({"kid": "AKIAOFNOBODY"}, "retrieve verification key"),
    ],
)
def test_another_token_is_refused(
    account: Account, workflow_role: Made, claims: dict[str, Any], match: str
) -> None:
    with refuses(match):
        assume(account, workflow_role, token(**claims))


def test_a_session_signs_no_tokens(account: Account, workflow_role: Made) -> None:
    """Else a role would get what others are trusted with."""
    session = account.api("sts").assume_role(
        RoleArn=workflow_role.state["arn"], RoleSessionName="workflow"
    )["Credentials"]
    signed = {"kid": session["AccessKeyId"], "signed_with": session["SecretAccessKey"]}
    with refuses("retrieve verification key"):
        assume(account, workflow_role, token(**signed))


def test_a_token_without_a_signature_is_refused(account: Account, workflow_role: Made) -> None:
    header, claims, signature = token().split(".")
    for forged in (f"{header}.{claims}.", f"{header}.{claims}.{signature[:-4]}AAAA"):
        with refuses("retrieve verification key|not a valid JWT"):
            assume(account, workflow_role, forged)


def test_what_is_no_token_is_refused(account: Account, workflow_role: Made) -> None:
    with refuses("InvalidIdentityToken"):
        assume(account, workflow_role, "none")


# Who is told what: topics, alarms, dashboards, rules.

ALARM = "cloudwatch/metricAlarm:MetricAlarm"
RULE = "cloudwatch/eventRule:EventRule"
TARGET = "cloudwatch/eventTarget:EventTarget"
SUBSCRIPTION = "sns/topicSubscription:TopicSubscription"
TOPIC = "sns/topic:Topic"


@pytest.mark.parametrize(
    ("protocol", "endpoint", "match"),
    [
        ("email", "night.example.com", "Invalid parameter: Email address"),
        ("https", "http://example.com", "Endpoint must match the specified protocol"),
        ("sqs", "https://sqs.us-west-2.amazonaws.com/123456789012/one", "SQS endpoint ARN"),
    ],
)
def test_an_endpoint_that_is_none_of_its_protocol_is_refused(
    account: Account, protocol: str, endpoint: str, match: str
) -> None:
    topic = account.make(TOPIC)
    with refuses(match):
        account.make(SUBSCRIPTION, topic=topic.id, protocol=protocol, endpoint=endpoint)


def test_who_has_not_confirmed_stays_until_the_topic_goes(account: Account) -> None:
    topic = account.make(TOPIC)
    asked = account.make(SUBSCRIPTION, topic=topic.id, protocol="email", endpoint="a@example.com")
    assert asked.state["pendingConfirmation"] is True
    with refuses("pending confirmation"):
        account.api("sns").unsubscribe(SubscriptionArn=asked.id)
    asked.delete()  # which the provider takes for done
    assert asked.read() is not None
    topic.delete()
    assert asked.read() is None


def test_a_topic_with_a_key_that_is_about_to_go_is_refused(account: Account) -> None:
    key = account.make("kms/key:Key", deletionWindowInDays=7)
    account.api("kms").disable_key(KeyId=key.id)
    with refuses("KMSInvalidState"):
        account.make(TOPIC, kmsMasterKeyId=key.id)


def test_a_malformed_policy_of_a_topic_is_refused(account: Account) -> None:
    topic = account.make(TOPIC)
    statement = {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic.id}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    with refuses("InvalidParameter.*Missing required field Principal"):
        account.make("sns/topicPolicy:TopicPolicy", arn=topic.id, policy=document)


def alarm(**changes: object) -> dict[str, Any]:
    return {
        "namespace": "AmazonMWAA",
        "metricName": "SchedulerHeartbeat",
        "statistic": "Sum",
        "comparisonOperator": "LessThanThreshold",
        "threshold": 1,
        "period": 300,
        "evaluationPeriods": 2,
        **changes,
    }


def query(name: str, **changes: object) -> dict[str, Any]:
    metric = {"metricName": "one", "namespace": "AmazonMWAA", "stat": "Sum", "period": 60}
    return {"id": name, "metric": metric} | changes


MATH_OF: dict[str, Any] = {"metric": None, "returnData": True}
MATH = dict.fromkeys(("namespace", "metricName", "statistic", "period"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"alarmActions": ["arn:aws:sns:us-east-1:123456789012:one"]},
            "Invalid region us-east-1 specified. Only us-west-2 is supported",
        ),
        ({"okActions": ["arn:aws:sns:us-west-2:123456789012:one.fifo"]}, "FIFO topic"),
        ({"alarmActions": ["one"]}, "Invalid arn syntax: one"),
        ({"period": 60, "evaluationPeriods": 1441}, "across more than a day"),
        ({"period": 3600, "evaluationPeriods": 169}, "across more than seven days"),
        ({"datapointsToAlarm": 3}, "DatapointsToAlarm cannot be greater"),
        ({"threshold": None}, "Threshold is required"),
        (
            {**MATH, "metricQueries": [query("one"), query("two")]},
            "Exactly one element of the metrics list should return data, not 0",
        ),
        (
            {**MATH, "metricQueries": [query("One", returnData=True)]},
            "One for parameter id does not start with a lowercase letter",
        ),
        (
            {
                **MATH,
                "metricQueries": [query("one", metric=None, expression="1 +", returnData=True)],
            },
            "Error in expression 'one'",
        ),
        (
            {
                **MATH,
                "metricQueries": [
                    query("one", **MATH_OF, expression="1 + two"),
                    query("three"),
                ],
            },
            "two is the id of no metric",
        ),
    ],
)
def test_an_alarm_that_cannot_be_is_refused(
    account: Account, changes: dict[str, Any], match: str
) -> None:
    with refuses(f"ValidationError.*{match}"):
        account.make(ALARM, **alarm(**changes))


def test_an_alarm_over_a_week_of_hours_is_made(account: Account) -> None:
    account.make(ALARM, **alarm(period=3600, evaluationPeriods=168))


@pytest.mark.parametrize("period", [1, 15, 90])
def test_a_period_that_cloudwatch_does_not_know_is_refused(account: Account, period: int) -> None:
    (failure,) = account.check(ALARM, **alarm(period=period))
    assert "divisible by 60" in failure.reason
    with refuses("ValidationError.*Period must be one of 10, 20, 30 or a multiple of 60"):
        account.api("cloudwatch").put_metric_alarm(
            AlarmName="one",
            Namespace="AmazonMWAA",
            MetricName="SchedulerHeartbeat",
            Statistic="Sum",
            ComparisonOperator="LessThanThreshold",
            Threshold=1,
            Period=period,
            EvaluationPeriods=1,
        )


METRIC: list[Any] = ["AWS/EKS", "apiserver_request_total", "ClusterName", "one"]


def widget(kind: str = "metric", /, **properties: object) -> dict[str, Any]:
    return {"type": kind, "properties": properties}


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("[]", "must be a valid JSON object"),
        ({}, "/widgets: should be an array"),
        ({"widgets": [widget("chart")]}, "/widgets/0/type: should be one of"),
        ({"widgets": [widget("text")]}, "required property 'markdown'"),
        ({"widgets": [{**widget("text", markdown=""), "width": 25}]}, "/widgets/0/width"),
        ({"widgets": [widget(metrics=[METRIC])]}, "required property 'region'"),
        ({"widgets": [widget(metrics=[METRIC[:3]], region="us-west-2")]}, "/metrics/0"),
        ({"widgets": [widget(metrics=[[{"id": "a"}]], region="us-west-2")]}, "an expression"),
        ({"widgets": [widget("alarm", alarms=["one"])]}, "ARNs of alarms"),
    ],
)
def test_a_dashboard_that_cannot_be_shown_is_refused(
    account: Account, body: object, match: str
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with refuses(f"InvalidParameterInput.*{match}"):
        account.make("cloudwatch/dashboard:Dashboard", dashboardName="one", dashboardBody=text)


def test_a_dashboard_of_known_widgets_is_made(account: Account) -> None:
    share = [{"expression": "a / b", "id": "share"}]
    same = ["...", "two", {"stat": "Sum"}]
    widgets = [
        {**widget(metrics=[METRIC, same, share], region="us-west-2"), "x": 0, "y": 0, "width": 12},
        widget("text", markdown="# one"),
        widget("log", query="SOURCE 'one' | fields @message", region="us-west-2"),
    ]
    account.make(
        "cloudwatch/dashboard:Dashboard",
        dashboardName="two",
        dashboardBody=json.dumps({"widgets": widgets}),
    )


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        ({"source": "aws.kms"}, '"source" must be an object or an array'),
        ({"source": [{"starts-with": "aws"}]}, "unrecognized match type starts-with"),
        ({"detail": {"n": [{"numeric": ["<", 1, ">", 2]}]}}, "no value of numeric"),
        ({"detail": {"n": [{"exists": "yes"}]}}, "no value of exists"),
        ({"detail": {}}, "not empty"),
        ({"detail": {"id": [f"{number:019}" for number in range(100)]}}, "the quota is 2048"),
    ],
)
def test_an_event_pattern_that_is_none_is_refused(
    account: Account, pattern: object, match: str
) -> None:
    with refuses(f"InvalidEventPattern.*{match}"):
        account.make(RULE, eventPattern=json.dumps(pattern))


def test_an_event_pattern_with_all_operators_is_taken(account: Account) -> None:
    detail = {
        "a": [{"prefix": "x"}, {"suffix": {"equals-ignore-case": "y"}}, None, 1],
        "b": [{"anything-but": ["x", 1]}, {"anything-but": {"prefix": "z"}}, {"exists": False}],
        "c": [{"numeric": [">", 1, "<=", 5]}, {"cidr": "10.0.0.0/8"}, {"wildcard": "a*b"}],
        "$or": [{"d": ["x"]}, {"e": [{"equals-ignore-case": "Y"}]}],
    }
    account.make(RULE, eventPattern=json.dumps({"source": ["one"], "detail": detail}))


def rule(account: Account) -> Made:
    return account.make(RULE, eventPattern='{"source": ["one"]}')


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"arn": "arn:aws:sns:eu-west-1:123456789012:one"}, "is in region eu-west-1"),
        ({"roleArn": "arn:aws:iam::123456789012:role/one"}, "RoleArn is not supported"),
        (
            {"inputTransformer": {"inputTemplate": '"<id>"', "inputPaths": {"name": "$.id"}}},
            "placeholder id that is not in InputPathsMap",
        ),
        (
            {"inputTransformer": {"inputTemplate": '"<id>"', "inputPaths": {"id": "detail.id"}}},
            "Invalid InputPath",
        ),
    ],
)
def test_a_target_that_cannot_be_sent_to_is_refused(
    account: Account, given: dict[str, Any], match: str
) -> None:
    arn = {"arn": "arn:aws:sns:us-west-2:123456789012:one"}
    with refuses(f"ValidationException.*{match}"):
        account.make(TARGET, rule=rule(account).id, **(arn | given))


def test_a_sixth_target_of_a_rule_is_refused(account: Account) -> None:
    one, arn = rule(account), "arn:aws:sns:us-west-2:123456789012:one"
    for number in range(5):
        account.make(TARGET, rule=one.id, arn=arn, targetId=f"to-{number}")
    with refuses("LimitExceeded"):
        account.make(TARGET, rule=one.id, arn=arn, targetId="to-5")


def test_a_rule_with_targets_stays(account: Account) -> None:
    one = rule(account)
    account.make(TARGET, rule=one.id, arn="arn:aws:sns:us-west-2:123456789012:one")
    with refuses("it has targets"):
        one.delete()
