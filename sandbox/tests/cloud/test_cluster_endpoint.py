"""Who reaches the API server: what AWS would say to the packets of each caller."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from ipaddress import AddressValueError, IPv4Network
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox.cloud.aws import cluster_endpoint
from sandbox.cloud.aws.cluster_endpoint import MACHINE, Door, Judge, Place, lets_in, places
from sandbox.machine import ports
from sandbox.machine.aws_api import Aws
from sandbox.tests.aws_account import Account, Made


def access(*, public: tuple[str, ...] = (), private: bool = False) -> dict[str, Any]:
    return {
        "endpointPublicAccess": bool(public),
        "publicAccessCidrs": list(public) or ["0.0.0.0/0"],
        "endpointPrivateAccess": private,
    }


def rule(
    *cidrs: str, group: str = "", protocol: str = "tcp", ports: tuple[int, int] = (443, 443)
) -> dict[str, Any]:
    return {
        "IpProtocol": protocol,
        **({} if protocol == "-1" else {"FromPort": ports[0], "ToPort": ports[1]}),
        "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
        "UserIdGroupPairs": [{"GroupId": group}] if group else [],
    }


OFFICE = "192.168.7.7"
SUBNET = Place(IPv4Network("10.0.16.0/20"), frozenset({"sg-airflow"}))


@pytest.mark.parametrize(
    ("ways", "rules", "address", "open_"),
    [
        (access(public=("192.0.2.0/24",)), [], MACHINE, True),
        (access(public=("198.51.100.0/24", "2001:db8::/32")), [], MACHINE, False),
        # What the endpoint had when it was public is still told, and counts no more.
        (access(private=True), [rule("0.0.0.0/0")], MACHINE, False),
        (access(private=True), [], OFFICE, False),
        (access(private=True), [rule("192.168.0.0/16")], OFFICE, True),
        (access(private=True), [rule("10.0.0.0/8"), rule("192.168.7.7/32")], OFFICE, True),
        (access(private=True), [rule("192.168.0.0/24")], OFFICE, False),
        (access(public=("0.0.0.0/0",)), [rule("192.168.0.0/16")], OFFICE, False),
        (access(private=True), [rule("192.168.0.0/16", ports=(0, 65535))], OFFICE, True),
        (access(private=True), [rule("192.168.0.0/16", ports=(80, 80))], OFFICE, False),
        (access(private=True), [rule("192.168.0.0/16", protocol="udp")], OFFICE, False),
        (access(private=True), [rule("192.168.0.0/16", protocol="-1")], OFFICE, True),
        (access(private=True), [rule(group="sg-1")], "sg-1", True),
        (access(private=True), [rule(group="sg-1")], "sg-2", False),
        (access(private=True), [rule(group="sg-1")], "10.9.0.4, sg-1", True),
    ],
)
def test_a_connection_is_let_in_as_aws_would(
    ways: dict[str, Any], rules: list[dict[str, Any]], address: str, *, open_: bool
) -> None:
    (place,) = places(address)
    assert lets_in(ways, rules, place) is open_


def test_a_subnet_is_let_in_whole_or_by_its_group() -> None:
    ways = access(private=True)
    assert lets_in(ways, [rule("10.0.0.0/16")], SUBNET)
    assert not lets_in(ways, [rule("10.0.16.0/24")], SUBNET)
    assert lets_in(ways, [rule(group="sg-airflow")], SUBNET)


def test_a_machine_may_have_several_addresses() -> None:
    assert [str(one.network) for one in places(f"{MACHINE},{OFFICE}")] == [
        "192.0.2.10/32",
        "192.168.7.7/32",
    ]


@pytest.mark.parametrize("text", ["here", "10.0.0.1/8", "2001:db8::1", "10.0.0.1,,sg-1"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(AddressValueError):
        places(text)


def ingress(account: Account, group_id: str, **peer: str) -> Made:
    return account.make(
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        securityGroupId=group_id,
        ipProtocol="tcp",
        fromPort=443,
        toPort=443,
        **peer,
    )


def test_the_answer_follows_the_cluster_and_its_groups(account: Account, tmp_path: Path) -> None:
    stands_at = tmp_path / "address"
    judge = Judge(Aws("us-west-2"), stands_at)
    assert not judge.admits_machine(), "without a cluster there is nothing to reach"
    vpc = account.vpc()
    subnets, own = account.subnets(vpc), account.group(vpc)
    network = {"subnetIds": [one.id for one in subnets], "securityGroupIds": [own.id]}
    cluster = account.cluster(
        subnets,
        vpcConfig=network | {"endpointPrivateAccess": True, "publicAccessCidrs": ["192.0.2.0/24"]},
    )
    assert judge.admits_machine(), "it stands on the internet by itself"
    stands_at.write_text("198.51.100.1")
    assert not judge.admits_machine()
    stands_at.write_text(OFFICE)
    assert not judge.admits_machine()
    made = ingress(account, own.id, cidrIpv4="192.168.0.0/16")
    assert judge.admits_machine(), "by a group that the cluster was given"
    made.delete()
    assert not judge.admits_machine()
    of_cluster = cluster.state["vpcConfig"]["clusterSecurityGroupId"]
    ingress(account, of_cluster, cidrIpv4="192.168.0.0/16")
    assert judge.admits_machine(), "by the group that EKS has made"


def test_airflow_stands_where_its_environment_does(account: Account, tmp_path: Path) -> None:
    judge = Judge(Aws("us-west-2"), tmp_path / "address")
    vpc = account.vpc()
    subnets, group = account.subnets(vpc), account.group(vpc, refers_to_itself=True)
    network = {"subnetIds": [one.id for one in subnets], "endpointPrivateAccess": True}
    cluster = account.cluster(subnets, vpcConfig=network)
    of_cluster = cluster.state["vpcConfig"]["clusterSecurityGroupId"]
    made = ingress(account, of_cluster, referencedSecurityGroupId=group.id)
    assert not judge.admits_airflow(), "there is none"
    settings = account.environment_settings(subnets, group, account.bucket())
    environment = account.make("mwaa/environment:Environment", **settings)
    assert judge.admits_airflow()
    made.delete()
    assert not judge.admits_airflow(), "whatever the public endpoint would let in"

    # As the execution role, DescribeCluster tells of Airflow's own way.
    sts, eks = account.api("sts"), account.api("eks")
    arn = environment.inputs["executionRoleArn"]
    _let_describe(account, arn.rpartition("/")[2], cluster)
    role = sts.assume_role(RoleArn=arn, RoleSessionName="airflow")["Credentials"]
    told = eks.describe_cluster(name=cluster.id)["cluster"]
    as_airflow = _session(role).client("eks").describe_cluster(name=cluster.id)["cluster"]
    assert as_airflow["endpoint"] != told["endpoint"]
    assert {**as_airflow, "endpoint": ""} == {**told, "endpoint": ""}
    other = account.role("ec2.amazonaws.com")
    _let_describe(account, other.id, cluster)
    somebody = sts.assume_role(RoleArn=other.state["arn"], RoleSessionName="airflow")["Credentials"]
    as_somebody = _session(somebody).client("eks").describe_cluster(name=cluster.id)["cluster"]
    assert as_somebody["endpoint"] == told["endpoint"]


def _let_describe(account: Account, role: str, cluster: Made) -> None:
    allow = {"Effect": "Allow", "Action": "eks:DescribeCluster", "Resource": cluster.state["arn"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    account.make("iam/rolePolicy:RolePolicy", role=role, policy=policy)


def _session(credentials: dict[str, str]) -> Any:  # noqa: ANN401
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def test_what_stands_goes_on_and_what_comes_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_endpoint, "_SECONDS", 0.2)
    answers: list[bool | Exception] = [OSError("EKS does not answer yet"), True, False]

    def admits() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    numbers = ports.free(("door", "behind"))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(100):
            writer.write(heard)
        writer.close()

    async def hears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"hello")
        try:
            return await asyncio.wait_for(reader.read(100), 5)
        except ConnectionResetError:
            return b"nothing"

    async def scenario() -> None:
        door = Door(admits, numbers["behind"])
        behind = await asyncio.start_server(echo, "127.0.0.1", numbers["behind"])
        front = await asyncio.start_server(door.serve, "127.0.0.1", numbers["door"])
        async with behind, front:
            calls = partial(asyncio.open_connection, "127.0.0.1", numbers["door"])
            assert await hears(*await calls()) == b"nothing", "nobody may pass meanwhile"
            assert await hears(*await calls()) == b"nothing"
            assert len(answers) == 2, "the answer counts for a moment"
            await asyncio.sleep(0.3)
            standing = await calls()
            assert await hears(*standing) == b"hello"
            await asyncio.sleep(0.3)
            assert await hears(*await calls()) == b"nothing"
            assert await hears(*standing) == b"hello"
            standing[1].close()

    asyncio.run(scenario())
