"""Names that are made from those of the stack and its teams."""

from __future__ import annotations

import re

from settings.rules.rule import Finding, Findings, Rules, listed_once
from settings.stack import Settings

RULES = Rules()


@RULES.reading()
def _names_of_fixed_things(s: Settings) -> Findings:
    # The tightest of the names made from it: a bucket takes 63 characters, "-dags-" and the account
    # 18 of them. MWAA wants a letter first, S3 no capitals, dots or underscores.
    longest = 63 - len("-dags-123456789012") - len(f"{s.project}-")
    if not re.fullmatch(r"[a-z][a-z0-9-]*[a-z0-9]", s.name) or len(s.stack) > longest:
        yield Finding(
            "stack",
            s.stack,
            f"its name is part of bucket and environment names: up to {longest} small letters, "
            "digits and hyphens, not at an end; make a stack of another name (`pulumi stack init`)",
        )


@RULES.reading("spark.teams", "airflow.podNamespace")
def _names_of_teams(s: Settings) -> Findings:
    yield from listed_once("spark.teams", [team.name for team in s.spark.teams])
    for team in s.spark.teams:
        name = s.virtual_cluster_name(team.name)
        if len(name) > 64:  # botocore's ResourceNameString of emr-containers
            yield Finding(
                "spark.teams",
                team.name,
                f"makes the virtual cluster's name {name} longer than 64 characters: shorten the "
                f"team's or the stack's name by {len(name) - 64}",
            )
        if team.namespace == s.airflow.pod_namespace:
            yield Finding(
                "airflow.podNamespace",
                s.airflow.pod_namespace,
                f"belongs to the Spark team {team.name}, whose jobs need other rights: choose a "
                "name that does not begin with emr-",
            )
