"""The MWAA environment."""

from __future__ import annotations

from settings.rules.rule import Finding, Findings, Rules, supported
from settings.stack import Settings
from settings.versions import AIRFLOW

RULES = Rules()


@RULES.reading("airflow.version", "account.acceptedRisks")
def _airflow_support(s: Settings) -> Findings:
    ends = AIRFLOW[s.airflow.version].support_ends
    yield from supported(s, "airflow.version", s.airflow.version, ends, next(iter(AIRFLOW)))


@RULES.reading(
    "airflow.environmentClass",
    "airflow.minWorkers",
    "airflow.maxWorkers",
    "airflow.schedulers",
    "airflow.minWebservers",
    "airflow.maxWebservers",
)
def _environment_class(s: Settings) -> Findings:
    airflow = s.airflow
    for low, high, names in (
        (airflow.min_workers, airflow.max_workers, ("minWorkers", "maxWorkers")),
        (airflow.min_webservers, airflow.max_webservers, ("minWebservers", "maxWebservers")),
    ):
        if low > high:
            yield Finding(
                f"airflow.{names[0]}",
                low,
                f"is more than airflow.{names[1]}, {high}: lower it or raise that",
            )
    if airflow.max_workers > 25:
        yield Finding(
            "airflow.maxWorkers",
            airflow.max_workers,
            "is more than AWS gives unasked, 25: have the quota raised first",
            warning=True,
        )
    micro = airflow.environment_class == "mw1.micro"
    fixed = {
        "schedulers": airflow.schedulers,
        "minWebservers": airflow.min_webservers,
        "maxWebservers": airflow.max_webservers,
    }
    if micro:
        fixed |= {"minWorkers": airflow.min_workers, "maxWorkers": airflow.max_workers}
    for name, count in fixed.items():
        if micro and count != 1:
            yield Finding(f"airflow.{name}", count, "must be 1 with environmentClass mw1.micro")
        if not micro and count < 2:
            yield Finding(
                f"airflow.{name}",
                count,
                f"must be 2 to 5 with environmentClass {airflow.environment_class}; only mw1.micro "
                "runs on one",
            )


@RULES.reading("airflow.webserverAccess", "airflow.version", "network.nat")
def _webserver_access(s: Settings) -> Findings:
    access, version = s.airflow.webserver_access, s.airflow.version
    number = tuple(map(int, version.split(".")))
    if access == "PUBLIC_AND_PRIVATE" and number < (3, 2):
        yield Finding(
            "airflow.webserverAccess",
            access,
            f"needs Airflow 3.2 or later, and airflow.version is {version}: choose PUBLIC_ONLY or "
            "PRIVATE_ONLY, or raise the version",
        )
    if access == "PUBLIC_ONLY" and number >= (3,) and s.network.nat == "none":
        yield Finding(
            "airflow.webserverAccess",
            access,
            "leaves the workers of Airflow 3, which call the web server, no way to it without NAT: "
            "choose PUBLIC_AND_PRIVATE or PRIVATE_ONLY, or a network.nat",
        )
