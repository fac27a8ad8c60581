"""Starts a command with a container's view of this machine's files: volumes where they belong.

It is a program of its own, since a process with threads cannot enter a user namespace, and needs no
package: `python view.py <JSON>`. What keeps the command from starting is written to `report`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER = 0x20000, 0x4000000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
# The kernel lets nobody take these from a mount of another user namespace.
LOCKED = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC if sys.platform == "linux" else 0
# What a container may write to although its root is read-only.
DEVICES = ("dev", "proc", "sys")

libc: Any = ctypes.CDLL(None, use_errno=True)


def _check(failed: int, what: str) -> None:
    if failed:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, flags: int, kind: str = "") -> None:
    arguments = [one.encode() if one else None for one in (source, target, kind)]
    _check(libc.mount(*arguments, ctypes.c_ulong(flags), None), f"mount {source} on {target}")


def _enter_namespaces(user: int, group: int) -> None:
    real_user, real_group = os.geteuid(), os.getegid()
    _check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS), "unshare")
    for file, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {real_user} 1"),
        ("gid_map", f"{group} {real_group} 1"),
    ):
        Path("/proc/self", file).write_text(line)
    _mount("", "/", MS_REC | MS_PRIVATE)


def _mirror(source: Path, target: Path, within: list[tuple[str, ...]]) -> None:
    """Show what is in a directory in another one, to which mount points can be added.

    `within` are the paths, from this directory on, at which something is to be mounted.
    """
    for entry in source.iterdir():
        place = target / entry.name
        deeper = [path[1:] for path in within if path[0] == entry.name]
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif any(deeper):
            place.mkdir()
            _mirror(entry, place, [path for path in deeper if path])
        elif not deeper:  # otherwise what is mounted there hides it
            _bind(str(entry), place)


def _bind(source: str, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_dir():
            target.mkdir()
        else:
            target.touch()
    with contextlib.suppress(FileNotFoundError):  # it went meanwhile
        _mount(source, str(target), MS_BIND | MS_REC)


def _make_read_only(target: Path) -> None:
    flags = os.statvfs(target).f_flag & LOCKED
    _mount("", str(target), MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def _make_root_read_only(root: Path) -> None:
    table = Path("/proc/self/mountinfo").read_bytes().splitlines()
    for place in (Path(line.split()[4].decode("unicode_escape")) for line in table):
        if place.is_relative_to(root) and not any(
            place.is_relative_to(root / one) for one in DEVICES
        ):
            with contextlib.suppress(OSError):  # hidden by another mount
                _make_read_only(place)


def enter(view: dict[str, Any]) -> None:
    """Make the view the only one that this process has."""
    _enter_namespaces(view["user"], view["group"])
    root = Path(view["root"])
    _mount("tmpfs", str(root), 0, "tmpfs")
    mounts = sorted(
        (Path(os.path.realpath(target)).relative_to("/"), source, read_only)
        for source, target, read_only in view["mounts"]
    )
    _mirror(Path("/"), root, [target.parts for target, _, _ in mounts])
    if view["read_only_root"]:
        for target, source, _ in mounts:  # while there can still be mount points
            _bind(source, root / target)
        _make_root_read_only(root)
    for target, source, _ in mounts:
        _bind(source, root / target)
    for target, _, read_only in mounts:
        if read_only:
            _make_read_only(root / target)
    os.chroot(root)
    socket.sethostname(view["hostname"])


def main() -> None:
    """Enter the view that is the only argument, and run its command."""
    view = json.loads(sys.argv[1])
    report = view["report"]
    try:
        os.set_inheritable(report, False)
        enter(view)
        Path(view["directory"]).mkdir(parents=True, exist_ok=True)
        os.chdir(view["directory"])
        os.execvpe(view["command"][0], view["command"], os.environ)  # noqa: S606
    except Exception as error:
        os.write(report, str(error).encode())
        sys.exit(128)


if __name__ == "__main__":
    main()
