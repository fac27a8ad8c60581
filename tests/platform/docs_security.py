"""What docs/security.md says of rights, written from a stack that is up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sandbox.clone import Clone
from sandbox.machine.program import ROOT
from tests.platform import kubernetes_rights
from tests.platform.kubernetes_rights import NOBODY, STRANGER, of_service_account

FILE: Final[Path] = ROOT / "docs/security.md"
BEGIN, END = "<!-- written by tests/platform/test_changes.py -->", "<!-- end -->"
NAME: Final = "mwaa-on-eks-sandbox"
EMR: Final = "/emr-containers.amazonaws.com/"


def cluster_rights(clone: Clone) -> list[str]:
    """Return the rows of who may do what in the cluster; every access entry has its column."""
    eks = clone.aws("eks")
    (emr,) = (
        arn for arn in eks.list_access_entries(clusterName=NAME)["accessEntries"] if EMR in arn
    )
    (policy,) = eks.list_associated_access_policies(clusterName=NAME, principalArn=emr)[
        "associatedAccessPolicies"
    ]
    # What that allows there is AWS's, and no RBAC: the sandbox's API server knows nothing of it.
    assert policy["policyArn"].endswith("/AmazonEMRJobPolicy")
    assert policy["accessScope"]["namespaces"] == ["emr-mwaa", "emr-risk"]
    entries = {
        arn.split(":", 5)[-1]: one
        for arn, one in kubernetes_rights.of_entries(clone, NAME).items()
        if arn != emr
    }
    columns = {
        "who deploys": "user/sandbox",
        "`adminPrincipalArns`": "role/admin",
        "`viewerPrincipalArns`": "role/viewer",
        "`members` of team risk": "role/risk-members-",
        "previews": "role/delivery-preview-",
        "drift": "role/delivery-drift-",
        "Airflow": "role/airflow-execution-",
    }
    who = {
        column: entries.pop(next(one for one in entries if one.startswith(beginning)))
        for column, beginning in columns.items()
    }
    assert not entries, f"docs/security.md has no column for {', '.join(entries)}"
    who["autoscaler"] = of_service_account("kube-system", "cluster-autoscaler")
    who["pods of Airflow"] = of_service_account("mwaa", "reader")
    return kubernetes_rights.table(
        clone, {**who, "without entry": STRANGER, "without credentials": NOBODY}
    )


def write(rows: Iterable[str]) -> bool:
    """Write rows into the document; tell whether it said so already."""
    was = FILE.read_text()
    before, _, rest = was.partition(BEGIN)
    after = rest.partition(END)[2]
    now = "\n".join([f"{before}{BEGIN}", "", *rows, "", f"{END}{after}"])
    if now != was:
        FILE.write_text(now)
    return now == was
