"""What nodes can pull: by the ways out of their subnet, their role, and what the registry has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import kubernetes.client
import pytest

from sandbox.clone import Clone
from sandbox.cloud import ways_out
from sandbox.cloud.kubernetes.kubelet.environment import NotYetError
from sandbox.cloud.kubernetes.kubelet.images import Images, NotPulledError, Pulls
from sandbox.cloud.kubernetes.nodes import ROLE, SUBNET
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.provider import AwsPlugin
from sandbox.tests.aws_account import Account, Made, push

PUBLIC = "registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.1"
ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
PULL_ONLY = "AmazonEC2ContainerRegistryPullOnly"
TABLE = "ec2/routeTable:RouteTable"
ASSOCIATION = "ec2/routeTableAssociation:RouteTableAssociation"
ROUTE = "ec2/route:Route"
ENDPOINT = "ec2/vpcEndpoint:VpcEndpoint"


class Network:
    """A VPC with a subnet that has a route table of its own and no way out."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.vpc = account.make("ec2/vpc:Vpc", cidrBlock="10.0.0.0/16", enableDnsHostnames=True)
        self.subnet = account.subnet(self.vpc)
        self.table = self.table_of(self.subnet)

    @property
    def ways(self) -> ways_out.WaysOut:
        return ways_out.of_subnet(self.account.api("ec2"), self.subnet.id)

    def table_of(self, subnet: Made) -> Made:
        table = self.account.make(TABLE, vpcId=self.vpc.id)
        self.account.make(ASSOCIATION, subnetId=subnet.id, routeTableId=table.id)
        return table

    def route(self, table: Made, **target: str) -> Made:
        return self.account.make(
            ROUTE, routeTableId=table.id, destinationCidrBlock="0.0.0.0/0", **target
        )

    def nat(self, *, public: bool = True) -> Made:
        """A NAT gateway, in a public subnet where it does not say otherwise."""
        subnet, gateway = self.account.subnet(self.vpc, 1), self.account.gateway(self.vpc)
        if public:
            self.route(self.table_of(subnet), gatewayId=gateway.id)
        address = self.account.make("ec2/eip:Eip", domain="vpc")
        return self.account.make(
            "ec2/natGateway:NatGateway", subnetId=subnet.id, allocationId=address.id
        )

    def endpoint(self, service: str, cidr: str = "10.0.0.0/16", **given: Any) -> Made:  # noqa: ANN401
        name = f"com.amazonaws.us-west-2.{service}"
        if given.get("vpcEndpointType") == "Gateway":
            return self.account.make(ENDPOINT, vpcId=self.vpc.id, serviceName=name, **given)
        group = self.account.group(self.vpc)
        self.account.make(
            "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            securityGroupId=group.id,
            cidrIpv4=cidr,
            ipProtocol="tcp",
            fromPort=443,
            toPort=443,
        )
        settings = {
            "vpcEndpointType": "Interface",
            "subnetIds": [self.subnet.id],
            "securityGroupIds": [group.id],
            "privateDnsEnabled": True,
        }
        return self.account.make(
            ENDPOINT, vpcId=self.vpc.id, serviceName=name, **(settings | given)
        )

    def endpoints_of_ecr(self) -> None:
        for service in ("ecr.api", "ecr.dkr"):
            self.endpoint(service)
        self.endpoint("s3", vpcEndpointType="Gateway", routeTableIds=[self.table.id])

    def node(self, *policies: str) -> Any:  # noqa: ANN401
        role = self.account.role("ec2.amazonaws.com", policies=policies or (PULL_ONLY,))
        annotations = {SUBNET: self.subnet.id, ROLE: role.state["arn"]}
        return SimpleNamespace(metadata=SimpleNamespace(uid="1", annotations=annotations))

    def why_not(self, image: str, *policies: str) -> str:
        """Why a node of the subnet cannot pull an image, or nothing."""
        try:
            Images(self.account.plugin.aws).require(image, None, self.node(*policies))
        except NotPulledError as error:
            return str(error)
        return ""


@pytest.fixture
def network(emulators: dict[str, str]) -> Iterator[Network]:
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2"})
    account = Account(plugin)
    yield Network(account)
    account.clean_up()


def test_a_subnet_reaches_the_internet_through_a_nat_gateway(network: Network) -> None:
    assert not network.ways.internet
    gateway = network.nat()
    assert not network.ways.internet
    network.route(network.table, natGatewayId=gateway.id)
    assert network.ways.internet
    assert network.ways.lead_to("ecr.api")


def test_a_nat_gateway_in_a_private_subnet_leads_nowhere(network: Network) -> None:
    network.route(network.table, natGatewayId=network.nat(public=False).id)
    assert not network.ways.internet


def test_an_internet_gateway_serves_those_with_public_addresses(network: Network) -> None:
    network.route(network.table, gatewayId=network.account.gateway(network.vpc).id)
    assert not network.ways.internet
    network.account.api("ec2").modify_subnet_attribute(
        SubnetId=network.subnet.id, MapPublicIpOnLaunch={"Value": True}
    )
    assert network.ways.internet


def test_a_subnet_without_a_table_of_its_own_has_the_main_one(network: Network) -> None:
    other = network.account.subnet(network.vpc, 7)
    assert not ways_out.of_subnet(network.account.api("ec2"), other.id).internet


