"""The network that everything else runs in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal, TypeAlias, TypeVar

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.aws_account import AwsAccount
from components.subnet_plan import plan_subnets

ANYWHERE = "0.0.0.0/0"

Offer: TypeAlias = aws.ec2.GetVpcEndpointServiceResult

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    cidr_block: IPv4Network
    """Address range of the VPC, /16 to /24 (see plan_subnets)."""
    availability_zones: tuple[str, ...]
    """Append only: a zone's place in the list fixes its address ranges."""
    nat: Literal["single", "perZone", "none"]
    """Whether private subnets reach the internet through the first zone, their own, or not."""
    interface_endpoints: tuple[str, ...]
    """AWS services reached without the internet, by short name, such as `ecr.api`."""
    flow_log_bucket_arn: str | None
    """Where flow logs go, with a prefix if there is one; None for a log group."""
    kms_key_arn: Input[str]
    log_retention_days: int
    account: AwsAccount


class Network(pulumi.ComponentResource):
    """A VPC with a private and a public subnet in each zone, their ways out, and flow logs.

    Its subnets wait for routes and endpoints, so that what is in them starts with a way out, and
    is gone before the way out is taken away.
    """

    vpc_id: Output[str]
    private_subnet_ids: list[Output[str]]
    """One for each zone, in their order: one more leaves the others known to a preview."""
    public_subnet_ids: list[Output[str]]
    nat_gateway_ids: dict[str, Output[str]]
    """By zone."""
    interface_endpoint_ids: dict[str, Output[str]]
    """By service."""

    def __init__(self, name: str, args: NetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mwaa-on-eks:index:Network", name, None, opts)
        plan = plan_subnets(args.cidr_block, len(args.availability_zones))
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(args.cidr_block),
            enable_dns_hostnames=True,  # for private DNS: of endpoints, and of EKS's private one
            tags={"Name": name},
            opts=ResourceOptions(parent=self),
        )
        aws.ec2.DefaultSecurityGroup(  # adopted, and emptied of every rule
            f"{name}-default",
            vpc_id=vpc.id,
            ingress=[],  # said, since AWS's provider leaves alone what is not
            egress=[],
            tags={"Name": f"{name}-default-closed"},
            opts=ResourceOptions(parent=self),
        )
        if args.flow_log_bucket_arn is None:
            self._flow_logs_to_group(name, args, vpc)
        else:
            aws.ec2.FlowLog(
                f"{name}-flow-log",
                vpc_id=vpc.id,
                traffic_type="ALL",
                log_destination_type="s3",
                log_destination=args.flow_log_bucket_arn,
                tags={"Name": name},
                opts=ResourceOptions(parent=self),
            )

        internet_gateway = aws.ec2.InternetGateway(
            f"{name}-internet",
            vpc_id=vpc.id,
            tags={"Name": name},
            opts=ResourceOptions(parent=self),
        )
        public_table = self._route_table(f"{name}-public", vpc)
        to_internet = aws.ec2.Route(
            f"{name}-public-default",
            route_table_id=public_table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=internet_gateway.id,
            opts=ResourceOptions(parent=self),
        )

        ways_out: list[pulumi.Resource] = [to_internet]
        public_subnets: list[aws.ec2.Subnet] = []
        private_subnets: list[aws.ec2.Subnet] = []
        private_tables: list[aws.ec2.RouteTable] = []
        nat_gateway: aws.ec2.NatGateway | None = None
        self.nat_gateway_ids = {}
        self.interface_endpoint_ids = {}
        for zone, public_block, private_block in zip(
            args.availability_zones, plan.public, plan.private, strict=True
        ):
            # The tags by which load balancer controllers find the subnets for their kind.
            public = self._subnet(f"{name}-public-{zone}", vpc, zone, public_block, "elb")
            public_link = self._associate(f"{name}-public-{zone}", public, public_table)
            private = self._subnet(
                f"{name}-private-{zone}", vpc, zone, private_block, "internal-elb"
            )
            private_table = self._route_table(f"{name}-private-{zone}", vpc)
            private_link = self._associate(f"{name}-private-{zone}", private, private_table)

            if args.nat == "perZone" or (args.nat == "single" and nat_gateway is None):
                nat_gateway = self._nat_gateway(
                    f"{name}-{zone}",
                    public,
                    # AWS refuses a NAT gateway where no route leads to the internet, and it
                    # must be gone before the gateway behind that route can be detached.
                    after=[to_internet, public_link],
                )
                self.nat_gateway_ids[zone] = nat_gateway.id
            if nat_gateway is not None:
                through_nat = aws.ec2.Route(
                    f"{name}-private-{zone}-default",
                    route_table_id=private_table.id,
                    destination_cidr_block=ANYWHERE,
                    nat_gateway_id=nat_gateway.id,
                    opts=ResourceOptions(parent=self),
                )
                ways_out.append(through_nat)
            ways_out += [public_link, private_link]
            public_subnets.append(public)
            private_subnets.append(private)
            private_tables.append(private_table)

        # Its policy stays AWS's open default: through it nodes also fetch image layers (ECR), and
        # Airflow and EMR their own files, from buckets of AWS accounts whose names are not
        # published. Who may read which bucket is said by roles and bucket policies.
        s3 = aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{args.account.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in private_tables],
            tags={"Name": f"{name}-s3"},
            opts=ResourceOptions(parent=self),
        )
        ways_out.append(s3)
        if args.interface_endpoints:
            ways_out += self._interface_endpoints(name, args, vpc, private_subnets)

        self.vpc_id = vpc.id
        self.private_subnet_ids = [_after(ways_out, subnet.id) for subnet in private_subnets]
        self.public_subnet_ids = [_after(ways_out, subnet.id) for subnet in public_subnets]
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "private_subnet_ids": self.private_subnet_ids,
                "public_subnet_ids": self.public_subnet_ids,
            }
        )

    def _subnet(
        self, name: str, vpc: aws.ec2.Vpc, zone: str, block: IPv4Network, load_balancers: str
    ) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            name,
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=str(block),
            map_public_ip_on_launch=False,
            tags={"Name": name, f"kubernetes.io/role/{load_balancers}": "1"},
            opts=ResourceOptions(parent=self),
        )

    def _route_table(self, name: str, vpc: aws.ec2.Vpc) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(
            name, vpc_id=vpc.id, tags={"Name": name}, opts=ResourceOptions(parent=self)
        )

    def _associate(
        self, name: str, subnet: aws.ec2.Subnet, table: aws.ec2.RouteTable
    ) -> aws.ec2.RouteTableAssociation:
        return aws.ec2.RouteTableAssociation(
            name,
            subnet_id=subnet.id,
            route_table_id=table.id,
            opts=ResourceOptions(parent=self),
        )

    def _nat_gateway(
        self, name: str, subnet: aws.ec2.Subnet, after: list[pulumi.Resource]
    ) -> aws.ec2.NatGateway:
        address = aws.ec2.Eip(
            f"{name}-nat",
            domain="vpc",
            tags={"Name": f"{name}-nat"},
            opts=ResourceOptions(parent=self),
        )
        return aws.ec2.NatGateway(
            f"{name}-nat",
            subnet_id=subnet.id,
            allocation_id=address.id,
            tags={"Name": f"{name}-nat"},
            opts=ResourceOptions(parent=self, depends_on=after),
        )

    def _interface_endpoints(
        self, name: str, args: NetworkArgs, vpc: aws.ec2.Vpc, subnets: list[aws.ec2.Subnet]
    ) -> list[pulumi.Resource]:
        # No egress rule: an endpoint only answers.
        group = aws.ec2.SecurityGroup(
            f"{name}-endpoints",
            vpc_id=vpc.id,
            description="Interface endpoints of AWS services",
            tags={"Name": f"{name}-endpoints"},
            opts=ResourceOptions(parent=self),
        )
        https = aws.vpc.SecurityGroupIngressRule(
            f"{name}-endpoints-https",
            security_group_id=group.id,
            description="HTTPS from anywhere in the VPC",
            cidr_ipv4=str(args.cidr_block),
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=ResourceOptions(parent=self),
        )
        endpoints = {
            service: aws.ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{args.account.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self._subnets_with(service, offered, args, subnets),
                security_group_ids=[group.id],
                policy=_endpoint_policy(service, offered, args.account),
                tags={"Name": f"{name}-{service}"},
                opts=ResourceOptions(parent=self),
            )
            for service, offered in self._offered(args)
        }
        self.interface_endpoint_ids = {
            service: endpoint.id for service, endpoint in endpoints.items()
        }
        return [https, *endpoints.values()]

    def _offered(self, args: NetworkArgs) -> list[tuple[str, Output[Offer]]]:
        """The services, each with what AWS has of it in the region."""
        return [
            (
                service,
                aws.ec2.get_vpc_endpoint_service_output(
                    service_name=f"com.amazonaws.{args.account.region}.{service}",
                    service_type="Interface",
                    opts=pulumi.InvokeOutputOptions(parent=self),
                ),
            )
            for service in args.interface_endpoints
        ]

    def _subnets_with(
        self,
        service: str,
        offered: Output[Offer],
        args: NetworkArgs,
        subnets: list[aws.ec2.Subnet],
    ) -> Output[list[str]]:
        """The subnets in the zones where AWS offers the service: not all are in every zone."""

        def those(zones: list[str]) -> Output[list[str]]:
            found = [
                subnet.id
                for subnet, zone in zip(subnets, args.availability_zones, strict=True)
                if zone in zones
            ]
            if not found:
                message = (
                    f"mwaa-on-eks:network.interfaceEndpoints: {service} is in {', '.join(zones)} "
                    f"only, and the subnets are in {', '.join(args.availability_zones)}: name "
                    "other zones in network.availabilityZones, or leave the endpoint to NAT"
                )
                raise pulumi.RunError(message)
            return Output.all(*found)

        return offered.availability_zones.apply(those)

    def _flow_logs_to_group(self, name: str, args: NetworkArgs, vpc: aws.ec2.Vpc) -> None:
        group = aws.cloudwatch.LogGroup(
            f"{name}-flow-logs",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.kms_key_arn,
            opts=ResourceOptions(parent=self),
        )
        role = aws.iam.Role(
            f"{name}-flow-logs",
            assume_role_policy=Output.json_dumps(_flow_logs_trust(args)),
            opts=ResourceOptions(parent=self),
        )
        policy = aws.iam.RolePolicy(
            f"{name}-flow-logs",
            role=role.name,
            policy=Output.json_dumps(_flow_logs_policy(group.arn)),
            opts=ResourceOptions(parent=self),
        )
        aws.ec2.FlowLog(
            f"{name}-flow-log",
            vpc_id=vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags={"Name": name},
            # Without its policy the role delivers nothing, and the flow log is created all the
            # same, with an access error as its state.
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )


