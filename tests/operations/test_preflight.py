"""What the preflight finds, in moto's account and in answers that AWS would give."""

from __future__ import annotations

import base64
import importlib.resources
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto import mock_aws

from operations.identities import _FINDERS, Account
from operations.preflight import __main__ as command
from operations.preflight import checks, quotas, rights
from operations.preflight.plan import Plan
from operations.preflight.result import Result, Verdict
from operations.stack import Stack, StackError

Json = Any
NUMBER, REGION = "123456789012", "us-west-2"
CALLER = f"arn:aws:iam::{NUMBER}:user/me"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
NO_STATE: Json = {"deployment": {"resources": []}}
OK, WARN, FAIL, OPEN = Verdict.OK, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN

PROVIDER = {
    "op": "create",
    "newState": {
        "urn": "urn:aws",
        "type": "pulumi:providers:aws",
        "inputs": {"region": REGION, "allowedAccountIds": f'["{NUMBER}"]'},
    },
}


def step(kind: str, *, auto: bool = False, sources: Json = None, **inputs: Json) -> Json:
    urn = f"urn:{kind}:{json.dumps(inputs, sort_keys=True)}"
    told = inputs | ({"__defaults": ["name"]} if auto else {})
    state = {"urn": urn, "type": kind, "inputs": told, "propertyDependencies": sources or {}}
    return {"op": "create", "newState": state}


def preview(*steps: Json) -> Json:
    return {"steps": [PROVIDER, *steps]}


def plan(*steps: Json) -> Plan:
    return Plan(preview(*steps), NO_STATE)


CLUSTER = step(
    "aws:eks/cluster:Cluster",
    name="team",
    version="1.35",
    vpcConfig={"endpointPublicAccess": True, "publicAccessCidrs": ["192.0.2.0/24"]},
)
NODES = step(
    "aws:eks/nodeGroup:NodeGroup",
    auto=True,
    clusterName=UNKNOWN,
    nodeGroupName="nodes-1",
    instanceTypes=["m7i.xlarge", "m6i.xlarge"],
    scalingConfig={"minSize": 3, "maxSize": 9},
    version="1.35",
)
SUBNET = step("aws:ec2/subnet:Subnet", availabilityZone="us-west-2a", vpcId=UNKNOWN)
VPC = step("aws:ec2/vpc:Vpc", cidrBlock="10.0.0.0/16")
ENVIRONMENT = step(
    "aws:mwaa/environment:Environment",
    name="team",
    airflowVersion="3.3.1",
    environmentClass="mw1.medium",
    maxWorkers=10,
    maxWebservers=2,
)


