"""How strictly the policy pack judges a stack, by the stack's own settings:

    pulumi config --stack prod --json | python -m operations.policy_settings > policies.json
    pulumi preview --stack prod --policy-pack policy --policy-pack-config policies.json

A production stack (account.production) must meet what others are only warned of, but for the risks
that it accepts (account.acceptedRisks); account.unprotected says what may be replaced.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any

PRODUCTION: Final = Path("policy/production.json")
PROTECTION: Final = "data-protected"

ACCEPTED: Final = {
    "endedSupport": "eks-standard-support",
    "noAccessLogs": "bucket-access-logged",
    "noDeletionProtection": "eks-deletion-protection",
    "publicEndpoint": "eks-endpoint-private-only",
    "publicWebServer": "airflow-web-server-private",
    "shortLogRetention": "logs-kept-for-a-year",
}
"""The policies of which a stack that accepts a risk is only warned."""

UNPROTECTED: Final = {
    "buckets": "aws:s3/bucket:Bucket",
    "cluster": "aws:eks/cluster:Cluster",
    "environment": "aws:mwaa/environment:Environment",
    "key": "aws:kms/key:Key",
    "virtualClusters": "aws:emrcontainers/virtualCluster:VirtualCluster",
}
"""The types that a stack names in account.unprotected, as far as a policy asks for them."""


def policy_settings(account: Mapping[str, Json], production: Mapping[str, str]) -> Json:
    """Return the settings of the pack for a stack with this section `account`."""
    accepted = {ACCEPTED[one] for one in account.get("acceptedRisks", ()) if one in ACCEPTED}
    found: dict[str, Json] = {}
    if account.get("production"):
        found = {name: level for name, level in production.items() if name not in accepted}
    if named := [UNPROTECTED[one] for one in account.get("unprotected", ()) if one in UNPROTECTED]:
        level = {"enforcementLevel": found[PROTECTION]} if PROTECTION in found else {}
        found[PROTECTION] = {"unprotected": sorted(named), **level}
    return found


def main() -> int:
    """Print the settings for a stack whose configuration standard input is."""
    given = json.load(sys.stdin)
    sections = {key.partition(":")[2]: one.get("objectValue", {}) for key, one in given.items()}
    settings = policy_settings(sections.get("account", {}), json.loads(PRODUCTION.read_text()))
    print(json.dumps(settings, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
