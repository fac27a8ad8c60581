"""What lies in dags/ and goes to Airflow."""

from __future__ import annotations

import re
from pathlib import Path

from components.dag_folder import files_to_upload, left_out
from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings

RULES = Rules()

DAGS = Path(__file__).parents[2] / "dags"

# As gitleaks knows them; AWS's documentation writes keys that end so. A PEM header without a key
# behind it is code that takes keys apart.
_SECRETS = {
    "an AWS access key": re.compile(rb"\b(?:AKIA|ASIA)(?![A-Z0-9]{9}EXAMPLE\b)[A-Z0-9]{16}\b"),
    "a private key": re.compile(
        rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr])+[A-Za-z0-9+/]"
    ),
}


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
    for secret, pattern in _SECRETS.items():
        if pattern.search(content):
            yield Finding(
                name,
                None,
                f"holds {secret}: revoke it, take it out, and keep its successor in Secrets "
                f"Manager, as a connection below {s.secrets_prefix}/connections/",
            )
