"""The shell script that MWAA runs before Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator

from settings.rules import dag_files
from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings

RULES = Rules()

KEY = "airflow.startupScript"

# "Using a startup script", Amazon MWAA user guide, and what the image sets after the script has run
# (python/mwaa/config in aws/amazon-mwaa-docker-images).
_RESERVED = re.compile(
    r"MWAA__\w+|MWAA_(AIRFLOW_COMPONENT|COMMAND)|SQL_ALCHEMY_CONN|AIRFLOW_CONN_AWS_DEFAULT"
    r"|AIRFLOW_(HOME|VERSION|ENV_ID|ENV_NAME|TASK_REVISION_ID|SCHEDULER_ALLOWED_RUN_ID_PATTERN)"
    r"|AIRFLOW__CORE__(EXECUTOR|FERNET_KEY|LOAD_EXAMPLES|SQL_ALCHEMY_CONN|DAG_CONCURRENCY"
    r"|MAX_ACTIVE_TASKS_PER_DAG|PARALLELISM|DATABASE_ACCESS_ISOLATION)"
    r"|AIRFLOW__CELERY__(BROKER_URL|RESULT_BACKEND|DEFAULT_QUEUE|WORKER_AUTOSCALE)"
    r"|AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__(VISIBILITY_TIMEOUT|REGION|PREDEFINED_QUEUES)"
    r"|AIRFLOW__METRICS__(METRICS_(BLOCK|ALLOW)_LIST|STATSD_(ALLOW_LIST|ON|HOST|PORT|PREFIX))"
    r"|AIRFLOW__(WEBSERVER__(SECRET_KEY|BASE_URL)|API__BASE_URL|AWS_MWAA__REDIRECT_URL)"
    r"|AIRFLOW__(OPERATORS__DEFAULT_QUEUE|SCHEDULER__PARSING_PROCESSES)"
    r"|AWS_(DEFAULT_REGION|REGION|EXECUTION_ENV|CONTAINER_CREDENTIALS_RELATIVE_URI)"
    r"|ECS_(AGENT_URI|CONTAINER_METADATA_URI(_V4)?)|CUSTOMER_ACCOUNT_ID|JWT_PUBLIC_KEY"
    r"|PYTHONPATH|PYTHONUNBUFFERED|WATCHTOWER_VERSION|USE_NON_CRITICAL_LOGGING"
)
_SETS = re.compile(r"^\s*(?:export\s+|declare\s+-x\s+)?(\w+)=", re.M)
_FURTHER_INDEX = re.compile(r"^[^#\n]*(--extra-index-url|PIP_EXTRA_INDEX_URL)", re.M)
_DOWNLOADS = re.compile(r"^[^#\n]*?\b(yum|dnf|pip3?|curl|wget)\s", re.M)


@RULES.reading(
    "airflow.startupScript", "airflow.dagDelivery", "airflow.webserverAccess", "network.nat"
)
def _startup_script(s: Settings) -> Findings:
    script = s.airflow.startup_script
    if script is None:
        return
    place = dag_files.DAGS.parent / script
    if s.airflow.dag_delivery == "pipeline":
        text = "is not delivered with airflow.dagDelivery: pipeline: remove it"
        yield Finding(KEY, script, f"{text}, and let the pipeline roll the script out")
    elif misplaced := dag_files.misplaced(script):
        yield Finding(KEY, script, misplaced)
    elif place.suffix != ".sh" or not place.is_file():
        text = "must be a file of this repository whose name ends in .sh"
        yield Finding(KEY, script, text)
    else:
        content = place.read_bytes()
        yield from dag_files.secrets_in(s, f"./{script}", content)
        for text, warning in _flaws(s, content):
            yield Finding(KEY, script, text, warning=warning)


def _flaws(s: Settings, content: bytes) -> Iterator[tuple[str, bool]]:
    """Yield what is wrong with the script, and whether that is a warning only."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        yield "is not in UTF-8: save it so", False
        return
    if "\r" in text:
        yield "has lines that end as on Windows, in CR: save it with LF alone", False
    first = re.match(r"#!\s*(.*)", text)
    if first and not re.search(r"\b(ba)?sh\b", first[1]):
        yield f"begins with {first[0]}, and MWAA runs it with bash: write it for bash", False
    for name in dict.fromkeys(_SETS.findall(text)):
        if _RESERVED.fullmatch(name):
            yield f"sets {name}, which MWAA sets back: take it out", True
    if further := _FURTHER_INDEX.search(text):
        yield (
            f"names {further[1]}, which lets whoever registers a name of yours at PyPI have his "
            "package installed, if its version is higher: name one index that has PyPI's packages "
            "too",
            True,
        )
    downloads = _DOWNLOADS.search(text)
    if downloads and s.network.nat == "none":
        yield (
            f"calls {downloads[1]}, and network.nat: none keeps MWAA from the internet: bring what "
            "is to be installed along in airflow.plugins (needless if the call stays in the VPC)",
            True,
        )
    elif (
        downloads
        and s.airflow.webserver_access == "PRIVATE_ONLY"
        and "MWAA_AIRFLOW_COMPONENT" not in text
    ):
        yield (
            f"calls {downloads[1]}, and a private web server waits for the internet until MWAA "
            'gives up: put it into `if [ "$MWAA_AIRFLOW_COMPONENT" != webserver ]; then ... fi`',
            True,
        )
