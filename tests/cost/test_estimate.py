"""What a stack costs, by line, against what AWS asks for such stacks and what the program makes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from cost.__main__ import document, main, table
from cost.estimate import Estimate, Line, estimate
from cost.prices import prices_of
from tests.cases.conftest import Run
from tests.settings.conftest import MICRO, WITHOUT_NAT, Load

ROOT = Path(__file__).parents[2]
Command = Callable[..., tuple[int, str, str]]
FOLDERS = (".ci", "components", "cost", "dags", "settings", "spark")
BIG = {
    "network.nat": "single",
    "network.interfaceEndpoints": [],
    "cluster.instanceTypes": ["m7i.xlarge", "m6i.xlarge"],
    "cluster.nodeMin": 3,
    "cluster.nodeMax": 9,
    "cluster.nodeDiskGib": 100,
    "airflow.environmentClass": "mw1.medium",
    "airflow.minWorkers": 1,
    "airflow.maxWorkers": 10,
    "monitoring.level": "none",
}
"""The defaults of 0.1, whatever they are now."""
BLUEPRINT = BIG | {
    "account": {"id": "111122223333", "region": "us-east-1"},
    "cluster.instanceTypes": ["m5.xlarge"],
    "airflow.maxWorkers": 25,
    "network.interfaceEndpoints": [
        *("autoscaling", "ecr.api", "ecr.dkr", "ec2", "ec2messages", "elasticloadbalancing"),
        *("sts", "kms", "logs", "ssm", "ssmmessages"),
    ],
}
"""What the Terraform blueprint builds."""
GRAVITON = {
    "cluster.instanceTypes": ["m7g.xlarge"],
    "cluster.architecture": "arm64",
    "cluster.nodeMin": 2,
    "cluster.nodeDiskGib": 50,
}
ALL = {
    "network.nat": "perZone",
    "network.interfaceEndpoints": ["ecr.api", "logs"],
    "airflow.podXcom": True,
    "airflow.metadataBackups": True,
    "spark.historyServer": True,
    "spark.teams": [{"name": "mwaa"}, {"name": "risk"}],
    "spark.spot": {"instanceTypes": ["m6i.2xlarge", "m7i.2xlarge"], "max": 20},
    "monitoring.level": "full",
}


def told(load: Load, changes: dict[str, Any], *, today: date | None = None) -> Estimate:
    settings = load(changes, today=today) if today else load(changes)
    return estimate(settings, prices_of(settings.account.region))


def line(found: Estimate, name: str) -> Line:
    (one,) = (one for one in found.lines if one.name == name)
    return one


def amounts(found: Estimate, name: str) -> tuple[Decimal | int | None, Decimal | int | None]:
    return line(found, name).least, line(found, name).most


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        (BLUEPRINT, 1335),
        (BIG, 1118),
        ({}, 776),
        (GRAVITON, 720),
        (GRAVITON | MICRO, 574),
    ],
)
def test_an_idle_month_costs_what_was_added_up_by_hand(
    load: Load, changes: dict[str, Any], about: int
) -> None:
    found = told(load, changes)
    assert not found.unpriced
    assert abs(found.least - about) < 3


def test_the_defaults_cost_at_most_60_percent_of_the_blueprint(load: Load) -> None:
    file = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    dev = {key.removeprefix("mwaa-on-eks:"): value for key, value in file.items()}
    found = told(load, dev)
    assert not found.unpriced
    assert found.least <= Decimal("0.6") * told(load, BLUEPRINT).least
    # For what the blueprint does.
    settings = load(dev)
    assert settings.network.zone_count == 3
    assert settings.airflow.max_workers > 1
    assert settings.airflow.schedulers > 1


def test_the_most_is_with_all_nodes_and_workers(load: Load) -> None:
    found = told(load, BIG)
    hours = Decimal(730)
    assert amounts(found, "Nodes") == (
        (3 * hours * Decimal("0.2016")).quantize(Decimal("0.01")),
        (9 * hours * Decimal("0.2016")).quantize(Decimal("0.01")),
    )
    assert amounts(found, "Nodes' disks") == (24, 72)
    assert amounts(found, "MWAA workers") == (0, 9 * hours * Decimal("0.11"))
    assert amounts(found, "KMS key") == (1, 3)
    assert found.most == sum(one.most or 0 for one in found.lines)
    assert found.most > 2 * found.least


def test_what_an_environment_contains_is_not_paid_for_again(load: Load) -> None:
    large = {"airflow.environmentClass": "mw1.large", "airflow.minWorkers": 2}
    more = {"airflow.schedulers": 3, "airflow.maxWebservers": 4}
    found = told(load, BIG | large | more)
    hours = Decimal(730)
    assert amounts(found, "MWAA environment") == (hours * Decimal("0.99"),) * 2
    assert amounts(found, "MWAA workers") == (hours * Decimal("0.22"), 9 * hours * Decimal("0.22"))
    assert amounts(found, "MWAA schedulers") == (hours * Decimal("0.22"),) * 2
    assert amounts(found, "MWAA web servers") == (0, 2 * hours * Decimal("0.11"))
    names = {one.name for one in told(load, BIG | MICRO).lines}
    assert not names & {"MWAA workers", "MWAA schedulers", "MWAA web servers"}


def test_kubernetes_without_standard_support_costs_six_times_as_much(load: Load) -> None:
    accepted = {"account.acceptedRisks": ["endedSupport"], "cluster.kubernetesVersion": "1.34"}
    before = told(load, accepted, today=date(2026, 12, 1))
    after = told(load, accepted, today=date(2026, 12, 2))
    assert amounts(before, "EKS control plane") == (73, 73)
    assert amounts(after, "EKS control plane") == (438, 438)
    assert "1.34, extended support until" in line(after, "EKS control plane").basis


def test_spot_nodes_cost_nothing_while_there_are_none_and_are_reckoned_as_the_dearest(
    load: Load,
) -> None:
    found = told(load, BIG | ALL)
    assert amounts(found, "Spot nodes") == (0, 20 * 730 * Decimal("0.4032"))
    assert "reckoned as on demand" in line(found, "Spot nodes").basis
    assert amounts(found, "Spot nodes' disks") == (0, 160)


@pytest.mark.parametrize(
    ("changes", "costs"),
    [
        ({"monitoring.level": "none"}, "0"),
        ({}, "4.80"),
        ({"network.nat": "perZone"}, "5.00"),
        ({"monitoring.level": "full"}, "6.00"),
        ({"monitoring.level": "full", "network.nat": "perZone"}, "6.80"),
        ({"monitoring.level": "full", "network.interfaceEndpoints": ["sts"]}, "6.10"),
    ],
)
def test_alarms_cost_what_docs_cost_tells(load: Load, changes: dict[str, Any], costs: str) -> None:
    found = told(load, changes)
    watching = (
        one.least or Decimal() for one in found.lines if one.name in {"Alarms", "Dashboard"}
    )
    assert sum(watching) == Decimal(costs)


def test_history_servers_cost_nothing_of_their_own(load: Load) -> None:
    found = told(load, ALL)
    assert amounts(found, "Spark history servers") == (0, 0)
    assert line(found, "Spark history servers").basis == "2, pods on the nodes above"
    assert not found.unpriced


def test_what_is_not_known_is_named_and_no_sum_hides_it(load: Load) -> None:
    found = told(load, {"cluster.instanceTypes": ["x8g.xlarge"], "cluster.architecture": "arm64"})
    assert [one.name for one in found.unpriced] == ["Nodes"]
    text = "\n".join(table(found))
    assert f"> {found.least:,.2f}" in text
    assert "  Nodes (2 to 9 x8g.xlarge, on demand): their price is not known here" in text
    assert document(found)["unpriced"] == ["Nodes"]

    huge = told(load, BIG | {"airflow.environmentClass": "mw1.xlarge"})
    assert amounts(huge, "MWAA workers") == (0, None)
    last = next(one for one in table(huge) if one.startswith("Total"))
    assert last.count(">") == 1


def test_what_is_paid_by_use_is_told_as_rates(load: Load) -> None:
    with_nat = {rate.name: rate.price for rate in told(load, {}).rates}
    assert with_nat["Traffic through NAT"].usd == Decimal("0.045")
    assert "Traffic through interface endpoints" not in with_nat
    without = {rate.name for rate in told(load, WITHOUT_NAT).rates}
    assert "Traffic through interface endpoints" in without
    assert "Traffic through NAT" not in without
    left_out = " ".join(told(load, {"network.flowLogs": "arn:aws:s3:::archive"}).not_included)
    assert "EMR on EKS" in left_out
    assert "flow logs" in left_out


@pytest.mark.parametrize("changes", [{}, ALL, WITHOUT_NAT], ids=["minimum", "all", "without NAT"])
def test_it_counts_what_the_program_makes(load: Load, run: Run, changes: dict[str, Any]) -> None:
    program = run("dev", **{key.replace(".", "_"): value for key, value in changes.items()})
    made = list(program.engine.recorded.values())

    def count(kind: str) -> int:
        return sum(one.typ == kind for one in made)

    endpoints = sum(
        len(one.inputs["subnetIds"])
        for one in made
        if one.typ == "aws:ec2/vpcEndpoint:VpcEndpoint"
        and one.inputs["vpcEndpointType"] == "Interface"
    )
    alarms = [one.inputs for one in made if one.typ == "aws:cloudwatch/metricAlarm:MetricAlarm"]
    # An alarm on an expression is paid for by each metric in it.
    metrics = sum(
        len([query for query in alarm.get("metricQueries", [alarm]) if "expression" not in query])
        for alarm in alarms
    )
    found = {one.name: one for one in told(load, changes).lines}
    assert found["Alarms"].basis.startswith(f"{len(alarms)}, ")
    for name, number in (
        ("NAT gateways", count("aws:ec2/natGateway:NatGateway")),
        ("Public IPv4 addresses", count("aws:ec2/eip:Eip")),
        ("Interface endpoints", endpoints),
        ("Alarms", metrics),
        ("Dashboard", count("aws:cloudwatch/dashboard:Dashboard")),
        ("KMS key", count("aws:kms/key:Key")),
        ("Secrets", count("aws:secretsmanager/secret:Secret")),
    ):
        assert (found[name].min_count if name in found else 0) == number, name


def test_asleep_neither_nodes_nor_airflow_are_paid_for(load: Load) -> None:
    asleep = {"account.asleep": True, "account.unprotected": ["environment"]}
    awake, slept = told(load, {}), told(load, asleep)
    gone = {"Nodes", "Nodes' disks", "MWAA environment"}
    left = {one.name: one.least for one in awake.lines if one.name not in gone}
    assert {one.name: one.least for one in slept.lines if one.least} == {
        name: least for name, least in left.items() if least
    }
    assert awake.asleep == slept.least == sum(least or 0 for least in left.values())
    assert slept.asleep is None
    assert any(row.startswith("Asleep") for row in table(awake))
    assert not any(row.startswith("Asleep") for row in table(slept))


def test_programs_read_the_same_as_people(load: Load) -> None:
    found = told(load, BIG)
    given = document(found)
    assert given["region"] == "us-west-2"
    assert given["oldestPrice"] == "2026-07-20"
    assert given["least"] == pytest.approx(sum(one["least"] for one in given["lines"]))
    assert given["most"] == pytest.approx(sum(one["most"] for one in given["lines"]))
    text = list(table(found))
    assert text[1] == "in us-west-2, the oldest of 2026-07-20"
    for one in given["lines"]:
        assert any(row.startswith(one["name"]) and f"{one['most']:,.2f}" in row for row in text)


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run the command; its exit status, what it prints and what it complains of."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["cost", *arguments])
        status = main()
        return status, *capsys.readouterr()

    yield run_command
    pulumi.runtime.set_all_config({}, secret_keys=[])


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("make cost", ["--stack", "dev"]),
        ("make cost STACK=prod REGION=us-east-1", ["--stack", "prod", "--region", "us-east-1"]),
    ],
)
def test_the_readme_shows_what_is_printed(
    cost: Command, command: str, arguments: list[str]
) -> None:
    status, output, _ = cost(*arguments)
    assert status == 0
    printed = output.partition("\n\nBesides")[0]
    readme = (ROOT / "README.md").read_text()
    assert f"$ {command}\n{printed}\n" in readme, f"the README has not what `{command}` prints"


def test_what_cannot_be_told_ends_with_the_way_out(
    cost: Command,
) -> None:
    status, printed, complaint = cost("--stack", "prod", "--json")
    assert (status, printed) == (2, "")
    assert "has no prices of eu-west-1, only of us-east-1 and us-west-2" in complaint

    status, printed, complaint = cost("--stack", "nope")
    assert (status, printed) == (2, "")
    assert "Pulumi.nope.yaml is not here; there are stacks dev, private, prod" in complaint


def test_make_passes_the_stack_and_the_region() -> None:
    make = ["make", "--dry-run", "cost", "STACK=prod", "REGION=us-east-1"]
    done = subprocess.run(make, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "-m cost --stack prod --region us-east-1" in done.stdout


def test_it_needs_no_cloud_no_backend_and_no_cli() -> None:
    command = [sys.executable, "-m", "cost", "--stack", "dev", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={"PATH": ""})
    assert json.loads(done.stdout)["currency"] == "USD"


def test_a_change_is_compared_with_the_commit_that_it_is_based_on(tmp_path: Path) -> None:
    for name in (*FOLDERS, "Pulumi.yaml", "Pulumi.dev.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)

    def run(*command: str) -> None:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "EMAIL"), "somebody"),
        }
        subprocess.run(command, cwd=tmp_path, check=True, env=environment, capture_output=True)

    run("git", "init", "--quiet")
    run("git", "add", ".")
    run("git", "commit", "--quiet", "--message", "base")
    # A default is no less of a change than a setting is.
    sections = tmp_path / "settings" / "sections.py"
    default = r"(node_disk_gib: .* = )(\d+)"
    (found,) = re.findall(default, sections.read_text())
    sections.write_text(re.sub(default, r"\g<1>321", sections.read_text()))
    run(".ci/cost", "dev", "HEAD")
    before, after = (
        {one["name"]: one for one in json.loads((tmp_path / name).read_text())["lines"]}
        for name in ("cost-before.json", "cost-after.json")
    )
    assert "321 GiB" in after["Nodes' disks"]["basis"]
    assert f"{found[1]} GiB" in before["Nodes' disks"]["basis"]
    assert before["MWAA environment"] == after["MWAA environment"]
