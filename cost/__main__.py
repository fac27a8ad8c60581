"""What a stack costs in a month by list price, line by line, from its settings and no cloud:

python -m cost --stack dev
python -m cost --stack dev --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeAlias

import pulumi

from cost.estimate import HOURS, Estimate, estimate
from cost.prices import UnknownRegionError, prices_of
from cost.stacks import NoStackError, settings_of

Json: TypeAlias = Any


def table(told: Estimate) -> Iterator[str]:
    """Yield the lines of a table for people."""
    where = told.region
    if told.region != told.home:
        where += f" (the stack is in {told.home}, where they differ)"
    yield f"Stack {told.stack}: US dollars in a month of {HOURS} hours, list prices on demand"
    yield f"in {where}, the oldest of {told.oldest}"
    yield ""
    rows = [
        (line.name, line.basis, _money(line.least), _money(line.most), line.price is None)
        for line in told.lines
    ]
    name, basis = (max(len(str(row[column])) for row in rows) for column in (0, 1))
    yield f"{'':{name}}  {'':{basis}}  {'at least':>10}  {'at most':>10}"
    for row in rows:
        yield f"{row[0]:{name}}  {row[1]:{basis}}  {row[2]:>10}  {row[3]:>10}"
    least = _sum(told.least, lacks=any(line.least is None for line in told.lines))
    most = _sum(told.most, lacks=bool(told.unpriced))
    yield f"{'Total':{name}}  {'':{basis}}  {least:>10}  {most:>10}"
    if told.asleep is not None:
        all_month = "account.asleep, the whole month"
        yield f"{'Asleep':{name}}  {all_month:{basis}}  {told.asleep:10,.2f}"
    yield from ("", "Besides, by use:")
    for rate in told.rates:
        yield f"  {rate.name}: {_rate(rate.price.usd)} per {rate.price.per}"
    yield from ("", "Not included:")
    for line in told.unpriced:
        yield f"  {line.name} ({line.basis}): their price is not known here"
    for text in told.not_included:
        yield f"  {text}"


def document(told: Estimate) -> Json:
    """Return the same for programs."""
    return {
        "stack": told.stack,
        "region": told.region,
        "oldestPrice": told.oldest.isoformat(),
        "currency": "USD",
        "hours": HOURS,
        "least": float(told.least),
        "most": float(told.most),
        "asleep": None if told.asleep is None else float(told.asleep),
        "lines": [
            {
                "name": line.name,
                "basis": line.basis,
                "least": None if line.least is None else float(line.least),
                "most": None if line.most is None else float(line.most),
            }
            for line in told.lines
        ],
        "rates": [
            {"name": rate.name, "usd": float(rate.price.usd), "per": rate.price.per}
            for rate in told.rates
        ],
        "unpriced": [line.name for line in told.unpriced],
        "notIncluded": list(told.not_included),
    }


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:,.2f}"


def _rate(amount: Decimal) -> str:
    """At least with cents, and with no more digits than the price has."""
    return str(max(amount, amount.quantize(Decimal("0.01"))))


def _sum(amount: Decimal, *, lacks: bool) -> str:
    return f"> {amount:,.2f}" if lacks else f"{amount:,.2f}"


def main() -> int:
    """Print what a stack costs."""
    parser = argparse.ArgumentParser(prog="python -m cost")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--region", help="the region whose prices these are; else the stack's")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        settings = settings_of(given.stack)
        told = estimate(settings, prices_of(given.region or settings.account.region))
    except (NoStackError, UnknownRegionError, pulumi.RunError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(document(told), indent=2) if given.json else "\n".join(table(told)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
