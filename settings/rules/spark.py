"""EMR on EKS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import UnknownRegionError

from components.capacity import TEAMS_PER_POLICY
from components.data_access import bucket_statements, database_statements
from components.emr_images import REGISTRY_ACCOUNTS
from components.job_run_rights import members_trust
from components.pod_template_files import CONTAINERS, template_files
from settings.rules.dag_files import secrets_in
from settings.rules.rule import Finding, Findings, Rules, listed_once, supported
from settings.sections import DataSettings
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


def _data(s: Settings) -> Iterator[tuple[str, DataSettings]]:
    for place, team in enumerate(s.spark.teams):
        for number, one in enumerate(team.data):
            yield f"spark.teams[{place}].data[{number}]", one


def _uri(one: DataSettings) -> str:
    return f"s3://{one.bucket}/{one.prefix}" if one.prefix else f"s3://{one.bucket}"


@RULES.reading("spark.teams", "account.id")
def _own_buckets(s: Settings) -> Findings:
    for key, one in _data(s):
        if one.bucket == s.job_bucket_name:
            yield Finding(
                f"{key}.bucket",
                one.bucket,
                "is where this stack's teams have a prefix each, which is theirs alone: remove it; "
                "what teams share lies in a bucket of yours",
            )
        elif one.bucket == s.dag_bucket_name:
            yield Finding(
                f"{key}.bucket",
                one.bucket,
                "is where Airflow's DAGs lie, and whoever writes there is Airflow: remove it; what "
                "teams share lies in a bucket of yours",
            )


@RULES.reading("spark.teams", "account.id")
def _owners_of_buckets(s: Settings) -> Findings:
    owners: dict[str, str] = {}
    for key, one in _data(s):
        owner = one.account_id or s.account.id
        before = owners.setdefault(one.bucket, owner)
        if before != owner:
            yield Finding(
                f"{key}.accountId",
                owner,
                f"is another owner of {one.bucket} than {before}, which is named before: name one",
            )


@RULES.reading("spark.teams", "account.region")
def _keys_of_data(s: Settings) -> Findings:
    for key, one in _data(s):
        if one.kms_key_arn is None:
            continue
        region = one.kms_key_arn.split(":")[3]
        if region != s.account.region:
            yield Finding(
                f"{key}.kmsKeyArn",
                one.kms_key_arn,
                f"is in {region}, and S3 uses keys of a bucket's own region, here "
                f"{s.account.region}: name that, and copy data of another region here first",
            )


def _covers(wide: DataSettings, narrow: DataSettings) -> bool:
    within = not wide.prefix or f"{narrow.prefix or ''}/".startswith(f"{wide.prefix}/")
    return wide.bucket == narrow.bucket and within and (wide.writes or not narrow.writes)


@RULES.reading("spark.teams")
def _data_twice(s: Settings) -> Findings:
    for place, team in enumerate(s.spark.teams):
        told: set[int] = set()
        for wide, narrow in permutations(range(len(team.data)), 2):
            if {wide, narrow} & told or not _covers(team.data[wide], team.data[narrow]):
                continue
            told.add(narrow)
            yield Finding(
                f"spark.teams[{place}].data[{narrow}]",
                _uri(team.data[narrow]),
                f"is what data[{wide}] allows already, {team.data[wide].access} of "
                f"{_uri(team.data[wide])}: remove one",
            )


@RULES.reading("spark.teams")
def _databases(s: Settings) -> Findings:
    for place, team in enumerate(s.spark.teams):
        key = f"spark.teams[{place}].glueDatabases"
        yield from listed_once(key, [one.database for one in team.glue_databases])


# "IAM and AWS STS quotas", IAM User Guide: characters of all inline policies of a role, of which
# what every team has takes less than 3,000, and of its trust policy.
_INLINE = 10_240 - 3_000
_TRUST, _TRUST_RAISED = 2_048, 4_096


def _size(document: object) -> int:
    return len("".join(json.dumps(document).split()))


@RULES.reading("spark.teams", "account.id", "account.region")
def _size_of_data(s: Settings) -> Findings:
    for place, team in enumerate(s.spark.teams):
        try:
            buckets = bucket_statements(s.bucket_accesses(team), s.aws_account)
            databases = database_statements(s.database_accesses(team), s.aws_account)
        except UnknownRegionError:  # of which another rule tells
            return
        size = _size([*buckets, *databases])
        if size > _INLINE:
            yield Finding(
                f"spark.teams[{place}].data",
                len(team.data),
                f"make, with glueDatabases, {size} characters of the job role's policy, in which "
                f"there is room for {_INLINE}: name fewer and wider prefixes",
            )


@RULES.reading("spark.teams")
def _size_of_members(s: Settings) -> Findings:
    for place, team in enumerate(s.spark.teams):
        size = _size(json.loads(members_trust(team.members)))
        key = f"spark.teams[{place}].members"
        text = f"make a trust policy of {size} characters, and IAM takes"
        way_out = "name roles that people assume instead of users"
        if size > _TRUST_RAISED:
            yield Finding(key, len(team.members), f"{text} {_TRUST_RAISED} at most: {way_out}")
        elif size > _TRUST:
            yield Finding(
                key,
                len(team.members),
                f"{text} {_TRUST} unasked: {way_out}, or have IAM's quota of the length of trust "
                "policies raised first",
                warning=True,
            )
