"""Each row of the table of the blueprint, found in the emulated AWS and in the API server."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

from sandbox.clone import Clone

NAME = "mwaa-on-eks-sandbox"
ACCOUNT = "123456789012"


def test_the_vpc_has_a_private_and_a_public_subnet_in_each_of_three_zones(platform: Clone) -> None:
    ec2 = platform.aws("ec2")
    (vpc,) = (v for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"])
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    of_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = ec2.describe_subnets(Filters=of_vpc)["Subnets"]
    by_size: dict[int, list[str]] = {}
    for subnet in subnets:
        assert not subnet["MapPublicIpOnLaunch"]
        size = IPv4Network(subnet["CidrBlock"]).prefixlen
        by_size.setdefault(size, []).append(subnet["AvailabilityZone"])
    assert {size: len(set(zones)) for size, zones in by_size.items()} == {20: 3, 24: 3}
    (gateway,) = ec2.describe_nat_gateways(Filters=of_vpc)["NatGateways"]
    assert gateway["State"] == "available"
    tables = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    routes = [route for table in tables for route in table["Routes"]]
    assert any(r.get("NatGatewayId") == gateway["NatGatewayId"] for r in routes)
    assert any(str(r.get("GatewayId")).startswith("igw-") for r in routes)
    endpoints = ec2.describe_vpc_endpoints(Filters=of_vpc)["VpcEndpoints"]
    assert ("Gateway", "com.amazonaws.us-west-2.s3") in {
        (e["VpcEndpointType"], e["ServiceName"]) for e in endpoints
    }
    (flow_log,) = ec2.describe_flow_logs()["FlowLogs"]
    assert flow_log["ResourceId"] == vpc["VpcId"]
    (closed,) = ec2.describe_security_groups(
        Filters=[*of_vpc, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    assert closed["IpPermissions"] == closed["IpPermissionsEgress"] == []


def test_the_cluster_is_private_encrypted_and_logs_everything(platform: Clone) -> None:
    cluster = platform.aws("eks").describe_cluster(name=NAME)["cluster"]
    assert cluster["status"] == "ACTIVE"
    assert cluster["version"] == "1.35"
    assert cluster["resourcesVpcConfig"]["endpointPrivateAccess"]
    assert "0.0.0.0/0" not in cluster["resourcesVpcConfig"]["publicAccessCidrs"]
    (encryption,) = cluster["encryptionConfig"]
    assert encryption["resources"] == ["secrets"]
    (logging,) = (kind for kind in cluster["logging"]["clusterLogging"] if kind["enabled"])
    assert set(logging["types"]) == {
        "api",
        "audit",
        "authenticator",
        "controllerManager",
        "scheduler",
    }
    assert cluster["accessConfig"]["authenticationMode"] == "API_AND_CONFIG_MAP"


def test_the_nodes_have_encrypted_disks_and_guarded_metadata(platform: Clone) -> None:
    eks, ec2 = platform.aws("eks"), platform.aws("ec2")
    (name,) = eks.list_nodegroups(clusterName=NAME)["nodegroups"]
    group = eks.describe_nodegroup(clusterName=NAME, nodegroupName=name)["nodegroup"]
    assert group["scalingConfig"] == {"minSize": 2, "maxSize": 9, "desiredSize": 2}
    assert group["amiType"] == "AL2023_x86_64_STANDARD"
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateId=group["launchTemplate"]["id"], Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    (disk,) = version["LaunchTemplateData"]["BlockDeviceMappings"]
    assert (disk["Ebs"]["VolumeSize"], disk["Ebs"]["VolumeType"]) == (50, "gp3")
    assert disk["Ebs"]["Encrypted"]
    metadata = version["LaunchTemplateData"]["MetadataOptions"]
    assert (metadata["HttpTokens"], metadata["HttpPutResponseHopLimit"]) == ("required", 1)
    assert len(platform.get("v1", "Node").items) == 2


def test_the_add_ons_of_the_blueprint_and_its_successors_are_there(platform: Clone) -> None:
    eks = platform.aws("eks")
    assert set(eks.list_addons(clusterName=NAME)["addons"]) == {
        "vpc-cni",
        "kube-proxy",
        "eks-pod-identity-agent",
        "coredns",
        "aws-ebs-csi-driver",
        "metrics-server",
    }
    cni = eks.describe_addon(clusterName=NAME, addonName="vpc-cni")["addon"]
    assert json.loads(cni["configurationValues"])["enableNetworkPolicy"] == "true"


def test_the_cluster_autoscaler_runs(platform: Clone) -> None:
    deployment = platform.get(
        "apps/v1", "Deployment", name="cluster-autoscaler", namespace="kube-system"
    )
    assert deployment.status.readyReplicas
    image = deployment.spec.template.spec.containers[0].image
    assert ":v1.35." in image


def test_one_storage_class_is_the_default_and_encrypts(platform: Clone) -> None:
    default = [
        found
        for found in platform.get("storage.k8s.io/v1", "StorageClass").to_dict()["items"]
        if found["metadata"]
        .get("annotations", {})
        .get("storageclass.kubernetes.io/is-default-class")
        == "true"
    ]
    (parameters,) = (found["parameters"] for found in default)
    assert (parameters["type"], parameters["encrypted"]) == ("gp3", "true")
    key = platform.aws("kms").describe_key(KeyId="alias/mwaa-on-eks-sandbox")["KeyMetadata"]
    assert parameters["kmsKeyId"] == key["Arn"]


def test_airflow_is_available_with_its_logs_and_requirements(platform: Clone) -> None:
    found = platform.aws("mwaa").get_environment(Name=NAME)["Environment"]
    assert found["Status"] == "AVAILABLE"
    assert found["AirflowVersion"] == "3.3.1"
    assert found["RequirementsS3ObjectVersion"] not in {"", "null", None}
    configured = found["LoggingConfiguration"]
    assert set(configured) == {
        "DagProcessingLogs",
        "SchedulerLogs",
        "TaskLogs",
        "WebserverLogs",
        "WorkerLogs",
    }
    assert all(log["Enabled"] and log["LogLevel"] == "INFO" for log in configured.values())
    groups = {
        group["logGroupName"]: group.get("retentionInDays")
        for group in platform.aws("logs").describe_log_groups()["logGroups"]
    }
    for kind in ("DAGProcessing", "Scheduler", "Task", "WebServer", "Worker"):
        assert groups[f"airflow-{NAME}-{kind}"] == 365


def test_the_dag_bucket_is_versioned_and_holds_the_requirements(platform: Clone) -> None:
    s3, bucket = platform.aws("s3"), f"{NAME}-dags-{ACCOUNT}"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    keys = {found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert "requirements.txt" in keys
    found = platform.aws("mwaa").get_environment(Name=NAME)["Environment"]
    head = s3.head_object(Bucket=bucket, Key=found["RequirementsS3Path"])
    assert head["VersionId"] == found["RequirementsS3ObjectVersion"]


def test_the_virtual_cluster_stands_for_the_namespace_of_its_team(platform: Clone) -> None:
    (found,) = platform.aws("emr-containers").list_virtual_clusters()["virtualClusters"]
    assert found["state"] == "RUNNING"
    assert found["containerProvider"]["id"] == NAME
    assert found["containerProvider"]["info"]["eksInfo"]["namespace"] == "emr-mwaa"
    associations = platform.aws("eks").list_pod_identity_associations(
        clusterName=NAME, namespace="emr-mwaa"
    )["associations"]
    accounts = {association["serviceAccount"] for association in associations}
    assert {account.split("-sa-spark-")[1].split("-")[0] for account in accounts} == {
        "client",
        "driver",
        "executor",
    }


def test_airflow_may_start_pods_in_its_namespace_through_a_role_that_exists(
    platform: Clone,
) -> None:
    group = "rbac.authorization.k8s.io/v1"
    (binding,) = platform.get(group, "RoleBinding", namespace="mwaa").items
    role = platform.get(group, "Role", name=binding.roleRef.name, namespace="mwaa")
    assert {(r.resources[0], tuple(r.verbs)) for r in role.rules} >= {("pods/log", ("get",))}
    (subject,) = binding.subjects
    execution_role = platform.aws("mwaa").get_environment(Name=NAME)["Environment"][
        "ExecutionRoleArn"
    ]
    entry = platform.aws("eks").describe_access_entry(
        clusterName=NAME, principalArn=execution_role
    )["accessEntry"]
    assert (subject.kind, [subject.name]) == ("Group", entry["kubernetesGroups"])


def test_the_connections_that_the_dags_read_are_there(platform: Clone) -> None:
    secrets, outputs = platform.aws("secretsmanager"), platform.outputs()
    prefix = f"airflow/{NAME}/connections"
    emr = json.loads(secrets.get_secret_value(SecretId=f"{prefix}/emr_eks")["SecretString"])
    assert emr["extra"]["virtual_cluster_id"] == outputs["emrcontainers_virtual_cluster_id"]
    assert emr["extra"]["job_role_arn"] == outputs["emr_on_eks_role_arn"]
    eks = json.loads(secrets.get_secret_value(SecretId=f"{prefix}/eks")["SecretString"])
    assert (eks["extra"]["cluster_name"], eks["extra"]["namespace"]) == (NAME, "mwaa")


def test_the_outputs_of_the_blueprint_keep_their_names(platform: Clone) -> None:
    outputs = platform.outputs()
    assert outputs["configure_kubectl"].endswith(
        f"update-kubeconfig --region us-west-2 --name {NAME}"
    )
    assert outputs["emr_on_eks_role_arn"].startswith(f"arn:aws:iam::{ACCOUNT}:role/")
