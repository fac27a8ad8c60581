"""Amazon EKS: the control plane, its add-ons and its nodes."""

from __future__ import annotations

import base64
import binascii
import json
import re

from .addresses import is_internet
from .rule import Findings, Resource, listed, rule, truth

CLUSTER = "aws:eks/cluster:Cluster"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
_LOGS = {"api", "audit", "authenticator", "controllerManager", "scheduler"}
_CREDENTIAL = re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----")


@rule(
    CLUSTER,
    demand="A cluster writes all five kinds of control plane logs.",
    sources="CKV_AWS_37, EKS.8, CIS 2.1.1",
    way_out="add them to enabledClusterLogTypes",
)
def eks_control_plane_logs(cluster: Resource) -> Findings:
    missing = _LOGS - set(listed(cluster.props.get("enabledClusterLogTypes")))
    if missing:
        yield f"enabledClusterLogTypes lacks {', '.join(sorted(missing))}"


@rule(
    CLUSTER,
    demand="A cluster encrypts Kubernetes secrets with a key of the account.",
    sources="CKV_AWS_58, EKS.3, CIS 5.3.1",
    way_out="give encryptionConfig a provider.keyArn and the resources [secrets]",
)
def eks_secrets_encrypted(cluster: Resource) -> Findings:
    given = listed(cluster.props.get("encryptionConfig"))
    if not any("secrets" in one["resources"] and "provider" in one for one in given):
        yield "encryptionConfig does not name secrets"


@rule(
    CLUSTER,
    demand="The API server is open to named networks at most, not to the internet.",
    sources="CKV_AWS_38, EKS.1, CIS 5.4.2",
    way_out="name the networks that call it in vpcConfig.publicAccessCidrs",
)
def eks_endpoint_not_open(cluster: Resource) -> Findings:
    given = cluster.props["vpcConfig"]
    if given.get("endpointPublicAccess") is not False:
        # Without a list, EKS lets everybody in.
        ranges = listed(given.get("publicAccessCidrs")) or ["0.0.0.0/0"]
        if is_internet(ranges):
            yield f"vpcConfig.publicAccessCidrs is {', '.join(ranges)}"


@rule(
    CLUSTER,
    demand="The API server cannot be reached from the internet.",
    sources="CKV_AWS_39, EKS.1, CIS 5.4.2",
    way_out="set vpcConfig.endpointPublicAccess to false",
    gate="production",
)
def eks_endpoint_private_only(cluster: Resource) -> Findings:
    if cluster.props["vpcConfig"].get("endpointPublicAccess") is not False:
        yield "vpcConfig.endpointPublicAccess is on"


@rule(
    CLUSTER,
    demand="Nodes reach the API server without leaving the VPC.",
    sources="CIS 5.4.1, prowler eks_cluster_private_nodes_enabled",
    way_out="set vpcConfig.endpointPrivateAccess to true",
)
def eks_endpoint_private(cluster: Resource) -> Findings:
    if not truth(cluster.props["vpcConfig"].get("endpointPrivateAccess")):
        yield "vpcConfig.endpointPrivateAccess is off"


@rule(
    CLUSTER,
    demand="AWS refuses to delete the cluster.",
    sources="prowler eks_cluster_deletion_protection_enabled",
    way_out="set deletionProtection to true",
    gate="production",
)
def eks_deletion_protection(cluster: Resource) -> Findings:
    if not truth(cluster.props.get("deletionProtection")):
        yield "deletionProtection is off"


@rule(
    CLUSTER,
    demand="A cluster does not outlive the support of its version.",
    sources="EKS.2, prowler eks_cluster_uses_a_supported_version",
    way_out="set upgradePolicy.supportType to STANDARD",
    gate="production",
)
def eks_standard_support(cluster: Resource) -> Findings:
    given = (cluster.props.get("upgradePolicy") or {}).get("supportType")
    if given != "STANDARD":
        yield f"upgradePolicy.supportType is {given or 'EXTENDED, the default of EKS'}"


@rule(
    "aws:eks/addon:Addon",
    demand="The network plugin enforces network policies.",
    sources="CIS 4.3.1, prowler eks_cluster_network_policy_enabled",
    way_out='set configurationValues to {"enableNetworkPolicy": "true"}',
)
def eks_network_policies_enforced(addon: Resource) -> Findings:
    if addon.props["addonName"] == "vpc-cni":
        given = json.loads(addon.props.get("configurationValues") or "{}")
        if not truth(given.get("enableNetworkPolicy")):
            yield "configurationValues.enableNetworkPolicy is off"


@rule(
    "aws:eks/nodeGroup:NodeGroup",
    demand="Nobody logs in to nodes by SSH from the internet.",
    sources="CKV_AWS_100, EKS best practices",
    way_out="leave remoteAccess out and use Session Manager",
)
def eks_nodes_without_ssh(group: Resource) -> Findings:
    given = group.props.get("remoteAccess") or {}
    if given.get("ec2SshKey") and not given.get("sourceSecurityGroupIds"):
        yield "remoteAccess has a key and no security group, which lets in 0.0.0.0/0"


@rule(
    TEMPLATE,
    demand="Instances give their role to nobody but the node itself.",
    sources="CKV_AWS_79, CKV_AWS_341, AutoScaling.3, AutoScaling.4",
    way_out="set metadataOptions to httpTokens required and httpPutResponseHopLimit 1",
)
def instances_ask_for_tokens(template: Resource) -> Findings:
    given = template.props.get("metadataOptions") or {}
    if given.get("httpTokens") != "required" and given.get("httpEndpoint") != "disabled":
        yield f"metadataOptions.httpTokens is {given.get('httpTokens', 'optional')}"
    if (given.get("httpPutResponseHopLimit") or 1) > 1:
        yield f"metadataOptions.httpPutResponseHopLimit is {given['httpPutResponseHopLimit']:g}"


@rule(
    TEMPLATE,
    demand="The volumes of instances are encrypted.",
    sources="EC2.7, prowler ec2_ebs_volume_encryption",
    way_out="set ebs.encrypted to true, with a kmsKeyId",
)
def instance_volumes_encrypted(template: Resource) -> Findings:
    for one in listed(template.props.get("blockDeviceMappings")):
        if one.get("ebs") is not None and not truth(one["ebs"].get("encrypted")):
            yield f"the volume {one.get('deviceName')} is not"


@rule(
    TEMPLATE,
    demand="Instances have no address on the internet.",
    sources="CKV_AWS_88, EC2.25, prowler ec2_launch_template_no_public_ip",
    way_out="leave associatePublicIpAddress out, or set it to false",
)
def instances_without_public_address(template: Resource) -> Findings:
    for one in listed(template.props.get("networkInterfaces")):
        if truth(one.get("associatePublicIpAddress")):
            yield "networkInterfaces.associatePublicIpAddress is on"


@rule(
    TEMPLATE,
    demand="No key is written into what instances start with.",
    sources="CKV_AWS_46, prowler ec2_launch_template_no_secrets",
    way_out="let the instance read it from Secrets Manager with its role, and make a new key",
)
def instances_start_without_keys(template: Resource) -> Findings:
    given = template.props.get("userData") or ""
    try:
        text = base64.b64decode(given, validate=True).decode(errors="replace")
    except binascii.Error:
        text = given
    if _CREDENTIAL.search(text):
        yield "userData has an access key or a private key in it"
