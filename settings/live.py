"""What a stack has built already, as its own state tells it: no cloud call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any

import pulumi
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor

from components.subnet_plan import plan_subnets
from components.written_files import WrittenFile


@dataclass(frozen=True, kw_only=True)
class LiveStack:
    """What the live stack has that no change can take along; None for what there is not yet."""

    name: str | None = None
    """What the names of its cluster, environment, buckets and key begin with."""
    account_id: str | None = None
    region: str | None = None
    cidr_block: IPv4Network | None = None
    zones: Mapping[int, str] = field(default_factory=dict)
    """Its availability zones by their place, which fixes their address ranges."""
    control_plane_zones: int | None = None
    """In how many of them, from the first one on, the control plane was made."""
    teams: tuple[str, ...] = ()
    pod_namespace: str | None = None
    airflow_version: str | None = None
    kubernetes_version: str | None = None
    authentication_mode: str | None = None
    access_entries: frozenset[str] | None = None
    """Who has access to its cluster by an entry that it has made."""
    written_files: Mapping[str, WrittenFile] | None = None
    """What it has written into the bucket of the DAGs, by key; None if it has no such bucket."""
    written_job_files: Mapping[str, WrittenFile] | None = None
    """The same of the bucket of the jobs."""
    pinned_files: Mapping[str, str] = field(default_factory=dict)
    """The versions by key that Airflow reads, as of the last update or refresh."""

    @classmethod
    def of(cls, resources: Mapping[str, Mapping[str, Any]]) -> LiveStack:
        """Return what these resources tell, which are outputs by URN; any of them may lack."""
        key = next(_of_type(resources, "aws:kms/key:Key"), {})
        alias = next(_of_type(resources, "aws:kms/alias:Alias"), {})
        vpc = next(_of_type(resources, "aws:ec2/vpc:Vpc"), {})
        cluster = next(_of_type(resources, "aws:eks/cluster:Cluster"), {})
        environment = next(_of_type(resources, "aws:mwaa/environment:Environment"), {})
        # arn:partition:service:region:account:resource
        _, _, _, region, account, *_ = (key.get("arn") or vpc.get("arn") or ":::::").split(":")
        name = alias.get("name", "").removeprefix("alias/")
        namespaces = {
            urn.rpartition("::")[2]: outputs["metadata"]["name"]
            for urn, outputs in resources.items()
            if _type(urn) == "kubernetes:core/v1:Namespace"
        }
        pod_namespace = namespaces.pop("pods-namespace", None)
        cidr_block = IPv4Network(vpc["cidrBlock"]) if "cidrBlock" in vpc else None
        return cls(
            name=name or cluster.get("name") or environment.get("name"),
            account_id=account or None,
            region=region or None,
            cidr_block=cidr_block,
            zones=_zones(cidr_block, _of_type(resources, "aws:ec2/subnet:Subnet")),
            control_plane_zones=len(cluster.get("vpcConfig", {}).get("subnetIds", [])) or None,
            teams=tuple(sorted(name.removeprefix("emr-") for name in namespaces.values())),
            pod_namespace=pod_namespace,
            airflow_version=environment.get("airflowVersion"),
            kubernetes_version=cluster.get("version"),
            authentication_mode=cluster.get("accessConfig", {}).get("authenticationMode"),
            access_entries=frozenset(
                entry["principalArn"]
                for entry in _of_type(resources, "aws:eks/accessEntry:AccessEntry")
                if "principalArn" in entry
            )
            if cluster
            else None,
            written_files=_written_files(resources, "dags"),
            written_job_files=_written_files(resources, "jobs"),
            pinned_files={
                environment[f"{kind}S3Path"]: version
                for kind in ("requirements", "plugins", "startupScript")
                if (version := environment.get(f"{kind}S3ObjectVersion"))
                and environment.get(f"{kind}S3Path")
            },
        )


def read_live_stack() -> LiveStack:
    """Return what the last update of this stack left."""
    if (monitor := get_monitor()) is None:
        return LiveStack()  # no engine, no state
    arguments = struct_pb2.Struct()
    where = (pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack())
    arguments.update({"stackName": "/".join(where)})
    # Not by pulumi.runtime.invoke, which looks up every resource that a component's outputs refer
    # to, and finds none before the program has registered it.
    request = resource_pb2.ResourceInvokeRequest(
        tok="pulumi:pulumi:readStackResourceOutputs", args=arguments
    )
    # The answer's field is named "return", which Python cannot spell as an attribute.
    answer = json_format.MessageToDict(getattr(monitor.Invoke(request), "return"))
    found = answer.get("outputs", {})
    return LiveStack.of({urn: resource.get("outputs", {}) for urn, resource in found.items()})


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _of_type(resources: Mapping[str, Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    return (outputs for urn, outputs in resources.items() if _type(urn) == kind)


def _written_files(
    resources: Mapping[str, Mapping[str, Any]], component: str
) -> dict[str, WrittenFile] | None:
    names = {urn.rpartition("::")[2]: outputs for urn, outputs in resources.items()}
    if f"{component}-bucket" not in names:
        return None
    own = {
        urn: outputs
        for urn, outputs in resources.items()
        if urn.rpartition("::")[2].startswith(f"{component}-")
    }
    found = names.get(f"{component}-written", {}).get("files", {})
    written = {
        key: WrittenFile(
            source_hash=one["sourceHash"], version=one["version"], pinned=one["pinned"]
        )
        for key, one in found.items()
    }
    for one in _of_type(own, "aws:s3/bucketObjectv2:BucketObjectv2"):
        key, version, source_hash = (one.get(name) for name in ("key", "versionId", "sourceHash"))
        before = written.get(key or "")
        # An update that ended after this object: no refresh changes what it was uploaded for.
        if key and version and source_hash and (not before or before.source_hash != source_hash):
            after = WrittenFile(source_hash=source_hash, version=version, pinned=version)
            same = before and before.content == after.content
            written[key] = replace(after, pinned=before.pinned) if before and same else after
    return written


def _zones(cidr: IPv4Network | None, subnets: Iterator[Mapping[str, Any]]) -> dict[int, str]:
    if cidr is None:
        return {}
    zones = {subnet.get("cidrBlock"): subnet.get("availabilityZone") for subnet in subnets}
    # As many zones as a stack may have.
    private = enumerate(map(str, plan_subnets(cidr, 4).private))
    return {place: zone for place, block in private if (zone := zones.get(block))}
