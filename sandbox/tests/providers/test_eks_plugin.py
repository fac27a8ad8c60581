"""The stand-in for pulumi-eks makes what the real component was seen to make."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from pulumi.provider import ConstructResult
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto import resource_pb2 as messages

from sandbox.providers import eks

INPUTS: dict[str, Any] = {
    "accessEntries": {
        "admin": {
            "accessPolicies": {
                "all": {"accessScope": {"type": "cluster"}, "policyArn": "arn:aws:eks::aws:policy"}
            },
            "principalArn": "arn:aws:iam::123456789012:role/admin",
        }
    },
    "authenticationMode": "API",
    "bootstrapSelfManagedAddons": False,
    "corednsAddonOptions": {"enabled": False},
    "createOidcProvider": False,
    "enabledClusterLogTypes": ["api", "audit"],
    "encryptionConfigKeyArn": "arn:aws:kms:key",
    "endpointPrivateAccess": True,
    "kubeProxyAddonOptions": {"enabled": False},
    "name": "mwaa-on-eks-dev",
    "skipDefaultNodeGroup": True,
    "skipDefaultSecurityGroups": True,
    "subnetIds": ["subnet-1", "subnet-2"],
    "upgradePolicy": {"supportType": "STANDARD"},
    "useDefaultVpcCni": True,
    "version": "1.35",
    "vpcId": "vpc-1",
}
CLUSTER_OUTPUTS = {
    "arn": "arn:aws:eks:us-west-2:123456789012:cluster/mwaa-on-eks-dev",
    "certificateAuthority": {"data": "Y2E="},
    "endpoint": "https://cluster.example",
    "identities": [{"oidcs": [{"issuer": "https://oidc.example/id/ABC"}]}],
}


_LOOP = asyncio.new_event_loop()


class Engine(Mocks, MockMonitor):
    """Answers with what AWS would add, and remembers what it was asked."""

    def __init__(self) -> None:
        MockMonitor.__init__(self, self)
        # The SDK takes the current one, and asyncio.run in a test before has left none.
        asyncio.set_event_loop(_LOOP)
        self.requests: dict[str, messages.RegisterResourceRequest] = {}
        set_mocks(self, monitor=self)

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        raise NotImplementedError(args.token)

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        made: dict[str, Any] = {"arn": f"arn:{args.name}"}
        if args.typ == "aws:eks/cluster:Cluster":
            vpc_config = {**args.inputs["vpcConfig"], "clusterSecurityGroupId": "sg-1"}
            made = {**CLUSTER_OUTPUTS, "vpcConfig": vpc_config}
        return f"{args.name}-id", {**args.inputs, **made}

    def RegisterResource(  # noqa: N802 (the engine's name for it)
        self, request: messages.RegisterResourceRequest
    ) -> messages.RegisterResourceResponse:
        response: messages.RegisterResourceResponse
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self.requests[response.urn] = request
        return response

    def construct(self, build: Callable[[], ConstructResult]) -> dict[str, Any]:
        """Return the outputs of what is built, as plain values."""
        outputs: dict[str, Any] = {}

        def program() -> pulumi.Output[None]:
            state = pulumi.Output.from_input(dict(build().state))
            return state.apply(outputs.update)

        pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]
        return outputs

    def seen(self) -> set[tuple[str, str, str]]:
        """Return type, name and parent of each resource under the cluster."""
        return {
            (request.type, request.name, request.parent.split("::")[-1])
            for request in self.requests.values()
            if "eks:index:Cluster" in request.parent
        }

    def one(self, name: str, typ: str = "") -> messages.RegisterResourceRequest:
        (found,) = (r for r in self.requests.values() if r.name == name and r.type.endswith(typ))
        return found

    def inputs(self, name: str, typ: str = "") -> dict[str, Any]:
        return dict(rpc.deserialize_properties(self.one(name, typ).object))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    (tmp_path / "aws").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return Engine()


def cluster(
    changes: Mapping[str, Any] | None = None, options: pulumi.ResourceOptions | None = None
) -> ConstructResult:
    role = aws.iam.Role("service", assume_role_policy="{}")
    inputs = {**INPUTS, "serviceRole": role, **(changes or {})}
    given = {key: value for key, value in inputs.items() if value is not None}
    return eks.Eks("4.4.0").construct("c", "eks:index:Cluster", given, options)


def node_group(inputs: Mapping[str, Any] | None = None) -> ConstructResult:
    core = cluster().state["core"]
    return eks.Eks("4.4.0").construct(
        "ng",
        "eks:index:ManagedNodeGroup",
        {"cluster": core, "nodeRoleArn": "arn:node", **(inputs or {})},
    )


def test_a_group_that_is_given_is_the_clusters_beside_that_of_eks(engine: Engine) -> None:
    def made() -> ConstructResult:
        return cluster({"clusterSecurityGroup": aws.ec2.SecurityGroup("own", vpc_id="vpc-1")})

    engine.construct(made)
    assert engine.inputs("c-eksCluster")["vpcConfig"]["securityGroupIds"] == ["own-id"]


def test_a_cluster_is_made_of_what_pulumi_eks_was_seen_to_make(engine: Engine) -> None:
    engine.construct(cluster)
    assert engine.seen() == {
        ("aws:eks/cluster:Cluster", "c-eksCluster", "c"),
        ("aws:eks/accessEntry:AccessEntry", "c-admin", "c"),
        ("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", "c-admin-all", "c-admin"),
        ("pulumi:providers:kubernetes", "c-eks-k8s", "c"),
    }
    assert engine.inputs("c-eksCluster") == {
        "accessConfig": {
            "authenticationMode": "API",
            "bootstrapClusterCreatorAdminPermissions": True,
        },
        "bootstrapSelfManagedAddons": False,
        "enabledClusterLogTypes": ["api", "audit"],
        "encryptionConfig": {
            "provider": {"keyArn": "arn:aws:kms:key"},
            "resources": ["secrets"],
        },
        "name": "mwaa-on-eks-dev",
        "roleArn": "arn:service",
        "tags": {"Name": "c-eksCluster"},
        "upgradePolicy": {"supportType": "STANDARD"},
        "version": "1.35",
        "vpcConfig": {"endpointPrivateAccess": True, "subnetIds": ["subnet-1", "subnet-2"]},
    }
    waits_for = {urn.split("::")[-1] for urn in engine.one("c-admin-all").dependencies}
    assert waits_for == {"c-admin", "c-eksCluster"}


def test_the_outputs_of_a_cluster_lead_to_it(engine: Engine) -> None:
    outputs = engine.construct(cluster)
    assert outputs["clusterSecurityGroupId"] == "sg-1"
    assert outputs["oidcIssuer"] == "oidc.example/id/ABC"
    assert outputs["core"]["subnetIds"] == ["subnet-1", "subnet-2"]
    kubeconfig = json.loads(outputs["kubeconfigJson"])
    assert kubeconfig == outputs["kubeconfig"]
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://cluster.example"
    token = kubeconfig["users"][0]["user"]["exec"]
    assert " ".join([token["command"], *token["args"]]) == (
        "aws --region us-west-2 eks get-token --cluster-name mwaa-on-eks-dev --output json"
    )
    assert engine.inputs("c-eks-k8s")["kubeconfig"] == outputs["kubeconfigJson"]


def test_an_explicit_aws_provider_reaches_the_children(engine: Engine) -> None:
    def build() -> ConstructResult:
        provider = aws.Provider("one", region="us-west-2")
        return cluster(options=pulumi.ResourceOptions(providers=[provider], protect=True))

    engine.construct(build)
    for name in ("c-eksCluster", "c-admin", "c-admin-all"):
        assert engine.one(name).provider.split("::")[-2] == "one"
        assert engine.one(name).protect


def test_without_a_provider_the_children_bring_a_second_aws_version(engine: Engine) -> None:
    engine.construct(cluster)
    assert engine.one("c-eksCluster").version == "7.48.0"
    assert engine.one("service").version != "7.48.0"


def test_both_authentication_modes_make_the_config_map(engine: Engine) -> None:
    engine.construct(lambda: cluster({"authenticationMode": "API_AND_CONFIG_MAP"}))
    assert ("kubernetes:core/v1:ConfigMap", "c-nodeAccess", "c") in engine.seen()


def test_a_node_group_with_a_launch_template_makes_none_of_its_own(engine: Engine) -> None:
    engine.construct(
        lambda: node_group(
            {
                "ignoreScalingChanges": True,
                "launchTemplate": {"id": "lt-1", "version": "3"},
                "scalingConfig": {"maxSize": 9},
            }
        )
    )
    assert not [r for r in engine.requests.values() if "LaunchTemplate" in r.type]
    assert engine.inputs("ng", "nodeGroup:NodeGroup") == {
        "clusterName": "mwaa-on-eks-dev",
        "launchTemplate": {"id": "lt-1", "version": "3"},
        "nodeRoleArn": "arn:node",
        "scalingConfig": {"desiredSize": 2, "maxSize": 9, "minSize": 1},
        "subnetIds": ["subnet-1", "subnet-2"],
    }
    made = engine.one("ng", "nodeGroup:NodeGroup")
    assert made.ignoreChanges == ["scalingConfig.desiredSize"]


def test_a_node_group_follows_the_version_of_the_cluster(engine: Engine) -> None:
    engine.construct(node_group)
    assert engine.inputs("ng", "nodeGroup:NodeGroup")["version"] == "1.35"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fargate": True}, "fargate"),
        ({"skipDefaultNodeGroup": None}, "skipDefaultNodeGroup"),
        ({"kubeProxyAddonOptions": None}, "kubeProxyAddonOptions"),
        ({"createOidcProvider": True}, "createOidcProvider"),
        ({"serviceRole": None}, "serviceRole"),
        ({"authenticationMode": "CONFIG_MAP"}, "accessEntries"),
        ({"authenticationMode": "api"}, "authenticationMode"),
        ({"privateSubnetIds": ["subnet-3"]}, "mutually exclusive"),
        ({"publicAccessCidrs": ["::/0"], "endpointPublicAccess": False}, "publicAccessCidrs"),
        ({"accessEntries": {"a": {"principalArn": "x", "groups": []}}}, "groups"),
    ],
)
def test_what_would_make_something_else_is_refused(
    engine: Engine, change: dict[str, Any], told: str
) -> None:
    with pytest.raises((pulumi.InputPropertyError, pulumi.InputPropertiesError)) as refusal:
        engine.construct(lambda: cluster(change))
    assert told in str(refusal.value)


def test_a_node_group_refuses_what_it_does_not_know(engine: Engine) -> None:
    with pytest.raises(pulumi.InputPropertyError, match="enableIMDSv2"):
        engine.construct(lambda: node_group({"enableIMDSv2": True}))


def test_the_aws_cli_is_needed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pulumi.InputPropertiesError, match="Could not find aws CLI for EKS"):
        engine.construct(cluster)


def test_a_public_endpoint_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, False, True, True]
    monkeypatch.setattr(eks, "_READINESS_PAUSE", 0.0)
    monkeypatch.setattr(eks, "_is_healthy", lambda endpoint: answers.pop(0))
    assert asyncio.run(eks._wait_until_ready("https://x")) == "https://x"
    assert answers == [True]
