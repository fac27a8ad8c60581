"""From settings to what AWS asks for the stack in a month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from components.alarms import alarms
from components.capacity import NodeGroup
from cost.prices import Price, PriceList
from settings.stack import Settings
from settings.versions import KUBERNETES

HOURS = 730
"""Hours of a month, as AWS's own calculator has it."""

# What the price of an environment contains; mw1.micro has one of each and no more.
_WORKERS = 1
_SCHEDULERS = 2
_WEBSERVERS = 2

# AWS asks for the first and the second rotation of a key as for a key ("AWS KMS pricing").
_MOST_KEYS = 3

_NEVER_INCLUDED = (
    "what EMR on EKS asks for the CPU and memory of job runs",
    "traffic between zones and to the internet, and requests to S3 and Secrets Manager",
    "volumes that pods claim, and what jobs write",
    "the one or two VPC endpoints that MWAA makes for itself",
    "taxes, support plans; discounts, savings plans and free tiers",
)


@dataclass(frozen=True)
class Line:
    """What is paid for as long as it is there."""

    name: str
    basis: str
    """What the price is made of."""
    price: Price | None
    """None where the list lacks it."""
    min_count: int
    """How many of what the price is for there are at least."""
    max_count: int
    """How many there may be."""

    @property
    def least(self) -> Decimal | None:
        """US dollars in a month in which no more is there than must; None: not known."""
        return _in_a_month(self.price, self.min_count)

    @property
    def most(self) -> Decimal | None:
        """The same with all that may be there, the whole month."""
        return _in_a_month(self.price, self.max_count)


@dataclass(frozen=True)
class Rate:
    """What is paid for by use."""

    name: str
    price: Price


@dataclass(frozen=True)
class Estimate:
    """What AWS asks for a stack in a month of 730 hours."""

    stack: str
    home: str
    """The region that the stack is in."""
    region: str
    """The region whose prices these are."""
    lines: Sequence[Line]
    rates: Sequence[Rate]
    not_included: Sequence[str]
    asleep: Decimal | None
    """The sum for a month of sleep; None where the stack sleeps already, or must not."""

    @property
    def oldest(self) -> date:
        """The day of the oldest price of these."""
        prices = [line.price for line in self.lines if line.price is not None]
        return min(price.date for price in (*prices, *(rate.price for rate in self.rates)))

    @property
    def least(self) -> Decimal:
        """The sum of the lines whose least is known."""
        return sum((line.least or Decimal() for line in self.lines), Decimal())

    @property
    def most(self) -> Decimal:
        """The sum of the lines whose most is known."""
        return sum((line.most or Decimal() for line in self.lines), Decimal())

    @property
    def unpriced(self) -> Sequence[Line]:
        """The lines that a sum lacks, of the most or of both."""
        return [line for line in self.lines if line.most is None]


def estimate(settings: Settings, prices: PriceList) -> Estimate:
    """Return what a stack with these settings costs at these prices."""
    return Estimate(
        stack=settings.stack,
        home=settings.account.region,
        region=prices.region,
        lines=tuple(_lines(settings, prices)),
        rates=tuple(_rates(settings, prices)),
        not_included=tuple(_not_included(settings)),
        asleep=_asleep(settings, prices),
    )


def _asleep(settings: Settings, prices: PriceList) -> Decimal | None:
    if settings.account.production or settings.account.asleep:
        return None
    account = settings.account.model_copy(update={"asleep": True})
    return estimate(replace(settings, account=account), prices).least


def _in_a_month(price: Price | None, count: int) -> Decimal | None:
    if count == 0:
        return Decimal()
    if price is None:
        return None
    units = HOURS if price.per == "hour" else 1
    return (price.usd * count * units).quantize(Decimal("0.01"))


def _line(
    name: str, basis: str, price: Price | None, min_count: int, max_count: int | None = None
) -> Line:
    return Line(name, basis, price, min_count, min_count if max_count is None else max_count)


def _lines(settings: Settings, prices: PriceList) -> Iterator[Line]:
    yield _control_plane(settings, prices)
    if settings.account.asleep:
        yield _line("Nodes", "none, asleep", None, 0)
        yield _line("MWAA environment", "none, asleep", None, 0)
    else:
        yield from _work(settings, prices)
    yield from _network(settings, prices)
    yield _line(
        "KMS key",
        "1, and as much again for each of its first two rotations",
        prices.find("kms.key"),
        1,
        _MOST_KEYS,
    )
    yield from _monitoring(settings, prices)
    secrets = connection_count(settings)
    yield _line("Secrets", f"{secrets} connections of Airflow", prices.find("secret"), secrets)


def _work(settings: Settings, prices: PriceList) -> Iterator[Line]:
    yield from _nodes(settings.cluster.node_group, prices)
    if (spot := settings.spot_node_group) is not None:
        yield from _spot_nodes(spot, prices)
    if settings.spark.history_server:
        teams = len(settings.spark.teams)
        yield _line("Spark history servers", f"{teams}, pods on the nodes above", None, 0)
    yield from _airflow(settings, prices)


def _control_plane(settings: Settings, prices: PriceList) -> Line:
    version = settings.cluster.kubernetes_version
    extended = settings.today >= KUBERNETES[version].support_ends
    support = "extended" if extended else "standard"
    basis = f"Kubernetes {version}, {support} support"
    if extended:
        basis += " until EKS upgrades it"  # which it does of its own accord, at its own time
    return _line("EKS control plane", basis, prices.find(f"eks.{support}"), 1)


