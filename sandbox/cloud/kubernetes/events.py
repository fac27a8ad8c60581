"""Events, by which Kubernetes tells a reader what becomes of a pod."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal


def event(
    pod: Any,  # noqa: ANN401
    kind: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    source: dict[str, str],
) -> dict[str, Any]:
    """Return an event of a pod; an Event holds 1,024 characters of a message."""
    now = datetime.now(UTC).isoformat()
    return {
        "metadata": {"generateName": f"{pod.metadata.name[:57]}."},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "uid": pod.metadata.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": source,
    }
