"""The pods that are run here, from their start to their end."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes.kubelet import probes
from sandbox.cloud.kubernetes.kubelet.containers import KILLED, Command, Container, Mount, View
from sandbox.cloud.kubernetes.kubelet.environment import (
    Contents,
    NotYetError,
    UnsupportedError,
    environment,
    expand,
    told,
)
from sandbox.cloud.kubernetes.kubelet.identity import PodIdentity, emulated
from sandbox.cloud.kubernetes.kubelet.images import Images, Pulls, failure
from sandbox.cloud.kubernetes.kubelet.known import Image, KnownImages
from sandbox.cloud.kubernetes.kubelet.network import MACHINE, Network
from sandbox.cloud.kubernetes.kubelet.volumes import Volumes
from sandbox.cloud.kubernetes.watching import RETRY, TIMEOUT, warn

BACK_OFF, LONGEST_BACK_OFF, RECOVERED = 10.0, 300.0, 600.0
"""Seconds: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy"""
UNSUPPORTED: Final = "NotInSandbox"
NOTHING: Final = Image((), {}, ())
"""What is known of most images."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Machine:
    """Where pods run."""

    api: Any
    """The core API, as the kubelet."""
    directory: Path
    """What pods keep here is in a directory of each."""
    services: Mapping[str, str]
    """Where pods find the API server."""
    no_view: str
    """Why containers can have no view of their own of this machine's files."""
    images: Images
    known: KnownImages
    identity: PodIdentity
    network: Network


