"""What the cluster autoscaler's stand-in does, as whom, and what it leaves."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import kubernetes.client
import kubernetes.config
import pytest
from botocore.exceptions import ClientError

from sandbox.cloud.kubernetes import nodes
from sandbox.cloud.kubernetes.autoscaler import deployed, fitting
from sandbox.cloud.kubernetes.autoscaler.__main__ import Autoscaler, seconds
from sandbox.cloud.kubernetes.autoscaler.fitting import Demand, Place
from sandbox.machine.aws_api import Aws
from sandbox.providers.aws.provider import AwsPlugin
from sandbox.tests.aws_account import Account, Made

NAME = "cluster-autoscaler"
IMAGE = f"registry.k8s.io/autoscaling/{NAME}:v1.35.1"
DISK = "k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage"
SPOT = {"spark-executors": "spot"}
TAINT = {"key": "spark-executors", "value": "spot", "effect": "NO_SCHEDULE"}
TOLERATION = {"key": "spark-executors", "operator": "Equal", "value": "spot"}
READ = ("get", "list", "watch")
RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": [*READ, "update"]},
    {
        "apiGroups": ["", "apps", "batch", "policy", "resource.k8s.io", "storage.k8s.io"],
        "resources": ["*"],
        "verbs": READ,
    },
]


def policy(cluster: str, group: str = "*", owner: str = "") -> dict[str, Any]:
    tag = f"aws:ResourceTag/k8s.io/cluster-autoscaler/{owner or cluster}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "autoscaling:DescribeAutoScalingGroups",
                    "ec2:DescribeInstanceTypes",
                    "ec2:DescribeLaunchTemplateVersions",
                ],
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Action": "eks:DescribeNodegroup",
                "Resource": f"arn:aws:eks:us-west-2:123456789012:nodegroup/{cluster}/{group}/*",
            },
            {
                "Effect": "Allow",
                "Action": [
                    "autoscaling:SetDesiredCapacity",
                    "autoscaling:TerminateInstanceInAutoScalingGroup",
                ],
                "Resource": "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/*",
                "Condition": {"StringEquals": {tag: "owned"}},
            },
        ],
    }


@dataclass
class World:
    """A cluster with a group for anything, one for executors, and an autoscaler that is ready."""

    account: Account
    cluster: Made
    main: Made
    spot: Made
    role: Made
    core: Any
    said: list[str] = field(default_factory=list)
    now: float = 0.0
    pods: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.autoscaler = Autoscaler(self.find, clock=lambda: self.now, say=self.said.append)

    def find(self) -> deployed.Deployed | None:
        kubeconfig = os.environ["KUBECONFIG"]
        return deployed.find(kubeconfig, self.core.api_client, Aws)

    def look(self) -> None:
        self.autoscaler.look()

    def sizes(self) -> tuple[int, int]:
        """How many nodes the two groups have, of which EKS and Kubernetes tell the same."""
        found = []
        for group in (self.main, self.spot):
            name = group.state["nodeGroupName"]
            told = self.account.api("eks").describe_nodegroup(
                clusterName=self.cluster.id, nodegroupName=name
            )["nodegroup"]["scalingConfig"]["desiredSize"]
            assert len(nodes.of_group(name)) == told
            found.append(told)
        return found[0], found[1]

    def wait_for_node(self, cpu: str = "1", *, spot: bool = True, **spec: Any) -> str:  # noqa: ANN401
        """Let a pod wait that the scheduler could not place."""
        name = f"pod-{uuid.uuid4().hex[:8]}"
        place = {"nodeSelector": SPOT, "tolerations": [TOLERATION]} if spot else {}
        requests = {"cpu": cpu, "memory": "1Gi", "ephemeral-storage": "1Gi"}
        containers = [{"name": "one", "image": "none", "resources": {"requests": requests}}]
        body = {
            "metadata": {"name": name},
            "spec": {"containers": containers, "restartPolicy": "Never", **place, **spec},
        }
        self.core.create_namespaced_pod("default", body)
        self.pods.append(name)
        if "nodeName" not in spec:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            status = {"status": {"conditions": [condition]}}
            self.core.patch_namespaced_pod_status(name, "default", status)
        return name

    def events(self, pod: str) -> list[str]:
        found = self.core.list_namespaced_event(
            "default", field_selector=f"involvedObject.name={pod}"
        )
        return [f"{one.reason}: {one.message}" for one in found.items]

    def become_ready(self) -> None:
        """Do kwok's work, without which nodes are none that pods run on."""
        condition = {"type": "Ready", "status": "True"}
        for node in self.core.list_node().items:
            self.core.patch_node_status(node.metadata.name, {"status": {"conditions": [condition]}})

    def forget(self, pod: str) -> None:
        self.core.delete_namespaced_pod(pod, "default", grace_period_seconds=0)
        self.pods.remove(pod)


