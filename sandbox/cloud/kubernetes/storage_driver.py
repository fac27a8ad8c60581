"""The EBS CSI driver, as the API server knows it; kubelet/claims.py does its work."""

from __future__ import annotations

import http.client
from typing import Any, Final

from sandbox.cloud.kubernetes.nodes import core_api

ADDON: Final = "aws-ebs-csi-driver"
DRIVER: Final = "ebs.csi.aws.com"


def install() -> None:
    """Register it, as its add-on does."""
    from kubernetes.client import ApiException, StorageV1Api  # noqa: PLC0415  (slow)

    # Nothing has to be attached here.
    body: Any = {"metadata": {"name": DRIVER}, "spec": {"attachRequired": False}}
    try:
        StorageV1Api(core_api().api_client).create_csi_driver(body)
    except ApiException as error:
        if error.status != http.client.CONFLICT:
            raise


def remove() -> None:
    """Forget it, as the end of its add-on does."""
    from kubernetes.client import ApiException, StorageV1Api  # noqa: PLC0415

    try:
        StorageV1Api(core_api().api_client).delete_csi_driver(DRIVER)
    except ApiException as error:
        if error.status != http.client.NOT_FOUND:
            raise
