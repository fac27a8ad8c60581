"""From pulumi.Config, which nothing else reads, to settings."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TypeVar

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, is_config_secret
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from components.dag_folder import secrets_in
from settings.live import LiveStack
from settings.rules import (
    account,
    airflow,
    airflow_options,
    changes,
    cluster,
    dag_files,
    delivery,
    monitoring,
    names,
    network,
    plugins,
    pods,
    production,
    requirements,
    spark,
    startup_script,
)
from settings.rules.rule import Finding, Rule
from settings.sections import (
    MODELS,
    SECTIONS,
    AccountSettings,
    AirflowSettings,
    ClusterSettings,
    DeliverySettings,
    MonitoringSettings,
    NetworkSettings,
    Section,
    SparkSettings,
    names_of,
)
from settings.stack import Settings

RULES: list[Rule] = [
    *names.RULES,
    *changes.RULES,
    *account.RULES,
    *network.RULES,
    *cluster.RULES,
    *airflow.RULES,
    *airflow_options.RULES,
    *dag_files.RULES,
    *plugins.RULES,
    *startup_script.RULES,
    *requirements.RULES,
    *pods.RULES,
    *spark.RULES,
    *delivery.RULES,
    *monitoring.RULES,
    *production.RULES,
]
"""In the order in which mistakes are told."""

S = TypeVar("S", bound=Section)


def load(
    config: pulumi.Config, *, live: LiveStack | None = None, today: date | None = None
) -> Settings:
    """Read the stack's settings, or raise one error that names everything wrong with them.

    live: what the stack has built already, which not every setting can change any more.
    """
    findings = list(_unknown_sections(config))
    wrong: set[str] = set()

    def read(name: str, model: type[S]) -> S:
        section, found = _read_section(config, name, model)
        findings.extend(found)
        wrong.update(_field(finding.key) for finding in found)
        if any(finding.key == name for finding in found):  # nothing of it can be relied upon
            wrong.update(f"{name}.{setting}" for setting in names_of(model))
        return section

    settings = Settings(
        project=config.name,
        stack=pulumi.get_stack(),
        today=today or datetime.now(UTC).date(),
        account=read("account", AccountSettings),
        network=read("network", NetworkSettings),
        cluster=read("cluster", ClusterSettings),
        airflow=read("airflow", AirflowSettings),
        spark=read("spark", SparkSettings),
        delivery=read("delivery", DeliverySettings),
        monitoring=read("monitoring", MonitoringSettings),
        live=live or LiveStack(),
    )
    for rule in RULES:
        if wrong.isdisjoint(rule.reads):
            findings.extend(rule.check(settings))
    for finding in findings:
        if finding.warning:
            pulumi.log.warn(_line(config, finding))
    problems = [_line(config, finding) for finding in findings if not finding.warning]
    if problems:
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        raise pulumi.RunError(f"{count} wrong:\n  " + "\n  ".join(problems))
    return settings


def _line(config: pulumi.Config, finding: Finding) -> str:
    """One line: the key, the value found, the rule and the way out."""
    section = finding.key.partition(".")[0]
    is_file = "/" in finding.key and section not in SECTIONS
    is_setting = section != "stack" and not is_file
    where = config.full_key(finding.key) if is_setting else finding.key
    if is_config_secret(config.full_key(section)):
        return f"{where} = [secret]: {finding.text}"
    if finding.value is None:
        return f"{where}: {finding.text}"
    shown = json.dumps(finding.value, default=str, ensure_ascii=False)
    if any(_plain_secrets("", finding.value)):
        return f"{where} = [secret]: {finding.text}"
    return f"{where} = {shown if len(shown) <= 120 else shown[:119] + '…'}: {finding.text}"


def _field(key: str) -> str:
    """The setting that a key lies in: spark.teams for spark.teams[0].name."""
    return re.sub(r"\[.*", "", ".".join(key.split(".")[:2]))


def _unknown_sections(config: pulumi.Config) -> Iterator[Finding]:
    for full_key, value in {**get_config_env(), **CONFIG.get()}.items():
        namespace, _, key = full_key.rpartition(":")
        if namespace == config.name and key.partition(".")[0] in SECTIONS and key not in SECTIONS:
            way_out = _instead(f"pulumi config rm {key}", key, value)
            yield Finding(key, value, f"is a setting within a section: {way_out}")
        elif namespace == config.name and key not in SECTIONS:
            yield Finding(key, value, f"is no section of settings{_suggestion(key, SECTIONS)}")


def _read_section(config: pulumi.Config, name: str, model: type[S]) -> tuple[S, list[Finding]]:
    """Validate one section; what is wrong is told, and has its default in the section returned."""
    findings: list[Finding] = []
    try:
        given = config.get_object(name, {})
    except pulumi.ConfigTypeError:
        given = config.get(name)
    if is_config_secret(config.full_key(name)):
        findings.append(
            Finding(
                name,
                None,
                "holds a secret: keep it in Secrets Manager, as a connection or "
                "variable of Airflow, and leave it out here",
            )
        )
    findings += _plain_secrets(name, given)
    try:
        return model.model_validate(given), findings
    except ValidationError as error:
        details = error.errors()
        findings += [_translated(name, detail) for detail in details if not _echo(detail, details)]
        bad = {detail["loc"][0] for detail in details if detail["loc"]}
        given = given if isinstance(given, dict) else {}
        sound = {key: value for key, value in given.items() if key not in bad}
        return model.model_validate({**model.stand_ins, **sound}), findings


def _plain_secrets(key: str, value: object) -> Iterator[Finding]:
    """Yield what everyone could read who may read the stack's file."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _plain_secrets(f"{key}.{name}", one)
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _plain_secrets(f"{key}[{place}]", one)
    elif isinstance(value, str):
        for secret in secrets_in(value.encode()):
            text = (
                f"holds {secret.partition(' (')[0]}: revoke it, take it out, and keep its "
                "successor in Secrets Manager, as a connection or variable of Airflow"
            )
            yield Finding(key, value, text)


