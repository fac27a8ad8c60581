"""What the sandbox makes of policies and their conditions, by examples of the IAM user guide."""

from __future__ import annotations

from collections.abc import Mapping
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
        (
            [_statement(Condition={"ArnLike": {KEY: [f"{ROLE}-two", "arn:aws:iam::*:role/j?b"]}})],
            True,
        ),
        ([_statement(Condition={"StringEquals": {KEY: "arn:*"}})], False),
        ([_statement(Condition={"StringEquals": {"aws:Unknown": "x"}})], False),
        ([_statement(Condition={"StringNotEquals": {"aws:Unknown": "x"}})], True),
        ([_statement(Condition={"NumericLessThan": {"aws:Unknown": "1"}})], False),
        ([_statement(), DENY], False),
        ([_statement(), _statement(Effect="Deny", Resource=f"{CLUSTER}-two")], True),
        ([_statement(), _statement(Effect="Deny", Condition={"Bool": {"a:b": "true"}})], True),
        ([_statement(), _statement(Effect="Deny", Condition={"Boole": {"a:b": "true"}})], False),
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


def _one(effect: str = "Allow", **given: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"Effect": effect, "Action": "*", "Resource": "*", **given}


def _if(operator: str, key: str, *values: str) -> dict[str, Any]:
    return _one(Condition={operator: {key: list(values)}})


def _without(key: str, statement: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if name != key}


TABLE = "arn:aws:dynamodb:us-west-2:123456789012:table/books"
OBJECT = "arn:aws:s3:::bucket/home/ann/file"
USER, DEPARTMENT, TAGS = "aws:username", "aws:PrincipalTag/department", "aws:TagKeys"
ADDRESS, TIME, MFA, AGE = (
    f"aws:{key}"
    for key in ("SourceIp", "CurrentTime", "MultiFactorAuthPresent", "MultiFactorAuthAge")
)
NOON = {TIME: "2026-03-01T12:00:00Z"}
LOGIC = "Policy evaluation logic"
RESOURCE, ACTIONS = "IAM JSON policy elements: Resource", "IAM JSON policy elements: NotAction"
OPERATORS = "IAM JSON policy elements: Condition operators"
SETS = "Condition with multiple context keys or values: set operators"
VARIABLES = "IAM policy elements: Variables and tags"


HOME = "arn:aws:s3:::bucket/home/${aws:username}/*"
NETWORK, DOCUMENTATION = "203.0.113.0/24", "2001:db8::/32"
INSIDE, OUTSIDE = {ADDRESS: "203.0.113.9"}, {ADDRESS: "192.0.2.1"}
ANN, BOB = {USER: "ann"}, {USER: "bob"}
SOURCE = {"aws:SourceArn": TABLE}
SAME_TAG = _if("StringEquals", "aws:ResourceTag/d", "${aws:PrincipalTag/department}")