@pytest.fixture(scope="module")
def account(emulators: dict[str, str]) -> Iterator[Account]:
    assert emulators
    plugin = AwsPlugin()
    plugin.configure({"region": "us-west-2"})
    found = Account(plugin)
    yield found
    found.clean_up()


def _let_it_in(core: Any) -> None:  # noqa: ANN401
    """Make what goes with the cluster again."""
    for namespace, name in (("default", "default"), ("kube-system", NAME)):
        # The work of the controller manager, which these tests do without.
        with suppress(kubernetes.client.ApiException):  # it is there
            core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
    rbac: Any = kubernetes.client.RbacAuthorizationV1Api(core.api_client)
    rbac.create_cluster_role({"metadata": {"name": NAME}, "rules": RULES})
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": "kube-system"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    rbac.create_cluster_role_binding(
        {"metadata": {"name": NAME}, "roleRef": role, "subjects": [subject]}
    )


def _trust(cluster: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {"aws:RequestTag/kubernetes-service-account": NAME},
            "ArnEquals": {"aws:SourceArn": f"arn:aws:eks:us-west-2:123456789012:cluster/{cluster}"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def whole(account: Account, emulators: dict[str, str]) -> World:
    subnets = account.subnets_with_a_way_out(account.vpc())
    cluster = account.cluster(subnets)
    main = account.node_group(
        cluster, subnets, scalingConfig={"desiredSize": 1, "maxSize": 3, "minSize": 1}
    )
    spot = account.node_group(
        cluster,
        subnets,
        capacityType="SPOT",
        instanceTypes=["m7i.xlarge", "m6i.xlarge"],
        scalingConfig={"desiredSize": 0, "maxSize": 2, "minSize": 0},
        labels=SPOT,
        taints=[TAINT],
        tags={DISK: "85Gi"},
    )
    role = account.make("iam/role:Role", NAME, assumeRolePolicy=_trust(cluster.id))
    account.make(
        "iam/rolePolicy:RolePolicy",
        role=role.id,
        name="one",
        policy=json.dumps(policy(cluster.id)),
    )
    account.make(
        "eks/podIdentityAssociation:PodIdentityAssociation",
        clusterName=cluster.id,
        namespace="kube-system",
        serviceAccount=NAME,
        roleArn=role.state["arn"],
    )
    client: Any = kubernetes.config.new_client_from_config(emulators["KUBECONFIG"])
    core: Any = kubernetes.client.CoreV1Api(client)
    _let_it_in(core)
    _deploy(core, cluster.id, nodes.of_group(main.state["nodeGroupName"])[0].metadata.name)
    return World(account, cluster, main, spot, role, core)


@pytest.fixture
def world(whole: World) -> Iterator[World]:
    """The same for each test, with what the ones before have changed put back."""
    _set_policy(whole, policy(whole.cluster.id))
    whole.__post_init__()
    whole.said.clear()
    whole.become_ready()
    yield whole
    for pod in list(whole.pods):
        whole.forget(pod)
    for group, size in ((whole.main, 1), (whole.spot, 0)):
        whole.account.api("eks").update_nodegroup_config(
            clusterName=whole.cluster.id,
            nodegroupName=group.state["nodeGroupName"],
            scalingConfig={"desiredSize": size},
        )


def _deploy(core: Any, cluster: str, node: str) -> None:  # noqa: ANN401
    tags = f"k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{cluster}"
    labels = {"app": NAME}
    spec = {
        "serviceAccountName": NAME,
        "nodeName": node,
        "containers": [
            {
                "name": NAME,
                "image": IMAGE,
                "command": [f"./{NAME}", f"--node-group-auto-discovery=asg:tag={tags}"],
                "env": [{"name": "AWS_REGION", "value": "us-west-2"}],
            }
        ],
    }
    template = {"metadata": {"labels": labels}, "spec": {**spec, "nodeName": None}}
    apps: Any = kubernetes.client.AppsV1Api(core.api_client)
    apps.create_namespaced_deployment(
        "kube-system",
        {
            "metadata": {"name": NAME},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
    )
    _say_available(core, available=True)
    core.create_namespaced_pod(
        "kube-system", {"metadata": {"name": NAME, "labels": labels}, "spec": spec}
    )
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    core.patch_namespaced_pod_status(NAME, "kube-system", ready)


def _say_available(core: Any, *, available: bool) -> None:  # noqa: ANN401
    status = {"conditions": [{"type": "Available", "status": str(available)}]}
    kubernetes.client.AppsV1Api(core.api_client).patch_namespaced_deployment_status(
        NAME, "kube-system", {"status": status}
    )


def test_nodes_come_from_zero_for_pods_that_wait_and_go_when_they_are_empty(world: World) -> None:
    pods = [world.wait_for_node("2500m") for _ in range(3)]
    world.look()
    assert world.sizes() == (1, 2)  # one pod on each, and no more than the most
    helped = [pod for pod in pods if any("TriggeredScaleUp: " in one for one in world.events(pod))]
    assert len(helped) == 2
    (late,) = set(pods) - set(helped)
    assert any("max node group size reached (2)" in one for one in world.events(late))
    assert any("untolerated taint" in one or "affinity" in one for one in world.events(late))

    world.look()  # what has come is not ready yet, and still counts
    assert world.sizes() == (1, 2)
    world.become_ready()
    first, second = nodes.of_group(world.spot.state["nodeGroupName"])
    for pod in pods:
        world.forget(pod)
    driver = world.wait_for_node(nodeName=first.metadata.name)
    world.now += 59
    world.look()
    assert world.sizes() == (1, 2)
    world.now += 2
    world.look()
    assert world.sizes() == (1, 1), "the empty one goes after a minute, and no other"
    (left,) = nodes.of_group(world.spot.state["nodeGroupName"])
    assert left.metadata.name == first.metadata.name != second.metadata.name
    assert world.core.read_namespaced_pod(driver, "default")
    world.forget(driver)
    world.now += 30
    world.look()
    world.now += 61
    world.look()
    assert world.sizes() == (1, 0), "and never below the least"
    assert "it works" not in world.said


def test_a_pod_gets_the_kind_of_node_that_it_fits_on(world: World) -> None:
    world.wait_for_node("3", spot=False)
    world.wait_for_node("3", spot=False)
    world.look()
    assert world.sizes() == (2, 0)  # there was room for one


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"nodeSelector": {"spark-executors": "other"}}, "didn't match Pod's node affinity"),
        ({"tolerations": []}, "untolerated taint"),
        ({"cpu": "5"}, "Insufficient cpu"),
        (
            {
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "x", "whenUnsatisfiable": "DoNotSchedule"}
                ]
            },
            "the sandbox judges no topology spread constraints",
        ),
    ],
)
def test_a_pod_that_no_new_node_would_help_gets_none(
    world: World, spec: dict[str, Any], told: str
) -> None:
    pod = world.wait_for_node(**spec)
    world.look()
    world.look()
    assert world.sizes() == (1, 0)
    (event,) = world.events(pod)
    assert event.startswith("NotTriggerScaleUp: ")
    assert told in event