def _after(resources: Sequence[pulumi.Resource], value: Output[T]) -> Output[T]:
    """The value, once the resources exist; whoever uses it is also deleted before them."""
    # URNs, since an id is unknown in the preview that adds a resource: a new endpoint would make
    # the subnets unknown, and with them show the cluster and the environment as replaced.
    return Output.all(value, *[resource.urn for resource in resources]).apply(lambda all_: all_[0])


# Through these, containers of MWAA also fetch their own images and write their own logs ("Creating
# the required VPC service endpoints", MWAA user guide), as whom AWS does not say.
_MWAA_CALLS = frozenset(
    {"airflow.api", "airflow.env", "airflow.ops", "ecr.api", "ecr.dkr", "kms", "logs"}
    | {"monitoring", "sqs"}
)
# What is called without credentials: a token is exchanged for them, or an API is open.
_WITHOUT_CREDENTIALS = {
    "execute-api": ["execute-api:*"],
    "sts": ["sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"],
}


def _endpoint_policy(
    service: str, offered: Output[Offer], account: AwsAccount
) -> Output[str | None] | None:
    """Let through who is of this account: what they may do, roles say.

    Nobody in the VPC can then take data out with the credentials of another account.
    """
    if service in _MWAA_CALLS:
        return None  # AWS's default, which is open
    everything = {"Effect": "Allow", "Principal": "*", "Resource": "*"}
    ours = {"StringEquals": {"aws:PrincipalAccount": account.id}}
    statements: list[dict[str, object]] = [{**everything, "Action": "*", "Condition": ours}]
    if service in _WITHOUT_CREDENTIALS:
        statements.append({**everything, "Action": _WITHOUT_CREDENTIALS[service]})
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    # AWS refuses an endpoint with a policy for a service that knows none.
    return offered.vpc_endpoint_policy_supported.apply(lambda known: policy if known else None)


def _flow_logs_trust(args: NetworkArgs) -> dict[str, object]:
    flow_logs = args.account.arn("ec2", "vpc-flow-log/*")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": args.account.id},
                    "ArnLike": {"aws:SourceArn": flow_logs},  # its id is not known beforehand
                },
            }
        ],
    }


def _flow_logs_policy(log_group_arn: Input[str]) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                "Resource": Output.concat(log_group_arn, ":*"),  # the streams of this one group
            },
            {
                "Effect": "Allow",
                "Action": "logs:DescribeLogGroups",
                "Resource": "*",  # the service looks its group up by listing all
            },
        ],
    }
