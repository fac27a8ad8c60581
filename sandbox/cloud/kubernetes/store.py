"""What an API server holds, as etcd keeps it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import urllib3

Contents: TypeAlias = Mapping[str, tuple[str, str]]
"""For each key its value and the revision at which it was written; keys and values in base 64."""

_PREFIX: Final = base64.b64encode(b"/registry/").decode()
_END: Final = base64.b64encode(b"/registry0").decode()
_AT_ONCE: Final = 100  # etcd does at most 128 operations in one transaction


@dataclass(frozen=True)
class Etcd:
    """Where an etcd is, and with what it is spoken to."""

    address: str
    keys: Path
    """A directory with the certificate of its authority, and a client's with its key."""

    @cached_property
    def pool(self) -> urllib3.PoolManager:
        """Return its connections."""
        return urllib3.PoolManager(
            ca_certs=str(self.keys / "ca.crt"),
            cert_file=str(self.keys / "client.crt"),
            key_file=str(self.keys / "client.key"),
        )


def contents(etcd: Etcd) -> Contents:
    """Return all that is there."""
    answer = _ask(etcd, "range", {"key": _PREFIX, "range_end": _END})
    return {one["key"]: (one["value"], one["mod_revision"]) for one in answer.get("kvs", [])}


def restore(etcd: Etcd, before: Contents) -> None:
    """Let there be what was there before, and nothing else, whatever a finalizer would wait for."""
    now = contents(etcd)
    operations = [{"request_delete_range": {"key": key}} for key in now.keys() - before.keys()]
    operations += [
        {"request_put": {"key": key, "value": value}}
        for key, (value, revision) in before.items()
        if now.get(key, ("", ""))[1] != revision
    ]
    for first in range(0, len(operations), _AT_ONCE):
        _ask(etcd, "txn", {"success": operations[first : first + _AT_ONCE]})


def _ask(etcd: Etcd, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
    address = f"{etcd.address}/v3/kv/{what}"
    response = etcd.pool.request("POST", address, json=body, timeout=10)
    if response.status != 200:
        raise RuntimeError(f"etcd does not answer a {what}: {response.data.decode()}")
    answer: dict[str, Any] = response.json()
    return answer
