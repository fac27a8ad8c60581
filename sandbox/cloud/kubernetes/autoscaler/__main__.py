"""Does what the deployed cluster autoscaler would do, with its rights, and sooner.

Nodes come for pods that the scheduler cannot place, and go when nothing has run on them for a
while. It moves no pods to empty a node.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import kubernetes.client
import kubernetes.config
from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from sandbox.cloud.kubernetes import nodes, watching
from sandbox.cloud.kubernetes.autoscaler import deployed, fitting, groups
from sandbox.cloud.kubernetes.autoscaler.deployed import Deployed, NotWorkingError
from sandbox.cloud.kubernetes.autoscaler.fitting import Demand, Place
from sandbox.cloud.kubernetes.autoscaler.groups import Group
from sandbox.cloud.kubernetes.events import event
from sandbox.machine import processes
from sandbox.machine.aws_api import Aws

Json: TypeAlias = Any

LOOK_SECONDS: Final = 10.0
"""The autoscaler's own interval; new pods that wait are looked at sooner."""
FASTER: Final = 10
"""How many times faster than on AWS a node is given up."""
_GOING: Final = "ToBeDeletedByClusterAutoscaler"
_UNWANTED: Final = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
_WAITING: Final = "spec.nodeName=,status.phase=Pending"
_LOWEST: Final = -10
"""Pods of a lower priority get no nodes of their own."""
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}


def seconds(duration: str) -> float:
    """Read a duration of Go's."""
    return sum(
        float(number) * _SECONDS[unit]
        for number, unit in re.findall(r"([\d.]+)(h|ms|m|s)", duration)
    )


@dataclass
class Autoscaler:
    """What is remembered from one look to the next."""

    look_for: Callable[[], Deployed | None]
    clock: Callable[[], float] = time.monotonic
    say: Callable[[str], None] = print
    _deployed: Deployed | None = None
    _said: str = ""
    _groups: list[Group] = field(default_factory=list)
    _grown_at: float = float("-inf")
    _empty_since: dict[str, float] = field(default_factory=dict)
    """By the name of a node."""
    _told: dict[tuple[str, str], str] = field(default_factory=dict)
    """What the events of a pod say, by its uid and their reason."""

    def look(self) -> None:
        """Do what is to be done now."""
        found = self.look_for()
        if found is None:
            self._deployed = None
            self._empty_since.clear()
            return
        if self._deployed is None or self._deployed.pod.metadata.uid != found.pod.metadata.uid:
            self._deployed = found
        try:
            self._deployed.require()
            self._deployed.sign_in()
            self._work(self._deployed)
        except (NotWorkingError, BotoCoreError, ClientError) as error:
            self._complain(f"it does nothing: {error}")
        else:
            self._complain("")

    def _complain(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.say(text or "it works")

    def _work(self, running: Deployed) -> None:
        there = running.core.list_node().items
        pods = running.core.list_pod_for_all_namespaces().items
        waiting = [pod for pod in pods if _is_unschedulable(pod)]
        self._groups = groups.discovered(running.client, running.arguments)
        if waiting:
            self._grow(running, there, pods, waiting)
        if running.flag("scale-down-enabled", "true") == "true":
            self._shrink(running, there, pods)
        uids = {pod.metadata.uid for pod in waiting}
        self._told = {key: text for key, text in self._told.items() if key[0] in uids}

    def _grow(self, running: Deployed, there: Json, pods: Json, waiting: Json) -> None:
        templates = {group.name: self._template(running, group, there) for group in self._groups}
        places = [_place(node, pods) for node in there if not node.spec.unschedulable]
        for group in self._groups:
            coming = group.size - sum(node.spec.provider_id in group.instances for node in there)
            places += [templates[group.name].copy() for _ in range(coming)]
        demands = []
        for pod in waiting:
            if kind := fitting.not_judged(pod):
                self._tell(running, pod, "NotTriggerScaleUp", f"the sandbox judges no {kind}")
            else:
                demands.append(Demand(pod, _volumes(running.core, pod)))
        left = fitting.settle(demands, places)
        options = []
        for group in self._groups:
            template = templates[group.name]
            made, helped = fitting.pack(left, template, group.high - group.size)
            if made:
                options.append((fitting.waste(made, template), group.name, group, made, helped))
        if options:
            _, _, group, made, helped = min(options, key=lambda one: one[:2])
            wanted = group.size + len(made)
            running.client("autoscaling").set_desired_capacity(
                AutoScalingGroupName=group.name, DesiredCapacity=wanted, HonorCooldown=False
            )
            self._grown_at = self.clock()
            plan = f"[{{{group.name} {group.size}->{wanted} (max: {group.high})}}]"
            self.say(f"more nodes: {plan}")
            for one in helped:
                self._tell(running, one.pod, "TriggeredScaleUp", f"pod triggered scale-up: {plan}")
            left = [one for one in left if one not in helped]
        for one in left:
            reasons = sorted(
                fitting.why_not(one, templates[group.name])
                or f"max node group size reached ({group.high})"
                for group in self._groups
            )
            told = ", ".join(f"{reasons.count(one)} {one}" for one in dict.fromkeys(reasons))
            self._tell(
                running,
                one.pod,
                "NotTriggerScaleUp",
                f"pod didn't trigger scale-up: {told or 'there is no node group'}",
            )

    def _template(self, running: Deployed, group: Group, there: Json) -> Place:
        ready = [
            node
            for node in there
            if node.spec.provider_id in group.instances and nodes.is_ready(node)
        ]
        return (
            groups.like(ready[0])
            if ready
            else groups.imagined(running.client, group, self._complain)
        )

    def _shrink(self, running: Deployed, there: Json, pods: Json) -> None:
        now = self.clock()
        unneeded = seconds(running.flag("scale-down-unneeded-time", "10m")) / FASTER
        delay = seconds(running.flag("scale-down-delay-after-add", "10m")) / FASTER
        empty = {
            node.metadata.name: node
            for node in there
            if not _holds(node, pods) and (node.metadata.annotations or {}).get(_UNWANTED) != "true"
        }
        self._empty_since = {name: self._empty_since.get(name, now) for name in empty}
        if now - self._grown_at < delay:
            return
        for group in self._groups:
            room = group.size - group.low
            for name, node in empty.items():
                instance = group.instances.get(node.spec.provider_id)
                if instance is None or room <= 0 or now - self._empty_since[name] < unneeded:
                    continue
                if self._remove(running, group, name, instance):
                    room -= 1

    def _remove(self, running: Deployed, group: Group, name: str, instance: str) -> bool:
        """Take a node away, unless a pod has come to it at the last moment."""
        core = running.core
        node = core.read_node(name)
        before = node.spec.taints
        value = str(int(time.time()))
        node.spec.taints = [
            *(before or ()),
            kubernetes.client.V1Taint(key=_GOING, value=value, effect="NoSchedule"),
        ]
        node = core.replace_node(name, node)
        pods = core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}").items
        if _holds(node, pods):
            node.spec.taints = before
            core.replace_node(name, node)
            return False
        running.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=True
        )
        self.say(f"one node fewer: {name} of {group.name} was empty")
        return True

    def _tell(self, running: Deployed, pod: Json, reason: str, message: str) -> None:
        """Let a reader of a pod's events know, once."""
        key = (pod.metadata.uid, reason)
        if self._told.get(key) == message:
            return
        self._told[key] = message
        body = event(pod, "Normal", reason, message, {"component": "cluster-autoscaler"})
        running.core.create_namespaced_event(pod.metadata.namespace, body)


