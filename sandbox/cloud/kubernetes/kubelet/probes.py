"""What a kubelet asks containers, and what it has them do when they begin and end."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import psutil

from sandbox.cloud.kubernetes.kubelet.containers import Container, StartError
from sandbox.cloud.kubernetes.kubelet.environment import UnsupportedError

ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  (nothing is bound)
"""Where who listens is at all addresses."""
HOOK_TIMEOUT: Final = 30.0


class FailedError(Exception):
    """What an action came to."""


def check_supported(spec: Any) -> None:  # noqa: ANN401
    """UnsupportedError names what a container asks for and the sandbox has not."""
    for kind in ("startup", "liveness", "readiness"):
        probe = getattr(spec, f"{kind}_probe")
        if probe is not None and probe.grpc is not None:
            raise UnsupportedError(f"the sandbox makes no gRPC probes, as {spec.name} wants one")


def act(container: Container, action: Any, timeout: float) -> None:  # noqa: ANN401
    """Do what a probe or a hook says; FailedError tells that it did not go well."""
    if action._exec is not None:
        _execute(container, action._exec.command, timeout)
    elif action.http_get is not None:
        _get(container, action.http_get, timeout)
    elif action.tcp_socket is not None:
        _find(container, action.tcp_socket)
    else:  # a hook only
        container.ended.wait(action.sleep.seconds)


def _execute(container: Container, command: list[str], timeout: float) -> None:
    try:
        process = container.start_another(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except StartError as error:
        raise FailedError(str(error)) from None
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise FailedError(f"command timed out after {timeout:.0f} s") from None
    if process.returncode != 0:
        raise FailedError(output.decode(errors="replace") or f"status {process.returncode}")


def _get(container: Container, action: Any, timeout: float) -> None:  # noqa: ANN401
    scheme = (action.scheme or "HTTP").lower()
    if action.host in (None, container.address):
        port = _find(container, action)
    else:
        port = _port(container, action.port)
    path = (action.path or "/").removeprefix("/")
    request = urllib.request.Request(  # noqa: S310  (http or https)
        f"{scheme}://{action.host or container.address}:{port}/{path}",
        headers={
            "User-Agent": "kube-probe/1.35",
            **{one.name: one.value for one in action.http_headers or ()},
        },
    )
    trusting = ssl._create_unverified_context()  # noqa: S323  (as a kubelet)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        with opener.open(request, timeout=timeout):
            pass
    except urllib.error.HTTPError as error:
        raise FailedError(f"HTTP probe failed with statuscode: {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise FailedError(str(error)) from None


def _find(container: Container, action: Any) -> int:  # noqa: ANN401
    """Return the port of an action, on which the container and nobody else must listen."""
    port = _port(container, action.port)
    process = container.process
    places = {(address, port) for address in (container.address, *ANYWHERE)}
    if process is None or not places & listening(process.pid):
        raise FailedError(f"dial tcp {container.address}:{port}: connect: connection refused")
    return port


def _port(container: Container, port: int | str) -> int:
    if isinstance(port, int):
        return port
    named = {one.name: one.container_port for one in container.spec.ports or ()}
    if port not in named:
        raise FailedError(f"couldn't find port: {port}")
    return int(named[port])


def listening(session: int) -> set[tuple[str, int]]:
    """Return the addresses and ports at which the processes of a session listen."""
    places = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                places |= {
                    # A socket for IPv6 may listen at an address of IPv4.
                    (one.laddr.ip.removeprefix("::ffff:"), one.laddr.port)
                    for one in process.net_connections("tcp")
                    if one.status == psutil.CONN_LISTEN
                }
        except (OSError, psutil.Error):  # another user's, or it has ended
            continue
    return places


def watch(
    container: Container, changed: Callable[[str], None], kill: Callable[[str], None]
) -> None:
    """Ask a container what its probes ask, until it ends.

    `changed` is called when it has started or has become ready or unready, with the reason;
    `kill` when it must end.
    """
    spec = container.spec
    if spec.startup_probe and not _ask(container, spec.startup_probe, None, kill, "startup"):
        return
    if not container.started:
        container.started = True
        container.ready = spec.readiness_probe is None
        changed("")
    if spec.liveness_probe:
        threading.Thread(
            target=_ask,
            args=(container, spec.liveness_probe, None, kill, "liveness"),
            daemon=True,
        ).start()
    if spec.readiness_probe:
        _ask(container, spec.readiness_probe, changed, None, "readiness")


def _ask(
    container: Container,
    probe: Any,  # noqa: ANN401
    changed: Callable[[str], None] | None,
    kill: Callable[[str], None] | None,
    kind: str,
) -> bool:
    """Ask until the container ends; a startup probe only until it succeeds."""
    process = container.process
    good = bad = 0
    container.ended.wait(probe.initial_delay_seconds or 0)
    while container.process is process and process is not None:
        begun = time.monotonic()
        problem = ""
        try:
            act(container, probe, probe.timeout_seconds or 1)
            good, bad = good + 1, 0
        except FailedError as error:
            problem = f"{kind} probe failed: {error}"
            good, bad = 0, bad + 1
        if container.process is not process:
            return False
        enough = good >= (probe.success_threshold or 1)
        if bad >= (probe.failure_threshold or 3) and kill is not None:
            kill(problem)
            return False
        if enough and kind == "startup":
            return True
        if changed is not None:
            ready = enough or (container.ready and bad < (probe.failure_threshold or 3))
            if ready != container.ready or problem:
                container.ready = ready
                changed(problem)
        container.ended.wait(max((probe.period_seconds or 10) - (time.monotonic() - begun), 0))
    return False
