"""What becomes Airflow's plugins folder: one zip file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from components.dag_folder import looked_through

LARGEST_MIB = 1024
"""AWS recommends as much for all plugins together ("Installing custom plugins", MWAA guide)."""


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names within Airflow's plugins folder, and the files."""
    for path, reason in looked_through(folder, LARGEST_MIB):
        if not reason:
            yield path.relative_to(folder).as_posix(), path


def left_out_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what a plugin could miss, and the reason why it is not uploaded."""
    for path, reason in looked_through(folder, LARGEST_MIB):
        if reason:
            yield path.relative_to(folder).as_posix(), reason


def zip_file(source: Path | None) -> Path:
    """Return a zip file of a folder, the same bytes for the same files on every machine.

    What is a file already is returned; of nothing there is a zip file with nothing in it.
    """
    if source is not None and not source.is_dir():
        return source
    with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as written:
        # Not compressed: zlib's output is not the same everywhere, and each other zip file is an
        # update of the environment. Wheels are compressed themselves.
        with ZipFile(written, "w", ZIP_STORED) as archive:
            for name, path in files_of(source) if source else ():
                entry = ZipInfo(name)
                entry.create_system = 3  # Unix, also where this is Windows
                entry.external_attr = 0o100755 << 16  # AWS wants all of it executable
                archive.writestr(entry, path.read_bytes())
        written.seek(0)
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    # The provider compares where the file lies, too.
    place = Path(tempfile.gettempdir()) / f"mwaa-plugins-{digest}.zip"
    return Path(written.name).replace(place)
