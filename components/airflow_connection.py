"""A connection that DAGs find in Secrets Manager."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi_aws as aws
from pulumi import Input, Output, Resource, ResourceOptions


def airflow_connection(
    name: str,
    connection_id: str,
    extra: Mapping[str, Input[str]],
    *,
    secrets_prefix: str,
    kms_key_arn: Input[str],
    parent: Resource,
) -> aws.secretsmanager.SecretVersion:
    """A secret that Airflow reads as this connection."""
    secret = aws.secretsmanager.Secret(
        name,
        name=f"{secrets_prefix}/connections/{connection_id}",
        description=f"Airflow connection {connection_id}",
        kms_key_id=kms_key_arn,
        # The content is derived. A secret that waits for its deletion keeps its name, and the
        # next `up` could not make it.
        recovery_window_in_days=0,
        opts=ResourceOptions(parent=parent),
    )
    return aws.secretsmanager.SecretVersion(
        name,
        secret_id=secret.id,
        secret_string=Output.json_dumps({"conn_type": "generic", "extra": extra}),
        opts=ResourceOptions(parent=parent),
    )
