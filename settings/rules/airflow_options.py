"""Options of airflow.cfg."""

from __future__ import annotations

import difflib
import re

from settings.airflow_options import Options, options_of
from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings

RULES = Rules()

# What MWAA keeps for itself is told by aws/amazon-mwaa-docker-images (python/mwaa/config).
_BLOCKED = {
    r"core\.(executor|auth_manager|load_examples|multi_team)": "MWAA sets it",
    r"core\.simple_auth_manager_.*": "MWAA has an auth manager of its own",
    r"core\.(fernet_key|internal_api_secret_key|execution_api_server_url)": "MWAA sets it",
    r"core\.dags_folder": "MWAA puts the DAGs where it looks for them",
    r"core\.plugins_folder": "MWAA puts plugins where it looks for them",
    r"core\.enable_xcom_pickling": "whoever writes an XCom could run code in other tasks",
    r"celery\.(broker_url|result_backend|celery_config_options)": "MWAA sets it",
    r"celery\.worker_enable_remote_control": "MWAA sets it",
    r"operators\.default_queue": "MWAA sets it",
    r"(core|database)\.sql_alchemy_conn(_async)?": "MWAA sets it",
    r"logging\.logging_config_class": "MWAA sets it",
    r"metrics\..*": "MWAA sends metrics to CloudWatch itself",
    r"api_auth\..*": "MWAA issues the tokens",
    r"execution_api\.jwt_.*": "MWAA issues the tokens",
    r"(api|webserver)\.secret_key": "MWAA sets it",
    r"webserver\.(config_file|cookie_secure)": "MWAA sets it",
    r"scheduler\.standalone_dag_processor": "MWAA sets it",
    r"triggerer\.queues_enabled": "deferred tasks would hang on MWAA",
    r"(secrets|workers)\.(secrets_)?backend(_kwargs)?": "the connections of this platform rely on "
    "what it sets",
}
_LEAKING = {
    ("webserver.expose_config", "true"): "shows everyone who may sign in the secrets among the "
    "options: write non-sensitive-only",
    ("api.expose_config", "true"): "shows everyone who may sign in the secrets among the options: "
    "write non-sensitive-only",
    ("core.hide_sensitive_var_conn_fields", "false"): "shows passwords in logs and on the page: "
    "remove it",
}
# What Airflow 3 knows under no other name, or under another one.
_RENAMED = {
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

# What Airflow's configuration parser takes, whatever the capitals.
_TRUE, _FALSE = ("t", "true", "1"), ("f", "false", "0")

# Sections whose keys are names of the user's or of Celery's transport.
_OPEN = re.compile(r"celery_broker_transport_options|kubernetes_(environment_variables|secrets)")


@RULES.reading("airflow.options", "airflow.version")
def _options(s: Settings) -> Findings:
    known = options_of(s.airflow.version)
    three = s.airflow.version.startswith("3.")
    new_names = {new: old for old, new in _RENAMED.items() if new}
    for option, given in s.airflow.options.items():
        key = f"airflow.options.{option}"
        value = None if known.types.get(option) == "secret" else given
        plain = re.sub(r"_(cmd|secret)$", "", option)
        # <option>_cmd and <option>_secret are where a secret option comes from.
        name = plain if known.types.get(plain) == "secret" else option
        blocked = [why for pattern, why in _BLOCKED.items() if re.fullmatch(pattern, name)]
        if blocked:
            yield Finding(key, value, f"cannot be set, because {blocked[0]}: remove it")
        elif leak := _leak(name, given):
            yield Finding(key, value, leak)
        elif three and option in _RENAMED:
            new = _RENAMED[option]
            way_out = f"write {new}" if new else "remove it"
            yield Finding(key, value, f"is not known to Airflow {s.airflow.version}: {way_out}")
        elif not three and option in new_names:
            text = f"is Airflow 3's name for {new_names[option]}: write that"
            yield Finding(key, value, text)
        elif option in known.renamed:
            text = f"is an old name: write {known.renamed[option]}"
            yield Finding(key, value, text, warning=True)
        elif name not in known.types:
            if suggestion := _suggestion(name, known):
                text = f"is no option of Airflow {s.airflow.version}{suggestion}"
                yield Finding(key, value, text, warning=True)
        elif wrong := wrong_value(given, known.types[name]):
            yield Finding(key, value, wrong)
        elif known.types[name] == "secret" and name == option:
            yield Finding(
                key,
                value,
                "is a secret, which would be readable in the stack's settings and state and on "
                "MWAA's page: use a connection, which Secrets Manager keeps",
                warning=True,
            )


def _leak(option: str, value: str) -> str | None:
    said = value.strip().lower()
    said = "true" if said in _TRUE else "false" if said in _FALSE else said
    return _LEAKING.get((option, said))


def wrong_value(value: str, kind: str) -> str | None:
    """What is wrong with a value of the kind."""
    if kind == "boolean":
        said = value.lower().partition("#")[0].strip()
        return None if said in (*_TRUE, *_FALSE) else "is no boolean: write True or False"
    if kind in ("integer", "float"):
        try:
            float(value) if kind == "float" else int(value)
        except ValueError:
            return f"is no {kind}: write {'32' if kind == 'integer' else '0.5'} or another number"
    return None


def _suggestion(option: str, known: Options) -> str | None:
    """What may be meant; None in a section of the user's own, which DAGs read."""
    section, _, key = option.partition(".")
    keys = [name.partition(".")[2] for name in known.types if name.startswith(f"{section}.")]
    if _OPEN.fullmatch(section):
        return None
    elsewhere = [name for name in known.types if name.partition(".")[2] == key]
    close = (
        [f"{section}.{name}" for name in difflib.get_close_matches(key, keys, n=1)]
        or elsewhere[:1]
        or difflib.get_close_matches(option, known.types, n=1, cutoff=0.6 if keys else 0.85)
    )
    if close:
        return f"; did you mean {close[0]}?"
    return f", and its section has none like it: remove it, or correct {key}" if keys else None