def test_an_endpoint_leads_to_its_service(network: Network) -> None:
    network.endpoint("ecr.api")
    network.endpoint("sts", privateDnsEnabled=False)
    network.endpoint("logs", cidr="10.9.0.0/16")
    elsewhere = network.table_of(network.account.subnet(network.vpc, 1))
    network.endpoint("s3", vpcEndpointType="Gateway", routeTableIds=[elsewhere.id])

    assert network.ways == ways_out.WaysOut(internet=False, services=frozenset({"ecr.api"}))
    assert network.ways.lead_to("ecr.api")
    assert not network.ways.lead_to("ecr.api", "s3")


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        (PUBLIC, "registry.k8s.io/v2/autoscaling/cluster-autoscaler/manifests/v1.35.1"),
        ("busybox", "registry-1.docker.io/v2/library/busybox/manifests/latest"),
        ("grafana/loki:3", "registry-1.docker.io/v2/grafana/loki/manifests/3"),
        ("localhost:5000/a/b", "localhost:5000/v2/a/b/manifests/latest"),
    ],
)
def test_a_public_image_comes_from_the_internet(network: Network, image: str, asked: str) -> None:
    network.endpoints_of_ecr()
    told = network.why_not(image)
    assert told.startswith("rpc error: code = DeadlineExceeded desc = failed to pull and unpack")
    assert f'Head "https://{asked}": dial tcp: i/o timeout' in told

    network.route(network.table, natGatewayId=network.nat().id)
    assert network.why_not(image) == ""


def test_an_image_of_the_accounts_registry_comes_by_endpoints(network: Network) -> None:
    repository = f"copies-{network.account.suffix}/registry.k8s.io/pause"
    image = f"{ECR}/{repository}:3.10"
    assert "i/o timeout" in network.why_not(image)

    network.endpoint("ecr.api")
    network.endpoint("ecr.dkr")
    assert "i/o timeout" in network.why_not(image)  # layers are in S3
    network.endpoint("s3", vpcEndpointType="Gateway", routeTableIds=[network.table.id])
    told = network.why_not(image)
    assert told.startswith("rpc error: code = NotFound")
    assert told.endswith(f"{image}: not found")

    push(network.account.api("ecr"), repository, "3.10")
    assert network.why_not(image) == ""
    assert network.why_not(f"{ECR}/{repository}:3.11").endswith("not found")
    assert "403 Forbidden" in network.why_not(image, "AmazonEKSWorkerNodePolicy")


def test_a_registry_of_another_region_is_on_the_internet(network: Network) -> None:
    network.endpoints_of_ecr()
    assert "i/o timeout" in network.why_not("123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:1")
    # What another account has there, only that account knows.
    assert network.why_not("602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/coredns:v1") == ""


def test_a_node_keeps_what_it_has_pulled(network: Network) -> None:
    images, node = Images(network.account.plugin.aws), network.node()
    with pytest.raises(NotYetError, match="not present with pull policy of Never"):
        images.require(PUBLIC, "Never", node)
    way_out = network.route(network.table, natGatewayId=network.nat().id)
    images.require(PUBLIC, "IfNotPresent", node)
    way_out.delete()

    images.require(PUBLIC, "IfNotPresent", node)
    images.require(PUBLIC, "Never", node)
    with pytest.raises(NotPulledError):
        images.require(PUBLIC, "Always", node)


def test_between_two_tries_a_pod_backs_off(network: Network) -> None:
    pulls, node = Pulls(Images(network.account.plugin.aws)), network.node()

    def reason() -> str:
        with pytest.raises(NotYetError) as error:
            pulls.require(PUBLIC, None, node)
        return error.value.reason

    assert [reason(), reason()] == ["ErrImagePull", "ImagePullBackOff"]


# Both kinds of pods.


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone.make(tmp_path_factory.mktemp("clone"))
    clone.start()
    yield clone
    clone.stop()


def test_a_pod_without_its_image_does_not_run(clone: Clone) -> None:
    ec2 = clone.aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    core: Any = kubernetes.client.CoreV1Api(clone.kubernetes)
    annotations = {SUBNET: subnet, ROLE: "arn:aws:iam::123456789012:role/node"}
    core.create_node({"metadata": {"name": "node", "annotations": annotations}})
    core.create_namespace({"metadata": {"name": "work"}})
    wait_for(lambda: core.list_namespaced_service_account("work").items, "an account")
    container = {"name": "main", "image": PUBLIC, "command": ["true"]}
    for policy in ("Always", "Never"):
        spec = {"restartPolicy": policy, "containers": [container]}
        body = {"metadata": {"name": policy.lower()}, "spec": spec}
        core.create_namespaced_pod("work", body)

    def state(name: str) -> Any:  # noqa: ANN401
        statuses = core.read_namespaced_pod(name, "work").status.container_statuses
        return statuses[0].state.waiting if statuses else None

    def backs_off(name: str) -> Any:  # noqa: ANN401
        waiting = state(name)
        return waiting and waiting.reason == "ImagePullBackOff" and waiting

    for name in ("always", "never"):
        waiting = wait_for(partial(backs_off, name), f"{name} to back off")
        assert waiting.message.startswith(f'Back-off pulling image "{PUBLIC}": ErrImagePull: rpc ')
        status = core.read_namespaced_pod(name, "work").status
        assert status.phase == "Pending"
        assert not any(c.type == "Ready" and c.status == "True" for c in status.conditions)
        selector = f"involvedObject.name={name}"
        events = core.list_namespaced_event("work", field_selector=selector).items
        messages = [event.message for event in events]
        assert any(one.startswith(f'Failed to pull image "{PUBLIC}": rpc') for one in messages)
        assert "Error: ImagePullBackOff" in messages

    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
        "RouteTables"
    ]
    ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )

    def has_come_to(name: str, phase: str) -> bool:
        found: str = core.read_namespaced_pod(name, "work").status.phase
        return found == phase

    for name, phase in (("always", "Running"), ("never", "Succeeded")):
        wait_for(partial(has_come_to, name, phase), f"{name} to be {phase}")