def test_without_a_tag_about_disks_no_first_node_comes_for_who_asks_for_some(world: World) -> None:
    arn = world.spot.state["arn"]
    world.account.api("eks").untag_resource(resourceArn=arn, tagKeys=[DISK])
    pod = world.wait_for_node()
    world.look()
    world.account.api("eks").tag_resource(resourceArn=arn, tags={DISK: "85Gi"})
    assert world.sizes() == (1, 0)
    assert "Insufficient ephemeral-storage" in world.events(pod)[0]


def test_a_taint_without_a_value_is_overlooked_before_there_is_a_node(world: World) -> None:
    which = {"clusterName": world.cluster.id, "nodegroupName": world.spot.state["nodeGroupName"]}
    eks, without = world.account.api("eks"), {"key": TAINT["key"], "effect": TAINT["effect"]}
    eks.update_nodegroup_config(**which, taints={"addOrUpdateTaints": [without]})
    world.wait_for_node(spot=False, nodeSelector=SPOT)
    world.look()
    eks.update_nodegroup_config(**which, taints={"addOrUpdateTaints": [TAINT]})
    assert world.sizes() == (1, 1)  # in vain, as on AWS


def _is_not_available(world: World) -> str:
    _say_available(world.core, available=False)
    return ""


def _may_not_see_claims(world: World) -> str:
    rbac = kubernetes.client.RbacAuthorizationV1Api(world.core.api_client)
    rules = [rule for rule in RULES if "*" not in rule["resources"]]
    rbac.patch_cluster_role(NAME, {"rules": rules})
    return "it gets no list of /api/v1/namespaces: "


def _may_not_scale(world: World) -> str:
    _set_policy(world, policy(world.cluster.id, owner="another"))
    return "not authorized to perform: autoscaling:SetDesiredCapacity"


def _may_not_ask_eks(world: World) -> str:
    _set_policy(world, policy(world.cluster.id, "another"))
    return "labels and taints of node group"


def _set_policy(world: World, document: dict[str, Any]) -> None:
    world.account.api("iam").put_role_policy(
        RoleName=world.role.id, PolicyName="one", PolicyDocument=json.dumps(document)
    )


def _is_not_trusted(world: World) -> str:
    world.account.api("iam").update_assume_role_policy(
        RoleName=world.role.id, PolicyDocument=_trust("another")
    )
    return "it has no credentials of AWS: pods.eks.amazonaws.com is not authorized to perform"


