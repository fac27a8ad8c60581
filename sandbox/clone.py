"""A copy of this working tree with a sandbox of its own, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import kubernetes.client
import kubernetes.config
from kubernetes.dynamic import DynamicClient

from sandbox.machine.program import DIRECTORY, ROOT


@dataclass
class Clone:
    """A working tree at `directory`, whose sandbox runs between `start` and `stop`."""

    directory: Path
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    """Added to what sandbox/env gives, for Pulumi and its plugins."""
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def make(cls, directory: Path) -> Clone:
        """Copy every file of this tree that git would see to `directory`."""
        clone = cls(directory)
        clone.restore()
        return clone

    def restore(self) -> None:
        """Make its files those of this tree, whatever they were, and leave the sandbox alone."""
        for entry in self.directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                if entry.name != DIRECTORY.name:
                    shutil.rmtree(entry)
            else:
                entry.unlink()
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():  # a file may be deleted and not yet committed
                (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.directory / name)
        (self.directory / ".venv").symlink_to(sys.prefix)

    def start(self, address: str = "") -> None:
        """Start the sandbox's processes, or let the machine stand elsewhere where they run."""
        at = {**os.environ, "SANDBOX_ADDRESS": address}
        self._run([sys.executable, "-m", "sandbox", "start"], at, check=True)

    def stop(self) -> None:
        """End the sandbox's processes and remove what they held."""
        self.sandbox("stop")

    def sandbox(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the sandbox; with `check`, a failure shows what it printed."""
        return self._run([sys.executable, "-m", "sandbox", *arguments], os.environ, check=check)

    @cached_property
    def environment(self) -> dict[str, str]:
        """What `eval "$(sandbox/env)"` makes of this process's environment."""
        script = subprocess.run(
            [str(self.directory / "sandbox/env")], check=True, capture_output=True, text=True
        ).stdout
        dumped = subprocess.run(
            ["bash", "-c", f"{script}\n{shlex.quote(sys.executable)} -c "
             "'import json, os; print(json.dumps(dict(os.environ)))'"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout  # fmt: skip
        environment: dict[str, str] = json.loads(dumped)
        return {**environment, **self.extra_environment}

    def pulumi(
        self, *arguments: str, stack: str = "sandbox", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the Pulumi CLI on a stack; with `check`, a failure shows what it printed."""
        command = ["pulumi", *arguments, "--stack", stack, "--non-interactive"]
        return self._run(command, self.environment, check=check)

    def unprotect(self, stack: str = "sandbox") -> None:
        """Let `pulumi destroy` delete what the program protects, too."""
        self.pulumi("state", "unprotect", "--all", "--yes", stack=stack)

    def _run(
        self, command: list[str], environment: Mapping[str, str], *, check: bool
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if check and result.returncode != 0:
            # What went wrong comes last; a preview as JSON has thousands of lines before.
            told = f"{result.stdout}{result.stderr}"[-4000:]
            message = f"`{shlex.join(command)}` ended with {result.returncode}:\n{told}"
            raise RuntimeError(message)
        return result

    def resources(self, stack: str = "sandbox") -> list[dict[str, Any]]:
        """The resources in the stack's state."""
        exported = json.loads(self.pulumi("stack", "export", stack=stack).stdout)
        resources: list[dict[str, Any]] = exported["deployment"].get("resources", [])
        return resources

    def outputs(self, stack: str = "sandbox") -> dict[str, Any]:
        """The stack's outputs."""
        outputs: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", stack=stack).stdout
        )
        return outputs

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session()  # the default one would keep another clone's credentials

    def aws(self, service: str) -> Any:  # noqa: ANN401  (boto3 makes its clients at run time)
        """A boto3 client of an emulated service."""
        if service not in self._clients:
            # Its endpoint and credentials come from the variables that every AWS SDK reads.
            with mock.patch.dict(os.environ, self.environment):
                self._clients[service] = self._session.client(service)  # type: ignore[call-overload]
        return self._clients[service]

    @cached_property
    def kubernetes(self) -> kubernetes.client.ApiClient:
        """A client of the sandbox's API server, as its administrator."""
        client: kubernetes.client.ApiClient = kubernetes.config.new_client_from_config(
            self.environment["KUBECONFIG"]
        )
        return client

    def get(self, api_version: str, kind: str, **selection: str) -> Any:  # noqa: ANN401
        """What the API server holds of a kind: one object by name, or a list with `items`."""
        client = DynamicClient(self.kubernetes)
        return client.resources.get(api_version=api_version, kind=kind).get(**selection)
