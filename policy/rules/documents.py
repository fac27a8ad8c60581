"""IAM policy documents, statement by statement."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from .rule import Resource, listed

Statement: TypeAlias = Mapping[str, Any]

IDENTITY_POLICIES = (
    "aws:iam/groupPolicy:GroupPolicy",
    "aws:iam/policy:Policy",
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
)
"""Types that say what somebody may do."""


def statements(document: Any) -> Iterator[Statement]:  # noqa: ANN401
    """Yield the statements of a document, which is JSON, or an object already."""
    parsed = json.loads(document) if isinstance(document, str) else document
    if parsed is not None:
        yield from listed(parsed.get("Statement"))


def permissions(resource: Resource) -> Iterator[Statement]:
    """Yield what one of IDENTITY_POLICIES allows."""
    documents = [resource.props.get("policy")]
    documents += [one.get("policy") for one in listed(resource.props.get("inlinePolicies"))]
    for document in documents:
        yield from (one for one in statements(document) if one["Effect"] == "Allow")


def actions(statement: Statement) -> list[str]:
    """Return the actions of a statement, in lower case, as AWS compares them."""
    return [one.lower() for one in listed(statement.get("Action"))]


def principals(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield each principal with its kind: AWS, Service or Federated; `*` is of every kind."""
    given = statement.get("Principal")
    if given == "*":
        yield "*", "*"
    elif given is not None:
        for kind, values in given.items():
            yield from ((kind, value) for value in listed(values))


def conditions(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the operator, the key in lower case and the values of each condition."""
    for operator, tests in (statement.get("Condition") or {}).items():
        for key, values in tests.items():
            yield operator, key.lower(), [str(one) for one in listed(values)]


def condition_keys(statement: Statement) -> set[str]:
    """Return the keys that the conditions of a statement test."""
    return {key for _, key, _ in conditions(statement)}
