"""What Sleep does to nodes, and what keeps it from that, on stubs of AWS."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
import pytest
from pulumi.dynamic.dynamic import serialize_provider

from components import sleep
from components.sleep import AwakeError, SleepProvider

TAGS: Final = {"project": "mwaa-on-eks", "stack": "dev"}
PROPS: Final = {
    "cluster_name": "platform",
    "environment_name": "platform",
    "tags": TAGS,
    "region": "us-west-2",
    "account_id": "123456789012",
}


class Error(Exception):
    """Any of AWS's."""


class InUseError(Error):
    """EKS's ResourceInUseException."""


class GoneError(Error):
    """ResourceNotFoundException."""


class Exceptions:
    ResourceInUseException = InUseError
    ResourceNotFoundException = GoneError
    InternalServerException = RestApiClientException = RestApiServerException = type(
        "FailedError", (Error,), {}
    )


@dataclass
class Aws:
    """As much of AWS as is asked: groups of nodes by name, job runs and runs of DAGs."""

    sizes: dict[str, int] = field(default_factory=lambda: {"nodes": 2, "spot": 1})
    foreign: frozenset[str] = frozenset()
    busy: int = 0
    asked_again: int = 0
    """How often the autoscaler asks for a node while there are some."""
    job_runs: list[dict[str, str]] = field(default_factory=list)
    dag_runs: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    fails: type[Error] | None = None
    told: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    exceptions = Exceptions

    def __post_init__(self) -> None:
        self.instances = dict(self.sizes)
        self.least = dict(self.sizes)

    def get_paginator(self, operation: str) -> Any:  # noqa: ANN401
        answers: dict[str, Any] = {
            "list_nodegroups": {"nodegroups": list(self.sizes)},
            "list_virtual_clusters": {"virtualClusters": [{"id": "vc-1"}]},
            "list_job_runs": {"jobRuns": self.job_runs},
        }

        class Paginator:
            def paginate(self, **_: object) -> list[Any]:
                return [answers[operation]]

        return Paginator()

    def describe_nodegroup(self, **which: str) -> dict[str, Any]:
        name = which["nodegroupName"]
        group = {
            "clusterName": "platform",
            "nodegroupName": name,
            "tags": {} if name in self.foreign else TAGS | {"owner": "data"},
            "scalingConfig": {"desiredSize": self.sizes[name]},
            "resources": {"autoScalingGroups": [{"name": name}]},
        }
        return {"nodegroup": group}

    def update_nodegroup_config(self, **told: Any) -> None:  # noqa: ANN401
        if self.busy:
            self.busy -= 1
            raise InUseError("Nodegroup cannot be updated as it is currently being updated")
        name, scaling = told["nodegroupName"], told["scalingConfig"]
        self.told.append((name, scaling))
        self.sizes[name], self.least[name] = scaling["desiredSize"], scaling["minSize"]

    def describe_auto_scaling_groups(self, **which: list[str]) -> dict[str, Any]:
        (name,) = which["AutoScalingGroupNames"]
        found = {
            "DesiredCapacity": self.sizes[name],
            "MinSize": self.least[name],
            "Instances": [{}] * self.instances[name],
        }
        self.instances[name] = self.sizes[name]
        if self.asked_again and self.sizes[name] == 0:
            self.asked_again -= 1
            self.sizes[name] = self.instances[name] = 1
        return {"AutoScalingGroups": [found]}

    def invoke_rest_api(self, **told: Any) -> dict[str, Any]:  # noqa: ANN401
        if self.fails:
            raise self.fails("no answer")
        assert (told["Path"], told["Method"]) == ("/dags/~/dagRuns", "GET")
        found = self.dag_runs.get(told["QueryParameters"]["state"], [])
        return {"RestApiResponse": {"dag_runs": found}}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Where the provider finds it."""
    aws = Aws()
    monkeypatch.setattr(boto3, "client", lambda _, **__: aws)
    monkeypatch.setattr(sleep, "require_account", lambda *_: None)
    monkeypatch.setattr(sleep, "POLL_SECONDS", 0)
    return aws


def test_all_nodes_go_and_none_is_needed_any_more(aws: Aws) -> None:
    made = SleepProvider().create(dict(PROPS))
    assert made.outs == {**PROPS, "nodes": 0}
    assert aws.sizes == aws.least == aws.instances == {"nodes": 0, "spot": 0}


def test_nodes_that_the_autoscaler_asks_for_meanwhile_go_too(aws: Aws) -> None:
    aws.asked_again = 3
    SleepProvider().create(dict(PROPS))
    assert aws.sizes == aws.instances == {"nodes": 0, "spot": 0}


def test_another_change_of_a_group_is_waited_for(aws: Aws) -> None:
    aws.busy = 2
    SleepProvider().create(dict(PROPS))
    assert aws.sizes == {"nodes": 0, "spot": 0}


def test_nodes_of_others_stay(aws: Aws) -> None:
    aws.foreign = frozenset({"spot"})
    SleepProvider().create(dict(PROPS))
    assert aws.sizes == {"nodes": 0, "spot": 1}


def test_work_keeps_it_awake(aws: Aws) -> None:
    aws.job_runs = [{"id": "r-1", "name": "pi", "state": "RUNNING"}]
    aws.dag_runs = {"queued": [{"dag_id": "daily", "dag_run_id": "manual__1"}]}
    with pytest.raises(AwakeError) as error:
        SleepProvider().create(dict(PROPS))
    assert str(error.value) == (
        "nothing has been put to sleep, since work is under way: let it end, or cancel it, and run "
        "`up` again:"
        "\n- job run r-1 (pi) is RUNNING: `aws emr-containers cancel-job-run --virtual-cluster-id "
        "vc-1 --id r-1`"
        "\n- run manual__1 of the DAG daily is queued: let it end, or mark it as failed on "
        "Airflow's page"
    )
    assert aws.told == []


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (Exceptions.ResourceNotFoundException, ""),
        (Exceptions.InternalServerException, "Airflow does not say whether DAGs run"),
    ],
)
def test_an_environment_that_is_gone_or_broken_keeps_nothing_awake(
    aws: Aws, capsys: pytest.CaptureFixture[str], fails: type[Error], said: str
) -> None:
    aws.fails = fails
    SleepProvider().create(dict(PROPS))
    assert said in capsys.readouterr().out
    assert aws.sizes == {"nodes": 0, "spot": 0}


def test_who_may_not_ask_airflow_is_told(aws: Aws) -> None:
    aws.fails = Error
    with pytest.raises(Error, match="no answer"):
        SleepProvider().create(dict(PROPS))
    assert aws.told == []


def test_nodes_that_somebody_has_brought_back_are_found_and_go_again(aws: Aws) -> None:
    provider = SleepProvider()
    known = provider.create(dict(PROPS)).outs
    assert known is not None
    assert not provider.diff("", known, dict(PROPS)).changes
    aws.sizes["nodes"] = 4
    found = provider.read("platform", known).outs
    assert found is not None
    assert found["nodes"] == 4
    assert provider.diff("", found, dict(PROPS)).changes
    provider.update("", found, dict(PROPS))
    assert aws.sizes["nodes"] == 0


def test_it_gives_up_on_nodes_that_stay(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleep, "TIMEOUT_SECONDS", -1)
    with pytest.raises(TimeoutError, match="cluster platform has nodes after"):
        SleepProvider().create(dict(PROPS))


def test_the_state_holds_no_code() -> None:
    pickled = base64.b64decode(serialize_provider(SleepProvider()))
    assert b"components.sleep" in pickled
    assert len(pickled) < 100
