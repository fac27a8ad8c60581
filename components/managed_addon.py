"""An add-on that EKS manages, in the version that belongs to the cluster's Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions


def managed_addon(
    addon: str,
    *,
    parent: pulumi.Resource,
    name: str,
    cluster_name: Input[str],
    kubernetes_version: str,
    configuration: str | None = None,
    roles: Mapping[str, Output[str]] | None = None,
    depends_on: Sequence[pulumi.Resource] = (),
) -> aws.eks.Addon:
    """Return the add-on, which goes with all that it has installed.

    roles: the roles' ARNs, by service account.
    """
    # Without a version, EKS takes its default at creation and never moves on.
    version = aws.eks.get_addon_version_output(
        addon_name=addon,
        kubernetes_version=kubernetes_version,
        opts=pulumi.InvokeOutputOptions(parent=parent),
    ).version
    return aws.eks.Addon(
        f"{name}-{addon}",
        cluster_name=cluster_name,
        addon_name=addon,
        addon_version=version,
        configuration_values=configuration,
        pod_identity_associations=[
            {"service_account": account, "role_arn": role}
            for account, role in (roles or {}).items()
        ]
        or None,
        preserve=False,
        resolve_conflicts_on_create="OVERWRITE",
        resolve_conflicts_on_update="OVERWRITE",
        opts=ResourceOptions(parent=parent, depends_on=[*depends_on]),
    )
