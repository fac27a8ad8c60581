"""A secrets backend that knows the connections it is given, and what it has been asked for."""

from __future__ import annotations

from typing import ClassVar

try:
    from airflow.sdk.bases.secrets_backend import BaseSecretsBackend  # Airflow 3.2 and newer
except ImportError:
    from airflow.secrets.base_secrets import BaseSecretsBackend


class RecordingSecrets(BaseSecretsBackend):  # type: ignore[misc]  # there is no Airflow to look at
    """In the place of AWS Secrets Manager."""

    connections: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def get_conn_value(self, conn_id: str, *_: object, **__: object) -> str | None:
        """Return a connection as Secrets Manager holds it."""
        self.asked.append(f"connection {conn_id}")
        return self.connections.get(conn_id)

    def get_variable(self, key: str, *_: object, **__: object) -> str | None:
        """Return nothing: there are no variables."""
        self.asked.append(f"variable {key}")
        return None

    def get_config(self, key: str) -> str | None:
        """Return nothing: there is no secret configuration."""
        self.asked.append(f"configuration {key}")
        return None
