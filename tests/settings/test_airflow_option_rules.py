"""Options of airflow.cfg, against the list of each Airflow version."""

from __future__ import annotations

from typing import Any

import pytest

from settings.airflow_options import options_of
from settings.versions import AIRFLOW
from tests.settings.conftest import PRODUCTION, Load, assert_mistake, assert_right, mistakes

TWO = {"airflow.version": "2.11.2", "airflow.dagDelivery": "pipeline"}


def options(option: str, value: object) -> dict[str, Any]:
    return {"airflow.options": {option: value}}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (options("core.executor", "x"), "MWAA sets it"),
        (options("core.fernet_key", "x"), "MWAA sets it"),
        (options("core.fernet_key_secret", "x"), "MWAA sets it"),
        (options("core.dags_folder", "/tmp/x"), "MWAA puts the DAGs"),  # noqa: S108
        (options("core.internal_api_secret_key", "x") | TWO, "MWAA sets it"),
        (options("core.enable_xcom_pickling", "True") | TWO, "run code"),
        (options("webserver.expose_config", "True") | TWO, "write non-sensitive-only"),
        (options("api.expose_config", "1"), "write non-sensitive-only"),
        (options("core.hide_sensitive_var_conn_fields", "false"), "shows passwords"),
        (
            options("api.enable_xcom_deserialize_support", "True") | TWO,
            "run code in the web server",
        ),
        (options("webserver.allow_raw_html_descriptions", "True") | TWO, "act as those who look"),
        (options("dag_processor.dag_bundle_config_list", "[]"), "MWAA puts the DAGs"),
        (options("fab.auth_role_public", "Admin"), "need no sign-in"),
        (options("fab.config_file", "/usr/local/airflow/dags/x.py"), "MWAA sets it"),
        (options("fab.cookie_secure", "False"), "MWAA sets it"),
        (options("api.base_url", "https://x"), "load balancer"),
        (options("webserver.web_server_ssl_key", "/x") | TWO, "load balancer"),
        (options("celery_broker_transport_options.visibility_timeout", "5"), "MWAA sets it"),
        (options("aws_mwaa.redirect_url", "https://x"), "MWAA sets it"),
        (options("metrics.statsd_host", "x"), "CloudWatch"),
        (options("webserver.expose_config", " TRUE ") | TWO, "write non-sensitive-only"),
        (options("api.expose_stacktrace", "t"), "what code and values"),
        (
            options("api.auth_backends", "airflow.api.auth.backend.default") | TWO,
            "call the REST API without a sign-in",
        ),
        (
            options("api.auth_backends", "a.b.session, airflow.api.auth.backend.default") | TWO,
            "call the REST API without a sign-in",
        ),
        (options("api.access_control_allow_origins", "*"), "name the origins"),
        *(
            (options(f"core.allowed_deserialization_classes{suffix}", value), "name the classes")
            for suffix, value in (("", "*"), ("", "airflow.* *"), ("_regexp", "^.*$"), ("", ".*"))
        ),
        (options("core.test_connection", "Enabled"), "lets whoever may edit connections"),
        (options("webserver.secret_key", "x") | TWO, "MWAA sets it"),
        (options("api_auth.jwt_secret", "x"), "tokens"),
        (options("celery.broker_url_cmd", "x"), "MWAA sets it"),
        (options("metrics.x", "y"), "CloudWatch"),
        (options("secrets.backend", "x"), "rely on"),
        (options("scheduler.dag_dir_list_interval", "5"), "write dag_processor.refresh_interval"),
        (options("webserver.dag_orientation", "LR"), "remove it"),
        (options("triggerer.capacity", "5") | TWO, "write that"),
        (options("core.parallelism", "lots"), "is no integer: write 32 or another number"),
        (options("core.parallelism", "1.5"), "is no integer"),
        (options("scheduler.scheduler_idle_sleep_time", "soon"), "is no float: write 0.5"),
        (
            options("core.dags_are_paused_at_creation", "maybe"),
            "is no boolean: write True or False",
        ),
        (options("celery.worker_concurrency", "8,4"), "is no integer"),  # a provider's
    ],
)
def test_a_mistake_is_named_with_its_way_out(
    load: Load, changes: dict[str, Any], text: str
) -> None:
    (option,) = changes["airflow.options"]
    assert_mistake(load, changes, f"airflow.options.{option}", text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (options("core.paralelism", "32"), "did you mean core.parallelism?"),
        (options("scheduler.parallelism", "32"), "did you mean core.parallelism?"),
        (options("schedulers.scheduler_heartbeat_sec", "5"), "did you mean scheduler.scheduler_h"),
        (options("core.xyz", "1"), "its section has none like it: remove it"),
        (options("webserver.navbar_color", "#fff"), "is an old name: write fab.navbar_color"),
    ],
)
def test_a_misspelt_option_is_warned_about_with_a_suggestion(
    load: Load, warnings: list[str], changes: dict[str, Any], text: str
) -> None:
    load(changes)
    (line,) = warnings
    assert line.startswith("mwaa-on-eks:airflow.options.")
    assert text in line


