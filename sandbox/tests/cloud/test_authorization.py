"""What the sandbox makes of policies and their conditions."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cloud.aws.authorization import is_allowed, is_trusted

ACTION = "emr-containers:StartJobRun"
CLUSTER = "arn:aws:emr-containers:us-west-2:123456789012:/virtualclusters/one"
ROLE = "arn:aws:iam::123456789012:role/job"
KEY = "emr-containers:ExecutionRoleArn"


def _statement(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    statement = {
        "Effect": "Allow",
        "Action": ACTION,
        "Resource": CLUSTER,
        "Condition": {"ArnEquals": {KEY: ROLE}},
        **changed,
    }
    return {key: value for key, value in statement.items() if value is not None}


DENY = _statement(Effect="Deny", Condition=None)


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([_statement()], True),
        ([_statement(Action=["s3:Get*", "EMR-containers:start*"])], True),
        ([_statement(Action="emr-containers:DescribeJobRun")], False),
        ([_statement(Resource=f"{CLUSTER}/jobruns/*")], False),
        ([_statement(Resource=CLUSTER.replace("one", "*"))], True),
        ([_statement(Resource=None, NotResource=f"{CLUSTER}-two")], True),
        ([_statement(Condition={"ArnEquals": {KEY: f"{ROLE}-two"}})], False),
        ([_statement(Condition={"ArnLike": {KEY: [f"{ROLE}-two", "arn:*:role/j?b"]}})], True),
        ([_statement(Condition={"StringEquals": {KEY: "arn:*"}})], False),
        ([_statement(Condition={"StringEquals": {"aws:Unknown": "x"}})], False),
        ([_statement(Condition={"StringNotEquals": {"aws:Unknown": "x"}})], True),
        ([_statement(Condition={"NumericLessThan": {"aws:Unknown": "1"}})], False),
        ([_statement(), DENY], False),
        ([_statement(), _statement(Effect="Deny", Resource=f"{CLUSTER}-two")], True),
        ([_statement(), _statement(Effect="Deny", Condition={"Bool": {"a:b": "true"}})], False),
    ],
)
def test_policies_decide(statements: list[dict[str, Any]], allowed: bool) -> None:
    document = {"Version": "2012-10-17", "Statement": statements}
    assert is_allowed([document], ACTION, CLUSTER, {KEY: ROLE}) is allowed


def test_a_trust_policy_names_a_service_and_its_conditions() -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole"],
        "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
    }
    document = {"Version": "2012-10-17", "Statement": statement}
    account = {"aws:SourceAccount": "123456789012"}
    service, action = "pods.eks.amazonaws.com", "sts:AssumeRole"
    assert is_trusted(document, "Service", service, action, account)
    assert not is_trusted(document, "Service", "ec2.amazonaws.com", action, account)
    assert not is_trusted(document, "Service", service, "sts:TagSession", account)
    assert not is_trusted(
        document, "Service", service, action, {"aws:SourceAccount": "999999999999"}
    )
    assert not is_trusted(document, "Federated", service, action, account)
