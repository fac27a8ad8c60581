"""The examples as the platform tests run them, changed or not, and what comes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubernetes.client import CoreV1Api

from sandbox.clone import Clone

NAME = "mwaa-on-eks-sandbox"
DAG_BUCKET = f"{NAME}-dags-123456789012"
JOB_BUCKET = f"{NAME}-jobs-123456789012"
POD, SPARK, REPORT = "kubernetes_pod_example", "emr_eks_pi_job", "emr_eks_sales_report"
FINAL = {"CANCELLED", "COMPLETED", "FAILED"}


@contextmanager
def changed(
    clone: Clone, dag: str, changes: Mapping[str, str], name: str = "changed"
) -> Iterator[str]:
    """A DAG that differs from an example in some of its text, delivered as MWAA would get it."""
    dag_id = f"{dag}_{name}"
    text = (clone.directory / "dags" / f"{dag}.py").read_text()
    for old, new in {**changes, f'dag_id="{dag}"': f'dag_id="{dag_id}"'}.items():
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r'"retries": \d+', '"retries": 0', text)
    text = re.sub(r"poll_interval=\d+", "poll_interval=1", text)
    s3, place = clone.aws("s3"), {"Bucket": DAG_BUCKET, "Key": f"dags/{dag_id}.py"}
    s3.put_object(**place, Body=text.encode())
    try:
        yield dag_id
    finally:
        s3.delete_object(**place)


def pods(clone: Clone, namespace: str = "mwaa") -> list[str]:
    core: Any = CoreV1Api(clone.kubernetes)
    return [pod.metadata.name for pod in core.list_namespaced_pod(namespace).items]


def nodes(clone: Clone) -> set[str]:
    core: Any = CoreV1Api(clone.kubernetes)
    return {node.metadata.name for node in core.list_node().items}


def job_runs(clone: Clone) -> list[dict[str, Any]]:
    """The job runs of the default team."""
    emr = clone.aws("emr-containers")
    (virtual_cluster,) = (
        one["id"]
        for one in emr.list_virtual_clusters(states=["RUNNING"])["virtualClusters"]
        if one["containerProvider"]["info"]["eksInfo"]["namespace"] == "emr-mwaa"
    )
    runs: list[dict[str, Any]] = emr.list_job_runs(virtualClusterId=virtual_cluster)["jobRuns"]
    return runs


@contextmanager
def without(clone: Clone, action: str) -> Iterator[None]:
    """Take the policy that allows an action from the execution role."""
    iam = clone.aws("iam")
    environment = clone.aws("mwaa").get_environment(Name=NAME)["Environment"]
    role = environment["ExecutionRoleArn"].rpartition("/")[2]
    inline = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    managed = {
        one["PolicyArn"]: iam.get_policy_version(
            PolicyArn=one["PolicyArn"],
            VersionId=iam.get_policy(PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"],
        )["PolicyVersion"]["Document"]
        for one in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    }
    (found,) = (
        name for name, document in (inline | managed).items() if action in json.dumps(document)
    )
    if found in managed:
        iam.detach_role_policy(RoleName=role, PolicyArn=found)
    else:
        iam.delete_role_policy(RoleName=role, PolicyName=found)
    try:
        yield
    finally:
        if found in managed:
            iam.attach_role_policy(RoleName=role, PolicyArn=found)
        else:
            iam.put_role_policy(
                RoleName=role, PolicyName=found, PolicyDocument=json.dumps(inline[found])
            )