@pytest.mark.parametrize(
    "changes",
    [
        options("triggerer.default_capacity", "5") | TWO,
        options("core.parallelism", " 32 "),
        options("core.default_task_retries", 3),
        options("core.dags_are_paused_at_creation", False),
        options("core.lazy_load_plugins", "t # yes"),
        options("scheduler.scheduler_idle_sleep_time", "1"),
        options("api.expose_config", "non-sensitive-only"),
        options("core.xcom_backend", "airflow.providers.common.io.xcom.backend.XComObjectStorage"),
        options("common.io.xcom_objectstorage_path", "s3://conn@bucket/x"),
        options("smtp.smtp_password_secret", "smtp") | TWO,
        options("celery_broker_transport_options.wait_time_seconds", "5"),
        options("my_team.bucket", "x"),  # which DAGs read
        options("mwaa.triggerer_enabled", "False"),
        options("metrics.metrics_allow_list", "scheduler,triggerer,executor,dag_processing,ti_"),
        options("api.auth_backends", "airflow.api.auth.backend.session") | TWO,
        options("core.allowed_deserialization_classes", "airflow.* my.module.*"),
        options("core.test_connection", "Disabled"),
        options("my_team.token_url", "https://example.com/token"),
        options("my_team.password_secret", "name-of-it"),
    ],
)
def test_what_is_right_is_neither_refused_nor_warned_about(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    assert_right(load, warnings, changes)


def test_a_boolean_reaches_airflow_as_it_writes_it(load: Load) -> None:
    settings = load(options("core.dags_are_paused_at_creation", False))

    assert settings.airflow.options == {"core.dags_are_paused_at_creation": "False"}


@pytest.mark.parametrize("version", AIRFLOW)
def test_each_version_has_its_list(version: str) -> None:
    found = options_of(version)

    assert found.types["core.parallelism"] == "integer"
    assert found.types["celery.worker_concurrency"] == "integer"
    assert found.types["common.io.xcom_objectstorage_path"] == "string"
    assert found.types["core.fernet_key"] == "secret"
    assert set(found.types.values()) == {"string", "integer", "float", "boolean", "secret"}
    assert ("dag_processor.refresh_interval" in found.types) == version.startswith("3.")


@pytest.mark.parametrize(
    "changes",
    [
        options("smtp.smtp_password", "hunter2") | TWO,
        options("my_team.api_token", "hunter2"),
        options("my_team.db_password", "hunter2"),
        options("my_team.secret", "hunter2"),
        options("my_team.db", "postgresql://me:hunter2@db.example.com/x"),
        options("common.io.xcom_objectstorage_path", "s3://key:hunter2@bucket/x"),
    ],
)
def test_a_secret_is_told_and_not_shown(
    load: Load, warnings: list[str], changes: dict[str, Any]
) -> None:
    (option,) = changes["airflow.options"]
    told = (
        f"mwaa-on-eks:airflow.options.{option}: is a secret, which would be readable in the "
        "stack's settings and state and on MWAA's page: use a connection, which Secrets Manager "
        "keeps"
    )

    load(changes)
    assert warnings == [told]
    assert mistakes(load, PRODUCTION | changes) == [told]


def test_a_secret_that_mwaa_sets_is_not_shown(load: Load) -> None:
    (line,) = mistakes(load, options("core.fernet_key", "hunter2"))
    assert "hunter2" not in line