def _nodes(group: NodeGroup, prices: PriceList) -> Iterator[Line]:
    # EKS starts what is first in the list as long as AWS has it.
    kind = group.instance_types[0]
    count = _range(group.min_size, group.max_size)
    yield _line(
        "Nodes",
        f"{count} {kind}, on demand",
        prices.instance(kind),
        group.min_size,
        group.max_size,
    )
    yield _disks("Nodes' disks", group, prices)


def _spot_nodes(group: NodeGroup, prices: PriceList) -> Iterator[Line]:
    # Which of them EC2 starts is its choice, and what it asks for them changes and is in no list:
    # reckoned without any discount.
    found = [prices.instance(kind) for kind in group.instance_types]
    known = [price for price in found if price is not None]
    dearest = max(known, key=lambda price: price.usd) if len(known) == len(found) else None
    kinds = ", ".join(group.instance_types)
    yield _line(
        "Spot nodes",
        f"up to {group.max_size} {kinds}; reckoned as on demand",
        dearest,
        group.min_size,
        group.max_size,
    )
    yield _disks("Spot nodes' disks", group, prices)


def _disks(name: str, group: NodeGroup, prices: PriceList) -> Line:
    return _line(
        name,
        f"{_range(group.min_size, group.max_size)} of {group.disk_gib} GiB, gp3",
        prices.find("ebs.gp3"),
        group.min_size * group.disk_gib,
        group.max_size * group.disk_gib,
    )


def _airflow(settings: Settings, prices: PriceList) -> Iterator[Line]:
    size = settings.airflow.capacity
    kind = size.environment_class
    contained = "a worker, a scheduler and a web server"
    if kind != "mw1.micro":
        contained = f"{_WORKERS} worker, {_SCHEDULERS} schedulers, {_WEBSERVERS} web servers"
    yield _line(
        "MWAA environment",
        f"{kind}, with {contained}",
        prices.find(f"mwaa.environment.{kind}"),
        1,
    )
    for name, item, least, most in (
        ("workers", "worker", size.min_workers - _WORKERS, size.max_workers - _WORKERS),
        ("schedulers", "scheduler", size.schedulers - _SCHEDULERS, size.schedulers - _SCHEDULERS),
        (
            "web servers",
            "webserver",
            size.min_webservers - _WEBSERVERS,
            size.max_webservers - _WEBSERVERS,
        ),
    ):
        if most > 0:
            price = prices.find(f"mwaa.{item}.{kind}")
            yield _line(f"MWAA {name}", f"{_range(least, most)} more of {kind}", price, least, most)


def _nat_gateways(settings: Settings) -> int:
    return {"single": 1, "perZone": settings.network.zone_count, "none": 0}[settings.network.nat]


def _network(settings: Settings, prices: PriceList) -> Iterator[Line]:
    zones = settings.network.zone_count
    if gateways := _nat_gateways(settings):
        where = "one in each zone" if settings.network.nat == "perZone" else "one for all zones"
        yield _line("NAT gateways", f"{gateways}, {where}", prices.find("nat.hour"), gateways)
        yield _line(
            "Public IPv4 addresses",
            f"{gateways}, of the NAT gateways",
            prices.find("ipv4"),
            gateways,
        )
    if endpoints := len(settings.endpoints):
        # AWS has not every service in every zone, and asks for none where there is none.
        yield _line(
            "Interface endpoints",
            f"{endpoints} in {zones} zones",
            prices.find("endpoint.hour"),
            endpoints * zones,
        )


def _monitoring(settings: Settings, prices: PriceList) -> Iterator[Line]:
    watched = settings.watched([str(number) for number in range(_nat_gateways(settings))])
    if watched is None:
        return
    found = alarms(watched)
    # Each metric of an alarm is paid for, those of an expression too.
    metrics = sum(len(alarm.metrics) for alarm in found)
    yield _line(
        "Alarms",
        f"{len(found)}, {watched.level}, on {metrics} metrics",
        prices.find("cloudwatch.alarm"),
        metrics,
    )
    yield _line("Dashboard", "1", prices.find("cloudwatch.dashboard"), 1)


def _rates(settings: Settings, prices: PriceList) -> Iterator[Rate]:
    if settings.network.nat != "none":
        yield Rate("Traffic through NAT", prices.prices["nat.traffic"])
    if settings.endpoints:
        yield Rate("Traffic through interface endpoints", prices.prices["endpoint.traffic"])
    yield Rate("Logs, as they come", prices.prices["logs.ingestion"])
    yield Rate("Logs that are kept", prices.prices["logs.storage"])
    yield Rate("Objects in S3", prices.prices["s3.standard"])
    yield Rate("Metadata database of Airflow", prices.prices["mwaa.database"])
    yield Rate("Requests to KMS", prices.prices["kms.requests"])


def _not_included(settings: Settings) -> Iterator[str]:
    yield from _NEVER_INCLUDED
    if settings.network.flow_log_bucket_arn is not None:
        yield "the delivery of flow logs to their bucket"


def connection_count(settings: Settings) -> int:
    """Return how many secrets there are, one for each connection that the DAGs read."""
    airflow = settings.airflow
    of_choice = (airflow.pod_xcom, airflow.metadata_backups, settings.alarm_topic_name is not None)
    return 1 + len(settings.spark.teams) + sum(of_choice)


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
