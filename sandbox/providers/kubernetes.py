"""Stand-in for pulumi-kubernetes 4.34.2: Pulumi's Kubernetes types on a real API server.

What it does follows provider/pkg in pulumi/pulumi-kubernetes. It differs in two ways: a property
that the API server does not know is an error instead of a warning, and a value that the server
writes otherwise than it was given is never a change.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import re
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from importlib.metadata import version
from typing import Final, cast

import urllib3
import yaml

from sandbox.machine.injection import Call, Injection, Limit, Operation
from sandbox.providers.protocol import (
    UNKNOWN,
    Checked,
    Diff,
    Failure,
    Found,
    InitializationError,
    Plugin,
    PluginError,
    Properties,
    Resource,
    Value,
    serve,
)

_CONFIG_KEYS = {
    "clusterIdentifier",
    "context",
    "deleteUnreachable",
    "enableConfigMapMutable",
    "enablePatchForce",
    "enableServerSideApply",
    "kubeconfig",
    "namespace",
    "suppressDeprecationWarnings",
    "suppressHelmHookWarnings",
}
_ENGINE_KEYS = {"__internal", "version"}

_AUTONAMED: Final = "pulumi.com/autonamed"
_PATCH_FORCE: Final = "pulumi.com/patchForce"
_PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"
_SKIP_AWAIT: Final = "pulumi.com/skipAwait"
_TIMEOUT: Final = "pulumi.com/timeoutSeconds"
_ANNOTATIONS = {_AUTONAMED, _PATCH_FORCE, _PROPAGATION, _SKIP_AWAIT, _TIMEOUT}

_FIELD_MANAGER: Final = "__fieldManager"

_CLUSTER_SCOPED = {
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "FlowSchema",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
}

_CONTAINER = (
    *("args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports"),
    *("readinessProbe", "resources", "securityContext", "stdin", "stdinOnce"),
    *("terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts"),
    "workingDir",
)
_POD = (
    *("affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks"),
    *("hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostname", "imagePullSecrets"),
    *("nodeName", "nodeSelector", "overhead", "preemptionPolicy", "priority", "priorityClassName"),
    *("readinessGates", "restartPolicy", "runtimeClassName", "schedulerName", "securityContext"),
    *("serviceAccount", "serviceAccountName", "shareProcessNamespace", "subdomain"),
    *("terminationGracePeriodSeconds", "volumes"),
    *(f"{kind}[*].{field}" for kind in ("containers", "initContainers") for field in _CONTAINER),
)
_VOLUME_SOURCES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc"),
    *("flexVolume", "flocker", "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local"),
    *("nfs", "photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos"),
    "vsphereVolume",
)

# The real provider's table (diff.go). What the API server refuses to change and is not here is
# tried, and refused: a StorageClass's reclaimPolicy and volumeBindingMode, a PodDisruptionBudget.
_IMMUTABLE = {
    "ClusterRoleBinding": ("roleRef",),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "PersistentVolume": tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "Pod": tuple(f"spec.{field}" for field in _POD),
    "ResourceQuota": ("spec.scopes",),
    "RoleBinding": ("roleRef",),
    "Secret": ("type",),
    "Service": ("spec.clusterIP",),
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "StorageClass": ("parameters", "provisioner"),
}
_CONTENT = {"ConfigMap": ("binaryData", "data"), "Secret": ("data", "stringData")}

_SERVER_METADATA = {
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
}

_TOKEN: Final = re.compile(r"kubernetes:[a-z0-9.]+/[a-z0-9]+:[A-Z]\w*")
# The API server ends what takes longer, by --request-timeout.
_REQUEST: Final = Limit(
    60,
    "the server was unable to return a response in the time allotted, but may still be processing "
    "the request",
)
_AWAIT_SECONDS = 600
_DELETE_SECONDS = 300
_POLL_SECONDS = (0.1, 0.2, 0.4, 0.8)


class ApiError(PluginError):
    """An answer of the API server other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(PluginError):
    """The API server did not answer as the plugin began, or did not know who asks."""


