"""Where images come from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pulumi
import pulumi_aws as aws
import pytest

from components.images import Images, find_images
from settings.versions import KUBERNETES
from tests.components.conftest import ACCOUNT, Engine

ROOT = Path(__file__).parents[2]
LOOK_UP = "aws:ecr/getImage:getImage"
ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
AUTOSCALER = "registry.k8s.io/autoscaling/cluster-autoscaler"


def found(
    engine: Engine, registry: str | None, *, version: str = "1.35", xcom: bool = False
) -> Images:
    images = []

    def program() -> None:
        provider = aws.Provider("aws", region="us-west-2")
        images.append(
            find_images(
                registry, kubernetes_version=version, xcom=xcom, account=ACCOUNT, provider=provider
            )
        )

    engine.run(program)
    return images[0]


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_autoscalers_minor_version_is_the_clusters(engine: Engine, version: str) -> None:
    image = found(engine, None, version=version).cluster_autoscaler
    assert image.startswith(f"{AUTOSCALER}:v{version}.")


def test_there_is_a_sidecar_where_pods_return_values(engine: Engine) -> None:
    assert found(engine, None).xcom_sidecar is None
    sidecar = found(Engine(), None, xcom=True).xcom_sidecar
    assert re.fullmatch(r"public\.ecr\.aws/docker/library/alpine:[\d.]+", sidecar or "")


@pytest.mark.parametrize(
    "registry",
    [
        "registry.example.com",
        "210987654321.dkr.ecr.us-west-2.amazonaws.com/mirror",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror",
    ],
)
def test_copies_are_under_their_public_names(engine: Engine, registry: str) -> None:
    images = found(engine, registry, xcom=True)

    assert images.prefix == f"{registry}/"
    assert images.cluster_autoscaler.startswith(f"{registry}/{AUTOSCALER}:")
    assert (images.xcom_sidecar or "").startswith(f"{registry}/public.ecr.aws/")


@pytest.mark.parametrize(("path", "before"), [("", ""), ("/mirror", "mirror/")])
def test_copies_in_the_accounts_ecr_are_looked_for(engine: Engine, path: str, before: str) -> None:
    asked: list[dict[str, Any]] = []

    def answer(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args)
        return {"id": "sha256:1"}

    engine.answers[LOOK_UP] = answer

    images = found(engine, ECR + path, xcom=True)
    assert [f"{ECR}/{one['repositoryName']}:{one['imageTag']}" for one in asked] == [
        images.cluster_autoscaler,
        images.xcom_sidecar,
    ]
    assert asked[0]["repositoryName"] == before + AUTOSCALER


def test_a_copy_that_is_not_there_ends_the_preview_with_the_way_out(engine: Engine) -> None:
    class MissingError(grpc.RpcError):
        """As the engine hands on what the provider says."""

        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNKNOWN

        def details(self) -> str:
            return "no such image"

    def missing(_: dict[str, Any]) -> dict[str, Any]:
        raise MissingError

    engine.answers[LOOK_UP] = missing

    with pytest.raises(pulumi.RunError) as error:
        found(engine, ECR)

    assert f"mwaa-on-eks:cluster.imageRegistry: {ECR}/{AUTOSCALER}:v1.35." in str(error.value)
    assert "is not there (invoke of aws:ecr/getImage:getImage failed" in str(error.value)
    assert "no such image" in str(error.value)
    assert f"copy {AUTOSCALER}:v1.35." in str(error.value)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_images_to_copy_are_named(engine: Engine, version: str) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "components.images", version],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    dags = "".join(file.read_text() for file in (ROOT / "dags").glob("*.py"))
    of_dags = re.findall(r"(?:[\w-]+\.)+[\w-]+/[\w./-]+:[\d.]+", dags)
    assert of_dags
    images = found(engine, None, version=version, xcom=True)
    assert {images.cluster_autoscaler, images.xcom_sidecar, *of_dags} == set(listed)
