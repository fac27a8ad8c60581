"""What lies in dags/ and goes to Airflow."""

from __future__ import annotations

import os
from pathlib import Path

from components import dag_folder
from components.dag_folder import files_to_upload, left_out
from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings

RULES = Rules()

DAGS = Path(__file__).parents[2] / "dags"


def misplaced(source: str) -> str | None:
    """Tell why what a setting names is no part of the repository; nothing where it is one."""
    place = Path(os.path.normpath(DAGS.parent / source))  # links are followed as in dags/
    if DAGS.parent in place.parents:
        return None
    return "is no part of this repository: name what lies in it, by its path from here"


@RULES.reading("airflow.dagDelivery")
def _files(s: Settings) -> Findings:
    if s.airflow.dag_delivery == "pipeline":
        return
    if not DAGS.is_dir():
        text = "is no folder: create it, or set airflow.dagDelivery to pipeline"
        yield Finding(f"{DAGS.name}/", None, text)
        return
    for name, reason in left_out(DAGS):
        yield Finding(f"{DAGS.name}/{name}", None, f"is not uploaded: {reason}", warning=True)
    for _, path in files_to_upload(DAGS):
        name = f"{DAGS.name}/{path.relative_to(DAGS).as_posix()}"
        yield from secrets_in(s, name, path.read_bytes())


def secrets_in(s: Settings, name: str, content: bytes) -> Findings:
    """Yield the secrets that a file would carry into the bucket."""
    for secret in dag_folder.secrets_in(content):
        yield Finding(
            name,
            None,
            f"holds {secret}: revoke it, take it out, and keep its successor in Secrets "
            f"Manager, as a connection below {s.secrets_prefix}/connections/",
        )
