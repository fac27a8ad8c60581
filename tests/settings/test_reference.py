"""What Pulumi.yaml, docs/settings.md and the README say of settings."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import yaml

from settings import reference
from settings.sections import SECTIONS
from settings.values import Risk


@pytest.mark.parametrize("name", reference.FILES)
def test_a_file_says_what_the_declarations_say(name: str) -> None:
    content = (reference.ROOT / name).read_text()

    assert reference.rendered(content, reference.FILES[name]()) == content, "run `make settings`"


def test_what_is_above_the_mark_is_kept() -> None:
    content = "by hand\n# Written by `make settings`:\nold\n"

    assert reference.rendered(content, ["new"]) == ("by hand\n# Written by `make settings`:\nnew\n")


def test_pulumi_yaml_declares_sections_with_their_defaults() -> None:
    declared = yaml.safe_load((reference.ROOT / "Pulumi.yaml").read_text())["config"]

    # A provider that is not handed to a resource shall fail.
    assert declared.pop("pulumi:disable-default-providers") == {"value": ["aws", "kubernetes"]}
    assert list(declared) == list(SECTIONS)
    for section, model in SECTIONS.items():
        assert declared[section]["type"] == "object"
        lines = declared[section]["description"].splitlines()
        assert lines[0] == model.__doc__
        for setting in model.model_json_schema()["properties"]:
            assert any(line.startswith(f"- {setting} (") for line in lines)
        if section != "account":  # it has settings without a default
            default = model().model_dump(mode="json", by_alias=True)
            assert declared[section]["default"] == default


def test_an_older_cli_than_the_sandboxs_is_refused() -> None:
    required = yaml.safe_load((reference.ROOT / "Pulumi.yaml").read_text())["requiredPulumiVersion"]
    go_module = (reference.ROOT / "sandbox/machine/go/go.mod").read_text()

    (version,) = re.findall(r"github\.com/pulumi/pulumi/pkg/v3 v([\d.]+)", go_module)
    assert required == f">={version}"


@pytest.mark.parametrize(
    "start",
    [
        "`account.id` | **required** | the 12 digits of",
        "`account.acceptedRisks` | `[]` | list: `deployerOnlyAdmin`, `endedSupport`,",
        "`account.tags` | `{}` | map; keys: up to 128 letters",
        "`account.forceDestroy` | `false` | boolean",
        '`network.cidrBlock` | `"10.0.0.0/16"` | an IPv4 range in one of 10.0.0.0/8',
        "`network.zones` | `3` | 2 to 4 | In how many",
        "`cluster.publicAccessCidrs` | `[]` | list of up to 40: a public",
        '`cluster.instanceTypes` | `["m7i.xlarge", "m6i.xlarge"]` | list of 1 to 20: an EC2',
        "`airflow.weeklyMaintenanceWindow` | `null` | a day, an hour and 00 or 30 minutes in UTC, "
        "such as SUN:03:30; or null | When",
        '`airflow.podQuota.memory` | `"128Gi"` | a size with its unit',
        "`spark.teams[].name` | **required** | up to 20 small letters, digits, hyphens | Name of "
        "the team; its namespace is emr-&lt;name&gt;. |",
        "`singleNat` | `network.nat` | ends the way out for all zones when one zone fails | "
        "choose perZone |",
    ],
)
def test_a_row_tells_default_and_limits(start: str) -> None:
    (row,) = (line for line in reference.tables() if line.startswith(f"| {start}"))

    assert not re.search(r"<|\s\|\s\|", row)  # no tag, no empty cell


def test_every_risk_is_told() -> None:
    lines = list(reference.tables())
    risks = [line.split("`")[1] for line in lines[lines.index("## Risks") :] if "| `" in line]

    assert sorted(risks) == sorted(get_args(Risk))


def test_the_readme_says_of_a_setting_what_the_reference_says() -> None:
    readme = (reference.ROOT / "README.md").read_text()
    rows = re.findall(rf"^\| `(?:{'|'.join(SECTIONS)})\..*", readme, re.M)
    values = re.compile(r"^((?:\| [^|]+ ){2})\| [^|]+ ")  # the README has no column for them
    told = {values.sub(r"\1", line) for line in reference.tables()}

    assert rows
    assert not set(rows) - told
