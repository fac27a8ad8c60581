"""What a rule across settings is, and the checks that several rules make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Network

from settings.stack import Settings
from settings.values import public_addresses


@dataclass(frozen=True)
class Finding:
    """Something to say about a setting."""

    key: str
    value: object
    text: str
    warning: bool = False


Findings = Iterator[Finding]


Check = Callable[[Settings], Findings]


@dataclass(frozen=True)
class Rule:
    """A check and the settings that it relies on."""

    reads: frozenset[str]
    check: Check


class Rules(list[Rule]):
    """The rules of one concern."""

    def reading(self, *settings: str) -> Callable[[Check], Check]:
        """Add the function below; it is left out where one of these settings is wrong by itself."""

        def add(check: Check) -> Check:
            self.append(Rule(frozenset(settings), check))
            return check

        return add


def listed_once(key: str, values: Iterable[str]) -> Findings:
    """Yield the values that a list holds more than once."""
    for value, count in Counter(values).items():
        if count > 1:
            yield Finding(key, value, f"is listed {count} times: leave one")


# As many addresses as the widest range that anybody was ever given, a /8.
WIDEST = 2**24


def too_open(key: str, ranges: Iterable[IPv4Network], what: str, *, warning: bool) -> Findings:
    """Yield ranges that hold, together, more of the internet than one owner has."""
    networks = list(ranges)
    if (count := public_addresses(networks)) > WIDEST:
        share = count / public_addresses([IPv4Network("0.0.0.0/0")])
        part = "the whole internet" if share == 1 else f"{share:.1%} of the internet"
        yield Finding(
            key,
            [str(network) for network in networks],
            f"lets {part} {what}: name the ranges that need it, together no more than a /8",
            warning=warning,
        )


def supported(s: Settings, key: str, value: str, ends: date | None, newest: str) -> Findings:
    """Yield a version whose support has ended, or ends within 60 days."""
    if ends is None or (ends - s.today).days >= 60:
        return
    if s.today < ends:
        yield Finding(key, value, f"is supported until {ends} only: plan {newest}", warning=True)
    else:
        yield Finding(
            key,
            value,
            f"is without support since {ends}: choose {newest}, or add endedSupport to "
            "account.acceptedRisks until then",
            warning="endedSupport" in s.account.accepted_risks,
        )
