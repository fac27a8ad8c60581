"""Virtual clusters of EMR on EKS."""

from __future__ import annotations

from typing import ClassVar

from sandbox.machine.aws_api import error_code
from sandbox.providers.aws.resource import UPDATES, AutoName, Input, ResourceType, shape
from sandbox.providers.aws.tags import retag
from sandbox.providers.protocol import PluginError, Properties


class VirtualCluster(ResourceType):
    pulumi_type = "aws:emrcontainers/virtualCluster:VirtualCluster"
    service = "emr-containers"
    auto_name = AutoName()
    inputs: ClassVar = {
        "containerProvider": Input(
            required=True,
            replaces=True,
            shape=shape("id", "type", info=shape(eksInfo=shape("namespace"))),
        ),
        "name": Input(replaces=True),
        "tags": UPDATES,
    }
    api_inputs = ("CreateVirtualCluster",)
    outputs = ("arn",)

    def create(self, inputs: Properties) -> str:
        answer = self.api.create_virtual_cluster(
            name=inputs["name"],
            containerProvider=inputs["containerProvider"],
            tags=inputs.get("tagsAll", {}),
        )
        return str(answer["id"])

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
        retag(self.api, arn, old, new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_virtual_cluster(id=resource_id)
        left = self.api.describe_virtual_cluster(id=resource_id)["virtualCluster"]["state"]
        if left != "TERMINATED":
            raise PluginError(
                f"waiting for EMR Containers Virtual Cluster ({resource_id}) delete: unexpected "
                f"state '{left}', wanted target 'TERMINATED'"
            )
