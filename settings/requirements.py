"""A requirements file and those that it names, read as pip reads them on MWAA.

The format is in pip's documentation, "Requirements File Format"; pip has no interface to it. Names,
versions and markers are read by `packaging`, as pip does.
"""

from __future__ import annotations

import argparse
import codecs
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import NoReturn

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

# Where MWAA has requirements.txt and the DAGs ("Installing Python dependencies", Amazon MWAA user
# guide, which lets files that it names come with the DAGs).
_REQUIREMENTS = PurePosixPath("/usr/local/airflow/requirements/requirements.txt")
DAGS_ON_MWAA = PurePosixPath("/usr/local/airflow/dags")
PLUGINS_ON_MWAA = PurePosixPath("/usr/local/airflow/plugins")

MASK = "***"
"""Stands for a user's name and password in an address."""
NOT_PINNED = "is not pinned to a release: write name==version, or name a wheel"


@dataclass(frozen=True)
class Line:
    """A line with what it says, comments and continuations resolved."""

    file: str
    text: str
    wanted: str
    """The requirement; empty in a line of options."""
    options: argparse.Namespace
    place: PurePosixPath
    """Its file on MWAA."""
    restricts: bool
    """Whether it is in a constraints file, which asks for nothing."""


@dataclass(frozen=True)
class Problem:
    """Something that pip would stumble over."""

    file: str
    text: str | None
    why: str


@dataclass(frozen=True)
class Package:
    """What a line asks for."""

    name: str
    extras: frozenset[str]
    versions: SpecifierSet

    @property
    def pin(self) -> str | None:
        """The one release that is left to choose; None where there are more."""
        for one in self.versions:
            if one.operator == "===" or (one.operator == "==" and not one.version.endswith("*")):
                return one.version
        return None


@dataclass(frozen=True)
class Delivered:
    """What MWAA gets, and where it has it."""

    dags: Path
    plugins: Traversable | None
    """A folder, or what is in a zip file."""

    def at(self, place: PurePosixPath) -> Traversable | None:
        """Return the file or folder that will be there."""
        found: Traversable | None = None
        if place == _REQUIREMENTS:
            found = self.dags / "requirements.txt"
        elif place.is_relative_to(DAGS_ON_MWAA):
            found = self.dags / place.relative_to(DAGS_ON_MWAA)
        elif self.plugins and place.is_relative_to(PLUGINS_ON_MWAA):
            found = self.plugins
            for part in place.relative_to(PLUGINS_ON_MWAA).parts:
                found = found.joinpath(part)
        return found if found and (found.is_file() or found.is_dir()) else None

    def file(self, place: PurePosixPath) -> Traversable | None:
        """Return the file that will be there."""
        found = self.at(place)
        return found if found and found.is_file() else None


def read(
    delivered: Delivered,
    place: PurePosixPath = _REQUIREMENTS,
    *,
    restricts: bool = False,
    above: tuple[PurePosixPath, ...] = (),
) -> Iterator[Line | Problem]:
    """Yield all lines, those of a file that is named before those that follow."""
    found = delivered.file(place)
    if found is None or place in above:
        return
    home = PLUGINS_ON_MWAA.parent
    file = "dags/requirements.txt" if place == _REQUIREMENTS else str(place.relative_to(home))
    content = found.read_bytes()
    if (encoding := _encoding(content)) != "UTF-8":
        yield Problem(file, None, f"is in {encoding}: save it in UTF-8")
        return
    for logical in _logical_lines(content.decode("utf-8-sig")):
        wanted, options = _parted(logical)
        text = re.sub(r"://[^/@\s]+@", f"://{MASK}@", logical)
        try:
            given = _OPTIONS.parse_args(shlex.split(options))
        except ValueError as error:
            yield Problem(file, text, f"is not understood by pip: {error}")
            continue
        line = Line(file, text, wanted, given, place, restricts)
        yield line
        if given.editable:
            yield Problem(file, text, NOT_PINNED)
        for target, into in (
            *((target, restricts) for target in given.requirement),
            *((target, True) for target in given.constraint),
        ):
            there = resolved(line, target)
            if there is None and not into:
                yield Problem(file, text, "is on the internet: put the file into dags/")
            elif there is not None and delivered.file(there) is None:
                yield Problem(file, text, _lacking(there))
            elif there is not None:
                yield from read(delivered, there, restricts=into, above=(*above, place))


def resolved(line: Line, target: str) -> PurePosixPath | None:
    """Return where on MWAA a file is that a line names; None if it is an address."""
    return None if "://" in target else PurePosixPath(normpath(line.place.parent / target))


