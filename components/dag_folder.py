"""Which files of the DAGs' folder Airflow gets, and why not the others."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

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

# Secrets whose form is unmistakable, as their issuers document it; AWS's documentation writes keys
# with EXAMPLE in them. A PEM header without a key behind it is code that takes keys apart. Scanners
# (detect-secrets, gitleaks) go on to guess by entropy, and so need a file of exceptions.
_SECRETS = {
    "an AWS access key": rb"\b(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE\b)[A-Z0-9]{16}\b",
    "an AWS secret key": rb"(?i:secret_?access_?key)[\"']?\s*[:=]\s*[\"']?"
    rb"(?![\w/+]*EXAMPLE)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])",
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])+"
    rb"[A-Za-z0-9+/]"
    # The same in base64, as kubeconfig files and Kubernetes secrets hold it.
    rb"|LS0tLS1CRUdJTiB(?:QUklWQVRFIEtFW|SU0EgUFJJVkFURSBLRV|FQyBQUklWQVRFIEtFW"
    rb"|PUEVOU1NIIFBSSVZBVEUgS0VZ)",
    "a token of GitHub": rb"\b(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{60,})\b",
    "a token of GitLab": rb"\bglpat-[\w-]{20,}",
    "a token of PyPI": rb"\bpypi-AgE[\w-]{50,}",
    "a token of Pulumi": rb"\bpul-[0-9a-f]{40}\b",
    "a token of Slack": rb"\bxox[abeprs]-(?:\d+-)?[A-Za-z0-9-]{20,}"
    rb"|hooks\.slack\.com/services/T\w+/B\w+/\w{20,}",
    "a key of Google's API": rb"\bAIza[\w-]{35}(?![\w-])",
}
_PATTERNS = {secret: re.compile(pattern) for secret, pattern in _SECRETS.items()}


def secrets_in(content: bytes) -> Iterator[str]:
    """Name the secrets that a file would carry into the bucket, by their kinds and lines."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode()
    for secret, pattern in _PATTERNS.items():
        found = [content.count(b"\n", 0, match.start()) + 1 for match in pattern.finditer(content)]
        if found:
            lines = ", ".join(map(str, dict.fromkeys(found)))
            yield f"{secret} (line {lines})"
    if content.startswith(b"PK\3\4"):
        yield from _secrets_in_zip(content)


def _secrets_in_zip(content: bytes) -> Iterator[str]:
    """Look into DAGs that are packaged; others' packages hold keys for their own tests."""
    with suppress(BadZipFile, NotImplementedError), ZipFile(BytesIO(content)) as archive:
        readable = [one for one in archive.infolist() if not one.flag_bits & 1]
        if any(".dist-info/" in one.filename for one in readable):
            return
        for one in readable:
            for secret in secrets_in(archive.read(one)):
                yield f"{secret[:-1]} of {one.filename})"


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
