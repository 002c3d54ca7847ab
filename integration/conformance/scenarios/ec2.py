"""A VPC with two subnets, instances in it, tags, filters and route tables."""

IMAGE = "ami-0a1b2c3d4e5f60718"
TAGGED = [{"Key": "windlass:cluster", "Value": "prod"}, {"Key": "Name", "Value": "node"}]


def run(at):
    subnets = network(at)
    instances(at, subnets)
    routes(at)
    refusals(at)


def network(at):
    ec2 = at.ec2
    vpc = at.step("create a VPC", lambda: ec2.create_vpc(CidrBlock="10.7.0.0/16"), "Vpc.[VpcId, CidrBlock, State, InstanceTenancy]")
    at.vpc = vpc["Vpc"]["VpcId"]
    create = lambda block, zone: ec2.create_subnet(VpcId=at.vpc, CidrBlock=block, AvailabilityZone=zone)
    seen = "Subnet.[SubnetId, VpcId, CidrBlock, AvailabilityZone, AvailableIpAddressCount, MapPublicIpOnLaunch]"
    one = at.step("create a subnet", lambda: create("10.7.1.0/24", "eu-west-1a"), seen)["Subnet"]["SubnetId"]
    two = at.step("create another", lambda: create("10.7.2.0/24", "eu-west-1b"), seen)["Subnet"]["SubnetId"]
    at.step("create one that overlaps", lambda: create("10.7.2.128/25", "eu-west-1b"))
    at.step("create one outside the VPC", lambda: create("10.8.0.0/24", "eu-west-1b"))
    at.step("tag both", lambda: ec2.create_tags(Resources=[one, two], Tags=TAGGED))
    by_vpc = [{"Name": "vpc-id", "Values": [at.vpc]}]
    at.step("describe subnets by VPC", lambda: ec2.describe_subnets(Filters=by_vpc), "sort_by(Subnets, &CidrBlock)[].[CidrBlock, AvailabilityZone, State]")
    by_tag = [{"Name": "tag:windlass:cluster", "Values": ["prod"]}]
    at.step("describe subnets by tag", lambda: ec2.describe_subnets(Filters=by_tag), "sort_by(Subnets, &CidrBlock)[].CidrBlock")
    at.step("describe an absent subnet", lambda: ec2.describe_subnets(SubnetIds=["subnet-0123456789abcdef0"]))
    at.step("describe an absent VPC", lambda: ec2.describe_vpcs(VpcIds=["vpc-0123456789abcdef0"]))
    group = at.step("create a security group", lambda: ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=at.vpc), "GroupId")
    at.group = group.get("GroupId")
    return one, two


def instances(at, subnets):
    ec2 = at.ec2
    run_ = lambda **more: ec2.run_instances(
        ImageId=IMAGE, InstanceType="t3.small", SubnetId=subnets[0], SecurityGroupIds=[at.group], **{"MinCount": 2, "MaxCount": 2, **more}
    )
    tags = [{"ResourceType": "instance", "Tags": TAGGED}]
    seen = "[InstanceType, State.Name, SubnetId, VpcId, Placement.AvailabilityZone, AmiLaunchIndex, Architecture, SourceDestCheck]"
    launched = at.step("run two", lambda: run_(TagSpecifications=tags, UserData="cluster = 'prod'"), f"Instances[].{seen}")
    ids = [it["InstanceId"] for it in launched["Instances"]]
    describe = lambda **more: ec2.describe_instances(**{"InstanceIds": ids, **more})
    running = lambda answer: all(it["State"]["Name"] == "running" for held in answer["Reservations"] for it in held["Instances"])
    at.until(describe, running)
    at.step("describe them", describe, f"sort_by(Reservations[].Instances[], &AmiLaunchIndex)[].{seen}")
    at.step("their tags", describe, "Reservations[].Instances[].sort_by(Tags, &Key)[].[Key, Value]")
    at.step("their groups", describe, "Reservations[].Instances[].SecurityGroups[].[GroupName]")
    at.step("their interfaces", describe, "Reservations[].Instances[].NetworkInterfaces[].[Attachment.DeviceIndex, SubnetId, Status, SourceDestCheck]")
    filters = lambda *pairs: {"InstanceIds": [], "Filters": [{"Name": name, "Values": list(values)} for name, *values in pairs]}
    for name, wanted in {
        "by tag and state": [("tag:windlass:cluster", "prod"), ("instance-state-name", "pending", "running")],
        "by a tag's key": [("tag-key", "windlass:cluster")],
        "by a wildcard": [("tag:Name", "no*"), ("vpc-id", at.vpc)],
        "by zone and type": [("availability-zone", "eu-west-1a"), ("instance-type", "t3.small"), ("vpc-id", at.vpc)],
        "by another VPC": [("vpc-id", "vpc-0123456789abcdef0")],
        "by another state": [("tag:windlass:cluster", "prod"), ("instance-state-name", "stopped")],
    }.items():
        at.step(f"describe {name}", lambda: describe(**filters(*wanted)), "length(Reservations[].Instances[])")
    at.step("user data", lambda: ec2.describe_instances(InstanceIds=ids), "length(Reservations)")
    at.step("delete a tag", lambda: ec2.delete_tags(Resources=ids, Tags=[{"Key": "Name"}]))
    at.step("describe the tags left", lambda: ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ids[:1]}]), "Tags[].[Key, Value, ResourceType]")
    by_instance = [{"Name": "attachment.instance-id", "Values": ids}]
    at.step("describe interfaces", lambda: ec2.describe_network_interfaces(Filters=by_instance), "NetworkInterfaces[].[Status, SubnetId, Attachment.DeviceIndex, SourceDestCheck]")
    at.step("stop one", lambda: ec2.stop_instances(InstanceIds=ids[:1]), "StoppingInstances[].PreviousState.Name")
    stopped = lambda answer: answer["Reservations"][0]["Instances"][0]["State"]["Name"] == "stopped"
    at.until(lambda: describe(InstanceIds=ids[:1]), stopped)
    at.step("start it", lambda: ec2.start_instances(InstanceIds=ids[:1]), "StartingInstances[].PreviousState.Name")
    at.until(describe, running)
    at.step("terminate both", lambda: ec2.terminate_instances(InstanceIds=ids), "TerminatingInstances[].PreviousState.Name")
    gone = lambda answer: all(it["State"]["Name"] == "terminated" for held in answer["Reservations"] for it in held["Instances"])
    at.until(describe, gone)
    at.step("describe them terminated", describe, "Reservations[].Instances[].[State.Name, SubnetId]")
    at.step("terminate them again", lambda: ec2.terminate_instances(InstanceIds=ids), "TerminatingInstances[].PreviousState.Name")
    at.step("start a terminated one", lambda: ec2.start_instances(InstanceIds=ids[:1]))


