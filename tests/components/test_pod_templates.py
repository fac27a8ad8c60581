"""Decisions of PodTemplates, and of the templates themselves."""

import re
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from components import uploaded_files
from components.capacity import EXECUTORS
from components.pod_template_files import CONTAINERS, DRIVER, EXECUTOR, PREFIX, SPOT_EXECUTOR
from components.pod_templates import PodTemplates, PodTemplatesArgs
from components.written_files import BucketContents, Version, WrittenFile
from settings.values import TeamName
from tests.components.conftest import ACCOUNT, Engine

FOLDER = Path(__file__).resolve().parents[2] / "spark/pod-templates"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
DYNAMIC = "pulumi-python:dynamic:Resource"


def args(**changes: Any) -> PodTemplatesArgs:  # noqa: ANN401
    given: dict[str, Any] = {"source": FOLDER, "spot": False, "written": None, **changes}
    return PodTemplatesArgs(bucket_name="jobs", bucket="jobs", account=ACCOUNT, **given)


def template(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def test_each_file_of_the_folder_is_an_object_that_no_team_can_own(engine: Engine) -> None:
    engine.run(lambda: PodTemplates("jobs", args()))

    keys = {one.inputs["key"] for one in engine.all(OBJECT)}
    assert keys == {f"{PREFIX}{path.name}" for path in FOLDER.iterdir()}
    assert all(one.request.retainOnDelete for one in engine.all(OBJECT))
    removed = engine.one(DYNAMIC, "jobs-removed").inputs
    assert set(removed["keys"]) == keys
    assert set(engine.one(DYNAMIC, "jobs-written").inputs["files"]) == keys
    with pytest.raises(ValidationError):
        TypeAdapter(TeamName).validate_python(PREFIX.rstrip("/"))


@pytest.mark.parametrize(("spot", "executor"), [(False, EXECUTOR), (True, SPOT_EXECUTOR)])
def test_executors_go_where_there_is_spot_capacity_and_drivers_do_not(
    engine: Engine, spot: bool, executor: str
) -> None:
    outputs = engine.run(lambda: PodTemplates("jobs", args(spot=spot)))

    for role, file in (("driver", DRIVER), ("executor", executor)):
        assert outputs[role].inputs["value"] == f"s3://jobs/{PREFIX}{file}"
        assert f"jobs-{PREFIX}{file}" in engine.waits_for(outputs[role])


def test_what_somebody_else_wrote_is_written_over_and_the_teams_data_is_not_looked_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    key = f"{PREFIX}{DRIVER}"

    def contents_of(*which: str) -> BucketContents:
        asked.append(which)
        latest = {key: Version(id="theirs", written_at="2026-11-25T19:00:00+00:00")}
        return BucketContents(
            bucket="jobs", region="us-west-2", latest=latest, versions=frozenset()
        )

    monkeypatch.setattr(uploaded_files, "contents_of", contents_of)
    written = {key: WrittenFile(source_hash="a", version="ours", pinned="ours")}
    engine.run(lambda: PodTemplates("jobs", args(written=written)))

    assert asked == [("jobs", "us-west-2", "123456789012", PREFIX)]
    sent = engine.one(OBJECT, f"jobs-{key}").inputs["sourceHash"]
    assert sent.endswith(" over theirs after ours")
    (warning,) = warned
    assert f"{key} in bucket jobs: version theirs is not this program's" in warning
    assert "job runs use it until then. `pulumi up` writes" in warning


@pytest.mark.parametrize("name", [path.name for path in FOLDER.iterdir()])
def test_a_template_meets_pod_securitys_restricted_standard(name: str) -> None:
    # kubernetes.io/docs/concepts/security/pod-security-standards, "Restricted" with "Baseline".
    found = template(name)

    assert (found["apiVersion"], found["kind"]) == ("v1", "Pod")
    spec = found["spec"]
    assert set(spec) <= {"affinity", "containers", "nodeSelector", "tolerations"}
    (container,) = spec["containers"]
    assert container["name"] == CONTAINERS[name]
    assert set(container) == {"name", "securityContext"}
    context = container["securityContext"]
    assert context.pop("runAsUser") > 0
    assert context.pop("runAsGroup") > 0
    assert context == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_only_executors_on_spot_capacity_are_let_there_and_they_go_nowhere_else() -> None:
    key, value = EXECUTORS
    spot = template(SPOT_EXECUTOR)["spec"]
    assert spot["nodeSelector"] == {key: value}
    assert spot["tolerations"] == [
        {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
    ]
    for name in (DRIVER, EXECUTOR):
        assert "tolerations" not in template(name)["spec"]
    placed = template(DRIVER)["spec"]["affinity"]["nodeAffinity"]
    (term,) = placed["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "eks.amazonaws.com/capacityType", "operator": "NotIn", "values": ["SPOT"]}
    ]


@pytest.mark.parametrize("name", [path.name for path in FOLDER.iterdir()])
def test_the_autoscaler_ends_no_pod_of_a_job(name: str) -> None:
    annotations = template(name)["metadata"]["annotations"]
    assert annotations == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


def test_the_executors_templates_differ_in_their_place_alone() -> None:
    spot = template(SPOT_EXECUTOR)
    del spot["spec"]["nodeSelector"], spot["spec"]["tolerations"]
    assert spot == template(EXECUTOR)
    assert re.fullmatch(r"[a-z_]+/", PREFIX)
