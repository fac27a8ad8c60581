"""The pods in which Spark's drivers run, and the pages that these show meanwhile."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import kubernetes.client
import kubernetes.config
from urllib3.exceptions import HTTPError

from sandbox.cloud.aws.job_objects import JOB_ID
from sandbox.cloud.lifecycle import Cloud

PORT = 4040


def core_api(cloud: Cloud) -> Any:  # noqa: ANN401
    """Return a client of the cluster, as its administrator."""
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(
        str(cloud.control_plane.kubeconfig), client_configuration=configuration
    )
    configuration.proxy = None  # one of the user's does not know this machine
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))


def is_of_job_run(pod: Any) -> bool:  # noqa: ANN401
    """Tell whether a pod is one of a job run of EMR's."""
    return JOB_ID in (pod.metadata.labels or {})


def page(pod: Any) -> str:  # noqa: ANN401
    """Return where Spark's own page is while a driver runs; nothing of another pod."""
    runs = pod.metadata.labels.get("spark-role") == "driver" and pod.status.phase == "Running"
    return f"http://{pod.status.pod_ip}:{PORT}" if runs else ""


class Drivers:
    """The drivers that come to run from now on."""

    def __init__(self, cloud: Cloud) -> None:
        self._api = core_api(cloud)
        self._known = {uid for uid, _ in self._running()}

    def look(self) -> list[str]:
        """Return what is new."""
        found = [(uid, said) for uid, said in self._running() if uid not in self._known]
        self._known |= {uid for uid, _ in found}
        return [said for _, said in found]

    def _running(self) -> list[tuple[str, str]]:
        with suppress(kubernetes.client.ApiException, HTTPError):
            listed = self._api.list_pod_for_all_namespaces(label_selector="spark-role=driver")
            return [
                (pod.metadata.uid, f"{pod.metadata.name}: Spark's page is {page(pod)}")
                for pod in listed.items
                if page(pod)
            ]
        return []
