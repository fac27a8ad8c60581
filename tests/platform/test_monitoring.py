"""What goes wrong reaches the topic of the alarms: a job, a DAG's file, a full quota, the key."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import CoreV1Api

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for

pytestmark = pytest.mark.dag_runs

NAME = "mwaa-on-eks-sandbox"
ARN = "arn:aws:{}:us-west-2:123456789012:{}"
DAG_BUCKET = f"{NAME}-dags-123456789012"
POD = "kubernetes_pod_example"
BROKEN = "from airflow import DAG\nimport nothing_of_this_name\n"  # Airflow looks for both words


@dataclass
class Inbox:
    """A queue that is told what a topic gets."""

    clone: Clone
    url: str
    told: list[str] = field(default_factory=list)
    """What has arrived: subject and message."""

    def look(self) -> None:
        """Take out what has arrived since."""
        sqs = self.clone.aws("sqs")
        answer = sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        for one in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
            message = json.loads(one["Body"])
            self.told.append(f"{message.get('Subject', '')}\n{message['Message']}")

    def wait_for(self, text: str) -> str:
        """Return the first message that has the text, in its subject or in itself."""

        def found() -> str | None:
            self.look()
            return next((one for one in self.told if text in one), None)

        return str(wait_for(found, f"a message with {text}"))


def _inbox(clone: Clone, name: str) -> Inbox:
    sqs, topic = clone.aws("sqs"), ARN.format("sns", name)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    queue = ARN.format("sqs", name)
    clone.aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    return Inbox(clone, url)


@pytest.fixture(scope="module")
def inbox(platform: Clone) -> Iterator[Inbox]:
    """What the alarms' topic is told."""
    yield (found := _inbox(platform, f"{NAME}-alarms"))
    platform.aws("sqs").delete_queue(QueueUrl=found.url)


@contextmanager
def _delivered(clone: Clone, file: str, text: str) -> Iterator[None]:
    """A file of DAGs, as MWAA would get it."""
    s3, place = clone.aws("s3"), {"Bucket": DAG_BUCKET, "Key": f"dags/{file}"}
    s3.put_object(**place, Body=text.encode())
    try:
        yield
    finally:
        s3.delete_object(**place)


def _changed(clone: Clone, changes: Mapping[str, str]) -> str:
    text = (clone.directory / "dags" / f"{POD}.py").read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return re.sub(r'"retries": \d+', '"retries": 0', text)


def test_a_failed_job_run_is_told(platform: Clone, inbox: Inbox) -> None:
    outputs, emr = platform.outputs(), platform.aws("emr-containers")
    started: dict[str, Any] = emr.start_job_run(
        name="nightly",
        virtualClusterId=outputs["virtual_cluster_ids"]["mwaa"],
        executionRoleArn=outputs["job_role_arns"]["mwaa"],
        releaseLabel="emr-7.14.0-latest",
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": "local:///nothing/there.py"}},
    )
    told = inbox.wait_for(started["id"])
    assert "nightly" in told
    assert "docs/runbook.md#" in told


def test_a_full_quota_is_told(platform: Clone, inbox: Inbox) -> None:
    core: Any = CoreV1Api(platform.kubernetes)
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    core.create_namespaced_resource_quota("mwaa", quota)
    try:
        text = _changed(platform, {f'dag_id="{POD}"': 'dag_id="crowded"'})
        with _delivered(platform, "crowded.py", text):
            done = platform.sandbox("dags", "crowded", check=False)
    finally:
        core.delete_namespaced_resource_quota("full", "mwaa")
    assert done.returncode == 1, done.stdout[-4000:]
    assert "exceeded quota: full" in inbox.wait_for("Airflow: crowded.run_pod failed")


def test_a_file_of_dags_that_cannot_be_imported_is_told(
    platform: Clone, inbox: Inbox, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        _delivered(platform, "broken.py", BROKEN),
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "sandbox", "airflow"],
            cwd=platform.directory,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            told = inbox.wait_for(f'ALARM: "{NAME}-airflow-dags-broken"')
        finally:
            process.terminate()
            process.wait(60)
    subject, _, message = told.partition("\n")
    alarm = json.loads(message)
    assert alarm["NewStateValue"] == "ALARM", subject
    assert alarm["Trigger"]["MetricName"] == "ImportErrors"
    assert "docs/runbook.md#" in alarm["AlarmDescription"]


def test_who_takes_the_key_away_is_told(platform: Clone) -> None:
    beside = _inbox(platform, f"{NAME}-key-alarms")
    (key,) = (one for one in platform.resources() if one["type"] == "aws:kms/key:Key")
    kms = platform.aws("kms")
    kms.disable_key(KeyId=key["outputs"]["keyId"])
    try:
        told = beside.wait_for("DisableKey")
    finally:
        kms.enable_key(KeyId=key["outputs"]["keyId"])
        platform.aws("sqs").delete_queue(QueueUrl=beside.url)
    assert key["outputs"]["keyId"] in told
