"""Launch templates and their versions."""

from .ec2 import IMAGE

DATA = {"ImageId": IMAGE, "InstanceType": "t3.small", "UserData": "Y2x1c3RlciA9ICdwcm9kJw=="}


def run(at):
    ec2 = at.ec2
    create = lambda name="workers", data=DATA: ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    at.step("create", create, "LaunchTemplate.[LaunchTemplateName, DefaultVersionNumber, LatestVersionNumber]")
    at.step("create it again", create)
    add = lambda **more: ec2.create_launch_template_version(**{"LaunchTemplateName": "workers", "LaunchTemplateData": {**DATA, "InstanceType": "t3.large"}, **more})
    at.step("add a version", add, "LaunchTemplateVersion.[VersionNumber, DefaultVersion, LaunchTemplateData.[ImageId, InstanceType]]")
    at.step("add a version on a source", lambda: add(SourceVersion="1", LaunchTemplateData={"InstanceType": "m5.large"}), "LaunchTemplateVersion.[VersionNumber, LaunchTemplateData.[ImageId, InstanceType]]")
    describe = lambda **more: ec2.describe_launch_template_versions(LaunchTemplateName="workers", **more)
    seen = "LaunchTemplateVersions[].[VersionNumber, DefaultVersion, LaunchTemplateData.[InstanceType, UserData]]"
    at.step("describe versions", lambda: describe(), "sort(LaunchTemplateVersions[].VersionNumber)")
    at.step("describe the latest", lambda: describe(Versions=["$Latest"]), seen)
    at.step("describe the default", lambda: describe(Versions=["$Default"]), seen)
    at.step("describe an absent version", lambda: describe(Versions=["9"]))
    at.step("set the default", lambda: ec2.modify_launch_template(LaunchTemplateName="workers", DefaultVersion="2"), "LaunchTemplate.DefaultVersionNumber")
    at.step("describe templates", lambda: ec2.describe_launch_templates(LaunchTemplateNames=["workers"]), "LaunchTemplates[].[DefaultVersionNumber, LatestVersionNumber]")
    at.step("describe an absent template", lambda: ec2.describe_launch_templates(LaunchTemplateNames=["none"]))
    at.step("delete an absent template", lambda: ec2.delete_launch_template(LaunchTemplateName="none"))
