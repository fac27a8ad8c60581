"""moto asks the policies of the role that a caller has assumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

Clients = Callable[[str], Any]

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:*"}
    ],
}
GLUE = "arn:aws:glue:us-west-2:123456789012"
LOGS = "arn:aws:logs:us-west-2:123456789012:log-group"
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            "Resource": "arn:aws:s3:::callers/ours/*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}},
        },
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::callers",
            "Condition": {"StringLike": {"s3:prefix": ["ours/*"]}},
        },
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [f"{LOGS}:/ours", f"{LOGS}:/ours:*"],
        },
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "arn:aws:secretsmanager:us-west-2:123456789012:secret:ours/*",
        },
        {
            "Effect": "Allow",
            "Action": "autoscaling:SetDesiredCapacity",
            "Resource": "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/*",
            "Condition": {"StringEquals": {"aws:ResourceTag/owner": "ours"}},
        },
        {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": "ours"}},
        },
        {
            "Effect": "Allow",
            "Action": "ecr:DescribeImages",
            "Resource": "arn:aws:ecr:us-west-2:123456789012:repository/ours",
        },
        {
            "Effect": "Allow",
            "Action": "eks:DescribeCluster",
            "Resource": "arn:aws:eks:us-west-2:123456789012:cluster/ours",
        },
        {
            "Effect": "Allow",
            "Action": "airflow:GetEnvironment",
            "Resource": "arn:aws:airflow:us-west-2:123456789012:environment/ours",
        },
        {
            "Effect": "Allow",
            "Action": ["glue:CreateTable", "glue:GetTable", "glue:GetTables"],
            "Resource": [f"{GLUE}:{one}" for one in ("catalog", "database/ours", "table/ours/*")],
        },
        {
            "Effect": "Allow",
            "Action": ["ec2:CreateTags", "ec2:CreateVolume"],
            "Resource": "arn:aws:ec2:*:*:volume/*",
            "Condition": {"StringEquals": {"aws:RequestTag/owner": "ours"}},
        },
        {
            "Effect": "Allow",
            "Action": ["ec2:DeleteVolume", "ec2:DetachVolume"],
            "Resource": "arn:aws:ec2:*:*:volume/*",
            "Condition": {"StringEquals": {"ec2:ResourceTag/owner": "ours"}},
        },
        {
            "Effect": "Allow",
            "Action": ["ec2:DescribeAvailabilityZones", "eks:DescribeAddonVersions"],
            "Resource": "*",
        },
    ],
}


@pytest.fixture(scope="module")
def role(emulators: dict[str, str]) -> Iterator[str]:
    """A role with that policy, in an account that holds what it may use and what it may not."""
    s3, logs = boto3.client("s3"), boto3.client("logs")
    secrets, scaling = boto3.client("secretsmanager"), boto3.client("autoscaling")
    glue = boto3.client("glue")
    template: Any = {"ImageId": "ami-1", "InstanceType": "m7i.large"}
    boto3.client("ec2").create_launch_template(
        LaunchTemplateName="callers", LaunchTemplateData=template
    )
    s3.create_bucket(
        Bucket="callers", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    for owner in ("ours", "theirs"):
        s3.put_object(Bucket="callers", Key=f"{owner}/there", Body=b"")
        logs.create_log_group(logGroupName=f"/{owner}")
        logs.create_log_stream(logGroupName=f"/{owner}", logStreamName="there")
        secrets.create_secret(Name=f"{owner}/one", SecretString="x")
        glue.create_database(DatabaseInput={"Name": owner})
        glue.create_table(DatabaseName=owner, TableInput={"Name": "there"})
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=owner,
            LaunchTemplate={"LaunchTemplateName": "callers"},
            MinSize=0,
            MaxSize=1,
            AvailabilityZones=["us-west-2a"],
            Tags=[{"Key": "owner", "Value": owner}],
        )
    iam = boto3.client("iam")
    arn: str = iam.create_role(RoleName="callers", AssumeRolePolicyDocument=json.dumps(TRUST))[
        "Role"
    ]["Arn"]
    inline, managed = (
        json.dumps({**POLICY, "Statement": statements})
        for statements in (POLICY["Statement"][:2], POLICY["Statement"][2:])
    )
    iam.put_role_policy(RoleName="callers", PolicyName="one", PolicyDocument=inline)
    # What it says by default counts, and nothing that it has said before.
    all_of_it = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    before = json.dumps({**POLICY, "Statement": all_of_it})
    attached = iam.create_policy(PolicyName="callers", PolicyDocument=before)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=attached, PolicyDocument=managed, SetAsDefault=True)
    iam.attach_role_policy(RoleName="callers", PolicyArn=attached)
    yield arn
    iam.detach_role_policy(RoleName="callers", PolicyArn=attached)
    iam.delete_policy_version(PolicyArn=attached, VersionId="v1")
    iam.delete_policy(PolicyArn=attached)
    iam.delete_role_policy(RoleName="callers", PolicyName="one")
    iam.delete_role(RoleName="callers")
    for owner in ("ours", "theirs"):
        for made in s3.list_objects_v2(Bucket="callers", Prefix=owner)["Contents"]:
            s3.delete_object(Bucket="callers", Key=made["Key"])
        logs.delete_log_group(logGroupName=f"/{owner}")
        secrets.delete_secret(SecretId=f"{owner}/one", ForceDeleteWithoutRecovery=True)
        glue.delete_database(Name=owner)
        scaling.delete_auto_scaling_group(AutoScalingGroupName=owner, ForceDelete=True)
    s3.delete_bucket(Bucket="callers")
    boto3.client("ec2").delete_launch_template(LaunchTemplateName="callers")


@pytest.fixture(scope="module")
def clients(role: str) -> Clients:
    """Clients of whoever has assumed the role."""
    found = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="someone")["Credentials"]
    session = boto3.Session(
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
    )
    return session.client  # type: ignore[return-value]


def _events(owner: str) -> dict[str, Any]:
    events = [{"timestamp": 1, "message": "x"}]
    return {"logGroupName": f"/{owner}", "logStreamName": "there", "logEvents": events}


CALLS: dict[str, Callable[[Clients, str], Any]] = {
    "s3:GetObject": lambda of, owner: of("s3").get_object(Bucket="callers", Key=f"{owner}/there"),
    "s3:PutObject": lambda of, owner: of("s3").put_object(Bucket="callers", Key=f"{owner}/new"),
    "s3:ListBucket": lambda of, owner: of("s3").list_objects_v2(
        Bucket="callers", Prefix=f"{owner}/"
    ),
    "s3:DeleteObject": lambda of, owner: of("s3").delete_objects(
        Bucket="callers", Delete={"Objects": [{"Key": f"{owner}/old"}, {"Key": f"{owner}/a&b"}]}
    ),
    "autoscaling:SetDesiredCapacity": lambda of, owner: of("autoscaling").set_desired_capacity(
        AutoScalingGroupName=owner, DesiredCapacity=0
    ),
    "cloudwatch:PutMetricData": lambda of, owner: of("cloudwatch").put_metric_data(
        Namespace=owner, MetricData=[{"MetricName": "new", "Value": 1}]
    ),
    "logs:CreateLogStream": lambda of, owner: of("logs").create_log_stream(
        logGroupName=f"/{owner}", logStreamName="new"
    ),
    "logs:PutLogEvents": lambda of, owner: of("logs").put_log_events(**_events(owner)),
    "glue:GetTable": lambda of, owner: of("glue").get_table(DatabaseName=owner, Name="there"),
    "glue:GetTables": lambda of, owner: of("glue").get_tables(DatabaseName=owner),
    "glue:CreateTable": lambda of, owner: of("glue").create_table(
        DatabaseName=owner, TableInput={"Name": "new"}
    ),
    "secretsmanager:GetSecretValue": lambda of, owner: of("secretsmanager").get_secret_value(
        SecretId=f"{owner}/one"
    ),
}


@pytest.mark.parametrize("action", CALLS)
def test_a_role_may_do_what_its_policies_allow_and_nothing_else(
    clients: Clients, action: str
) -> None:
    CALLS[action](clients, "ours")
    with pytest.raises(ClientError, match=f"not authorized to perform: {action} ") as refused:
        CALLS[action](clients, "theirs")
    assert refused.value.response["Error"]["Code"].startswith("AccessDenied")


def test_an_action_that_no_policy_names_is_refused(clients: Clients) -> None:
    with pytest.raises(ClientError, match="not authorized to perform: s3:GetObjectAcl "):
        clients("s3").get_object_acl(Bucket="callers", Key="ours/there")
    with pytest.raises(ClientError, match="403"):  # the answer to a HEAD has no message
        clients("s3").head_object(Bucket="callers", Key="theirs/there")


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("get_bucket_encryption", "GetEncryptionConfiguration"),
        ("get_bucket_ownership_controls", "GetBucketOwnershipControls"),
        ("get_public_access_block", "GetBucketPublicAccessBlock"),
        ("get_bucket_versioning", "GetBucketVersioning"),
    ],
)
def test_how_a_bucket_is_set_up_has_actions_of_its_own(
    clients: Clients, operation: str, action: str
) -> None:
    with pytest.raises(ClientError, match=f"not authorized to perform: s3:{action} "):
        getattr(clients("s3"), operation)(Bucket="callers")


# Of services in which each test's things are others'.
MISSING: dict[str, Callable[[Clients, str], Any]] = {
    "ecr:DescribeImages": lambda of, owner: of("ecr").describe_images(repositoryName=owner),
    "eks:DescribeCluster": lambda of, owner: of("eks").describe_cluster(name=owner),
    "airflow:GetEnvironment": lambda of, owner: of("mwaa").get_environment(Name=owner),
}


@pytest.mark.parametrize("action", MISSING)
def test_who_may_look_for_a_thing_finds_that_it_is_missing(clients: Clients, action: str) -> None:
    with pytest.raises(ClientError, match="NotFound"):
        MISSING[action](clients, "ours")
    with pytest.raises(ClientError, match=f"not authorized to perform: {action} "):
        MISSING[action](clients, "theirs")


ELSEWHERE: dict[str, Callable[[Clients], Any]] = {
    "airflow:CreateCliToken": lambda of: of("mwaa").create_cli_token(Name="ours"),
    "ec2:CreateVpc": lambda of: of("ec2").create_vpc(CidrBlock="10.0.0.0/16"),
    "eks:DeleteCluster": lambda of: of("eks").delete_cluster(name="ours"),
    "eks:ListClusters": lambda of: of("eks").list_clusters(),
    "eks:ListNodegroups": lambda of: of("eks").list_nodegroups(clusterName="ours"),
    "glue:GetDatabase": lambda of: of("glue").get_database(Name="ours"),
    "glue:GetDatabases": lambda of: of("glue").get_databases(),
    "iam:CreateUser": lambda of: of("iam").create_user(UserName="new"),
    "iam:GetRole": lambda of: of("iam").get_role(RoleName="callers"),
    "kms:CreateKey": lambda of: of("kms").create_key(),
    "secretsmanager:ListSecrets": lambda of: of("secretsmanager").list_secrets(),
    "sqs:ListQueues": lambda of: of("sqs").list_queues(),
    "sts:AssumeRole": lambda of: of("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/callers", RoleSessionName="again"
    ),
}


@pytest.mark.parametrize("action", ELSEWHERE)
def test_no_service_takes_a_role_at_its_word(clients: Clients, action: str) -> None:
    with pytest.raises(ClientError, match=f"not authorized to perform: {action} ") as refused:
        ELSEWHERE[action](clients)
    code = refused.value.response["Error"]["Code"]
    assert code.startswith("UnauthorizedOperation" if action.startswith("ec2:") else "AccessDenied")


def test_a_right_to_all_resources_is_one(clients: Clients) -> None:
    assert clients("ec2").describe_availability_zones()["AvailabilityZones"]
    asked = {"addonName": "coredns", "kubernetesVersion": "1.35"}
    assert clients("eks").describe_addon_versions(**asked)["addons"]


def test_everybody_may_ask_who_they_are(clients: Clients) -> None:
    assert clients("sts").get_caller_identity()["Arn"].endswith(":assumed-role/callers/someone")


def test_a_key_is_the_one_that_a_text_is_encrypted_with(role: str, clients: Clients) -> None:
    kms, iam = boto3.client("kms"), boto3.client("iam")
    ours, theirs = (kms.create_key()["KeyMetadata"] for _ in range(2))
    allow = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": ours["Arn"]}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    name = {"RoleName": role.rpartition("/")[2], "PolicyName": "key"}
    iam.put_role_policy(**name, PolicyDocument=document)
    one, other = (
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"] for key in (ours, theirs)
    )
    assert clients("kms").decrypt(CiphertextBlob=one)["Plaintext"] == b"x"
    with pytest.raises(ClientError, match="not authorized to perform: kms:Decrypt "):
        clients("kms").decrypt(CiphertextBlob=other)
    with pytest.raises(ClientError, match="not authorized to perform: kms:Encrypt "):
        clients("kms").encrypt(KeyId=ours["KeyId"], Plaintext=b"x")
    iam.delete_role_policy(**name)
    for key in (ours, theirs):
        kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)


def test_a_missing_object_is_missing_only_to_who_may_list_the_bucket(
    role: str, clients: Clients
) -> None:
    # Its key counts as the prefix.
    with pytest.raises(clients("s3").exceptions.NoSuchKey):
        clients("s3").get_object(Bucket="callers", Key="ours/none")
    iam = boto3.client("iam")
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::callers/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    name = {"RoleName": role.rpartition("/")[2], "PolicyName": "read"}
    iam.put_role_policy(**name, PolicyDocument=document)
    with pytest.raises(ClientError, match="not authorized to perform: s3:ListBucket "):
        clients("s3").get_object(Bucket="callers", Key="theirs/none")
    iam.delete_role_policy(**name)


def test_a_missing_secret_is_missing_only_to_who_may_read_it(clients: Clients) -> None:
    secrets = clients("secretsmanager")
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId="ours/none")
    with pytest.raises(ClientError, match="AccessDenied"):
        secrets.get_secret_value(SecretId="theirs/none")


def test_the_sandboxs_own_user_is_not_asked(role: str) -> None:
    assert role
    boto3.client("s3").head_object(Bucket="callers", Key="theirs/there")


def _volume(of: Clients, owner: str) -> str:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "owner", "Value": owner}]}]
    made = of("ec2").create_volume(AvailabilityZone="us-west-2a", Size=1, TagSpecifications=tags)
    return str(made["VolumeId"])


def test_volumes_are_made_and_deleted_by_their_tags(clients: Clients) -> None:
    ours, theirs = _volume(clients, "ours"), _volume(boto3.client, "theirs")  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="not authorized to perform: ec2:CreateVolume "):
        _volume(clients, "theirs")
    with pytest.raises(ClientError, match="not authorized to perform: ec2:DeleteVolume "):
        clients("ec2").delete_volume(VolumeId=theirs)
    with pytest.raises(
        ClientError,
        match="ec2:DetachVolume on resource: arn:aws:ec2:us-west-2:123456789012:instance/i-1",
    ):
        clients("ec2").detach_volume(VolumeId=ours, InstanceId="i-1")
    clients("ec2").delete_volume(VolumeId=ours)
    boto3.client("ec2").delete_volume(VolumeId=theirs)


ASSUME = "sts:AssumeRole"


@pytest.mark.parametrize(
    ("trusted", "given", "boundary", "assumed"),
    [
        ("role", None, None, True),
        ("role", "Deny", None, False),
        ("role", None, "s3:*", False),
        ("role", None, ASSUME, True),
        ("account", None, None, False),
        ("account", "Allow", None, True),
        ("root", "Allow", None, True),
        ("others", "Allow", None, False),
        ("service", "Allow", None, False),
    ],
)
def test_a_role_is_assumed_by_whom_it_trusts(
    role: str,
    clients: Clients,
    *,
    trusted: str,
    given: str | None,
    boundary: str | None,
    assumed: bool,
) -> None:
    iam = boto3.client("iam")
    others = iam.create_role(RoleName="others", AssumeRolePolicyDocument=json.dumps(TRUST))
    principals = {
        "role": {"AWS": [others["Role"]["Arn"], role]},
        "account": {"AWS": "123456789012"},
        "root": {"AWS": "arn:aws:iam::123456789012:root"},
        "others": {"AWS": others["Role"]["Arn"]},
        "service": {"Service": "ec2.amazonaws.com"},
    }
    trust = {"Effect": "Allow", "Principal": principals[trusted], "Action": ASSUME}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    wanted = iam.create_role(RoleName="wanted", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    try:
        if given:
            right = {"Effect": given, "Action": ASSUME, "Resource": wanted}
            text = json.dumps({"Version": "2012-10-17", "Statement": [right]})
            iam.put_role_policy(RoleName="callers", PolicyName="given", PolicyDocument=text)
        if boundary:
            limit = {"Effect": "Allow", "Action": boundary, "Resource": "*"}
            text = json.dumps({"Version": "2012-10-17", "Statement": [limit]})
            arn = iam.create_policy(PolicyName="limit", PolicyDocument=text)["Policy"]["Arn"]
            iam.put_role_permissions_boundary(RoleName="callers", PermissionsBoundary=arn)
        asked = {"RoleArn": wanted, "RoleSessionName": "one"}
        if assumed:
            assert clients("sts").assume_role(**asked)["Credentials"]
        else:
            with pytest.raises(ClientError, match=f"perform: {ASSUME} on resource: {wanted}"):
                clients("sts").assume_role(**asked)
    finally:
        if given:
            iam.delete_role_policy(RoleName="callers", PolicyName="given")
        if boundary:
            iam.delete_role_permissions_boundary(RoleName="callers")
            iam.delete_policy(PolicyArn="arn:aws:iam::123456789012:policy/limit")
        for name in ("wanted", "others"):
            iam.delete_role(RoleName=name)


def test_a_permissions_boundary_takes_away_with_every_service(role: str, clients: Clients) -> None:
    iam = boto3.client("iam")
    statement = {"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=document)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="callers", PermissionsBoundary=arn)
    try:
        assert clients("s3").get_object(Bucket="callers", Key="ours/there")
        with pytest.raises(ClientError, match="AccessDenied"):
            clients("eks").describe_cluster(name="ours")
        with pytest.raises(ClientError, match="AccessDenied"):
            clients("secretsmanager").get_secret_value(SecretId="ours/one")
    finally:
        iam.delete_role_permissions_boundary(RoleName="callers")
        iam.delete_policy(PolicyArn=arn)


def test_a_session_policy_is_refused_where_not_every_judge_would_know_it(role: str) -> None:
    with pytest.raises(ClientError, match="knows no session policies"):
        boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="one", Policy="{}")
