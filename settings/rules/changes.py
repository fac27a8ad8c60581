"""What a live stack cannot change, whatever its protection says, or only after it was told so."""

from __future__ import annotations

from settings.rules.rule import Finding, Findings, Rules
from settings.stack import Settings

RULES = Rules()

_BESIDE = 'build a second stack beside this one and move over (README, "Move over")'


@RULES.reading()
def _name(s: Settings) -> Findings:
    if s.live.name not in {None, s.name}:
        yield Finding(
            "stack",
            s.stack,
            f"names everything {s.name}, and what this stack has built is named {s.live.name}: "
            "neither the cluster nor the environment nor a bucket can be renamed; give the stack "
            "its name back (`pulumi stack rename`; the project's is in Pulumi.yaml), or "
            f"{_BESIDE}",
        )


@RULES.reading("account.id", "account.region")
def _place(s: Settings) -> Findings:
    for key, value, live in (
        ("account.id", s.account.id, s.live.account_id),
        ("account.region", s.account.region, s.live.region),
    ):
        if live not in {None, value}:
            yield Finding(
                key,
                value,
                f"is not where this stack stands, which is {live}: put it back, or build another "
                "stack there (`pulumi stack init`)",
            )


@RULES.reading("network.cidrBlock")
def _vpc(s: Settings) -> Findings:
    if s.live.cidr_block not in {None, s.network.cidr_block}:
        yield Finding(
            "network.cidrBlock",
            str(s.network.cidr_block),
            f"is not the range of the live VPC, {s.live.cidr_block}, and neither EKS nor MWAA "
            f"move to another VPC: put it back, or {_BESIDE}",
        )


@RULES.reading("network.zones", "network.availabilityZones", "network.cidrBlock")
def _zones(s: Settings) -> Findings:
    # With another range, of which another rule tells, the places tell nothing.
    if not s.live.zones or s.live.cidr_block != s.network.cidr_block:
        return
    live, named = s.live.zones, s.network.availability_zones
    shown = ", ".join(live[place] for place in sorted(live))
    way_out = f"put them back, or {_BESIDE}; further zones go behind them"
    if not named and s.network.zones <= max(live):
        yield Finding(
            "network.zones",
            s.network.zones,
            f"is less than there are in the live VPC ({shown}), and the control plane of EKS "
            f"stays in all of them: {way_out}",
        )
    elif named and any(named[place : place + 1] != (zone,) for place, zone in live.items()):
        yield Finding(
            "network.availabilityZones",
            named,
            f"does not begin with the zones of the live VPC in their order ({shown}), and a "
            f"subnet keeps its zone and its range: {way_out}",
        )


@RULES.reading("spark.teams", "account.unprotected")
def _teams(s: Settings) -> Findings:
    names = [team.name for team in s.spark.teams]
    if {"virtualClusters", "namespaces"} <= set(s.account.unprotected):
        return
    for team in s.live.teams:
        if team not in names:
            yield Finding(
                "spark.teams",
                names,
                f"lacks {team}, a live team, whose virtual cluster and namespace would be deleted "
                "with all that is in them (under another name it is another team): put it back, "
                "or add virtualClusters and namespaces to account.unprotected, run `pulumi up`, "
                "and remove the team then",
            )


@RULES.reading("airflow.podNamespace", "account.unprotected")
def _pod_namespace(s: Settings) -> Findings:
    if "namespaces" in s.account.unprotected:
        return
    if s.live.pod_namespace not in {None, s.airflow.pod_namespace}:
        yield Finding(
            "airflow.podNamespace",
            s.airflow.pod_namespace,
            f"is not the live namespace {s.live.pod_namespace}, which would be deleted with all "
            "that is in it: put it back, or add namespaces to account.unprotected, run "
            "`pulumi up`, and change it then",
        )


@RULES.reading("cluster.kubernetesVersion")
def _kubernetes_version(s: Settings) -> Findings:
    if s.live.kubernetes_version is None:
        return
    (major, live), (_, wanted) = (
        map(int, version.split("."))
        for version in (s.live.kubernetes_version, s.cluster.kubernetes_version)
    )
    if wanted < live:
        text = (
            f"is older than the live {major}.{live}, and EKS goes back one version only, within "
            "seven days of the upgrade, nodes first, and not by Pulumi (docs/operations.md, "
            '"Upgrade"): put it back, or roll back and `pulumi refresh`'
        )
    elif wanted > live + 1:
        text = (
            f"is {wanted - live} versions above the live {major}.{live}, and EKS goes one at a "
            f"time: choose {major}.{live + 1} first (if the cluster is further by now, "
            "`pulumi refresh` first)"
        )
    else:
        return
    yield Finding("cluster.kubernetesVersion", s.cluster.kubernetes_version, text)


@RULES.reading("cluster.authenticationMode")
def _authentication_mode(s: Settings) -> Findings:
    if (s.live.authentication_mode, s.cluster.authentication_mode) == ("API", "API_AND_CONFIG_MAP"):
        yield Finding(
            "cluster.authenticationMode",
            s.cluster.authentication_mode,
            "is what the live cluster has left for API, and EKS has no way back: put API back",
        )


@RULES.reading("airflow.version", "account.unprotected")
def _airflow_version(s: Settings) -> Findings:
    live = s.live.airflow_version
    if live is None:
        return
    wanted = s.airflow.version
    if live.startswith("3.") and wanted.startswith("2.") and not wanted.startswith("2.11."):
        yield Finding(
            "airflow.version",
            wanted,
            f"is not where MWAA goes back to from the live {live}: choose a 2.11",
        )
    elif (
        live.startswith("2.")
        and wanted.startswith("3.")
        and "environment" not in s.account.unprotected
    ):
        # A warning, since `up --refresh` finds what AWS has upgraded only when the rules are
        # through; until then the engine refuses to replace what is protected.
        yield Finding(
            "airflow.version",
            wanted,
            f"is a major version above {live}, as this stack knows it, to which Pulumi would "
            "replace the environment, so that its protection ends this: let AWS upgrade it in "
            'place, from 2.11 on (`aws mwaa update-environment`; README, "Change it"), and run '
            "`pulumi up --refresh`",
            warning=True,
        )
