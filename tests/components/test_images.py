"""Where images come from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pulumi
import pytest

from components import images
from settings.versions import KUBERNETES
from tests.components.conftest import ACCOUNT, Engine

ROOT = Path(__file__).parents[2]
LOOK_UP = "aws:ecr/getImage:getImage"
ECR = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
IMAGE = "public.ecr.aws/docker/library/busybox:1.37.0"


def found(engine: Engine, registry: str | None) -> str:
    """The name under which the image is pulled."""
    names = []

    def program() -> None:
        parent = pulumi.ComponentResource("test:index:Parent", "parent")
        names.append(images.in_registry(IMAGE, registry, ACCOUNT, parent=parent))

    engine.run(program)
    return names[0]


@pytest.mark.parametrize(
    "registry",
    [
        None,
        "registry.example.com",
        "210987654321.dkr.ecr.us-west-2.amazonaws.com/mirror",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mirror",
    ],
)
def test_other_registries_are_not_asked(engine: Engine, registry: str | None) -> None:
    assert found(engine, registry) == (f"{registry}/{IMAGE}" if registry else IMAGE)


@pytest.mark.parametrize(("path", "before"), [("", ""), ("/mirror", "mirror/")])
def test_an_image_in_the_accounts_ecr_is_looked_for(engine: Engine, path: str, before: str) -> None:
    asked: list[dict[str, Any]] = []

    def answer(args: dict[str, Any]) -> dict[str, Any]:
        asked.append(args)
        return {"id": "sha256:1"}

    engine.answers[LOOK_UP] = answer

    assert found(engine, ECR + path) == f"{ECR}{path}/{IMAGE}"
    repository = f"{before}public.ecr.aws/docker/library/busybox"
    assert asked == [{"repositoryName": repository, "imageTag": "1.37.0"}]


def test_an_image_that_is_not_there_ends_the_preview_with_the_way_out(engine: Engine) -> None:
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

    assert f"mwaa-on-eks:cluster.imageRegistry: {ECR}/{IMAGE} is not there" in str(error.value)
    assert "no such image" in str(error.value)
    assert f"copy {IMAGE} to it" in str(error.value)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_images_to_copy_are_named(version: str) -> None:
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
    assert {images.cluster_autoscaler(version), images.XCOM_SIDECAR, *of_dags} == set(listed)
