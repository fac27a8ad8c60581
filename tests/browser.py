"""A browser, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def browsed(url: str, home: Path) -> str:
    """What a browser makes of a page."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    browser = next(found, None)
    if browser is None:
        pytest.skip("there is no Chromium or Chrome on PATH to look at a page with")
    return subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"),
            *("--virtual-time-budget=30000", "--dump-dom", url),
        ],
        env={**os.environ, "HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