class Pod:
    """A pod that is run here."""

    def __init__(self, machine: Machine, found: Any) -> None:  # noqa: ANN401
        self._machine = machine
        self.found = found
        self._directory: Path = machine.directory / found.metadata.uid
        self._contents = Contents(machine.api, found.metadata.namespace)
        self._pulls = Pulls(machine.images)
        self._volumes = Volumes(machine.api, self._directory / "volumes", self._contents)
        policy = found.spec.restart_policy
        self._address = machine.network.join(found, self._directory / "hosts")
        self.containers = [
            *(
                Container(one, one.restart_policy or policy, self._address, starting=True)
                for one in found.spec.init_containers or ()
            ),
            *(
                Container(one, one.restart_policy or policy, self._address)
                for one in found.spec.containers
            ),
        ]
        if found.spec.init_containers:
            for container in self.containers:
                container.waits_for = ("PodInitializing", "")
        self._role: tuple[dict[str, str], list[Mount]] | None = None
        self._begun = found.status.start_time or datetime.now(UTC)
        self._has_volumes = False
        self._failure: tuple[str, str] | None = None
        self._deleting = False
        self._ending = threading.Event()
        self._gone = threading.Event()
        self._publishing = threading.Lock()
        self._conditions: dict[str, tuple[str, str]] = {}
        self._told: set[str] = set()
        self._keepers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._live, daemon=True)

    @property
    def _name(self) -> str:
        return str(self.found.metadata.name)

    @property
    def _of(self) -> tuple[str, str]:
        return self.found.metadata.name, self.found.metadata.namespace

    @property
    def _starting(self) -> list[Container]:
        return [one for one in self.containers if one.starting]

    @property
    def _main(self) -> list[Container]:
        return [one for one in self.containers if not one.starting]

    def connect(self, port: int) -> socket.socket:
        """Connect to a port on which one of its containers listens, and nobody else."""
        for container in self.containers:
            if process := container.process:
                listening = probes.listening(process.pid)
                for address in (MACHINE, self._address):
                    if listening & {(one, port) for one in (address, *probes.ANYWHERE)}:
                        return socket.create_connection((address, port), timeout=None)
        raise ConnectionRefusedError(f"dial tcp4 {MACHINE}:{port}: connect: connection refused")

    def start(self) -> None:
        """Begin to live."""
        self._thread.start()

    def delete(self) -> None:
        """End, and then let the API server forget it."""
        if self._deleting:
            return
        self._deleting = True
        self._ending.set()
        seconds = self.found.metadata.deletion_grace_period_seconds
        threading.Thread(target=self._delete, args=(seconds or 0,), daemon=True).start()

    def vanish(self) -> None:
        """End at once: the API server has forgotten it."""
        self._gone.set()
        self._ending.set()
        self._end_containers(0)

    def _delete(self, grace: float) -> None:
        self._end_containers(grace)
        self._thread.join()
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.found.metadata.uid}}
        self._insist(partial(self._machine.api.delete_namespaced_pod, *self._of, body=body))

    def _live(self) -> None:
        expiry: threading.Timer | None = None
        try:
            if any(one.state.running or one.state.terminated for one in self._known()):
                self._lose()
                return
            self.publish()
            if (seconds := self.found.spec.active_deadline_seconds) is not None:
                left = seconds - (datetime.now(UTC) - self._begun).total_seconds()
                expiry = threading.Timer(max(left, 0), self._expire)
                expiry.daemon = True
                expiry.start()
            self._check()
            self._run()
        except Exception as error:  # whatever it is, nobody is to take the pod for a good one
            self._fail(error)
        finally:
            if expiry:
                expiry.cancel()
            self._finish()

    def _check(self) -> None:
        """UnsupportedError names what this pod needs and the sandbox has not."""
        for container in self.containers:
            spec = container.spec
            known = self._image(container)
            if not (spec.command or known):
                raise UnsupportedError(
                    f"there are no images here, so that what {spec.image} runs by itself is not "
                    f"known: container {spec.name} must name its command"
                )
            if (spec.volume_mounts or known) and self._machine.no_view:
                raise UnsupportedError(
                    "this machine does not let the sandbox mount the volumes of container "
                    f"{spec.name}, or its image: {self._machine.no_view}"
                )
            probes.check_supported(spec)
            if spec.volume_devices:
                raise UnsupportedError("there are no block devices")
            if spec.restart_policy_rules:
                raise UnsupportedError("the sandbox does not know restartPolicyRules")
            if any(one.mount_propagation == "Bidirectional" for one in spec.volume_mounts or ()):
                raise UnsupportedError("mounts of a container do not reach other containers here")

    def _run(self) -> None:
        if not self._until(self._prepare_volumes):
            return
        for container in self._starting:
            if container.is_sidecar:
                self._keep_meanwhile(container)
                while not (container.started or self._ending.wait(0.1)):
                    pass
            else:
                self._keep(container)
                if container.exit_code != 0 or not container.terminated:
                    return
            if self._ending.is_set():
                return
        keepers = [self._keep_meanwhile(container) for container in self._main]
        for keeper in keepers:
            keeper.join()

    def _keep_meanwhile(self, container: Container) -> threading.Thread:
        keeper = threading.Thread(target=self._keep, args=(container,), daemon=True)
        self._keepers.append(keeper)
        keeper.start()
        return keeper

    def _prepare_volumes(self) -> bool:
        try:
            self._volumes.prepare(self.found, self._node())
        except NotYetError as error:
            self._warn("FailedMount", str(error))
            return False
        self._has_volumes = True
        return True

    def _keep(self, container: Container) -> None:
        """Run a container as often as its policy says."""
        delay = 0.0
        try:
            while command := self._until(partial(self._prepare, container)):
                begun = time.monotonic()
                message = self._container_directory(container) / "message"
                container.run(command, message, partial(self._begin, container))
                again = container.wants_restart and not self._ending.is_set()
                if time.monotonic() - begun > RECOVERED:
                    delay = 0.0
                if again and delay:
                    why = (
                        f"back-off {delay:.0f}s restarting failed container={container.name} "
                        f"pod={self._name}_{self.found.metadata.namespace}"
                        f"({self.found.metadata.uid})"
                    )
                    container.waits_for = ("CrashLoopBackOff", why)
                    container.waiting = True
                    self._warn("BackOff", why)
                self.publish()
                container.log.close()
                if not again:
                    return
                self._ending.wait(delay)
                delay = min(max(BACK_OFF, 2 * delay), LONGEST_BACK_OFF)
        except Exception as error:  # as above
            self._fail(error)

    def _begin(self, container: Container) -> None:
        hooks = container.spec.lifecycle
        if hooks and hooks.post_start:
            try:
                probes.act(container, hooks.post_start, probes.HOOK_TIMEOUT)
            except probes.FailedError as error:
                self._kill(container, f"PostStartHook failed: {error}")
        self.publish()
        threading.Thread(
            target=probes.watch,
            args=(container, partial(self._say, container), partial(self._kill, container)),
            daemon=True,
        ).start()
        if self._ending.is_set():  # since it was looked which containers are to be ended
            threading.Thread(target=container.end, args=(0,), daemon=True).start()

    def _say(self, container: Container, problem: str) -> None:
        if problem:
            self._warn("Unhealthy", f"{container.name}: {problem}")
        self.publish()

    def _kill(self, container: Container, problem: str) -> None:
        self._warn("Unhealthy", f"{container.name}: {problem}")
        grace = self.found.spec.termination_grace_period_seconds or 0
        threading.Thread(target=self._end, args=(container, grace), daemon=True).start()

    def _end(self, container: Container, grace: float) -> None:
        """End a container, after what it is to do before its end."""
        deadline = time.monotonic() + grace
        hooks = container.spec.lifecycle
        if hooks and hooks.pre_stop and container.process and grace > 0:
            try:
                probes.act(container, hooks.pre_stop, grace)
            except probes.FailedError as error:
                self._warn("FailedPreStopHook", f"{container.name}: {error}")
        container.end(deadline - time.monotonic())

    def _until(self, attempt: Callable[[], Found | None]) -> Found | None:
        """Try until there is something; nothing, if the pod is to end before."""
        while not self._ending.is_set():
            try:
                if found := attempt():
                    return found
            except (ApiException, HTTPError) as error:
                print(f"{self._name}: {error}", flush=True)
            self._ending.wait(RETRY)
        return None

    def _prepare(self, container: Container) -> Command | None:
        try:
            return self._command(container)
        except NotYetError as error:
            if container.waits_for != (error.reason, str(error)):
                container.waits_for = (error.reason, str(error))
                container.waiting = True
                self._warn("Failed", failure(container.spec.image, error.reason, str(error)))
                self.publish()
            return None

    def _command(self, container: Container) -> Command:
        spec = container.spec
        node = self._node()
        self._pulls.require(spec.image or "", spec.image_pull_policy, node)
        known = self._image(container) or NOTHING
        user, group = self._identity(container)
        if self._role is None:  # as the webhook does, once
            self._role = self._machine.identity.variables(self.found, self._directory / "role")
        of_role, role_files = self._role
        variables = emulated() | environment(
            self.found, spec, node, self._contents, self._machine.services
        )
        variables = of_role | variables
        directory = self._container_directory(container)
        shutil.rmtree(directory, ignore_errors=True)
        home = directory / "home"
        for part in ("home", "root", "tmp", "work"):
            (directory / part).mkdir(parents=True)
        (directory / "message").touch()
        hostname = (self.found.spec.hostname or self._name)[:63].rstrip("-.")
        view = None
        if not self._machine.no_view:
            mounts = [*known.mounts, *role_files, *self._volumes.mounts(spec, variables)]
            mounts += [
                Mount(self._directory / "hosts", "/etc/hosts", read_only=True),
                Mount(home, str(home)),
                Mount(directory / "tmp", str(directory / "tmp")),
                Mount(directory / "message", spec.termination_message_path),
            ]
            if (place := spec.working_dir) and not (
                Path(place).is_dir() or any(Path(place).is_relative_to(m.target) for m in mounts)
            ):
                mounts.append(Mount(directory / "work", place))
            read_only = spec.security_context and spec.security_context.read_only_root_filesystem
            view = View(directory / "root", tuple(mounts), user, group, hostname, bool(read_only))
        return Command(
            (
                *(() if spec.command else known.entrypoint),
                *(expand(one, variables) for one in [*(spec.command or ()), *(spec.args or ())]),
            ),
            spec.working_dir or str(home),
            {
                "HOME": str(home),
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
                "HOSTNAME": hostname,
                "TMPDIR": str(directory / "tmp"),
                **known.environment(self._address, str(directory / "tmp")),
                **variables,
            },
            view,
        )

    def _identity(self, container: Container) -> tuple[int, int]:
        """Return as which user and group a container runs."""
        wanted = {}
        for name in ("run_as_user", "run_as_group", "run_as_non_root"):
            for context in (self.found.spec.security_context, container.spec.security_context):
                if (value := getattr(context, name, None)) is not None:
                    wanted[name] = value
        user = wanted.get("run_as_user")
        if wanted.get("run_as_non_root"):
            if user is None:
                raise UnsupportedError(
                    "there are no images here, so that nobody knows whether the user of "
                    f"{container.spec.image} is root: container {container.name}, which must not "
                    "run as root, must name its user (runAsUser)"
                )
            if user == 0:
                raise NotYetError("container's runAsUser breaks non-root policy")
        if user is None:
            return os.getuid(), wanted.get("run_as_group", os.getgid())
        return user, wanted.get("run_as_group", 0)

    def _image(self, container: Container) -> Image | None:
        return self._machine.known.find(container.spec.image or "")

    def _container_directory(self, container: Container) -> Path:
        return self._directory / "containers" / container.name

    def _node(self) -> Any:  # noqa: ANN401
        return self._machine.api.read_node(self.found.spec.node_name, _request_timeout=TIMEOUT)

    def _fail(self, error: Exception) -> None:
        message = str(error)
        if not isinstance(error, UnsupportedError):
            message = f"the sandbox could not run this pod: {error!r}"
            traceback.print_exception(error)
        self._warn(UNSUPPORTED, message)
        if self.found.spec.restart_policy == "Always":  # or its controller makes one after another
            for container in self.containers:
                container.waits_for = (UNSUPPORTED, message)
            self.publish()
            self._ending.wait()
            return
        self._failure = (UNSUPPORTED, message)
        self._ending.set()
        for container in self.containers:
            if container.waiting:
                container.refuse(message, UNSUPPORTED)

    def _lose(self) -> None:
        message = "lost with the kubelet that ran it"
        self._failure = ("ContainerStatusUnknown", message)
        for container in self.containers:
            end = next(
                (s.state.terminated for s in self._known() if s.name == container.name), None
            )
            if end:
                container.stop(end.exit_code, end.reason, end.message or "")
            else:
                container.log.print(f"sandbox: {message}\n".encode())
                container.stop(KILLED, "ContainerStatusUnknown", message)

    def _known(self) -> list[Any]:
        """Return what the API server knows of its containers."""
        status = self.found.status
        return [*(status.init_container_statuses or ()), *(status.container_statuses or ())]

    def _expire(self) -> None:
        message = "Pod was active on the node longer than the specified deadline"
        self._failure = ("DeadlineExceeded", message)
        self._ending.set()
        self._end_containers(self.found.spec.termination_grace_period_seconds or 0)

    def _end_containers(self, grace: float) -> None:
        deadline = time.monotonic() + grace
        # Sidecars serve the others until these have ended.
        for group in (self._main, list(reversed(self._starting))):
            enders = [
                threading.Thread(
                    target=self._end, args=(container, deadline - time.monotonic()), daemon=True
                )
                for container in group
            ]
            for ender in enders:
                ender.start()
            for ender in enders:
                ender.join()

    def _finish(self) -> None:
        self._ending.set()
        self._end_containers(self.found.spec.termination_grace_period_seconds or 0)
        for keeper in self._keepers:
            keeper.join()
        for container in self.containers:
            container.waiting = container.waiting and container.terminated is None
        self._machine.network.leave(self.found.metadata.uid)
        shutil.rmtree(self._directory, ignore_errors=True)
        self.publish()
        for container in self.containers:
            container.log.close()

    def publish(self) -> None:
        """Let the API server know how it is."""
        with self._publishing:
            body = {"metadata": {"uid": self.found.metadata.uid}, "status": self._status()}
            known = self._insist(
                partial(self._machine.api.patch_namespaced_pod_status, *self._of, body)
            )
            if known is not None:
                self.found = known

    def correct(self) -> None:
        """Say again whether it is ready, where another one has said something else.

        A node that was not heard of for a while has its pods marked as not ready.
        """
        known = {one.type: one.status for one in self.found.status.conditions or ()}
        if known.get("Ready", "") != self._conditions.get("Ready", ("", ""))[0]:
            threading.Thread(target=self.publish, daemon=True).start()

    def _insist(self, request: Callable[..., Any]) -> Any:  # noqa: ANN401
        """Ask the API server until it answers, or the pod is gone."""
        while not self._gone.is_set():
            try:
                return request(_request_timeout=TIMEOUT)
            except ApiException as error:
                if error.status in (http.client.NOT_FOUND, http.client.CONFLICT):
                    return None  # deleted meanwhile, or another one has its name
                print(f"{self._name}: {told(error)}", flush=True)
                if error.status == http.client.UNPROCESSABLE_ENTITY:
                    return None
            except HTTPError as error:
                print(f"{self._name}: {error}", flush=True)
            self._gone.wait(RETRY)
        return None

    def _warn(self, reason: str, message: str) -> None:
        """Let a reader of events know, once."""
        if message in self._told:
            return
        self._told.add(message)
        warn(self._machine.api, self.found, reason, message)

    def _phase(self) -> str:
        ended = [one for one in self.containers if one.terminated and not one.waiting]
        if self._failure and self._ending.is_set():
            return "Failed" if not self._alive() else "Running"
        if any(one.starting and one.exit_code and not one.wants_restart for one in ended):
            return "Failed"
        if any(one.waiting and not one.terminated for one in self._main):
            return "Failed" if self._ending.is_set() and not self._alive() else "Pending"
        if self._alive():
            return "Running"
        if any(one.wants_restart for one in self._main) and not self._ending.is_set():
            return "Running"
        return "Failed" if any(one.exit_code for one in self._main) else "Succeeded"

    def _alive(self) -> bool:
        return any(one.running_since for one in self.containers)

    def _status(self) -> dict[str, Any]:
        phase = self._phase()
        over = phase in ("Failed", "Succeeded")
        ready = phase == "Running" and all(
            one.ready for one in self.containers if not one.starting or one.is_sidecar
        )
        initialized = all(
            one.started or one.ready if one.is_sidecar else one.terminated and not one.exit_code
            for one in self._starting
        )
        gates = {one.condition_type for one in self.found.spec.readiness_gates or ()}
        open_gates = {
            one.type for one in self.found.status.conditions or () if one.status == "True"
        }
        why = {"Failed": "PodFailed", "Succeeded": "PodCompleted"}.get(phase, "ContainersNotReady")
        facts = {
            "PodReadyToStartContainers": (self._has_volumes and not over, ""),
            "Initialized": (initialized or phase == "Succeeded", "ContainersNotInitialized"),
            "ContainersReady": (ready, why),
            "Ready": (ready and gates <= open_gates, "ReadinessGatesNotReady" if ready else why),
        }
        reason, message = self._failure or (None, None)
        return {
            "phase": phase,
            "reason": reason,
            "message": message,
            "startTime": self._begun.isoformat(),
            "hostIP": MACHINE,
            "hostIPs": [{"ip": MACHINE}],
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "conditions": [self._condition(kind, *fact) for kind, fact in facts.items()],
            "initContainerStatuses": [one.status() for one in self._starting],
            "containerStatuses": [one.status() for one in self._main],
        }

    def _condition(self, kind: str, fact: object, why: str) -> dict[str, Any]:
        status = "True" if fact else "False"
        if self._conditions.get(kind, ("", ""))[0] != status:
            self._conditions[kind] = (status, datetime.now(UTC).isoformat())
        return {
            "type": kind,
            "status": status,
            "reason": None if fact else why or None,
            "lastTransitionTime": self._conditions[kind][1],
        }
