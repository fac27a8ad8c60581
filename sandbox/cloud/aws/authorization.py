"""What policies allow a caller to do, conditions included, as the IAM user guide says.

Resource policies are known as far as they say who may assume a role, and which services may publish
to a topic, use its key and fill a queue. A condition that cannot be judged counts against the
caller: its Allow does not apply, its Deny does.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeAlias

Document: TypeAlias = Mapping[str, Any]
Statement: TypeAlias = Mapping[str, Any]
Context: TypeAlias = Mapping[str, str | Collection[str]]
"""What a request says of itself: one value for a key, or several."""
_Test: TypeAlias = Callable[[str, str], bool]
"""Whether a value that a request has is the one that a condition wants."""

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_WILDCARDS: Final = {"*": ".*", "?": "."}
_ARN_PARTS: Final = 6


class _UnknownError(Exception):
    """A policy variable stands for something that the request does not say."""


def is_allowed(
    documents: Iterable[Document],
    action: str,
    resource: str,
    context: Context,
    limits: Iterable[Iterable[Document]] = (),
) -> bool:
    """Tell whether identity policies allow an action on a resource.

    limits: the permissions boundary and the session's own policies, each of which must allow it
    too.
    """
    known = {key.lower(): value for key, value in context.items()}

    def allowed(some: Iterable[Document]) -> bool:
        named = [
            one for one in _statements(some) if _names(one, "Resource", resource, known, _is_arn)
        ]
        return _decide(named, action, known)

    return all(allowed(some) for some in (documents, *limits))


def is_trusted(
    document: Document,
    kind: str,
    name: str,
    action: str,
    context: Context,
    *,
    resource: str | None = None,
) -> bool:
    """Tell whether a resource's policy lets a principal act: a Service, a Federated one.

    resource: what the statements must name; those of a role's trust policy name none.
    """
    known = {key.lower(): value for key, value in context.items()}
    named = [
        one
        for one in _statements([document])
        if _is_principal(one, kind, name)
        and (resource is None or _names(one, "Resource", resource, known, _is_arn))
    ]
    return _decide(named, action, known)


def _is_principal(statement: Statement, kind: str, name: str) -> bool:
    opposite = "NotPrincipal" in statement
    principals = statement.get("NotPrincipal" if opposite else "Principal", {})
    # "*" is everybody whom AWS knows by an account, and no service; what is denied to it is denied
    # to services too.
    meant = kind == "AWS" or statement["Effect"] == "Deny"
    everybody = meant and (principals == "*" or "*" in _list(dict(principals).get("AWS")))
    if isinstance(principals, str):
        return everybody is not opposite
    return (everybody or name in _list(principals.get(kind))) is not opposite


def _decide(statements: list[Statement], action: str, context: Context) -> bool:
    concerned = [one for one in statements if _names(one, "Action", action, context, _is_action)]
    allowed = any(_applies(one, context) is True for one in concerned if one["Effect"] == "Allow")
    denied = any(
        _applies(one, context) is not False for one in concerned if one["Effect"] == "Deny"
    )
    return allowed and not denied


def _statements(documents: Iterable[Document]) -> Iterator[Statement]:
    for document in documents:
        # Before this version there are no variables: what looks like one is text.
        variables = document.get("Version") == "2012-10-17"
        for statement in _list(document["Statement"]):
            yield {**statement, "variables": variables}


def _names(statement: Statement, key: str, value: str, context: Context, test: _Test) -> bool:
    """Tell whether a statement's Action or Resource, or its opposite, covers a value."""
    opposite = f"Not{key}"
    listed = _list(statement.get(key, statement.get(opposite)))
    found = any(
        test(value, pattern) for one in listed for pattern in _filled(one, statement, context)
    )
    return found is (opposite not in statement)


def _filled(text: str, statement: Statement, context: Context, *, exact: bool = False) -> list[str]:
    """Return a regular expression for text with variables; none if one of them is not known.

    exact: whether * and ? are characters as any other.
    """
    read = re.escape if exact else _pattern
    if not statement["variables"]:
        return [read(text)]
    try:
        return [
            "".join(
                re.escape(_value(part, context)) if number % 2 else read(part)
                for number, part in enumerate(_VARIABLE.split(text))
            )
        ]
    except _UnknownError:
        return []


def _value(variable: str, context: Context) -> str:
    if variable in {"*", "?", "$"}:
        return variable
    key, _, default = variable.partition(",")
    found = context.get(key.strip().lower())
    if isinstance(found, str):
        return found
    if default:
        return default.strip().strip("'")
    raise _UnknownError


