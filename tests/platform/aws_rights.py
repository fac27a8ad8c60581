"""What the roles of a stack may do in AWS, tried with their credentials."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from unittest import mock

import boto3
from botocore.exceptions import ClientError

from sandbox.clone import Clone

Client: TypeAlias = Any
Call: TypeAlias = Callable[[Callable[[str], Client]], object]
Calls: TypeAlias = Mapping[str, Call]
"""What is tried, by the sentence that is true if it is allowed."""

NAME: Final = "mwaa-on-eks-sandbox"
ACCOUNT: Final = "123456789012"
DAGS, JOBS = (f"{NAME}-{kind}-{ACCOUNT}" for kind in ("dags", "jobs"))
BLUE: Final = f"airflow-{NAME}-blue-Task"
OTHERS: Final = "others/secret"
OWN: Final = f"airflow/{NAME}/connections/database"
"""A connection that a team has made by itself."""
_DENIED: Final = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


@dataclass(frozen=True)
class Identity:
    """A role of the stack, with what it may and what it may not."""

    role: str
    """The beginning of its name."""
    allowed: Calls
    denied: Calls


def _put(bucket: str, key: str) -> Call:
    return lambda of: of("s3").put_object(Bucket=bucket, Key=key, Body=b"")


def _get(bucket: str, key: str) -> Call:
    return lambda of: of("s3").get_object(Bucket=bucket, Key=key)


def _list(bucket: str, prefix: str = "") -> Call:
    return lambda of: of("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)


def _log(group: str) -> Call:
    return lambda of: of("logs").create_log_stream(logGroupName=group, logStreamName="tried")


def _metric(namespace: str) -> Call:
    return lambda of: of("cloudwatch").put_metric_data(
        Namespace=namespace, MetricData=[{"MetricName": "tried", "Value": 1}]
    )


def _secret(name: str) -> Call:
    return lambda of: of("secretsmanager").get_secret_value(SecretId=name)


def _job(virtual_cluster: str, role: str) -> Call:
    return lambda of: of("emr-containers").start_job_run(
        virtualClusterId=virtual_cluster,
        executionRoleArn=role,
        releaseLabel="emr-7.14.0-latest",
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": "local:///nothing.py"}},
    )


def _scale(group: str) -> Call:
    return lambda of: of("autoscaling").set_desired_capacity(
        AutoScalingGroupName=group, DesiredCapacity=0
    )


# What no role of a stack may.
NEVER: Final[Calls] = {
    "make a user": lambda of: of("iam").create_user(UserName="tried"),
    "give itself rights": lambda of: of("iam").attach_role_policy(
        RoleName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
    ),
    "let somebody into the cluster": lambda of: of("eks").create_access_entry(
        clusterName=NAME, principalArn=f"arn:aws:iam::{ACCOUNT}:role/admin"
    ),
    "give service accounts roles": lambda of: of("eks").create_pod_identity_association(
        clusterName=NAME,
        namespace="mwaa",
        serviceAccount="default",
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/admin",
    ),
    "be another role": lambda of: of("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/admin", RoleSessionName="tried"
    ),
    "read secrets of others": _secret(OTHERS),
    "rewrite DAGs": _put(DAGS, "dags/tried.py"),
    "delete DAGs": lambda of: of("s3").delete_object(Bucket=DAGS, Key="dags/tried.py"),
    "open the DAG bucket": lambda of: of("s3").delete_bucket_policy(Bucket=DAGS),
    "write logs of another environment": _log(BLUE),
    "stop encryption": lambda of: of("kms").disable_key(KeyId=f"alias/{NAME}"),
    "delete the cluster": lambda of: of("eks").delete_cluster(name=NAME),
    "delete the environment": lambda of: of("mwaa").delete_environment(Name=NAME),
    "start instances": lambda of: of("ec2").run_instances(MinCount=1, MaxCount=1),
    "end instances": lambda of: of("ec2").terminate_instances(InstanceIds=["i-1"]),
    "open security groups": lambda of: of("ec2").authorize_security_group_ingress(
        GroupId="sg-1", IpProtocol="-1", CidrIp="0.0.0.0/0"
    ),
}


def identities(clone: Clone) -> list[Identity]:
    """Return the roles of a stack with the teams mwaa and risk, pods' roles and workflows' ones."""
    outputs = clone.outputs()
    clusters, roles = outputs["virtual_cluster_ids"], outputs["job_role_arns"]
    return [
        Identity(
            "airflow-execution",
            allowed={
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "list DAGs": _list(DAGS),
                "write its logs": _log(f"airflow-{NAME}-Task"),
                "write Airflow's metrics": _metric("AmazonMWAA"),
                "read its connections": _secret(f"airflow/{NAME}/connections/eks"),
                "find the cluster": lambda of: of("eks").describe_cluster(name=NAME),
                "look at runs": lambda of: of("emr-containers").list_job_runs(
                    virtualClusterId=clusters["risk"]
                ),
                "write backups": _put(DAGS, "metadata-backups/tried"),
            },
            denied={
                "read data of jobs": _get(JOBS, "mwaa/tried"),
                "write data of jobs": _put(JOBS, "mwaa/tried"),
                "write logs of jobs": _log(f"/aws/emr-containers/{NAME}-mwaa"),
                "write metrics of others": _metric("Billing"),
                "start a run as another team": _job(clusters["mwaa"], roles["risk"]),
                "start a run as anybody": _job(
                    clusters["mwaa"], f"arn:aws:iam::{ACCOUNT}:role/admin"
                ),
                "be a job": lambda of: of("sts").assume_role(
                    RoleArn=roles["mwaa"], RoleSessionName="tried"
                ),
                "delete a virtual cluster": lambda of: of("emr-containers").delete_virtual_cluster(
                    id=clusters["mwaa"]
                ),
                "list clusters": lambda of: of("eks").list_clusters(),
            },
        ),
        *(
            Identity(
                f"{team}-job",
                allowed={
                    "write its data": _put(JOBS, f"{team}/tried"),
                    "read its data": _get(JOBS, f"{team}/tried"),
                    "list its data": _list(JOBS, f"{team}/"),
                    "read pod templates": _get(JOBS, "pod_templates/driver.yaml"),
                    "write its logs": _log(f"/aws/emr-containers/{NAME}-{team}"),
                },
                denied={
                    "write another team's data": _put(JOBS, f"{other}/tried"),
                    "read another team's data": _get(JOBS, f"{other}/tried"),
                    "list another team's data": _list(JOBS, f"{other}/"),
                    "list all data": _list(JOBS),
                    "write pod templates": _put(JOBS, "pod_templates/driver.yaml"),
                    "write data of a like-named team": _put(JOBS, f"{team}-2/tried"),
                    "write another team's logs": _log(f"/aws/emr-containers/{NAME}-{other}"),
                    "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                    "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                    "start a run": _job(clusters[team], roles[team]),
                    "find the cluster": lambda of: of("eks").describe_cluster(name=NAME),
                },
            )
            for team, other in (("mwaa", "risk"), ("risk", "mwaa"))
        ),
        *(
            Identity(
                f"{team}-history-role",
                allowed={
                    "read its team's event logs": _get(JOBS, f"{team}/spark-events/.keep"),
                    "list them": _list(JOBS, f"{team}/spark-events/"),
                },
                denied={
                    "write them": _put(JOBS, f"{team}/spark-events/tried"),
                    "read its team's data": _get(JOBS, f"{team}/tried"),
                    "list its team's data": _list(JOBS, f"{team}/"),
                    "read another team's event logs": _get(JOBS, f"{other}/spark-events/.keep"),
                    "list another team's event logs": _list(JOBS, f"{other}/spark-events/"),
                    "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                    "start a run": _job(clusters[team], roles[team]),
                },
            )
            for team, other in (("mwaa", "risk"), ("risk", "mwaa"))
        ),
        Identity(
            "autoscaler-role",
            allowed={
                "look at groups": lambda of: of("autoscaling").describe_auto_scaling_groups(),
                "look at instance types": lambda of: of("ec2").describe_instance_types(
                    InstanceTypes=["m7i.xlarge"]
                ),
                "scale the cluster's nodes": _scale("ours"),
            },
            denied={
                "scale what is not the cluster's": _scale("others"),
                "delete groups": lambda of: of("autoscaling").delete_auto_scaling_group(
                    AutoScalingGroupName="ours"
                ),
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
            },
        ),
        Identity(
            "pods-reader-role",
            allowed={"read what its policy says": _list(DAGS)},
            denied={
                "write that": _put(JOBS, "mwaa/tried"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                "start a run": _job(clusters["mwaa"], roles["mwaa"]),
            },
        ),
        Identity(
            "delivery-preview",
            allowed={
                "look at what AWS offers": lambda of: of("eks").describe_addon_versions(),
                "read the state": _get("state-of-stacks", "platform/tried"),
                "see who wrote DAGs": lambda of: of("s3").list_object_versions(Bucket=DAGS),
                "see who wrote pod templates": lambda of: of("s3").list_object_versions(
                    Bucket=JOBS, Prefix="pod_templates/"
                ),
            },
            denied={
                "write the state": _put("state-of-stacks", "platform/tried"),
                "read the state of others": _get("state-of-stacks", "others/tried"),
                "see what data teams have": lambda of: of("s3").list_object_versions(Bucket=JOBS),
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                "use the key": lambda of: of("kms").encrypt(
                    KeyId=f"alias/{NAME}", Plaintext=b"tried"
                ),
                "start a run": _job(clusters["mwaa"], roles["mwaa"]),
                "find the cluster": lambda of: of("eks").describe_cluster(name=NAME),
            },
        ),
        Identity(
            "delivery-drift",
            allowed={
                "look at the environment": lambda of: of("mwaa").get_environment(Name=NAME),
                "look at the cluster": lambda of: of("eks").describe_cluster(name=NAME),
                "compare DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "compare what keeps places of event logs": _get(JOBS, "mwaa/spark-events/.keep"),
                "compare pod templates": _get(JOBS, "pod_templates/driver.yaml"),
                "compare the program's connections": _secret(f"airflow/{NAME}/connections/eks"),
                "read the state": _get("state-of-stacks", "platform/tried"),
            },
            denied={
                "read a team's own connections": _secret(OWN),
                "read data of jobs": _get(JOBS, "mwaa/tried"),
                "write the state": _put("state-of-stacks", "platform/tried"),
                "write logs": _log(f"airflow-{NAME}-Task"),
                "start a run": _job(clusters["mwaa"], roles["mwaa"]),
                "use the key": lambda of: of("kms").encrypt(
                    KeyId=f"alias/{NAME}", Plaintext=b"tried"
                ),
            },
        ),
        Identity(
            "cluster-node",
            allowed={"pull images": lambda of: of("ecr").get_authorization_token()},
            denied={
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "read data of jobs": _get(JOBS, "mwaa/tried"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                "write logs": _log(f"airflow-{NAME}-Task"),
                "start a run": _job(clusters["mwaa"], roles["mwaa"]),
            },
        ),
    ]


def make_what_is_of_others(clone: Clone) -> None:
    """Let there be what the roles must not reach, so that it is not missing that stops them."""
    clone.aws("logs").create_log_group(logGroupName=BLUE)
    for secret in (OTHERS, OWN):
        clone.aws("secretsmanager").create_secret(Name=secret, SecretString="x")
    clone.aws("s3").create_bucket(
        Bucket="state-of-stacks", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    autoscaling = clone.aws("autoscaling")
    (launch_template,) = clone.aws("ec2").describe_launch_templates()["LaunchTemplates"]
    tag = {"Key": f"k8s.io/cluster-autoscaler/{NAME}", "Value": "owned", "PropagateAtLaunch": True}
    for group, tags in (("ours", [tag]), ("others", [])):
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=group,
            LaunchTemplate={"LaunchTemplateId": launch_template["LaunchTemplateId"]},
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=0,
            AvailabilityZones=["us-west-2a"],
            Tags=tags,
        )


def delete_what_is_of_others(clone: Clone) -> None:
    """Leave nothing of it to a destroy."""
    clone.aws("logs").delete_log_group(logGroupName=BLUE)
    for secret in (OTHERS, OWN):
        clone.aws("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    clone.aws("s3").delete_bucket(Bucket="state-of-stacks")
    for bucket, key in (
        (JOBS, "mwaa/tried"),
        (JOBS, "risk/tried"),
        (DAGS, "metadata-backups/tried"),
    ):
        clone.aws("s3").delete_object(Bucket=bucket, Key=key)
    for group in ("ours", "others"):
        clone.aws("autoscaling").delete_auto_scaling_group(
            AutoScalingGroupName=group, ForceDelete=True
        )


def wrong(clone: Clone) -> list[str]:
    """Return what a role may and should not, and what it may not and should."""
    found = []
    names = [one["RoleName"] for one in clone.aws("iam").list_roles()["Roles"]]
    for identity in identities(clone):
        (role,) = (name for name in names if name.startswith(f"{identity.role}-"))
        of = _clients(clone, role)
        found += [
            f"{identity.role} cannot {what}"
            for what, call in identity.allowed.items()
            if not _is_allowed(call, of)
        ]
        found += [
            f"{identity.role} can {what}"
            for what, call in {**identity.denied, **NEVER}.items()
            if _is_allowed(call, of)
        ]
    return found


def _clients(clone: Clone, role: str) -> Callable[[str], Client]:
    keys = clone.aws("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="tried"
    )["Credentials"]
    with mock.patch.dict(os.environ, clone.environment):
        session = _session()

    @functools.cache
    def client(service: str) -> Client:
        with mock.patch.dict(os.environ, clone.environment):
            return session.client(  # type: ignore[call-overload]
                service,
                aws_access_key_id=keys["AccessKeyId"],
                aws_secret_access_key=keys["SecretAccessKey"],
                aws_session_token=keys["SessionToken"],
            )

    return client


@functools.cache
def _session() -> boto3.Session:
    """One for all: each reads the descriptions of all services anew."""
    return boto3.Session()


def _is_allowed(call: Call, of: Callable[[str], Client]) -> bool:
    """Tell whether AWS refuses it for no want of a right: something else may be missing."""
    try:
        call(of)
    except ClientError as error:
        return error.response["Error"]["Code"] not in _DENIED
    return True
