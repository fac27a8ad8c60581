"""What the drain does to job runs, on an emulated EMR."""

import base64
import time
from collections.abc import Callable

import boto3
import pytest
from moto.emrcontainers.models import JobRun, emrcontainers_backends
from mypy_boto3_emr_containers import EMRContainersClient
from pulumi.dynamic.dynamic import serialize_provider

from components import job_run_drain
from components.job_run_drain import JobRunDrainProvider, drain

REGION = "us-west-2"
ACCOUNT = "123456789012"


@pytest.fixture
def emr(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> EMRContainersClient:
    """Found as the drain finds it in a deployment: through the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR_CONTAINERS", endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setattr(job_run_drain, "POLL_SECONDS", 0)
    emrcontainers_backends[ACCOUNT][REGION].reset()
    return boto3.client("emr-containers", region_name=REGION)


def virtual_cluster(emr: EMRContainersClient, name: str) -> str:
    return emr.create_virtual_cluster(
        name=name,
        clientToken=name,
        containerProvider={
            "id": "mwaa-on-eks-test",
            "type": "EKS",
            "info": {"eksInfo": {"namespace": name}},
        },
    )["id"]


def job_run(emr: EMRContainersClient, cluster: str, state: str) -> str:
    run = emr.start_job_run(
        virtualClusterId=cluster,
        name="pi",
        clientToken="pi",
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/job-execution-role",
        releaseLabel="emr-7.1.0-latest",
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": "local:///pi.py"}},
    )["id"]
    stored(run).state = state
    return run


def stored(run: str) -> JobRun:
    found: JobRun = emrcontainers_backends[ACCOUNT][REGION].job_runs[run]
    return found


def test_every_active_job_run_of_the_virtual_cluster_is_cancelled(emr: EMRContainersClient) -> None:
    ours, theirs = virtual_cluster(emr, "ours"), virtual_cluster(emr, "theirs")
    active = [job_run(emr, ours, state) for state in ("PENDING", "SUBMITTED", "RUNNING")]
    ended = job_run(emr, ours, "COMPLETED")
    other = job_run(emr, theirs, "RUNNING")

    props = {"virtual_cluster_id": ours, "region": REGION, "account_id": ACCOUNT}
    JobRunDrainProvider().delete(ours, props)

    assert [stored(run).state for run in active] == ["CANCELLED"] * 3
    assert stored(ended).state == "COMPLETED"
    assert stored(other).state == "RUNNING"


def test_it_waits_until_a_cancelled_job_run_has_ended(
    emr: EMRContainersClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = virtual_cluster(emr, "ours")
    run = job_run(emr, ours, "CANCEL_PENDING")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            stored(run).state = "CANCELLED"

    monkeypatch.setattr(time, "sleep", nap)
    drain(ours, REGION, ACCOUNT)

    assert len(naps) == 3


def test_it_does_not_wait_for_ever_and_names_what_it_waits_for(
    emr: EMRContainersClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_run_drain, "TIMEOUT_SECONDS", -1)
    ours = virtual_cluster(emr, "ours")
    run = job_run(emr, ours, "CANCEL_PENDING")

    with pytest.raises(TimeoutError, match=f"{run}.*{ours}"):
        drain(ours, REGION, ACCOUNT)


def test_a_job_run_that_ends_meanwhile_is_no_failure(
    emr: EMRContainersClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = virtual_cluster(emr, "ours")
    run = job_run(emr, ours, "RUNNING")
    cancel: Callable[..., JobRun] = emrcontainers_backends[ACCOUNT][REGION].cancel_job_run

    def late(*args: str, **kwargs: str) -> JobRun:
        stored(run).state = "COMPLETED"
        return cancel(*args, **kwargs)  # refuses, as EMR does

    monkeypatch.setattr(emrcontainers_backends[ACCOUNT][REGION], "cancel_job_run", late)
    drain(ours, REGION, ACCOUNT)

    assert stored(run).state == "COMPLETED"


def test_a_virtual_cluster_that_is_gone_needs_no_drain(
    emr: EMRContainersClient, capsys: pytest.CaptureFixture[str]
) -> None:
    drain("abcdefghijklmnopqrstuvwxy", REGION, ACCOUNT)

    assert "gone" in capsys.readouterr().out


def test_with_credentials_of_another_account_nothing_counts_as_gone(
    emr: EMRContainersClient,
) -> None:
    with pytest.raises(PermissionError, match=rf"{ACCOUNT}.*account 999999999999: .*of that"):
        drain("abcdefghijklmnopqrstuvwxy", REGION, "999999999999")


def test_progress_is_told(emr: EMRContainersClient, capsys: pytest.CaptureFixture[str]) -> None:
    ours = virtual_cluster(emr, "ours")
    run = job_run(emr, ours, "RUNNING")

    drain(ours, REGION, ACCOUNT)

    assert f"job run {run} is being cancelled" in capsys.readouterr().out


def test_only_another_virtual_cluster_or_region_replaces_it() -> None:
    old = {"virtual_cluster_id": "a", "region": REGION, "account_id": ACCOUNT}
    provider = JobRunDrainProvider()

    assert not provider.diff("a", old, {**old, "__provider": "other"}).changes
    replaced = provider.diff("a", old, {**old, "virtual_cluster_id": "b"})
    assert (replaced.changes, replaced.replaces) == (True, ["virtual_cluster_id"])
    assert replaced.delete_before_replace  # drained while its virtual cluster is there
    noted = provider.diff("a", {"virtual_cluster_id": "a", "region": REGION}, old)
    assert (noted.changes, noted.replaces) == (True, [])


def test_the_state_names_the_class_and_holds_no_code() -> None:
    pickled = base64.b64decode(serialize_provider(JobRunDrainProvider()))

    assert b"components.job_run_drain" in pickled
    assert b"JobRunDrainProvider" in pickled
    assert b"cancel_job_run" not in pickled
    assert len(pickled) < 120