@functools.cache
def _pattern(text: str) -> str:
    """Return a regular expression for text with * and ?."""
    return "".join(_WILDCARDS.get(character) or re.escape(character) for character in text)


# A request is compared with more of them than `re` keeps.
@functools.lru_cache(maxsize=16384)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


def _matches(value: str, pattern: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


def _is_action(value: str, pattern: str) -> bool:
    return _matches(value.lower(), pattern.lower())


def _is_arn(value: str, pattern: str) -> bool:
    """Compare ARNs part by part: a wildcard stands for nothing beyond the next colon."""
    if pattern == _WILDCARDS["*"]:
        return True
    wanted, found = (text.split(":", _ARN_PARTS - 1) for text in (pattern, value))
    wanted += [_WILDCARDS["*"]] * (_ARN_PARTS - len(wanted))  # what is missing, IAM fills up
    return len(found) == _ARN_PARTS and all(map(_matches, found, wanted))


def _number(test: Callable[[float, float], bool]) -> _Test:
    return lambda value, wanted: test(float(value), float(wanted))


def _date(test: Callable[[datetime, datetime], bool]) -> _Test:
    def read(text: str) -> datetime:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    return lambda value, wanted: test(read(value), read(wanted))


def _is_in_network(value: str, wanted: str) -> bool:
    return ip_address(value) in ip_network(wanted, strict=False)


# What is compared with a condition's value as it stands, and what with a pattern of it.
_LITERAL: Final[Mapping[str, _Test]] = {
    "BinaryEquals": operator.eq,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "DateEquals": _date(operator.eq),
    "DateGreaterThan": _date(operator.gt),
    "DateGreaterThanEquals": _date(operator.ge),
    "DateLessThan": _date(operator.lt),
    "DateLessThanEquals": _date(operator.le),
    "IpAddress": _is_in_network,
    "NumericEquals": _number(operator.eq),
    "NumericGreaterThan": _number(operator.gt),
    "NumericGreaterThanEquals": _number(operator.ge),
    "NumericLessThan": _number(operator.lt),
    "NumericLessThanEquals": _number(operator.le),
}
_PATTERN: Final[Mapping[str, _Test]] = {
    "ArnEquals": _is_arn,
    "ArnLike": _is_arn,
    "StringEquals": _matches,
    "StringEqualsIgnoreCase": _is_action,
    "StringLike": _matches,
}
# Without a quantifier, a key has one value.
_QUANTIFIERS: Final[Mapping[str, Callable[[Iterable[bool]], bool]]] = {
    "": all,
    "ForAllValues": all,
    "ForAnyValue": any,
}
_UNSEEN: Final = frozenset({"aws:sourceip", "aws:useragent"})
"""What AWS sees of every request, and is not known here."""
_EXACT: Final = frozenset({"StringEquals", "StringEqualsIgnoreCase"})
_OPPOSITES: Final[Mapping[str, str]] = {
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
}


def _applies(statement: Statement, context: Context) -> bool | None:
    """Tell whether a statement's conditions hold; None if that cannot be judged."""
    held = [
        _holds(name, key.lower(), _list(wanted), statement, context)
        for name, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    ]
    return False if False in held else None if None in held else True


def _holds(
    name: str, key: str, wanted: list[Any], statement: Statement, context: Context
) -> bool | None:
    found = context.get(key)
    values = [found] if isinstance(found, str) else list(found or ())
    quantifier, _, bare = name.rpartition(":")
    test = bare.removesuffix("IfExists")
    if test == "Null":
        return any((not values) is (str(one).lower() == "true") for one in wanted)
    positive = _OPPOSITES.get(test, test)
    known = positive in _LITERAL or positive in _PATTERN
    if not known or quantifier not in _QUANTIFIERS or (key in _UNSEEN and not values):
        return None
    if not values:
        opposite = positive != test and not quantifier
        return opposite or bare != test or quantifier == "ForAllValues"
    fits = [_fits(positive, wanted, one, statement, context) for one in values]
    if None in fits:
        return None
    return _QUANTIFIERS[quantifier](fit is (positive == test) for fit in fits)


def _fits(
    positive: str, wanted: list[Any], value: str, statement: Statement, context: Context
) -> bool | None:
    """Tell whether a value is one of those that are wanted; None if it cannot be compared."""
    try:
        if positive in _LITERAL:
            return any(_LITERAL[positive](value, str(one)) for one in wanted)
        return any(
            _PATTERN[positive](value, pattern)
            for one in wanted
            for pattern in _filled(one, statement, context, exact=positive in _EXACT)
        )
    except ValueError:
        return None


def _list(value: Any) -> list[Any]:  # noqa: ANN401  (a policy holds one or a list everywhere)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
