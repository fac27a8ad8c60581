"""How long the program itself waits for AWS."""

from __future__ import annotations

import ast
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import NoCredentialsError, ReadTimeoutError
from pulumi import RunError, log

from components import credentials, job_run_drain, node_bounds
from components.credentials import BOUNDED, check_caller, require_account
from components.job_run_drain import JobRunDrainProvider
from components.node_bounds import NodeBoundsProvider
from components.removed_files import RemovedFilesProvider

PROPS: Final[dict[str, Any]] = {
    **{"region": "us-west-2", "account_id": "1", "virtual_cluster_id": "v"},
    **{"cluster_name": "c", "node_group_name": "n", "min_size": 1, "max_size": 2},
    **{"bucket": "b", "keys": []},
}


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An AWS that takes every connection and says nothing, for a client of a short patience."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        make = boto3.client
        quick = Config(read_timeout=0.05, retries={"total_max_attempts": 1})

        def client(service: Any, *, region_name: str, config: Config) -> Any:  # noqa: ANN401
            assert config is BOUNDED
            return make(service, region_name=region_name, config=quick)

        monkeypatch.setattr(boto3, "client", client)
        yield


@pytest.mark.parametrize(
    "ask",
    [
        lambda: require_account("1", "us-west-2", "what is asked for"),
        lambda: JobRunDrainProvider().delete("v", PROPS),
        lambda: NodeBoundsProvider().create(PROPS),
        lambda: NodeBoundsProvider().read("c:n", PROPS),
        lambda: RemovedFilesProvider().update("b", {**PROPS, "keys": ["dags/gone.py"]}, PROPS),
    ],
    ids=["account", "drain", "bounds", "bounds-read", "removed-files"],
)
@pytest.mark.usefixtures("silent")
def test_a_request_that_nobody_answers_ends(
    ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (job_run_drain, node_bounds):  # which ask for the account first
        monkeypatch.setattr(module, "require_account", lambda *_: None)
    with pytest.raises(ReadTimeoutError, match="Read timeout on endpoint URL"):
        ask()


def test_every_client_is_bounded() -> None:
    calls = [
        ast.unparse(node)
        for path in Path("components").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("boto3.")
    ]
    assert len(calls) > 5
    assert [call for call in calls if "config=BOUNDED" not in call] == []


ADMIN = "arn:aws:iam::123456789012:role/people/Admin"
SESSION = "arn:aws:sts::123456789012:assumed-role/Admin/me"


def called_by(monkeypatch: pytest.MonkeyPatch, arn: str) -> None:
    monkeypatch.setattr(credentials, "_caller", lambda _: arn)


@pytest.mark.parametrize(
    ("caller", "listed"),
    [
        (SESSION, ADMIN),
        (SESSION, "arn:aws:iam::123456789012:role/admin"),
        ("arn:aws:iam::123456789012:user/x/ada", "arn:aws:iam::123456789012:user/x/ada"),
    ],
)
def test_who_creates_the_cluster_is_not_listed(
    monkeypatch: pytest.MonkeyPatch, caller: str, listed: str
) -> None:
    called_by(monkeypatch, caller)

    with pytest.raises(RunError) as error:
        check_caller("123456789012", "us-west-2", [listed], None)
    assert str(error.value) == (
        f'mwaa-on-eks:cluster = "{listed}": is who deploys this, {caller}, and whoever creates a '
        "cluster administers it by an access entry that EKS makes, beside which it takes no second "
        "one: remove it from the lists, or deploy as another"
    )
    warned: list[str] = []
    monkeypatch.setattr(log, "warn", warned.append)
    check_caller("123456789012", "us-west-2", [listed], {listed})  # another has created it
    assert warned == []
    check_caller("123456789012", "us-west-2", [listed], frozenset())  # or not
    assert warned == [str(error.value)]


@pytest.mark.parametrize(
    "caller",
    [
        "arn:aws:sts::123456789012:assumed-role/Deploy/Admin",
        "arn:aws:iam::123456789012:user/Admin",
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/Admin",
    ],
)
def test_others_may_be_listed(monkeypatch: pytest.MonkeyPatch, caller: str) -> None:
    called_by(monkeypatch, caller)
    check_caller("123456789012", "us-west-2", [ADMIN], None)


def test_another_account_is_named_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    called_by(monkeypatch, SESSION)

    with pytest.raises(RunError) as error:
        check_caller("999999999999", "us-west-2", [], frozenset())
    assert str(error.value) == (
        'mwaa-on-eks:account.id = "999999999999": is not the account of the credentials, '
        f"123456789012 ({SESSION}): use credentials of that account, or correct the setting"
    )


def test_credentials_that_are_not_there_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def caller(_: str) -> str:
        raise NoCredentialsError

    monkeypatch.setattr(credentials, "_caller", caller)

    with pytest.raises(RunError, match=r"there are no AWS credentials .*: sign in"):
        check_caller("123456789012", "us-west-2", [], frozenset())