def routes(at):
    ec2 = at.ec2
    by_vpc = [{"Name": "vpc-id", "Values": [at.vpc]}]
    seen = "RouteTables[].[VpcId, Associations[].Main, Routes[].[DestinationCidrBlock, GatewayId, State, Origin]]"
    at.step("describe the main route table", lambda: ec2.describe_route_tables(Filters=by_vpc), seen)
    table = at.step("create a route table", lambda: ec2.create_route_table(VpcId=at.vpc), "RouteTable.[VpcId, Routes[].[DestinationCidrBlock, GatewayId, State, Origin]]")
    table = table["RouteTable"]["RouteTableId"]
    at.step("tag it", lambda: ec2.create_tags(Resources=[table], Tags=TAGGED))
    by_tag = [{"Name": "tag:windlass:cluster", "Values": ["prod"]}]
    at.step("describe route tables by tag", lambda: ec2.describe_route_tables(Filters=by_tag), "RouteTables[].[RouteTableId, VpcId]")
    subnets = ec2.describe_subnets(Filters=by_vpc)["Subnets"]
    subnet = min(subnets, key=lambda it: it["CidrBlock"])["SubnetId"]
    made = at.step("associate it", lambda: ec2.associate_route_table(RouteTableId=table, SubnetId=subnet), "AssociationId")
    by_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
    at.step("describe a subnet's route table", lambda: ec2.describe_route_tables(Filters=by_subnet), "RouteTables[].[RouteTableId, Associations[].[RouteTableAssociationId, SubnetId, Main]]")
    at.step("disassociate it", lambda: ec2.disassociate_route_table(AssociationId=made.get("AssociationId", "none")))
    at.step("describe an absent route table", lambda: ec2.describe_route_tables(RouteTableIds=["rtb-0123456789abcdef0"]))


def refusals(at):
    ec2 = at.ec2
    at.step("describe an absent instance", lambda: ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"]))
    at.step("terminate an absent instance", lambda: ec2.terminate_instances(InstanceIds=["i-0123456789abcdef0"]))
    at.step("describe an ID that is none", lambda: ec2.describe_instances(InstanceIds=["what"]))
    at.step("run in an absent subnet", lambda: ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId="subnet-0123456789abcdef0"))
    at.step("run an unknown type", lambda: ec2.run_instances(ImageId=IMAGE, InstanceType="t3.huge", MinCount=1, MaxCount=1))
    at.step("run more than at most", lambda: ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", MinCount=2, MaxCount=1))
    at.step("run dry", lambda: ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1, DryRun=True))
    at.step("describe an unknown type", lambda: ec2.describe_instance_types(InstanceTypes=["t3.huge"]))
    seen = "InstanceTypes[].[InstanceType, VCpuInfo.DefaultVCpus, MemoryInfo.SizeInMiB, NetworkInfo.MaximumNetworkInterfaces, NetworkInfo.Ipv4AddressesPerInterface]"
    at.step("describe a type", lambda: ec2.describe_instance_types(InstanceTypes=["m5.large"]), seen)
    at.step("zones", lambda: ec2.describe_availability_zones(), "sort(AvailabilityZones[].ZoneName)")