def _is_unschedulable(pod: Json) -> bool:
    return (
        not pod.spec.node_name
        and pod.metadata.deletion_timestamp is None
        and (pod.spec.priority or 0) >= _LOWEST
        and any(
            one.type == "PodScheduled" and one.status == "False" and one.reason == "Unschedulable"
            for one in pod.status.conditions or ()
        )
    )


def _place(node: Json, pods: Json) -> Place:
    place = groups.like(node)
    for pod in pods:
        if pod.spec.node_name == node.metadata.name and not _has_ended(pod):
            place.take(pod)
    return Place(node.metadata.name, node.metadata.labels, place.taints, place.free)


def _has_ended(pod: Json) -> bool:
    return pod.status.phase in {"Failed", "Succeeded"}


def _holds(node: Json, pods: Json) -> bool:
    """Tell whether a node has pods that somebody would miss: each node has those of DaemonSets."""
    return any(
        pod.spec.node_name == node.metadata.name
        and not _has_ended(pod)
        and not any(one.kind == "DaemonSet" for one in pod.metadata.owner_references or ())
        for pod in pods
    )


def _volumes(core: Json, pod: Json) -> tuple[Json, ...]:
    """Return where the volumes are that a pod has claimed and got."""
    found = []
    for volume in pod.spec.volumes or ():
        claim = volume.persistent_volume_claim
        if claim is None:
            continue
        claimed = core.read_namespaced_persistent_volume_claim(
            claim.claim_name, pod.metadata.namespace
        )
        if claimed.spec.volume_name:
            affinity = core.read_persistent_volume(claimed.spec.volume_name).spec.node_affinity
            if affinity and affinity.required:
                found.append(affinity.required)
    return tuple(found)


def main() -> None:
    """Look again and again."""
    processes.collect_garbage_seldom()
    kubeconfig = os.environ["KUBECONFIG"]
    api: Any = kubernetes.config.new_client_from_config(kubeconfig)
    known: dict[str, Aws] = {}

    def look_for() -> Deployed | None:
        return deployed.find(kubeconfig, api, lambda region: known.setdefault(region, Aws(region)))

    autoscaler = Autoscaler(look_for, say=lambda text: print(text, flush=True))
    core: Any = kubernetes.client.CoreV1Api(api)
    news = threading.Event()
    waiting: set[str] = set()

    def see(pod: Json) -> None:
        if not _is_unschedulable(pod):
            waiting.discard(pod.metadata.uid)
        elif pod.metadata.uid not in waiting:
            waiting.add(pod.metadata.uid)
            news.set()

    threading.Thread(
        target=watching.follow,
        args=(core.list_pod_for_all_namespaces, see, waiting.discard),
        kwargs={"field_selector": _WAITING},
        daemon=True,
    ).start()
    while True:
        news.clear()
        try:
            autoscaler.look()
        except (ApiException, HTTPError) as error:
            print(f"the API server: {error}", flush=True)
            time.sleep(watching.RETRY)
        else:
            news.wait(LOOK_SECONDS)


if __name__ == "__main__":
    main()
