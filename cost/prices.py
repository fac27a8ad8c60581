"""The list prices that prices.toml holds."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

FILE = Path(__file__).with_name("prices.toml")
_SIZES = {"medium": Decimal("0.25"), "large": Decimal("0.5"), "xlarge": Decimal(1)}


class UnknownRegionError(Exception):
    """No price of the region is known."""


@dataclass(frozen=True)
class Price:
    """What AWS asks for one unit."""

    usd: Decimal
    per: str
    source: str
    date: date


@dataclass(frozen=True)
class PriceList:
    """The prices of one region."""

    region: str
    prices: Mapping[str, Price]

    def find(self, item: str) -> Price | None:
        """Return the price of an item; None where the list does not have it."""
        return self.prices.get(item)

    def instance(self, instance_type: str) -> Price | None:
        """Return the price of an instance by its family, whose sizes cost in proportion."""
        family, _, size = instance_type.partition(".")
        times = re.fullmatch(r"(\d+)xlarge", size)
        factor = Decimal(times[1]) if times else _SIZES.get(size)
        price = self.find(f"ec2.{family}.xlarge")
        if price is None or factor is None:
            return None
        return Price(price.usd * factor, price.per, price.source, price.date)


def prices_of(region: str, file: Path = FILE) -> PriceList:
    """Return the prices of a region, or say which regions there are."""
    tables = tomllib.loads(file.read_text(), parse_float=Decimal)
    known = sorted({name for table in tables["prices"] for name in table["regions"]})
    if region not in known:
        raise UnknownRegionError(
            f"cost/{file.name} has no prices of {region}, only of {' and '.join(known)}: add them "
            "with their sources, or look at what the stack would cost there, as with "
            f"--region {known[0]}"
        )
    found: dict[str, Price] = {}
    for table in tables["prices"]:
        if region in table["regions"]:
            for row in table["rows"]:
                item = row["item"]
                if item in found:
                    raise ValueError(f"{file.name} has two prices of {item} in {region}")
                source = tables["sources"][row["source"]]
                found[item] = Price(Decimal(row["usd"]), row["per"], source, row["date"])
    return PriceList(region, found)
