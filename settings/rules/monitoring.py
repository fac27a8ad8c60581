"""Alarms, and who is told of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from components.alarms import alarms
from settings.airflow_options import options_of
from settings.rules.rule import Finding, Findings, Rules, listed_once
from settings.stack import Settings

RULES = Rules()

_SAY_OFF = ("f", "false", "0")


@RULES.reading("monitoring.emails", "monitoring.topicArns")
def _listed_once(s: Settings) -> Findings:
    yield from listed_once("monitoring.emails", s.monitoring.emails)
    yield from listed_once("monitoring.topicArns", s.monitoring.topic_arns)


@RULES.reading("monitoring.level", "monitoring.emails", "monitoring.topicArns")
def _without_alarms(s: Settings) -> Findings:
    if s.monitoring.level != "none":
        return
    for key, value in (("emails", s.monitoring.emails), ("topicArns", s.monitoring.topic_arns)):
        if value:
            text = "gets no message with monitoring.level none: choose essential, or leave it out"
            yield Finding(f"monitoring.{key}", value, text)


# "Quotas and restrictions" of AWS Budgets.
_BUDGET_EMAILS = 10


@RULES.reading(
    "monitoring.monthlyBudgetUsd", "monitoring.level", "monitoring.emails", "account.region"
)
def _budget(s: Settings) -> Findings:
    budget = s.monitoring.monthly_budget_usd
    if budget is None:
        return
    if s.aws_account.partition != "aws":
        yield Finding(
            "monitoring.monthlyBudgetUsd",
            budget,
            f"is in dollars of AWS's partition aws, and {s.account.region} is in "
            f"{s.aws_account.partition}: leave it out",
        )
    if s.monitoring.level == "none":
        yield Finding(
            "monitoring.monthlyBudgetUsd",
            budget,
            "tells nobody with monitoring.level none, with which there is no topic: choose "
            "essential, or leave it out",
        )
    elif len(s.monitoring.emails) > _BUDGET_EMAILS:
        yield Finding(
            "monitoring.emails",
            len(s.monitoring.emails),
            f"are more addresses than the {_BUDGET_EMAILS} that a budget writes to itself: the "
            "others get its alerts by the topic alone, once they have confirmed",
            warning=True,
        )


@RULES.reading("monitoring.topicArns", "account.region", "account.id")
def _topics(s: Settings) -> Findings:
    for arn in s.monitoring.topic_arns:
        _, _, _, region, account, _ = arn.split(":", 5)
        if region != s.account.region:
            text = f"is in {region}, and alarms publish in their own region alone, "
        elif account != s.account.id:
            text = f"is of account {account}, and EventBridge publishes in its own account alone, "
        else:
            continue
        where = f"{s.account.id} in {s.account.region}"
        yield Finding(
            "monitoring.topicArns",
            arn,
            f"{text}{where}: name a topic there, or let who listens subscribe to the stack's own",
        )


@RULES.reading(
    "account.region",
    "airflow.environmentClass",
    "airflow.options",
    "airflow.version",
    "cluster.nodeMin",
    "monitoring.level",
    "monitoring.thresholds",
    "network.interfaceEndpoints",
    "network.nat",
    "spark.spot",
    "spark.teams",
)
def _blind_alarms(s: Settings) -> Findings:
    watched = s.watched(())
    if watched is None:
        return
    needed = [
        (alarm.name, metric.in_airflow)
        for alarm in alarms(watched)
        for metric in alarm.metrics.values()
        if metric.in_airflow
    ]
    for option, value, sends in _filters(s):
        blind = dict.fromkeys(alarm for alarm, metric in needed if not sends(metric))
        if blind:
            missing = dict.fromkeys(metric for _, metric in needed if not sends(metric))
            yield Finding(
                f"airflow.options.{option}",
                value,
                f"leaves {', '.join(blind)} without the metrics {', '.join(missing)}: let Airflow "
                "send them, or the alarms see nothing",
                warning=True,
            )


def _filters(s: Settings) -> Iterator[tuple[str, str, Callable[[str], bool]]]:
    """Yield the options that keep metrics back, each with what it lets through."""
    renamed = options_of(s.airflow.version).renamed
    given = {}
    for option, value in s.airflow.options.items():
        name = option
        while name in renamed:
            name = renamed[name]
        given[name] = (option, value)
    if "metrics.statsd_on" in given:
        option, value = given["metrics.statsd_on"]
        if value.strip().lower() in _SAY_OFF:
            yield option, value, lambda _: False
    # As Airflow's metrics/validators.py has it: with an allow list, the other one is not read.
    for name in ("metrics.metrics_allow_list", "metrics.metrics_block_list"):
        if name in given and given[name][1].strip():
            option, value = given[name]
            yield option, value, _Filter(s.airflow.version, value, allows="allow" in name)
            return


@dataclass(frozen=True)
class _Filter:
    """What a list of metrics lets through."""

    version: str
    value: str
    allows: bool

    def __call__(self, metric: str) -> bool:
        """Tell whether Airflow sends it."""
        entries = [one.strip().lower() for one in self.value.split(",")]
        # Since Airflow 3 they are patterns, which may match anywhere.
        listed = _begins if self.version.startswith("2.") else _found
        return any(listed(metric, entry) for entry in entries) is self.allows


def _begins(metric: str, prefix: str) -> bool:
    return metric.startswith(prefix)


def _found(metric: str, pattern: str) -> bool:
    try:
        return re.search(pattern, metric) is not None
    except re.error:  # on which Airflow fails
        return False
