"""What the tests of the aws stand-in build with: resources as the engine would ask for them."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.aws.provider import AwsPlugin
from sandbox.providers.protocol import Diff, Failure, Found, Properties, Resource

DEFAULT_TAGS = {"project": "test"}


def trust(*services: str) -> str:
    actions = ["sts:AssumeRole", "sts:TagSession"]
    statement = {"Effect": "Allow", "Principal": {"Service": services}, "Action": actions}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass
class Made:
    """A resource that exists, with what the engine knows of it."""

    plugin: AwsPlugin
    resource: Resource
    id: str
    inputs: Properties
    state: Properties
    gone: bool = False

    def check(self, given: Properties) -> Properties:
        checked = self.plugin.check(self.resource, self.inputs, given, b"another seed")
        assert checked.failures == ()
        return checked.inputs

    def diff(self, given: Properties) -> Diff:
        return self.plugin.diff(self.resource, self.inputs, self.state, self.check(given))

    def update(self, given: Properties) -> None:
        new = self.check(given)
        self.state = self.plugin.update(
            self.resource, self.id, self.inputs, self.state, new, preview=False
        )
        self.inputs = new

    def read(self) -> Found | None:
        return self.plugin.read(self.resource, self.id, self.inputs, self.state)

    def refresh(self) -> None:
        found = self.read()
        assert found is not None
        self.inputs, self.state = found.inputs, found.state

    def delete(self) -> None:
        self.plugin.delete(self.resource, self.id, self.inputs, self.state)
        self.gone = True


@dataclass
class Account:
    """Resources in an emulated account, deleted in reverse order at the end."""

    plugin: AwsPlugin
    made: list[Made] = field(default_factory=list)
    suffix: str = field(default_factory=lambda: secrets.token_hex(4))

    def check(self, pulumi_type: str, **given: Any) -> tuple[Failure, ...]:  # noqa: ANN401
        return self.plugin.check(_resource(pulumi_type, "one"), {}, given, b"seed").failures

    def make(self, pulumi_type: str, logical_name: str = "one", /, **given: Any) -> Made:  # noqa: ANN401
        resource = _resource(pulumi_type, logical_name)
        checked = self.plugin.check(resource, {}, given, secrets.token_bytes(8))
        assert checked.failures == ()
        resource_id, state = self.plugin.create(resource, checked.inputs, preview=False)
        made = Made(self.plugin, resource, resource_id, checked.inputs, state)
        self.made.append(made)
        return made

    def api(self, service: str) -> Any:  # noqa: ANN401
        return self.plugin.aws.client(service)

    def clean_up(self) -> None:
        for one in reversed(self.made):
            if not one.gone:
                one.delete()

    # What several tests need.

    def role(self, *services: str, policies: tuple[str, ...] = ()) -> Made:
        role = self.make("iam/role:Role", assumeRolePolicy=trust(*services))
        for policy in policies:
            arn = f"arn:aws:iam::aws:policy/{policy}"
            self.make("iam/rolePolicyAttachment:RolePolicyAttachment", role=role.id, policyArn=arn)
        return role

    def vpc(self) -> Made:
        return self.make("ec2/vpc:Vpc", cidrBlock="10.0.0.0/16")

    def subnet(
        self,
        vpc: Made,
        number: int = 0,
        zone: str = "us-west-2a",
        **given: Any,  # noqa: ANN401
    ) -> Made:
        return self.make(
            "ec2/subnet:Subnet",
            vpcId=vpc.id,
            cidrBlock=f"10.0.{number}.0/24",
            availabilityZone=zone,
            **given,
        )

    def subnets(self, vpc: Made) -> list[Made]:
        return [self.subnet(vpc, 0, "us-west-2a"), self.subnet(vpc, 1, "us-west-2b")]

    def subnets_with_a_way_out(self, vpc: Made) -> list[Made]:
        """Public ones: the VPC's main route table leads to the internet."""
        self.make(
            "ec2/route:Route",
            routeTableId=vpc.state["mainRouteTableId"],
            destinationCidrBlock="0.0.0.0/0",
            gatewayId=self.gateway(vpc).id,
        )
        return [
            self.subnet(vpc, number, f"us-west-2{zone}", mapPublicIpOnLaunch=True)
            for number, zone in enumerate("ab")
        ]

    def gateway(self, vpc: Made) -> Made:
        return self.make("ec2/internetGateway:InternetGateway", vpcId=vpc.id)

    def group(self, vpc: Made, *, refers_to_itself: bool = False) -> Made:
        group = self.make("ec2/securityGroup:SecurityGroup", vpcId=vpc.id)
        if refers_to_itself:
            self.make(
                "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
                securityGroupId=group.id,
                ipProtocol="-1",
                referencedSecurityGroupId=group.id,
            )
        return group

    def cluster(self, subnets: list[Made], **given: Any) -> Made:  # noqa: ANN401
        settings = {
            "name": f"cluster-{self.suffix}",
            "roleArn": self.role("eks.amazonaws.com").state["arn"],
            "version": "1.34",
            "vpcConfig": {"subnetIds": [subnet.id for subnet in subnets]},
            "accessConfig": {"authenticationMode": "API"},
        }
        return self.make("eks/cluster:Cluster", **(settings | given))

    def node_group(self, cluster: Made, subnets: list[Made], **given: Any) -> Made:  # noqa: ANN401
        role = self.role("ec2.amazonaws.com", policies=("AmazonEKSWorkerNodePolicy",))
        settings = {
            "clusterName": cluster.id,
            "nodeRoleArn": role.state["arn"],
            "subnetIds": [subnet.id for subnet in subnets],
            "instanceTypes": ["m7i.xlarge"],
            "scalingConfig": {"desiredSize": 2, "maxSize": 4, "minSize": 1},
        }
        return self.make("eks/nodeGroup:NodeGroup", **(settings | given))

    def bucket(self, *, versioned: bool = True, closed: bool = True) -> Made:
        name = f"bucket-{self.suffix}"
        bucket = self.make("s3/bucket:Bucket", bucket=name, forceDestroy=True)
        if versioned:
            self.make(
                "s3/bucketVersioning:BucketVersioning",
                bucket=name,
                versioningConfiguration={"status": "Enabled"},
            )
        if closed:
            switches = (
                "blockPublicAcls",
                "blockPublicPolicy",
                "ignorePublicAcls",
                "restrictPublicBuckets",
            )
            self.make(
                "s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
                bucket=name,
                **dict.fromkeys(switches, True),
            )
        return bucket

    def environment_settings(
        self, subnets: list[Made], group: Made, bucket: Made
    ) -> dict[str, Any]:
        role = self.role("airflow.amazonaws.com", "airflow-env.amazonaws.com")
        return {
            "name": f"airflow-{self.suffix}",
            "dagS3Path": "dags",
            "executionRoleArn": role.state["arn"],
            "networkConfiguration": {
                "subnetIds": [subnet.id for subnet in subnets],
                "securityGroupIds": [group.id],
            },
            "sourceBucketArn": bucket.state["arn"],
        }


def push(ecr: Any, repository: str, tag: str) -> None:  # noqa: ANN401
    """Let a repository have an image, of which nothing but its name matters here."""
    ecr.create_repository(repositoryName=repository)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{secrets.token_hex(32)}",
            "size": 2,
        },
        "layers": [],
    }
    ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=json.dumps(manifest))


def _resource(pulumi_type: str, name: str) -> Resource:
    full = f"aws:{pulumi_type}"
    return Resource(f"urn:pulumi:test::test::{full}::{name}", full, name)


def given(made: Made, **changes: Any) -> Properties:  # noqa: ANN401
    """What the program said, changed."""
    own = {key: value for key, value in made.inputs.items() if key not in {"tagsAll", "__defaults"}}
    automatic = made.inputs.get("__defaults", [])
    return {key: value for key, value in own.items() if key not in automatic} | changes


def sent(client: Any, operation: str) -> list[Properties]:  # noqa: ANN401
    """What is asked of an operation from now on."""
    asked: list[Properties] = []
    client.meta.events.register(
        f"before-parameter-build.*.{operation}", lambda params, **_: asked.append(dict(params))
    )
    return asked
