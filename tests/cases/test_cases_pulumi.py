"""What people met with Pulumi and EKS, and does not happen here."""

from __future__ import annotations

from tests.cases.conftest import NAME, Program, Run

ADDON = "eks/addon:Addon"


def _types(program: Program) -> set[str]:
    return {one.typ for one in program.engine.recorded.values()}


# pulumi/pulumi-eks #598, #918: nodes or their access go before what is in the cluster.
def test_nodes_outlive_what_is_in_the_cluster(program: Program) -> None:
    nodes = program.one("eks/nodeGroup:NodeGroup")
    for one in program.engine.recorded.values():
        if one.typ.startswith("kubernetes:"):
            assert nodes in program.before(one), one.name


# pulumi/pulumi-eks #877: another user in aws-auth makes new nodes.
def test_who_is_let_in_changes_nothing_of_the_nodes(run: Run, program: Program) -> None:
    people = ["arn:aws:iam::123456789012:role/people"]
    other = run(cluster_viewerPrincipalArns=people)
    kinds = ("index:ManagedNodeGroup", "index:Cluster", "ec2/launchTemplate:LaunchTemplate")
    for kind in kinds:
        assert other.one(kind).inputs == program.one(kind).inputs


# pulumi/pulumi-eks #194, #217, #382, #1226: network interfaces that the CNI left behind keep a
# security group or a subnet from being deleted.
def test_the_network_plugin_outlives_the_nodes(program: Program) -> None:
    before = program.before(program.one("index:ManagedNodeGroup"))
    assert program.one(ADDON, "vpc-cni") in before
    assert program.one("iam/rolePolicyAttachment:RolePolicyAttachment", "cni-policy") in before


# pulumi/pulumi-eks #1525, #1819, terraform-aws-modules/terraform-aws-eks #1801, #1838, #3001:
# CoreDNS is DEGRADED for twenty minutes, since there are no nodes yet.
def test_addons_with_pods_come_after_the_nodes(program: Program) -> None:
    nodes = program.one("eks/nodeGroup:NodeGroup")
    for addon in ("coredns", "metrics-server", "aws-ebs-csi-driver"):
        assert nodes in program.before(program.one(ADDON, addon)), addon
    assert program.one("index:Cluster").inputs["corednsAddonOptions"] == {"enabled": False}


# pulumi/pulumi-eks #647, #669, #712: the profile of one machine is in the state, and means nothing
# on another.
def test_no_machines_profile_is_in_the_state(program: Program) -> None:
    assert "providerCredentialOpts" not in program.one("index:Cluster").inputs
    assert "profile" not in program.one("providers:aws").inputs


# pulumi/esc #199, pulumi/pulumi #4981: destroy uses the credentials that the last `up` had.
def test_no_credentials_are_in_the_state(program: Program) -> None:
    given = program.one("providers:aws").inputs.keys()
    assert not given & {"accessKey", "secretKey", "token", "assumeRoles", "sharedCredentialsFiles"}


# pulumi/pulumi-eks #800: objects change because a provider that nobody sees has changed.
def test_every_object_has_the_one_provider(program: Program) -> None:
    (provider,) = program.all("providers:kubernetes")
    used = {
        one.request.provider.rpartition("::")[0].rpartition("::")[2]
        for one in program.engine.recorded.values()
        if one.typ.startswith("kubernetes:")
    }
    assert used == {provider.name}


# pulumi/pulumi #11521, pulumi/pulumi-eks #764, pulumi/pulumi-kubernetes #4019: a kubeconfig that is
# not known yet replaces every namespace.
def test_a_cluster_is_known_by_its_name(program: Program) -> None:
    (provider,) = program.all("providers:kubernetes")
    assert provider.inputs["clusterIdentifier"] == NAME


# pulumi/pulumi-kubernetes #1794, #2236, #2374, #2675, #2985, #3027: charts preview and destroy with
# a cluster that answers only.
def test_nothing_comes_as_a_chart(program: Program) -> None:
    assert not [typ for typ in _types(program) if "helm" in typ.lower()]


# pulumi/pulumi-kubernetes #1920, #3573: a namespace does not end, and is ended by force.
def test_what_is_in_a_namespace_goes_before_it(run: Run) -> None:
    program = run(
        airflow_podServiceAccounts=[
            {"name": "reports", "policyArns": ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"]}
        ]
    )
    namespaces = {one.inputs["metadata"]["name"]: one for one in program.all("core/v1:Namespace")}
    inside = [
        one
        for one in program.engine.recorded.values()
        if one.typ.startswith("kubernetes:")
        and one.inputs["metadata"].get("namespace") in namespaces
    ]
    assert len(inside) > 10
    for one in inside:
        assert namespaces[one.inputs["metadata"]["namespace"]] in program.before(one), one.name
    assert not [typ for typ in _types(program) if typ.startswith("command:")]


# pulumi/pulumi-awsx #1366: a VPC with interface endpoints hangs at destroy.
def test_endpoints_go_before_what_they_stand_on(run: Run) -> None:
    program = run(network_interfaceEndpoints=["sts"])
    sts = program.one("ec2/vpcEndpoint:VpcEndpoint", "sts")
    before = program.before(sts)
    assert program.one("ec2/securityGroup:SecurityGroup", "endpoints") in before
    assert len(before & set(program.all("ec2/subnet:Subnet"))) == 3


# pulumi/pulumi-eks #1436: publicAccessCidrs counts for nothing, as the endpoint is not public.
def test_addresses_make_the_endpoint_public(run: Run, program: Program) -> None:
    assert program.one("index:Cluster").inputs["endpointPublicAccess"] is True
    private = run(cluster_publicAccessCidrs=[], cluster_privateAccessCidrs=["10.8.0.0/16"])
    inputs = private.one("index:Cluster").inputs
    assert inputs["endpointPublicAccess"] is False
    assert "publicAccessCidrs" not in inputs


def test_asleep_a_stack_lacks_its_environment_and_the_bounds_of_its_nodes_alone(
    run: Run, program: Program
) -> None:
    asleep = run(
        account_asleep=True, account_unprotected=["environment"], airflow_metadataBackups=False
    )
    awake_only = {"aws:mwaa/environment:Environment", "pulumi-python:dynamic:Resource"}

    def names(of: Program) -> set[tuple[str, str]]:
        return {(one.typ, one.name) for one in of.engine.recorded.values()}

    away, more = names(program) - names(asleep), names(asleep) - names(program)
    assert {kind for kind, _ in away} == awake_only
    assert {name for kind, name in away if "dynamic" in kind} == {"cluster-node-bounds"}
    assert {name for _, name in more} == {"sleep"}
    # Last, since what changes in the cluster needs its nodes; and no alarm tells of it.
    one = asleep.one("dynamic:Resource", "sleep")
    assert asleep.one("apps/v1:Deployment") in asleep.before(one)
    alarms = asleep.all("cloudwatch/metricAlarm:MetricAlarm")
    assert alarms
    assert not any(alarm.inputs["actionsEnabled"] for alarm in alarms)