@dataclass
class _Token:
    value: str
    expires: datetime | None

    def is_valid(self) -> bool:
        # The margin is for the request that is about to carry the token.
        return self.expires is None or self.expires - timedelta(minutes=1) > datetime.now(UTC)


@dataclass(frozen=True)
class _Kubeconfig:
    """The active cluster and user of a kubeconfig."""

    cluster: Properties
    user: Properties
    namespace: str

    @classmethod
    def parse(cls, text: str, context_name: str | None) -> _Kubeconfig:
        try:
            config = yaml.safe_load(text)
            wanted = context_name or config["current-context"]
            context = _named(config["contexts"], wanted)["context"]
            cluster = _named(config["clusters"], context["cluster"])["cluster"]
            user = _named(config["users"], context["user"])["user"]
        except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
            raise PluginError(
                f"kubeconfig is not usable: {type(error).__name__} {error}; it must be the content "
                "of a kubeconfig file (not its path) with a current context, cluster and user"
            ) from None
        return cls(cluster, user, context.get("namespace") or "default")


def _named(items: list[Properties], name: str) -> Properties:
    return next(item for item in items if item["name"] == name)


class _Client:
    """Requests to the API server under a kubeconfig's identity."""

    def __init__(self, kubeconfig: _Kubeconfig) -> None:
        self._server = kubeconfig.cluster["server"].rstrip("/")
        self._user = kubeconfig.user
        self._token: _Token | None = None
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._has_looked = False
        self._obstacle: str | None = None
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}
        try:
            tls = _tls(kubeconfig.cluster, kubeconfig.user)
        except (OSError, ValueError, KeyError) as error:
            raise UnreachableError(
                "configured Kubernetes cluster is unreachable: unable to load Kubernetes client "
                f"configuration from kubeconfig file: {error}"
            ) from None
        self._pool = urllib3.PoolManager(maxsize=64, retries=False, ssl_context=tls)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Value = None,
        content_type: str = "application/json",
    ) -> Properties:
        self._reach()
        return self._request(method, path, query, body, content_type)

    def _reach(self) -> None:
        """Look once whether the cluster answers; what is found holds for the plugin's life."""
        with self._looking:
            if not self._has_looked:
                try:
                    self._request("GET", "/version")
                except PluginError as error:
                    self._obstacle = str(error)
                self._has_looked = True
        if self._obstacle:
            raise UnreachableError(
                "configured Kubernetes cluster is unreachable: unable to load schema information "
                f"from the API server: {self._obstacle}"
            )

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Value = None,
        content_type: str = "application/json",
    ) -> Properties:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        token = self._bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            response = self._pool.request(
                method,
                self._server + path + ("?" + _encode_query(query) if query else ""),
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=10, read=60),
            )
        except urllib3.exceptions.HTTPError as error:
            raise PluginError(f'{method.capitalize()} "{self._server}{path}": {error}') from None
        answer = _json_object(response.data)
        if response.status == 401:
            raise ApiError(401, "the server has asked for the client to provide credentials")
        if response.status >= 400:
            raise ApiError(response.status, answer.get("message") or response.data.decode())
        return answer

    def _bearer(self) -> str | None:
        if "exec" not in self._user:
            return cast("str | None", self._user.get("token"))
        with self._lock:
            if self._token is None or not self._token.is_valid():
                self._token = _run_credential_plugin(self._user["exec"])
            return self._token.value

    def path(self, api_version: str, kind: str, namespace: str | None) -> str:
        """Return where objects of a kind are; the namespace counts only if the kind has one."""
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        kinds = self._kinds.get(base, {})
        if kind not in kinds:
            kinds = self._kinds[base] = {
                resource["kind"]: (resource["name"], resource["namespaced"])
                for resource in self.request("GET", base)["resources"]
                if "/" not in resource["name"]
            }
        if kind not in kinds:
            raise ApiError(404, f"the API server has no kind {kind} in {api_version}")
        plural, namespaced = kinds[kind]
        return (
            f"{base}/namespaces/{namespace or 'default'}/{plural}"
            if namespaced
            else f"{base}/{plural}"
        )


def _encode_query(query: Mapping[str, str]) -> str:
    return "&".join(f"{key}={value}" for key, value in query.items())


