"""The kubelet: what a pod that is to end gets, and what becomes of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import kubernetes.client
import pytest
from kubernetes.stream import portforward, stream

from sandbox.clone import Clone
from sandbox.cloud.kubernetes.kubelet import known
from sandbox.machine import ports, spark
from sandbox.machine.waiting import wait_for

NAMESPACE = "work"


class Cluster:
    """A sandbox with one node and a namespace for the pods of these tests."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.core: Any = kubernetes.client.CoreV1Api(clone.kubernetes)

    def run(self, name: str, *containers: dict[str, Any], **spec: Any) -> str:  # noqa: ANN401
        """Make a pod that is to end; a container without a name is `main`."""
        filled = [{"name": "main", "image": "example.com/image", **one} for one in containers]
        for one in spec.get("initContainers", ()):
            one.setdefault("image", "example.com/image")
        body = {
            "metadata": {"name": name, "labels": {"app": "test"}},
            "spec": {"restartPolicy": "Never", "containers": filled, **spec},
        }
        self.core.create_namespaced_pod(NAMESPACE, body)
        return name

    def pod(self, name: str) -> Any:  # noqa: ANN401
        return self.core.read_namespaced_pod(name, NAMESPACE)

    def comes_to(self, name: str, phase: str) -> Any:  # noqa: ANN401
        """Wait for a phase; a pod that has come to another end never has this one."""

        def reached() -> Any:  # noqa: ANN401
            pod = self.pod(name)
            ended = pod.status.phase in ("Failed", "Succeeded")
            assert pod.status.phase == phase or not ended, (pod.status, self._logs(pod))
            return pod if pod.status.phase == phase else None

        return wait_for(reached, f"{name} to be {phase}")

    def _logs(self, pod: Any) -> dict[str, str]:  # noqa: ANN401
        containers = [*(pod.spec.init_containers or ()), *pod.spec.containers]
        statuses = [*(pod.status.init_container_statuses or ()), *pod.status.container_statuses]
        ended = {one.name for one in statuses if one.state.terminated}
        name = pod.metadata.name
        return {one.name: self.log(name, one.name) for one in containers if one.name in ended}

    def log(self, name: str, container: str = "main", **options: Any) -> str:  # noqa: ANN401
        text: str = self.core.read_namespaced_pod_log(
            name, NAMESPACE, container=container, **options
        )
        return text

    def waits_for(self, name: str, reason: str) -> Any:  # noqa: ANN401
        """Why the only container of a pod waits, if it is this reason."""
        statuses = self.pod(name).status.container_statuses
        waiting = statuses[0].state.waiting if statuses else None
        return waiting if waiting and waiting.reason == reason else None

    def events(self, name: str) -> str:
        """What is told of a pod."""
        selector = f"involvedObject.name={name}"
        found = self.core.list_namespaced_event(NAMESPACE, field_selector=selector).items
        return "\n".join(event.message for event in found)

    def claim(self, name: str) -> Any:  # noqa: ANN401
        return self.core.read_namespaced_persistent_volume_claim(name, NAMESPACE)

    def config_map(self, name: str, **data: str) -> None:
        self.core.create_namespaced_config_map(
            NAMESPACE, {"metadata": {"name": name}, "data": data}
        )

    def secret(self, name: str, **data: str) -> None:
        body = {"metadata": {"name": name}, "stringData": data}
        self.core.create_namespaced_secret(NAMESPACE, body)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    clone = Clone.make(tmp_path_factory.mktemp("clone"))
    clone.start()
    try:
        cluster = Cluster(clone)
        cluster.core.create_node({"metadata": {"name": "node"}})
        cluster.core.create_namespace({"metadata": {"name": NAMESPACE}})
        wait_for(
            lambda: cluster.core.list_namespaced_service_account(NAMESPACE).items, "an account"
        )
        yield cluster
    finally:
        clone.stop()


