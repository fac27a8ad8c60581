"""Which files of the DAGs' folder Airflow gets, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

DAG_FOLDER = "dags"
REQUIREMENTS = "requirements.txt"
PLUGINS = "plugins.zip"
STARTUP_SCRIPT = "startup.sh"
NO_SCRIPT = "#!/bin/bash\n"
"""MWAA lets go of no startup script: this one does nothing."""
LARGEST_MIB = 100
"""MWAA copies the folder to every scheduler, worker and web server: data belongs into a bucket."""

# What Python, Git and editors leave behind, which no DAG reads.
_LEFTOVERS = (
    *("__pycache__", "*.pyc", ".git*", ".*_cache", ".ipynb_checkpoints"),
    *(".DS_Store", ".idea", ".vscode"),
)

# As gitleaks knows them; AWS's documentation writes keys that end so. A PEM header without a key
# behind it is code that takes keys apart.
_SECRETS = {
    "an AWS access key": re.compile(rb"\b(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE\b)[A-Z0-9]{16}\b"),
    "a private key": re.compile(
        rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])+[A-Za-z0-9+/]"
    ),
}


def secrets_in(content: bytes) -> Iterator[str]:
    """Name the secrets that a file would carry into the bucket."""
    return (secret for secret, pattern in _SECRETS.items() if pattern.search(content))


def files_to_upload(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield the objects' keys and files."""
    for path, reason in looked_through(source, LARGEST_MIB):
        if not reason:
            name = path.relative_to(source).as_posix()
            yield (name if name == REQUIREMENTS else f"{DAG_FOLDER}/{name}"), path


def left_out(source: Path) -> Iterator[tuple[str, str]]:
    """Yield what a DAG could miss, and the reason why it is not uploaded."""
    for path, reason in looked_through(source, LARGEST_MIB):
        if reason:
            yield path.relative_to(source).as_posix(), reason


def looked_through(
    folder: Path, largest_mib: int, above: frozenset[Path] = frozenset()
) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder that MWAA gets, in order, and others with the reason why not.

    above: the folders that it lies in, links followed.
    """
    if not folder.is_dir():
        message = f"{folder} is no folder: Airflow's files are uploaded from there; create it"
        raise ValueError(message)
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, leftover) for leftover in _LEFTOVERS):
            continue
        reason = _reason(path, largest_mib, above)
        if reason or not path.is_dir():
            yield path, reason
        else:
            yield from looked_through(path, largest_mib, above)


def _reason(path: Path, largest_mib: int, above: frozenset[Path]) -> str:
    """Why the file or folder is left out; nothing where it is not. S3 has no links: what a link
    leads to is uploaded under the link's name."""
    if not path.exists():
        return "the link leads to nothing: mend or remove it"
    size = path.stat().st_size / 2**20
    hidden = path.name.startswith(".") and path.name != ".airflowignore"
    reasons = {
        "what begins with a dot is often a secret: name it otherwise if a DAG reads it": hidden,
        "its name is not readable text: rename it": not path.name.isprintable(),
        "the link leads to a folder that it lies in: remove it": path.resolve() in above,
        "it is neither file nor folder: remove it": not path.is_file() and not path.is_dir(),
        f"its {size:.0f} MiB are more than {largest_mib}, and MWAA copies the folder to every "
        "container: put it into a bucket that DAGs read as they run": size > largest_mib,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")
