"""The platform's life on the sandbox, in the order of this file: up, change, drift, destroy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import yaml
from kubernetes.client import (
    ApiException,
    AppsV1Api,
    CoreV1Api,
    RbacAuthorizationV1Api,
    V1ConfigMap,
    V1ObjectMeta,
)

from sandbox.clone import Clone
from sandbox.machine.waiting import wait_for
from tests.platform.listing import everything
from tests.platform.steps import run

NAME = "mwaa-on-eks-sandbox"

NODE_BOUNDS = "pulumi-python:dynamic:Resource"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
VIRTUAL_CLUSTER = "aws:emrcontainers/virtualCluster:VirtualCluster"
KEPT = {"aws:eks/cluster:Cluster", "aws:mwaa/environment:Environment", VIRTUAL_CLUSTER}
"""What no change of settings here may replace: each holds work that would be lost."""


def test_a_second_up_and_a_preview_change_nothing(platform: Clone) -> None:
    platform.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    told = platform.pulumi("preview", "--expect-no-changes", "--policy-pack", "policy").stdout
    # All is known by now, so that each policy has judged.
    assert "[advisory]  eks-deletion-protection" in told
    assert "[mandatory]" not in told


BROKEN = {
    "components/encryption_key.py": "enable_key_rotation=True",
    "components/job_namespace.py": "automount_service_account_token=False",
}
"""What a policy demands: one of a resource alone, one of others beside it."""


def test_what_breaks_a_policy_ends_the_preview_and_is_told(platform: Clone) -> None:
    opposite = {"True": "False", "False": "True"}
    before = {name: (platform.directory / name).read_text() for name in BROKEN}
    for name, right in BROKEN.items():
        key, _, value = right.partition("=")
        assert before[name].count(right) == 1
        broken = before[name].replace(right, f"{key}={opposite[value]}")
        (platform.directory / name).write_text(broken)
    done = subprocess.run(
        [".ci/preview", "sandbox"],
        cwd=platform.directory,
        env=platform.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    for name, text in before.items():
        (platform.directory / name).write_text(text)
    assert done.returncode != 0
    comment = (platform.directory / "comment.md").read_text()
    assert "### `sandbox`: the preview failed" in comment
    assert "- **refused**: `key-rotated`, `platform-key`: `A key is exchanged" in comment
    assert "- **refused**: `namespace-default-account`, `pods-namespace`: " in comment
    assert "- warning: `eks-deletion-protection`" in comment


def test_a_refresh_finds_no_drift(platform: Clone) -> None:
    platform.pulumi("refresh", "--yes", "--expect-no-changes")


def test_the_state_holds_no_secret_in_plain_text(platform: Clone) -> None:
    state = platform.pulumi("stack", "export").stdout
    assert platform.environment["AWS_SECRET_ACCESS_KEY"] not in state
    connections = [r for r in platform.resources() if r["type"].endswith(":SecretVersion")]
    assert connections
    for connection in connections:
        assert "ciphertext" in connection["inputs"]["secretString"], connection["urn"]


def _refused(clone: Clone, namespace: str, **spec: Any) -> str:  # noqa: ANN401
    """Why the API server takes no such pod; "" if it does."""
    container = {
        "name": "base",
        "image": "busybox",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": spec.pop("resources", {}),
    }
    harmless = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "metadata": {"name": "tried"},
        "spec": {"containers": [container], "securityContext": harmless, **spec},
    }
    core: Any = CoreV1Api(clone.kubernetes)
    try:
        core.create_namespaced_pod(namespace, pod, dry_run="All")
    except ApiException as error:
        return str(json.loads(error.body or "")["message"])
    return ""


@pytest.mark.parametrize("namespace", ["mwaa", "emr-mwaa"])
def test_no_pod_gets_past_the_quota(platform: Clone, namespace: str) -> None:
    def refused(**resources: dict[str, str]) -> str:
        return _refused(platform, namespace, resources=resources)

    assert refused() == ""
    assert refused(requests={"cpu": "2"}, limits={"memory": "4Gi"}) == ""
    for counted in ("cpu", "memory", "ephemeral-storage"):
        assert f"minimum {counted} usage per Container is" in refused(requests={counted: "0"})
        assert f"requests.{counted}=9Ti, used: " in refused(
            requests={counted: "9Ti"}, limits={counted: "9Ti"}
        )
    for critical in ("system-cluster-critical", "system-node-critical"):
        assert "exceeded quota: no-critical-pods" in _refused(
            platform, namespace, priorityClassName=critical
        )
    claim = {
        "metadata": {"name": "tried"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "16Ti"}},
        },
    }
    core: Any = CoreV1Api(platform.kubernetes)
    with pytest.raises(ApiException, match=r"requested: requests\.storage=16Ti"):
        core.create_namespaced_persistent_volume_claim(namespace, claim, dry_run="All")


@pytest.mark.parametrize("namespace", ["mwaa", "emr-mwaa"])
def test_no_service_takes_traffic_that_is_for_others(platform: Clone, namespace: str) -> None:
    core: Any = CoreV1Api(platform.kubernetes)
    spec = {"selector": {"app": "tried"}, "ports": [{"port": 443}]}
    service = {"metadata": {"name": "tried"}, "spec": spec}
    core.create_namespaced_service(namespace, service, dry_run="All")
    for foreign, told in (
        ({"externalIPs": ["203.0.113.1"]}, "Services of jobs have no external IPs"),
        ({"type": "LoadBalancer"}, "exceeded quota: jobs"),
        ({"type": "NodePort"}, "exceeded quota: jobs"),
    ):
        with pytest.raises(ApiException, match=told):
            core.create_namespaced_service(
                namespace, {**service, "spec": {**spec, **foreign}}, dry_run="All"
            )


def test_no_pod_of_airflow_goes_without_limits(platform: Clone) -> None:
    for counted in ("memory", "ephemeral-storage"):
        limits = {counted: "9Ti"}
        told = _refused(
            platform, "mwaa", resources={"requests": {counted: "1Gi"}, "limits": limits}
        )
        assert f"requested: limits.{counted}=9Ti" in told
    assert "must be less than or equal to memory limit" in _refused(
        platform, "mwaa", resources={"requests": {"memory": "4Gi"}}
    )


def _set(clone: Clone, key: str, value: str) -> None:
    clone.pulumi("config", "set", "--path", key, value)


def test_a_changed_setting_updates_one_resource(platform: Clone) -> None:
    _set(platform, "cluster.nodeMax", "12")
    _set(platform, "airflow.environmentClass", "mw1.large")
    steps, _ = run(platform, "up", "--yes", "--skip-preview")
    assert {step[:2] for step in steps} == {
        ("update", NODE_BOUNDS),
        ("update", "aws:mwaa/environment:Environment"),
    }


def _nodes(clone: Clone) -> dict[str, int]:
    """The bounds and the size of the one node group, of which Kubernetes knows each node."""
    eks = clone.aws("eks")
    (group,) = eks.list_nodegroups(clusterName=NAME)["nodegroups"]
    found = eks.describe_nodegroup(clusterName=NAME, nodegroupName=group)["nodegroup"]
    scaling: dict[str, int] = found["scalingConfig"]
    assert len(clone.get("v1", "Node").items) == scaling["desiredSize"]
    return scaling


def _scale(clone: Clone, **scaling: int) -> None:
    """Change numbers of the node group, as the cluster autoscaler does, or somebody by hand."""
    eks = clone.aws("eks")
    (group,) = eks.list_nodegroups(clusterName=NAME)["nodegroups"]
    eks.update_nodegroup_config(clusterName=NAME, nodegroupName=group, scalingConfig=scaling)


@pytest.fixture
def no_autoscaler(platform: Clone) -> Iterator[None]:
    """The numbers stay what they are made, with nodes that are not needed."""
    apps: Any = AppsV1Api(platform.kubernetes)
    for replicas in (0, 1):
        body = {"spec": {"replicas": replicas}}
        apps.patch_namespaced_deployment_scale("cluster-autoscaler", "kube-system", body)
        if replicas == 0:
            yield


def test_the_changes_arrived_in_aws(platform: Clone) -> None:
    assert _nodes(platform) == {"minSize": 2, "desiredSize": 2, "maxSize": 12}
    environment = platform.aws("mwaa").get_environment(Name=NAME)["Environment"]
    assert environment["EnvironmentClass"] == "mw1.large"


@pytest.mark.parametrize(
    ("size", "changed", "after"),
    [
        (8, {"nodeMax": "14"}, {"minSize": 2, "desiredSize": 8, "maxSize": 14}),
        (3, {"nodeMin": "5"}, {"minSize": 5, "desiredSize": 5, "maxSize": 14}),
        (8, {"nodeMax": "6"}, {"minSize": 5, "desiredSize": 6, "maxSize": 6}),
        # The new group is made with the numbers of the first one.
        (
            6,
            {"nodeMin": "3", "nodeMax": "12", "instanceTypes[0]": "m8i.xlarge"},
            {"minSize": 3, "desiredSize": 3, "maxSize": 12},
        ),
    ],
    ids=["maximum raised", "minimum raised", "maximum lowered", "another group"],
)
@pytest.mark.usefixtures("no_autoscaler")
def test_the_autoscalers_node_count_moves_only_as_far_as_it_must(
    platform: Clone, size: int, changed: dict[str, str], after: dict[str, int]
) -> None:
    _scale(platform, desiredSize=size)
    for key, value in changed.items():
        _set(platform, f"cluster.{key}", value)
    platform.pulumi("up", "--yes", "--skip-preview")
    assert _nodes(platform) == after


def test_bounds_moved_by_hand_are_seen_by_refresh_and_moved_back(platform: Clone) -> None:
    before = _nodes(platform)
    _scale(platform, minSize=1, maxSize=20)
    platform.pulumi("refresh", "--yes")
    steps, _ = run(platform, "up", "--yes", "--skip-preview")
    assert {step[:2] for step in steps} == {("update", NODE_BOUNDS)}
    assert _nodes(platform) == before
    platform.pulumi("refresh", "--yes")  # what the group itself reports has changed with it
    platform.pulumi("preview", "--expect-no-changes")


def _fails(clone: Clone, verb: str, faults: dict[str, dict[str, dict[str, str]]]) -> str:
    """Run `pulumi` with these faults, and return what it printed."""
    file = clone.directory / ".sandbox/faults.json"
    file.write_text(json.dumps(faults))
    with mock.patch.dict(clone.environment, {"SANDBOX_FAULTS": str(file)}):
        done = clone.pulumi(verb, "--yes", "--skip-preview", check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_one_more_team_is_added_beside_the_others(platform: Clone) -> None:
    before = platform.outputs()
    _set(platform, "spark.teams[0].name", "mwaa")
    _set(platform, "spark.teams[1].name", "risk")
    steps, _ = run(platform, "preview")
    assert not [step for step in steps if step[1] in KEPT and step[0] != "create"]
    assert ("create", VIRTUAL_CLUSTER) in {(operation, kind) for operation, kind, _ in steps}
    # Besides what is new, only what lists the teams changes.
    assert {operation for operation, _, _ in steps} <= {"create", "update"}
    told = _fails(platform, "up", {VIRTUAL_CLUSTER: {"create": {"1": "throttle"}}})
    assert "ThrottlingException: Rate exceeded" in told
    platform.pulumi("up", "--yes", "--skip-preview")
    after = platform.outputs()
    assert after["virtual_cluster_ids"]["mwaa"] == before["virtual_cluster_ids"]["mwaa"]
    virtual_clusters = platform.aws("emr-containers").list_virtual_clusters()["virtualClusters"]
    assert {c["containerProvider"]["info"]["eksInfo"]["namespace"] for c in virtual_clusters} == {
        "emr-mwaa",
        "emr-risk",
    }


def _objects(clone: Clone) -> tuple[set[str], set[str]]:
    """The keys in the DAG bucket that Airflow sees, and all that there are versions of."""
    s3, bucket = clone.aws("s3"), clone.outputs()["dag_bucket"]
    seen = {one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    return seen, {one["Key"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]}


def test_no_version_of_a_dag_is_lost_with_its_file_or_to_a_pipeline(platform: Clone) -> None:
    before, _ = _objects(platform)
    file = platform.directory / "dags/short_lived.py"
    file.write_text("# no DAG yet\n")
    platform.pulumi("up", "--yes", "--skip-preview")
    assert _objects(platform)[0] == before | {"dags/short_lived.py"}
    file.unlink()
    platform.pulumi("up", "--yes", "--skip-preview")
    assert _objects(platform) == (before, before | {"dags/short_lived.py"})
    _set(platform, "airflow.dagDelivery", "pipeline")
    platform.pulumi("up", "--yes", "--skip-preview")
    assert _objects(platform) == (before, before | {"dags/short_lived.py"})
    _set(platform, "airflow.dagDelivery", "pulumi")
    platform.pulumi("up", "--yes", "--skip-preview")


def test_what_holds_data_or_identity_is_not_destroyed(platform: Clone) -> None:
    before, resources = _ids(platform), platform.resources()
    kept = {r["urn"].rpartition("::")[2] for r in resources if r.get("protect")}
    assert kept == {
        "airflow-environment",
        "cluster-cluster-eksCluster",
        "destroy-check",
        "dags-bucket",
        "jobs-bucket",
        "mwaa-virtual-cluster",
        "platform-key",
        "platform-vpc",
        "pods-namespace",
        "risk-virtual-cluster",
        "spark-mwaa-namespace",
        "spark-risk-namespace",
        *(f"platform-{kind}-us-west-2{z}" for kind in ("private", "public") for z in "abc"),
    }
    for options in ((), ("--skip-preview",)):
        destroyed = platform.pulumi("destroy", "--yes", *options, check=False)
        assert destroyed.returncode != 0
        assert "cannot be deleted\n    because it is protected" in destroyed.stdout
        assert _ids(platform) == before


def _ids(clone: Clone) -> dict[str, str | None]:
    """What there is, but for the plugins that the engine notes by itself."""
    found = (one for one in clone.resources() if ":providers:" not in one["type"])
    return {one["urn"]: one.get("id") for one in found}


def _cut_airflow_off(clone: Clone) -> str:
    ec2 = clone.aws("ec2")
    (rule,) = (
        rule
        for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
        if not rule["IsEgress"] and rule.get("FromPort") == 443 and "ReferencedGroupInfo" in rule
    )
    ec2.revoke_security_group_ingress(
        GroupId=rule["GroupId"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    return "SecurityGroupIngressRule"


def _shorten_log_retention(clone: Clone) -> str:
    clone.aws("logs").put_retention_policy(
        logGroupName=f"/aws/eks/{NAME}/cluster", retentionInDays=1
    )
    return "LogGroup"


def _grant_another_verb(clone: Clone) -> str:
    # In the place of one: the refresh does not see one more.
    group = "rbac.authorization.k8s.io/v1"
    (role,) = clone.get(group, "Role", namespace="mwaa").items
    role.rules[0].verbs[0] = "deletecollection"
    RbacAuthorizationV1Api(clone.kubernetes).replace_namespaced_role(
        role.metadata.name, "mwaa", role.to_dict()
    )
    return "Role"


def _let_the_bucket_be_public(clone: Clone) -> str:
    clone.aws("s3").put_public_access_block(
        Bucket=f"{NAME}-dags-123456789012",
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": False,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    return "BucketPublicAccessBlock"


def test_drift_made_by_hand_is_seen_by_refresh_and_mended(platform: Clone) -> None:
    kinds = {
        drift(platform)
        for drift in (
            _cut_airflow_off,
            _shorten_log_retention,
            _grant_another_verb,
            _let_the_bucket_be_public,
        )
    }
    refreshed = platform.pulumi("refresh", "--yes", "--expect-no-changes", check=False)
    assert refreshed.returncode != 0, "the refresh saw nothing"
    steps, _ = run(platform, "up", "--yes", "--skip-preview")
    # After a refresh, the engine also forgets providers that it had noted by itself.
    done = {kind for _, kind, _ in steps if not kind.startswith("pulumi:providers:")}
    assert {kind.rsplit(":", 1)[-1] for kind in done} == kinds
    platform.pulumi("refresh", "--yes", "--expect-no-changes")


def _start_pod_of(clone: Clone, template: str) -> None:
    """Let the default team have a pod of a template, as Spark makes it."""
    pod = yaml.safe_load((clone.directory / f"spark/pod-templates/{template}.yaml").read_text())
    pod["metadata"]["name"] = template
    pod["spec"]["restartPolicy"] = "Never"
    (container,) = pod["spec"]["containers"]
    container["image"] = "895885662937.dkr.ecr.us-west-2.amazonaws.com/spark/emr-7.14.0:latest"
    container["command"] = ["sleep", "3600"]
    CoreV1Api(clone.kubernetes).create_namespaced_pod("emr-mwaa", pod)


def test_executors_get_nodes_on_spot_capacity_and_drivers_do_not(platform: Clone) -> None:
    for key, value in {"instanceTypes[0]": "r7i.xlarge", "instanceTypes[1]": "r6i.xlarge"}.items():
        _set(platform, f"spark.spot.{key}", value)
    _set(platform, "spark.spot.max", "2")
    platform.pulumi("up", "--yes", "--skip-preview")
    core: Any = CoreV1Api(platform.kubernetes)
    before = len(core.list_node().items)
    for template in ("driver", "executor-spot"):
        _start_pod_of(platform, template)

    def on(template: str) -> str | None:
        """The kind of capacity that a pod runs on."""
        pod = core.read_namespaced_pod(template, "emr-mwaa")
        if pod.status.phase != "Running":
            return None
        labels = core.read_node(pod.spec.node_name).metadata.labels
        return str(labels["eks.amazonaws.com/capacityType"])

    wait_for(lambda: on("executor-spot") == "SPOT", "the executor on a new node")
    assert on("driver") == "ON_DEMAND"
    assert len(core.list_node().items) == before + 1
    # The number of nodes is the autoscaler's.
    platform.pulumi("preview", "--expect-no-changes")


def _start_job_run(clone: Clone) -> tuple[str, str]:
    outputs = clone.outputs()
    key, program = "mwaa/sleep.py", b"import time; time.sleep(3600)"
    clone.aws("s3").put_object(Bucket=outputs["job_bucket"], Key=key, Body=program)
    virtual_cluster: str = outputs["emrcontainers_virtual_cluster_id"]
    run: dict[str, Any] = clone.aws("emr-containers").start_job_run(
        virtualClusterId=virtual_cluster,
        name="still-running",
        executionRoleArn=outputs["emr_on_eks_role_arn"],
        releaseLabel="emr-7.14.0-latest",
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": f"s3://{outputs['job_bucket']}/{key}"}},
    )
    return virtual_cluster, run["id"]


def _claim_a_volume(clone: Clone) -> str:
    """Let a team's claim have a volume, and return its id."""
    core: Any = CoreV1Api(clone.kubernetes)
    node = core.list_node().items[0].metadata.name
    core.create_namespaced_persistent_volume_claim(
        "emr-mwaa",
        {
            # As if a pod that wants it had got this node.
            "metadata": {
                "name": "data",
                "annotations": {"volume.kubernetes.io/selected-node": node},
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    wait_for(lambda: _claim(core).status.phase == "Bound", "a volume")
    volume = core.read_persistent_volume(_claim(core).spec.volume_name)
    handle: str = volume.spec.csi.volume_handle
    return handle


def _claim(core: Any) -> Any:  # noqa: ANN401
    return core.read_namespaced_persistent_volume_claim("data", "emr-mwaa")


def _is_stopped_by_what_is_in_the_way(clone: Clone) -> None:
    """Let a destroy end before its first deletion, by AWS as it is now and not by the state."""
    eks, volume, before = clone.aws("eks"), _claim_a_volume(clone), _ids(clone)
    eks.update_cluster_config(name=NAME, deletionProtection=True)
    stopped = clone.pulumi("destroy", "--yes", "--skip-preview", "--continue-on-error", check=False)
    assert stopped.returncode != 0
    assert f"cluster {NAME} has deletion protection" in stopped.stdout
    (delete,) = re.findall(rf"volume {volume} holds .*?: `kubectl ([^`]+)`", stopped.stdout)
    assert _ids(clone) == before
    eks.update_cluster_config(name=NAME, deletionProtection=False)
    assert delete == "delete persistentvolumeclaim data --namespace emr-mwaa"
    CoreV1Api(clone.kubernetes).delete_namespaced_persistent_volume_claim("data", "emr-mwaa")
    ec2 = clone.aws("ec2")
    wait_for(lambda: not ec2.describe_volumes()["Volumes"], "the volume to go")


def _is_stopped_by_a_finalizer(clone: Clone) -> None:
    """Let a destroy end at a namespace in which an object waits for a controller that is gone."""
    core: Any = CoreV1Api(clone.kubernetes)
    where = ("left-by-an-operator", "emr-mwaa")
    metadata = V1ObjectMeta(name=where[0], finalizers=["example.com/never"])
    core.create_namespaced_config_map(where[1], V1ConfigMap(metadata=metadata))
    state = json.loads(clone.pulumi("stack", "export").stdout)
    for one in state["deployment"]["resources"]:
        if one["type"] == "kubernetes:core/v1:Namespace":
            one["customTimeouts"] = {"delete": 3}  # of ten minutes
    file = clone.directory / ".sandbox/shorter.json"
    file.write_text(json.dumps(state))
    clone.pulumi("stack", "import", "--file", str(file))
    stopped = clone.pulumi("destroy", "--yes", "--skip-preview", check=False)
    assert stopped.returncode != 0
    assert "finalizers might be preventing deletion" in stopped.stdout
    left = {one["type"] for one in clone.resources()}
    assert {"kubernetes:core/v1:Namespace", NODE_GROUP, "aws:kms/key:Key"} <= left
    core.patch_namespaced_config_map(*where, {"metadata": {"finalizers": None}})
    # The next destroy has no more time for them than this one had, and pods take some to end.
    wait_for(
        lambda: not [n for n in core.list_namespace().items if n.status.phase == "Terminating"],
        "the namespaces to go",
    )


def _let_others_use_the_cluster(clone: Clone) -> None:
    """Make what goes with the cluster, whose it is: an access entry and a pod identity."""
    eks = clone.aws("eks")
    eks.create_access_entry(
        clusterName=NAME, principalArn=clone.outputs()["emr_on_eks_role_arn"], type="STANDARD"
    )
    one, *_ = eks.list_pod_identity_associations(clusterName=NAME)["associations"]
    role = eks.describe_pod_identity_association(
        clusterName=NAME, associationId=one["associationId"]
    )["association"]["roleArn"]
    eks.create_pod_identity_association(
        clusterName=NAME, namespace="default", serviceAccount="theirs", roleArn=role
    )


def _sweep(clone: Clone, expected: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "operations.sweep", "--stack", "sandbox"],
        cwd=clone.directory,
        env=clone.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == expected, f"{done.stdout}{done.stderr}"
    return done.stdout


def _let_a_role_have_a_policy_of_others(clone: Clone) -> None:
    iam = clone.aws("iam")
    names: list[str] = [one["RoleName"] for one in iam.list_roles()["Roles"]]
    (role,) = (name for name in names if name.startswith("airflow-execution"))
    iam.attach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")


def test_destroy_leaves_nothing_even_while_a_job_run_is_active_and_after_a_failure(
    platform: Clone, empty: set[str]
) -> None:
    assert [n for n in platform.get("v1", "Node").items if "spot-nodes" in str(n.metadata.labels)]
    virtual_cluster, run = _start_job_run(platform)
    CoreV1Api(platform.kubernetes).create_namespaced_config_map(
        "emr-mwaa", V1ConfigMap(metadata=V1ObjectMeta(name="left-by-a-job"))
    )
    listed = _sweep(platform, 1)
    for what in ("cluster", "node group", "add-on", "access entry", "pod identity association"):
        assert f"\n- {what} " in listed
    platform.unprotect()
    _is_stopped_by_what_is_in_the_way(platform)
    _let_a_role_have_a_policy_of_others(platform)
    _let_others_use_the_cluster(platform)
    _is_stopped_by_a_finalizer(platform)
    told = _fails(platform, "destroy", {"aws:s3/bucket:Bucket": {"delete": {"1": "fail"}}})
    assert "InternalFailure" in told
    left = {one["type"] for one in platform.resources()}
    assert "aws:s3/bucket:Bucket" in left
    assert "aws:kms/key:Key" in left, "the key of what is in the bucket is gone"
    platform.pulumi("destroy", "--yes", "--skip-preview")
    assert _sweep(platform, 0).startswith("AWS deletes by itself: key ")
    assert everything(platform) - empty == set()
    assert empty - everything(platform) == set()
    state = platform.aws("emr-containers").describe_job_run(
        virtualClusterId=virtual_cluster, id=run
    )["jobRun"]["state"]
    assert state == "CANCELLED"