@pytest.mark.parametrize(
    "broken",
    [_is_not_available, _may_not_see_claims, _may_not_scale, _may_not_ask_eks, _is_not_trusted],
)
def test_it_does_no_more_than_the_deployed_one_could(world: World, broken: Any) -> None:  # noqa: ANN401
    told = broken(world)
    world.wait_for_node()
    world.look()
    _say_available(world.core, available=True)
    rbac: Any = kubernetes.client.RbacAuthorizationV1Api(world.core.api_client)
    rbac.patch_cluster_role(NAME, {"rules": RULES})
    world.account.api("iam").update_assume_role_policy(
        RoleName=world.role.id, PolicyDocument=_trust(world.cluster.id)
    )
    assert world.sizes() == (1, 0)
    assert any(told in one for one in world.said) or not told


def test_a_node_that_gets_a_pod_at_the_last_moment_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = world.wait_for_node()
    world.look()
    world.become_ready()
    world.forget(pod)
    (node,) = nodes.of_group(world.spot.state["nodeGroupName"])
    world.look()
    world.now += 61
    holds = "sandbox.cloud.kubernetes.autoscaler.__main__._holds"
    answers = iter(
        [node.metadata.name != one.metadata.name for one in world.core.list_node().items]
    )
    monkeypatch.setattr(holds, lambda *_: next(answers, True))
    world.look()
    assert world.sizes() == (1, 1)
    (node,) = nodes.of_group(world.spot.state["nodeGroupName"])
    assert not [one for one in node.spec.taints if one.key.startswith("ToBeDeleted")]


def test_auto_scaling_keeps_the_bounds_and_tells_of_its_instances(world: World) -> None:
    scaling, eks = world.account.api("autoscaling"), world.account.api("eks")
    which = {"name": world.cluster.id, "nodegroupName": world.main.state["nodeGroupName"]}
    updates = eks.list_updates(**which)["updateIds"]
    filters = [{"Name": "tag-key", "Values": [f"k8s.io/cluster-autoscaler/{world.cluster.id}"]}]
    groups = {
        one["MaxSize"]: one
        for one in scaling.describe_auto_scaling_groups(Filters=filters)["AutoScalingGroups"]
    }
    main, spot = groups[3], groups[2]
    assert [
        one["InstanceType"] for one in spot["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    ] == [
        "m7i.xlarge",
        "m6i.xlarge",
    ]
    name = main["AutoScalingGroupName"]
    for size in (4, 0):
        with pytest.raises(ClientError, match=rf"New SetDesiredCapacity value {size} is "):
            scaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=size)
    (instance,) = main["Instances"]
    with pytest.raises(ClientError, match="will violate group's min size constraint"):
        scaling.terminate_instance_in_auto_scaling_group(
            InstanceId=instance["InstanceId"], ShouldDecrementDesiredCapacity=True
        )
    with pytest.raises(ClientError, match="No managed instance found for instance ID: i-0"):
        scaling.terminate_instance_in_auto_scaling_group(
            InstanceId="i-0", ShouldDecrementDesiredCapacity=True
        )
    # As when AWS takes a spot instance back: another one comes.
    scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=instance["InstanceId"], ShouldDecrementDesiredCapacity=False
    )
    (other,) = scaling.describe_auto_scaling_instances()["AutoScalingInstances"]
    assert other["InstanceId"] != instance["InstanceId"]
    assert world.sizes() == (1, 0)
    assert eks.list_updates(**which)["updateIds"] == updates, "which are EKS's own alone"


def _expression(key: str, kind: str, *values: str) -> Any:  # noqa: ANN401
    one = kubernetes.client.V1NodeSelectorRequirement(key=key, operator=kind, values=list(values))
    term = kubernetes.client.V1NodeSelectorTerm(match_expressions=[one])
    return kubernetes.client.V1NodeSelector(node_selector_terms=[term])


@pytest.mark.parametrize(
    ("kind", "values", "fits"),
    [
        ("In", ["a", "b"], True),
        ("In", ["b"], False),
        ("NotIn", ["b"], True),
        ("NotIn", ["a"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], False),
    ],
)
def test_where_a_volume_is_decides_too(kind: str, values: list[str], fits: bool) -> None:
    container = kubernetes.client.V1Container(name="one")
    pod = kubernetes.client.V1Pod(spec=kubernetes.client.V1PodSpec(containers=[container]))
    place = Place("n", {"zone": "a"}, (), fitting.amounts({"pods": "1"}))
    why = fitting.why_not(Demand(pod, (_expression("zone", kind, *values),)), place)
    assert (why == "") is fits


@pytest.mark.parametrize(
    ("duration", "read"), [("10m", 600), ("1h30m", 5400), ("10m0s", 600), ("500ms", 0.5)]
)
def test_a_duration_is_read_as_go_writes_it(duration: str, read: float) -> None:
    assert seconds(duration) == read
