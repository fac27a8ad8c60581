"""The stand-in for pulumi-kubernetes, on a real API server."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.kubernetes.control_plane import ControlPlane
from sandbox.cloud.lifecycle import LISTENING
from sandbox.machine import ports as loopback
from sandbox.machine import processes
from sandbox.machine.injection import InjectedError, Injection
from sandbox.machine.waiting import wait_for
from sandbox.providers import kubernetes
from sandbox.providers.kubernetes import ApiError, Kubernetes, UnreachableError
from sandbox.providers.protocol import (
    UNKNOWN,
    Diff,
    Found,
    InitializationError,
    PluginError,
    Properties,
    Resource,
)
from sandbox.tests.serving import serving

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager")
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
NUMBERS = count()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    directory = tmp_path_factory.mktemp("control-plane")
    plane = ControlPlane(directory, loopback.free(LISTENING))
    plane.write_files()
    started: list[processes.Process] = []
    try:
        for part in PARTS:
            started.append(
                processes.start(
                    part,
                    plane.commands()[part],
                    environment=os.environ,
                    cwd=directory,
                    log=directory / f"{part}.log",
                )
            )
            if part != "etcd":
                wait_for(plane.is_ready, "the API server")
        wait_for(plane.has_service_accounts, "the controllers")
        yield plane
    finally:
        processes.end(started)


@dataclass
class Deployed:
    """One resource as the engine knows it."""

    plugin: Kubernetes
    resource: Resource
    inputs: Properties
    id: str = ""
    state: Properties = field(default_factory=dict)

    def check(self, properties: Mapping[str, Any]) -> Properties:
        checked = self.plugin.check(self.resource, self.inputs, dict(properties), b"seed")
        assert not checked.failures
        return checked.inputs

    def diff(self, properties: Mapping[str, Any]) -> Diff:
        news = self.check(properties)
        return self.plugin.diff(self.resource, self.inputs, self.state, news)

    def update(self, properties: Mapping[str, Any]) -> None:
        news = self.check(properties)
        self.state = self.plugin.update(
            self.resource, self.id, self.inputs, self.state, news, preview=False
        )
        self.inputs = news

    def read(self) -> Found | None:
        return self.plugin.read(self.resource, self.id, self.inputs, self.state)

    def delete(self) -> None:
        self.plugin.delete(self.resource, self.id, self.inputs, self.state)


def resource(token: str, name: str = "logical") -> Resource:
    typ = f"kubernetes:{token}"
    return Resource(f"urn:pulumi:test::test::{typ}::{name}", typ, name)


@pytest.fixture
def plugin(control_plane: ControlPlane) -> Kubernetes:
    return configured(control_plane.kubeconfig.read_text())


def configured(kubeconfig: str, **settings: str) -> Kubernetes:
    plugin = Kubernetes()
    plugin.configure({"kubeconfig": kubeconfig, "clusterIdentifier": "one", **settings})
    plugin.warn = lambda *_: None
    return plugin


def kubeconfig(server: str, **user: object) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


@pytest.fixture
def nowhere() -> str:
    """The kubeconfig of a cluster that does not answer."""
    return kubeconfig(f"https://127.0.0.1:{loopback.free(('kube-apiserver',))['kube-apiserver']}")


def deploy(plugin: Kubernetes, token: str, properties: Mapping[str, Any]) -> Deployed:
    made = Deployed(plugin, resource(token), {})
    made.inputs = made.check(properties)
    made.id, made.state = plugin.create(made.resource, made.inputs, preview=False)
    return made


@pytest.fixture
def namespace(plugin: Kubernetes) -> str:
    name = f"ns-{next(NUMBERS)}"
    deploy(plugin, "core/v1:Namespace", {"metadata": {"name": name}})
    return name


def role(namespace: str, **changes: object) -> dict[str, Any]:
    metadata = {"name": "role", "namespace": namespace, **changes}
    return {"metadata": metadata, "rules": RULES}


def patch(plane: ControlPlane, path: str, body: Mapping[str, Any], status: bool = False) -> None:
    """Change an object as somebody else would."""
    _, live = plane.request("GET", path)
    code, answer = plane.request("PUT", path + ("/status" if status else ""), merged(live, body))
    assert code == 200, answer


def merged(old: Any, new: Any) -> Any:  # noqa: ANN401 (any JSON)
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: merged(old.get(key), value) for key, value in new.items()}
        return {key: value for key, value in {**old, **both}.items() if value is not None}
    return new


def role_path(namespace: str) -> str:
    return f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/role"


def test_an_unknown_property_is_refused_and_named(plugin: Kubernetes, namespace: str) -> None:
    config_map = {"metadata": {"name": "x", "namespace": namespace}, "dta": {"a": "b"}}
    inputs = plugin.check(resource("core/v1:ConfigMap"), {}, config_map, b"").inputs
    for preview in (True, False):
        with pytest.raises(ApiError, match='unknown field "dta"'):
            plugin.create(resource("core/v1:ConfigMap"), inputs, preview=preview)


def test_an_unknown_property_is_refused_in_an_update(plugin: Kubernetes, namespace: str) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    with pytest.raises(ApiError, match="ruls"):
        made.update({**role(namespace), "ruls": []})


def test_an_existing_object_is_not_taken_over(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    _, before = control_plane.request("GET", role_path(namespace))
    with pytest.raises(ApiError, match='"role" already exists'):
        deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace, labels={"a": "b"}))
    assert control_plane.request("GET", role_path(namespace))[1] == before


def test_a_preview_does_not_mind_an_object_that_is_still_there(
    plugin: Kubernetes, namespace: str
) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    assert plugin.create(made.resource, made.inputs, preview=True) == ("", made.inputs)


def test_a_patch_changes_the_default_service_account_and_gives_it_back(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    wait_for(lambda: control_plane.request("GET", path)[0] == 200, path)
    _, before = control_plane.request("GET", path)
    made = deploy(
        plugin,
        "core/v1:ServiceAccountPatch",
        {
            "metadata": {"name": "default", "namespace": namespace},
            "automountServiceAccountToken": False,
        },
    )
    assert control_plane.request("GET", path)[1]["automountServiceAccountToken"] is False
    made.delete()
    _, after = control_plane.request("GET", path)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "automountServiceAccountToken" not in after


def test_a_patch_needs_a_name(plugin: Kubernetes) -> None:
    checked = plugin.check(resource("core/v1:ServiceAccountPatch"), {}, {"metadata": {}}, b"")
    assert [failure.property for failure in checked.failures] == ["metadata.name"]


@pytest.mark.parametrize(
    ("token", "old", "new", "path"),
    [
        (
            "rbac.authorization.k8s.io/v1:RoleBinding",
            {"roleRef": {"name": "a"}},
            {"roleRef": {"name": "b"}},
            "roleRef.name",
        ),
        (
            "storage.k8s.io/v1:StorageClass",
            {"parameters": {"type": "gp2"}},
            {"parameters": {"type": "gp3"}},
            "parameters.type",
        ),
        (
            "apps/v1:Deployment",
            {"spec": {"selector": {"matchLabels": {"a.b/c": "d"}}}},
            {"spec": {}},
            "spec.selector",
        ),
        ("core/v1:ConfigMap", {"data": {"a": "1"}}, {"data": {"a": "2"}}, "data.a"),
        (
            "core/v1:Pod",
            {"spec": {"containers": [{"name": "a", "image": "a"}]}},
            {"spec": {"containers": [{"name": "a", "image": "b"}]}},
            "spec.containers[0].image",
        ),
    ],
)
def test_what_cannot_change_is_replaced(
    nowhere: str, token: str, old: Properties, new: Properties, path: str
) -> None:
    metadata = {"metadata": {"name": "x"}}
    made = Deployed(configured(nowhere), resource(token), {})
    made.inputs = made.check({**metadata, **old})
    diff = made.diff({**metadata, **new})
    assert diff.replaces == {path}
    assert diff.delete_before_replace


def test_what_the_api_server_alone_holds_fixed_is_tried_and_refused(plugin: Kubernetes) -> None:
    metadata = {"name": f"class-{next(NUMBERS)}"}
    given = {"metadata": metadata, "provisioner": "ebs.csi.aws.com", "reclaimPolicy": "Delete"}
    made = deploy(plugin, "storage.k8s.io/v1:StorageClass", given)
    changed = {**given, "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"}
    assert made.diff(changed).replaces == frozenset()
    new = made.check(changed)
    for preview in (True, False):
        with pytest.raises(ApiError, match="reclaimPolicy"):
            plugin.update(made.resource, made.id, made.inputs, made.state, new, preview=preview)
    made.delete()


def test_a_claim_can_ask_for_more(nowhere: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:PersistentVolumeClaim"), {})
    claim = {"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    more = {"metadata": {"name": "x"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    made.inputs = made.check(claim)
    assert made.diff(more) == Diff({"spec.resources.requests.storage": "update"})


def test_a_mutable_config_map_is_updated(nowhere: str) -> None:
    config_map = {"metadata": {"name": "x"}, "immutable": False, "data": {"a": "1"}}
    made = Deployed(configured(nowhere), resource("core/v1:ConfigMap"), {})
    made.inputs = made.check(config_map)
    diff = made.diff({**config_map, "data": {"a": "2"}})
    assert diff == Diff({"data.a": "update"})


def test_a_label_changes_in_place_and_a_name_does_not(nowhere: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:Namespace"), {})
    made.inputs = made.check({"metadata": {"name": "x", "labels": {"app.io/a": "b"}}})
    labelled = made.diff({"metadata": {"name": "x", "labels": {"app.io/a": "c"}}})
    assert labelled == Diff({'metadata.labels["app.io/a"]': "update"})
    renamed = made.diff({"metadata": {"name": "y", "labels": {"app.io/a": "b"}}})
    assert renamed == Diff({"metadata.name": "update"}, frozenset({"metadata.name"}))


def test_a_name_is_made_once(nowhere: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:ConfigMap", "settings"), {})
    made.inputs = made.check({"data": {"a": "1"}})
    name = made.inputs["metadata"]["name"]
    assert name.startswith("settings-")
    assert len(name) == len("settings-") + 8
    again = made.plugin.check(made.resource, made.inputs, {"data": {"a": "1"}}, b"other seed")
    assert again.inputs == made.inputs
    # A new name can stand beside the old one.
    assert not made.diff({"data": {"a": "2"}}).delete_before_replace


def test_no_change_asks_no_server(nowhere: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:ResourceQuota"), {})
    quota = {"metadata": {"name": "q", "namespace": "n"}, "spec": {"hard": {"cpu": "0.5"}}}
    made.inputs = made.check(quota)
    assert made.diff(quota) == Diff()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("32000m", "32"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1000", "1k"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Ki", "1536"),
        ("0.1Ki", "102400m"),
        ("0", "0Gi"),
        (2, "2"),
    ],
)
def test_equal_amounts_are_no_change(nowhere: str, one: str | int, other: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:ResourceQuota"), {})

    def quota(amount: object) -> dict[str, Any]:
        return {"metadata": {"name": "q"}, "spec": {"hard": {"a": amount, "b": UNKNOWN}}}

    made.inputs = made.check(quota(one))
    assert made.inputs["spec"]["hard"]["a"] == made.check(quota(other))["spec"]["hard"]["a"]
    assert made.check(quota("3"))["spec"]["hard"]["a"] == "3"


def test_amounts_are_written_as_the_server_writes_them(plugin: Kubernetes, namespace: str) -> None:
    amounts = ("0.5", "32000m", "1024Mi", "1000", "1.5Gi", "1000Ki", "100Mi", "0.1", "1e3", "12345")
    things = ("cpu", "memory", "ephemeral-storage")
    names = [*things, *(f"{kind}.{one}" for kind in ("limits", "requests") for one in things)]
    hard = dict(zip([*names, "requests.storage"], amounts, strict=True))
    metadata = {"name": "q", "namespace": namespace}
    annotations = {"pulumi.com/skipAwait": "true"}
    quota = {"metadata": {**metadata, "annotations": annotations}, "spec": {"hard": hard}}
    made = deploy(plugin, "core/v1:ResourceQuota", quota)
    assert made.inputs["spec"]["hard"] == made.state["spec"]["hard"]


def test_text_that_looks_like_an_amount_stays_as_it_is(nowhere: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:ConfigMap"), {})
    data = {"limits": "1000", "cpu": "0.50"}
    assert made.check({"metadata": {"name": "x"}, "data": data})["data"] == data


def test_an_unknown_value_counts_as_a_change(nowhere: str) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:Namespace"), {})
    made.inputs = made.check({"metadata": {"name": "x"}})
    diff = made.diff({"metadata": {"name": UNKNOWN}})
    assert diff == Diff({"metadata.name": "update"}, frozenset({"metadata.name"}))
    unknown = made.check({"metadata": UNKNOWN})
    assert made.plugin.create(made.resource, unknown, preview=True) == ("", unknown)


def test_drift_is_seen(plugin: Kubernetes, control_plane: ControlPlane, namespace: str) -> None:
    made = deploy(
        plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace, labels={"a": "b", "c": "d"})
    )
    other = [{**RULES[0], "verbs": ["list"]}]
    change = {"metadata": {"labels": {"a": None, "other": "x"}}, "rules": other}
    patch(control_plane, role_path(namespace), change)
    found = made.read()
    assert found is not None
    assert found.inputs["metadata"]["labels"] == {"c": "d"}
    assert found.inputs["rules"] == other


def test_what_is_added_to_a_list_is_not_seen(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    more = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    rules = [{**RULES[0], "verbs": ["get", "delete"]}, more]
    patch(control_plane, role_path(namespace), {"rules": rules})
    found = made.read()
    assert found is not None
    assert found.inputs == made.inputs
    assert found.state["rules"] == rules


def test_what_is_taken_from_a_list_is_seen(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    two = {**role(namespace), "rules": [{**RULES[0], "verbs": ["get", "list"]}]}
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", two)
    patch(control_plane, role_path(namespace), {"rules": RULES})
    found = made.read()
    assert found is not None
    assert found.inputs["rules"] == RULES


def test_what_the_server_writes_its_own_way_is_no_drift(plugin: Kubernetes, namespace: str) -> None:
    metadata = {"name": "x", "namespace": namespace}
    quota = {"metadata": metadata, "spec": {"hard": {"cpu": "0.5", "memory": "1024Mi"}}}
    policy = {"metadata": metadata, "spec": {"podSelector": {}, "ingress": []}}
    for token, properties in (
        ("core/v1:ResourceQuota", quota),
        ("networking.k8s.io/v1:NetworkPolicy", policy),
    ):
        made = deploy(plugin, token, properties)
        found = made.read()
        assert found is not None
        assert found.inputs == made.inputs


def test_what_is_gone_reads_as_gone(plugin: Kubernetes, namespace: str) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    made.delete()
    assert made.read() is None
    made.delete()


def test_an_object_can_be_imported(plugin: Kubernetes, namespace: str) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    found = plugin.read(made.resource, made.id, {}, {})
    assert found is not None
    assert found.inputs == made.inputs


def test_an_update_takes_away_what_is_no_longer_given(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    made = deploy(
        plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace, labels={"a": "b", "c": "d"})
    )
    for labels in ({"c": "e"}, {"f": "g"}):
        made.update(role(namespace, labels=labels))
        _, live = control_plane.request("GET", role_path(namespace))
        assert live["metadata"]["labels"] == labels
        assert made.state["metadata"]["labels"] == labels


def test_a_field_that_somebody_else_changed_is_a_conflict_unless_forced(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace))
    patch(control_plane, role_path(namespace), {"rules": []})
    with pytest.raises(ApiError, match="conflict"):
        made.update(role(namespace, labels={"a": "b"}))
    forced = {"pulumi.com/patchForce": "true"}
    made.update(role(namespace, labels={"a": "b"}, annotations=forced))
    assert control_plane.request("GET", role_path(namespace))[1]["rules"] == RULES


def test_a_previewed_update_changes_nothing(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    made = deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role(namespace, labels={"a": "b"}))
    news = made.check(role(namespace, labels={"a": "c"}))
    state = plugin.update(made.resource, made.id, made.inputs, made.state, news, preview=True)
    assert state["metadata"]["labels"] == {"a": "c"}
    _, live = control_plane.request("GET", role_path(namespace))
    assert live["metadata"]["labels"] == {"a": "b"}


def test_a_namespace_is_deleted_when_it_is_gone(
    plugin: Kubernetes, control_plane: ControlPlane
) -> None:
    made = deploy(plugin, "core/v1:Namespace", {"metadata": {"name": "short-lived"}})
    deploy(plugin, "rbac.authorization.k8s.io/v1:Role", role("short-lived"))
    made.delete()
    assert control_plane.request("GET", "/api/v1/namespaces/short-lived")[0] == 404


def test_a_deletion_that_hangs_tells_no_more_than_the_real_one(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    made = deploy(
        plugin,
        "rbac.authorization.k8s.io/v1:Role",
        role(
            namespace,
            annotations={"pulumi.com/timeoutSeconds": "1"},
            finalizers=["example.com/never"],
        ),
    )
    with pytest.raises(PluginError, match="finalizers might be preventing deletion\n"):
        made.delete()
    patch(control_plane, role_path(namespace), {"metadata": {"finalizers": []}})


def deployment(namespace: str, seconds: int) -> dict[str, Any]:
    annotations = {"pulumi.com/timeoutSeconds": str(seconds)}
    labels = {"app": "x"}
    return {
        "metadata": {"name": "x", "namespace": namespace, "annotations": annotations},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "x", "image": "x"}]},
            },
        },
    }


def test_a_deployment_that_does_not_come_up_is_kept_as_unready(
    plugin: Kubernetes, namespace: str
) -> None:
    with pytest.raises(InitializationError, match="0 availableReplicas") as failure:
        deploy(plugin, "apps/v1:Deployment", deployment(namespace, 1))
    assert failure.value.resource_id == f"{namespace}/x"
    assert failure.value.state["spec"]["replicas"] == 1


def test_a_deployment_that_is_not_ready_is_told_at_a_refresh(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    given = deployment(namespace, 60)
    given["metadata"]["annotations"]["pulumi.com/skipAwait"] = "true"
    made = deploy(plugin, "apps/v1:Deployment", given)
    assert made.read() is not None
    made.inputs = made.check(deployment(namespace, 60))
    with pytest.raises(InitializationError, match=r"Deployment .*/x: ") as failure:
        made.read()
    assert failure.value.inputs == made.inputs
    assert failure.value.state["kind"] == "Deployment"
    # Whoever imports it takes it as it is.
    assert plugin.read(made.resource, made.id, {}, {}) is not None


def test_a_deployment_is_created_when_its_pods_are_ready(
    plugin: Kubernetes, control_plane: ControlPlane, namespace: str
) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"

    def run_pods() -> None:
        wait_for(lambda: control_plane.request("GET", pods)[1]["items"], "a pod")
        for pod in control_plane.request("GET", pods)[1]["items"]:
            ready = {
                "type": "Ready",
                "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            status = {"status": {"phase": "Running", "conditions": [ready]}}
            patch(control_plane, f"{pods}/{pod['metadata']['name']}", status, status=True)

    kubelet = threading.Thread(target=run_pods)
    kubelet.start()
    made = deploy(plugin, "apps/v1:Deployment", deployment(namespace, 60))
    kubelet.join()
    assert made.state["status"]["availableReplicas"] == 1


def test_a_quota_is_created_when_it_is_enforced(plugin: Kubernetes, namespace: str) -> None:
    quota = {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": {"pods": "1"}}}
    made = deploy(plugin, "core/v1:ResourceQuota", quota)
    assert made.state["status"]["hard"] == {"pods": "1"}


def test_a_quota_is_not_waited_for_at_a_refresh(
    plugin: Kubernetes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": {"pods": "1"}}}
    made = deploy(plugin, "core/v1:ResourceQuota", quota)
    uncounted = {**made.state, "status": {}}
    monkeypatch.setattr(plugin, "_get", lambda _: uncounted)
    assert made.read() is not None


def test_secret_text_is_not_told_a_second_time(plugin: Kubernetes, namespace: str) -> None:
    secret = {"metadata": {"name": "s", "namespace": namespace}, "stringData": {"password": "pw"}}
    made = deploy(plugin, "core/v1:Secret", secret)
    assert "cHc=" not in json.dumps(made.state)
    found = made.read()
    assert found is not None
    assert found.inputs == made.inputs


@pytest.mark.parametrize(
    ("token", "properties", "told"),
    [
        ("core/v1:ConfigMapList", {"items": []}, "list resources"),
        ("core/v1:ConfigMap", {"metadata": {"generateName": "x"}}, "generateName"),
        ("core/v1:ConfigMap", {"metadata": {"annotations": {"pulumi.com/w": ""}}}, "annotation"),
    ],
)
def test_what_the_stand_in_cannot_do_is_refused(
    nowhere: str, token: str, properties: Properties, told: str
) -> None:
    checked = configured(nowhere).check(resource(token), {}, properties, b"")
    assert told in checked.failures[0].reason


def test_a_provider_must_be_told_its_cluster_and_nothing_unknown(nowhere: str) -> None:
    checked = Kubernetes().check_config({"version": "4.34.2", "helmReleaseSettings": "{}"})
    assert [failure.property for failure in checked.failures] == [
        "helmReleaseSettings",
        "kubeconfig",
    ]
    assert not Kubernetes().check_config({"kubeconfig": nowhere}).failures


def test_only_another_cluster_replaces_the_provider(nowhere: str) -> None:
    moved = kubeconfig("https://elsewhere")
    plugin = Kubernetes()

    def replaces(old: Properties, new: Properties) -> set[str]:
        return set(plugin.diff_config(old, new).replaces)

    one, two = {"clusterIdentifier": "one"}, {"clusterIdentifier": "two"}
    assert not replaces({"kubeconfig": nowhere, **one}, {"kubeconfig": moved, **one})
    assert not replaces({"kubeconfig": nowhere, **one}, {"kubeconfig": UNKNOWN, **one})
    assert replaces({"kubeconfig": nowhere, **one}, {"kubeconfig": nowhere, **two}) == {
        "clusterIdentifier"
    }
    assert replaces({"kubeconfig": nowhere}, {"kubeconfig": moved}) == {"kubeconfig"}
    assert replaces({"kubeconfig": nowhere}, {"kubeconfig": UNKNOWN}) == {"kubeconfig"}


def test_a_cluster_that_does_not_answer_fails_deployments_but_no_preview(nowhere: str) -> None:
    plugin = configured(nowhere)
    made = Deployed(plugin, resource("core/v1:Namespace"), {}, id="x")
    made.inputs = made.check({"metadata": {"name": "x"}})
    assert plugin.create(made.resource, made.inputs, preview=True) == ("", made.inputs)
    why = r"^configured Kubernetes cluster is unreachable: unable to load schema .*\n?"
    with pytest.raises(UnreachableError, match=why) as failed:
        plugin.create(made.resource, made.inputs, preview=False)
    server = json.loads(nowhere)["clusters"][0]["cluster"]["server"]
    assert f'from the API server: Get "{server}/version": ' in str(failed.value)
    for action, told in (
        (made.read, "failed to read resource state due to unreachable cluster"),
        (made.delete, "configured Kubernetes cluster is unreachable"),
    ):
        with pytest.raises(
            UnreachableError, match=rf"{why}{told}\. If .*PULUMI_K8S_DELETE_UNREACHABLE"
        ):
            action()


def test_what_was_in_a_deleted_cluster_can_be_forgotten(
    nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Deployed(configured(nowhere), resource("core/v1:Namespace"), {}, id="x")
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    assert made.read() is None
    made.delete()
    monkeypatch.delenv("PULUMI_K8S_DELETE_UNREACHABLE")
    made.plugin = configured(nowhere, deleteUnreachable="true")
    assert made.read() is None
    made.delete()


def test_a_read_that_finds_no_cluster_warns_of_it(
    nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = configured(nowhere)
    warnings: list[tuple[str, str]] = []
    plugin.warn = lambda told_of, text: warnings.append((told_of.name, text))
    made = Deployed(plugin, resource("core/v1:Namespace"), {}, id="x")
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    assert made.read() is None
    ((name, text),) = warnings
    assert name == made.resource.name
    assert "configured Kubernetes cluster is unreachable" in text


def test_who_is_not_known_to_the_cluster_does_not_reach_it(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(kubeconfig(control_plane.address, **{"token": "nobody"}))
    config["clusters"][0]["cluster"]["certificate-authority"] = str(control_plane.authority)
    plugin = configured(json.dumps(config))
    made = Deployed(plugin, resource("core/v1:Namespace"), {}, id="x")
    made.inputs = made.check({"metadata": {"name": "x"}})
    assert plugin.create(made.resource, made.inputs, preview=True) == ("", made.inputs)
    asked = r"API server: the server has asked for the client to provide credentials"
    with pytest.raises(UnreachableError, match=asked):
        plugin.create(made.resource, made.inputs, preview=False)
    for action in (made.read, made.delete):
        with pytest.raises(UnreachableError, match="PULUMI_K8S_DELETE_UNREACHABLE"):
            action()
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    assert made.read() is None
    made.delete()


class TokenServer(HTTPServer):
    """Knows nothing, and remembers who asked."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), TokenHandler)
        self.seen: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class TokenHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, TokenServer)
        if self.path == "/version":
            self.send_response(200)
            self.end_headers()
            return
        self.server.seen.append(self.headers["Authorization"])
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("expires", "tokens"),
    [
        ("2000-01-01T00:00:00Z", ["Bearer 2", "Bearer 3"]),
        ("2999-01-01T00:00:00Z", ["Bearer 1", "Bearer 1"]),
    ],
)
def test_a_token_is_asked_for_again_when_it_has_expired(
    tmp_path: Path, expires: str, tokens: list[str]
) -> None:
    status = f'{{"token": "\'$(wc -l < runs)\'", "expirationTimestamp": "{expires}"}}'
    script = f"cd {tmp_path}; echo >> runs; echo '{{\"status\": {status}}}'"
    with serving(TokenServer()) as server:
        plugin = configured(kubeconfig(server.url, exec={"command": "sh", "args": ["-c", script]}))
        for _ in tokens:
            assert plugin.read(resource("core/v1:Namespace"), "x", {}, {}) is None
    assert server.seen == tokens