def _echo(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """A list is too short only because pydantic left out the items that are wrong, and a key is
    wrong only because its value is what should be behind its dot."""
    loc = detail["loc"]
    if detail["type"] == "too_short":
        return any(other["loc"][: len(loc)] == loc and other["loc"] != loc for other in details)
    return loc[-1:] == ("[key]",) and any(
        other["loc"] == loc[:-1] and isinstance(other["input"], dict) for other in details
    )


def _translated(section: str, detail: ErrorDetails) -> Finding:
    key, value = section, detail["input"]
    for part in detail["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    path = re.sub(r"\[\d+\]", "", key)
    match detail["type"]:
        case "model_type":
            text = f"must be a map of settings: {', '.join(names_of(MODELS[path]))}"
        case "missing":
            value, text = None, "is missing and has no default"
        case _ if value is None and detail["type"] != "model_type":
            text = "has no value: give it one"
        case "string_type" if isinstance(value, dict) and len(detail["loc"]) > 1:
            name, leaf = _behind_dots(str(detail["loc"][-1]), value)
            place = f'{key.rpartition(".")[0]}["{name}"]'
            way_out = _instead(f"pulumi config rm --path {key}", place, leaf)
            text = f"is a map, where a name with a dot was meant: {way_out}"
        case "string_type":
            text = "must be text: put it in quotes, or add --type string to pulumi config set"
        case "tuple_type":
            way_out = _instead(f"pulumi config rm --path {key}", f"{key}[0]", _first(value))
            text = f"must be a list: {way_out}"
        case "value_error":
            text = str(detail["ctx"]["error"])
        case "bool_parsing" | "bool_type":
            text = "must be true or false"
        case "int_parsing" | "int_from_float" | "int_type":
            text = "must be a whole number"
        case "extra_forbidden":
            parent, _, name = path.rpartition(".")
            text = f"is no setting{_suggestion(name, names_of(MODELS[parent]))}"
        case _:
            text = detail["msg"].replace("Input should be", "must be")
    return Finding(key.replace(".[key]", ""), value, text)


def _instead(removal: str, place: str, value: object) -> str:
    """The commands that put right what was set by a form of its name that cannot work."""
    shown = value if isinstance(value, str | int) and value != "" else "<value>"
    return f"`{removal}`, then `pulumi config set --path '{place}' {shown}`"


def _behind_dots(name: str, value: object) -> tuple[str, object]:
    """The name that --path has taken apart at its dots, and the value that it was given."""
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        name = f"{name}.{key}"
    return name, value


def _first(value: object) -> object:
    """What is the first item of a list, if it was given as text."""
    if isinstance(value, str) and value.startswith("["):
        with suppress(ValueError, IndexError):
            return json.loads(value)[0]
    return value


def _suggestion(key: str, known: Mapping[str, object] | list[str]) -> str:
    camel = to_camel(key.replace("-", "_"))
    for section, model in SECTIONS.items():
        if camel in names_of(model) and camel not in known:
            return f"; did you mean {section}.{camel}?"
    if close := difflib.get_close_matches(camel, known, n=1):
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(known)}"
