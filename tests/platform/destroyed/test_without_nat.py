"""The example without a way to the internet, in the order of this file: images and packages from
the account, everything else by endpoints."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml
from kubernetes.client import CoreV1Api

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from settings.sections import NEEDED_WITHOUT_NAT
from tests.platform.listing import everything
from tests.platform.of_the_account import copy_images, example, make_principals, take_access_logs

NAME = "mwaa-on-eks-sandbox"
ACCOUNT = "123456789012"
REGISTRY = f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/mirror"
SHARED_SERVICES = "192.168.7.7"
# What MWAA's image lacks of the Kubernetes provider, as README names it.
WHEELS = (
    *("apache-airflow-providers-cncf-kubernetes", "kubernetes", "kubernetes-asyncio"),
    *("websocket-client", "requests-oauthlib", "oauthlib", "durationpy"),
)


@pytest.fixture(scope="module")
def before() -> set[str]:
    """What the sandbox held before the first `up`; filled by the fixture below."""
    return set()


@pytest.fixture(scope="module")
def clone(clone: Clone, before: set[str]) -> Clone:
    """The clone in a connected network, with the settings of the example, but for what is named."""
    clone.start(SHARED_SERVICES)
    config = yaml.safe_load(example(clone, "private"))["config"]
    # That it goes again is a part of this.
    config["mwaa-on-eks:cluster"]["deletionProtection"] = False
    config["mwaa-on-eks:account"]["forceDestroy"] = True
    config["mwaa-on-eks:account"]["acceptedRisks"] = ["forceDestroy", "noDeletionProtection"]
    _write(clone, config)
    make_principals(clone, config["mwaa-on-eks:cluster"]["adminPrincipalArns"])
    take_access_logs(clone, config["mwaa-on-eks:account"]["accessLogBucket"])
    before |= everything(clone)
    clone.pulumi("stack", "init")
    return clone


def _write(clone: Clone, config: dict[str, Any]) -> None:
    file = clone.directory / "Pulumi.sandbox.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "config": config}))


def test_without_the_copies_nothing_is_made(clone: Clone) -> None:
    refused = clone.pulumi("up", "--yes", "--skip-preview", check=False)
    assert refused.returncode != 0
    assert f"{REGISTRY}/registry.k8s.io/autoscaling/cluster-autoscaler:v1.35." in refused.stdout
    assert "is not there" in refused.stdout
    assert clone.aws("eks").list_clusters()["clusters"] == []


def test_the_platform_comes_up_and_runs_pods(clone: Clone) -> None:
    images = copy_images(clone)
    clone.pulumi("up", "--yes", "--skip-preview")

    core: Any = CoreV1Api(clone.kubernetes)
    example = next(image for image in images if "busybox" in image)
    container = {"name": "main", "image": f"{REGISTRY}/{example}", "command": ["true"]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    core.create_namespaced_pod("default", {"metadata": {"name": "copied"}, "spec": spec})
    wait_for(
        lambda: core.read_namespaced_pod("copied", "default").status.phase == "Succeeded",
        "a pod with a copied image to end",
    )


def test_nothing_of_it_is_on_the_internet(clone: Clone) -> None:
    ec2 = clone.aws("ec2")
    # AWS shows those of other stacks for an hour after they are deleted.
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    assert {one["State"] for one in gateways} <= {"deleted"}
    (cluster,) = clone.aws("eks").list_clusters()["clusters"]
    access = clone.aws("eks").describe_cluster(name=cluster)["cluster"]["resourcesVpcConfig"]
    assert (access["endpointPublicAccess"], access["endpointPrivateAccess"]) == (False, True)
    environment = clone.aws("mwaa").get_environment(Name=NAME)["Environment"]
    assert environment["WebserverAccessMode"] == "PRIVATE_ONLY"
    made = {
        one["ServiceName"].split(".", 3)[3] for one in ec2.describe_vpc_endpoints()["VpcEndpoints"]
    }
    assert made == {"s3", "sns", *NEEDED_WITHOUT_NAT}


def test_airflow_gets_no_package_from_the_internet(clone: Clone) -> None:
    done = clone.sandbox("dags", "kubernetes_pod_example", check=False)
    assert done.returncode != 0
    assert "No module named 'airflow.providers.cncf'" in done.stdout + done.stderr


def test_with_its_packages_among_the_plugins_it_runs_both_examples(clone: Clone) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--python-version", "3.12", "--dest", "plugins"),
            *("--constraint", "sandbox/runs/requirements/3.3.1.txt", *WHEELS),
        ],
        cwd=clone.directory,
        check=True,
    )
    requirements = clone.directory / "dags/requirements.txt"
    _, *packages = requirements.read_text().splitlines()
    offline = ["--find-links /usr/local/airflow/plugins", "--no-index"]
    requirements.write_text("\n".join([*offline, *packages, ""]))
    clone.pulumi("config", "set", "--path", "airflow.plugins", "plugins")
    previewed = clone.pulumi("preview")
    assert "warning" not in previewed.stdout + previewed.stderr
    clone.pulumi("up", "--yes", "--skip-preview")
    done = clone.sandbox("dags", "kubernetes_pod_example", "emr_eks_pi_job")
    assert "kubernetes_pod_example was successful" in done.stdout
    assert "Pi is roughly 3.1" in done.stdout
    clone.pulumi("preview", "--expect-no-changes")


def test_a_public_image_stays_out_of_reach(clone: Clone) -> None:
    core: Any = CoreV1Api(clone.kubernetes)
    spec = {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]}
    body = {"metadata": {"name": "public"}, "spec": spec}
    core.create_namespaced_pod("default", body)

    def why() -> Any:  # noqa: ANN401
        statuses = core.read_namespaced_pod("public", "default").status.container_statuses
        return statuses and statuses[0].state.waiting

    assert "registry.k8s.io/v2/pause/manifests/3.10" in wait_for(why, "a reason").message


def test_it_goes_and_leaves_nothing(clone: Clone, before: set[str]) -> None:
    core: Any = CoreV1Api(clone.kubernetes)
    for name in ("copied", "public"):
        core.delete_namespaced_pod(name, "default")
    ecr = clone.aws("ecr")
    for repository in ecr.describe_repositories()["repositories"]:
        ecr.delete_repository(repositoryName=repository["repositoryName"], force=True)
    clone.unprotect()
    clone.pulumi("destroy", "--yes", "--skip-preview")
    assert everything(clone) - before == set()
