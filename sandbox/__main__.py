"""The commands of the sandbox: `python -m sandbox --help`."""

from __future__ import annotations

import argparse
import sys

from sandbox import cloud, stack
from sandbox.cloud import Cloud, SandboxError


def main() -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in {
        "up": "bring the platform up on this machine, mending what is broken",
        "preview": "show what `up` would change",
        "down": "destroy the platform and leave nothing",
        "build": "build the tools that the sandbox needs, where that has not been done",
        "start": "start the emulated AWS and the Kubernetes control plane only",
        "stop": "end them, with everything in them",
        "status": "tell what runs",
    }.items():
        commands.add_parser(name, help=text, description=text)
    command = parser.parse_args().command
    try:
        return _run(command)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(command: str) -> int:
    match command:
        case "up":
            return stack.up(_report)
        case "preview":
            return stack.preview(_report)
        case "down":
            return stack.down(_report)
        case "build":
            stack.build_tools()
        case "start":
            cloud.start(_report)
        case "stop":
            _report("the sandbox is gone" if cloud.stop() else "there is no sandbox")
        case "status":
            return _status()
    return 0


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
