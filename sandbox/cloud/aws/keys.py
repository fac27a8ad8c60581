"""The access keys that hold at the moment: moto knows them, and tells the emulated services."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final, TypeAlias

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

Module: TypeAlias = Any

SERVICE: Final = "sandbox-keys"
"""What a request is signed for that asks moto for a key; only AWS itself may."""
SECONDS: Final = 1.0
"""For how long an answer of moto's counts."""


@dataclass(frozen=True)
class Key:
    """What goes with an access key's id."""

    secret: str
    arn: str
    """Whose it is."""
    token: str | None = None
    expires: float | None = None


def own_id() -> str:
    """Return the id of the key with which the emulated services call each other."""
    return os.environ["AWS_ACCESS_KEY_ID"]


def own() -> Key:
    """Return that key: who has it is AWS itself, whom nobody refuses."""
    account = os.environ.get("MOTO_ACCOUNT_ID") or os.environ.get("MINISTACK_ACCOUNT_ID", "")
    return Key(os.environ["AWS_SECRET_ACCESS_KEY"], f"arn:aws:iam::{account}:root")


def in_moto(key_id: str) -> Key | None:
    """Return a key that is active and of somebody who is there; to be asked in moto's process."""
    if key_id == own_id():
        return own()
    for iam in _backends("iam"):
        for user in iam.users.values():
            for key in user.access_keys:
                if key.access_key_id == key_id and key.status == "Active":
                    return Key(key.secret_access_key, user.arn)
    roles = {role.arn for iam in _backends("iam") for role in iam.roles.values()}
    for sts in _backends("sts"):
        session = sts.get_assumed_role_from_access_key(key_id)
        if session is not None and session.role_arn in roles:
            secret, token = session.secret_access_key, session.session_token
            return Key(
                secret, session.arn, token, session.expiration.replace(tzinfo=UTC).timestamp()
            )
    return None


def _backends(service: str) -> Iterator[Any]:
    module: Module = import_module(f"moto.{service}.models")
    for partitions in list(getattr(module, f"{service}_backends").values()):
        yield from list(partitions.values())


class Asked:
    """The keys as moto tells them to another service."""

    def __init__(self, moto: str, region: str) -> None:
        self._moto = moto
        self._region = region
        self._session = URLLib3Session()
        self._told: dict[str, tuple[float, Key]] = {}

    def find(self, key_id: str) -> Key | None:
        """Return a key that holds."""
        if key_id == own_id():
            return own()
        until, known = self._told.get(key_id, (0.0, None))
        if time.monotonic() > until:
            known = self._ask(key_id)
            self._told.pop(key_id, None)
            if known is not None:
                self._told[key_id] = (time.monotonic() + SECONDS, known)
        return known

    def _ask(self, key_id: str) -> Key | None:
        request = AWSRequest("GET", f"{self._moto}/", params={"id": key_id})
        credentials = Credentials(own_id(), own().secret)
        SigV4Auth(credentials, SERVICE, self._region).add_auth(request)
        response = self._session.send(request.prepare())
        if response.status_code != HTTPStatus.OK:
            raise RuntimeError(f"moto tells of no access keys: {response.text}")
        found: Mapping[str, Any] | None = json.loads(response.content)
        return None if found is None else Key(**found)


def told(key: Key | None) -> bytes:
    """Return what moto answers who asks for a key."""
    return json.dumps(key and asdict(key)).encode()
