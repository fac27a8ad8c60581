"""Roles, their policies, and who else says who somebody is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urlsplit

from sandbox.machine.aws_api import Answer, find
from sandbox.providers.aws.resource import (
    CHOSEN,
    KEY,
    LOCAL,
    REPLACES,
    REQUIRED,
    UPDATES,
    AutoName,
    Input,
    ResourceType,
    same,
)
from sandbox.providers.aws.tags import tag_changes, tag_list, tag_map
from sandbox.providers.protocol import UNKNOWN, Failure, Properties, Value


def _text(document: Value) -> str:
    """Write a policy, which boto3 has already read for us."""
    return document if isinstance(document, str) else json.dumps(document)


def _issuer(url: str) -> str:
    return url.removeprefix("https://")


class OpenIdConnectProvider(ResourceType):
    pulumi_type = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
    service = "iam"
    inputs: ClassVar = {
        "clientIdLists": REQUIRED,
        "tags": UPDATES,
        "thumbprintLists": CHOSEN,
        "url": Input(required=True, replaces=True, meaning=_issuer),
    }
    api_inputs = ("CreateOpenIDConnectProvider",)
    members: ClassVar = {"clientIdLists": "ClientIDList", "thumbprintLists": "ThumbprintList"}
    outputs = ("arn",)

    def validate(self, inputs: Properties) -> Iterator[Failure]:
        url = inputs["url"]
        if url is not UNKNOWN and urlsplit(url).scheme != "https":
            yield Failure("url", f'expected "url" to use HTTPS scheme, got: {url}')
        elif url is not UNKNOWN and urlsplit(url).query:
            yield Failure("url", f'"url" cannot contain query parameters: {url}')

    def create(self, inputs: Properties) -> str:
        thumbprints = inputs.get("thumbprintLists")
        made = self.api.create_open_id_connect_provider(
            Url=inputs["url"],
            ClientIDList=inputs["clientIdLists"],
            Tags=tag_list(inputs.get("tagsAll", {})),
            **({"ThumbprintList": thumbprints} if thumbprints else {}),
        )
        return str(made["OpenIDConnectProviderArn"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        found = find(self.api.get_open_id_connect_provider, OpenIDConnectProviderArn=resource_id)
        if found is None:
            return None
        return {
            "arn": resource_id,
            "clientIdLists": found["ClientIDList"],
            "tagsAll": tag_map(found.get("Tags")),
            "thumbprintLists": found["ThumbprintList"],
            "url": found["Url"],
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        which = {"OpenIDConnectProviderArn": resource_id}
        thumbprints = new.get("thumbprintLists")
        if thumbprints and old.get("thumbprintLists") != thumbprints:
            self.api.update_open_id_connect_provider_thumbprint(**which, ThumbprintList=thumbprints)
        before, after = set(old["clientIdLists"]), set(new["clientIdLists"])
        for client_id in sorted(after - before):
            self.api.add_client_id_to_open_id_connect_provider(**which, ClientID=client_id)
        for client_id in sorted(before - after):
            self.api.remove_client_id_from_open_id_connect_provider(**which, ClientID=client_id)
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_open_id_connect_provider(**which, TagKeys=removed)
        if wanted:
            self.api.tag_open_id_connect_provider(**which, Tags=tag_list(wanted))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        self.api.delete_open_id_connect_provider(OpenIDConnectProviderArn=resource_id)


class Role(ResourceType):
    pulumi_type = "aws:iam/role:Role"
    service = "iam"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "assumeRolePolicy": Input(json=True, required=True),
        "description": UPDATES,
        "forceDetachPolicies": LOCAL,
        "maxSessionDuration": Input(default=3600),
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "path": Input(default="/", replaces=True),
        "permissionsBoundary": UPDATES,
        "tags": UPDATES,
    }
    api_inputs = ("CreateRole",)
    members: ClassVar = {
        "assumeRolePolicy": "AssumeRolePolicyDocument",
        "forceDetachPolicies": None,
        "name": "RoleName",
    }
    outputs = ("arn", "createDate", "uniqueId")

    def create(self, inputs: Properties) -> str:
        boundary = inputs.get("permissionsBoundary")
        self.api.create_role(
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Path=inputs.get("path", "/"),
            Description=inputs.get("description", ""),
            MaxSessionDuration=inputs.get("maxSessionDuration", 3600),
            Tags=tag_list(inputs.get("tagsAll", {})),
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )
        return str(inputs["name"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_role, RoleName=resource_id)
        if answer is None:
            return None
        role = answer["Role"]
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return {
            "arn": role["Arn"],
            "assumeRolePolicy": _text(role["AssumeRolePolicyDocument"]),
            "createDate": role["CreateDate"].isoformat(),
            "description": role.get("Description") or None,
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "name": role["RoleName"],
            "path": role["Path"],
            "permissionsBoundary": boundary,
            "tagsAll": tag_map(role.get("Tags")),
            "uniqueId": role["RoleId"],
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if old.get("assumeRolePolicy") != new["assumeRolePolicy"]:
            self.api.update_assume_role_policy(
                RoleName=resource_id, PolicyDocument=new["assumeRolePolicy"]
            )
        settings = ("description", "maxSessionDuration")
        if any(old.get(key) != new.get(key) for key in settings):
            self.api.update_role(
                RoleName=resource_id,
                Description=new.get("description", ""),
                MaxSessionDuration=new.get("maxSessionDuration", 3600),
            )
        boundary = new.get("permissionsBoundary")
        if old.get("permissionsBoundary") != boundary:
            if boundary:
                self.api.put_role_permissions_boundary(
                    RoleName=resource_id, PermissionsBoundary=boundary
                )
            else:
                self.api.delete_role_permissions_boundary(RoleName=resource_id)
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_role(RoleName=resource_id, TagKeys=removed)
        if wanted:
            self.api.tag_role(RoleName=resource_id, Tags=tag_list(wanted))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        if inputs.get("forceDetachPolicies"):
            self._detach_all(resource_id)
        self.api.delete_role(RoleName=resource_id)

    def _detach_all(self, name: str) -> None:
        for policy in self.api.list_role_policies(RoleName=name)["PolicyNames"]:
            self.api.delete_role_policy(RoleName=name, PolicyName=policy)
        attached = self.api.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        for one in attached:
            self.api.detach_role_policy(RoleName=name, PolicyArn=one["PolicyArn"])


class RolePolicy(ResourceType):
    pulumi_type = "aws:iam/rolePolicy:RolePolicy"
    service = "iam"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "name": Input(replaces=True),
        "namePrefix": Input(replaces=True, local=True),
        "policy": Input(json=True, required=True),
        "role": KEY,
    }
    api_inputs = ("PutRolePolicy",)
    members: ClassVar = {"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"}

    def create(self, inputs: Properties) -> str:
        self._put(inputs)
        return f"{inputs['role']}:{inputs['name']}"

    def _put(self, inputs: Properties) -> None:
        self.api.put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        role, name = resource_id.split(":", 1)
        answer = find(self.api.get_role_policy, RoleName=role, PolicyName=name)
        if answer is None:
            return None
        return {"name": name, "policy": _text(answer["PolicyDocument"]), "role": role}

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        self._put(new)

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        role, name = resource_id.split(":", 1)
        self.api.delete_role_policy(RoleName=role, PolicyName=name)


class Policy(ResourceType):
    pulumi_type = "aws:iam/policy:Policy"
    service = "iam"
    auto_name = AutoName(by_prefix="namePrefix")
    inputs: ClassVar = {
        "description": REPLACES,
        "name": REPLACES,
        "namePrefix": Input(replaces=True, local=True),
        "path": Input(default="/", replaces=True),
        "policy": Input(json=True, required=True),
        "tags": UPDATES,
    }
    api_inputs = ("CreatePolicy",)
    members: ClassVar = {"name": "PolicyName", "policy": "PolicyDocument"}
    outputs = ("arn", "attachmentCount", "policyId")

    def create(self, inputs: Properties) -> str:
        made = self.api.create_policy(
            PolicyName=inputs["name"],
            PolicyDocument=inputs["policy"],
            Path=inputs.get("path", "/"),
            Description=inputs.get("description", ""),
            Tags=tag_list(inputs.get("tagsAll", {})),
        )
        return str(made["Policy"]["Arn"])

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        answer = find(self.api.get_policy, PolicyArn=resource_id)
        if answer is None:
            return None
        policy = answer["Policy"]
        version = self.api.get_policy_version(
            PolicyArn=resource_id, VersionId=policy["DefaultVersionId"]
        )
        return {
            "arn": policy["Arn"],
            "attachmentCount": policy["AttachmentCount"],
            "description": policy.get("Description") or None,
            "name": policy["PolicyName"],
            "path": policy["Path"],
            "policy": _text(version["PolicyVersion"]["Document"]),
            "policyId": policy["PolicyId"],
            "tagsAll": tag_map(policy.get("Tags")),
        }

    def update(self, resource_id: str, old: Properties, new: Properties) -> None:
        if not same(old.get("policy"), new["policy"], self.inputs["policy"]):
            others = self._other_versions(resource_id)
            if len(others) >= _MOST_VERSIONS - 1:
                oldest = min(others, key=lambda version: version["CreateDate"])
                self._delete_version(resource_id, oldest)
            self.api.create_policy_version(
                PolicyArn=resource_id, PolicyDocument=new["policy"], SetAsDefault=True
            )
        wanted, removed = tag_changes(old, new)
        if removed:
            self.api.untag_policy(PolicyArn=resource_id, TagKeys=removed)
        if wanted:
            self.api.tag_policy(PolicyArn=resource_id, Tags=tag_list(wanted))

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        for version in self._other_versions(resource_id):
            self._delete_version(resource_id, version)
        self.api.delete_policy(PolicyArn=resource_id)

    def _other_versions(self, arn: str) -> list[Answer]:
        versions = self.api.list_policy_versions(PolicyArn=arn)["Versions"]
        return [version for version in versions if not version["IsDefaultVersion"]]

    def _delete_version(self, arn: str, version: Answer) -> None:
        self.api.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


# "IAM and AWS STS quotas", IAM User Guide.
_MOST_VERSIONS = 5


class RolePolicyAttachment(ResourceType):
    pulumi_type = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    service = "iam"
    inputs: ClassVar = {"policyArn": KEY, "role": KEY}
    delete_before_replace = True
    api_inputs = ("AttachRolePolicy",)
    members: ClassVar = {"role": "RoleName"}

    def create(self, inputs: Properties) -> str:
        self.api.attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, resource_id: str, inputs: Properties) -> Properties | None:
        role, policy = resource_id.split("/", 1)
        answer = find(self.api.list_attached_role_policies, RoleName=role)
        attached = [one["PolicyArn"] for one in answer["AttachedPolicies"]] if answer else []
        return {"policyArn": policy, "role": role} if policy in attached else None

    def delete(self, resource_id: str, inputs: Properties, state: Properties) -> None:
        role, policy = resource_id.split("/", 1)
        self.api.detach_role_policy(RoleName=role, PolicyArn=policy)