@pytest.mark.parametrize(
    ("page", "statement", "context", "allowed"),
    [
        (LOGIC, _one(), {}, True),
        (LOGIC, _one(Action="S3:getobject"), {}, True),
        (ACTIONS, _without("Action", _one(NotAction="s3:*")), {}, False),
        (ACTIONS, _without("Action", _one(NotAction="iam:*")), {}, True),
        (RESOURCE, _one(Resource="arn:aws:s3:::bucket/home/*"), {}, True),
        (RESOURCE, _one(Resource="arn:aws:s3:::bucket/?ome/*"), {}, True),
        (RESOURCE, _one(Resource="arn:aws:s3:::bucket"), {}, False),
        # A wildcard covers no colon, and what is missing at an ARN's end is everything.
        (RESOURCE, _one(Resource="arn:aws:s3:*:bucket/home/*"), {}, False),
        (RESOURCE, _one(Resource="arn:aws:s3:*:*:bucket/*"), {}, True),
        (RESOURCE, _one(Resource="arn:aws:s3"), {}, True),
        (OPERATORS, _if("StringEquals", USER, "ann"), {"AWS:UserName": "ann"}, True),
        (OPERATORS, _if("StringEquals", USER, "Ann"), ANN, False),
        (OPERATORS, _if("StringEquals", USER, "a*"), ANN, False),
        (OPERATORS, _if("StringEqualsIgnoreCase", USER, "ANN"), ANN, True),
        (OPERATORS, _if("StringLike", USER, "bob", "a?n"), ANN, True),
        (OPERATORS, _if("StringNotLike", USER, "bob", "a*"), ANN, False),
        (OPERATORS, _if("StringNotEquals", USER, "bob"), ANN, True),
        (OPERATORS, _if("StringNotEquals", USER, "bob"), {}, True),
        (OPERATORS, _if("StringEquals", USER, "ann"), {}, False),
        (OPERATORS, _if("StringEqualsIfExists", USER, "ann"), {}, True),
        (OPERATORS, _if("StringEqualsIfExists", USER, "ann"), BOB, False),
        (OPERATORS, _if("NumericLessThan", AGE, "3600"), {AGE: "60"}, True),
        (OPERATORS, _if("NumericLessThan", AGE, "3600"), {AGE: "3600"}, False),
        (OPERATORS, _if("NumericLessThanEquals", AGE, "3600"), {AGE: "3600"}, True),
        (OPERATORS, _if("NumericLessThan", AGE, "3600"), {}, False),
        (OPERATORS, _if("NumericNotEquals", AGE, "1"), {AGE: "1.0"}, False),
        (OPERATORS, _if("DateGreaterThan", TIME, "2026-01-01T00:00:00Z"), NOON, True),
        (OPERATORS, _if("DateLessThan", TIME, "2026-01-01"), NOON, False),
        (OPERATORS, _if("DateLessThan", TIME, "4102444800"), NOON, True),
        (OPERATORS, _if("Bool", MFA, "true"), {MFA: "True"}, True),
        (OPERATORS, _if("Bool", MFA, "false"), {}, False),
        (OPERATORS, _if("BoolIfExists", MFA, "false"), {}, True),
        (OPERATORS, _if("IpAddress", ADDRESS, NETWORK), INSIDE, True),
        (OPERATORS, _if("IpAddress", ADDRESS, NETWORK), OUTSIDE, False),
        (OPERATORS, _if("NotIpAddress", ADDRESS, NETWORK), OUTSIDE, True),
        (OPERATORS, _if("IpAddress", ADDRESS, DOCUMENTATION), OUTSIDE, False),
        (OPERATORS, _if("ArnLike", "aws:SourceArn", "arn:aws:*:*:*:table/b*"), SOURCE, True),
        (OPERATORS, _if("ArnLike", "aws:SourceArn", "arn:aws:*:table/b*"), SOURCE, False),
        (OPERATORS, _if("ArnNotEquals", "aws:SourceArn", TABLE), SOURCE, False),
        (OPERATORS, _if("Null", AGE, "true"), {}, True),
        (OPERATORS, _if("Null", AGE, "true"), {AGE: "1"}, False),
        (OPERATORS, _if("Null", AGE, "false"), {AGE: "1"}, True),
        (SETS, _if("ForAllValues:StringEquals", TAGS, "a", "b"), {TAGS: ["a"]}, True),
        (SETS, _if("ForAllValues:StringEquals", TAGS, "a"), {TAGS: ["a", "b"]}, False),
        (SETS, _if("ForAllValues:StringEquals", TAGS, "a"), {}, True),
        (SETS, _if("ForAnyValue:StringEquals", TAGS, "a"), {TAGS: ["a", "b"]}, True),
        (SETS, _if("ForAnyValue:StringEquals", TAGS, "a"), {TAGS: ["b"]}, False),
        (SETS, _if("ForAnyValue:StringEquals", TAGS, "a"), {}, False),
        (SETS, _if("ForAnyValue:StringNotEquals", TAGS, "a"), {TAGS: ["a", "b"]}, True),
        (SETS, _if("ForAnyValue:StringNotEquals", TAGS, "a"), {}, False),
        (VARIABLES, _one(Resource=HOME), ANN, True),
        (VARIABLES, _one(Resource=HOME), {USER: "*"}, False),
        (VARIABLES, _one(Resource=HOME), {}, False),
        (VARIABLES, _one(Resource=HOME.replace("}", ", 'ann'}")), {}, True),
        (VARIABLES, _one(Resource="arn:aws:s3:::bucket/home/${*}/*"), {}, False),
        (VARIABLES, SAME_TAG, {"aws:ResourceTag/d": "x", DEPARTMENT: "x"}, True),
        (VARIABLES, SAME_TAG, {"aws:ResourceTag/d": "x", DEPARTMENT: "y"}, False),
        (VARIABLES, SAME_TAG, {"aws:ResourceTag/d": "x"}, False),
    ],
)
def test_the_examples_of_the_user_guide_are_decided_as_there(
    page: str, statement: dict[str, Any], context: Mapping[str, Any], allowed: bool
) -> None:
    document = {"Version": "2012-10-17", "Statement": statement}
    assert is_allowed([document], "s3:GetObject", OBJECT, context) is allowed, page
    denied = {**document, "Statement": [_one(), {**statement, "Effect": "Deny"}]}
    assert is_allowed([denied], "s3:GetObject", OBJECT, context) is not allowed, page


