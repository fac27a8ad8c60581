"""What an Airflow holds that no file says: read into a document, and made again from one.

All of it goes through Airflow's REST API, which MWAA offers as InvokeRestApi: tasks of Airflow 3
may not ask the metadata database. The document is the same for Airflow 2 and 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

Json = Any
Said = Iterator[str]

FORMAT = 1
PAGE = 100  # Airflow gives no more at once, unless its maximum_page_limit says so
LONGEST_PATH = 64  # that InvokeRestApi takes
MASK = "***"  # what Airflow shows instead of a secret
NOT_TOLD = "without its password, which Airflow does not tell"

# What is made again, and by which name it is known.
NAMED = {"variables": "key", "pools": "name", "connections": "connection_id"}
FIELDS = {
    "variables": ("key", "value", "description"),
    "pools": ("name", "slots", "description", "include_deferred"),
    "connections": (
        *("connection_id", "conn_type", "description"),
        *("host", "login", "schema", "port", "extra"),
    ),
    "dags": ("dag_id", "is_paused"),
    "dag_runs": (
        *("dag_id", "dag_run_id", "run_type", "state", "conf", "note", "logical_date"),
        *("data_interval_start", "data_interval_end", "start_date", "end_date"),
    ),
    "task_instances": (
        *("dag_id", "dag_run_id", "task_id", "map_index", "operator", "state"),
        *("try_number", "start_date", "end_date", "duration"),
    ),
}
IDENTITY = ("dag_id", "dag_run_id", "task_id", "map_index")
TRIES = 5
HISTORY = {"dag_runs": "/dags/~/dagRuns", "task_instances": "/dags/~/dagRuns/~/taskInstances"}


class RefusedError(Exception):
    """What Airflow answers instead of doing what it was asked for."""

    def __init__(self, status: int, answer: Json) -> None:
        detail = answer.get("detail", answer) if isinstance(answer, Mapping) else answer
        super().__init__(f"{status}: {detail}")
        self.status = status


class RestApi:
    """The REST API of one environment's Airflow."""

    def __init__(self, mwaa: Any, environment: str) -> None:  # noqa: ANN401  (of boto3's making)
        self._mwaa = mwaa
        self._environment = environment

    def ask(self, method: str, path: str, **more: Json) -> Json:
        """Return what Airflow answers; more: QueryParameters, Body."""
        try:
            answer = self._mwaa.invoke_rest_api(
                Name=self._environment, Method=method, Path=path, **more
            )
        except self._mwaa.exceptions.RestApiClientException as error:
            told = error.response
            raise RefusedError(
                told.get("RestApiStatusCode", 0), told.get("RestApiResponse", str(error))
            ) from None
        return answer["RestApiResponse"]

    def all(self, kind: str, path: str, **query: Json) -> list[dict[str, Json]]:
        """Return all items of a kind, page by page."""
        found: list[dict[str, Json]] = []
        while True:
            page = self.ask(
                "GET", path, QueryParameters={**query, "limit": PAGE, "offset": len(found)}
            )
            found += page[kind]
            if not page[kind] or len(found) >= page["total_entries"]:
                return found

    def count(self, path: str, **query: Json) -> int:
        """Return how many items there are."""
        return int(
            self.ask("GET", path, QueryParameters={**query, "limit": 1, "offset": 0})[
                "total_entries"
            ]
        )


def backup(
    api: RestApi,
    *,
    now: datetime,
    history_days: int,
    read_variable: Callable[[str], str] | None = None,
) -> dict[str, Json]:
    """Return the document.

    read_variable: tells a variable as it is. Airflow 3's REST API tells the text 1.10 as 1.1, since
    it reads JSON wherever it can.
    """
    document: dict[str, Json] = {"format": FORMAT, "made_at": now.isoformat()}
    document["variables"] = [
        _variable(one, read_variable) for one in api.all("variables", "/variables")
    ]
    document["pools"] = api.all("pools", "/pools")
    document["connections"] = [
        _connection(api, one) for one in api.all("connections", "/connections")
    ]
    document["dags"] = api.all("dags", "/dags")
    since = f"{now - timedelta(days=history_days):%Y-%m-%dT%H:%M:%SZ}"
    for kind, path in HISTORY.items():
        document[kind] = _history(api, kind, path, since)
    for kind, fields in FIELDS.items():
        document[kind] = [{name: one.get(name) for name in fields} for one in document[kind]]
    return document


