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
    r"dag_processor\.dag_bundle_config_list": "MWAA puts the DAGs where it looks for them",
    r"core\.plugins_folder": "MWAA puts plugins where it looks for them",
    r"core\.enable_xcom_pickling": "whoever writes an XCom could run code in other tasks",
    r"api\.enable_xcom_deserialize_support": "whoever writes an XCom could run code in the web "
    "server",
    r"fab\.auth_role_public": "whoever reaches the web server would need no sign-in",
    r"webserver\.allow_raw_html_descriptions": "whoever writes a DAG could act as those who look "
    "at its page",
    r"celery\.(broker_url|result_backend|celery_config_options)": "MWAA sets it",
    r"celery\.worker_enable_remote_control": "MWAA sets it",
    r"operators\.default_queue": "MWAA sets it",
    r"(core|database)\.sql_alchemy_conn(_async)?": "MWAA sets it",
    r"celery_broker_transport_options\.(predefined_queues|region|visibility_timeout)": "MWAA sets "
    "it",
    r"logging\.logging_config_class": "MWAA sets it",
    r"metrics\.(?!(statsd_on|metrics_(allow|block)_list)$).*": "MWAA sends metrics to CloudWatch "
    "itself",
    r"api_auth\..*": "MWAA issues the tokens",
    r"execution_api\.jwt_.*": "MWAA issues the tokens",
    r"(api|webserver)\.secret_key": "MWAA sets it",
    r"(fab|webserver)\.(config_file|cookie_secure)": "MWAA sets it",
    r"(api|webserver)\.(base_url|(web_server_)?(host|port|ssl_(cert|key)))": "MWAA has a load "
    "balancer in front",
    r"aws_mwaa\..*": "MWAA sets it",
    r"scheduler\.standalone_dag_processor": "MWAA sets it",
    r"triggerer\.queues_enabled": "deferred tasks would hang on MWAA",
    r"(secrets|workers)\.(secrets_)?backend(_kwargs)?": "the connections of this platform rely on "
    "what it sets",
}
_SHOWS_SECRETS = "shows everyone who may sign in the secrets among the options"
# Patterns of options and of values; booleans are true or false.
_WEAK = {
    (r"(api|webserver)\.expose_config", "true"): f"{_SHOWS_SECRETS}: write non-sensitive-only",
    (r"(api|webserver)\.expose_stacktrace", "true"): "shows everyone who may sign in what code and "
    "values an error went through: remove it",
    (r"core\.hide_sensitive_var_conn_fields", "false"): "shows passwords in logs and on the page: "
    "remove it",
    (r"(api|fab)\.auth_backends?", r".*\bapi\.auth\.backend\.default\b.*"): "lets whoever reaches "
    "the web server call the REST API without a sign-in: remove it",
    (r"api\.access_control_allow_origins?", r".*\*.*"): "lets every page that a user looks at call "
    "the REST API as the user: name the origins",
    (
        r"core\.allowed_deserialization_classes(_regexp)?",
        r"(.*[\s,])?\^?(\*+|\.[*+])\$?([\s,].*)?",
    ): "lets whoever writes an XCom make objects of every class in other tasks: name the classes",
    (r"core\.test_connection", "enabled"): "lets whoever may edit connections call from within the "
    "network, with secrets that he does not see: remove it",
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


# What Airflow itself masks by its name (DEFAULT_SENSITIVE_FIELDS), but for names of secrets.
_SENSITIVE = re.compile(
    r".*(access_token|api_?key|authorization|passphrase|passw(or)?d|private_key|token)|secret"
)
_WITH_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


@RULES.reading("airflow.options", "airflow.version", "account.production")
def _options(s: Settings) -> Findings:
    known = options_of(s.airflow.version)
    three = s.airflow.version.startswith("3.")
    new_names = {new: old for old, new in _RENAMED.items() if new}
    for option, given in s.airflow.options.items():
        key = f"airflow.options.{option}"
        secret = _is_secret(option, given, known)
        value = None if secret else given
        plain = re.sub(r"_(cmd|secret)$", "", option)
        # <option>_cmd and <option>_secret are where a secret option comes from.
        name = plain if known.types.get(plain) == "secret" else option
        blocked = [why for pattern, why in _BLOCKED.items() if re.fullmatch(pattern, name)]
        if blocked:
            yield Finding(key, value, f"cannot be set, because {blocked[0]}: remove it")
        elif weak := _weakness(name, given):
            yield Finding(key, value, weak)
        elif secret:
            yield Finding(
                key,
                value,
                "is a secret, which would be readable in the stack's settings and state and on "
                "MWAA's page: use a connection, which Secrets Manager keeps",
                warning=not s.account.production,
            )
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


def _is_secret(option: str, value: str, known: Options) -> bool:
    kind = known.types.get(option)
    named_so = kind is None and _SENSITIVE.fullmatch(option.partition(".")[2])
    return kind == "secret" or bool(named_so or _WITH_PASSWORD.search(value))


def _weakness(option: str, value: str) -> str | None:
    said = value.strip().lower()
    said = "true" if said in _TRUE else "false" if said in _FALSE else said
    return next(
        (
            why
            for (options, values), why in _WEAK.items()
            if re.fullmatch(options, option) and re.fullmatch(values, said)
        ),
        None,
    )


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
