"""Volumes for claims, as the EBS CSI driver makes them: in EC2, with directories of the sandbox."""

from __future__ import annotations

import http.client
import json
import math
import shutil
import threading
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client import ApiException, CoreV1Api, StorageV1Api
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes import watching
from sandbox.cloud.kubernetes.nodes import CACHED
from sandbox.cloud.kubernetes.storage_driver import ADDON, DRIVER
from sandbox.machine.aws_api import Aws, find
from sandbox.machine.program import DIRECTORY

NAME: Final = "CSIVolumeName"
"""The tag by which the driver finds again what it has made."""
ZONE: Final = "topology.kubernetes.io/zone"
INTERVAL: Final = 10.0
"""After how many seconds is tried again what did not go, such as what AWS has refused."""


def directory_of(handle: str) -> Path:
    """Return where what is in a volume is."""
    return DIRECTORY / "volumes" / handle


class Driver:
    """Makes volumes and removes them, where the driver is installed."""

    def __init__(self, client: Any, aws: Aws) -> None:  # noqa: ANN401
        self._aws = aws
        self._core: Any = CoreV1Api(client)
        self._storage: Any = StorageV1Api(client)

    def follow(self) -> None:
        """Do what claims and volumes ask for as they change, for ever."""
        changed = threading.Event()
        for list_all in (
            self._storage.list_csi_driver,
            self._core.list_persistent_volume_claim_for_all_namespaces,
            self._core.list_persistent_volume,
        ):
            told = (list_all, lambda _: changed.set(), lambda _: None)
            threading.Thread(target=watching.follow, args=told, daemon=True).start()
        while True:
            changed.wait(INTERVAL)
            changed.clear()
            try:
                drivers = self._storage.list_csi_driver(resource_version=CACHED).items
                if any(one.metadata.name == DRIVER for one in drivers):
                    self._make()
                    self._remove()
            except (ApiException, HTTPError, BotoCoreError, ClientError) as error:
                print(f"claims: {error}", flush=True)

    def _make(self) -> None:
        claims = self._core.list_persistent_volume_claim_for_all_namespaces(resource_version=CACHED)
        unbound = [claim for claim in claims.items if claim.spec.volume_name is None]
        classes = {
            one.metadata.name: one
            for one in (self._storage.list_storage_class().items if unbound else ())
            if one.provisioner == DRIVER
        }
        for claim in unbound:
            chosen = classes.get(claim.spec.storage_class_name)
            node = (claim.metadata.annotations or {}).get("volume.kubernetes.io/selected-node")
            if (
                chosen is not None
                and claim.metadata.deletion_timestamp is None
                and (node or chosen.volume_binding_mode == "Immediate")
                # EBS has no others, and no copies of volumes are made here.
                and set(claim.spec.access_modes) <= {"ReadWriteOnce", "ReadWriteOncePod"}
                and claim.spec.data_source is None
            ):
                self._make_one(claim, chosen, node)

    def _make_one(self, claim: Any, chosen: Any, node: str | None) -> None:  # noqa: ANN401
        name = f"pvc-{claim.metadata.uid}"
        zone = node and (self._core.read_node(node).metadata.labels or {}).get(ZONE)
        handle = self._volume(name, claim, chosen.parameters or {}, zone)
        where = {"key": ZONE, "operator": "In", "values": [zone]}
        spec = {
            "accessModes": claim.spec.access_modes,
            "capacity": {"storage": claim.spec.resources.requests["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": claim.metadata.name,
                "namespace": claim.metadata.namespace,
                "uid": claim.metadata.uid,
            },
            "csi": {"driver": DRIVER, "fsType": "ext4", "volumeHandle": handle},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}}
            if zone
            else None,
            "persistentVolumeReclaimPolicy": chosen.reclaim_policy,
            "storageClassName": chosen.metadata.name,
            "volumeMode": claim.spec.volume_mode,
        }
        annotations = {"pv.kubernetes.io/provisioned-by": DRIVER}
        directory_of(handle).mkdir(parents=True, exist_ok=True)
        try:
            self._core.create_persistent_volume(
                {"metadata": {"name": name, "annotations": annotations}, "spec": spec}
            )
        except ApiException as error:
            if error.status != http.client.CONFLICT:  # made, and not bound yet
                raise

    def _volume(self, name: str, claim: Any, parameters: dict[str, str], zone: str | None) -> str:  # noqa: ANN401
        """Return the id of the EC2 volume of this name, which is made once."""
        ec2 = self._aws.client("ec2")
        named = [{"Name": f"tag:{NAME}", "Values": [name]}]
        for one in ec2.describe_volumes(Filters=named)["Volumes"]:
            return str(one["VolumeId"])
        tags = {
            NAME: name,
            f"{DRIVER}/cluster": "true",
            "kubernetes.io/created-for/pvc/name": claim.metadata.name,
            "kubernetes.io/created-for/pvc/namespace": claim.metadata.namespace,
            **self._extra_tags(),
        }
        zones = ec2.describe_availability_zones()["AvailabilityZones"]
        key = parameters.get("kmsKeyId")
        size = parse_quantity(claim.spec.resources.requests["storage"])
        made = ec2.create_volume(
            AvailabilityZone=zone or zones[0]["ZoneName"],
            Size=math.ceil(size / 2**30),
            VolumeType=parameters.get("type", "gp3"),
            Encrypted=parameters.get("encrypted") == "true",
            **({"KmsKeyId": key} if key else {}),
            TagSpecifications=[
                {
                    "ResourceType": "volume",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        )
        return str(made["VolumeId"])

    def _extra_tags(self) -> dict[str, str]:
        """Return what the add-on's configuration lets each volume have."""
        eks = self._aws.client("eks")
        for cluster in eks.list_clusters()["clusters"]:
            if found := find(eks.describe_addon, clusterName=cluster, addonName=ADDON):
                told = json.loads(found["addon"].get("configurationValues") or "{}")
                tags: dict[str, str] = told.get("controller", {}).get("extraVolumeTags", {})
                return tags | {f"kubernetes.io/cluster/{cluster}": "owned"}
        return {}

    def _remove(self) -> None:
        for volume in self._core.list_persistent_volume(resource_version=CACHED).items:
            if (
                volume.status.phase == "Released"
                and volume.spec.csi
                and volume.spec.csi.driver == DRIVER
                and volume.spec.persistent_volume_reclaim_policy == "Delete"
                and volume.metadata.deletion_timestamp is None
            ):
                handle = volume.spec.csi.volume_handle
                find(self._aws.client("ec2").delete_volume, VolumeId=handle)
                shutil.rmtree(directory_of(handle), ignore_errors=True)
                self._core.delete_persistent_volume(volume.metadata.name)
