"""Who reaches a private cluster, in the order of this file: nobody, then one way after another."""

from __future__ import annotations

import base64
import http.client
import ssl
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import yaml

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from tests.platform.listing import everything

NAME = "mwaa-on-eks-sandbox"
INTERNET = "192.0.2.10"
OFFICE = "192.168.7.7"


@pytest.fixture(scope="module")
def private(clone: Clone, empty: set[str]) -> Clone:
    """A clone with a private cluster, which an `up` from the internet has begun in vain."""
    assert empty
    clone.pulumi("stack", "init")
    _set(clone, "publicAccessCidrs", [])
    _set(clone, "privateAccessCidrs", ["192.168.0.0/16"])
    return clone


def _set(clone: Clone, setting: str, value: list[str]) -> None:
    """Give a setting of the cluster a value; `pulumi config set` makes no empty list."""
    file = clone.directory / "Pulumi.sandbox.yaml"
    stack = yaml.safe_load(file.read_text())
    stack["config"]["mwaa-on-eks:cluster"][setting] = value
    file.write_text(yaml.safe_dump(stack))


def _namespaces(clone: Clone) -> set[str]:
    return {one.metadata.name for one in clone.get("v1", "Namespace").items}


def _reaches_it(clone: Clone) -> bool:
    """Tell whether this machine gets an answer from where EKS says that the cluster is."""
    cluster = clone.aws("eks").describe_cluster(name=NAME)["cluster"]
    authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
    address = urlsplit(cluster["endpoint"])
    connection = http.client.HTTPSConnection(
        str(address.hostname),
        address.port,
        timeout=10,
        context=ssl.create_default_context(cadata=authority),
    )
    with closing(connection):
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except ConnectionError:
            return False


def test_from_the_internet_nothing_is_made_in_a_private_cluster(private: Clone) -> None:
    done = private.pulumi("up", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "configured Kubernetes cluster is unreachable" in told, told
    assert private.aws("eks").list_clusters()["clusters"] == [NAME]
    assert "mwaa" not in _namespaces(private)
    wait_for(lambda: not _reaches_it(private), "the way to be closed")


def test_from_a_connected_network_it_comes_up(private: Clone) -> None:
    private.start(OFFICE)
    private.pulumi("up", "--yes", "--skip-preview")
    assert "mwaa" in _namespaces(private)
    private.pulumi("preview", "--expect-no-changes")
    wait_for(lambda: _reaches_it(private), "the way to be open")


def test_a_public_address_opens_it_until_it_is_taken_out(private: Clone) -> None:
    _set(private, "publicAccessCidrs", [f"{INTERNET}/32"])
    private.pulumi("up", "--yes", "--skip-preview")
    private.start(INTERNET)
    wait_for(lambda: _reaches_it(private), "the way to be open")
    private.pulumi("refresh", "--yes", "--expect-no-changes")
    _set(private, "publicAccessCidrs", [])
    # The machine has both addresses once its network is connected.
    private.start(f"{INTERNET},{OFFICE}")
    private.pulumi("up", "--yes", "--skip-preview")
    wait_for(lambda: _reaches_it(private), "the way to be open")
    private.start(INTERNET)
    wait_for(lambda: not _reaches_it(private), "the way to be closed")
    refreshed = private.pulumi("refresh", "--yes", check=False)
    assert "failed to read resource state due to unreachable cluster" in (
        refreshed.stdout + refreshed.stderr
    )


def test_a_security_group_opens_it(private: Clone) -> None:
    ec2 = private.aws("ec2")
    cluster = private.aws("eks").describe_cluster(name=NAME)["cluster"]
    group = ec2.create_security_group(
        GroupName="bastion", Description="bastion", VpcId=cluster["resourcesVpcConfig"]["vpcId"]
    )["GroupId"]
    private.start(OFFICE)
    _set(private, "privateAccessSecurityGroupIds", [group])
    private.pulumi("up", "--yes", "--skip-preview")
    _set(private, "privateAccessCidrs", [])
    private.start(group)
    private.pulumi("up", "--yes", "--skip-preview")
    private.pulumi("refresh", "--yes", "--expect-no-changes")
    private.start(OFFICE)
    wait_for(lambda: not _reaches_it(private), "the way to be closed")
    _set(private, "privateAccessCidrs", ["192.168.0.0/16"])
    _set(private, "privateAccessSecurityGroupIds", [])
    private.start(group)
    private.pulumi("up", "--yes", "--skip-preview")
    ec2.delete_security_group(GroupId=group)


def test_destroy_needs_the_same_way_in(private: Clone, empty: set[str]) -> None:
    private.unprotect()
    private.start(INTERNET)
    done = private.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "configured Kubernetes cluster is unreachable" in told, told
    assert "mwaa" in _namespaces(private)
    private.start(OFFICE)
    private.pulumi("destroy", "--yes", "--skip-preview")
    assert everything(private) - empty == set()
