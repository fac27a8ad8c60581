"""What a container finds in its environment, and what `$(NAME)` in a command stands for."""

from __future__ import annotations

import base64
import http.client
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from kubernetes.client import ApiException
from kubernetes.utils.quantity import parse_quantity


class NotYetError(Exception):
    """What keeps a container from starting, until somebody mends it."""

    def __init__(self, message: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.reason = reason


class UnsupportedError(Exception):
    """What a kubelet does and the sandbox does not."""


def told(error: ApiException) -> str:
    """Return what the API server says in its refusal."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error)


class Contents:
    """The Secrets and ConfigMaps of a namespace."""

    def __init__(self, api: Any, namespace: str) -> None:  # noqa: ANN401
        self._api = api
        self._namespace = namespace

    def of(self, kind: str, name: str, *, optional: bool) -> dict[str, bytes]:
        """Return what is in a "secret" or "config_map"; nothing, if it may be missing and is."""
        read = getattr(self._api, f"read_namespaced_{kind}")
        try:
            found = read(name, self._namespace)
        except ApiException as error:
            if error.status != http.client.NOT_FOUND:
                raise
            if optional:
                return {}
            raise NotYetError(told(error)) from None
        if kind == "secret":
            return {key: base64.b64decode(value) for key, value in (found.data or {}).items()}
        binary = {k: base64.b64decode(value) for k, value in (found.binary_data or {}).items()}
        return {k: value.encode() for k, value in (found.data or {}).items()} | binary

    def value(self, kind: str, reference: Any) -> str | None:  # noqa: ANN401
        """Return what a reference to a key names; nothing, if it may be missing and is."""
        optional = bool(reference.optional)
        value = self.of(kind, reference.name, optional=optional).get(reference.key)
        if value is None and not optional:
            place = f"{kind.replace('_', ' ')} {self._namespace}/{reference.name}"
            raise NotYetError(f"couldn't find key {reference.key} in {place}")
        return None if value is None else value.decode(errors="surrogateescape")


def environment(
    pod: Any,  # noqa: ANN401
    container: Any,  # noqa: ANN401
    node: Any,  # noqa: ANN401
    contents: Contents,
    services: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment that a container's specification describes."""
    found = dict(services)
    for source in container.env_from or ():
        kind = "secret" if source.secret_ref else "config_map"
        reference = source.secret_ref or source.config_map_ref
        for key, value in contents.of(
            kind, reference.name, optional=bool(reference.optional)
        ).items():
            found[f"{source.prefix or ''}{key}"] = value.decode(errors="surrogateescape")
    for variable in container.env or ():
        resolved: str | None = expand(variable.value or "", found)
        if variable.value_from:
            resolved = _resolve(variable.value_from, pod, container, node, contents)
        if resolved is not None:
            found[variable.name] = resolved
    return found


def _resolve(source: Any, pod: Any, container: Any, node: Any, contents: Contents) -> str | None:  # noqa: ANN401
    if source.secret_key_ref:
        return contents.value("secret", source.secret_key_ref)
    if source.config_map_key_ref:
        return contents.value("config_map", source.config_map_key_ref)
    if source.field_ref:
        return field(source.field_ref.field_path, pod)
    if source.resource_field_ref:
        return resource(source.resource_field_ref, container, node)
    raise UnsupportedError("the sandbox takes no environment variables from a file in a volume")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value, and `$$` by `$`; unknown names stay."""

    def replacement(found: re.Match[str]) -> str:
        return "$" if found[1] is None else variables.get(found[1], found[0])

    return re.sub(r"\$(?:\$|\(([^)]*)\))", replacement, text)


def field(path: str, pod: Any) -> str:  # noqa: ANN401
    """Return a field of a pod, as the downward API spells them."""
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
    if match:
        return str((getattr(pod.metadata, match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = getattr(pod.metadata, path.partition(".")[2]) or {}
        return "".join(f"{key}={json.dumps(value)}\n" for key, value in sorted(values.items()))
    fields = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": pod.status.host_ip,
        "status.hostIPs": pod.status.host_ip,
        "status.podIP": pod.status.pod_ip,
        "status.podIPs": pod.status.pod_ip,
    }
    if path not in fields:
        raise UnsupportedError(f"the sandbox knows no field {path} of a pod")
    return fields[path] or ""


def resource(reference: Any, container: Any, node: Any) -> str:  # noqa: ANN401
    """Return how much of a resource a container asks for or may have, in units of the divisor."""
    kind, _, name = reference.resource.partition(".")
    given = getattr(container.resources, kind, None) or {}
    # Without a limit, a container may have all that the node has.
    default = node.status.allocatable if kind == "limits" else {}
    amount = parse_quantity(given.get(name) or default.get(name) or 0)
    divisor = parse_quantity(reference.divisor or 0) or 1
    return str(math.ceil(amount / divisor))
