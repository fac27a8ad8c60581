"""A platform without a way to the internet: images from copies, everything else by endpoints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import CoreV1Api

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from sandbox.tests.aws_account import push

pytestmark = pytest.mark.dag_runs

REGISTRY = "123456789012.dkr.ecr.us-west-2.amazonaws.com/mirror"
SETTINGS = {
    "network.nat": "none",
    "airflow.webserverAccess": "PRIVATE_ONLY",
    "cluster.imageRegistry": REGISTRY,
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    clone = Clone.make(tmp_path_factory.mktemp("clone"))
    clone.start()
    clone.pulumi("stack", "init")
    yield clone
    clone.stop()


def test_the_platform_comes_up_and_runs_pods(clone: Clone) -> None:
    for key, value in SETTINGS.items():
        clone.pulumi("config", "set", "--path", key, value)

    refused = clone.pulumi("up", "--yes", "--skip-preview", check=False)
    assert refused.returncode != 0
    assert f"{REGISTRY}/registry.k8s.io/autoscaling/cluster-autoscaler:v1.35." in refused.stdout
    assert "is not there" in refused.stdout
    assert clone.aws("eks").list_clusters()["clusters"] == []

    images = subprocess.run(
        [sys.executable, "-m", "components.images", "1.35"],
        cwd=clone.directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    for image in images:
        repository, _, tag = image.rpartition(":")
        push(clone.aws("ecr"), f"mirror/{repository}", tag)
    clone.pulumi("up", "--yes", "--skip-preview")

    assert clone.aws("ec2").describe_nat_gateways()["NatGateways"] == []
    core: Any = CoreV1Api(clone.kubernetes)
    example = next(image for image in images if "busybox" in image)
    container = {"name": "main", "image": f"{REGISTRY}/{example}", "command": ["true"]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    core.create_namespaced_pod("default", {"metadata": {"name": "copied"}, "spec": spec})
    wait_for(
        lambda: core.read_namespaced_pod("copied", "default").status.phase == "Succeeded",
        "a pod with a copied image to end",
    )


def test_airflow_gets_no_package_from_the_internet(clone: Clone) -> None:
    done = clone.sandbox("dags", "kubernetes_pod_example", check=False)
    assert done.returncode != 0
    assert "No module named 'airflow.providers.cncf'" in done.stdout + done.stderr


def test_a_public_image_stays_out_of_reach(clone: Clone) -> None:
    core: Any = CoreV1Api(clone.kubernetes)
    spec = {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}
    body = {"metadata": {"name": "public"}, "spec": spec}
    core.create_namespaced_pod("default", body)

    def why() -> Any:  # noqa: ANN401
        statuses = core.read_namespaced_pod("public", "default").status.container_statuses
        return statuses and statuses[0].state.waiting

    assert "registry.k8s.io/v2/pause/manifests/3.10" in wait_for(why, "a reason").message
