"""The commands of the sandbox: `python -m sandbox --help`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from sandbox import stack
from sandbox.cloud import lifecycle
from sandbox.cloud.lifecycle import Cloud
from sandbox.machine.processes import PRIVATE, SandboxError


def main() -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {
        "up": "bring the platform up on this machine, mending what is broken",
        "airflow": "run the Airflow of the platform on this machine until Ctrl-C",
        "down": "destroy the platform and leave nothing",
        "build": "build the tools that the sandbox needs, where that has not been done",
        "start": "start the emulated AWS and the Kubernetes control plane only",
        "stop": "end them, with everything in them",
        "status": "tell what runs",
    }.items():
        commands.add_parser(name, help=text, description=text)
    text = "show what `up` would change"
    preview = commands.add_parser("preview", help=text, description=text)
    preview.add_argument(
        "--policy-pack", action="append", default=[], help="the directory of a pack that judges it"
    )
    text = "run DAGs to their end and show what came of them"
    dags = commands.add_parser("dags", help=text, description=text)
    dags.add_argument("ids", nargs="*", help="by default the examples")
    dags.add_argument("--conf", help="the parameters of each run, as JSON")
    dags.add_argument("-v", "--verbose", action="store_true", help="show all that Airflow prints")
    arguments = parser.parse_args()
    os.umask(PRIVATE)
    try:
        return _run(arguments)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    commands: dict[str, Callable[[], int | None]] = {
        "up": lambda: stack.up(_report),
        "preview": lambda: stack.preview(_report, arguments.policy_pack),
        "airflow": _airflow,
        "dags": lambda: _dags(arguments),
        "down": lambda: stack.down(_report),
        "build": stack.build_tools,
        "start": _start,
        "stop": _stop,
        "status": _status,
    }
    return commands[arguments.command]() or 0


def _airflow() -> int:
    from sandbox.runs import airflow  # noqa: PLC0415  (slow)

    return airflow.serve(_report)


def _dags(arguments: argparse.Namespace) -> int:
    from sandbox.runs import dag_runs  # noqa: PLC0415  (slow)

    dags = arguments.ids or dag_runs.EXAMPLES
    return dag_runs.run(_report, dags, arguments.conf, verbose=arguments.verbose)


def _start() -> None:
    stack.start(_report)


def _stop() -> None:
    _report("the sandbox is gone" if lifecycle.stop() else "there is no sandbox")


def _status() -> int:
    found = Cloud.load()
    if found is None:
        print("there is no sandbox")
        return 1
    ended = found.ended()
    for name, process in found.processes.items():
        state = "ended" if name in ended else f"pid {process.pid}"
        port = f"port {found.ports[name]}" if name in found.ports else ""
        print(f"{name:24}{state:12}{port}".rstrip())
    return 1 if ended else 0


def _report(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
