"""What the roles of a stack may do in AWS, tried with their credentials."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from unittest import mock

import botocore.session
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
LAKE: Final = "lake-of-others"
"""A bucket of which the team risk reads one prefix and writes another."""
IMPOSTOR: Final = "of-another-account"
"""A bucket of this account by a name that is to be another account's."""
OTHERS: Final = "others/secret"
OWN: Final = f"airflow/{NAME}/connections/database"
"""A connection that a team has made by itself."""
_DENIED: Final = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


@dataclass(frozen=True)
class Identity:
    """A role of the stack, with what it may and what it may not."""

    role: str
    """Its name, or the beginning of it before a hyphen."""
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


def _read_log(group: str) -> Call:
    return lambda of: of("logs").filter_log_events(logGroupName=group)


def _table(database: str) -> Call:
    return lambda of: of("glue").get_table(DatabaseName=database, Name="there")


def _new_table(database: str) -> Call:
    return lambda of: of("glue").create_table(DatabaseName=database, TableInput={"Name": "tried"})


def _metric(namespace: str) -> Call:
    return lambda of: of("cloudwatch").put_metric_data(
        Namespace=namespace, MetricData=[{"MetricName": "tried", "Value": 1}]
    )


def _tell(topic: str) -> Call:
    arn = f"arn:aws:sns:us-west-2:{ACCOUNT}:{topic}"
    return lambda of: of("sns").publish(TopicArn=arn, Message="tried")


def _secret(name: str) -> Call:
    return lambda of: of("secretsmanager").get_secret_value(SecretId=name)


def _job(virtual_cluster: str, role: str) -> Call:
    return lambda of: of("emr-containers").start_job_run(
        virtualClusterId=virtual_cluster,
        executionRoleArn=role,
        releaseLabel="none",  # so that nothing runs where it is allowed
        jobDriver={"sparkSubmitJobDriver": {"entryPoint": "local:///nothing.py"}},
    )


def _runs(virtual_cluster: str) -> Call:
    return lambda of: of("emr-containers").list_job_runs(virtualClusterId=virtual_cluster)


def _run(operation: str, virtual_cluster: str) -> Call:
    return lambda of: getattr(of("emr-containers"), operation)(
        virtualClusterId=virtual_cluster, id="0000000000000000000"
    )


def _be(role: str) -> Call:
    return lambda of: of("sts").assume_role(RoleArn=role, RoleSessionName="tried")


_OF_THE_CLUSTER: Final = {"Key": "ebs.csi.aws.com/cluster", "Value": "true"}


def _new_volume(*tags: dict[str, str]) -> Call:
    given = [{"ResourceType": "volume", "Tags": [*tags]}] if tags else []
    return lambda of: of("ec2").create_volume(
        AvailabilityZone="us-west-2a", Size=1, TagSpecifications=given, DryRun=True
    )


def _delete_volume(volume: str) -> Call:
    return lambda of: of("ec2").delete_volume(VolumeId=volume, DryRun=True)


