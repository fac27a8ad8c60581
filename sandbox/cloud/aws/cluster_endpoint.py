"""The endpoint of the emulated cluster: who calls it reaches the API server if AWS lets him.

Everybody calls on loopback, where TCP does not tell who it is: each place to call from
has a port of its own. Whether packets from there come through is asked for each new connection; one
that stands goes on, as a security group's tracked connections do. Routes and network ACLs are not
looked at.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path
from typing import Any, Final, TypeAlias

from sandbox.cloud.clusters import Clusters
from sandbox.machine.aws_api import Aws, in_region

Json: TypeAlias = Any

MACHINE: Final = "192.0.2.10"
"""Where this machine stands unless it is told otherwise: on the internet."""

_PRIVATE: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
)
_HTTPS: Final = 443
_SECONDS: Final = 1.0
"""For how long an answer counts."""


@dataclass(frozen=True)
class Place:
    """From where somebody calls."""

    network: IPv4Network | None = None
    """What all of it has to be let in; a private one is connected to the cluster's VPC."""
    groups: frozenset[str] = frozenset()
    """The security groups of the network interface."""


def places(text: str) -> list[Place]:
    """Return where a machine stands that has these addresses and security groups, or ValueError."""
    items = [item.strip() for item in text.split(",")]
    groups = frozenset(item for item in items if item.startswith("sg-"))
    addresses = [IPv4Network(int(IPv4Address(item))) for item in items if item not in groups]
    return [Place(address, groups) for address in addresses] or [Place(groups=groups)]


def lets_in(access: Json, rules: Iterable[Json], place: Place) -> bool:
    """Tell whether a cluster's endpoint lets in who calls from a place.

    access, rules: the cluster's resourcesVpcConfig, and what its security groups let in.
    """
    network = place.network
    if network is not None and not any(map(network.subnet_of, _PRIVATE)):
        return bool(access["endpointPublicAccess"]) and _within(
            network, access["publicAccessCidrs"]
        )
    return bool(access["endpointPrivateAccess"]) and any(_names(rule, place) for rule in rules)


def _names(rule: Json, place: Place) -> bool:
    protocol = rule["IpProtocol"]
    if protocol not in {"-1", "tcp", "6"}:
        return False
    if protocol != "-1" and not rule["FromPort"] <= _HTTPS <= rule["ToPort"]:
        return False
    groups = {pair["GroupId"] for pair in rule["UserIdGroupPairs"]}
    return bool(groups & place.groups) or (
        place.network is not None
        and _within(place.network, [one["CidrIp"] for one in rule["IpRanges"]])
    )


def _within(network: IPv4Network, cidrs: Iterable[str]) -> bool:
    ranges = map(ip_network, cidrs)
    return any(network.subnet_of(one) for one in ranges if isinstance(one, IPv4Network))


class Judge:
    """Asks EKS, EC2 and MWAA as they answer at the moment."""

    def __init__(self, aws: Aws, stands_at: Path) -> None:
        self._aws = aws
        self._stands_at = stands_at
        self._clusters = Clusters(aws)

    def admits_machine(self) -> bool:
        """Tell whether this machine reaches the API server."""
        told = self._stands_at.read_text() if self._stands_at.exists() else MACHINE
        return self._admits(lambda: places(told), any)

    def admits_airflow(self) -> bool:
        """Tell whether the Airflow environments do, wherever in their subnets a worker may run."""
        return self._admits(self._workers, all)

    def _workers(self) -> list[Place]:
        mwaa, ec2 = self._aws.client("mwaa"), self._aws.client("ec2")
        found = []
        for name in mwaa.list_environments()["Environments"]:
            network = mwaa.get_environment(Name=name)["Environment"]["NetworkConfiguration"]
            groups = frozenset(network["SecurityGroupIds"])
            for subnet in ec2.describe_subnets(SubnetIds=network["SubnetIds"])["Subnets"]:
                found.append(Place(IPv4Network(subnet["CidrBlock"]), groups))
        return found

    def _admits(
        self, callers: Callable[[], list[Place]], enough: Callable[[Iterable[bool]], bool]
    ) -> bool:
        found = self._clusters.find()
        if found is None:
            return False
        region, name = found
        with in_region(region):
            eks, ec2, places_now = self._aws.client("eks"), self._aws.client("ec2"), callers()
            access = eks.describe_cluster(name=name)["cluster"]["resourcesVpcConfig"]
            ids = [access["clusterSecurityGroupId"], *access["securityGroupIds"]]
            groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]
            rules = [rule for group in groups for rule in group["IpPermissions"]]
            admitted = [lets_in(access, rules, caller) for caller in places_now]
            return bool(admitted) and enough(admitted)


class Door:
    """Passes connections on to the API server, if they are let in."""

    def __init__(self, admits: Callable[[], bool], api_server: int) -> None:
        self._admits = admits
        self._api_server = api_server
        self._asking = asyncio.Lock()
        self._answer, self._asked = False, -_SECONDS

    async def _is_open(self) -> bool:
        async with self._asking:
            now = time.monotonic()
            if now > self._asked + _SECONDS:
                try:
                    self._answer = await asyncio.to_thread(self._admits)
                except Exception as error:
                    print(f"nobody is let in: {error}", flush=True)
                    self._answer = False
                self._asked = now
            return self._answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, until either side ends it."""
        if not await self._is_open():
            # Where AWS lets packets get lost, the caller is told at once.
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.close()
            return
        try:
            behind = await asyncio.open_connection("127.0.0.1", self._api_server)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, behind[1]), _pass_on(behind[0], writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass  # the other side is told by the end
    finally:
        writer.close()


async def _serve(machine: int, airflow: int, api_server: int, judge: Judge) -> None:
    doors = [
        await asyncio.start_server(Door(admits, api_server).serve, "127.0.0.1", port)
        for port, admits in ((machine, judge.admits_machine), (airflow, judge.admits_airflow))
    ]
    await asyncio.gather(*(door.serve_forever() for door in doors))


def main() -> None:
    """Serve on two ports of loopback, for this machine and for Airflow, until the process ends."""
    machine, airflow, api_server = map(int, sys.argv[1:])
    judge = Judge(Aws(os.environ["AWS_REGION"]), Path(os.environ["SANDBOX_STANDS_AT"]))
    asyncio.run(_serve(machine, airflow, api_server, judge))


if __name__ == "__main__":
    main()
