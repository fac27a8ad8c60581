"""What stops a destroy, on an emulated AWS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import boto3
import pulumi
import pytest
from moto import mock_aws
from pulumi.dynamic.dynamic import serialize_provider

from components import destroy_check
from components.destroy_check import DestroyCheckProvider, InTheWayError, in_the_way

REGION = "us-west-2"
ACCOUNT = "123456789012"
CLUSTER = "mwaa-on-eks-test"
BUCKET = "mwaa-on-eks-test-dags"
TAGS = {"project": "mwaa-on-eks", "stack": "test"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/nodes"


def _tagged(kind: str) -> list[dict[str, Any]]:
    tags = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    return [{"ResourceType": kind, "Tags": tags}]


class Account:
    """A stack's VPC, cluster and bucket, in which nothing is in the way."""

    def __init__(self) -> None:
        self.told: list[str] = []
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=_tagged("vpc"))
        self.vpc = vpc["Vpc"]["VpcId"]
        self.subnet = self.make_subnet("10.0.1.0/24", TagSpecifications=_tagged("subnet"))
        self.group = self.make_group("ours", TagSpecifications=_tagged("security-group"))
        self.make_endpoint("s3", TagSpecifications=_tagged("vpc-endpoint"))
        network = {"subnetIds": [self.subnet]}
        self.client("eks").create_cluster(name=CLUSTER, roleArn=ROLE, resourcesVpcConfig=network)
        self.make_nodes("ours", TAGS)
        self.make_virtual_cluster("ours", TAGS)
        where = {"LocationConstraint": REGION}
        self.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)

    def client(self, service: str) -> Any:  # noqa: ANN401  (boto3 makes its clients at run time)
        return boto3.client(service, region_name=REGION)  # type: ignore[call-overload]

    def make_subnet(self, block: str, **told: object) -> str:
        made = self.client("ec2").create_subnet(VpcId=self.vpc, CidrBlock=block, **told)
        subnet_id: str = made["Subnet"]["SubnetId"]
        return subnet_id

    def make_group(self, name: str, vpc: str | None = None, **told: object) -> str:
        group_id: str = self.client("ec2").create_security_group(
            GroupName=name, Description=name, VpcId=vpc or self.vpc, **told
        )["GroupId"]
        return group_id

    def make_endpoint(self, service: str, **told: object) -> str:
        name = f"com.amazonaws.{REGION}.{service}"
        made = self.client("ec2").create_vpc_endpoint(VpcId=self.vpc, ServiceName=name, **told)
        endpoint_id: str = made["VpcEndpoint"]["VpcEndpointId"]
        return endpoint_id

    def make_interface(self, group: str, description: str) -> str:
        made = self.client("ec2").create_network_interface(
            SubnetId=self.subnet, Groups=[group], Description=description
        )
        interface_id: str = made["NetworkInterface"]["NetworkInterfaceId"]
        return interface_id

    def make_nodes(self, name: str, tags: dict[str, str]) -> None:
        self.client("eks").create_nodegroup(
            clusterName=CLUSTER,
            nodegroupName=name,
            subnets=[self.subnet],
            nodeRole=ROLE,
            tags=tags,
        )

    def make_virtual_cluster(self, name: str, tags: dict[str, str]) -> str:
        provider = {"id": CLUSTER, "type": "EKS", "info": {"eksInfo": {"namespace": name}}}
        made = self.client("emr-containers").create_virtual_cluster(
            name=name, containerProvider=provider, tags=tags, clientToken=name
        )
        cluster_id: str = made["id"]
        return cluster_id

    def in_the_way(self, **props: object) -> list[str]:
        """Return what is in the way that was not when this was asked before."""
        found = in_the_way(self.props(**props))
        new = [line for line in found if line not in self.told]
        self.told += new
        return new

    def props(self, **props: object) -> dict[str, Any]:
        return {
            "account_id": ACCOUNT,
            "region": REGION,
            "cluster_name": CLUSTER,
            "vpc_id": self.vpc,
            "buckets": {BUCKET: False},
            "tags": TAGS,
            **props,
        }


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One for all, since it takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(key, "test")
        patch.delenv("AWS_DEFAULT_REGION", raising=False)
        yield Account()


