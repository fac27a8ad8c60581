"""The rules for policy documents that the emulators do not apply everywhere."""

from __future__ import annotations

import json

from sandbox.providers.aws.calls import RefusedError
from sandbox.providers.protocol import Value

_VERSIONS = ("2012-10-17", "2008-10-17")


def require_policy(
    operation: str, code: str, text: str, *, principal: bool = True, resource: bool = True
) -> None:
    """Refuse a document without a version, or a statement without what it must name."""
    problem = _problem(text, principal=principal, resource=resource)
    if problem:
        raise RefusedError(operation, code, problem)


def _problem(text: str, *, principal: bool, resource: bool) -> str | None:
    try:
        document = json.loads(text)
    except ValueError:
        return "This policy contains invalid Json"
    if not isinstance(document, dict) or document.get("Version") not in _VERSIONS:
        return f"Policy document must have a Version, one of {', '.join(_VERSIONS)}"
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        return "Policy document must have a Statement"
    problems = (_statement(one, principal=principal, resource=resource) for one in statements)
    return next((problem for problem in problems if problem), None)


def _statement(statement: Value, *, principal: bool, resource: bool) -> str | None:
    if not isinstance(statement, dict):
        return "Statement must be an object"
    named = "Principal" in statement or "NotPrincipal" in statement
    acted_on = statement.get("Resource") or statement.get("NotResource")
    problems = {
        "Statement must have an Effect, Allow or Deny": statement.get("Effect")
        not in {"Allow", "Deny"},
        "Statement must have actions": not (statement.get("Action") or statement.get("NotAction")),
        "Missing required field Principal": principal and not named,
        "Policy document should not specify a principal.": named and not principal,
        "Missing required field Resource": resource and not acted_on,
        "Has prohibited field Resource": acted_on and not resource,
    }
    return next((text for text, applies in problems.items() if applies), None)
