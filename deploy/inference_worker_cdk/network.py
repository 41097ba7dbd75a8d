"""Where the tasks live. Both presets have two zones, and no way in.

    nat        private subnets and one NAT gateway: calls of models in other Regions go through
    isolated   no way out at all; AWS's services come in by endpoints

Without a way out only models of this Region and profiles that begin here can be called:
Bedrock's runtime has no endpoint that leads to another Region.
"""

from enum import StrEnum
from typing import Any

from aws_cdk import Aws, Tags
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

_CIDR = "10.83.0.0/20"
_SERVICES = ("SQS", "CLOUDWATCH_LOGS", "BEDROCK_RUNTIME", "ECR", "ECR_DOCKER")


class Network(StrEnum):
    """The two presets."""

    NAT = "nat"
    ISOLATED = "isolated"


def network(scope: Construct, preset: Network) -> Any:
    """A VPC of its own. S3 and DynamoDB are reached by gateway endpoints, which cost nothing."""
    isolated = preset is Network.ISOLATED
    inside = ec2.SubnetType.PRIVATE_ISOLATED if isolated else ec2.SubnetType.PRIVATE_WITH_EGRESS
    subnets = [ec2.SubnetConfiguration(name="Workers", subnet_type=inside, cidr_mask=24)]
    if not isolated:
        subnets.append(
            ec2.SubnetConfiguration(
                name="Way",
                subnet_type=ec2.SubnetType.PUBLIC,
                cidr_mask=28,
                map_public_ip_on_launch=False,
            )
        )
    vpc = ec2.Vpc(
        scope,
        "Network",
        ip_addresses=ec2.IpAddresses.cidr(_CIDR),
        max_azs=2,
        nat_gateways=0 if isolated else 1,
        subnet_configuration=subnets,
        restrict_default_security_group=False,  # it would need a function, and so an asset
    )
    # The CDK would name each part after the stack that was synthesized, not after this one; and
    # CloudFormation tags each with its stack and its place there.
    for tag in ("Name", "aws-cdk:subnet-name", "aws-cdk:subnet-type"):
        Tags.of(vpc).remove(tag, priority=300)
    Tags.of(vpc).add("Name", Aws.STACK_NAME, priority=400, include_resource_types=["AWS::EC2::VPC"])
    for name in ("S3", "DYNAMODB"):
        vpc.add_gateway_endpoint(
            name.title(), service=getattr(ec2.GatewayVpcEndpointAwsService, name)
        )
    if isolated:
        _endpoints(scope, vpc)
    return vpc


def _endpoints(scope: Construct, vpc: Any) -> None:
    door = ec2.SecurityGroup(
        scope,
        "Endpoints",
        vpc=vpc,
        description="HTTPS from inside; nothing out.",
        allow_all_outbound=False,
    )
    door.add_ingress_rule(ec2.Peer.ipv4(_CIDR), ec2.Port.tcp(443), "The workers")
    for name in _SERVICES:
        vpc.add_interface_endpoint(
            name.title().replace("_", ""),
            service=getattr(ec2.InterfaceVpcEndpointAwsService, name),
            security_groups=[door],
            open=False,
        )
