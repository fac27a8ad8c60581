"""A stack, as the Pulumi CLI knows it."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = Any


class StackError(Exception):
    """What the Pulumi CLI printed instead of doing what it was asked for."""


class Stack:
    """A stack, through the Pulumi CLI."""

    def __init__(self, name: str) -> None:
        self._name = name

    def run(self, *arguments: str) -> str:
        """Run the CLI on the stack; what it prints is shown if it fails."""
        return self._pulumi(*arguments, "--stack", self._name)

    def _pulumi(self, *arguments: str) -> str:
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if done.returncode != 0:
            raise StackError(f"`{' '.join(command)}` failed:\n{_told(done.stdout)}{done.stderr}")
        return done.stdout

    def export(self) -> Json:
        """Return the state, with its secrets encrypted."""
        return json.loads(self.run("stack", "export"))

    def cut_notes(self) -> list[Path]:
        """Return what a backend of files was about to note of the stack's file when it was killed.

        It renames a new state into its place, and writes the notes beside it (<stack>.json.attrs)
        before that where they are: without their content, it does not read the state.
        """
        url: str = json.loads(self._pulumi("whoami", "--json"))["url"]
        if not url.startswith("file://"):
            return []
        root = Path(url.removeprefix("file://").partition("?")[0]).expanduser()
        name = self._name.rpartition("/")[2]
        found = (root / ".pulumi" / "stacks").glob(f"**/{name}.json*.attrs")
        return [path for path in found if path.stat().st_size == 0]

    def take(self, state: Json) -> None:
        """Make this the state."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(state, file)
            file.flush()
            self.run("stack", "import", "--file", file.name)

    def lock(self, state: Json) -> str | None:
        """Make this the state, or return who holds the stack."""
        try:
            self.take(state)
        except StackError as error:
            if found := re.search(r"created by .*", str(error)):
                return found[0]
            raise
        return None


def _told(printed: str) -> str:
    """Return what a failed command says of it, which `--json` hides among all that it found."""
    try:
        diagnostics = json.loads(printed)["diagnostics"]
    except (ValueError, LookupError, TypeError):
        return printed
    return "".join(one["message"] for one in diagnostics if one["severity"] == "error")
