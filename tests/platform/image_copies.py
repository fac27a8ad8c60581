"""The copies of public images that a stack without a way to the internet needs."""

from __future__ import annotations

import subprocess
import sys

from sandbox.clone import Clone
from sandbox.tests.aws_account import push


def copy_images(clone: Clone) -> list[str]:
    """Let the account's registry have all that README's loop copies; return the public names."""
    images = subprocess.run(
        [sys.executable, "-m", "components.images", "1.35"],
        cwd=clone.directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    for image in images:
        repository, _, tag = image.rpartition(":")
        push(clone.aws("ecr"), f"mirror/{repository}", tag)
    return images
