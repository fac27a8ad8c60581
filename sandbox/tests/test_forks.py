"""What runs in a fork of the fork server: as if it had been started itself, and no longer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from sandbox.clone import Clone
from sandbox.machine import forks, processes
from sandbox.machine.program import ROOT
from sandbox.machine.waiting import wait_for
from sandbox.tests import stranger
from sandbox.tests.ended import ended

LOADED: Final = "pulumi_aws.ec2.vpc"
PLUGIN: Final = """
import sys
sys.path.append({root!r})
from sandbox.machine.forks import run
run("worker", "main")
"""
WORKER: Final = """
import json, locale, os, signal, subprocess, sys, tempfile, threading, time
loaded = "pulumi_aws.ec2.vpc" in sys.modules
from sandbox.machine.program import PROJECT

def main():
    what = sys.argv[1]
    if what == "fail":
        sys.exit(3)
    if what == "raise":
        raise ValueError("in the plugin")
    if what == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        child = subprocess.Popen(["sleep", "600"])
        print(os.getpid(), child.pid, flush=True)
        time.sleep(600)
    umask = os.umask(0)
    assert subprocess.run([sys.executable, "-c", "raise SystemExit(5)"]).returncode == 5
    print(json.dumps({
        "loaded": loaded,
        "project": PROJECT,
        "edited": "before",
        "directory": os.getcwd(),
        "arguments": sys.argv,
        "environment": dict(os.environ),
        "of its children": subprocess.check_output(["env"]).decode(errors="replace"),
        "path": sys.path,
        "input": sys.stdin.read(),
        "written at once": [sys.stdout.write_through, sys.stderr.write_through],
        "encodings": [one.encoding for one in (sys.stdin, sys.stdout, sys.stderr)],
        "bytecode": sys.dont_write_bytecode,
        "umask": umask,
        "signals": {str(one): repr(signal.getsignal(one)) for one in signal.valid_signals()},
        "blocked": [*signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "temporary": tempfile.gettempdir(),
        "zone": time.tzname,
    }))
    print("told", file=sys.stderr)
"""


class Tree:
    """A working tree with a fork server and a plugin."""

    def __init__(self, directory: Path) -> None:
        self.directory = Clone.make(directory).directory
        self.home = self.directory / ".sandbox"
        self.home.mkdir(mode=0o700)
        self.plugin = self.directory / "plugin"
        self.plugin.write_text(PLUGIN.format(root=str(self.directory)))
        self.worker = self.directory / "worker.py"
        self.worker.write_text(WORKER)
        self.log = directory / "log"
        self.server = self.start()

    def start(self) -> processes.Process:
        server = processes.start(
            "fork-server",
            [sys.executable, "-m", "sandbox.machine.fork_server"],
            environment={"PATH": os.environ["PATH"], "HOME": str(Path.home())},
            cwd=self.directory,
            log=self.log,
        )
        serves = [
            sys.executable,
            "-c",
            "from sandbox.machine import forks; print(bool(forks.serving()))",
        ]

        def answers() -> bool:
            assert processes.is_running(server), self.log.read_text()
            return subprocess.check_output(serves, cwd=self.directory) == b"True\n"

        wait_for(answers, "the fork server")
        return server

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.plugin), *arguments]

    def run(self, what: str, **given: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        told = {"input": "", **given}
        return subprocess.run(
            self.command(what), check=False, capture_output=True, text=True, **told
        )

    def told(self, **given: Any) -> dict[str, Any]:  # noqa: ANN401
        done = self.run("tell", **given)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    # Longer than the name of a socket may be.
    deep = tmp_path_factory.mktemp("a-name-that-is-" + "long-" * 20)
    tree = Tree(deep)
    yield tree
    processes.end([tree.server])


@pytest.mark.parametrize(
    "variables", [{}, {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}]
)
def test_a_fork_is_what_its_plugin_would_be(
    tree: Tree, tmp_path: Path, variables: dict[str, str]
) -> None:
    given = {
        "cwd": tmp_path,
        "env": {
            "HOME": str(Path.home()),
            "PATH": os.environ["PATH"],
            "TZ": "Asia/Tokyo",
            "TMPDIR": str(tmp_path),
            "BYTES": os.fsdecode(b"\xff"),
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/dev/null",
            **variables,
        },
        "input": "what comes in",
        "umask": 0o027,
    }
    forked = tree.told(**given)
    (tree.home / forks.SOCKET).rename(tree.home / "away")
    try:
        alone = tree.told(**given)
    finally:
        (tree.home / "away").rename(tree.home / forks.SOCKET)
    assert (forked.pop("loaded"), alone.pop("loaded")) == (True, False)
    assert forked == alone
    assert alone["input"] == "what comes in"
    assert (alone["umask"], alone["zone"][0]) == (0o027, "JST")


def test_the_status_comes_through(tree: Tree) -> None:
    assert tree.run("fail").returncode == 3
    raised = tree.run("raise")
    assert raised.returncode == 1
    assert raised.stderr.endswith("ValueError: in the plugin\n")
    assert tree.run("crash").returncode == 128 + signal.SIGKILL


def _sleeping(tree: Tree) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a plugin that has started something; return it with both."""
    plugin = subprocess.Popen(tree.command("sleep"), stdout=subprocess.PIPE, text=True)
    assert plugin.stdout is not None
    found = [psutil.Process(int(pid)) for pid in plugin.stdout.readline().split()]
    assert found[0].pid != plugin.pid
    return plugin, found


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_fork_ends_with_its_plugin(tree: Tree, number: signal.Signals, status: int) -> None:
    plugin, found = _sleeping(tree)
    plugin.send_signal(number)
    assert plugin.wait(10) == status
    wait_for(lambda: all(ended(one.pid) for one in found), "the fork to end")


def test_a_killed_engine_leaves_no_plugin(tree: Tree) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({tree.command('sleep')})"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout is not None
    found = [psutil.Process(int(pid)) for pid in engine.stdout.readline().split()]
    found += psutil.Process(engine.pid).children()
    assert len(found) == 3
    engine.kill()
    engine.wait()
    wait_for(lambda: all(ended(one.pid) for one in found), "the plugin to end")


def test_forks_leave_nothing_behind(tree: Tree) -> None:
    server = psutil.Process(tree.server.pid)
    held = server.num_fds()
    started = [subprocess.Popen(tree.command("fail")) for _ in range(10)]
    assert {one.wait() for one in started} == {3}
    wait_for(lambda: not server.children(), "no children")
    assert (server.num_fds(), server.num_threads()) == (held, 1)


INTERRUPTED: Final = """
import os, socket
from sandbox.machine.fork_server import tell_how_they_ended
who_waits, connection = socket.socketpair()
if not (fork := os.fork()):
    os._exit(3)
os.waitid(os.P_PID, fork, os.WEXITED | os.WNOWAIT)
started, waitpid = {fork: connection}, os.waitpid
def interrupted(*arguments):
    os.waitpid = waitpid
    tell_how_they_ended(started)
    return waitpid(*arguments)
os.waitpid = interrupted
tell_how_they_ended(started)
print(who_waits.recv(9), started)
"""
"""A signal handler, within which the same signal comes again."""


def test_forks_may_end_at_the_same_time() -> None:
    told = subprocess.check_output([sys.executable, "-c", INTERRUPTED], cwd=ROOT, text=True)
    assert told == "b'\\x03' {}\n"


def test_what_is_edited_counts(tree: Tree) -> None:
    assert tree.told()["loaded"]
    program = tree.directory / "sandbox/machine/program.py"
    before = program.read_text()
    try:
        program.write_text(f"{before}\nPROJECT = 'another'\n")
        tree.worker.write_text(WORKER.replace('"before"', '"after"'))
        told = tree.told()
    finally:
        program.write_text(before)
        tree.worker.write_text(WORKER)
    assert (told["loaded"], told["project"], told["edited"]) == (True, "another", "after")


def test_with_other_packages_there_is_no_fork(tree: Tree, tmp_path: Path) -> None:
    other = tmp_path / "site-packages"
    (other / "pulumi-0.1.dist-info").mkdir(parents=True)
    before = tree.plugin.read_text()
    try:
        tree.plugin.write_text(f"import sys\nsys.path.append({str(other)!r})\n{before}")
        assert not tree.told()["loaded"]
    finally:
        tree.plugin.write_text(before)
    assert tree.told()["loaded"]


@pytest.mark.parametrize("name", ["GRPC_TRACE", "PYTHONWARNINGS", "TRACEPARENT"])
def test_for_what_is_read_at_import_there_is_no_fork(tree: Tree, name: str) -> None:
    assert not tree.told(env={**os.environ, name: ""})["loaded"]


def test_each_variable_that_is_read_at_import_is_known() -> None:
    script = (
        "import json, os\n"
        "from sandbox.machine import fork_server\n"
        "read, encode = set(), os.environ.encodekey\n"
        "os.environ.encodekey = lambda key: read.add(key) or encode(key)\n"
        "fork_server.load()\n"
        "print(json.dumps(sorted(read)))\n"
    )
    read = json.loads(subprocess.check_output([sys.executable, "-c", script], cwd=ROOT))
    # `packages` has the home directory, and a fork looks for a temporary directory again.
    met = {"HOME", "TMPDIR", "TEMP", "TMP"}
    assert read
    assert [name for name in read if not name.startswith(forks.READ_AT_IMPORT)] == sorted(met)


def test_a_server_that_does_not_answer_is_not_waited_for(tree: Tree) -> None:
    server = psutil.Process(tree.server.pid)
    server.suspend()
    try:
        assert not tree.told()["loaded"]
    finally:
        server.resume()
    assert tree.told()["loaded"]


def test_nobody_else_connects(tree: Tree) -> None:
    files = (tree.home, tree.home / forks.SOCKET)
    assert [one.stat().st_mode & 0o777 for one in files] == [0o700, 0o600]
    if os.getuid() == 0:  # who else can become somebody else
        for directory in (tree.directory, *tree.directory.parents[:2]):
            directory.chmod(0o755)

        def connects() -> str:
            with socket.socket(socket.AF_UNIX) as connection:
                try:
                    connection.connect(f".sandbox/{forks.SOCKET}")
                except PermissionError as error:
                    return str(error)
            return "yes"

        assert stranger.as_somebody_else(connects, tree.directory) == "[Errno 13] Permission denied"


def test_forks_end_with_their_server(tree: Tree) -> None:
    plugin, found = _sleeping(tree)
    os.kill(tree.server.pid, signal.SIGKILL)
    wait_for(lambda: all(ended(one.pid) for one in found), "the fork to end")
    assert plugin.wait(10) == 1
    assert not tree.told()["loaded"]
    tree.server = tree.start()
    assert tree.told()["loaded"]
