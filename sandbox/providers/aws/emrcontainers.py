"""Virtual clusters of EMR on EKS."""

from __future__ import annotations

from typing import ClassVar

from sandbox.providers.aws.calls import Answer, RefusedError, error_code, find
from sandbox.providers.aws.eks import require_active
from sandbox.providers.aws.nodes import namespace_exists
from sandbox.providers.aws.resource import UPDATES, AutoName, Input, ResourceType, shape
from sandbox.providers.aws.tags import tag_changes
from sandbox.providers.protocol import PluginError, Properties

_ACTIVE_RUNS = ("PENDING", "RUNNING", "SUBMITTED", "CANCEL_PENDING")
_SERVICE = "emr-containers.amazonaws.com"
_SERVICE_ROLE = "AWSServiceRoleForAmazonEMRContainers"


class VirtualCluster(ResourceType):
    pulumi_type = "aws:emrcontainers/virtualCluster:VirtualCluster"
    service = "emr-containers"
    auto_name = AutoName(longest=64)
    inputs: ClassVar = {
        "containerProvider": Input(
            required=True,
            replaces=True,
            shape=shape("id", "type", info=shape(eksInfo=shape("namespace"))),
        ),
        "name": Input(replaces=True),
        "tags": UPDATES,
    }
    outputs = ("arn",)

    def create(self, inputs: Properties) -> str:
        cluster_name, namespace = _place(inputs)
        cluster = require_active(self, "CreateVirtualCluster", cluster_name)
        mode = cluster["accessConfig"].get("authenticationMode")
        if mode not in {"API", "API_AND_CONFIG_MAP"}:
            self._refuse(f"EKS cluster {cluster_name} has no access entries: its mode is {mode}")
        if not namespace_exists(namespace):
            self._refuse(f"Namespace {namespace} does not exist in cluster {cluster_name}")
        answer = self.api.create_virtual_cluster(
            name=inputs["name"],
            containerProvider=inputs["containerProvider"],
            tags=inputs.get("tagsAll", {}),
        )
        return str(answer["id"])

    def _refuse(self, message: str, operation: str = "CreateVirtualCluster") -> None:
        raise RefusedError(operation, "ValidationException", message)

    def _running(self) -> list[Answer]:
        pages = self.api.get_paginator("list_virtual_clusters").paginate(states=["RUNNING"])
        return [one for page in pages for one in page["virtualClusters"]]

    def finish(self, resource_id: str, inputs: Properties) -> None:
        self._grant(_place(inputs)[0])

    def _grant(self, cluster_name: str) -> None:
        """Let EMR into the namespaces of its virtual clusters and no others, as EMR itself does."""
        eks = self.aws.client("eks")
        namespaces = sorted(
            place[1] for place in map(_place_found, self._running()) if place[0] == cluster_name
        )
        entry = {"clusterName": cluster_name, "principalArn": self._service_role()}
        if not namespaces:
            find(eks.delete_access_entry, **entry)
            return
        if find(eks.describe_access_entry, **entry) is None:
            eks.create_access_entry(**entry, type="STANDARD", username="emr-containers")
        policy = f"arn:{self.aws.partition}:eks::aws:cluster-access-policy/AmazonEMRJobPolicy"
        scope = {"type": "namespace", "namespaces": namespaces}
        eks.associate_access_policy(**entry, policyArn=policy, accessScope=scope)

    def _service_role(self) -> str:
        role = f"role/aws-service-role/{_SERVICE}/{_SERVICE_ROLE}"
        return f"arn:{self.aws.partition}:iam::{self.aws.account}:{role}"

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        try:
            one = self.api.describe_virtual_cluster(id=resource_id)["virtualCluster"]
        except Exception as error:
            # moto has no other answer for one that it does not know.
            if error_code(error) in {"ResourceNotFoundException", "ValidationException"}:
                return None
            raise
        if one["state"] == "TERMINATED":
            return None
        provider = one["containerProvider"]
        namespace = provider["info"]["eksInfo"]["namespace"]
        return {
            "arn": one["arn"],
            "containerProvider": {
                "id": provider["id"],
                "type": provider["type"],
                "info": {"eksInfo": {"namespace": namespace}},
            },
            "name": one["name"],
            "tagsAll": one.get("tags", {}),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        arn = self.aws.arn("emr-containers", f"/virtualclusters/{resource_id}")
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_resource(resourceArn=arn, tagKeys=removed)
        if wanted:
            self.api.tag_resource(resourceArn=arn, tags=wanted)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        operation = "DeleteVirtualCluster"
        cluster_name, namespace = _place(inputs)
        pages = self.api.get_paginator("list_job_runs").paginate(
            virtualClusterId=resource_id, states=list(_ACTIVE_RUNS)
        )
        runs = [run["id"] for page in pages for run in page["jobRuns"]]
        if runs:
            message = f"Virtual cluster {resource_id} has active job runs: {', '.join(runs)}"
            self._refuse(message, operation)
        eks = self.aws.client("eks")
        reachable = find(eks.describe_cluster, name=cluster_name) is not None
        if not reachable or not namespace_exists(namespace):
            raise PluginError(
                f"waiting for EMR Containers Virtual Cluster ({resource_id}) delete: unexpected "
                f"state 'ARRESTED', wanted target 'TERMINATED': namespace {namespace} of cluster "
                f"{cluster_name} is gone"
            )
        self.api.delete_virtual_cluster(id=resource_id)
        self._grant(cluster_name)


def _place(inputs: Properties) -> tuple[str, str]:
    provider = inputs["containerProvider"]
    return provider["id"], provider["info"]["eksInfo"]["namespace"]


def _place_found(one: Answer) -> tuple[str, str]:
    return _place({"containerProvider": one["containerProvider"]})