def _json_object(data: bytes) -> Properties:
    try:
        parsed = json.loads(data)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _tls(cluster: Properties, user: Properties) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
    authority = cluster.get("certificate-authority-data")
    if authority:
        context.load_verify_locations(cadata=base64.b64decode(authority).decode())
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if user.get("client-certificate"):
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    elif user.get("client-certificate-data"):
        # Python reads a certificate chain from a file only.
        with tempfile.NamedTemporaryFile() as pem:
            for part in ("client-certificate-data", "client-key-data"):
                pem.write(base64.b64decode(user[part]) + b"\n")
            pem.flush()
            context.load_cert_chain(pem.name)
    return context


def _run_credential_plugin(spec: Properties) -> _Token:
    command = [spec["command"], *(spec.get("args") or [])]
    extra = {item["name"]: item["value"] for item in spec.get("env") or []}
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        detail = (getattr(error, "stderr", None) or str(error)).strip()
        raise PluginError(f"no credentials from `{' '.join(command)}`: {detail}") from None
    expires = status.get("expirationTimestamp")
    return _Token(status["token"], datetime.fromisoformat(expires) if expires else None)


@dataclass(frozen=True)
class _Object:
    """Where a Kubernetes object is found, and the settings that come with it."""

    api_version: str
    kind: str
    name: str
    namespace: str | None
    annotations: Mapping[str, str]
    is_patch: bool
    custom_seconds: float | None

    @classmethod
    def of(cls, resource: Resource, properties: Properties) -> _Object:
        metadata = properties["metadata"]
        return cls(
            api_version=properties["apiVersion"],
            kind=properties["kind"],
            name=metadata["name"],
            namespace=metadata.get("namespace"),
            annotations=metadata.get("annotations") or {},
            is_patch=_is_patch(resource),
            custom_seconds=resource.seconds,
        )

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def identity(self) -> Properties:
        namespace = {"namespace": self.namespace} if self.namespace else {}
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": self.name, **namespace},
        }

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def seconds(self, default: int) -> float:
        return self.custom_seconds or float(self.annotations.get(_TIMEOUT, default))


def _is_patch(resource: Resource) -> bool:
    return resource.type.endswith("Patch")


def _kind_of(resource: Resource) -> tuple[str, str]:
    _, group_version, kind = resource.type.split(":")
    return group_version.removeprefix("core/"), kind.removesuffix("Patch")