def test_whether_a_cluster_is_reached_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that goes in the middle is no deleted cluster, and one that comes is too late."""
    monkeypatch.setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
    with serving(TokenServer()) as server:
        plugin = configured(kubeconfig(server.url))
        made = Deployed(plugin, resource("core/v1:Namespace"), {}, id="x")
        assert made.read() is None
    for action in (made.read, made.delete):
        with pytest.raises(PluginError, match=f'^Get "{server.url}') as failed:
            action()
        assert not isinstance(failed.value, UnreachableError)

    late = Deployed(configured(kubeconfig(server.url)), resource("core/v1:Namespace"), {}, id="x")
    assert late.read() is None
    with serving(TokenServer(server.server_port)) as server:
        monkeypatch.delenv("PULUMI_K8S_DELETE_UNREACHABLE")
        with pytest.raises(UnreachableError):
            late.read()
        assert server.seen == []


def test_a_credential_plugin_that_fails_is_named(nowhere: str) -> None:
    config = json.loads(nowhere)
    config["users"][0]["user"] = {"exec": {"command": "/nowhere/aws", "args": ["get-token"]}}
    with pytest.raises(UnreachableError, match="/nowhere/aws get-token"):
        configured(json.dumps(config)).read(resource("core/v1:Namespace"), "x", {}, {})


NAMESPACE = "kubernetes:core/v1:Namespace"


@pytest.mark.parametrize("operation", ["create", "read", "update", "delete"])
def test_a_fault_meets_the_call_that_it_names(
    plugin: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    file = tmp_path / "faults.json"
    monkeypatch.setenv("SANDBOX_FAULTS", str(file))
    # What is another plugin's is left to it.
    file.write_text(json.dumps({NAMESPACE: {operation: {"1": "throttle"}}, "aws:any": {}}))
    made = deploy(plugin, "core/v1:Namespace", {"metadata": {"name": f"ns-{next(NUMBERS)}"}})
    labelled = {"metadata": {"name": made.id, "labels": {"a": "b"}}}
    another = {"metadata": {"name": f"ns-{next(NUMBERS)}"}}
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: deploy(plugin, "core/v1:Namespace", another),
        "read": made.read,
        "update": lambda: made.update(labelled),
        "delete": made.delete,
    }
    plugin.injection = Injection("kubernetes")
    with pytest.raises(InjectedError, match="ThrottlingException"):
        calls[operation]()
    calls[operation]()


def test_the_api_server_ends_a_request_that_hangs(
    plugin: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({NAMESPACE: {"create": {"1": "drop", "2": "hang"}}}))
    monkeypatch.setenv("SANDBOX_FAULTS", str(file))
    monkeypatch.setattr(kubernetes, "_REQUEST", replace(kubernetes._REQUEST, seconds=0.1))
    plugin.injection = Injection("kubernetes")
    namespace = {"metadata": {"name": f"ns-{next(NUMBERS)}"}}
    for _ in range(2):
        with pytest.raises(InjectedError, match="unable to return a response in the time"):
            deploy(plugin, "core/v1:Namespace", namespace)
    with pytest.raises(ApiError, match="already exists"):  # by the second
        deploy(plugin, "core/v1:Namespace", namespace)


def test_a_kind_that_is_none_has_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({"kubernetes:v1/Namespace": {"create": {"1": "fail"}}}))
    monkeypatch.setenv("SANDBOX_FAULTS", str(file))
    with pytest.raises(InjectedError, match="the sandbox lacks: kubernetes:v1/Namespace"):
        Kubernetes()


@pytest.mark.parametrize(("seconds", "waited"), [(None, "0 s"), (1.0, "1 s")])
def test_customtimeouts_come_before_the_annotation(
    plugin: Kubernetes, namespace: str, seconds: float | None, waited: str
) -> None:
    labels = {"app": "never-scheduled"}
    annotations = {"pulumi.com/timeoutSeconds": "0.2"}
    deployment = {
        "metadata": {"name": "d", "namespace": namespace, "annotations": annotations},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "c"}]},
            },
        },
    }
    made = Deployed(plugin, replace(resource("apps/v1:Deployment"), seconds=seconds), {})
    with pytest.raises(InitializationError, match=f"is not ready after {waited}"):
        plugin.create(made.resource, made.check(deployment), preview=False)
