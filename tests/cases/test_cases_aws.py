"""What people met with MWAA, EKS and EMR on EKS, and does not happen here."""

from __future__ import annotations

import json
import re

from settings.sections import AirflowSettings
from tests.cases.conftest import ROOT, Program, Run

INGRESS = "vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ENVIRONMENT = "mwaa/environment:Environment"
ASSOCIATION = "eks/podIdentityAssociation:PodIdentityAssociation"
ADMIN = "arn:aws:iam::123456789012:role/admin"


# awslabs/data-on-eks #312, #399: tasks time out at the API server of a fresh deployment.
def test_airflows_own_group_is_let_into_the_clusters(program: Program) -> None:
    network = program.one(ENVIRONMENT).inputs["networkConfiguration"]
    rules = [
        rule.inputs
        for rule in program.all(INGRESS)
        if rule.inputs["securityGroupId"] == "sg-cluster"
    ]
    assert [rule["referencedSecurityGroupId"] for rule in rules] == network["securityGroupIds"]
    assert [(rule["fromPort"], rule["toPort"]) for rule in rules] == [(443, 443)]


# awslabs/data-on-eks #48, hashicorp/terraform-provider-aws #46633: a token in the kubeconfig ends
# in the middle of a long `up`.
def test_no_token_is_fetched_before_it_is_needed(program: Program) -> None:
    asked = {token for token in program.engine.asked if "/get" in token}
    assert "aws:eks/getClusterAuth:getClusterAuth" not in asked
    for provider in program.all("providers:kubernetes"):
        # As pulumi-eks writes it, with the command that fetches one.
        assert provider.inputs["kubeconfig"] == "{}"


# awslabs/data-on-eks #206: a virtual cluster is refused the namespace just after the cluster is up.
def test_a_virtual_cluster_waits_until_the_cluster_works(program: Program) -> None:
    before = program.before(program.one("emrcontainers/virtualCluster:VirtualCluster"))
    assert {*program.all("eks/addon:Addon"), program.one("eks/nodeGroup:NodeGroup")} <= before
    assert program.one("core/v1:Namespace", "spark-mwaa-namespace") in before
    assert "time:index/sleep:Sleep" not in {one.typ for one in program.engine.recorded.values()}


# awslabs/data-on-eks #255, terraform-aws-modules/terraform-aws-emr #11, #12, #17: a Role for EMR
# that was written by hand lacks rights.
def test_the_rights_of_emr_are_left_to_emr(program: Program) -> None:
    bindings = program.all("rbac.authorization.k8s.io/v1:RoleBinding")
    named = {subject["name"] for one in bindings for subject in one.inputs["subjects"]}
    assert not [name for name in named if "emr-containers" in name]
    assert "API" in program.one("index:Cluster").inputs["authenticationMode"]


# awslabs/data-on-eks #863, apache/airflow #71207: trust by an OIDC provider races, and outgrows
# the length of a trust policy.
def test_jobs_get_their_role_by_pod_identity(program: Program) -> None:
    assert not [one for one in program.engine.recorded.values() if "openIdConnect" in one.typ]
    for role, document in program.documents():
        if role.typ == "aws:iam/role:Role":
            assert len(json.dumps(document)) < 2048, role.name
            assert "oidc" not in json.dumps(document), role.name


# aws/containers-roadmap #2233, #2397: an association takes no pattern.
def test_the_accounts_of_jobs_are_named_in_full(program: Program) -> None:
    accounts = [one.inputs["serviceAccount"] for one in program.all(ASSOCIATION)]
    assert not [account for account in accounts if re.search(r"[*?]", account)]
    of_jobs = [account for account in accounts if account.startswith("emr-containers-sa-spark-")]
    kinds = {account.split("-")[4] for account in of_jobs}
    assert (len(of_jobs), kinds) == (3, {"client", "driver", "executor"})


# awslabs/cdk-eks-blueprints #1191, #1027: people and roles get in by aws-auth.
def test_who_may_enter_has_an_access_entry(program: Program) -> None:
    names = {
        one.inputs["metadata"]["name"]
        for one in program.engine.recorded.values()
        if one.typ.endswith(":ConfigMap")
    }
    assert "aws-auth" not in names
    airflow = program.one(ENVIRONMENT).inputs["executionRoleArn"]
    entries = program.all("eks/accessEntry:AccessEntry")
    assert airflow in {one.inputs["principalArn"] for one in entries}
    groups = {group for one in entries for group in one.inputs.get("kubernetesGroups") or []}
    assert "system:masters" not in groups


