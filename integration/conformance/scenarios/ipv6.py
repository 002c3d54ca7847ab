"""IPv6 and secondary IPv4 blocks of a VPC, of a subnet, and addresses of interfaces."""

import ipaddress

from .ec2 import IMAGE


def run(at):
    ec2 = at.ec2
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    block = blocks(at, vpc)
    one, two = subnets(at, vpc, block)
    addresses(at, one, two)


def blocks(at, vpc):
    ec2 = at.ec2
    associate = lambda **what: ec2.associate_vpc_cidr_block(VpcId=vpc, **what)
    ipv6 = "Ipv6CidrBlockAssociation"
    told = at.step("associate a block of Amazon's", lambda: associate(AmazonProvidedIpv6CidrBlock=True), f"{ipv6}.[Ipv6CidrBlockState.State, Ipv6Pool]")
    # In the words of this side: moto sometimes writes zeros before a number.
    written = told[ipv6]["Ipv6CidrBlock"]
    block = ipaddress.ip_network(written)
    at.call(written, "the VPC's block")
    at.step("associate another", lambda: associate(AmazonProvidedIpv6CidrBlock=True))
    at.step("associate a secondary one of IPv4", lambda: associate(CidrBlock="100.64.0.0/16"), "CidrBlockAssociation.[CidrBlock, CidrBlockState.State]")
    describe = lambda: ec2.describe_vpcs(VpcIds=[vpc])
    at.step("describe the VPC's IPv6", describe, "Vpcs[].Ipv6CidrBlockAssociationSet[].[AssociationId, Ipv6CidrBlock, Ipv6CidrBlockState.State]")
    at.step("describe the VPC's IPv4", describe, "Vpcs[].CidrBlockAssociationSet[].[CidrBlock, CidrBlockState.State]")
    by_block = [{"Name": "ipv6-cidr-block-association.ipv6-cidr-block", "Values": [written]}]
    at.step("describe VPCs by IPv6 block", lambda: ec2.describe_vpcs(Filters=by_block), "Vpcs[].VpcId")
    by_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    tables = lambda: ec2.describe_route_tables(Filters=by_vpc)
    at.step("the main table's local routes", tables, "RouteTables[].Routes[].[DestinationCidrBlock, DestinationIpv6CidrBlock, GatewayId, State]")
    made = at.step("create a VPC with a block of Amazon's", lambda: ec2.create_vpc(CidrBlock="10.4.0.0/16", AmazonProvidedIpv6CidrBlock=True), "length(Vpc.Ipv6CidrBlockAssociationSet)")
    at.tidy(lambda: ec2.delete_vpc(VpcId=made["Vpc"]["VpcId"]))
    return block


def subnets(at, vpc, block):
    ec2 = at.ec2
    parts = list(block.subnets(new_prefix=64))
    for number in (1, 2):
        at.call(str(parts[number]), f"part {number}")
    create = lambda ipv4, **more: ec2.create_subnet(VpcId=vpc, CidrBlock=ipv4, AvailabilityZone="eu-west-1a", **more)
    seen = "Subnet.[CidrBlock, Ipv6CidrBlockAssociationSet[].Ipv6CidrBlock, AssignIpv6AddressOnCreation]"
    one = at.step("create a subnet with IPv6", lambda: create("10.5.1.0/24", Ipv6CidrBlock=str(parts[1])), seen)["Subnet"]["SubnetId"]
    two = create("10.5.2.0/24")["Subnet"]["SubnetId"]
    on = lambda subnet: ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    off = lambda subnet: ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": False})
    at.step("assign IPv6 in a subnet without", lambda: on(two))
    at.tidy(lambda: off(two))
    at.step("associate a block with it", lambda: ec2.associate_subnet_cidr_block(SubnetId=two, Ipv6CidrBlock=str(parts[2])), "Ipv6CidrBlockAssociation.Ipv6CidrBlock")
    at.step("create one with the same block", lambda: create("10.5.3.0/24", Ipv6CidrBlock=str(parts[1])))
    at.step("create one with a block of another VPC", lambda: create("10.5.4.0/24", Ipv6CidrBlock="2600:1f18:7cb4:2e01::/64"))
    at.step("assign IPv6 in the first", lambda: on(one))
    at.step("describe it", lambda: ec2.describe_subnets(SubnetIds=[one]), "Subnets[].[AssignIpv6AddressOnCreation, Ipv6CidrBlockAssociationSet[].Ipv6CidrBlock]")
    by_block = [{"Name": "ipv6-cidr-block-association.ipv6-cidr-block", "Values": [str(parts[2])]}]
    at.step("describe subnets by IPv6 block", lambda: ec2.describe_subnets(Filters=by_block), "Subnets[].CidrBlock")
    return one, two


def addresses(at, one, two):
    ec2 = at.ec2
    launch = lambda subnet, **more: ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", SubnetId=subnet, MinCount=1, MaxCount=1, **more)
    count = "Instances[].NetworkInterfaces[].length(Ipv6Addresses)"
    at.step("launch where IPv6 is assigned", lambda: launch(one), count)
    launched = at.step("launch with two addresses", lambda: launch(two, Ipv6AddressCount=2), count)
    at.step("launch without any", lambda: launch(two), count)
    interface = launched["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assign = lambda **what: ec2.assign_ipv6_addresses(NetworkInterfaceId=interface, **what)
    at.step("assign one more", lambda: assign(Ipv6AddressCount=1), "NetworkInterfaceId")
    describe = lambda: ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])
    at.step("describe the interface", describe, "NetworkInterfaces[].length(Ipv6Addresses)")
    held = describe()["NetworkInterfaces"][0]["Ipv6Addresses"][0]["Ipv6Address"]
    unassign = lambda: ec2.unassign_ipv6_addresses(NetworkInterfaceId=interface, Ipv6Addresses=[held])
    at.step("unassign one", unassign, "length(UnassignedIpv6Addresses)")
    at.step("unassign it again", unassign)
    at.step("describe what is left", describe, "NetworkInterfaces[].length(Ipv6Addresses)")
    at.step("assign to no interface", lambda: ec2.assign_ipv6_addresses(NetworkInterfaceId="eni-0123456789abcdef0", Ipv6AddressCount=1))
