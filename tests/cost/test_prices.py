"""The list of prices: where each is from, how old it is, and what the list must have."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cost.prices import FILE, UnknownRegionError, prices_of

TABLES = tomllib.loads(FILE.read_text())
REGIONS = sorted({region for table in TABLES["prices"] for region in table["regions"]})


def rows() -> Iterator[dict[str, Any]]:
    for table in TABLES["prices"]:
        yield from table["rows"]


def old(today: date) -> Iterator[str]:
    """Yield what nobody has looked at for a year."""
    for row in rows():
        if row["date"] + timedelta(days=365) < today:
            yield (
                f"{row['item']} is as of {row['date']}: read it again in "
                f"{TABLES['sources'][row['source']]}, and write the day into cost/{FILE.name}"
            )


def test_no_price_is_older_than_a_year() -> None:
    assert list(old(date.today())) == []


def test_an_old_price_is_named_with_its_source() -> None:
    oldest = min(row["date"] for row in rows())
    assert list(old(oldest + timedelta(days=365))) == []
    found = list(old(oldest + timedelta(days=366)))
    assert found
    assert f"is as of {oldest}: read it again in EC2's prices as generated in aws/" in found[0]
    assert len(list(old(max(row["date"] for row in rows()) + timedelta(days=366)))) == len(
        list(rows())
    )


def test_every_row_says_what_it_is_and_where_from() -> None:
    for row in rows():
        assert row.keys() == {"item", "usd", "per", "source", "date"}, row
        assert row["usd"] > 0, row
        assert row["source"] in TABLES["sources"], row
        assert type(row["date"]) is date, row


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_has_all_but_some_instance_types(region: str) -> None:
    everything = {row["item"] for row in rows() if not row["item"].startswith("ec2.")}
    assert everything <= set(prices_of(region).prices)


def test_another_region_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownRegionError) as error:
        prices_of("eu-west-1")
    assert str(error.value) == (
        "cost/prices.toml has no prices of eu-west-1, only of us-east-1 and us-west-2: add them "
        "with their sources, or look at what the stack would cost there, as with --region us-east-1"
    )


def test_a_price_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    table = FILE.read_text().partition("\n[[prices]]")[2].partition("\n]\n")[0]
    file.write_text(FILE.read_text() + f"\n[[prices]]{table}\n]\n")
    with pytest.raises(ValueError, match=r"two prices of mwaa\.environment\.mw1\.micro in us-"):
        prices_of("us-east-1", file)


@pytest.mark.parametrize(
    ("instance_type", "usd"),
    [
        ("m7g.medium", "0.0408"),
        ("m7i.large", "0.1008"),
        ("m7i.xlarge", "0.2016"),
        ("m7i.2xlarge", "0.4032"),
        ("m7i.48xlarge", "9.6768"),
        ("m7i-flex.2xlarge", "0.38304"),
    ],
)
def test_sizes_cost_in_proportion(instance_type: str, usd: str) -> None:
    price = prices_of("us-east-1").instance(instance_type)
    assert price is not None
    assert price.usd == Decimal(usd)


@pytest.mark.parametrize("instance_type", ["m7i.metal-24xl", "x8g.xlarge"])
def test_metal_and_unknown_families_have_no_price(instance_type: str) -> None:
    assert prices_of("us-east-1").instance(instance_type) is None
