"""What policies allow a caller to do, conditions included.

Only what this program's policies use is known here. A condition that cannot be judged counts
against the caller: its Allow does not apply, its Deny does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

Statement: TypeAlias = Mapping[str, Any]


def _pattern(text: str) -> str:
    """Return a regular expression for text with * and ?."""
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in text)


# Operator: (whether it asks for a match, how its value is read).
_JUDGED: Final[Mapping[str, tuple[bool, Callable[[str], str]]]] = {
    "StringEquals": (True, re.escape),
    "StringNotEquals": (False, re.escape),
    "StringLike": (True, _pattern),
    "StringNotLike": (False, _pattern),
    "ArnEquals": (True, _pattern),
    "ArnLike": (True, _pattern),
    "ArnNotEquals": (False, _pattern),
    "ArnNotLike": (False, _pattern),
}


def is_allowed(
    documents: Iterable[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str],
) -> bool:
    """Tell whether identity policies allow an action on a resource."""
    return _decide(
        (one for one in _statements(documents) if _names(one, "Resource", resource)),
        action,
        context,
    )


def is_trusted(
    document: Mapping[str, Any], kind: str, name: str, action: str, context: Mapping[str, str]
) -> bool:
    """Tell whether a role's trust policy lets a principal act: a Service, a Federated one."""
    statements = _statements([document])
    named = (one for one in statements if name in _list(dict(one.get("Principal", {})).get(kind)))
    return _decide(named, action, context)


def _decide(statements: Iterable[Statement], action: str, context: Mapping[str, str]) -> bool:
    concerned = [one for one in statements if _names(one, "Action", action, re.IGNORECASE)]
    allowed = any(_applies(one, context) is True for one in concerned if one["Effect"] == "Allow")
    denied = any(
        _applies(one, context) is not False for one in concerned if one["Effect"] == "Deny"
    )
    return allowed and not denied


def _statements(documents: Iterable[Mapping[str, Any]]) -> Iterator[Statement]:
    for document in documents:
        yield from _list(document["Statement"])


def _names(statement: Statement, key: str, value: str, flags: int = 0) -> bool:
    """Tell whether a statement's Action or Resource, or its opposite, covers a value."""
    opposite = f"Not{key}"
    listed = _list(statement.get(key, statement.get(opposite)))
    found = any(re.fullmatch(_pattern(one), value, flags) for one in listed)
    return found is (opposite not in statement)


def _applies(statement: Statement, context: Mapping[str, str]) -> bool | None:
    """Tell whether a statement's conditions hold; None if that cannot be judged."""
    conditions = statement.get("Condition", {})
    if any(operator not in _JUDGED for operator in conditions):
        return None
    return all(
        _holds(operator, _list(wanted), context.get(key))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, wanted: list[Any], found: str | None) -> bool:
    match, read = _JUDGED[operator]
    if found is None:
        return not match
    return any(re.fullmatch(read(one), found) for one in wanted) is match


def _list(value: Any) -> list[Any]:  # noqa: ANN401  (a policy holds one or a list everywhere)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