def test_what_the_stack_made_is_not_in_its_own_way(account: Account) -> None:
    account.make_interface(account.group, "arn:aws:ecs:attachment of MWAA")
    managed = [
        {"ResourceType": "vpc-endpoint", "Tags": [{"Key": "AmazonMWAAManaged", "Value": ""}]}
    ]
    account.make_endpoint("vpce-svc-of-mwaa", TagSpecifications=managed)

    assert account.in_the_way() == []
    DestroyCheckProvider().delete(CLUSTER, account.props())


def test_a_cluster_without_nodes_is_in_the_way(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    group: dict[str, Any] = {
        "tags": TAGS,
        "scalingConfig": {"minSize": 0, "desiredSize": 0, "maxSize": 9},
    }
    client = boto3.client

    def of(name: str, **told: Any) -> Any:  # noqa: ANN401
        found: Any = client(name, **told)  # type: ignore[call-overload]
        if name == "eks":
            found.describe_nodegroup = lambda **_: {"nodegroup": group}
        return found

    monkeypatch.setattr(boto3, "client", of)
    account.make_nodes("own", TAGS)
    (line,) = account.in_the_way()
    assert line.startswith(f"cluster {CLUSTER} has no nodes, without which what is in it")
    group["scalingConfig"]["desiredSize"] = 1
    account.told.clear()
    assert account.in_the_way() == []


def test_deletion_protection_is_in_the_way(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destroy_check, "_describe", lambda *_: {"deletionProtection": True})
    (line,) = account.in_the_way()
    assert line.startswith(f"cluster {CLUSTER} has deletion protection: set cluster.deletion")


def test_what_a_bucket_holds_is_in_the_way(account: Account) -> None:
    s3 = account.client("s3")
    s3.put_object(Bucket=BUCKET, Key="dags/one.py", Body=b"")
    (line,) = account.in_the_way()
    assert line.startswith(f"bucket {BUCKET} holds dags/one.py at least, and account.forceDestroy")
    assert account.in_the_way(buckets={BUCKET: True}) == []
    account.client("s3").delete_object(Bucket=BUCKET, Key="dags/one.py")


def test_a_delete_marker_is_in_the_way(account: Account) -> None:
    s3 = account.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=BUCKET, Key="gone.py", Body=b"")["VersionId"]
    s3.delete_object(Bucket=BUCKET, Key="gone.py")
    s3.delete_object(Bucket=BUCKET, Key="gone.py", VersionId=version)
    (line,) = account.in_the_way()
    assert "holds gone.py" in line


def test_what_others_made_in_the_cluster_is_in_the_way(account: Account) -> None:
    account.make_nodes("theirs", {**TAGS, "stack": "other"})
    eks = account.client("eks")
    eks.create_fargate_profile(
        fargateProfileName="theirs", clusterName=CLUSTER, podExecutionRoleArn=ROLE,
        selectors=[{"namespace": "default"}],
    )  # fmt: skip
    virtual = account.make_virtual_cluster("theirs", {})
    nodes, fargate, spark = account.in_the_way()
    assert f"`aws eks delete-nodegroup --cluster-name {CLUSTER} --nodegroup-name theirs`" in nodes
    assert "--fargate-profile-name theirs`" in fargate
    assert f"`aws emr-containers delete-virtual-cluster --id {virtual}`" in spark


def test_volumes_of_claims_are_in_the_way_and_those_of_nodes_are_not(account: Account) -> None:
    of_driver = {
        "ebs.csi.aws.com/cluster": "true",
        "kubernetes.io/created-for/pvc/name": "data",
        "kubernetes.io/created-for/pvc/namespace": "mwaa",
    }
    made = {}
    for name, tags in (
        ("of a claim", TAGS | of_driver),
        ("of a node", TAGS),
        ("of another stack", TAGS | of_driver | {"stack": "other"}),
    ):
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        made[name] = account.client("ec2").create_volume(
            AvailabilityZone=f"{REGION}a",
            Size=1,
            TagSpecifications=[{"ResourceType": "volume", "Tags": listed}],
        )["VolumeId"]
    (line,) = account.in_the_way()
    assert line.startswith(f"volume {made['of a claim']} holds what pods have written to the claim")
    assert "`kubectl delete persistentvolumeclaim data --namespace mwaa`" in line
    account.client("ec2").delete_volume(VolumeId=made["of a claim"])


