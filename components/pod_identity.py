"""Who may use a role through EKS Pod Identity."""

import pulumi
from pulumi import Input, Output


def trust_policy(
    *,
    account_id: str,
    cluster_arn: Input[str],
    namespace: Input[str],
    service_account: str | None = None,
) -> Output[str]:
    """Trust pods of one namespace of one cluster, and of one service account if it is given."""
    # The tags are those that Pod Identity puts on the session
    # (docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html).
    tags: dict[str, Input[str]] = {"aws:RequestTag/kubernetes-namespace": namespace}
    if service_account is not None:
        tags["aws:RequestTag/kubernetes-service-account"] = service_account
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "pods.eks.amazonaws.com"},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                    "Condition": {
                        "StringEquals": {"aws:SourceAccount": account_id, **tags},
                        "ArnEquals": {"aws:SourceArn": cluster_arn},
                    },
                }
            ],
        }
    )