class Kubernetes(Plugin):
    """Every Kubernetes type, applied to the cluster of one provider."""

    def __init__(self) -> None:
        self._config: Properties = {}
        self.injection = Injection("kubernetes", lambda token: bool(_TOKEN.fullmatch(token)))

    def _call(self, resource: Resource, operation: Operation) -> Call:
        return self.injection.call(resource.type, operation, answers=_REQUEST)

    def check_config(self, new: Properties) -> Checked:
        unknown = sorted(new.keys() - _CONFIG_KEYS - _ENGINE_KEYS)
        failures = [Failure(key, "the sandbox does not know this setting") for key in unknown]
        if "kubeconfig" not in new:
            failures.append(
                Failure(
                    "kubeconfig",
                    "a Kubernetes provider must be told its cluster: without kubeconfig it would "
                    "act on whatever the environment points to",
                )
            )
        if new.get("enableServerSideApply", "true") not in {"true", True}:
            failures.append(Failure("enableServerSideApply", "the sandbox always applies so"))
        return Checked(new, tuple(failures))

    def diff_config(self, old: Properties, new: Properties) -> Diff:
        changes = dict(_compare(old, new))
        if "clusterIdentifier" in old and "clusterIdentifier" in new:
            replaces = {"clusterIdentifier"} & changes.keys()
        else:
            # Without an identifier, the address is all that tells one cluster from another.
            moved = _address(old) is UNKNOWN or _address(new) is UNKNOWN
            moved = moved or _address(old) != _address(new)
            replaces = {"context", "kubeconfig"} & changes.keys() if moved else set()
        return Diff(changes, frozenset(replaces))

    def configure(self, config: Properties) -> None:
        self._config = config

    @cached_property
    def _kubeconfig(self) -> _Kubeconfig:
        return _Kubeconfig.parse(self._config["kubeconfig"], self._config.get("context"))

    @cached_property
    def _client(self) -> _Client:
        return _Client(self._kubeconfig)

    def _has(self, setting: str) -> bool:
        return self._config.get(setting) in {"true", True}

    def _forgets_unreachable(self) -> bool:
        in_environment = os.environ.get("PULUMI_K8S_DELETE_UNREACHABLE") == "true"
        return self._has("deleteUnreachable") or in_environment

    def check(self, resource: Resource, old: Properties, new: Properties, seed: bytes) -> Checked:
        api_version, kind = _kind_of(resource)
        if kind.endswith("List"):
            reason = "list resources cannot be created directly. Use the underlying resource type"
            return Checked(new, (Failure("", reason),))
        given = cast("Properties", _canonical(_without_nulls(new)))
        inputs = {"apiVersion": api_version, "kind": kind, **given}
        metadata = inputs.setdefault("metadata", {})
        if metadata is UNKNOWN:
            return Checked(inputs)
        failures = _check_metadata(metadata)
        if "name" not in metadata:
            if _is_patch(resource):
                reason = "patch resources require the `.metadata.name` field to be set"
                failures.append(Failure("metadata.name", reason))
            else:
                _autoname(metadata, resource.name, old.get("metadata"), seed)
        if "namespace" not in metadata and kind not in _CLUSTER_SCOPED:
            metadata["namespace"] = self._config.get("namespace") or self._kubeconfig.namespace
        return Checked(inputs, tuple(failures))

    def diff(
        self, resource: Resource, old_inputs: Properties, old_state: Properties, new: Properties
    ) -> Diff:
        changes = dict(_compare(old_inputs, new))
        fixed = {"apiVersion", "kind", "metadata.name", "metadata.namespace"}
        if not _is_patch(resource):
            fixed.update(self._immutable(new))
        replaces = frozenset(
            path for path in changes if any(_overlap(path, field) for field in fixed)
        )
        return Diff(changes, replaces, bool(replaces) and _keeps_name(old_inputs, new))

    def _immutable(self, inputs: Properties) -> tuple[str, ...]:
        kind = inputs["kind"]
        # A ConfigMap is replaced, so that what reads it is rolled out again (its name changes).
        content = _CONTENT.get(kind, ())
        if inputs.get("immutable") is False or self._has("enableConfigMapMutable"):
            content = ()
        return _IMMUTABLE.get(kind, ()) + content

    def create(
        self, resource: Resource, inputs: Properties, *, preview: bool
    ) -> tuple[str, Properties]:
        if preview:
            # Already there now need not mean there when its turn comes: it may be replaced.
            return "", self._preview(resource, inputs, self._dry_create, {403, 404, 409})
        target = _Object.of(resource, inputs)
        manager = "pulumi-kubernetes-" + os.urandom(4).hex()
        call = self._call(resource, "create")
        call.send()
        if target.is_patch:
            self._apply(target, inputs, manager)
        else:
            self._post(target, inputs, {"fieldManager": manager})
        call.answer()
        call.work()
        return target.id, _state(self._await_ready(target, inputs, manager), inputs, manager)

    def _preview(
        self,
        resource: Resource,
        inputs: Properties,
        attempt: Callable[[_Object, Properties], Properties],
        open_answers: set[int],
    ) -> Properties:
        """Ask the server what it would make of the inputs, as far as that can be known yet."""
        if _has_unknown(inputs) or _is_patch(resource):
            return inputs
        target = _Object.of(resource, inputs)
        try:
            live = attempt(target, inputs)
        except UnreachableError:
            return inputs
        except ApiError as error:
            if error.status in open_answers:
                return inputs
            raise
        live.pop("status", None)
        return _state(live, inputs, None)

    def _dry_create(self, target: _Object, inputs: Properties) -> Properties:
        return self._post(target, inputs, {"dryRun": "All"})

    def _post(self, target: _Object, inputs: Properties, query: Mapping[str, str]) -> Properties:
        path = self._client.path(target.api_version, target.kind, target.namespace)
        return self._client.request("POST", path, {**query, "fieldValidation": "Strict"}, inputs)

    def _url(self, target: _Object) -> str:
        path = self._client.path(target.api_version, target.kind, target.namespace)
        return f"{path}/{target.name}"

    def _apply(
        self, target: _Object, body: Properties, manager: str, *, dry_run: bool = False
    ) -> Properties:
        force = target.annotations.get(_PATCH_FORCE) == "true" or self._has("enablePatchForce")
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        content_type = "application/apply-patch+yaml"
        try:
            return self._client.request("PATCH", self._url(target), query, body, content_type)
        except ApiError as error:
            if error.status != 409:
                raise
            raise ApiError(
                409,
                f"Server-Side Apply field conflict detected: {error}. To take the fields over, "
                f'set the annotation "{_PATCH_FORCE}": "true".',
            ) from None

    def read(
        self, resource: Resource, resource_id: str, inputs: Properties, state: Properties
    ) -> Found | None:
        target = _located(resource, resource_id, inputs or state)
        call = self._call(resource, "read")
        call.send()
        try:
            live = self._get(target)
        except UnreachableError as error:
            self.warn(resource, str(error))
            if self._forgets_unreachable():
                return None
            told = "failed to read resource state due to unreachable cluster"
            raise UnreachableError(_forgettable(error, told)) from None
        call.answer()
        call.work()
        if live is None:
            return None
        found = _inputs_now(inputs, state, live) if inputs else _inputs_of(live)
        left = _state(live, found, state.get(_FIELD_MANAGER))
        # A quota is waited for once; what is imported is taken as it is.
        if inputs and target.kind != "ResourceQuota" and (reason := _not_ready(target, live)):
            raise InitializationError(resource_id, left, f"{target}: {reason}", found)
        return Found(resource_id, found, left)

    def _get(self, target: _Object) -> Properties | None:
        try:
            return self._client.request("GET", self._url(target))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def update(
        self,
        resource: Resource,
        resource_id: str,
        old_inputs: Properties,
        old_state: Properties,
        new: Properties,
        *,
        preview: bool,
    ) -> Properties:
        manager = old_state.get(_FIELD_MANAGER) or "pulumi-kubernetes-" + os.urandom(4).hex()
        if preview:
            return self._preview(
                resource,
                new,
                lambda target, inputs: self._dry_update(target, inputs, manager),
                {403, 404},
            )
        target = _Object.of(resource, new)
        call = self._call(resource, "update")
        call.send()
        if not target.is_patch:
            self._own_as_applier(target, manager)
        self._apply(target, new, manager)
        call.answer()
        call.work()
        return _state(self._await_ready(target, new, manager), new, manager)

    def _dry_update(self, target: _Object, inputs: Properties, manager: str) -> Properties:
        live = self._get(target)
        if live is not None and _created_by(live, manager):
            # The fields change hands in the update itself; until then they seem to be another's.
            forced = {**target.annotations, _PATCH_FORCE: "true"}
            target = replace(target, annotations=forced)
        return self._apply(target, inputs, manager, dry_run=True)

    def _own_as_applier(self, target: _Object, manager: str) -> None:
        """Hand the fields that the creation set to server-side apply.

        The server counts "created by X" and "applied by X" as two owners.
        """
        live = self._get(target)
        if live is None:
            raise ApiError(404, f"{target} does not exist any more; run `pulumi refresh`")
        created = _created_by(live, manager)
        if not created:
            return
        entries = live["metadata"]["managedFields"]
        applied = [e for e in entries if (e["manager"], e["operation"]) == (manager, "Apply")]
        if applied:
            applied[0]["fieldsV1"] = _union(applied[0]["fieldsV1"], created["fieldsV1"])
            entries.remove(created)
        else:
            created["operation"] = "Apply"
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": live["metadata"]["resourceVersion"],
            },
        ]
        content_type = "application/json-patch+json"
        self._client.request("PATCH", self._url(target), None, patch, content_type)

    def delete(
        self, resource: Resource, resource_id: str, inputs: Properties, state: Properties
    ) -> None:
        target = _located(resource, resource_id, inputs)
        try:
            live = self._get(target)
            if live is None:
                return
            call = self._call(resource, "delete")
            call.send()
            call.work()
            if target.is_patch:
                self._relinquish(target, live, state[_FIELD_MANAGER])
            else:
                self._delete(target, live)
            call.answer()
        except UnreachableError as error:
            if not self._forgets_unreachable():
                told = "configured Kubernetes cluster is unreachable"
                raise UnreachableError(_forgettable(error, told)) from None

    def _relinquish(self, target: _Object, live: Properties, manager: str) -> None:
        # With its uid, an object that has just gone is not made again.
        body = copy.deepcopy(target.identity)
        body["metadata"]["uid"] = live["metadata"]["uid"]
        self._apply(target, body, manager)

    def _delete(self, target: _Object, live: Properties) -> None:
        policy = target.annotations.get(_PROPAGATION, "foreground").capitalize()
        uid = live["metadata"]["uid"]
        options = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        try:
            self._client.request("DELETE", self._url(target), None, options)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        for _ in _until(target.seconds(_DELETE_SECONDS)):
            left = self._get(target)
            if left is None or left["metadata"]["uid"] != uid:
                return
        # All that the real one tells, however much it could know.
        told = "finalizers might be preventing deletion\ntimed out waiting for the condition"
        raise PluginError(told)

    def _await_ready(self, target: _Object, inputs: Properties, manager: str) -> Properties:
        seconds = target.seconds(_AWAIT_SECONDS)
        live: Properties = {}
        reason: str | None = None
        for _ in _until(seconds):
            found = self._get(target)
            if found is None:
                raise PluginError(f"{target} was deleted while it was being waited for")
            live = found
            try:
                reason = _unready(target, live)
            except PluginError as error:
                raise InitializationError(
                    target.id, _state(live, inputs, manager), f"{target}: {error}"
                ) from None
            if reason is None:
                return live
        raise InitializationError(
            target.id,
            _state(live, inputs, manager),
            f"{target} is not ready after {seconds:.0f} s: {reason}",
        )


