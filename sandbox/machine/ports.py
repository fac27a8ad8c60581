"""Ports of loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from typing import Final

from sandbox.machine.processes import SandboxError

# Below the ranges from which Linux (32768) and macOS (49152) take ports for outgoing connections,
# so that a process that is started again finds its port free.
RANGE: Final = range(20000, 30000)


def answers(port: int) -> bool:
    """Tell whether something listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free(names: Sequence[str]) -> dict[str, int]:
    """Return a free port for each name."""
    ports: dict[str, int] = {}
    for port in random.sample(RANGE, len(RANGE)):
        if answers(port):
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports[names[len(ports)]] = port
        if len(ports) == len(names):
            return ports
    raise SandboxError(f"no free ports in {RANGE.start}-{RANGE.stop - 1}")