def _history(api: RestApi, kind: str, path: str, since: str) -> list[dict[str, Json]]:
    """Return all of a kind. Airflow 2 puts task instances in no order, and pages of theirs can have
    one twice and another not at all: what is missing then is asked for again."""
    found: dict[tuple[Json, ...], dict[str, Json]] = {}
    for _ in range(TRIES):
        for one in api.all(kind, path, updated_at_gte=since):
            found[tuple(one.get(name) for name in IDENTITY)] = one
        if len(found) >= api.count(path, updated_at_gte=since):
            break
    else:
        print(f"{kind}: some are missing, since others have come and gone meanwhile")
    return list(found.values())


def _variable(told: dict[str, Json], read: Callable[[str], str] | None) -> dict[str, Json]:
    value = told["value"]
    if value is None or MASK in value:
        return {**told, "value": None}
    if read is not None:
        text = read(told["key"])
        # One of the same name elsewhere, as in Secrets Manager, would come first.
        if _as_told(text) == value:
            return {**told, "value": text}
    return told


def _as_told(text: str) -> str:
    try:
        return json.dumps(json.loads(text))
    except ValueError:
        return text


def _connection(api: RestApi, told: dict[str, Json]) -> dict[str, Json]:
    path = f"/connections/{told['connection_id']}"
    if "extra" not in told and len(path) <= LONGEST_PATH:  # Airflow 2 lists them without it
        return {**told, **api.ask("GET", path)}
    return told


def restore(api: RestApi, document: Mapping[str, Json]) -> Said:
    """Make what is not there, change nothing that is, and say so; a refusal fails it at last."""
    if document.get("format") != FORMAT:
        message = f"the document has format {document.get('format')}, and this reads {FORMAT}"
        raise ValueError(message)
    refused = []
    for kind, key in NAMED.items():
        there = {one[key]: one for one in api.all(kind, f"/{kind}")}
        for one in document[kind]:
            what = f"{kind.removesuffix('s')} {one[key]}"
            if one[key] in there:
                other = [name for name in FIELDS[kind] if _differs(one, there[one[key]], name)]
                yield f"{what}: left as it is" + (
                    f", with another {', '.join(other)}" if other else ""
                )
                continue
            body, lacking = _body(kind, one)
            if body is None:
                yield f"{what}: not made, {lacking}"
                continue
            try:
                api.ask("POST", f"/{kind}", Body=body)
            except RefusedError as error:
                refused.append(what)
                yield f"{what}: refused, {error}"
            else:
                yield f"{what}: made" + (f" {lacking}" if lacking else "")
    running = [one["dag_id"] for one in document["dags"] if not one["is_paused"]]
    if running:
        yield f"these DAGs were not paused, and stay as they are here: {', '.join(running)}"
    if refused:
        message = f"Airflow refused {', '.join(refused)}"
        raise ValueError(message)


def _differs(one: Mapping[str, Json], other: Mapping[str, Json], name: str) -> bool:
    """Tell whether both say something, and not the same."""
    told = [each[name] for each in (one, other) if each.get(name) is not None]
    if name in ("extra", "value"):
        told = [_as_told(text) for text in told]
    return len(told) == 2 and told[0] != told[1]


def _body(kind: str, one: Mapping[str, Json]) -> tuple[dict[str, Json] | None, str]:
    """What makes it, and what it lacks."""
    body = {name: one[name] for name in FIELDS[kind] if one.get(name) is not None}
    if kind == "variables" and "value" not in body:
        return None, "since Airflow does not tell a value that it takes for a secret"
    if kind != "connections":
        return body, ""
    if MASK in body.get("extra", ""):
        extra, masked = _without_masked(json.loads(body["extra"]))
        return {**body, "extra": json.dumps(extra)}, f"{NOT_TOLD}, and without extra's {masked}"
    return body, NOT_TOLD


def _without_masked(extra: Json) -> tuple[Json, str]:
    """What is left of extra, and the names of what is not."""
    masked: list[str] = []

    def left(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        masked.extend(name for name, inner in value.items() if inner == MASK)
        return {name: left(inner) for name, inner in value.items() if inner != MASK}

    return left(extra), ", ".join(masked)
