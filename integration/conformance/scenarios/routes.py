"""Routes to instances, to interfaces and to a gateway that is not there, and the source/destination check."""

IMAGE = "ami-0a1b2c3d4e5f60718"
TAGS = [{"ResourceType": "route-table", "Tags": [{"Key": "windlass:cluster", "Value": "prod"}]}]
POD = "100.64.0.0/24"


def run(at):
    ec2 = at.ec2
    vpc = ec2.create_vpc(CidrBlock="10.6.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.6.1.0/24", AvailabilityZone="eu-west-1a")["Subnet"]["SubnetId"]
    launch = lambda: ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", SubnetId=subnet, MinCount=1, MaxCount=1)["Instances"][0]
    one, two = launch(), launch()
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=TAGS)["RouteTable"]["RouteTableId"]
    ids = [one["InstanceId"], two["InstanceId"]]
    running = lambda answer: all(it["State"]["Name"] == "running" for held in answer["Reservations"] for it in held["Instances"])
    at.until(lambda: ec2.describe_instances(InstanceIds=ids), running)
    changes(at, table, ids)
    interfaces(at, table, one)
    refusals(at, table, ids)
    gone(at, table, ids)


def changes(at, table, ids):
    ec2 = at.ec2
    seen = "RouteTables[].Routes[?starts_with(DestinationCidrBlock, '100.64')][].[DestinationCidrBlock, InstanceId, State, Origin]"
    describe = lambda: ec2.describe_route_tables(RouteTableIds=[table])
    create = lambda cidr, **target: ec2.create_route(RouteTableId=table, DestinationCidrBlock=cidr, **target)
    at.step("make a route to an instance", lambda: create(POD, InstanceId=ids[0]), "Return")
    at.step("describe it", describe, seen)
    at.step("its interface and owner", describe, "RouteTables[].Routes[?starts_with(DestinationCidrBlock, '100.64')][].[NetworkInterfaceId!=null, InstanceOwnerId!=null]")
    at.step("make it again to another one", lambda: create(POD, InstanceId=ids[1]))
    at.step("make one to where the VPC is", lambda: create("10.6.0.0/16", InstanceId=ids[0]))
    replace = lambda cidr, **target: ec2.replace_route(RouteTableId=table, DestinationCidrBlock=cidr, **target)
    at.step("replace its target", lambda: replace(POD, InstanceId=ids[1]))
    at.step("describe it replaced", describe, seen)
    at.step("replace one that is not there", lambda: replace("100.65.0.0/24", InstanceId=ids[0]))
    by_tag = [{"Name": "tag:windlass:cluster", "Values": ["prod"]}, {"Name": "route.destination-cidr-block", "Values": [POD]}]
    at.step("describe tables by tag and route", lambda: ec2.describe_route_tables(Filters=by_tag), "RouteTables[].RouteTableId")
    delete = lambda cidr: ec2.delete_route(RouteTableId=table, DestinationCidrBlock=cidr)
    at.step("delete it", lambda: delete(POD))
    at.step("delete it again", lambda: delete(POD))
    at.step("describe the table without it", describe, seen)
    at.step("host bits", lambda: create("100.64.7.9/24", InstanceId=ids[0]))
    at.step("describe without host bits", describe, seen)
    at.tidy(lambda: delete("100.64.7.0/24"))
    at.tidy(lambda: delete("100.64.7.9/24"))


def interfaces(at, table, instance):
    ec2 = at.ec2
    interface = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    create = lambda: ec2.create_route(RouteTableId=table, DestinationCidrBlock=POD, NetworkInterfaceId=interface)
    at.step("make a route to an interface", create, "Return")
    off = lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, SourceDestCheck={"Value": False})
    at.step("switch its check off", off)
    seen = "NetworkInterfaces[].[SourceDestCheck, Status]"
    at.step("describe it unchecked", lambda: ec2.describe_network_interfaces(NetworkInterfaceIds=[interface]), seen)
    by_check = [{"Name": "network-interface-id", "Values": [interface]}, {"Name": "status", "Values": ["in-use"]}]
    at.step("describe interfaces by filter", lambda: ec2.describe_network_interfaces(Filters=by_check), seen)
    on = lambda: ec2.modify_instance_attribute(InstanceId=instance["InstanceId"], SourceDestCheck={"Value": True})
    at.step("switch the instance's check on", on)
    at.step("describe the check of both", lambda: ec2.describe_instances(InstanceIds=[instance["InstanceId"]]), "Reservations[].Instances[].[SourceDestCheck, NetworkInterfaces[].SourceDestCheck]")


def refusals(at, table, ids):
    ec2 = at.ec2
    create = lambda **more: ec2.create_route(**{"RouteTableId": table, "DestinationCidrBlock": "100.66.0.0/24", **more})
    absent = "0123456789abcdef0"
    for name, more in {
        "a table": {"RouteTableId": f"rtb-{absent}", "InstanceId": ids[0]},
        "an instance": {"InstanceId": f"i-{absent}"},
        "an interface": {"NetworkInterfaceId": f"eni-{absent}"},
        "a CIDR": {"DestinationCidrBlock": "100.66.0.0", "InstanceId": ids[0]},
    }.items():
        at.step(f"make one with {name} that is none", lambda: create(**more))
    at.step("make one without a target", lambda: create())
    at.tidy(lambda: ec2.delete_route(RouteTableId=table, DestinationCidrBlock="100.66.0.0/24"))
    at.step("make one dry", lambda: create(InstanceId=ids[0], DryRun=True))
    at.tidy(lambda: ec2.delete_route(RouteTableId=table, DestinationCidrBlock="100.66.0.0/24"))
    at.step("switch the check of no interface", lambda: ec2.modify_network_interface_attribute(NetworkInterfaceId=f"eni-{absent}", SourceDestCheck={"Value": False}))


def gone(at, table, ids):
    ec2 = at.ec2
    ec2.terminate_instances(InstanceIds=ids)
    ended = lambda answer: all(it["State"]["Name"] == "terminated" for held in answer["Reservations"] for it in held["Instances"])
    at.until(lambda: ec2.describe_instances(InstanceIds=ids), ended)
    at.step("describe a route whose target is gone", lambda: ec2.describe_route_tables(RouteTableIds=[table]), "RouteTables[].Routes[?starts_with(DestinationCidrBlock, '100.64')][].[DestinationCidrBlock, State]")
