"""Emulators and an API server for the tests of the stand-ins."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
from botocore.retries.standard import ExponentialBackoff

from sandbox.cloud.kubernetes.control_plane import ControlPlane
from sandbox.cloud.lifecycle import ACCOUNT, LISTENING, REGION, issue_key, new_key
from sandbox.machine import ports as loopback
from sandbox.machine import processes
from sandbox.machine.program import ROOT
from sandbox.machine.waiting import wait_for
from sandbox.providers.aws.provider import AwsPlugin
from sandbox.tests.aws_account import Account


def answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            return False
    return True


@pytest.fixture(scope="session")
def aws_itself() -> dict[str, str]:
    """The access key with which the emulated services call each other, as boto3 takes it."""
    return dict(zip(("aws_access_key_id", "aws_secret_access_key"), new_key(), strict=True))


@pytest.fixture(scope="session")
def _running(
    tmp_path_factory: pytest.TempPathFactory, aws_itself: dict[str, str]
) -> Iterator[dict[str, str]]:
    """moto, ministack and an API server, with the variables through which they are found."""
    directory = tmp_path_factory.mktemp("emulators")
    ports = loopback.free(LISTENING)
    plane = ControlPlane(directory, ports)
    plane.write_files()
    commands = {
        "moto": [
            *(sys.executable, "-m", "sandbox.cloud.aws.moto_server"),
            *("-H", "127.0.0.1", "-p", str(ports["moto"])),
        ],
        "ministack": [sys.executable, "-m", "sandbox.cloud.aws.ministack_server"],
        "etcd": plane.commands()["etcd"],
        "kube-apiserver": plane.commands()["kube-apiserver"],
    }
    environment = {
        "MOTO_ACCOUNT_ID": ACCOUNT,
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(ports["ministack"]),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "SANDBOX_ENDPOINT": plane.address,
        "SANDBOX_ENDPOINT_FOR_AIRFLOW": plane.address.replace("127.0.0.1", "localhost"),
        "SANDBOX_ETCD": plane.store.address,
        "SANDBOX_ETCD_KEYS": str(plane.store.keys),
        "SANDBOX_API_SERVER_CA": str(plane.authority),
        "TMPDIR": str(directory),
    }
    moto, ministack = (f"http://127.0.0.1:{ports[name]}" for name in ("moto", "ministack"))
    found = {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": moto,
        "AWS_ENDPOINT_URL_EKS": ministack,
        "AWS_ENDPOINT_URL_MWAA": ministack,
        "KUBECONFIG": str(plane.kubeconfig),
        "SANDBOX_AIRFLOW": str(directory / "airflow-serving.json"),
        "SANDBOX_MESSAGES": str(directory / "messages.log"),
    }
    credentials = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    as_aws = dict(zip(credentials, aws_itself.values(), strict=True))
    started: list[processes.Process] = []
    try:
        for name, command in commands.items():
            log = directory / f"{name}.log"
            started.append(
                processes.start(
                    name,
                    command,
                    environment={**os.environ, **found, **environment, **as_aws},
                    cwd=ROOT,
                    log=log,
                )
            )
        wait_for(lambda: answers(ports["moto"]), "moto")
        wait_for(lambda: answers(ports["ministack"]), "ministack")
        wait_for(plane.is_ready, "kube-apiserver")
        found |= zip(credentials, issue_key(moto, *as_aws.values()), strict=True)
        yield found
    finally:
        # The API server waits for who watches.
        processes.end(started, patience=1)


@pytest.fixture(scope="module")
def emulators(_running: dict[str, str]) -> Iterator[dict[str, str]]:
    """moto, ministack and an API server, found through the environment of this process."""
    # For a module at a time: tests of other rooms in this process have AWS to themselves.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _running.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield _running


@pytest.fixture
def account(emulators: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """The emulated account through the provider; what a test has made there goes with it."""
    # What is refused for good, or fails, is asked for five times: without the seconds between.
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2"})
    account = Account(plugin)
    yield account
    account.clean_up()