@pytest.fixture(scope="module")
def clients() -> Iterator[Account]:
    """Clients for all tests, since each one takes a while to make."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield Account(REGION, Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def account(clients: Account) -> Iterator[Account]:
    """An account that is empty for each test."""
    with mock_aws():
        yield clients


def test_what_is_known_of_a_plan_is_what_does_not_come_from_aws() -> None:
    what = plan(NODES, step("aws:ec2/vpc:Vpc", tags={"a": UNKNOWN, "b": "c"}, ids=[UNKNOWN, "d"]))
    (nodes,), (vpc,) = what.of("aws:eks/nodeGroup:NodeGroup"), what.of("aws:ec2/vpc:Vpc")
    assert "clusterName" not in nodes.inputs
    assert nodes.named_by_pulumi
    assert vpc.inputs == {"tags": {"b": "c"}, "ids": ["d"]}
    assert (what.region, what.accounts) == (REGION, (NUMBER,))
    assert what.counts() == {"aws:eks/nodeGroup:NodeGroup": 1, "aws:ec2/vpc:Vpc": 1}


def test_what_is_added_to_a_live_stack_is_known_by_what_there_is() -> None:
    state = {"deployment": {"resources": [PROVIDER["newState"], CLUSTER["newState"]]}}
    added = step(
        "aws:eks/addon:Addon",
        addonName="coredns",
        clusterName=UNKNOWN,
        sources={"clusterName": [CLUSTER["newState"]["urn"]]},
    )
    what = Plan({"steps": [added]}, state)
    assert (what.region, what.accounts) == (REGION, (NUMBER,))
    assert what.counts() == {"aws:eks/addon:Addon": 1}
    asked, _ = rights.requests(what, "aws", NUMBER)
    assert f"arn:aws:eks:{REGION}:{NUMBER}:addon/team/coredns/0" in {one.arn for one in asked}


def test_only_what_is_made_counts() -> None:
    kept = {**VPC, "op": "update"}
    replaced = {**SUBNET, "op": "replace"}
    assert plan(kept, replaced).counts() == {"aws:ec2/subnet:Subnet": 1}


# -- names


def test_names_that_somebody_has_are_named_with_the_way_out(account: Account) -> None:
    client = account.client
    client("logs").create_log_group(logGroupName="airflow-team-Task")
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("kms").create_alias(AliasName="alias/team", TargetKeyId=key)
    client("s3").create_bucket(
        Bucket="team-dags", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    client("secretsmanager").create_secret(Name="airflow/eks", SecretString="{}")
    client("secretsmanager").create_secret(Name="airflow/gone", SecretString="{}")
    client("secretsmanager").delete_secret(SecretId="airflow/gone")
    trust = '{"Version": "2012-10-17", "Statement": []}'
    client("iam").create_role(RoleName="team-view", AssumeRolePolicyDocument=trust)
    client("events").put_rule(Name="team-key", EventPattern='{"source": ["x"]}')
    client("cloudwatch").put_dashboard(DashboardName="team", DashboardBody='{"widgets": []}')
    results = checks._names(
        account,
        plan(
            step("aws:cloudwatch/dashboard:Dashboard", dashboardName="team"),
            step("aws:cloudwatch/dashboard:Dashboard", dashboardName="team-2"),
            step("aws:cloudwatch/eventRule:EventRule", name="team-key"),
            step("aws:cloudwatch/eventRule:EventRule", name="team-jobs"),
            step("aws:cloudwatch/logGroup:LogGroup", name="airflow-team-Task"),
            step("aws:cloudwatch/logGroup:LogGroup", name="airflow-team"),
            step("aws:kms/alias:Alias", name="alias/team"),
            step("aws:s3/bucket:Bucket", bucket="team-dags"),
            step("aws:s3/bucket:Bucket", bucket="team-jobs"),
            step("aws:secretsmanager/secret:Secret", name="airflow/eks"),
            step("aws:secretsmanager/secret:Secret", name="airflow/gone"),
            step("aws:secretsmanager/secret:Secret", name="airflow/new"),
            step("aws:iam/role:Role", name="team-view"),
            step("aws:iam/role:Role", name="team-1234567", auto=True),
        ),
    )
    assert [one.found for one in results] == [
        "team exists",
        "team-key exists",
        "airflow-team-Task exists",
        "alias/team exists",
        "team-dags exists",
        "airflow/eks exists",
        "airflow/gone is deleted, and its name held until its recovery window ends",
        "team-view exists",
        "5 are free",
    ]
    assert all(one.verdict is FAIL and one.to_do for one in results[:-1])


def test_a_bucket_of_somebody_else_is_taken(account: Account) -> None:
    what = plan(step("aws:s3/bucket:Bucket", bucket="data"))
    with Stubber(account.client("s3")) as s3:
        s3.add_client_error("head_bucket", "403", http_status_code=403)
        (result,) = checks._names(account, what)
    assert result.verdict is FAIL
    assert "belongs to somebody else" in result.found


def test_a_name_that_may_not_be_looked_up_is_unknown(account: Account) -> None:
    what = plan(step("aws:iam/role:Role", name="team-view"))
    with Stubber(account.client("iam")) as iam:
        iam.add_client_error("get_role", "AccessDenied")
        (result,) = checks._names(account, what)
    assert (result.verdict, result.found) == (OPEN, "team-view: AccessDenied")


# -- quotas


def test_a_quota_that_is_used_up_fails_and_says_how_to_raise_it(account: Account) -> None:
    for block in range(4):  # and the default VPC
        account.client("ec2").create_vpc(CidrBlock=f"10.{block}.0.0/16")
    (compare,) = quotas.check_quotas(account, plan(VPC))
    (result,) = compare()
    assert (result.found, result.verdict) == ("5 of 5 in use, 1 wanted", FAIL)
    assert "--service-code vpc --quota-code L-F678F1CE" in result.to_do


def test_nat_gateways_count_where_their_subnet_is(account: Account) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for zone, block in ("us-west-2a", "10.0.0.0/24"), ("us-west-2b", "10.0.1.0/24"):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)
        ec2.create_nat_gateway(SubnetId=subnet["Subnet"]["SubnetId"])
    sources = {"subnetId": [SUBNET["newState"]["urn"]]}
    nat = step("aws:ec2/natGateway:NatGateway", subnetId=UNKNOWN, sources=sources)
    results = [
        one for compare in quotas.check_quotas(account, plan(SUBNET, nat)) for one in compare()
    ]
    assert [(one.check, one.found) for one in results] == [
        ("quota: NAT gateways in us-west-2a", "1 of 5 in use, 1 wanted")
    ]


def test_a_quota_that_nobody_tells_is_unknown(account: Account) -> None:
    with Stubber(account.client("service-quotas")) as service:
        service.add_client_error("get_service_quota", "AccessDeniedException")
        (compare,) = quotas.check_quotas(account, plan(VPC))
        (result,) = compare()
    assert result.verdict is OPEN
    assert "AccessDeniedException" in result.found


def test_nodes_may_be_fewer_than_the_autoscaler_would_ask_for(account: Account) -> None:
    image = account.client("ec2").describe_images()["Images"][0]["ImageId"]
    running = {"ImageId": image, "MinCount": 4, "MaxCount": 4, "InstanceType": "m5.xlarge"}
    account.client("ec2").run_instances(**running)  # 16 vCPUs
    asked = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
    (compare,) = quotas.check_quotas(account, plan(NODES))
    for quota, verdict in (52, OK), (51, WARN), (28, WARN), (27, FAIL):
        with Stubber(account.client("service-quotas")) as service:
            answer = {"Quota": {"Value": float(quota)}}
            service.add_response("get_service_quota", answer, asked)
            (result,) = compare()
        assert (result.found, result.verdict) == (f"16 of {quota} in use, 36 wanted", verdict)


def test_nodes_on_spot_capacity_have_a_quota_of_their_own(account: Account) -> None:
    spot = step(
        "aws:eks/nodeGroup:NodeGroup",
        instanceTypes=["m5.xlarge"],
        scalingConfig={"minSize": 0, "maxSize": 5},
        capacityType="SPOT",
    )
    (compare,) = quotas.check_quotas(account, plan(spot))
    with Stubber(account.client("service-quotas")) as service:
        asked = {"ServiceCode": "ec2", "QuotaCode": "L-34B43A08"}
        service.add_response("get_service_quota", {"Quota": {"Value": 5.0}}, asked)
        (result,) = compare()
    assert result.check == "quota: vCPUs on spot capacity (0 to 5 nodes)"
    # What runs on demand counts elsewhere, and nothing is needed at once.
    assert (result.found, result.verdict) == ("20 of 5", WARN)


def test_what_has_a_quota_of_its_own_is_unknown(account: Account) -> None:
    spot = step(
        "aws:eks/nodeGroup:NodeGroup",
        instanceTypes=["m7i.xlarge"],
        scalingConfig={"minSize": 1, "maxSize": 2},
        capacityType="CAPACITY_BLOCK",
    )
    micro = step(
        "aws:mwaa/environment:Environment",
        environmentClass="mw1.micro",
        maxWorkers=1,
        maxWebservers=1,
    )
    told = [one for one in quotas.needs(account, plan(spot, micro)) if isinstance(one, Result)]
    assert [one.verdict for one in told] == [OPEN, OPEN]


# -- rights


def simulated(*answers: Json) -> Json:
    return {
        "EvaluationResults": [
            {"EvalActionName": action, "EvalDecision": decision, **more}
            for action, decision, more in answers
        ]
    }


def of_rights(account: Account, what: Plan, *answers: Json, asked: Json = None) -> list[Result]:
    with Stubber(account.client("iam")) as iam:
        iam.add_response("simulate_principal_policy", simulated(*answers), asked)
        results = rights.check_rights(account, what, CALLER)
        iam.assert_no_pending_responses()
    return results


POLICY = step("aws:iam/rolePolicy:RolePolicy", role="team-1")


def test_what_is_denied_fails_by_service(account: Account) -> None:
    asked = {
        "PolicySourceArn": CALLER,
        "ActionNames": ["iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy"],
        "ResourceArns": [f"arn:aws:iam::{NUMBER}:role/team-1"],
        "ContextEntries": [],
    }
    allowed, denied = of_rights(
        account,
        plan(POLICY),
        ("iam:PutRolePolicy", "implicitDeny", {}),
        ("iam:GetRolePolicy", "allowed", {}),
        ("iam:DeleteRolePolicy", "explicitDeny", {}),
        asked=asked,
    )
    assert (allowed.verdict, allowed.found) == (OK, "1 actions are allowed")
    assert denied.verdict is FAIL
    assert "denied: DeleteRolePolicy, PutRolePolicy (as on arn:aws:iam:" in denied.found


def test_what_depends_on_the_request_is_unknown(account: Account) -> None:
    missing = {"MissingContextValues": ["aws:RequestTag/team"]}
    (result,) = of_rights(account, plan(POLICY), ("iam:PutRolePolicy", "implicitDeny", missing))
    assert (result.verdict, result.found) == (OPEN, "PutRolePolicy: depends on aws:RequestTag/team")


def test_what_depends_on_a_name_that_is_not_known_yet_is_unknown(account: Account) -> None:
    what = plan(step("aws:iam/rolePolicy:RolePolicy", role=UNKNOWN))
    (result,) = of_rights(account, what, ("iam:PutRolePolicy", "implicitDeny", {}))
    assert result.verdict is OPEN
    (result,) = of_rights(account, what, ("iam:PutRolePolicy", "explicitDeny", {}))
    assert result.verdict is FAIL


def test_an_action_that_is_denied_once_is_not_allowed(account: Account) -> None:
    answers: list[Json] = [("iam:PutRolePolicy", one, {}) for one in ("allowed", "implicitDeny")]
    (result,) = of_rights(account, plan(POLICY), *answers)
    assert result.verdict is FAIL


def test_names_come_from_what_a_resource_belongs_to() -> None:
    secret = step("aws:secretsmanager/secret:Secret", name="airflow/eks")
    version = step(
        "aws:secretsmanager/secretVersion:SecretVersion",
        secretId=UNKNOWN,
        sources={"secretId": [secret["newState"]["urn"]]},
    )
    asked, unknown = rights.requests(plan(CLUSTER, NODES, secret, version), "aws", NUMBER)
    arns = {one.arn for one in asked}
    assert f"arn:aws:eks:{REGION}:{NUMBER}:nodegroup/team/nodes-1/0" in arns
    assert f"arn:aws:secretsmanager:{REGION}:{NUMBER}:secret:airflow/eks-000000" in arns
    assert not [arn for arn in arns if "?" in arn]
    assert unknown == set()


def test_a_role_is_passed_to_the_services_that_may_assume_it() -> None:
    services = ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]
    trust = {"Statement": [{"Principal": {"Service": services}}]}
    role = step("aws:iam/role:Role", name="team-1", assumeRolePolicy=json.dumps(trust))
    asked, _ = rights.requests(plan(role), "aws", NUMBER)
    passed = {one.context for one in asked if one.actions == ("iam:PassRole",)}
    assert passed == {(("iam:PassedToService", service),) for service in services}


def test_a_session_is_judged_by_its_role_with_its_path(account: Account) -> None:
    trust = '{"Version": "2012-10-17", "Statement": []}'
    account.client("iam").create_role(
        RoleName="AWSReservedSSO_x", Path="/sso/", AssumeRolePolicyDocument=trust
    )
    session = f"arn:aws:sts::{NUMBER}:assumed-role/AWSReservedSSO_x/me"
    role = f"arn:aws:iam::{NUMBER}:role/sso/AWSReservedSSO_x"
    assert rights.principal_of(account, session) == role
    assert rights.principal_of(account, CALLER) == CALLER


def test_the_root_user_and_types_nobody_knows_are_unknown(account: Account) -> None:
    (root,) = rights.check_rights(account, plan(VPC), f"arn:aws:iam::{NUMBER}:root")
    (other,) = rights.check_rights(account, plan(step("aws:x/y:Y")), CALLER)
    assert (root.verdict, other.verdict) == (OPEN, OPEN)
    assert "aws:x/y:Y" in other.found


def test_every_type_of_the_stack_has_its_rights() -> None:
    assert _FINDERS.keys() <= rights.RIGHTS.keys()


def test_every_action_is_one_of_aws_and_on_what_it_acts_on() -> None:
    known = importlib.resources.files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json")
    services = json.loads(known.read_text())
    for groups in rights.RIGHTS.values():
        for resource, actions in groups:
            for action in actions.split():
                service, _, name = action.partition(":")
                kinds = services[service]["Actions"][name.lower()].get("Resources", [])
                named = [kinds] if isinstance(kinds, str) else kinds
                forms = [
                    form.replace("${Partition}", "aws")
                    for kind in named
                    for form in services[service]["Resources"][kind.lower()]["ARNFormats"]
                ]
                arn = re.sub(r"\{\w+\}", "x", resource.replace("{partition}", "aws"))
                matching = [re.sub(r"\$\{\w+\}", "x?", form) for form in forms] or [r"\*"]
                assert any(re.fullmatch(form, arn) for form in matching), (action, resource)


def test_a_service_linked_role_that_is_there_needs_no_right(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[rights.Request] = set()

    def simulate(_account: Account, _caller: str, of: set[rights.Request]) -> rights.Rights:
        asked.clear()
        asked.update(one for one in of if one.actions == ("iam:CreateServiceLinkedRole",))
        return rights.Rights()

    monkeypatch.setattr(rights, "simulate", simulate)
    what = plan(step("aws:emrcontainers/virtualCluster:VirtualCluster", name="team"))
    rights.check_rights(account, what, CALLER)
    (one,) = asked
    assert one.context == (("iam:AWSServiceName", "emr-containers.amazonaws.com"),)

    account.client("iam").create_role(
        RoleName="AWSServiceRoleForAmazonEMRContainers",
        AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}',
    )
    rights.check_rights(account, what, CALLER)
    assert asked == set()


# -- versions, zones, addresses


def kubernetes(account: Account, status: str, days: int) -> Result:
    ends = datetime.now(UTC) + timedelta(days=days)
    told = {"clusterVersion": "1.35", "versionStatus": status, "endOfStandardSupportDate": ends}
    with Stubber(account.client("eks")) as eks:
        asked = {"clusterVersions": ["1.35"]}
        eks.add_response("describe_cluster_versions", {"clusterVersions": [told]}, asked)
        (cluster,) = plan(CLUSTER).of("aws:eks/cluster:Cluster")
        (result,) = checks._kubernetes_version(account, cluster)
    return result


def test_kubernetes_is_supported_for_months_or_warned_about_or_refused(account: Account) -> None:
    assert kubernetes(account, "STANDARD_SUPPORT", 61).verdict is OK
    assert kubernetes(account, "STANDARD_SUPPORT", 59).verdict is WARN
    assert kubernetes(account, "STANDARD_SUPPORT", -1).verdict is FAIL
    assert kubernetes(account, "EXTENDED_SUPPORT", 99).verdict is FAIL


def test_a_version_that_eks_does_not_offer_fails(account: Account) -> None:
    with Stubber(account.client("eks")) as eks:
        eks.add_response("describe_cluster_versions", {"clusterVersions": []})
        (cluster,) = plan(CLUSTER).of("aws:eks/cluster:Cluster")
        (result,) = checks._kubernetes_version(account, cluster)
    assert result.verdict is FAIL


def test_addons_are_offered_for_the_clusters_kubernetes(account: Account) -> None:
    addon = step("aws:eks/addon:Addon", addonName="coredns", addonVersion="v2")
    for offered, verdict in (("v2", OK), ("v1", FAIL)):
        with Stubber(account.client("eks")) as eks:
            told = {"addons": [{"addonVersions": [{"addonVersion": offered}]}]}
            eks.add_response("describe_addon_versions", told)
            (result,) = checks._addons(account, plan(CLUSTER, addon))
        assert result.verdict is verdict


@pytest.mark.parametrize(
    ("offered", "verdict"),
    [
        (["m7i.xlarge", "m6i.xlarge"], OK),
        (["m6i.xlarge"], WARN),
        ([], FAIL),
    ],
)
def test_a_zone_needs_one_of_the_instance_types(
    account: Account, offered: list[str], verdict: Verdict
) -> None:
    what = plan(NODES, SUBNET)
    offers = [{"InstanceType": kind, "Location": "us-west-2a"} for kind in offered]
    with Stubber(account.client("ec2")) as ec2:
        answer = {"InstanceTypeOfferings": offers}
        ec2.add_response("describe_instance_type_offerings", answer)
        (group,) = what.of("aws:eks/nodeGroup:NodeGroup")
        (result,) = checks._instance_types(account, what, group)
    assert result.verdict is verdict


def test_endpoints_need_their_service_in_the_region_and_better_in_all_zones(
    account: Account,
) -> None:
    def asked(service: str, zones: list[str]) -> Result:
        name = f"com.amazonaws.{REGION}.sqs"
        endpoint = step(
            "aws:ec2/vpcEndpoint:VpcEndpoint", serviceName=name, vpcEndpointType="Interface"
        )
        told = {"ServiceDetails": [{"ServiceName": service, "AvailabilityZones": zones}]}
        with Stubber(account.client("ec2")) as ec2:
            ec2.add_response("describe_vpc_endpoint_services", told)
            (result,) = checks._endpoint_services(account, plan(endpoint, SUBNET))
        return result

    assert asked(f"com.amazonaws.{REGION}.sqs", ["us-west-2a"]).verdict is OK
    assert asked(f"com.amazonaws.{REGION}.sqs", ["us-west-2b"]).verdict is WARN
    assert asked(f"com.amazonaws.{REGION}.kms", ["us-west-2a"]).verdict is FAIL


def test_an_overlap_with_another_vpc_is_said_and_stops_nothing(account: Account) -> None:
    (vpc,) = plan(VPC).of("aws:ec2/vpc:Vpc")
    (result,) = checks._address_space(account, vpc)
    assert result.verdict is OK
    account.client("ec2").create_vpc(CidrBlock="10.0.128.0/20")
    (result,) = checks._address_space(account, vpc)
    assert result.verdict is WARN
    assert "(10.0.128.0/20)" in result.found


def test_who_reaches_the_api_server_is_said_as_far_as_it_is_known(account: Account) -> None:
    def answer(**access: Json) -> Result:
        cluster = step("aws:eks/cluster:Cluster", name="team", version="1.35", vpcConfig=access)
        (result,) = checks._api_server(plan(cluster), NO_STATE)
        return result

    anyone = answer(endpointPublicAccess=True, publicAccessCidrs=["0.0.0.0/0"])
    assert anyone.verdict is OK
    office = answer(endpointPublicAccess=True, publicAccessCidrs=["192.0.2.0/24"])
    assert (office.verdict, "192.0.2.0/24" in office.found) == (OPEN, True)
    assert answer(endpointPublicAccess=False).verdict is OPEN


def test_a_live_api_server_that_does_not_answer_fails() -> None:
    authority = importlib.resources.files("certifi").joinpath("cacert.pem").read_bytes()
    outputs = {
        "endpoint": "https://127.0.0.1:9",
        "certificateAuthority": {"data": base64.b64encode(authority).decode()},
    }
    state = {"deployment": {"resources": [{"type": "aws:eks/cluster:Cluster", "outputs": outputs}]}}
    (result,) = checks._api_server(plan(VPC), state)
    assert result.verdict is FAIL


# -- the whole


class Previewed(Stack):
    """A stack with a preview, which notes what it is asked."""

    def __init__(self, told: Json, *, error: str = "") -> None:
        super().__init__("dev")
        self.told, self.error = told, error
        self.ran: list[str] = []

    def run(self, *arguments: str) -> str:
        self.ran.append(" ".join(arguments))
        if self.error and arguments[0] == "preview":
            raise StackError(self.error)
        return json.dumps(self.told if arguments[0] == "preview" else NO_STATE)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "tools", lambda: [Result("pulumi", "3.274.1")])


@pytest.mark.usefixtures("account", "tools")
def test_credentials_of_another_account_end_it_before_anything_is_asked() -> None:
    other = json.loads(json.dumps(preview(VPC)).replace(NUMBER, "999999999999"))
    results = command.preflight(Previewed(other), None)
    assert results[-1].verdict is FAIL
    assert f"{NUMBER}, the stack is in 999999999999" in results[-1].found


@pytest.mark.usefixtures("account", "tools")
def test_a_preview_that_fails_is_told_by_its_errors() -> None:
    wrong = {"severity": "error", "message": "error: 1 setting is wrong:\n  network.nat\n"}
    again = {
        **wrong,
        "message": wrong["message"].replace("error:", "error: an unhandled error occurred:"),
    }
    printed = json.dumps({**preview(VPC), "diagnostics": [wrong, again]}, indent=4)
    error = f"`pulumi preview --json` failed:\n{printed}\n"
    result = command.preflight(Previewed({}, error=error), None)[-1]
    assert (result.verdict, result.found) == (FAIL, "1 setting is wrong:\n  network.nat")
    assert command.preflight(Previewed({}, error=error), None)[-2].check == "credentials"

    error = "`pulumi preview --json` failed:\nerror: no stack named 'dev' found\n"
    result = command.preflight(Previewed({}, error=error), None)[-1]
    assert (result.verdict, "no stack named 'dev' found" in result.found) == (FAIL, True)


@pytest.mark.usefixtures("account", "tools")
def test_what_the_preview_warns_about_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "look", lambda *_: [])
    soon = {"severity": "warning", "message": "warning: 1.34 is supported until 2026-12-02 only\n"}
    results = command.preflight(Previewed({**preview(VPC), "diagnostics": [soon]}), None)
    warned = [one.found for one in results if one.verdict is WARN]
    assert warned == ["1.34 is supported until 2026-12-02 only"]


@pytest.mark.usefixtures("tools")
def test_without_credentials_there_is_no_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")
    stack = Previewed(preview(VPC))
    results = command.preflight(stack, None)
    assert results[-1].to_do == "log in to AWS in this shell"
    assert stack.ran == []


@pytest.mark.usefixtures("account")
def test_a_tool_that_is_missing_or_old_ends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, version in ("pulumi", "v3.100.0"), ("aws", "aws-cli/2.31.1 Python/3.13"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    stack = Previewed(preview(VPC))
    pulumi, uv, aws = command.preflight(stack, None)[:3]
    assert (pulumi.verdict, pulumi.to_do) == (FAIL, "install 3.274.1 or newer")
    assert (uv.verdict, aws.verdict) == (FAIL, OK)
    assert stack.ran == []


def test_the_readme_asks_for_the_tools_that_are_looked_for() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"{'.'.join(map(str, checks.OLDEST['pulumi']))} or newer" in readme


@pytest.mark.usefixtures("account")
def test_whatever_does_not_answer_is_never_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    elsewhere = Account(REGION, Config(retries={"total_max_attempts": 1}))
    bucket = step("aws:s3/bucket:Bucket", bucket="data")
    team = step("aws:emrcontainers/virtualCluster:VirtualCluster", name="team")
    stubber = "moto.core.botocore_stubber.BotocoreStubber.__call__"
    monkeypatch.setattr(stubber, lambda *_, **__: None)  # moto lets all through
    planned = plan(CLUSTER, NODES, SUBNET, VPC, ENVIRONMENT, bucket, team)
    results = command.look(elsewhere, planned, CALLER, NO_STATE)
    assert {"quota: vCPUs", "rights", "version: Kubernetes"} < {one.check for one in results}
    assert [one for one in results if one.verdict not in (OPEN, FAIL)] == []
    assert {one.check for one in results if one.verdict is FAIL} == {
        "region: Amazon MWAA",
        "region: Amazon EKS",
        "region: EMR on EKS",
    }


@pytest.mark.usefixtures("account", "tools")
def test_the_exit_status_is_1_if_something_would_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*found: Result) -> tuple[int, list[str]]:
        monkeypatch.setattr("sys.argv", ["preflight", "--stack", "dev"])
        monkeypatch.setattr(command, "preflight", lambda *_: list(found))
        status = command.main()
        return status, capsys.readouterr().out.splitlines()

    good, open_ = Result("a", "b"), Result("quota: VPCs", "1 wanted", OPEN, "look yourself")
    status, lines = run(good, open_)
    assert status == 0
    assert lines[0].split() == ["check", "found", "verdict", "what", "to", "do"]
    assert lines[2].split("  ")[0] == "quota: VPCs"
    assert lines[-1] == "nothing found that would stop an `up` (1 unknown)"
    status, lines = run(good, Result("name", "taken", FAIL))
    assert (status, lines[-1]) == (1, "do not begin: 1 of 2 checks failed")
