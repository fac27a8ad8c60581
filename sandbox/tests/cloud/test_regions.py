"""A cluster in another region than the sandbox's own, and a caller whose role has a path."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import boto3
import pytest
from botocore.signers import RequestSigner

from sandbox.cloud.aws.cluster_endpoint import Judge
from sandbox.cloud.clusters import Clusters
from sandbox.cloud.kubernetes import authenticator
from sandbox.cloud.kubernetes.authenticator import RefusedError
from sandbox.machine.aws_api import Aws
from sandbox.providers.aws.provider import AwsPlugin
from sandbox.tests.aws_account import Account, Made, trust

REGION = "eu-west-1"


@pytest.fixture(scope="module")
def account(emulators: dict[str, str]) -> Iterator[Account]:
    assert emulators
    plugin = AwsPlugin()
    plugin.configure({"region": REGION})
    found = Account(plugin)
    yield found
    found.clean_up()


@pytest.fixture(scope="module")
def cluster(account: Account) -> Made:
    vpc = account.vpc()
    subnets = [account.subnet(vpc, n, f"{REGION}{zone}") for n, zone in enumerate("ab")]
    return account.cluster(subnets)


def _token(account: Account, role: str, cluster: str) -> str:
    found = account.api("sts").assume_role(RoleArn=role, RoleSessionName="jane")["Credentials"]
    session = boto3.Session(
        found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], REGION
    )
    sts, credentials = session.client("sts"), session.get_credentials()
    assert credentials is not None
    signer = RequestSigner(
        sts.meta.service_model.service_id, REGION, "sts", "v4", credentials, session.events
    )
    request = {
        "method": "GET",
        "url": f"{sts.meta.endpoint_url}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(request, "", 60, REGION)
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def test_it_comes_up_there(account: Account, cluster: Made) -> None:
    assert f":eks:{REGION}:" in cluster.state["arn"]
    group = cluster.state["vpcConfig"]["clusterSecurityGroupId"]
    assert account.api("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]


def test_there_is_one_control_plane_for_all_regions(account: Account, cluster: Made) -> None:
    assert cluster
    vpc = account.vpc()
    subnets = [account.subnet(vpc, n, f"{REGION}{zone}") for n, zone in enumerate("ab")]
    with pytest.raises(Exception, match="the sandbox has one control plane"):
        account.cluster(subnets, name="another")


def test_who_has_assumed_a_role_with_a_path_is_known_there(
    account: Account, cluster: Made, emulators: dict[str, str]
) -> None:
    role = account.make(
        "iam/role:Role",
        assumeRolePolicy=trust("ec2.amazonaws.com"),
        path=f"/aws-reserved/sso.amazonaws.com/{REGION}/",
        name=f"AWSReservedSSO_Engineer_{account.suffix}",
    )
    account.make(
        "eks/accessEntry:AccessEntry",
        clusterName=cluster.id,
        principalArn=role.state["arn"],
        kubernetesGroups=["engineers"],
    )
    aws = Aws("us-west-2")
    sts, clusters = emulators["AWS_ENDPOINT_URL"], Clusters(aws)
    token = _token(account, role.state["arn"], cluster.id)
    found = authenticator.review(token, sts, aws, clusters)
    assert found.groups == ("engineers",)
    assert found.username.endswith(f"assumed-role/{role.state['name']}/jane")
    with pytest.raises(RefusedError, match="SignatureDoesNotMatch"):
        authenticator.review(_token(account, role.state["arn"], "another"), sts, aws, clusters)


def test_its_endpoint_is_found_there(
    cluster: Made, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert cluster.state["vpcConfig"]["endpointPublicAccess"]
    judge = Judge(Aws("us-west-2"), tmp_path_factory.mktemp("place") / "address")
    assert judge.admits_machine()
    assert not judge.admits_airflow()