@pytest.mark.parametrize(
    ("condition", "context"),
    [
        ({"StringResembles": {USER: "ann"}}, ANN),
        ({"NumericLessThan": {AGE: "3600"}}, {AGE: "x"}),
        ({"IpAddress": {ADDRESS: NETWORK}}, {}),
        ({"NotIpAddress": {ADDRESS: NETWORK}}, {}),  # which AWS sees, and the sandbox does not
    ],
)
def test_what_cannot_be_judged_counts_against_the_caller(
    condition: dict[str, Any], context: Mapping[str, Any]
) -> None:
    allow, deny = _one(Condition=condition), _one("Deny", Condition=condition)
    assert not is_allowed([{"Statement": allow}], "s3:Get", "*", context)
    assert not is_allowed([{"Statement": [_one(), deny]}], "s3:Get", "*", context)


def test_conditions_hold_together_and_one_of_the_values_of_each_is_enough() -> None:
    both = {"StringEquals": {USER: ["ann", "bob"], "aws:RequestedRegion": "us-west-2"}}
    document = {"Statement": [_one(Condition=both)]}
    here = {"aws:RequestedRegion": "us-west-2"}
    assert is_allowed([document], "s3:Get", "*", {USER: "bob", **here})
    assert not is_allowed([document], "s3:Get", "*", {USER: "eve", **here})
    assert not is_allowed([document], "s3:Get", "*", {USER: "bob"})


def test_before_2012_there_were_no_variables() -> None:
    document = {
        "Version": "2008-10-17",
        "Statement": [_one(Resource="arn:aws:s3:::bucket/home/${aws:username}/*")],
    }
    assert not is_allowed([document], "s3:GetObject", OBJECT, {USER: "ann"})


@pytest.mark.parametrize(
    ("boundary", "session", "allowed"),
    [
        (None, None, True),
        (_one(Action="s3:*"), None, True),
        (_one(Action="ec2:*"), None, False),
        (None, _one(Action="ec2:*"), False),
        (_one(Action="s3:*"), _one(Action="s3:Get*"), True),
        (_one(), _one("Deny"), False),
    ],
)
def test_a_boundary_and_a_session_policy_only_take_away(
    boundary: dict[str, Any] | None, session: dict[str, Any] | None, allowed: bool
) -> None:
    limits = [[{"Statement": [one]}] for one in (boundary, session) if one]
    given = [{"Statement": [_one(Action="s3:*")]}]
    assert is_allowed(given, "s3:GetObject", OBJECT, {}, limits) is allowed
    assert not is_allowed([], "s3:GetObject", OBJECT, {}, limits)


@pytest.mark.parametrize(
    ("principals", "kind", "name", "trusted"),
    [
        ({"Principal": "*"}, "AWS", "arn:aws:iam::123456789012:role/a", True),
        ({"Principal": {"AWS": "*"}}, "AWS", "arn:aws:iam::123456789012:role/a", True),
        ({"Principal": "*"}, "Service", "ec2.amazonaws.com", False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:role/a"}}, "AWS", "other", False),
        ({"NotPrincipal": {"AWS": "one"}}, "AWS", "one", False),
        ({"NotPrincipal": {"AWS": "one"}}, "AWS", "other", True),
    ],
)
def test_a_trust_policy_names_principals(
    principals: dict[str, Any], kind: str, name: str, trusted: bool
) -> None:
    document = {"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", **principals}}
    assert is_trusted(document, kind, name, "sts:AssumeRole", {}) is trusted