def _volumes(clone: Clone) -> dict[str, str]:
    """Return the volumes that are there to be tried, by their names."""
    tried = {"Name": "tag:tried", "Values": ["*"]}
    found = clone.aws("ec2").describe_volumes(Filters=[tried])["Volumes"]
    return {
        next(tag["Value"] for tag in one["Tags"] if tag["Key"] == "tried"): one["VolumeId"]
        for one in found
    }


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
    "be another role": _be(f"arn:aws:iam::{ACCOUNT}:role/admin"),
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
    members, volumes = outputs["team_role_arns"]["risk"], _volumes(clone)
    lake: Calls = {
        "read its lake": _get(LAKE, "trades/there"),
        "list its lake": _list(LAKE, "trades/"),
        "read what it writes in its lake": _get(LAKE, "risk/there"),
        "write to its lake": _put(LAKE, "risk/tried"),
        "read tables": _table("trades"),
        "read tables that it writes": _table("risk"),
        "make tables": _new_table("risk"),
        "look for the default database": lambda of: of("glue").get_database(Name="default"),
    }
    beside: Calls = {
        "write what it reads of its lake": _put(LAKE, "trades/tried"),
        "read another prefix of its lake": _get(LAKE, "trades-2/there"),
        "list all its lake": _list(LAKE),
        "read a bucket that is not of whom it should be": _get(IMPOSTOR, "there"),
        "make tables in a database that it reads": _new_table("trades"),
        "read tables of the default database": _table("default"),
        "make a database": lambda of: of("glue").create_database(DatabaseInput={"Name": "tried"}),
        "delete its database": lambda of: of("glue").delete_database(Name="risk"),
    }
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
                "look at runs": _runs(clusters["risk"]),
                "write backups": _put(DAGS, "metadata-backups/tried"),
                "tell of failed tasks": _tell(f"{NAME}-alarms"),
            },
            denied={
                "tell of the key": _tell(f"{NAME}-key-alarms"),
                "silence alarms": lambda of: of("cloudwatch").disable_alarm_actions(
                    AlarmNames=[f"{NAME}-nodes-missing"]
                ),
                "read data of jobs": _get(JOBS, "mwaa/tried"),
                "write data of jobs": _put(JOBS, "mwaa/tried"),
                "write logs of jobs": _log(f"/aws/emr-containers/{NAME}-mwaa"),
                "write metrics of others": _metric("Billing"),
                "start a run as another team": _job(clusters["mwaa"], roles["risk"]),
                "start a run as anybody": _job(
                    clusters["mwaa"], f"arn:aws:iam::{ACCOUNT}:role/admin"
                ),
                "be a job": _be(roles["mwaa"]),
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
                    **(lake if team == "risk" else {}),
                },
                denied={
                    **(beside if team == "risk" else {**lake, **beside}),
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
            "risk-members",
            allowed={
                "start a run": _job(clusters["risk"], roles["risk"]),
                "look at its runs": _runs(clusters["risk"]),
                "look at a run": _run("describe_job_run", clusters["risk"]),
                "cancel a run": _run("cancel_job_run", clusters["risk"]),
                "read its logs": _read_log(f"/aws/emr-containers/{NAME}-risk"),
                "read its data": _get(JOBS, "risk/tried"),
                "write its data": _put(JOBS, "risk/tried"),
                "list its data": _list(JOBS, "risk/"),
                "find the cluster": lambda of: of("eks").describe_cluster(name=NAME),
            },
            denied={
                **lake,
                **beside,
                "start a run as another team": _job(clusters["risk"], roles["mwaa"]),
                "start a run of another team": _job(clusters["mwaa"], roles["mwaa"]),
                "look at another team's runs": _runs(clusters["mwaa"]),
                "look at a run of another team": _run("describe_job_run", clusters["mwaa"]),
                "cancel a run of another team": _run("cancel_job_run", clusters["mwaa"]),
                "read another team's logs": _read_log(f"/aws/emr-containers/{NAME}-mwaa"),
                "read Airflow's logs": _read_log(f"airflow-{NAME}-Task"),
                "write its logs": _log(f"/aws/emr-containers/{NAME}-risk"),
                "read another team's data": _get(JOBS, "mwaa/tried"),
                "list all data": _list(JOBS),
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                "be a job": _be(roles["risk"]),
                "delete a virtual cluster": lambda of: of("emr-containers").delete_virtual_cluster(
                    id=clusters["risk"]
                ),
            },
        ),
        Identity("analyst", allowed={"be a member of its team": _be(members)}, denied={}),
        Identity("viewer", allowed={}, denied={"be a member of a team": _be(members)}),
        Identity(
            "cluster-cni",
            allowed={
                "look at instances": lambda of: of("ec2").describe_instances(),
                "make network interfaces": lambda of: of("ec2").create_network_interface(
                    SubnetId="subnet-1", DryRun=True
                ),
            },
            denied={
                "make volumes": _new_volume(_OF_THE_CLUSTER),
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "read data of jobs": _get(JOBS, "mwaa/tried"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
                "pull images": lambda of: of("ecr").get_authorization_token(),
            },
        ),
        Identity(
            "addons-ebs-csi",
            allowed={
                "look at volumes": lambda of: of("ec2").describe_volumes(),
                "make volumes": _new_volume(_OF_THE_CLUSTER),
                "delete volumes": _delete_volume(volumes["ours"]),
            },
            denied={
                "make volumes that are not its own": _new_volume(),
                "delete volumes of others": _delete_volume(volumes["others"]),
                "make network interfaces": lambda of: of("ec2").create_network_interface(
                    SubnetId="subnet-1", DryRun=True
                ),
                "read DAGs": _get(DAGS, "dags/kubernetes_pod_example.py"),
                "read data of jobs": _get(JOBS, "mwaa/tried"),
                "read connections": _secret(f"airflow/{NAME}/connections/eks"),
            },
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


_IN_BUCKETS: Final = (
    *((LAKE, f"{prefix}/there") for prefix in ("trades", "trades-2", "risk")),
    (IMPOSTOR, "there"),
)
_DATABASES: Final = ("default", "trades", "risk")


def make_what_is_of_others(clone: Clone) -> None:
    """Let there be what the roles must not reach, so that it is not missing that stops them."""
    clone.aws("logs").create_log_group(logGroupName=BLUE)
    for secret in (OTHERS, OWN):
        clone.aws("secretsmanager").create_secret(Name=secret, SecretString="x")
    for bucket in ("state-of-stacks", LAKE, IMPOSTOR):
        clone.aws("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
        )
    for bucket, key in _IN_BUCKETS:
        clone.aws("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    for database in _DATABASES:
        clone.aws("glue").create_database(DatabaseInput={"Name": database})
        clone.aws("glue").create_table(DatabaseName=database, TableInput={"Name": "there"})
    volumes: dict[str, list[dict[str, str]]] = {"ours": [_OF_THE_CLUSTER], "others": []}
    for name, more in volumes.items():
        given = [{"Key": "tried", "Value": name}, *more]
        clone.aws("ec2").create_volume(
            AvailabilityZone="us-west-2a",
            Size=1,
            TagSpecifications=[{"ResourceType": "volume", "Tags": given}],
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
    for bucket, key in (
        *_IN_BUCKETS,
        (LAKE, "risk/tried"),
        (JOBS, "mwaa/tried"),
        (JOBS, "risk/tried"),
        (DAGS, "metadata-backups/tried"),
    ):
        clone.aws("s3").delete_object(Bucket=bucket, Key=key)
    for bucket in ("state-of-stacks", LAKE, IMPOSTOR):
        clone.aws("s3").delete_bucket(Bucket=bucket)
    for database in _DATABASES:
        clone.aws("glue").delete_database(Name=database)
    for volume in _volumes(clone).values():
        clone.aws("ec2").delete_volume(VolumeId=volume)
    for group in ("ours", "others"):
        clone.aws("autoscaling").delete_auto_scaling_group(
            AutoScalingGroupName=group, ForceDelete=True
        )


def wrong(clone: Clone) -> list[str]:
    """Return what a role may and should not, and what it may not and should."""
    found = []
    names = [one["RoleName"] for one in clone.aws("iam").list_roles()["Roles"]]
    with mock.patch.dict(os.environ, clone.environment):
        session = botocore.session.get_session()
    session.set_credentials("", "", "")
    of = functools.cache(functools.partial(_client, clone, session))
    for identity in identities(clone):
        (role,) = (
            name for name in names if name == identity.role or name.startswith(f"{identity.role}-")
        )
        _be_role(clone, session, role)
        found += [
            f"{identity.role} cannot {what}"
            for what, call in identity.allowed.items()
            if not _is_allowed(call, of)
        ]
        found += [
            f"{identity.role} can {what}"
            # What people may who assume a team's role, is no matter of the stack.
            for what, call in {
                **identity.denied,
                **(NEVER if role != identity.role else {}),
            }.items()
            if _is_allowed(call, of)
        ]
    return found


def _client(clone: Clone, session: botocore.session.Session, service: str) -> Client:
    """Return a client of whoever the session is: one for all, since each takes its time to make."""
    with mock.patch.dict(os.environ, clone.environment):
        return session.create_client(service)


def _be_role(clone: Clone, session: botocore.session.Session, role: str) -> None:
    keys = clone.aws("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="tried"
    )["Credentials"]
    credentials = session.get_credentials()
    assert credentials is not None
    credentials.access_key = keys["AccessKeyId"]
    credentials.secret_key = keys["SecretAccessKey"]
    credentials.token = keys["SessionToken"]


def _is_allowed(call: Call, of: Callable[[str], Client]) -> bool:
    """Tell whether AWS refuses it for no want of a right: something else may be missing."""
    try:
        call(of)
    except ClientError as error:
        return error.response["Error"]["Code"] not in _DENIED
    return True