def _forgettable(error: UnreachableError, told: str) -> str:
    # The real provider puts the reason into a warning of its own.
    return (
        f"{error}\n{told}. If the cluster was deleted, you can remove this resource from Pulumi "
        "state by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE environment "
        'variable set to "true"'
    )


def _address(config: Properties) -> Value:
    kubeconfig = config.get("kubeconfig")
    if kubeconfig is UNKNOWN or config.get("context") is UNKNOWN:
        return UNKNOWN
    return _Kubeconfig.parse(cast("str", kubeconfig), config.get("context")).cluster


def _check_metadata(metadata: Properties) -> list[Failure]:
    failures = []
    if "generateName" in metadata:
        reason = "the `.metadata.generateName` field is not supported in Server-Side Apply mode"
        failures.append(Failure("metadata.generateName", reason))
    annotations = metadata.get("annotations") or {}
    if annotations is not UNKNOWN:
        failures += [
            Failure(f'metadata.annotations["{name}"]', "the sandbox does not know this annotation")
            for name in annotations
            if name.startswith("pulumi.com/") and name not in _ANNOTATIONS
        ]
    return failures


def _autoname(metadata: Properties, name: str, old: Value, seed: bytes) -> None:
    if isinstance(old, dict) and (old.get("annotations") or {}).get(_AUTONAMED) == "true":
        metadata["name"] = old["name"]
    else:
        metadata["name"] = f"{name}-{hashlib.sha256(seed or os.urandom(8)).hexdigest()[:8]}"
    metadata["annotations"] = {**(metadata.get("annotations") or {}), _AUTONAMED: "true"}