def package(delivered: Delivered, line: Line, python: str) -> Package | Problem | None:
    """Return what a line asks for, or None where its marker does not hold on MWAA."""
    wheel = re.match(r"(\S+\.whl)(?:\[([\w.,-]*)\])?(?:#\S*)?(?:\s*;(.*))?$", line.wanted)
    try:
        if wheel:
            name, version, _, _ = parse_wheel_filename(wheel[1].rpartition("/")[2])
            there = resolved(line, wheel[1].removeprefix("file://"))
            if wheel[3] and not Marker(wheel[3]).evaluate(_machine(python)):
                return None
            if there is not None and delivered.file(there) is None:
                return Problem(line.file, line.text, _lacking(there))
            extras = frozenset(map(canonicalize_name, (wheel[2] or "").split(",")))
            return Package(name, extras, SpecifierSet(f"=={version}"))
        asked = Requirement(line.wanted)
        versions = asked.specifier
        if asked.url:
            _, version, _, _ = parse_wheel_filename(asked.url.partition("#")[0].rpartition("/")[2])
            versions = SpecifierSet(f"=={version}")
    except (InvalidWheelFilename, InvalidRequirement, InvalidMarker):
        return Problem(line.file, line.text, NOT_PINNED)
    if asked.marker and not asked.marker.evaluate(_machine(python)):
        return None
    return Package(
        canonicalize_name(asked.name), frozenset(map(canonicalize_name, asked.extras)), versions
    )


def distributions(folder: Traversable, python: str) -> Iterator[tuple[str, Version]]:
    """Yield the names and versions that pip could install on MWAA from a folder of files."""
    for file in folder.iterdir():
        with suppress(InvalidWheelFilename, InvalidSdistFilename):
            if not file.name.endswith(".whl"):
                yield parse_sdist_filename(file.name)
                continue
            name, version, _, tags = parse_wheel_filename(file.name)
            if not tags.isdisjoint(_tags(python)):
                yield name, version


@cache
def _tags(python: str) -> frozenset[Tag]:
    """The wheels that MWAA's containers take: Amazon Linux 2023 has glibc 2.34."""
    major, minor = map(int, python.split("."))
    platforms = [
        *(f"manylinux_2_{glibc}_x86_64" for glibc in range(34, 4, -1)),
        *(f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")),
        "linux_x86_64",
    ]
    return frozenset(
        (
            *cpython_tags((major, minor), platforms=platforms),
            *compatible_tags((major, minor), f"cp{major}{minor}", platforms),
        )
    )


def _machine(python: str) -> dict[str, str]:
    """What markers are about: MWAA's containers."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": "",
    }


def _lacking(place: PurePosixPath) -> str:
    if place.is_relative_to(DAGS_ON_MWAA):
        return f"names {place.name}, which dags/ has not: put it there"
    if place.is_relative_to(PLUGINS_ON_MWAA):
        return f"names {place.name}, which airflow.plugins has not: put it there"
    return (
        f"names {place}, which MWAA has not: put the file into dags/ and write "
        f"{DAGS_ON_MWAA / place.name}"
    )


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


_OPTIONS = _Options(add_help=False)
for _names in (
    *(("-r", "--requirement"), ("-c", "--constraint"), ("-e", "--editable")),
    *(("-i", "--index-url", "--pypi-url"), ("--extra-index-url",), ("-f", "--find-links")),
    *(("--no-binary",), ("--only-binary",), ("--trusted-host",), ("--use-feature",)),
    *(("--hash",), ("--config-settings",), ("--global-option",)),
):
    _OPTIONS.add_argument(*_names, action="append", default=[])
for _name in ("--no-index", "--prefer-binary", "--pre", "--require-hashes"):
    _OPTIONS.add_argument(_name, action="store_true")


_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def _encoding(content: bytes) -> str:
    """The encoding, by byte order mark, PEP 263's declaration, or what the bytes look like."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    head = b"\n".join(content.splitlines()[:2])
    declared = re.search(rb"^#.*coding[:=]\s*([-\w.]+)", head, re.M)
    if declared and not content.isascii() and declared[1].lower() not in (b"utf-8", b"utf8"):
        return declared[1].decode()
    if b"\0" in content:
        return "UTF-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "Latin-1 or the like"
    return "UTF-8"


_COMMENT = re.compile(r"(^|\s+)#.*$")


def _logical_lines(text: str) -> Iterator[str]:
    """Join what a backslash continues and strip comments, which are no part of a continuation."""
    pending = ""
    for line in text.splitlines():
        comment = _COMMENT.match(line)
        if line.endswith("\\") and not comment:
            pending += line.strip("\\")
            continue
        whole = _COMMENT.sub("", pending + (" " if comment else "") + line).strip()
        pending = ""
        if whole:
            yield whole
    if last := _COMMENT.sub("", pending).strip():
        yield last


def _parted(line: str) -> tuple[str, str]:
    """What is asked for, and the options behind it."""
    words = line.split(" ")
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:first]).strip(), " ".join(words[first:])
