"""What ministack's MWAA lacks."""

from __future__ import annotations

import asyncio
import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from sandbox.cloud.aws import rest_api, rights
from sandbox.cloud.aws.eks import ensure_log_group
from sandbox.cloud.aws.keys import Asked
from sandbox.cloud.aws.refusals import front
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any
Module: TypeAlias = Any

# The groups are not all named as the settings are.
_LOG_GROUPS: Final = {"DagProcessingLogs": "DAGProcessing", "WebserverLogs": "WebServer"}

_STATUS: Final = {"ResourceNotFoundException": 404, "InternalServerException": 500}


def complete(aws: Aws, serving: Path, known: Asked) -> None:
    """Let environments keep what they are told, have log groups and tags, and be refused.

    serving: where an Airflow that runs has announced itself.
    """
    mwaa: Module = import_module("ministack.services.mwaa")
    create, update, describe = (
        mwaa._create_environment,
        mwaa._update_environment,
        mwaa._build_env_response,
    )

    def keep(path: str, body: bytes) -> None:
        environment = mwaa._environments.get(path.strip("/").split("/")[-1])
        if environment is not None:
            told = json.loads(body) if body else {}
            environment.update({key: value for key, value in told.items() if key != "Tags"})

    def create_environment(method: str, path: str, headers: Json, body: bytes, query: Json) -> Json:
        answer = create(method, path, headers, body, query)
        if answer[0] == 200:
            keep(path, body)
            _make_log_groups(aws, path.rpartition("/")[2], json.loads(body))
        return answer

    def update_environment(method: str, path: str, headers: Json, body: bytes, query: Json) -> Json:
        answer = update(method, path, headers, body, query)
        if answer[0] == 200:
            keep(path, body)
            environment = mwaa._environments[path.strip("/").split("/")[-1]]
            environment["LastUpdate"]["CreatedAt"] = time.time()
        return answer

    def build_response(environment: Json) -> Json:
        found = describe(environment)
        _, _, _, region, account, _ = found["Arn"].split(":", 5)
        for kind, settings in found.get("LoggingConfiguration", {}).items():
            group = _log_group(found["Name"], kind)
            settings["CloudWatchLogGroupArn"] = f"arn:aws:logs:{region}:{account}:log-group:{group}"
        return found

    serve = mwaa.handle_request

    async def handle_request(
        method: str, path: str, headers: Json, body: bytes, query: Json
    ) -> Json:
        request = front.request_of(method, path, headers, body, query)
        # In a thread: a check asks this very server too.
        refused = await asyncio.to_thread(rights.refused, aws, known, "mwaa", request)
        if refused:
            return mwaa.error_response_json(refused.code, refused.message, 400)
        if path.startswith("/restapi/"):
            name = path.rstrip("/").rpartition("/")[2]
            role = await asyncio.to_thread(rights.airflow_role, aws, known, request, name)
            environment = mwaa._environments.get(name)
            told = json.loads(body or "{}")
            try:
                answer = await asyncio.to_thread(
                    rest_api.invoke, environment, told, role or "", serving
                )
            except rest_api.FailedError as error:
                status = _STATUS.get(error.code, 400)
                return mwaa.error_response_json(error.code, error.message, status, error.members)
            return mwaa.json_response(answer)
        if path.startswith("/tags/"):
            return _tag_environment(mwaa, method, unquote(path), body, query)
        return await serve(method, path, headers, body, query)

    mwaa.handle_request = handle_request
    mwaa._create_environment = create_environment
    mwaa._update_environment = update_environment
    mwaa._build_env_response = build_response


def _log_group(environment: str, kind: str) -> str:
    return f"airflow-{environment}-{_LOG_GROUPS.get(kind, kind.removesuffix('Logs'))}"


def _make_log_groups(aws: Aws, environment: str, told: Json) -> None:
    """Make the groups that nobody has made."""
    for kind, settings in told.get("LoggingConfiguration", {}).items():
        if settings.get("Enabled"):
            ensure_log_group(aws, _log_group(environment, kind))


def _tag_environment(mwaa: Module, method: str, path: str, body: bytes, query: Json) -> Json:
    environment = mwaa._environments.get(path.rpartition("/")[2])
    if environment is None:
        return mwaa.error_response_json("ResourceNotFoundException", f"{path} not found", 404)
    tags = environment["Tags"]
    if method == "POST":
        tags.update(json.loads(body)["Tags"])
    elif method == "DELETE":
        for key in query.get("tagKeys", []):
            tags.pop(key, None)
    return mwaa.json_response({"Tags": tags} if method == "GET" else {})
