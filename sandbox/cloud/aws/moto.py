"""What moto lacks of the services that the sandbox needs."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

from moto.ec2.utils import random_private_ip

from sandbox.cloud.kubernetes.nodes import namespace_exists
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any
Module: TypeAlias = Any


def complete(aws: Aws) -> None:
    """Add what is lacking, service by service."""
    # moto closes the content of every version of a key that goes, also of a delete marker, which
    # has none.
    import_module("moto.s3.models").FakeDeleteMarker.dispose = lambda _: None
    _hide_digests()
    _take_interfaces_with_nat_gateways()
    _change_endpoints()
    _grant_access_to_namespaces(aws)
    _tag_virtual_clusters()
    _change_client_ids()
    _read_conditions()
    _take_arns_of_keys()


def _hide_digests() -> None:
    """Let the ETag of what KMS encrypts be no digest of its content."""
    key: Module = import_module("moto.s3.models").FakeKey
    plain = key.etag

    def etag(self: Json) -> Json:
        if self._etag is None and self.encryption == "aws:kms":
            self._etag = secrets.token_hex(16)
        return plain.fget(self)

    key.etag = property(etag)


def _take_interfaces_with_nat_gateways() -> None:
    backend: Module = import_module("moto.ec2.models").EC2Backend
    delete = backend.delete_nat_gateway

    def delete_nat_gateway(self: Json, nat_gateway_id: str) -> Json:
        gateway = delete(self, nat_gateway_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    backend.delete_nat_gateway = delete_nat_gateway


def _change_endpoints() -> None:
    """Let routes and interfaces follow the route tables and subnets of an endpoint."""
    backend: Module = import_module("moto.ec2.models").EC2Backend
    modify = backend.modify_vpc_endpoint

    def modify_vpc_endpoint(self: Json, vpc_id: str, **told: Json) -> None:
        (endpoint,) = self.describe_vpc_endpoints(vpc_end_point_ids=[vpc_id])
        tables, subnets = set(endpoint.route_table_ids), set(endpoint.subnet_ids or [])
        modify(self, vpc_id, **told)
        prefixes = endpoint.destination_prefix_list_id
        for table in set(endpoint.route_table_ids) - tables:
            self.create_route(
                table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefixes
            )
        for table in tables - set(endpoint.route_table_ids):
            self.delete_route(table, prefixes)
        interfaces = [self.enis[one] for one in endpoint.network_interface_ids or []]
        left = [one for one in interfaces if one.subnet.id in (endpoint.subnet_ids or [])]
        for gone in interfaces:
            if gone not in left:
                del self.enis[gone.id]
        for subnet in set(endpoint.subnet_ids or []) - subnets:
            left.append(self.create_network_interface(subnet, random_private_ip()))
        endpoint.network_interface_ids = [one.id for one in left]

    backend.modify_vpc_endpoint = modify_vpc_endpoint


_SERVICE = "emr-containers.amazonaws.com"
_SERVICE_ROLE = "AWSServiceRoleForAmazonEMRContainers"
_granting = threading.Lock()


def _grant_access_to_namespaces(aws: Aws) -> None:
    """Let EMR into the namespaces of its virtual clusters and no others, as EMR itself does."""
    backend: Module = import_module("moto.emrcontainers.models").EMRContainersBackend
    create, delete = backend.create_virtual_cluster, backend.delete_virtual_cluster

    def create_virtual_cluster(self: Json, *told: Json, **named: Json) -> Json:
        cluster = create(self, *told, **named)
        _grant(aws, self, cluster.container_provider["id"])
        return cluster

    def delete_virtual_cluster(self: Json, cluster_id: str) -> Json:
        known = self.virtual_clusters.get(cluster_id)
        if known is not None and not _reachable(aws, known):
            known.state = "ARRESTED"
            return known
        cluster = delete(self, cluster_id)
        # Where moto looks whether a namespace is taken; it is told from container_provider.
        cluster.namespace = None
        _grant(aws, self, cluster.container_provider["id"])
        return cluster

    backend.create_virtual_cluster = create_virtual_cluster
    backend.delete_virtual_cluster = delete_virtual_cluster


def _namespace(cluster: Json) -> str:
    return str(cluster.container_provider["info"]["eksInfo"]["namespace"])


def _reachable(aws: Aws, cluster: Json) -> bool:
    name = cluster.container_provider["id"]
    found = find(aws.client("eks").describe_cluster, name=name) is not None
    return found and namespace_exists(_namespace(cluster))


def _grant(aws: Aws, backend: Json, cluster_name: str) -> None:
    with _granting:  # two teams' clusters may be made at once
        namespaces = sorted(
            _namespace(one)
            for one in backend.virtual_clusters.values()
            if one.state == "RUNNING" and one.container_provider["id"] == cluster_name
        )
        _set_access(aws, cluster_name, namespaces)


def emrs_entry(aws: Aws, cluster_name: str) -> dict[str, str]:
    """Name the access entry by which EMR is in a cluster."""
    role = f"role/aws-service-role/{_SERVICE}/{_SERVICE_ROLE}"
    arn = f"arn:{aws.partition}:iam::{aws.account}:{role}"
    return {"clusterName": cluster_name, "principalArn": arn}


def _set_access(aws: Aws, cluster_name: str, namespaces: list[str]) -> None:
    eks = aws.client("eks")
    entry = emrs_entry(aws, cluster_name)
    if not namespaces:
        find(eks.delete_access_entry, **entry)
        return
    if find(eks.describe_access_entry, **entry) is None:
        eks.create_access_entry(**entry, type="STANDARD", username="emr-containers")
    policy = f"arn:{aws.partition}:eks::aws:cluster-access-policy/AmazonEMRJobPolicy"
    scope = {"type": "namespace", "namespaces": namespaces}
    eks.associate_access_policy(**entry, policyArn=policy, accessScope=scope)


def _tag_virtual_clusters() -> None:
    """Add the calls that change tags."""
    responses: Module = import_module("moto.emrcontainers.responses")
    handler = responses.EMRContainersResponse

    def tags(self: Json) -> dict[str, str]:
        cluster_id = self._get_param("resourceArn").rpartition("/")[2]
        cluster = self.emrcontainers_backend.describe_virtual_cluster(cluster_id)
        cluster.tags = cluster.tags or {}
        found: dict[str, str] = cluster.tags
        return found

    def tag_resource(self: Json) -> Json:
        tags(self).update(self._get_param("tags"))
        return responses.ActionResult({})

    def untag_resource(self: Json) -> Json:
        for key in self._get_param("tagKeys"):
            tags(self).pop(key, None)
        return responses.ActionResult({})

    handler.tag_resource, handler.untag_resource = tag_resource, untag_resource
    paths = import_module("moto.emrcontainers.urls").url_paths
    paths["{0}/tags/(?P<resourceArn>.+)$"] = handler.dispatch


def _change_client_ids() -> None:
    """Add the calls that change for whom a provider of OpenID Connect issues tokens."""
    responses: Module = import_module("moto.iam.responses")
    handler = responses.IamResponse

    def client_ids(self: Json) -> list[str]:
        arn = self._get_param("OpenIDConnectProviderArn")
        found: list[str] = self.backend.get_open_id_connect_provider(arn).client_id_list
        return found

    def add(self: Json) -> Json:
        known, client_id = client_ids(self), self._get_param("ClientID")
        known.extend([client_id] if client_id not in known else [])
        return responses.EmptyResult()

    def remove(self: Json) -> Json:
        known, client_id = client_ids(self), self._get_param("ClientID")
        known[:] = [one for one in known if one != client_id]
        return responses.EmptyResult()

    handler.add_client_id_to_open_id_connect_provider = add
    handler.remove_client_id_from_open_id_connect_provider = remove


def _read_conditions() -> None:
    access = import_module("moto.iam.access_control")

    def get_permission(self: Json, action: str, resource: str) -> Json:
        """Leave out statements with a condition, which moto would apply to every request."""
        document = json.loads(self.policy) if self.policy else {}
        statements = document.get("Statement", [])
        statements = [statements] if isinstance(statements, dict) else statements
        plain = [one for one in statements if "Condition" not in one]
        if not plain:
            return access.PermissionResult.NEUTRAL
        policy = access.IAMPolicy(json.dumps({**document, "Statement": plain}))
        return policy.is_action_permitted(action, resource)

    import_module("moto.s3.models").FakeBucket.get_permission = get_permission


def _take_arns_of_keys() -> None:
    """Let a key be named by its ARN wherever KMS takes one."""
    backend: Module = import_module("moto.kms.models").KmsBackend

    def by_id(call: Callable[..., Json]) -> Callable[..., Json]:
        def called(self: Json, key_id: str, *told: Json) -> Json:
            return call(self, self.any_id_to_key_id(key_id), *told)

        return called

    for name in ("cancel_key_deletion", "disable_key", "enable_key", "schedule_key_deletion"):
        setattr(backend, name, by_id(getattr(backend, name)))
