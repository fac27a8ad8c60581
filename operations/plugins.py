"""Which of Pulumi's plugins on this machine have outlived their engine."""

from __future__ import annotations

import re
import socket
from pathlib import PurePath
from typing import Final

import psutil

_PLUGIN: Final = re.compile(r"pulumi-resource-.+|pulumi\.dynamic")
# The engine gives each plugin the address under which it answers itself.
_ADDRESS: Final = re.compile(r"127\.0\.0\.1:(\d+)")


def orphaned() -> list[str]:
    """Return what still runs and may still ask for what a killed engine had begun."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = [*map(str, process.info["cmdline"] or ())]
        names = [PurePath(part).name for part in command]
        plugin = next((name for name in names if _PLUGIN.fullmatch(name)), None)
        address = next(filter(None, map(_ADDRESS.fullmatch, command)), None)
        if plugin and address and not _answers(int(address[1])):
            found.append(f"{plugin} (pid {process.pid})")
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:  # it is there, and busy
        return True
    return True
