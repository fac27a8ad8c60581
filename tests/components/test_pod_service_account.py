"""Decisions of PodServiceAccount."""

import json

import pulumi
import pulumi_kubernetes as k8s

from components.pod_service_account import PodServiceAccount, PodServiceAccountArgs
from tests.components.conftest import ACCOUNT, Engine, Resource

CLUSTER_ARN = "arn:aws:eks:us-west-2:123456789012:cluster/mwaa-on-eks-test"
ARGS = PodServiceAccountArgs(
    service_account="reports",
    namespace="mwaa",
    policy_arns=(
        "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
        "arn:aws:iam::123456789012:policy/team/reports",
    ),
    cluster_name="mwaa-on-eks-test",
    cluster_arn=CLUSTER_ARN,
    account=ACCOUNT,
)
ACCOUNT_TYPE = "kubernetes:core/v1:ServiceAccount"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"


def run(engine: Engine) -> dict[str, Resource]:
    return engine.run(
        lambda: PodServiceAccount(
            "pods-reports",
            ARGS,
            pulumi.ResourceOptions(providers=[k8s.Provider("cluster", kubeconfig="{}")]),
        )
    )


def test_only_pods_of_this_account_in_this_namespace_and_cluster_get_the_role(
    engine: Engine,
) -> None:
    run(engine)

    (trust,) = json.loads(engine.one(ROLE).inputs["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:RequestTag/kubernetes-namespace": "mwaa",
            "aws:RequestTag/kubernetes-service-account": "reports",
        },
        "ArnEquals": {"aws:SourceArn": CLUSTER_ARN},
    }
    association = engine.one(ASSOCIATION).inputs
    assert (association["namespace"], association["serviceAccount"]) == ("mwaa", "reports")
    assert association["roleArn"] == "arn:aws:mock:::pods-reports-role"


def test_the_role_has_the_policies_and_no_other(engine: Engine) -> None:
    run(engine)

    assert {one.inputs["policyArn"] for one in engine.all(POLICY)} == {*ARGS.policy_arns}
    assert not engine.all("aws:iam/rolePolicy:RolePolicy")


def test_the_account_means_nothing_in_kubernetes(engine: Engine) -> None:
    run(engine)

    account = engine.one(ACCOUNT_TYPE).inputs
    assert account["metadata"] == {"name": "reports", "namespace": "mwaa"}
    assert account["automountServiceAccountToken"] is False
    assert not any("rbac" in resource.typ for resource in engine.recorded.values())


def test_who_finds_the_account_finds_its_role_and_policies(engine: Engine) -> None:
    run(engine)

    waits = engine.waits_for(engine.one(ACCOUNT_TYPE))
    assert {"pods-reports-association", "pods-reports-role"} <= waits
    assert {one.name for one in engine.all(POLICY)} <= waits


def test_everything_lies_under_the_component(engine: Engine) -> None:
    run(engine)

    assert engine.tops() == {"pods-reports", "cluster", "role_arn"}
