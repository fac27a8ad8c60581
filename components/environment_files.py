"""The files that an Airflow environment reads at a fixed version."""

from __future__ import annotations

from dataclasses import dataclass

from pulumi import Input


@dataclass(frozen=True)
class PinnedFile:
    """An object in the bucket, and the version that counts."""

    key: Input[str]
    version: Input[str]


@dataclass(frozen=True, kw_only=True)
class EnvironmentFiles:
    """What is installed, unpacked and run before Airflow starts.

    All three always: MWAA lets go of none, and AWS's way to take one away is to empty it ("Deleting
    files on Amazon S3", MWAA user guide).
    """

    requirements: PinnedFile
    plugins: PinnedFile
    startup_script: PinnedFile
