"""Who may use a role through EKS Pod Identity."""

from collections.abc import Sequence

import pulumi
from pulumi import Input, Output


def trust_policy(
    *,
    account_id: str,
    cluster_arn: Input[str],
    namespace: Input[str],
    service_account: str | Sequence[str],
) -> Output[str]:
    """Trust pods of one namespace of one cluster that run as a service account.

    service_account: its name, or patterns where a part of the name is not known yet.
    """
    # The tags are those that Pod Identity puts on the session
    # (docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html).
    name = {"aws:RequestTag/kubernetes-service-account": service_account}
    exact = {
        "aws:SourceAccount": account_id,
        "aws:RequestTag/kubernetes-namespace": namespace,
    }
    named = (
        {"StringEquals": {**exact, **name}}
        if isinstance(service_account, str)
        else {"StringEquals": exact, "StringLike": name}
    )
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "pods.eks.amazonaws.com"},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                    "Condition": {**named, "ArnEquals": {"aws:SourceArn": cluster_arn}},
                }
            ],
        }
    )
