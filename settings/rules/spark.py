"""EMR on EKS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.capacity import TEAMS_PER_POLICY
from components.emr_images import REGISTRY_ACCOUNTS
from components.pod_template_files import CONTAINERS, template_files
from settings.rules.dag_files import secrets_in
from settings.rules.rule import Finding, Findings, Rules, supported
from settings.stack import Settings
from settings.versions import EMR

RULES = Rules()


@RULES.reading("spark.releaseLabel", "account.acceptedRisks")
def _emr_support(s: Settings) -> Findings:
    label = s.spark.release_label
    ends = EMR[s.spark.release].support_ends
    newest = next(release for release in EMR if release.startswith("emr-7"))
    yield from supported(s, "spark.releaseLabel", label, ends, f"{newest}-latest")


@RULES.reading("spark.historyServer", "account.region")
def _history_server(s: Settings) -> Findings:
    if s.spark.history_server and s.account.region not in REGISTRY_ACCOUNTS:
        yield Finding(
            "spark.historyServer",
            s.spark.history_server,
            f"needs EMR's image, and from which account nodes of {s.account.region} pull it is not "
            "known here: set it to false, or add the account to components/emr_images.py, as EMR's "
            "guide names it under “Details for selecting a base image URI”",
        )


# Managed policies of a role, unasked and at most ("IAM and AWS STS quotas", IAM User Guide).
_POLICIES, _POLICIES_RAISED = 20, 25


@RULES.reading("spark.teams")
def _teams(s: Settings) -> Findings:
    teams = len(s.spark.teams)
    unasked, raised = _POLICIES * TEAMS_PER_POLICY, _POLICIES_RAISED * TEAMS_PER_POLICY
    if teams > raised:
        yield Finding(
            "spark.teams",
            teams,
            f"are more teams than {raised}: Airflow's role has a managed policy for each "
            f"{TEAMS_PER_POLICY}, and takes {_POLICIES_RAISED}; make a second stack for the others",
        )
    elif teams > unasked:
        yield Finding(
            "spark.teams",
            teams,
            f"are more teams than AWS has room for unasked, {unasked}: have IAM's quota of managed "
            "policies per role raised first",
            warning=True,
        )


TEMPLATES = Path(__file__).parents[2] / "spark/pod-templates"


@RULES.reading()
def _pod_templates(s: Settings) -> Findings:
    files = {path.name: path for path in template_files(TEMPLATES).values()}
    for name in CONTAINERS.keys() - files.keys():
        text = "is missing, and a connection of Airflow's names it: bring it back"
        yield Finding(f"spark/{TEMPLATES.name}/{name}", None, text)
    for name, path in files.items():
        place = f"spark/{TEMPLATES.name}/{name}"
        yield from secrets_in(s, place, path.read_bytes())
        for wrong in _wrong_with(name, path):
            yield Finding(place, None, wrong)


def _wrong_with(name: str, path: Path) -> Iterator[str]:
    try:
        found: Any = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        yield f"is not YAML ({' '.join(str(error).split())}): no job run could start with it"
        return
    if not isinstance(found, dict) or (found.get("apiVersion"), found.get("kind")) != ("v1", "Pod"):
        yield "is no pod of apiVersion v1, which is what Spark reads: write it as one"
        return
    containers = (found.get("spec") or {}).get("containers") or []
    wanted = CONTAINERS.get(name)
    if wanted and wanted not in [one.get("name") for one in containers]:
        yield f"has no container {wanted}, by which name EMR finds Spark's own: call it so"