# aws-ia/terraform-aws-mwaa #22, #44, #60, #74: changed requirements never reach the environment.
def test_requirements_are_rolled_out_by_the_version_of_their_object(program: Program) -> None:
    inputs = program.one(ENVIRONMENT).inputs
    file = program.one("s3/bucketObjectv2:BucketObjectv2", "requirements.txt")
    assert inputs["requirementsS3Path"] == file.inputs["key"]
    assert inputs["requirementsS3ObjectVersion"] == "version-of-dags-requirements.txt"


# aws-ia/terraform-aws-mwaa #26: roles that may do everything with a service.
def test_no_role_may_do_everything_with_a_service(program: Program) -> None:
    for owner, document in program.documents():
        if owner.typ == "aws:kms/key:Key":
            continue  # whose own account must keep it
        for statement in document["Statement"]:
            actions = statement["Action"] if statement["Effect"] == "Allow" else []
            actions = [actions] if isinstance(actions, str) else actions
            wide = [action for action in actions if action.partition(":")[2] in {"", "*"}]
            assert not wide, f"{owner.name}: {wide}"


# hashicorp/terraform-provider-aws #37223, pulumi/pulumi-aws #5237: an environment whose endpoints
# are somebody else's stays PENDING.
def test_mwaa_makes_its_endpoints_itself(program: Program) -> None:
    given = program.one(ENVIRONMENT).inputs.get("endpointManagement")
    assert given in {None, "SERVICE"}


# hashicorp/terraform-provider-aws #32869: three hours pass before an environment without a way out
# has failed.
def test_the_environment_waits_for_its_way_out(program: Program) -> None:
    before = program.before(program.one(ENVIRONMENT))
    assert {*program.all("ec2/natGateway:NatGateway"), *program.all("ec2/route:Route")} <= before
    assert {*program.all("ec2/routeTableAssociation:RouteTableAssociation")} <= before


# aws-samples/amazon-mwaa-examples #76, #80: a second endpoint of a service conflicts in the names.
def test_a_service_has_one_endpoint(run: Run) -> None:
    program = run(network_interfaceEndpoints=["sts", "logs"])
    services = [
        one.inputs["serviceName"]
        for one in program.all("ec2/vpcEndpoint:VpcEndpoint")
        if one.inputs.get("privateDnsEnabled")
    ]
    assert len(services) == len(set(services))


# apache/airflow #60943: tasks that fetch a token at the same time are refused with 403.
def test_airflow_comes_with_a_botocore_that_writes_its_cache_in_one_piece() -> None:
    version = AirflowSettings().version
    lock = (ROOT / "sandbox/runs/requirements" / f"{version}.txt").read_text()
    (found,) = re.findall(r"^botocore==(\d+)\.(\d+)\.(\d+)", lock, flags=re.MULTILINE)
    assert tuple(map(int, found)) >= (1, 40, 2)


# rebuy-de/aws-nuke #1012, aws-samples/eks-workshop #1180: job runs keep a virtual cluster and its
# cluster from being deleted.
def test_job_runs_are_ended_first(program: Program) -> None:
    drain = program.one("dynamic:Resource", "mwaa-drain")
    before = program.before(drain)
    assert program.one("emrcontainers/virtualCluster:VirtualCluster") in before
    assert program.one("iam/rolePolicy:RolePolicy", "mwaa-job-policy") in before
    starting = program.one("iam/rolePolicyAttachment:RolePolicyAttachment", "airflow-jobs-1")
    assert drain in program.before(starting), "nobody starts another one meanwhile"


# aws/containers-roadmap #1007, kubernetes/kubernetes #83332: a namespace does not end once
# metrics-server is gone.
def test_namespaces_go_before_metrics_server(program: Program) -> None:
    metrics_server = program.one("eks/addon:Addon", "metrics-server")
    for namespace in program.all("core/v1:Namespace"):
        assert metrics_server in program.before(namespace), namespace.name


# terraform-aws-modules/terraform-aws-eks #2903, #2923, #3005: access goes before what it is needed
# to delete.
def test_access_outlives_what_is_in_the_cluster(run: Run) -> None:
    program = run(cluster_adminPrincipalArns=[ADMIN])
    grants = set(program.all("eks/accessPolicyAssociation:AccessPolicyAssociation"))
    for one in program.engine.recorded.values():
        if one.typ.startswith("kubernetes:"):
            assert grants <= program.before(one), one.name
