"""What backup_metadata writes and restore_metadata makes of it, where Airflow answers so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from shared.airflow_metadata import LONGEST_PATH, PAGE, RestApi, backup, restore

Json = Any
NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
TABLES = ("variables", "pools", "connections", "dags", "dagRuns", "taskInstances")
NAMES = {"variables": "key", "pools": "name", "connections": "connection_id"}
# Airflow 2 refuses any other query parameter: order_by with taskInstances, for one.
SPEC = {table: {"limit", "offset", "updated_at_gte"} for table in ("dagRuns", "taskInstances")}
KINDS = {"dagRuns": "dag_runs", "taskInstances": "task_instances"}


class ClientExceptionError(Exception):
    """boto3's RestApiClientException."""

    def __init__(self, status: int, answer: Json) -> None:
        super().__init__(status)
        self.response = {"RestApiStatusCode": status, "RestApiResponse": answer}


class Mwaa:
    """MWAA's client, before an Airflow that holds these items."""

    class exceptions:  # noqa: N801  (boto3's)
        RestApiClientException = ClientExceptionError

    def __init__(self, version: int, **held: list[Json]) -> None:
        self.version = version
        self.held: dict[str, list[Json]] = {table: held.get(table, []) for table in TABLES}
        self.turned = 0
        self.asked: list[tuple[str, str, Json]] = []

    def invoke_rest_api(
        self,
        Name: str,  # noqa: N803
        Method: str,  # noqa: N803
        Path: str,  # noqa: N803
        QueryParameters: Json = None,  # noqa: N803
        Body: Json = None,  # noqa: N803
    ) -> Json:
        assert Name == "dev"
        assert len(Path) <= LONGEST_PATH
        self.asked.append((Method, Path, Body or QueryParameters))
        if Method == "GET":
            return {"RestApiStatusCode": 200, "RestApiResponse": self._get(Path, QueryParameters)}
        table = Path.strip("/")
        self._make(table, Body)
        return {"RestApiStatusCode": 201, "RestApiResponse": Body}

    def _get(self, path: str, query: Json) -> Json:
        table, _, name = path.strip("/").partition("/")
        if name and "~" not in name:
            (found,) = (one for one in self.held[table] if one[NAMES[table]] == name)
            return self._shown(table, found)
        table = path.rpartition("/")[2]
        assert query.keys() <= SPEC.get(table, {"limit", "offset"})
        all_ = self.held[table]
        if self.version == 2 and table == "taskInstances":
            self.turned += 1  # another order each time
            all_ = all_[self.turned % len(all_) :] + all_[: self.turned % len(all_)] if all_ else []
        page = all_[query["offset"] : query["offset"] + min(query["limit"], 100)]
        shown = [self._shown(table, one, listed=True) for one in page]
        return {KINDS.get(table, table): shown, "total_entries": len(all_)}

    def _shown(self, table: str, one: Json, *, listed: bool = False) -> Json:
        """As each Airflow tells it."""
        shown = dict(one)
        if table == "connections":
            if self.version == 2:
                shown.pop("password", None)
                if listed:
                    shown.pop("extra", None)
            elif shown.get("password"):
                shown["password"] = "***"  # noqa: S105
        if table == "variables" and self.version == 3:
            try:
                shown["value"] = json.dumps(json.loads(one["value"]))
            except ValueError:
                shown["value"] = one["value"]
            if re.search("password|token", one["key"]):
                shown["value"] = "***"
        return shown

    def _make(self, table: str, body: Json) -> None:
        name = body[NAMES[table]]
        if not re.fullmatch(r"[\w.-]+", name):
            raise ClientExceptionError(422, {"detail": f"{name} has no right form"})
        same = [one for one in self.held[table] if one[NAMES[table]] == name]
        assert not same, "Airflow 2 would write over a variable"
        self.held[table].append(body)


def values(mwaa: Mwaa) -> Callable[[str], str]:
    """Variables as tasks see them."""
    return lambda key: next(one["value"] for one in mwaa.held["variables"] if one["key"] == key)


def document_of(mwaa: Mwaa) -> dict[str, Json]:
    read = values(mwaa) if mwaa.version == 3 else None
    found = backup(RestApi(mwaa, "dev"), now=NOW, history_days=7, read_variable=read)
    again: dict[str, Json] = json.loads(json.dumps(found))
    return again


def variable(key: str, value: str | None, description: str | None = None) -> Json:
    return {"key": key, "value": value, "description": description}


EXTRA = json.dumps({"region_name": "eu-west-1", "token": "***", "oauth": {"secret": "***", "a": 1}})
DATABASE = {
    "connection_id": "database",
    "conn_type": "postgres",
    "description": None,
    "host": "db.internal",
    "login": "reports",
    "schema": "sales",
    "port": 5432,
    "password": "secret",
    "extra": EXTRA,
}
POOL = {"name": "narrow", "slots": 2, "description": "x", "include_deferred": True}
HELD: dict[str, list[Json]] = {
    "variables": [variable("bucket", "sales", "where"), variable("release", "1.10")],
    "pools": [POOL | {"occupied_slots": 1, "open_slots": 1}],
    "connections": [DATABASE],
    "dags": [
        {"dag_id": "daily", "is_paused": False, "tags": []},
        {"dag_id": "off", "is_paused": True, "tags": []},
    ],
}