def test_what_others_made_in_the_network_is_in_the_way(account: Account) -> None:
    endpoint = account.make_endpoint("guardduty-data")
    group = account.make_group("theirs")
    interface = account.make_interface(group, "ELB app/theirs")
    subnet = account.make_subnet("10.0.9.0/24")
    lines = account.in_the_way()
    for line, (what, command) in zip(
        lines,
        [
            (f"VPC endpoint {endpoint} (", f"delete-vpc-endpoints --vpc-endpoint-ids {endpoint}`"),
            (f"network interface {interface} (ELB app/theirs) ", f"-id {interface}`"),
            (f"security group {group} (theirs) ", f"delete-security-group --group-id {group}`"),
            (f"subnet {subnet} (10.0.9.0/24) ", f"delete-subnet --subnet-id {subnet}`"),
        ],
        strict=True,
    ):
        assert line.startswith(what)
        assert line.endswith(command)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_rule_elsewhere_that_names_a_group_is_in_the_way(
    account: Account, direction: str
) -> None:
    ec2 = account.client("ec2")
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    peer = account.make_group("peer", other)
    getattr(ec2, f"authorize_security_group_{direction}")(
        GroupId=peer,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "UserIdGroupPairs": [{"GroupId": account.group}],
            }
        ],
    )
    (line,) = account.in_the_way()
    assert line.startswith(f"security group {peer} (peer) has a rule that names a group of this")


def test_all_is_told_at_once(account: Account) -> None:
    account.make_group("one")
    account.make_group("two")
    with pytest.raises(InTheWayError, match=r"(?s)nothing has been deleted yet:\n- .*\n- "):
        DestroyCheckProvider().delete(CLUSTER, account.props())


def test_what_is_gone_already_is_in_nobodys_way(account: Account) -> None:
    gone = {"cluster_name": "gone", "buckets": {"gone": False}, "vpc_id": "vpc-12345678"}
    assert account.in_the_way(**gone) == []


def test_with_credentials_of_another_account_nothing_counts_as_gone(account: Account) -> None:
    with pytest.raises(PermissionError, match=rf"{ACCOUNT}.*account 999999999999: .*of that"):
        account.in_the_way(account_id="999999999999")


def test_a_change_never_replaces_it_which_would_look_in_an_up() -> None:
    old = {"cluster_name": CLUSTER, "vpc_id": "vpc-1", "buckets": {BUCKET: False}}
    provider = DestroyCheckProvider()
    assert not provider.diff(CLUSTER, old, {**old, "__provider": "other"}).changes
    for change in ({"vpc_id": "vpc-2"}, {"buckets": {BUCKET: True}}, {"cluster_name": "other"}):
        changed = provider.diff(CLUSTER, old, {**old, **change})
        assert (changed.changes, changed.replaces) == (True, [])


def test_the_state_names_the_class_and_holds_no_code() -> None:
    pickled = base64.b64decode(serialize_provider(DestroyCheckProvider()))
    assert b"components.destroy_check" in pickled
    assert len(pickled) < 120


def test_policies_of_others_go_with_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    transforms: list[pulumi.ResourceTransform] = []
    monkeypatch.setattr(pulumi.runtime, "register_resource_transform", transforms.append)
    destroy_check.let_roles_go()
    (transform,) = transforms
    options = pulumi.ResourceOptions()
    result = transform(
        pulumi.ResourceTransformArgs(True, "aws:iam/role:Role", "one", {"path": "/"}, options)
    )
    assert isinstance(result, pulumi.ResourceTransformResult)
    assert result.props == {"path": "/", "forceDetachPolicies": True}
    other = pulumi.ResourceTransformArgs(True, "aws:iam/policy:Policy", "one", {}, options)
    assert transform(other) is None
