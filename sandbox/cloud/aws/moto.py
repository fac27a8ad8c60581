"""What moto lacks of the services that the sandbox needs."""

from __future__ import annotations

import json
import threading
from importlib import import_module
from typing import Any, TypeAlias

from sandbox.cloud.kubernetes.nodes import namespace_exists
from sandbox.machine.aws_api import Aws, find

Json: TypeAlias = Any
Module: TypeAlias = Any


def complete(aws: Aws) -> None:
    """Add what is lacking, service by service."""
    # moto closes the content of every version of a key that goes, also of a delete marker, which
    # has none.
    import_module("moto.s3.models").FakeDeleteMarker.dispose = lambda _: None
    _take_interfaces_with_nat_gateways()
    _change_what_endpoints_made()
    _grant_access_to_namespaces(aws)
    _tag_virtual_clusters()
    _read_conditions()


def _take_interfaces_with_nat_gateways() -> None:
    backend: Module = import_module("moto.ec2.models").EC2Backend
    delete = backend.delete_nat_gateway

    def delete_nat_gateway(self: Json, nat_gateway_id: str) -> Json:
        gateway = delete(self, nat_gateway_id)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    backend.delete_nat_gateway = delete_nat_gateway


def _change_what_endpoints_made() -> None:
    """Let routes and network interfaces follow a changed endpoint, as they do a new one."""
    backend: Module = import_module("moto.ec2.models").EC2Backend
    modify = backend.modify_vpc_endpoint

    def modify_vpc_endpoint(self: Json, vpc_id: str, *told: Json, **named: Json) -> None:
        (endpoint,) = self.describe_vpc_endpoints(vpc_end_point_ids=[vpc_id])
        tables, subnets = set(endpoint.route_table_ids), set(endpoint.subnet_ids or ())
        modify(self, vpc_id, *told, **named)
        prefix_list = endpoint.destination_prefix_list_id
        if prefix_list:
            for added in set(endpoint.route_table_ids) - tables:
                self.create_route(
                    added, None, gateway_id=vpc_id, destination_prefix_list_id=prefix_list
                )
            for removed in tables - set(endpoint.route_table_ids):
                self.delete_route(removed, prefix_list)
        for added in set(endpoint.subnet_ids or ()) - subnets:
            interface = self.create_network_interface(added, random_private_ip())
            endpoint.network_interface_ids.append(interface.id)
        for removed in subnets - set(endpoint.subnet_ids or ()):
            for one in list(endpoint.network_interface_ids):
                if self.enis[one].subnet.id == removed:
                    del self.enis[one]
                    endpoint.network_interface_ids.remove(one)

    random_private_ip = import_module("moto.ec2.utils").random_private_ip
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


def _set_access(aws: Aws, cluster_name: str, namespaces: list[str]) -> None:
    eks = aws.client("eks")
    role = f"role/aws-service-role/{_SERVICE}/{_SERVICE_ROLE}"
    arn = f"arn:{aws.partition}:iam::{aws.account}:{role}"
    entry = {"clusterName": cluster_name, "principalArn": arn}
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