def _keeps_name(old: Properties, new: Properties) -> bool:
    before, after = old["metadata"], new["metadata"]
    if after is UNKNOWN or before is UNKNOWN:
        return False
    annotations = after.get("annotations") or {}
    autonamed = annotations is not UNKNOWN and annotations.get(_AUTONAMED) == "true"
    same = all(before.get(key) == after.get(key) for key in ("name", "namespace"))
    return same and not autonamed


def _overlap(path: str, field: str) -> bool:
    """Tell whether a change at path touches field, in which [*] is any item of a list."""
    path, field = (re.sub(r"\[(\d+|\*)\]", ".*", one) for one in (path, field))
    return f"{path}.".replace("[", ".[").startswith(f"{field}.") or field.startswith(f"{path}.")


def _compare(old: Value, new: Value, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the innermost paths that differ, and how."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = _join(path, key)
            if key not in old:
                yield inner, "add"
            elif key not in new:
                yield inner, "delete"
            else:
                yield from _compare(old[key], new[key], inner)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            inner = f"{path}[{index}]"
            if index >= len(old):
                yield inner, "add"
            elif index >= len(new):
                yield inner, "delete"
            else:
                yield from _compare(old[index], new[index], inner)
    elif new is UNKNOWN or old != new:
        yield path, "update"


def _join(path: str, key: str) -> str:
    if any(character in key for character in '.[]"'):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def _without_nulls(properties: Properties) -> Properties:
    """Copy properties, leaving out what is not set."""
    return cast("Properties", _pruned(properties))


def _pruned(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value


# Below these names, each value is an amount.
_AMOUNTS = {
    *("capacity", "default", "defaultRequest", "hard", "limits", "max", "maxLimitRequestRatio"),
    *("min", "requests"),
}


def _canonical(value: Value, name: str = "") -> Value:
    """Write amounts as the API server does, so that equal ones (32000m, 32) are no change."""
    if isinstance(value, dict):
        amounts = name in _AMOUNTS
        return {
            key: _canonical_amount(item) if amounts else _canonical(item, key)
            for key, item in value.items()
        }
    return [_canonical(item) for item in value] if isinstance(value, list) else value


_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_AMOUNT = re.compile(rf"([+-]?\d+\.?\d*|[+-]?\.\d+)({'|'.join((*_BINARY[1:], *_DECIMAL))})")


def _canonical_amount(given: Value) -> Value:
    """Return the amount with the largest suffix that leaves a whole number."""
    matching = _AMOUNT.fullmatch(str(given)) if isinstance(given, str | int) else None
    if not matching:
        return given
    number, suffix = Decimal(matching[1]), matching[2]
    if suffix in _BINARY[1:]:
        number *= 1024 ** _BINARY.index(suffix)
    else:
        number *= Decimal(1000) ** (_DECIMAL.index(suffix) - 3)
    binary = suffix in _BINARY[1:] and abs(number) >= 1024
    suffixes, base = (_BINARY, Decimal(1024)) if binary else (_DECIMAL, Decimal(1000))
    zero = suffixes.index("")
    if not number:
        return "0"
    for power in reversed(range(-zero, len(suffixes) - zero)):
        scaled = number / base**power
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffixes[power + zero]}"
    return given


def _has_unknown(value: Value) -> bool:
    if isinstance(value, dict):
        return any(_has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_unknown(item) for item in value)
    return value is UNKNOWN


def _state(live: Properties, inputs: Properties, manager: str | None) -> Properties:
    """Return what is kept of a live object, without what only the server needs."""
    metadata = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
    state = {**live, "metadata": metadata}
    hidden = inputs.get("stringData") or {}
    if live["kind"] == "Secret" and "data" in live:
        # What came in as stringData may be marked as secret there, and would not be here.
        state["data"] = {k: v for k, v in live["data"].items() if k not in hidden}
    return {**state, _FIELD_MANAGER: manager} if manager else state


def _located(resource: Resource, resource_id: str, properties: Properties) -> _Object:
    namespace, _, name = resource_id.rpartition("/")
    api_version, kind = _kind_of(resource)
    metadata = {
        **properties.get("metadata", {}),
        "name": name,
        **({"namespace": namespace} if namespace else {}),
    }
    located = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    return _Object.of(resource, located)


def _inputs_now(inputs: Value, recorded: Value, live: Value) -> Value:
    """Return the inputs that would produce the live object.

    Where the server still says what it said after the last update, the inputs hold: it may write
    them differently. Fields that are not among the inputs belong to others, and so do items that
    were added to a list.
    """
    if live == recorded:
        return inputs
    if isinstance(inputs, dict) and isinstance(live, dict):
        before = recorded if isinstance(recorded, dict) else {}
        return {
            key: _inputs_now(value, before.get(key), live.get(key))
            for key, value in inputs.items()
            if key in live or key not in before
        }
    if isinstance(inputs, list) and isinstance(live, list):
        items = recorded if isinstance(recorded, list) else []
        return [
            _inputs_now(inputs[i], items[i], item) if i < len(items) else item
            for i, item in enumerate(live[: len(inputs)])
        ]
    return live


def _inputs_of(live: Properties) -> Properties:
    """Return the inputs of an object that is read for the first time."""
    metadata = {k: v for k, v in live["metadata"].items() if k not in _SERVER_METADATA}
    return {**{k: v for k, v in live.items() if k != "status"}, "metadata": metadata}


def _created_by(live: Properties, manager: str) -> Properties | None:
    for entry in live["metadata"].get("managedFields") or []:
        if (entry["manager"], entry["operation"]) == (manager, "Update"):
            return cast("Properties", entry)
    return None


def _union(one: Properties, other: Properties) -> Properties:
    both = {key: _union(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **both}


def _until(seconds: float) -> Iterator[None]:
    """Yield now and then until the time is up."""
    end = time.monotonic() + seconds
    pauses = iter(_POLL_SECONDS)
    while True:
        yield
        pause = next(pauses, _POLL_SECONDS[-1])
        if time.monotonic() + pause > end:
            return
        time.sleep(pause)


def _replicas_missing(live: Properties) -> str | None:
    wanted = live["spec"].get("replicas", 1)
    status = live.get("status", {})
    progressing = _condition(live, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        raise PluginError(progressing["message"])
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "its controller has not seen it yet"
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    found = {count: status.get(count, 0) for count in counts}
    if all(number == wanted for number in found.values()):
        return None
    return f"wants {wanted}, has " + ", ".join(f"{n} {count}" for count, n in found.items())


def _nodes_missing(live: Properties) -> str | None:
    status = live.get("status", {})
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return "its controller has not seen it yet"
    wanted = status["desiredNumberScheduled"]
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if updated == available == wanted:
        return None
    return f"wants {wanted} pods, {updated} are updated and {available} available"


def _job_unfinished(live: Properties) -> str | None:
    failed = _condition(live, "Failed")
    if failed.get("status") == "True":
        raise PluginError(failed.get("message") or "the job failed")
    return None if _condition(live, "Complete").get("status") == "True" else "it still runs"


def _pod_unready(live: Properties) -> str | None:
    phase = live.get("status", {}).get("phase", "Unknown")
    if phase == "Failed":
        raise PluginError(live["status"].get("message") or "the pod failed")
    if phase == "Succeeded" or _condition(live, "Ready").get("status") == "True":
        return None
    return f"its phase is {phase}"


def _quota_uncounted(live: Properties) -> str | None:
    counted = live.get("status", {}).get("hard") == live["spec"].get("hard")
    return None if counted else "the quota is not enforced yet"


def _condition(live: Properties, name: str) -> Properties:
    conditions = live.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == name), {})


# What keeps a new or changed object from being ready; other kinds are ready at once.
_READINESS: Mapping[str, Callable[[Properties], str | None]] = {
    "apps/v1/DaemonSet": _nodes_missing,
    "apps/v1/Deployment": _replicas_missing,
    "batch/v1/Job": _job_unfinished,
    "v1/Pod": _pod_unready,
    "v1/ResourceQuota": _quota_uncounted,
    "apps/v1/StatefulSet": _replicas_missing,
}


def _unready(target: _Object, live: Properties) -> str | None:
    """Tell what the object lacks, or raise if it will never be ready."""
    waits_for = _READINESS.get(f"{target.api_version}/{target.kind}")
    if target.is_patch or target.annotations.get(_SKIP_AWAIT) == "true" or waits_for is None:
        return None
    return waits_for(live)


def _not_ready(target: _Object, live: Properties) -> str | None:
    """Tell what the object lacks at this moment."""
    try:
        return _unready(target, live)
    except PluginError as error:
        return str(error)


def main() -> None:
    serve(Kubernetes(), version("pulumi-kubernetes"))
