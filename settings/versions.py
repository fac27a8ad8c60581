"""The versions of Kubernetes, Airflow and EMR that this program supports, and until when AWS does.

A version that is not listed is refused; one whose support has ended is refused as well, and one
that is about to end is warned about. Add-ons have the versions that are EKS's default, and none
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

COMPARED = date(2026, 11, 23)
"""When these tables were last compared with their sources."""


@dataclass(frozen=True)
class KubernetesVersion:
    """A minor version of Kubernetes on Amazon EKS."""

    support_ends: date
    """The first day without standard support: from here on AWS asks six times the price."""


@dataclass(frozen=True)
class AirflowVersion:
    """A version of Airflow on Amazon MWAA."""

    python: str
    pins: Mapping[str, str]
    """What Airflow's constraints pin these packages to. MWAA's image has all of them but
    kubernetes and apache-airflow-providers-cncf-kubernetes."""
    support_ends: date | None = None
    """AWS names the day 180 days ahead; None until then."""

    def constraints_url(self, version: str) -> str:
        """Where Airflow publishes what this version's packages were tested with."""
        return (
            "https://raw.githubusercontent.com/apache/airflow/"
            f"constraints-{version}/constraints-{self.python}.txt"
        )


@dataclass(frozen=True)
class EmrRelease:
    """A release of Amazon EMR on EKS."""

    support_ends: date


# "Understand the Kubernetes version lifecycle on EKS", Amazon EKS user guide.
KUBERNETES = {
    "1.36": KubernetesVersion(date(2027, 8, 2)),
    "1.35": KubernetesVersion(date(2027, 3, 27)),
    "1.34": KubernetesVersion(date(2026, 12, 2)),
}

# "Status of Python versions", Python Developer's Guide, which names months.
PYTHON = {
    "3.12": date(2028, 10, 31),
    "3.11": date(2027, 10, 31),
}

KUBERNETES_PROVIDER = "apache-airflow-providers-cncf-kubernetes"


def _pins(amazon: str, cncf_kubernetes: str, boto3: str, kubernetes: str) -> Mapping[str, str]:
    return {
        "apache-airflow-providers-amazon": amazon,
        KUBERNETES_PROVIDER: cncf_kubernetes,
        "boto3": boto3,
        "kubernetes": kubernetes,
    }


# "Apache Airflow versions on Amazon MWAA", Amazon MWAA user guide. The pins are those of Airflow's
# constraints files, which name some 700 packages more, and of "Apache Airflow provider packages
# installed on Amazon MWAA environments". Not 2.10.3, whose providers lack arguments that both DAGs
# give.
AIRFLOW = {
    "3.3.1": AirflowVersion("3.12", _pins("9.34.0", "10.21.0", "1.43.56", "36.0.3")),
    "3.2.1": AirflowVersion("3.12", _pins("9.25.0", "10.16.0", "1.42.84", "35.0.0")),
    "3.0.6": AirflowVersion("3.12", _pins("9.12.0", "10.7.0", "1.39.11", "32.0.1")),
    "2.11.2": AirflowVersion("3.12", _pins("9.22.0", "10.13.0", "1.42.61", "35.0.0")),
    "2.11.0": AirflowVersion("3.12", _pins("9.8.0", "10.5.0", "1.37.3", "30.1.0")),
}

# "Supported lifecycle" of each release in the Amazon EMR release guide. Job execution roles are
# assumed through EKS Pod Identity, which EMR on EKS knows from emr-7.3.0 on.
EMR = {
    "emr-spark-8.1.0": EmrRelease(date(2029, 9, 8)),
    "emr-spark-8.0.0": EmrRelease(date(2027, 5, 20)),
    "emr-7.14.0": EmrRelease(date(2028, 9, 9)),
    "emr-7.13.0": EmrRelease(date(2028, 4, 22)),
    "emr-7.12.0": EmrRelease(date(2027, 11, 22)),
    "emr-7.11.0": EmrRelease(date(2027, 11, 4)),
    "emr-7.10.0": EmrRelease(date(2027, 8, 16)),
    "emr-7.9.0": EmrRelease(date(2027, 5, 20)),
    "emr-7.8.0": EmrRelease(date(2027, 3, 7)),
    "emr-7.7.0": EmrRelease(date(2027, 2, 6)),
    "emr-7.6.0": EmrRelease(date(2027, 1, 10)),
    "emr-7.5.0": EmrRelease(date(2026, 11, 21)),
    "emr-7.4.0": EmrRelease(date(2026, 11, 13)),
    "emr-7.3.0": EmrRelease(date(2026, 10, 16)),
}
