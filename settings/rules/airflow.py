"""The MWAA environment."""

from __future__ import annotations

import re

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


# Options that MWAA keeps for itself (aws/amazon-mwaa-docker-images) or this program sets.
_BLOCKED_OPTIONS = {
    r"core\.(executor|auth_manager|load_examples|multi_team)": "MWAA sets it",
    r"celery\.(broker_url|result_backend)": "MWAA sets it",
    r"(core|database)\.sql_alchemy_conn": "MWAA sets it",
    r"logging\.logging_config_class": "MWAA sets it",
    r"metrics\..*": "MWAA sends metrics to CloudWatch itself",
    r"api_auth\..*": "MWAA issues the tokens",
    r"scheduler\.standalone_dag_processor": "MWAA sets it",
    r"triggerer\.queues_enabled": "deferred tasks would hang on MWAA",
    r"secrets\.(backend|backend_kwargs)": "the connections of this platform rely on what it sets",
}
_RENAMED_OPTIONS = {
    "triggerer.default_capacity": "triggerer.capacity",
    "scheduler.parsing_processes": "dag_processor.parsing_processes",
    "scheduler.min_file_process_interval": "dag_processor.min_file_process_interval",
    "scheduler.dag_dir_list_interval": "dag_processor.refresh_interval",
    "core.dag_file_processor_timeout": "dag_processor.dag_file_processor_timeout",
    "webserver.default_ui_timezone": None,
    "scheduler.scheduler_zombie_task_threshold": None,
    "webserver.dag_default_view": None,
    "webserver.dag_orientation": None,
    "core.load_default_connections": None,
}
"""Options of Airflow 2 and their names in Airflow 3, None where there is none."""


@RULES.reading("airflow.options", "airflow.version")
def _options(s: Settings) -> Findings:
    three = s.airflow.version.startswith("3.")
    new_names = {new: old for old, new in _RENAMED_OPTIONS.items() if new}
    for option, value in s.airflow.options.items():
        key = f"airflow.options.{option}"
        for pattern, reason in _BLOCKED_OPTIONS.items():
            if re.fullmatch(pattern, option):
                yield Finding(key, value, f"cannot be set, because {reason}: remove it")
        if three and option in _RENAMED_OPTIONS:
            new = _RENAMED_OPTIONS[option]
            way_out = f"write {new}" if new else "remove it"
            yield Finding(key, value, f"is not known to Airflow {s.airflow.version}: {way_out}")
        if not three and option in new_names:
            text = f"is Airflow 3's name for {new_names[option]}: write that"
            yield Finding(key, value, text)