@pytest.mark.parametrize("of", [2, 3])
@pytest.mark.parametrize("into", [2, 3])
def test_what_is_not_there_comes_back_in_either_airflow(of: int, into: int) -> None:
    document = document_of(Mwaa(of, **HELD))
    new = Mwaa(into)
    said = list(restore(RestApi(new, "dev"), document))

    assert said == [
        "variable bucket: made",
        "variable release: made",
        "pool narrow: made",
        "connection database: made without its password, which Airflow does not tell, and without "
        "extra's token, secret",
        "these DAGs were not paused, and stay as they are here: daily",
    ]
    assert new.held["variables"] == [
        variable("bucket", "sales", "where"),
        {"key": "release", "value": "1.10"},
    ]
    assert new.held["pools"] == [POOL]
    (made,) = new.held["connections"]
    assert json.loads(made.pop("extra")) == {"region_name": "eu-west-1", "oauth": {"a": 1}}
    assert made == {
        key: DATABASE[key]
        for key in ("connection_id", "conn_type", "host", "login", "schema", "port")
    }


def test_nothing_that_is_there_is_changed() -> None:
    document = document_of(Mwaa(3, **HELD))
    new = Mwaa(2, variables=[variable("bucket", "other")], pools=[POOL], connections=[DATABASE])
    said = list(restore(RestApi(new, "dev"), document))

    assert said[0] == "variable bucket: left as it is, with another value"
    assert said[2:4] == ["pool narrow: left as it is", "connection database: left as it is"]
    assert [body["key"] for method, _, body in new.asked if method == "POST"] == ["release"]
    # A second time, there is nothing left to make.
    assert not [line for line in restore(RestApi(new, "dev"), document) if "made" in line]


def test_a_variable_that_airflow_masks_is_named_and_never_made_of_asterisks() -> None:
    document = document_of(Mwaa(3, variables=[variable("api_token", "s3cr3t")]))
    assert document["variables"] == [variable("api_token", None)]
    assert "s3cr3t" not in json.dumps(document)

    new = Mwaa(3)
    (said,) = restore(RestApi(new, "dev"), document)
    assert said == (
        "variable api_token: not made, since Airflow does not tell a value that it takes for a "
        "secret"
    )
    assert new.held["variables"] == []


def test_no_password_is_in_the_document() -> None:
    for version in (2, 3):
        document = document_of(Mwaa(version, connections=[DATABASE]))
        assert "secret" not in json.dumps(document).replace('\\"secret\\"', "")
        assert "password" not in document["connections"][0]


def test_another_variable_of_the_same_name_is_not_taken_for_it() -> None:
    mwaa = Mwaa(3, variables=[variable("bucket", "sales")])
    document = backup(
        RestApi(mwaa, "dev"), now=NOW, history_days=7, read_variable=lambda _: "of Secrets Manager"
    )
    assert document["variables"] == [variable("bucket", "sales")]


def test_a_refusal_stops_nothing_and_fails_at_last() -> None:
    document = document_of(
        Mwaa(2, connections=[DATABASE | {"connection_id": "a b"}, DATABASE], pools=[POOL])
    )
    new = Mwaa(3)
    said: list[str] = []
    with pytest.raises(ValueError, match="Airflow refused connection a b"):
        said.extend(restore(RestApi(new, "dev"), document))
    assert said[1] == "connection a b: refused, 422: a b has no right form"
    assert [one["connection_id"] for one in new.held["connections"]] == ["database"]


def test_a_connection_with_a_long_name_is_kept_without_extra_by_airflow_2() -> None:
    long = DATABASE | {"connection_id": "x" * 52}
    (kept,) = document_of(Mwaa(2, connections=[long]))["connections"]
    assert (kept["host"], kept["extra"]) == ("db.internal", None)


def test_history_is_a_record_of_all_pages() -> None:
    runs = [
        {"dag_id": "daily", "dag_run_id": str(n), "state": "success", "conf": {}, "more": 1}
        for n in range(2 * PAGE + 1)
    ]
    task = {"dag_id": "daily", "dag_run_id": "1", "task_id": "a", "map_index": -1, "try_number": 2}
    mwaa = Mwaa(3, dagRuns=runs, taskInstances=[task])
    document = document_of(mwaa)

    assert [run["dag_run_id"] for run in document["dag_runs"]] == [
        one["dag_run_id"] for one in runs
    ]
    assert set(document["dag_runs"][0]) >= {"logical_date", "run_type", "start_date", "end_date"}
    assert "more" not in document["dag_runs"][0]
    assert document["task_instances"][0].items() >= task.items()
    query = next(query for _, path, query in mwaa.asked if path == "/dags/~/dagRuns")
    assert query["updated_at_gte"] == "2026-11-18T03:00:00Z"
    assert list(restore(RestApi(Mwaa(3), "dev"), document)) == []


def test_no_task_instance_is_lost_between_the_pages_of_airflow_2() -> None:
    tasks = [
        {"dag_id": "daily", "dag_run_id": str(n), "task_id": "a", "map_index": -1}
        for n in range(PAGE + 2)
    ]
    document = document_of(Mwaa(2, taskInstances=tasks))
    assert {one["dag_run_id"] for one in document["task_instances"]} == {
        one["dag_run_id"] for one in tasks
    }
    assert len(document["task_instances"]) == len(tasks)


def test_a_document_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2, and this reads 1"):
        list(restore(RestApi(Mwaa(3), "dev"), {"format": 2}))
