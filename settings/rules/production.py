"""What is weak for production."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from settings.rules.rule import WIDEST, Finding, Findings, Rule, Rules
from settings.stack import Settings
from settings.values import Risk, public_addresses

RULES = Rules()


@dataclass(frozen=True)
class Weakness:
    """What a production stack must not have, or must accept by name."""

    risk: Risk
    key: str
    found: Callable[[Settings], object]
    is_weak: Callable[[Settings], bool]
    text: str
    reads: tuple[str, ...] = ()
    """What it depends on besides the key."""


WEAKNESSES = (
    Weakness(
        "singleNat",
        "network.nat",
        lambda s: s.network.nat,
        lambda s: s.network.nat == "single",
        "ends the way out for all zones when one zone fails: choose perZone",
    ),
    Weakness(
        "noDeletionProtection",
        "cluster.deletionProtection",
        lambda s: s.cluster.deletion_protection,
        lambda s: not s.cluster.deletion_protection,
        "lets one command delete the cluster: set it to true",
    ),
    Weakness(
        "noAccessLogs",
        "account.accessLogBucket",
        lambda s: s.account.access_log_bucket,
        lambda s: s.account.access_log_bucket is None,
        "leaves nobody a record of who read and wrote the buckets: name a bucket that takes access "
        "logs",
    ),
    Weakness(
        "forceDestroy",
        "account.forceDestroy",
        lambda s: s.account.force_destroy,
        lambda s: s.account.force_destroy,
        "lets one command delete all DAGs and job data: set it to false",
    ),
    Weakness(
        "publicWebServer",
        "airflow.webserverAccess",
        lambda s: s.airflow.webserver_access,
        lambda s: s.airflow.webserver_access != "PRIVATE_ONLY",
        "lets the whole internet try Airflow's sign-in: choose PRIVATE_ONLY",
    ),
    Weakness(
        "publicEndpoint",
        "cluster.publicAccessCidrs",
        lambda s: s.cluster.public_access_cidrs,
        lambda s: bool(s.cluster.public_access_cidrs),
        "opens the API server to addresses on the internet: leave it empty",
    ),
    Weakness(
        "openPodEgress",
        "airflow.podEgress",
        lambda s: [str(one.cidr) for one in s.airflow.pod_egress],
        lambda s: public_addresses(one.cidr for one in s.airflow.pod_egress) > WIDEST,
        "lets pods call a port of the whole internet: name the ranges that they need",
    ),
    Weakness(
        "deployerOnlyAdmin",
        "cluster.adminPrincipalArns",
        lambda s: s.cluster.admin_principal_arns,
        lambda s: not s.cluster.admin_principal_arns,
        "leaves the cluster to the identity that deployed it: name a role of its administrators",
    ),
    Weakness(
        "shortLogRetention",
        "account.logRetentionDays",
        lambda s: s.account.log_retention_days,
        lambda s: s.account.log_retention_days < 365,
        "is less than a year: choose 365 or more",
    ),
    Weakness(
        "noAlarms",
        "monitoring.level",
        lambda s: s.monitoring.level,
        lambda s: s.monitoring.level == "none",
        "lets the platform fail without anybody knowing: choose essential or full",
    ),
    Weakness(
        "noSubscribers",
        "monitoring.emails",
        lambda s: s.monitoring.emails,
        lambda s: (
            s.monitoring.level != "none" and not s.monitoring.emails and not s.monitoring.topic_arns
        ),
        "leaves alarms that nobody is told of: name who is, or a topic in monitoring.topicArns",
        ("monitoring.level", "monitoring.topicArns"),
    ),
)


def _weakness(weakness: Weakness, s: Settings) -> Findings:
    accepted = weakness.risk in s.account.accepted_risks
    if s.account.production and accepted != weakness.is_weak(s):
        if accepted:
            text = f"{weakness.risk} is accepted without need: remove it"
            yield Finding("account.acceptedRisks", s.account.accepted_risks, text, warning=True)
        else:
            yield Finding(
                weakness.key,
                weakness.found(s),
                f"{weakness.text}; or add {weakness.risk} to account.acceptedRisks",
            )


RULES.extend(
    Rule(
        frozenset({"account.production", "account.acceptedRisks", weakness.key, *weakness.reads}),
        partial(_weakness, weakness),
    )
    for weakness in WEAKNESSES
)
