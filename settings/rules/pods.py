"""The pods that DAGs start."""

from __future__ import annotations

import re
from collections import defaultdict

from settings.rules.rule import Finding, Findings, Rules, listed_once
from settings.stack import Settings
from settings.versions import AIRFLOW, KUBERNETES_PROVIDER

RULES = Rules()

# The first Kubernetes provider, of those that Airflow's constraints pin, whose connection has
# xcom_sidecar_container_security_context.
SECURES_SIDECAR = (10, 21)


@RULES.reading("airflow.podXcom", "airflow.version")
def _xcom(s: Settings) -> Findings:
    provider = AIRFLOW[s.airflow.version].pins[KUBERNETES_PROVIDER]
    if s.airflow.pod_xcom and tuple(map(int, provider.split(".")[:2])) < SECURES_SIDECAR:
        yield Finding(
            "airflow.podXcom",
            s.airflow.pod_xcom,
            f"leaves the sidecar of Airflow {s.airflow.version} without a security context, which "
            "the namespace demands: let DAGs give it one, as README says",
            warning=True,
        )


@RULES.reading("airflow.podServiceAccounts", "account.id", "account.region")
def _service_accounts(s: Settings) -> Findings:
    key = "airflow.podServiceAccounts"
    yield from listed_once(key, [one.name for one in s.airflow.pod_service_accounts])
    for one in s.airflow.pod_service_accounts:
        yield from listed_once(key, one.policy_arns)
        for arn in one.policy_arns:
            if arn.split(":")[4] not in ("aws", s.account.id):
                text = (
                    f"is of another account than account.id, {s.account.id}: copy the policy there"
                )
                yield Finding(key, arn, text)
            if re.search(r":iam::aws:.*/(AdministratorAccess|PowerUserAccess|IAMFullAccess)$", arn):
                text = "makes whoever writes a DAG administrator of the account: name what it needs"
                yield Finding(key, arn, text)


@RULES.reading("airflow.podEgress")
def _egress(s: Settings) -> Findings:
    ways = [f"{one.cidr} {one.port}" for one in s.airflow.pod_egress]
    yield from listed_once("airflow.podEgress", ways)


# "Learn how EKS Pod Identity grants pods access to AWS services", Amazon EKS User Guide.
_POD_IDENTITIES = 5000


@RULES.reading("airflow.podServiceAccounts", "spark.teams", "spark.historyServer")
def _number_of_service_accounts(s: Settings) -> Findings:
    count = len(s.airflow.pod_service_accounts)
    each = 4 if s.spark.history_server else 3
    # Those of each team, and those of the network, volumes and the autoscaler.
    most = _POD_IDENTITIES - each * len(s.spark.teams) - 3
    if count > most:
        yield Finding(
            "airflow.podServiceAccounts",
            count,
            f"are more service accounts than {most}: a cluster has {_POD_IDENTITIES} pod identity "
            f"associations, of which each Spark team takes {each}; let DAGs share some",
        )


# "Limit Pod traffic with Kubernetes network policies", Amazon EKS User Guide.
_PORTS = 24


@RULES.reading("airflow.podEgress")
def _ports(s: Settings) -> Findings:
    ports: dict[str, set[int]] = defaultdict(set, {"0.0.0.0/0": {443}})  # HTTPS is always open
    for one in s.airflow.pod_egress:
        ports[str(one.cidr)].add(one.port)
    for cidr, open_ in ports.items():
        if len(open_) > _PORTS:
            https = ", HTTPS among them" if cidr == "0.0.0.0/0" else ""
            yield Finding(
                "airflow.podEgress",
                cidr,
                f"has {len(open_)} ports{https}, and EKS keeps {_PORTS} for one range: leave some "
                "out, or name a range for each service",
            )