def shell(script: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A container that runs a script."""
    return {"command": ["sh", "-c", script], **more}


def test_the_environment_comes_from_all_its_sources(cluster: Cluster) -> None:
    cluster.config_map("settings", COLOUR="red", SHAPE="round", dashed="-")
    cluster.secret("keys", WORD="swordfish", SHAPE="square")
    names = {"uid": "metadata.uid", "node": "spec.nodeName", "label": "metadata.labels['app']"}
    names |= {"account": "spec.serviceAccountName", "ip": "status.podIP", "host": "status.hostIP"}
    variables = [
        {"name": "COLOUR", "value": "blue"},
        {"name": "ALL", "value": "$(COLOUR) $(SHAPE) $(LATER) $$(COLOUR) $(P_WORD)"},
        {"name": "LATER", "value": "later"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "WORD"}}},
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "dashed"}}},
        *(
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in names.items()
        ),
        *(
            {"name": name, "valueFrom": {"resourceFieldRef": {"resource": name, "divisor": unit}}}
            for name, unit in (
                ("limits.cpu", "1"),
                ("requests.cpu", "1m"),
                ("requests.memory", "1Ki"),
                ("limits.memory", "1Gi"),
            )
        ),
        {
            "name": "GONE",
            "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}},
        },
    ]
    sources = [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "keys"}},
        {"secretRef": {"name": "keys"}, "prefix": "P_"},
        {"configMapRef": {"name": "none", "optional": True}},
    ]
    script = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
    cluster.run(
        "environment",
        {
            "command": ["python3", "-c", script, "$(ALL)"],
            "args": ["$(COLOUR)", "$$(COLOUR)", "$(NOBODY)"],
            "env": variables,
            "envFrom": sources,
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"cpu": "1500m"},
            },
        },
    )
    pod = cluster.comes_to("environment", "Succeeded")
    arguments, found = json.loads(cluster.log("environment"))
    everything = "blue square $(LATER) $(COLOUR) swordfish"
    assert arguments == [everything, "blue", "$(COLOUR)", "$(NOBODY)"]
    assert found["ALL"] == everything
    assert (found["KEY"], found["MAP"]) == ("swordfish", "-")
    assert (found["SHAPE"], found["P_SHAPE"], found["dashed"]) == ("square", "square", "-")
    assert found["uid"] == pod.metadata.uid
    assert (found["node"], found["label"], found["account"]) == ("node", "test", "default")
    assert (found["ip"], found["host"]) == (pod.status.pod_ip, pod.status.host_ip)
    assert (found["limits.cpu"], found["requests.cpu"]) == ("2", "100")
    assert found["requests.memory"] == str(64 * 1024)
    assert found["limits.memory"] == "15", "what the node has"
    assert found["HOSTNAME"] == "environment"
    assert "GONE" not in found


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("no-secret", {"secretRef": {"name": "later"}}, 'secrets "later" not found'),
        ("no-map", {"configMapRef": {"name": "later"}}, 'configmaps "later" not found'),
    ],
)
def test_without_its_secret_or_config_map_a_container_is_not_started(
    cluster: Cluster, name: str, source: dict[str, Any], message: str
) -> None:
    cluster.run(name, shell("echo $GREETING", envFrom=[source]))
    waiting = wait_for(lambda: cluster.waits_for(name, "CreateContainerConfigError"), "an error")
    assert waiting.message == message
    assert cluster.pod(name).status.phase == "Pending"
    with pytest.raises(kubernetes.client.ApiException, match="is waiting to start"):
        cluster.log(name)
    cluster.config_map("later", GREETING="hello")
    cluster.secret("later", GREETING="hello")
    cluster.comes_to(name, "Succeeded")
    assert cluster.log(name) == "hello\n"
    cluster.core.delete_namespaced_config_map("later", NAMESPACE)
    cluster.core.delete_namespaced_secret("later", NAMESPACE)


def test_without_its_key_a_container_is_not_started(cluster: Cluster) -> None:
    cluster.secret("short", there="x")
    variable = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "short", "key": "missing"}}}
    cluster.run("no-key", shell("true", env=[variable]))
    waiting = wait_for(
        lambda: cluster.waits_for("no-key", "CreateContainerConfigError"), "an error"
    )
    assert waiting.message == f"couldn't find key missing in secret {NAMESPACE}/short"
    cluster.core.delete_namespaced_pod("no-key", NAMESPACE)
    wait_for(lambda: _is_gone(cluster, "no-key"), "a pod that never ran to go")


def _is_gone(cluster: Cluster, name: str) -> bool:
    pods = cluster.core.list_namespaced_pod(NAMESPACE).items
    return name not in {pod.metadata.name for pod in pods}


def test_init_containers_run_one_after_the_other(cluster: Cluster) -> None:
    cluster.run(
        "starts",
        shell("date +%s.%N"),
        initContainers=[
            {"name": "first", **shell("date +%s.%N; sleep 1")},
            {"name": "second", **shell("date +%s.%N; sleep 1")},
        ],
    )
    pod = cluster.comes_to("starts", "Succeeded")
    times = [float(cluster.log("starts", one)) for one in ("first", "second", "main")]
    assert times[1] - times[0] > 1
    assert times[2] - times[1] > 1
    assert all(one.ready for one in pod.status.init_container_statuses)


def test_an_init_container_that_fails_fails_the_pod(cluster: Cluster) -> None:
    cluster.run(
        "starts-badly",
        shell("true"),
        initContainers=[{"name": "first", **shell("exit 4")}, {"name": "second", **shell("true")}],
    )
    cluster.comes_to("starts-badly", "Failed")
    time.sleep(1)  # in which nothing else may begin
    status = cluster.pod("starts-badly").status
    first, second = status.init_container_statuses
    assert first.state.terminated.exit_code == 4
    assert second.state.waiting.reason == "PodInitializing"
    assert status.container_statuses[0].state.waiting.reason == "PodInitializing"


def test_each_container_has_its_own_end_and_log(cluster: Cluster) -> None:
    cluster.run(
        "several",
        shell("echo one", name="one"),
        shell("echo two; sleep 5; exit 5", name="two"),
    )

    def ends() -> dict[str, Any]:
        statuses = cluster.pod("several").status.container_statuses or ()
        return {one.name: one.state.terminated for one in statuses}

    wait_for(lambda: ends().get("one"), "the first to end")
    cluster.comes_to("several", "Running")
    assert ends()["two"] is None
    cluster.comes_to("several", "Failed")
    assert {name: end.exit_code for name, end in ends().items()} == {"one": 0, "two": 5}
    assert [cluster.log("several", name) for name in ("one", "two")] == ["one\n", "two\n"]


def test_a_sidecar_starts_first_and_ends_last(cluster: Cluster) -> None:
    sidecar = {
        "name": "sidecar",
        "restartPolicy": "Always",
        **shell("trap 'echo bye; exit 0' TERM; echo hi; while :; do sleep 0.1; done"),
    }
    cluster.run("with-sidecar", shell("sleep 1"), initContainers=[sidecar])
    status = cluster.comes_to("with-sidecar", "Succeeded").status
    assert cluster.log("with-sidecar", "sidecar") == "hi\nbye\n"
    (sidecar_end,) = (one.state.terminated for one in status.init_container_statuses)
    assert sidecar_end.exit_code == 0


def test_what_an_image_runs_by_itself_is_not_run(cluster: Cluster) -> None:
    cluster.run("own-command", {})
    status = cluster.comes_to("own-command", "Failed").status
    assert status.reason == "NotInSandbox"
    assert "there are no images here" in status.message
    assert "container main must name its command" in cluster.log("own-command")
    assert status.container_statuses[0].state.terminated.exit_code == 128


def test_a_command_that_is_not_there_fails(cluster: Cluster) -> None:
    cluster.run("no-command", {"command": ["no-such-command"]})
    (status,) = cluster.comes_to("no-command", "Failed").status.container_statuses
    assert status.state.terminated.reason == "StartError"
    assert "no-such-command" in status.state.terminated.message


def test_a_pod_that_runs_too_long_fails(cluster: Cluster) -> None:
    cluster.run("late", shell("sleep 600"), activeDeadlineSeconds=2)
    status = cluster.comes_to("late", "Failed").status
    assert status.reason == "DeadlineExceeded"
    assert status.container_statuses[0].state.terminated.exit_code == 143


def test_a_failing_container_is_started_again_where_the_pod_says_so(cluster: Cluster) -> None:
    variable = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    marks = f"{cluster.clone.directory}/.sandbox/tmp/$POD"
    script = f"echo x >> {marks}; wc -l < {marks}; [ $(wc -l < {marks}) = 3 ]"
    cluster.run("again", shell(script, env=[variable]), restartPolicy="OnFailure")
    waiting = wait_for(lambda: cluster.waits_for("again", "CrashLoopBackOff"), "back-off")
    assert waiting.message.startswith("back-off 10s restarting failed container=main")
    assert cluster.log("again") == "2\n"
    assert cluster.log("again", previous=True) == "1\n"
    (status,) = cluster.comes_to("again", "Succeeded").status.container_statuses
    assert status.restart_count == 2
    assert cluster.log("again") == "3\n"


def test_a_deleted_pod_is_asked_to_end_and_killed_in_time(cluster: Cluster) -> None:
    polite = shell("trap 'echo bye; exit 0' TERM; echo hi; while :; do sleep 0.1; done")
    deaf = shell("trap '' TERM; echo hi; while :; do sleep 0.1; done")
    for name, container in (("polite", polite), ("deaf", deaf)):
        cluster.run(name, container, terminationGracePeriodSeconds=3)
        wait_for(partial(_log_begins, cluster, name), "its log")
    followed = cluster.core.read_namespaced_pod_log(
        "polite", NAMESPACE, follow=True, _preload_content=False
    )
    for name in ("polite", "deaf"):
        cluster.core.delete_namespaced_pod(name, NAMESPACE)
    assert followed.data == b"hi\nbye\n"
    wait_for(lambda: _is_gone(cluster, "polite"), "it to go")
    assert not _is_gone(cluster, "deaf"), "three seconds have not passed"
    wait_for(lambda: _is_gone(cluster, "deaf"), "it to go")


def _log_begins(cluster: Cluster, name: str) -> bool:
    return cluster.pod(name).status.phase == "Running" and cluster.log(name) == "hi\n"


def test_volumes_are_where_the_container_mounts_them(cluster: Cluster) -> None:
    cluster.config_map("files", **{"one.txt": "one", "two.txt": "two"})
    cluster.secret("hidden", key="swordfish")
    token = {"serviceAccountToken": {"path": "token", "audience": "me"}}
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "files", "configMap": {"name": "files"}},
        {"name": "hidden", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
        {"name": "perhaps", "secret": {"secretName": "none", "optional": True}},
        {
            "name": "mixed",
            "projected": {
                "sources": [
                    {"configMap": {"name": "files", "items": [{"key": "one.txt", "path": "a/b"}]}},
                    {"secret": {"name": "hidden"}},
                    {
                        "downwardAPI": {
                            "items": [
                                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
                            ]
                        }
                    },
                    token,
                ]
            },
        },
    ]
    mounts = [
        {"name": "scratch", "mountPath": "/data/of/mine"},
        {"name": "files", "mountPath": "/etc/files"},
        {"name": "files", "mountPath": "/opt/app/just-one", "subPath": "one.txt"},
        {"name": "hidden", "mountPath": "/var/run/hidden"},
        {"name": "perhaps", "mountPath": "/perhaps"},
        {"name": "mixed", "mountPath": "/mixed"},
        {"name": "scratch", "mountPath": "/data/fixed", "readOnly": True},
    ]
    script = """
        cat /data/of/mine/left; echo
        cat /etc/files/two.txt /opt/app/just-one /var/run/hidden/key; echo
        stat -c %a /var/run/hidden/key
        ls /perhaps
        cat /mixed/a/b /mixed/key /mixed/labels
        cut -d. -f2 /mixed/token | tr -d '\n' | wc -c
        touch /etc/files/new || echo read-only
        touch /data/fixed/new || echo read-only
        touch /data/of/mine/new && ls /data/fixed
        ls /var/run/secrets/kubernetes.io/serviceaccount
        hostname
    """
    left = {"name": "left", **shell("printf left > /data/left")}
    left["volumeMounts"] = [{"name": "scratch", "mountPath": "/data"}]
    cluster.run(
        "volumes", shell(script, volumeMounts=mounts), volumes=volumes, initContainers=[left]
    )
    cluster.comes_to("volumes", "Succeeded")
    told = cluster.log("volumes")
    told = "".join(line + "\n" for line in told.splitlines() if "Read-only file" not in line)
    expected = 'left\ntwooneswordfish\n400\noneswordfishapp="test"\n'
    assert told.startswith(expected)
    size, *rest = told.removeprefix(expected).splitlines()
    assert int(size) > 100
    assert rest == [
        "read-only",
        "read-only",
        "left",
        "new",
        *("ca.crt", "namespace", "token"),
        "volumes",
    ]


def test_the_token_of_a_pod_is_its_service_accounts(cluster: Cluster) -> None:
    script = """
        import kubernetes
        kubernetes.config.load_incluster_config()
        api = kubernetes.client.AuthenticationV1Api()
        print(api.create_self_subject_review({}).status.user_info.username)
    """
    cluster.run("in-cluster", {"command": ["python3", "-c", textwrap.dedent(script)]})
    cluster.comes_to("in-cluster", "Succeeded")
    assert cluster.log("in-cluster") == f"system:serviceaccount:{NAMESPACE}:default\n"


def test_a_pod_waits_for_what_its_volumes_show(cluster: Cluster) -> None:
    mount = {"name": "files", "mountPath": "/files"}
    volume = {"name": "files", "secret": {"secretName": "awaited"}}
    cluster.run("waits", shell("cat /files/key", volumeMounts=[mount]), volumes=[volume])
    wait_for(lambda: 'secrets "awaited" not found' in cluster.events("waits"), "an event")
    assert cluster.pod("waits").status.phase == "Pending"
    cluster.secret("awaited", key="there")
    cluster.comes_to("waits", "Succeeded")
    assert cluster.log("waits") == "there"


@pytest.mark.parametrize(
    ("kind", "source"),
    [("hostPath", {"path": "/etc"}), ("nfs", {"server": "example.com", "path": "/"})],
)
def test_a_volume_that_the_sandbox_has_not_fails_the_pod(
    cluster: Cluster, kind: str, source: dict[str, Any]
) -> None:
    name = f"with-{kind.lower()}"
    cluster.run(name, shell("true"), volumes=[{"name": "odd", kind: source}])
    status = cluster.comes_to(name, "Failed").status
    assert status.message == f"the sandbox has no volumes of the kind of odd: {kind}"


def test_a_container_runs_as_its_pod_says(cluster: Cluster) -> None:
    container = shell(
        "id -u; id -g; pwd; touch /usr/new || echo read-only; touch here && echo written",
        workingDir="/srv/app",
        volumeMounts=[{"name": "scratch", "mountPath": "/srv/app"}],
        securityContext={"readOnlyRootFilesystem": True},
    )
    cluster.run(
        "someone",
        container,
        volumes=[{"name": "scratch", "emptyDir": {}}],
        securityContext={"runAsNonRoot": True, "runAsUser": 4711, "runAsGroup": 12},
    )
    cluster.comes_to("someone", "Succeeded")
    told = [line for line in cluster.log("someone").splitlines() if "touch:" not in line]
    assert told == ["4711", "12", "/srv/app", "read-only", "written"]


def test_a_container_that_must_not_be_root_is_not(cluster: Cluster) -> None:
    cluster.run("root", shell("true"), securityContext={"runAsNonRoot": True, "runAsUser": 0})
    waiting = wait_for(lambda: cluster.waits_for("root", "CreateContainerConfigError"), "an error")
    assert waiting.message == "container's runAsUser breaks non-root policy"
    cluster.run("somebody", shell("true"), securityContext={"runAsNonRoot": True})
    assert "runAsUser" in cluster.comes_to("somebody", "Failed").status.message


def test_a_container_may_leave_a_message(cluster: Cluster) -> None:
    cluster.run("leaves", shell("echo from file > /dev/termination-log"))
    cluster.run(
        "prints",
        shell("echo from log; exit 1", terminationMessagePolicy="FallbackToLogsOnError"),
    )
    for name, phase, message in (("leaves", "Succeeded", "file\n"), ("prints", "Failed", "log\n")):
        (status,) = cluster.comes_to(name, phase).status.container_statuses
        assert status.state.terminated.message == f"from {message}"


def test_pods_become_ready_again_after_their_node_was_not_heard_of(cluster: Cluster) -> None:
    cluster.run("ending", shell("sleep 600"))
    cluster.run("service", {}, restartPolicy="Always")
    for name in ("ending", "service"):
        wait_for(partial(_ready, cluster, name, "True"), "a ready pod")
        # What the controller manager does when a node's lease has expired.
        condition = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
        before = cluster.core.patch_namespaced_pod_status(
            name, NAMESPACE, {"status": {"conditions": [condition]}}
        )
        wait_for(partial(_ready, cluster, name, "True"), "a pod that is ready again")
        assert cluster.pod(name).metadata.resource_version != before.metadata.resource_version
        cluster.core.delete_namespaced_pod(name, NAMESPACE)


def _ready(cluster: Cluster, name: str, wanted: str) -> bool:
    conditions = cluster.pod(name).status.conditions or ()
    return [one.status for one in conditions if one.type == "Ready"] == [wanted]


@pytest.fixture(scope="module")
def storage(cluster: Cluster) -> Any:  # noqa: ANN401
    """The storage API of a cluster with the driver and the class of the program."""
    api: Any = kubernetes.client.StorageV1Api(cluster.clone.kubernetes)
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    api.create_storage_class(
        {
            "metadata": {"name": "gp3", "annotations": mark},
            "provisioner": "ebs.csi.aws.com",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    )
    return api


def test_a_claim_gets_a_volume_that_outlives_its_pods(cluster: Cluster, storage: Any) -> None:  # noqa: ANN401
    for name, mode in (("kept", "ReadWriteOnce"), ("shared", "ReadWriteMany")):
        spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
        cluster.core.create_namespaced_persistent_volume_claim(
            NAMESPACE, {"metadata": {"name": name}, "spec": spec}
        )
    mount = {"name": "disk", "mountPath": "/disk"}

    def run(name: str, script: str, claim: str = "kept") -> None:
        volume = {"name": "disk", "persistentVolumeClaim": {"claimName": claim}}
        cluster.run(name, shell(script, volumeMounts=[mount]), volumes=[volume])

    run("writes", "echo kept > /disk/file")
    run("shares", "true", "shared")
    wait_for(lambda: cluster.claim("kept").metadata.annotations, "a node to be selected")
    time.sleep(3)
    assert cluster.claim("kept").status.phase == "Pending", "nobody has installed the driver"
    storage.create_csi_driver(
        {"metadata": {"name": "ebs.csi.aws.com"}, "spec": {"attachRequired": False}}
    )
    cluster.comes_to("writes", "Succeeded")
    run("reads", "cat /disk/file")
    cluster.comes_to("reads", "Succeeded")
    assert cluster.log("reads") == "kept\n"
    assert cluster.claim("shared").status.phase == "Pending", "EBS has no such volumes"

    name = cluster.claim("kept").spec.volume_name
    (volume,) = cluster.clone.aws("ec2").describe_volumes()["Volumes"]
    assert {one["Key"]: one["Value"] for one in volume["Tags"]} == {
        "CSIVolumeName": name,
        "ebs.csi.aws.com/cluster": "true",
        "kubernetes.io/created-for/pvc/name": "kept",
        "kubernetes.io/created-for/pvc/namespace": NAMESPACE,
    }
    assert (volume["Size"], volume["VolumeType"]) == (1, "gp3")
    directory = cluster.clone.directory / ".sandbox/volumes" / volume["VolumeId"]
    assert (directory / "file").read_text() == "kept\n"
    for name in ("writes", "reads", "shares"):
        cluster.core.delete_namespaced_pod(name, NAMESPACE)
    cluster.core.delete_namespaced_persistent_volume_claim("kept", NAMESPACE)
    wait_for(lambda: not cluster.core.list_persistent_volume().items, "the volume to go")
    assert not directory.exists()
    assert cluster.clone.aws("ec2").describe_volumes()["Volumes"] == []


def test_probes_decide_what_is_ready_and_what_lives(cluster: Cluster) -> None:
    often = {"periodSeconds": 1, "failureThreshold": 1}
    cluster.run(
        "probed",
        shell(
            "sleep 2; touch up; sleep 2; touch ready; sleep 3; rm ready; sleep 600",
            startupProbe={
                "exec": {"command": ["test", "-e", "up"]},
                **often,
                "failureThreshold": 60,
            },
            readinessProbe={"exec": {"command": ["test", "-e", "ready"]}, **often},
        ),
    )

    def status() -> Any:  # noqa: ANN401
        (found,) = cluster.pod("probed").status.container_statuses
        return found

    cluster.comes_to("probed", "Running")
    assert (status().started, status().ready) == (False, False)
    wait_for(lambda: status().started, "it to start")
    assert not status().ready
    wait_for(partial(_ready, cluster, "probed", "True"), "a ready pod")
    wait_for(partial(_ready, cluster, "probed", "False"), "a pod that is not")
    cluster.core.delete_namespaced_pod("probed", NAMESPACE, grace_period_seconds=0)

    probe = {"exec": {"command": ["sh", "-c", "echo ill; exit 1"]}, **often}
    cluster.run("ill", shell("sleep 600", livenessProbe=probe))
    (ended,) = cluster.comes_to("ill", "Failed").status.container_statuses
    assert ended.state.terminated.exit_code == 143
    assert "liveness probe failed: ill" in cluster.events("ill")


def test_probes_ask_the_ports_of_the_container_and_of_nobody_else(cluster: Cluster) -> None:
    ours, theirs = ports.free(["ours", "theirs"]).values()
    server = "exec python3 -m http.server --bind"

    def probe(action: dict[str, Any]) -> dict[str, Any]:
        return {**action, "periodSeconds": 1, "timeoutSeconds": 5}

    page = {"httpGet": {"path": "/", "port": "web"}}
    for name, action, port, bound, problem in (
        ("page", page, ours, "0.0.0.0", ""),  # noqa: S104
        ("loopback", page, ours, "127.0.0.1", "connection refused"),
        (
            "missing",
            {"httpGet": {"path": "/missing", "port": "web"}},
            *(ours, "$ADDRESS", "statuscode: 404"),
        ),
        ("socket", {"tcpSocket": {"port": ours}}, ours, "$ADDRESS", ""),
        ("mapped", {"tcpSocket": {"port": ours}}, ours, "::ffff:$ADDRESS", ""),
        ("another", {"tcpSocket": {"port": theirs}}, theirs, "$ADDRESS", "connection refused"),
    ):
        address = {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        listening = {"name": "web", "containerPort": port}
        command = f"{server} {bound} {ours}"
        with socket.create_server(("127.0.0.1", theirs)):
            cluster.run(
                name,
                shell(command, ports=[listening], env=[address], readinessProbe=probe(action)),
            )
            if problem:
                wait_for(partial(_is_told, cluster, name, problem), "an event")
                assert _ready(cluster, name, "False")
            else:
                wait_for(partial(_ready, cluster, name, "True"), "a ready pod")
        cluster.core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=1)
        wait_for(partial(_is_gone, cluster, name), "it to go")


def _is_told(cluster: Cluster, name: str, what: str) -> bool:
    return what in cluster.events(name)


def test_hooks_are_run_when_a_container_begins_and_before_it_ends(cluster: Cluster) -> None:
    cluster.run(
        "hooked",
        shell(
            "trap 'cat begun told; exit 0' TERM; echo hi; while :; do sleep 0.1; done",
            lifecycle={
                "postStart": {"exec": {"command": ["sh", "-c", "echo begun > begun"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo told > told"]}},
            },
        ),
        activeDeadlineSeconds=2,
    )
    cluster.comes_to("hooked", "Failed")
    assert cluster.log("hooked") == "hi\nbegun\ntold\n"


def test_something_is_run_in_a_container_that_runs(cluster: Cluster) -> None:
    mount = {"name": "scratch", "mountPath": "/data"}
    container = shell("echo hi; sleep 600", volumeMounts=[mount])
    cluster.run("serves", container, volumes=[{"name": "scratch", "emptyDir": {}}])
    wait_for(partial(_log_begins, cluster, "serves"), "its log")

    def run(*command: str, **more: Any) -> Any:  # noqa: ANN401
        return stream(
            cluster.core.connect_get_namespaced_pod_exec,
            *("serves", NAMESPACE),
            command=list(command),
            **{"stdout": True, "stderr": True, **more},
        )

    assert run("sh", "-c", "echo kept > /data/file; echo $HOSTNAME") == "serves\n"
    assert run("cat", "/data/file") == "kept\n"
    asked = run("sh", stdin=True, _preload_content=False)
    asked.write_stdin("echo got it >&2; exit 3\n")
    asked.run_forever(timeout=30)
    assert asked.read_stderr() == "got it\n"
    assert asked.returncode == 3
    missing = run("no-such-command", _preload_content=False)
    missing.run_forever(timeout=30)
    assert "no-such-command" in missing.read_channel(3)
    cluster.run("over", shell("true"))
    cluster.comes_to("over", "Succeeded")
    with pytest.raises(kubernetes.client.ApiException):
        stream(cluster.core.connect_get_namespaced_pod_exec, "over", NAMESPACE, command=["true"])


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl on PATH")
def test_kubectl_runs_something_in_a_container(cluster: Cluster) -> None:
    cluster.run("for-kubectl", shell("echo hi; sleep 600"))
    wait_for(partial(_log_begins, cluster, "for-kubectl"), "its log")

    def run(*flags: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "-n", NAMESPACE, "exec", *flags, "for-kubectl", "--"]
        return subprocess.run(
            [*command, "sh", "-c", "cat; exit 3"],
            env=cluster.clone.environment,
            input=given,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    done = run("-i", given="hello")
    assert (done.returncode, done.stdout) == (3, "hello")
    assert run().returncode == 3


def test_pods_have_addresses_of_their_own_and_find_each_other_by_name(cluster: Cluster) -> None:
    cluster.core.create_namespaced_service(
        NAMESPACE,
        {
            "metadata": {"name": "served"},
            "spec": {"clusterIP": "None", "selector": {"app": "serving"}, "ports": [{"port": 80}]},
        },
    )
    serve = "import socket; s = socket.create_server((socket.gethostname(), 8123)); s.accept()"
    body = {
        "metadata": {"name": "serving", "labels": {"app": "serving"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "example.com/image",
                    "command": ["python", "-c", serve],
                    "volumeMounts": [{"name": "any", "mountPath": "/any"}],
                }
            ],
            "volumes": [{"name": "any", "emptyDir": {}}],
        },
    }
    cluster.core.create_namespaced_pod(NAMESPACE, body)
    serving = cluster.comes_to("serving", "Running").status.pod_ip
    ask = f"""
import socket, time
for _ in range(100):
    try:
        with socket.create_connection(("served.{NAMESPACE}.svc.cluster.local", 8123)) as one:
            print(one.getpeername()[0], socket.gethostbyname(socket.gethostname()))
            break
    except OSError:
        time.sleep(0.1)
"""
    cluster.run("asking", {"command": ["python", "-c", ask]})
    asking = cluster.comes_to("asking", "Succeeded").status.pod_ip
    assert cluster.log("asking").split() == [serving, asking]
    assert len({serving, asking, "127.0.0.1"}) == 3
    cluster.comes_to("serving", "Succeeded")


def test_a_known_image_says_what_runs_where_a_container_names_no_command(cluster: Cluster) -> None:
    image = "111122223333.dkr.ecr.us-west-2.amazonaws.com/mirror/spark/emr-7.14.0:latest"
    listed = ["sh", "-c", "ls /usr/lib/spark/jars | grep -c '^hadoop-aws-'; cat /etc/hosts"]
    cluster.run("known", {"image": image, "args": listed})
    cluster.comes_to("known", "Succeeded")
    found = cluster.log("known").splitlines()
    assert found[:2] == ["1", "127.0.0.1 localhost"]
    older = {"image": image.replace("7.14.0", "spark-8.0.0"), "args": listed}
    cluster.run("unknown", older)
    assert "must name its command" in cluster.comes_to("unknown", "Failed").status.message


KNOWN = "895885662937.dkr.ecr.us-west-2.amazonaws.com/spark/emr-7.14.0:latest"


def test_a_volume_hides_nothing_of_an_image(cluster: Cluster) -> None:
    there = spark.environment()
    above = os.path.commonpath([one.parent for one in known.parts(there)])
    place = str(there.parent) if above == "/" else above
    script = """
        "$JAVA_HOME/bin/java" -version && "$PYSPARK_PYTHON" -c "print(41 + 1)"
        touch "$JAVA_HOME/written" || echo read-only
    """
    mount = {"name": "scratch", "mountPath": place}
    volume = {"name": "scratch", "emptyDir": {}}
    cluster.run("hidden", shell(script, image=KNOWN, volumeMounts=[mount]), volumes=[volume])
    cluster.comes_to("hidden", "Succeeded")
    told = cluster.log("hidden").splitlines()
    assert "42" in told
    assert told[-1] == "read-only"


def test_a_pod_that_is_to_stay_is_run_where_its_image_is_known(cluster: Cluster) -> None:
    restarted = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 1}
    probe = {"exec": {"command": ["test", "-e", "ready"]}, "periodSeconds": 1}
    script = "echo hi; sleep 5; touch ready; sleep 3; exit 3"
    cluster.run("stays", shell(script, image=KNOWN, readinessProbe=probe), **restarted)
    wait_for(partial(_log_begins, cluster, "stays"), "its log")
    # Nobody else says that it is ready, not even for a moment.
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        assert _ready(cluster, "stays", "False")
    wait_for(partial(_ready, cluster, "stays", "True"), "it to be ready")
    wait_for(lambda: _status(cluster, "stays").restart_count == 1, "it to be started again")
    assert _status(cluster, "stays").last_state.terminated.exit_code == 3
    cluster.core.delete_namespaced_pod("stays", NAMESPACE)
    wait_for(partial(_is_gone, cluster, "stays"), "it to go")


def test_a_pod_that_is_to_stay_is_played_where_an_image_is_not_known(cluster: Cluster) -> None:
    containers = [shell("exit 3", image=KNOWN, name="known"), shell("exit 3", name="unknown")]
    cluster.run("played", *containers, restartPolicy="Always")
    wait_for(partial(_ready, cluster, "played", "True"), "it to be ready")
    assert not any(one.restart_count for one in cluster.pod("played").status.container_statuses)
    cluster.core.delete_namespaced_pod("played", NAMESPACE)
    wait_for(partial(_is_gone, cluster, "played"), "it to go")


def test_a_pod_that_is_to_stay_goes_while_it_waits_for_its_image(cluster: Cluster) -> None:
    cluster.run("without-image", {"image": "NO IMAGE"}, restartPolicy="Always")
    wait_for(partial(cluster.waits_for, "without-image", "InvalidImageName"), "it to wait")
    cluster.core.delete_namespaced_pod("without-image", NAMESPACE)
    wait_for(partial(_is_gone, cluster, "without-image"), "it to go")


def test_a_pod_that_is_to_stay_waits_if_it_cannot_be_run(cluster: Cluster) -> None:
    # If it failed, its controller would make one after another.
    probe = {"grpc": {"port": 1}}
    cluster.run("unsupported", {"image": KNOWN, "readinessProbe": probe}, restartPolicy="Always")
    waiting = wait_for(partial(cluster.waits_for, "unsupported", "NotInSandbox"), "it to wait")
    assert "no gRPC probes" in waiting.message
    assert cluster.pod("unsupported").status.phase == "Pending"
    cluster.core.delete_namespaced_pod("unsupported", NAMESPACE, grace_period_seconds=1)
    wait_for(partial(_is_gone, cluster, "unsupported"), "it to go")


def _status(cluster: Cluster, name: str) -> Any:  # noqa: ANN401
    (status,) = cluster.pod(name).status.container_statuses
    return status


PAGE = "what is in the pod"


@pytest.fixture(scope="module")
def page(cluster: Cluster) -> Iterator[tuple[str, int]]:
    """A pod that serves a page, and its port."""
    port = ports.free(["page"])["page"]
    server = f"exec python3 -m http.server --bind 127.0.0.1 {port}"
    cluster.run("page-server", shell(f"echo {PAGE} > page; {server}"))
    wait_for(partial(_listens, port), "a server")
    yield "page-server", port
    cluster.core.delete_namespaced_pod("page-server", NAMESPACE, grace_period_seconds=1)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _forward(core: Any, pod: str, *wanted: int) -> Any:  # noqa: ANN401
    return portforward(
        core.connect_get_namespaced_pod_portforward,
        *(pod, NAMESPACE),
        ports=",".join(map(str, wanted)),
    )


def _ask(connection: socket.socket) -> str:
    connection.settimeout(30)
    connection.sendall(b"GET /page HTTP/1.0\r\n\r\n")
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer.decode()


def test_ports_of_a_pod_and_of_nobody_else_are_forwarded(
    cluster: Cluster, page: tuple[str, int]
) -> None:
    pod, port = page
    assert _ask(_forward(cluster.core, pod, port).socket(port)).endswith(f"{PAGE}\n")

    with socket.create_server(("127.0.0.1", 0)) as other:
        foreign = other.getsockname()[1]
        forwarded = _forward(cluster.core, pod, foreign, port)
        assert _ask(forwarded.socket(port)).endswith(f"{PAGE}\n")
        wait_for(lambda: forwarded.error(foreign), "a reason")
        assert "connection refused" in forwarded.error(foreign)


def _may_forward(cluster: Cluster, name: str, *verbs: str) -> Any:  # noqa: ANN401
    """The core API as a service account that may do this with the ports of pods."""
    core = cluster.core
    rbac: Any = kubernetes.client.RbacAuthorizationV1Api(cluster.clone.kubernetes)
    metadata = {"metadata": {"name": name}}
    core.create_namespaced_service_account(NAMESPACE, metadata)
    rules = [{"apiGroups": [""], "resources": ["pods/portforward"], "verbs": list(verbs)}]
    rbac.create_namespaced_role(NAMESPACE, {**metadata, "rules": rules if verbs else []})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    body = {**metadata, "roleRef": role, "subjects": [subject]}
    rbac.create_namespaced_role_binding(NAMESPACE, body)
    token = core.create_namespaced_service_account_token(name, NAMESPACE, {"spec": {}})
    known = cluster.clone.kubernetes.configuration
    configuration = kubernetes.client.Configuration(
        host=known.host, api_key={"authorization": f"Bearer {token.status.token}"}
    )
    configuration.ssl_ca_cert = known.ssl_ca_cert
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))


def test_who_has_no_right_to_it_gets_no_port(cluster: Cluster, page: tuple[str, int]) -> None:
    pod, port = page
    both = _may_forward(cluster, "forwarder", "create", "get")
    assert PAGE in _ask(_forward(both, pod, port).socket(port))
    # From Kubernetes 1.35 on, the right to look is not enough for a WebSocket.
    for one in (_may_forward(cluster, "stranger"), _may_forward(cluster, "looker", "get")):
        with pytest.raises(kubernetes.client.ApiException, match="403 Forbidden"):
            _forward(one, pod, port)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl on PATH")
@pytest.mark.parametrize("websockets", ["true", "false"])
def test_kubectl_forwards_ports_both_ways_that_it_knows(
    cluster: Cluster, page: tuple[str, int], websockets: str
) -> None:
    pod, port = page
    with subprocess.Popen(
        ["kubectl", "-n", NAMESPACE, "port-forward", pod, f":{port}", "--address=127.0.0.1"],
        env={**cluster.clone.environment, "KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as forwarding:
        try:
            assert forwarding.stdout
            told = forwarding.stdout.readline()
            assert told.startswith("Forwarding from 127.0.0.1:"), told
            here = told.split(":")[1].split(" ")[0]
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{here}/page", timeout=30) as answer:
                    assert answer.read().decode() == f"{PAGE}\n"
        finally:
            forwarding.terminate()
