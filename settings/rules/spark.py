"""EMR on EKS."""

from __future__ import annotations

from settings.rules.rule import Findings, Rules, supported
from settings.stack import Settings
from settings.versions import EMR

RULES = Rules()


@RULES.reading("spark.releaseLabel", "account.acceptedRisks")
def _emr_support(s: Settings) -> Findings:
    label = s.spark.release_label
    ends = EMR[s.spark.release].support_ends
    newest = next(release for release in EMR if release.startswith("emr-7"))
    yield from supported(s, "spark.releaseLabel", label, ends, f"{newest}-latest")
