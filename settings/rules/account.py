"""Where the platform stands."""

from __future__ import annotations

import difflib
from collections import Counter

from botocore.exceptions import UnknownRegionError

from settings.rules.rule import Finding, Findings, Rules, listed_once
from settings.stack import Settings, aws_regions

RULES = Rules()

_RESERVED_TAGS = ("project", "stack", "Name")


@RULES.reading("account.tags", "airflow.dagDelivery")
def _tags(s: Settings) -> Findings:
    # An S3 object takes 10 tags, most other things 50, of which components and AWS use some.
    limit = (10 if s.airflow.dag_delivery == "pulumi" else 40) - len(_RESERVED_TAGS)
    if len(s.account.tags) > limit:
        yield Finding(
            "account.tags",
            len(s.account.tags),
            f"are more tags than {limit}: S3 objects take 10 with project, stack and Name "
            "(airflow.dagDelivery: pipeline makes none), other things 40",
        )
    # IAM takes Owner and owner for the same key.
    keys = Counter(key.lower() for key in [*_RESERVED_TAGS, *s.account.tags])
    for key in s.account.tags:
        if keys[key.lower()] > 1:
            yield Finding(
                f"account.tags.{key}",
                s.account.tags[key],
                "is a key twice, whatever its capitals (project, stack and Name are set already): "
                "remove or rename it",
            )


@RULES.reading("account.acceptedRisks", "account.unprotected")
def _twice(s: Settings) -> Findings:
    yield from listed_once("account.acceptedRisks", s.account.accepted_risks)
    yield from listed_once("account.unprotected", s.account.unprotected)


@RULES.reading("account.unprotected", "account.production")
def _unprotected(s: Settings) -> Findings:
    if s.account.production and s.account.unprotected:
        yield Finding(
            "account.unprotected",
            s.account.unprotected,
            "may be deleted by one command: remove it after the change that needs it",
            warning=True,
        )


@RULES.reading(
    "account.asleep", "account.production", "account.unprotected", "airflow.metadataBackups"
)
def _asleep(s: Settings) -> Findings:
    if not s.account.asleep:
        return
    if s.account.production:
        yield Finding("account.asleep", True, "is for development: set it to false in production")
    elif "environment" not in s.account.unprotected:
        yield Finding(
            "account.asleep",
            True,
            "deletes the environment, which is protected: add environment to account.unprotected, "
            "run `pulumi up`, and set it then",
        )
    elif not s.airflow.metadata_backups:
        yield Finding(
            "account.asleep",
            True,
            "loses what Airflow has beside its DAGs (variables, pools, connections, history): with "
            "airflow.metadataBackups and a run of backup_metadata before, most of it comes back "
            '(docs/cost.md, "Nights and weekends")',
            warning=True,
        )


@RULES.reading("account.accessLogBucket", "account.id")
def _access_logs(s: Settings) -> Findings:
    if s.account.access_log_bucket in {s.dag_bucket_name, s.job_bucket_name}:
        yield Finding(
            "account.accessLogBucket",
            s.account.access_log_bucket,
            "is a bucket of this stack, and each log would make another: name one of yours",
        )


@RULES.reading("account.region", "account.acceptedRisks")
def _region(s: Settings) -> Findings:
    region = s.account.region
    try:
        partition = aws_regions().get_partition_for_region(region)
    except UnknownRegionError:
        meant = _meant(region) or ", such as us-west-2"
        yield Finding("account.region", region, f"is no AWS region{meant}".strip())
        return
    if partition != "aws":
        # Names of services are written down here that end otherwise there.
        yield Finding(
            "account.region",
            region,
            f"is in AWS's partition {partition}, where nobody has tried this program: choose a "
            "region of the partition aws, such as us-west-2",
        )
        return
    lacking = [name for service, name in _SERVICES.items() if region not in _regions_with(service)]
    if lacking and "unlistedRegion" not in s.account.accepted_risks:
        # Any name of the form is in the partition to botocore, us-wset-2 too.
        meant = _meant(region) if len(lacking) == len(_SERVICES) else ""
        yield Finding(
            "account.region",
            region,
            f"has no {' and no '.join(lacking)}, as far as this botocore knows{meant or ': '}"
            f"{'Or ' if meant else ''}choose another region, or add unlistedRegion to "
            "account.acceptedRisks if AWS offers it by now",
        )


_SERVICES = {"mwaa": "MWAA", "eks": "EKS", "emr-containers": "EMR on EKS"}


def _regions_with(service: str) -> set[str]:
    return set(aws_regions().get_available_regions(service))


def _meant(region: str) -> str:
    fitting = sorted(set.intersection(*map(_regions_with, _SERVICES)))
    close = difflib.get_close_matches(region.strip().lower(), fitting, n=1)
    return f"; did you mean {close[0]}? " if close else ""
