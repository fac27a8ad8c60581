"""What is in a pod's volumes: directories of this machine."""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kubernetes.client import ApiException

from sandbox.cloud.kubernetes.kubelet.claims import directory_of
from sandbox.cloud.kubernetes.kubelet.containers import Mount
from sandbox.cloud.kubernetes.kubelet.environment import (
    Contents,
    NotYetError,
    UnsupportedError,
    expand,
    field,
    resource,
    told,
)
from sandbox.cloud.kubernetes.storage_driver import DRIVER

File = tuple[bytes, int]
"""What is in a file, and its mode."""

WRITTEN_BY_KUBELET: Final = ("config_map", "downward_api", "projected", "secret")


class Volumes:
    """The volumes of one pod."""

    def __init__(self, api: Any, directory: Path, contents: Contents) -> None:  # noqa: ANN401
        self._api = api
        self._directory = directory
        self._contents = contents
        self._places: dict[str, Path] = {}
        self._read_only: set[str] = set()

    def prepare(self, pod: Any, node: Any) -> None:  # noqa: ANN401
        """Fill them; NotYetError says what is missing."""
        for volume in pod.spec.volumes or ():
            kind, source = _source(volume)
            place = self._directory / volume.name
            if kind in WRITTEN_BY_KUBELET:
                sources = [(kind, source)]
                if kind == "projected":
                    sources = [_source(one) for one in source.sources or ()]
                mode = 0o644 if source.default_mode is None else source.default_mode
                files: dict[str, File] = {}
                for one in sources:
                    files |= self._files(*one, pod, node, mode)
                _write(place, files)
                self._read_only.add(volume.name)
            elif kind == "persistent_volume_claim":
                place = self._claimed(pod, source.claim_name)
                if source.read_only:
                    self._read_only.add(volume.name)
            elif kind == "ephemeral":
                place = self._claimed(pod, f"{pod.metadata.name}-{volume.name}")
            elif kind != "empty_dir":
                raise UnsupportedError(
                    f"the sandbox has no volumes of the kind of {volume.name}: {_camel(kind)}"
                )
            place.mkdir(parents=True, exist_ok=True)
            self._places[volume.name] = place

    def mounts(self, container: Any, variables: Mapping[str, str]) -> list[Mount]:  # noqa: ANN401
        """Return which of them a container sees where."""
        return [self._mount(one, variables) for one in container.volume_mounts or ()]

    def _mount(self, mount: Any, variables: Mapping[str, str]) -> Mount:  # noqa: ANN401
        place = self._places[mount.name]
        below = mount.sub_path or expand(mount.sub_path_expr or "", variables)
        if "$(" in below:
            raise NotYetError(f"subPathExpr {below} names a variable that is not there")
        read_only = bool(mount.read_only) or mount.name in self._read_only
        if below:
            source = Path(os.path.realpath(place / below))
            if not source.is_relative_to(os.path.realpath(place)):
                raise NotYetError(f"subPath {below} leads out of the volume {mount.name}")
            if not source.exists():
                source.mkdir(parents=True)
            place = source
        return Mount(place, mount.mount_path, read_only)

    def _claimed(self, pod: Any, name: str) -> Path:  # noqa: ANN401
        try:
            claim = self._api.read_namespaced_persistent_volume_claim(name, pod.metadata.namespace)
            if claim.status.phase != "Bound":
                raise NotYetError(f"the claim {name} is not bound")
            volume = self._api.read_persistent_volume(claim.spec.volume_name)
        except ApiException as error:
            if error.status != http.client.NOT_FOUND:
                raise
            raise NotYetError(told(error)) from None
        if volume.spec.volume_mode == "Block":
            raise UnsupportedError(f"the sandbox has no block devices, as claim {name} wants one")
        if volume.spec.csi is None or volume.spec.csi.driver != DRIVER:
            raise UnsupportedError(
                f"the sandbox has volumes of {DRIVER} only, and claim {name} has another"
            )
        self._refuse_another_node(pod, name)
        return directory_of(volume.spec.csi.volume_handle)

    def _refuse_another_node(self, pod: Any, claim: str) -> None:  # noqa: ANN401
        """A volume of EBS is at one node at a time."""
        for other in self._api.list_namespaced_pod(pod.metadata.namespace).items:
            claims = (one.persistent_volume_claim for one in other.spec.volumes or ())
            if (
                other.spec.node_name not in (None, pod.spec.node_name)
                and other.status.phase == "Running"
                and claim in [one.claim_name for one in claims if one]
            ):
                raise NotYetError(
                    f"Multi-Attach error: the volume of claim {claim} is already used by pod "
                    f"{other.metadata.name} on another node"
                )

    def _files(self, kind: str, source: Any, pod: Any, node: Any, mode: int) -> dict[str, File]:  # noqa: ANN401
        if kind in ("secret", "config_map"):
            return self._keys(kind, source, mode)
        if kind == "downward_api":
            return {
                item.path: (
                    _told_downward(item, pod, node).encode(),
                    mode if item.mode is None else item.mode,
                )
                for item in source.items or ()
            }
        if kind == "service_account_token":
            return {source.path: (self._token(source, pod).encode(), mode)}
        raise UnsupportedError(f"the sandbox projects no {_camel(kind)} into volumes")

    def _keys(self, kind: str, source: Any, mode: int) -> dict[str, File]:  # noqa: ANN401
        # A volume and a source of a projected one spell it differently.
        name = getattr(source, "secret_name", None) or source.name
        optional = bool(source.optional)
        found = self._contents.of(kind, name, optional=optional)
        if source.items is None:
            return {key: (value, mode) for key, value in found.items()}
        missing = [item.key for item in source.items if item.key not in found]
        if missing and not optional:
            raise NotYetError(f"{name} has no key {', '.join(missing)}")
        return {
            item.path: (found[item.key], mode if item.mode is None else item.mode)
            for item in source.items
            if item.key in found
        }

    def _token(self, source: Any, pod: Any) -> str:  # noqa: ANN401
        audiences = [source.audience] if source.audience else []
        try:
            return token_of(self._api, pod, audiences, source.expiration_seconds or 3600)
        except ApiException as error:
            raise NotYetError(told(error)) from None


def token_of(api: Any, pod: Any, audiences: list[str], seconds: int) -> str:  # noqa: ANN401
    """Return a token of a pod's service account, which is good for as long as the pod is there."""
    request = {
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": pod.metadata.name,
                "uid": pod.metadata.uid,
            },
        }
    }
    made = api.create_namespaced_service_account_token(
        pod.spec.service_account_name, pod.metadata.namespace, request
    )
    return str(made.status.token)


def _source(thing: Any) -> tuple[str, Any]:  # noqa: ANN401
    """Return which of the kinds a volume or a projection is, and what it says of it."""
    (kind,) = (
        name for name in thing.attribute_map if name != "name" and getattr(thing, name) is not None
    )
    return kind, getattr(thing, kind)


def _told_downward(item: Any, pod: Any, node: Any) -> str:  # noqa: ANN401
    if item.field_ref:
        return field(item.field_ref.field_path, pod)
    name = item.resource_field_ref.container_name
    (container,) = (
        one for one in [*(pod.spec.init_containers or ()), *pod.spec.containers] if one.name == name
    )
    return resource(item.resource_field_ref, container, node)


def _write(directory: Path, files: Mapping[str, File]) -> None:
    for path, (content, mode) in files.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(content)
        file.chmod(mode)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))
