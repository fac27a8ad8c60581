"""Metric math, as far as an alarm needs it: arithmetic, comparisons, AND, OR, IF and FILL."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

Point: TypeAlias = float | None
"""What a series has of a period: nothing, where a metric had no data."""

_OPERATORS: Final[Mapping[type[ast.AST], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Div: operator.truediv,
    ast.Eq: operator.eq,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Mult: operator.mul,
    ast.NotEq: operator.ne,
    ast.Pow: operator.pow,
    ast.Sub: operator.sub,
}
_WORDS: Final = {"AND": "and", "OR": "or", "&&": "and", "||": "or", "^": "**"}


class MetricMathError(Exception):
    """An expression is none, or has what is not known here."""


def parse(expression: str) -> ast.expr:
    """Return an expression as Python would write it."""
    text = re.sub(r"\bAND\b|\bOR\b|&&|\|\||\^", lambda word: f" {_WORDS[word[0]]} ", expression)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise MetricMathError(f"{expression}: {error.msg}") from None


def evaluate(
    wanted: str,
    expressions: Mapping[str, str],
    series: Mapping[str, Sequence[Point]],
    count: int,
) -> list[Point]:
    """Return one of the expressions, or of the series, for each of so many periods."""
    if wanted in series:
        return list(series[wanted])
    tree = parse(expressions[wanted])
    return [_Period(expressions, series, at).value(tree) for at in range(count)]


def check(expression: str, ids: Iterable[str]) -> None:
    """Raise what is wrong with an expression on the metrics and expressions of these ids."""
    _Period({}, {one: [1.0] for one in ids}, 0).value(parse(expression))


class _Period(ast.NodeVisitor):
    """What expressions are worth in one period."""

    def __init__(
        self, expressions: Mapping[str, str], series: Mapping[str, Sequence[Point]], at: int
    ) -> None:
        self._expressions = expressions
        self._series = series
        self._at = at

    def value(self, node: ast.AST) -> Point:
        """Return what a part of an expression is worth."""
        found: Point = self.visit(node)
        return found

    def generic_visit(self, node: ast.AST) -> Point:
        raise MetricMathError(f"{ast.unparse(node)}: not known in the sandbox")

    def visit_Constant(self, node: ast.Constant) -> Point:
        if not isinstance(node.value, int | float):
            return self.generic_visit(node)
        return float(node.value)

    def visit_Name(self, node: ast.Name) -> Point:
        if node.id in self._series:
            return self._series[node.id][self._at]
        if node.id in self._expressions:
            return self.value(parse(self._expressions[node.id]))
        raise MetricMathError(f"{node.id} is the id of no metric")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Point:
        value = self.value(node.operand)
        if not isinstance(node.op, ast.USub):
            return self.generic_visit(node)
        return None if value is None else -value

    def visit_BinOp(self, node: ast.BinOp) -> Point:
        return self._pair(node, node.left, node.op, node.right)

    def visit_Compare(self, node: ast.Compare) -> Point:
        if len(node.ops) > 1:
            return self.generic_visit(node)
        return self._pair(node, node.left, node.ops[0], node.comparators[0])

    def _pair(self, node: ast.AST, left: ast.expr, sign: ast.AST, right: ast.expr) -> Point:
        if type(sign) not in _OPERATORS:
            return self.generic_visit(node)
        first, second = self.value(left), self.value(right)
        if first is None or second is None or (isinstance(sign, ast.Div) and not second):
            return None
        return float(_OPERATORS[type(sign)](first, second))

    def visit_BoolOp(self, node: ast.BoolOp) -> Point:
        values = [self.value(one) for one in node.values]
        if None in values:
            return None
        return float((all if isinstance(node.op, ast.And) else any)(values))

    def visit_Call(self, node: ast.Call) -> Point:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        match name, [self.value(one) for one in node.args]:
            case "FILL", [value, instead]:
                return instead if value is None else value
            case "IF", [condition, then, *otherwise] if len(otherwise) < 2:
                if condition is None:
                    return None
                return then if condition else next(iter(otherwise), None)
            case "ABS", [value]:
                return None if value is None else abs(value)
        return self.generic_visit(node)
