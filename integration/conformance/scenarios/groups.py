"""An Auto Scaling group from a launch template: from its creation to its instances, up and down."""

GROUP = "workers"
TAG = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "windlass:cluster", "Value": "prod", "PropagateAtLaunch": True}


def run(at):
    groups = at.autoscaling
    by_vpc = [{"Name": "vpc-id", "Values": [at.vpc]}]
    subnets = sorted(at.ec2.describe_subnets(Filters=by_vpc)["Subnets"], key=lambda it: it["CidrBlock"])
    zones = ",".join(it["SubnetId"] for it in subnets)
    create = lambda **more: groups.create_auto_scaling_group(**{
        "AutoScalingGroupName": GROUP,
        "LaunchTemplate": {"LaunchTemplateName": "workers", "Version": "1"},
        "MinSize": 0, "MaxSize": 4, "DesiredCapacity": 2, "VPCZoneIdentifier": zones, "Tags": [TAG], **more,
    })
    at.step("create from an absent template", lambda: create(LaunchTemplate={"LaunchTemplateName": "none", "Version": "1"}))
    at.step("create with more than at most", lambda: create(AutoScalingGroupName="many", DesiredCapacity=9))
    at.tidy(lambda: groups.delete_auto_scaling_group(AutoScalingGroupName="many", ForceDelete=True))
    empty = lambda: create(AutoScalingGroupName="empty", DesiredCapacity=0)
    at.step("create an empty one", empty)
    at.step("create it again", empty)
    at.step("delete it", lambda: groups.delete_auto_scaling_group(AutoScalingGroupName="empty"))
    at.step("create", create)
    describe = lambda: groups.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    in_service = lambda count: lambda answer: [it["LifecycleState"] for it in answer["AutoScalingGroups"][0]["Instances"]] == ["InService"] * count
    at.until(describe, in_service(2))
    at.step("describe", describe, "AutoScalingGroups[].[AutoScalingGroupName, MinSize, MaxSize, DesiredCapacity, HealthCheckType, DefaultCooldown, sort(AvailabilityZones)]")
    at.step("its instances", describe, "AutoScalingGroups[].Instances[].[LifecycleState, HealthStatus, ProtectedFromScaleIn, LaunchTemplate.Version]")
    at.step("their zones", describe, "sort(AutoScalingGroups[].Instances[].AvailabilityZone)")
    tagged = [{"Name": "tag:aws:autoscaling:groupName", "Values": [GROUP]}, {"Name": "tag:windlass:cluster", "Values": ["prod"]}]
    running = [*tagged, {"Name": "instance-state-name", "Values": ["running"]}]
    at.step("what EC2 says of them", lambda: at.ec2.describe_instances(Filters=running), "Reservations[].Instances[].[State.Name, InstanceType]")
    scale = lambda count: groups.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)
    at.step("scale up", lambda: scale(3))
    at.until(describe, in_service(3))
    at.step("scaled up", describe, "length(AutoScalingGroups[].Instances[])")
    at.step("scale beyond the most", lambda: scale(5))
    at.step("scale an absent group", lambda: groups.set_desired_capacity(AutoScalingGroupName="none", DesiredCapacity=1))
    at.step("update", lambda: groups.update_auto_scaling_group(AutoScalingGroupName=GROUP, MaxSize=6))
    at.step("updated", describe, "AutoScalingGroups[].MaxSize")
    one = describe()["AutoScalingGroups"][0]["Instances"][0]["InstanceId"]
    instance = lambda: groups.describe_auto_scaling_instances(InstanceIds=[one])
    at.step("describe an instance", instance, "AutoScalingInstances[].[AutoScalingGroupName, LifecycleState]")
    at.step("how it is spelled that it is well", instance, "AutoScalingInstances[].HealthStatus")
    at.step("describe an instance of no group", lambda: groups.describe_auto_scaling_instances(InstanceIds=["i-0123456789abcdef0"]), "AutoScalingInstances")
    at.step("describe an absent group", lambda: groups.describe_auto_scaling_groups(AutoScalingGroupNames=["none"]), "AutoScalingGroups")
    at.step("scale down", lambda: scale(0))
    at.until(describe, in_service(0))
    at.step("scaled down", describe, "AutoScalingGroups[].Instances")
    at.step("delete", lambda: groups.delete_auto_scaling_group(AutoScalingGroupName=GROUP))
    at.until(describe, lambda answer: not answer["AutoScalingGroups"])
    at.step("deleted", describe, "AutoScalingGroups")
