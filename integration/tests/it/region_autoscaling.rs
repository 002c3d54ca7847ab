//! The region's Auto Scaling, driven by the Rust SDK. Each strict rule names the page of the AWS
//! documentation that it follows.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, LaunchTemplateSpecification, LifecycleHookSpecification, Tag,
};
use integration::region::autoscaling::Member;
use integration::region::ec2::LaunchSpec;
use integration::region::iam::ADMINISTRATOR;
use windlass::policies::{Identity, Scope, render};

use crate::region_clients::{Lab, refusal};

pub const SECONDS_UNTIL_RUNNING: u64 = 2;

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).propagate_at_launch(true).build()
}

fn hook(name: &str, transition: &str) -> LifecycleHookSpecification {
    LifecycleHookSpecification::builder()
        .lifecycle_hook_name(name)
        .lifecycle_transition(format!("autoscaling:EC2_INSTANCE_{transition}"))
        .heartbeat_timeout(300)
        .build()
}

/// A group of so many over both subnets, for the cluster `lab`, with a hook on each way.
pub async fn create(lab: &Lab, client: &Client, name: &str, desired: i32) {
    let template = LaunchTemplateSpecification::builder()
        .launch_template_id(&lab.template)
        .version("$Latest")
        .build();
    client
        .create_auto_scaling_group()
        .auto_scaling_group_name(name)
        .launch_template(template)
        .min_size(0)
        .max_size(6)
        .desired_capacity(desired)
        .vpc_zone_identifier(lab.subnets.join(","))
        .lifecycle_hook_specification_list(hook("launch", "LAUNCHING"))
        .lifecycle_hook_specification_list(hook("end", "TERMINATING"))
        .tags(tag("windlass:cluster", "lab"))
        .send()
        .await
        .expect("a group");
}

pub async fn group(client: &Client, name: &str) -> AutoScalingGroup {
    let told = client
        .describe_auto_scaling_groups()
        .auto_scaling_group_names(name)
        .send()
        .await
        .expect("groups");
    told.auto_scaling_groups()[0].clone()
}

pub async fn states(client: &Client, name: &str) -> Vec<String> {
    let held = group(client, name).await;
    let mut states: Vec<String> = held
        .instances()
        .iter()
        .map(|held| held.lifecycle_state().expect("a state").to_string())
        .collect();
    states.sort();
    states
}

/// The members, the oldest first.
pub fn members(lab: &Lab, name: &str) -> Vec<Member> {
    let mut members: Vec<Member> = lab.region.with(|state, _| {
        state
            .autoscaling
            .group(name)
            .map(|group| group.members.values().cloned().collect())
            .unwrap_or_default()
    });
    members.sort_by_key(|member| (member.launched_at, member.instance.clone()));
    members
}

/// API Reference, "AutoScalingGroup"; User Guide, "Availability Zone distribution".
#[tokio::test]
async fn a_group_launches_its_template_over_its_zones() {
    let lab = Lab::new(ADMINISTRATOR);
    lab.new_version(LaunchSpec {
        instance_type: Some("m5.xlarge".to_owned()),
        ..LaunchSpec::default()
    });
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 2).await;
    assert_eq!(states(&client, "workers").await, ["Pending", "Pending"]);
    lab.after(SECONDS_UNTIL_RUNNING);
    let held = group(&client, "workers").await;
    let mut zones: Vec<_> =
        held.instances().iter().filter_map(|held| held.availability_zone()).collect();
    zones.sort();
    assert_eq!(zones, ["eu-west-1a", "eu-west-1b"]);
    assert_eq!(states(&client, "workers").await, ["Pending:Wait", "Pending:Wait"]);
    let first = &held.instances()[0];
    assert_eq!(
        (first.instance_type(), first.health_status()),
        (Some("m5.xlarge"), Some("Healthy"))
    );
    assert_eq!(first.launch_template().and_then(|template| template.version()), Some("2"));
    let arn = held.auto_scaling_group_arn().expect("an ARN");
    assert!(
        arn.starts_with("arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:"),
        "{arn}"
    );
    assert!(arn.ends_with(":autoScalingGroupName/workers"), "{arn}");

    let id = first.instance_id().expect("an ID");
    let told = client.describe_auto_scaling_instances().instance_ids(id).send().await.expect("one");
    let told = &told.auto_scaling_instances()[0];
    assert_eq!(
        (told.auto_scaling_group_name(), told.lifecycle_state()),
        (Some("workers"), Some("Pending:Wait"))
    );
    let tags = lab.region.with(|state, _| state.ec2.tags_of(id).clone());
    assert_eq!(tags.get("aws:autoscaling:groupName").map(String::as_str), Some("workers"));
    assert_eq!(tags.get("windlass:cluster").map(String::as_str), Some("lab"));

    let again = client
        .create_auto_scaling_group()
        .auto_scaling_group_name("workers")
        .min_size(0)
        .max_size(1);
    let template = LaunchTemplateSpecification::builder().launch_template_name("workers").build();
    let again = again.launch_template(template).vpc_zone_identifier(&lab.subnets[0]).send().await;
    assert!(refusal(again).starts_with("400 AlreadyExists: "));
}

/// DESIGN section 7 and User Guide, "Complete a lifecycle action": with the shipped worker policy
/// an instance completes the hooks of its own cluster's groups only.
#[tokio::test]
async fn an_instance_completes_its_hook_with_the_shipped_policy() {
    let scope = |cluster: &str| Scope {
        cluster: cluster.to_owned(),
        bucket: "acme-kubernetes".to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: Some("123456789012".to_owned()),
        kms_key: None,
    };
    for (cluster, allowed) in [("lab", true), ("other", false)] {
        let lab = Lab::new(&render(Identity::Worker, &scope(cluster)).expect("a policy"));
        let operator = lab.autoscaling(&lab.operator());
        create(&lab, &operator, "workers", 1).await;
        lab.after(SECONDS_UNTIL_RUNNING);
        let id = members(&lab, "workers").remove(0).instance;
        let own = lab.autoscaling(&lab.instance(&id));
        let done = own
            .complete_lifecycle_action()
            .auto_scaling_group_name("workers")
            .lifecycle_hook_name("launch")
            .instance_id(&id)
            .lifecycle_action_result("CONTINUE")
            .send()
            .await;
        if allowed {
            done.expect("its own cluster's group");
            assert_eq!(states(&operator, "workers").await, ["InService"]);
            let refused = own.describe_auto_scaling_groups().send().await;
            assert!(refusal(refused).starts_with("403 AccessDenied: "));
        } else {
            assert!(refusal(done).starts_with("403 AccessDenied: "));
            assert_eq!(states(&operator, "workers").await, ["Pending:Wait"]);
        }
    }
}

/// API Reference, "CompleteLifecycleAction": by token too; an action is completed once.
#[tokio::test]
async fn a_finished_action_is_a_validation_error() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 1).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    let member = members(&lab, "workers").remove(0);
    let token = member.state.actions().expect("waiting")["launch"].token.clone();
    let complete = || {
        let action = client.complete_lifecycle_action().auto_scaling_group_name("workers");
        action.lifecycle_hook_name("launch").lifecycle_action_result("CONTINUE")
    };
    let beat = || {
        client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name("workers")
            .lifecycle_hook_name("launch")
    };
    beat().lifecycle_action_token(&token).send().await.expect("waiting");
    complete().lifecycle_action_token(&token).send().await.expect("waiting");
    assert_eq!(states(&client, "workers").await, ["InService"]);

    let id = &member.instance;
    let by_id =
        format!("400 ValidationError: No active Lifecycle Action found with instance ID {id}");
    assert_eq!(refusal(complete().instance_id(id).send().await), by_id);
    assert_eq!(refusal(beat().instance_id(id).send().await), by_id);
    assert_eq!(
        refusal(complete().lifecycle_action_token(&token).send().await),
        format!("400 ValidationError: No active Lifecycle Action found with token {token}")
    );
}

/// User Guide, "How lifecycle hooks work": ABANDON ends the instance, and another one comes.
#[tokio::test]
async fn an_abandoned_launch_is_replaced_and_told_among_the_activities() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 1).await;
    client
        .delete_lifecycle_hook()
        .auto_scaling_group_name("workers")
        .lifecycle_hook_name("end")
        .send()
        .await
        .expect("deleted");
    lab.after(SECONDS_UNTIL_RUNNING);
    let first = members(&lab, "workers").remove(0).instance;
    let abandon = client
        .complete_lifecycle_action()
        .auto_scaling_group_name("workers")
        .lifecycle_hook_name("launch");
    abandon.instance_id(&first).lifecycle_action_result("ABANDON").send().await.expect("waiting");
    assert_eq!(states(&client, "workers").await, ["Pending", "Terminating"]);
    lab.after(SECONDS_UNTIL_RUNNING);
    assert_eq!(states(&client, "workers").await, ["Pending:Wait"]);
    assert_ne!(members(&lab, "workers")[0].instance, first);

    let told = client
        .describe_scaling_activities()
        .auto_scaling_group_name("workers")
        .send()
        .await
        .expect("activities");
    let told: Vec<_> = told
        .activities()
        .iter()
        .map(|held| {
            (
                held.description().unwrap_or_default().to_owned(),
                held.status_code().map(|code| code.as_str().to_owned()).unwrap_or_default(),
            )
        })
        .collect();
    let second = &members(&lab, "workers")[0].instance;
    let line = |description: String, status: &str| (description, status.to_owned());
    assert_eq!(
        told,
        [
            line(format!("Launching a new EC2 instance: {second}"), "MidLifecycleAction"),
            line(format!("Terminating EC2 instance: {first}"), "Successful"),
            line(format!("Launching a new EC2 instance: {first}"), "Cancelled"),
        ]
    );
}

/// User Guide, "Amazon EC2 Auto Scaling instance lifecycle", with the metadata service's view.
#[tokio::test]
async fn scaling_in_waits_for_the_termination_hook() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 1).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    let id = members(&lab, "workers").remove(0).instance;
    let complete = |hook: &str| {
        let action = client
            .complete_lifecycle_action()
            .auto_scaling_group_name("workers")
            .lifecycle_hook_name(hook);
        action.instance_id(&id).lifecycle_action_result("CONTINUE").send()
    };
    let target = || lab.region.with(|state, _| state.autoscaling.target_lifecycle_state(&id));
    complete("launch").await.expect("waiting");
    assert_eq!(target().as_deref(), Some("InService"));

    let scale = |desired| {
        client
            .set_desired_capacity()
            .auto_scaling_group_name("workers")
            .desired_capacity(desired)
            .send()
    };
    assert_eq!(
        refusal(scale(7).await),
        "400 ValidationError: New SetDesiredCapacity value 7 is above max value 6 for the AutoScalingGroup."
    );
    scale(0).await.expect("within bounds");
    assert_eq!(states(&client, "workers").await, ["Terminating:Wait"]);
    assert_eq!(target().as_deref(), Some("Terminated"));
    complete("end").await.expect("waiting");
    assert_eq!(states(&client, "workers").await, ["Terminating"]);
    lab.after(2);
    assert_eq!(states(&client, "workers").await, [""; 0]);
    assert_eq!(target(), None);
    client
        .delete_auto_scaling_group()
        .auto_scaling_group_name("workers")
        .send()
        .await
        .expect("it is empty");
    let none = client.describe_auto_scaling_groups().send().await.expect("groups");
    assert_eq!(none.auto_scaling_groups().len(), 0);
}

/// API Reference, "PutLifecycleHook", "DescribeLifecycleHooks".
#[tokio::test]
async fn hooks_have_their_defaults_and_bounds() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 0).await;
    let put = |name: &str, seconds: Option<i32>| {
        let put = client
            .put_lifecycle_hook()
            .auto_scaling_group_name("workers")
            .lifecycle_hook_name(name);
        put.lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
            .set_heartbeat_timeout(seconds)
            .send()
    };
    put("default", None).await.expect("a hook");
    assert!(refusal(put("short", Some(29)).await).starts_with("400 ValidationError: "));
    assert!(refusal(put("long", Some(7201)).await).starts_with("400 ValidationError: "));
    let told = client
        .describe_lifecycle_hooks()
        .auto_scaling_group_name("workers")
        .send()
        .await
        .expect("hooks");
    let told: Vec<_> = told
        .lifecycle_hooks()
        .iter()
        .map(|hook| {
            (
                hook.lifecycle_hook_name(),
                hook.heartbeat_timeout(),
                hook.global_timeout(),
                hook.default_result(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("default"), Some(3600), Some(172_800), Some("ABANDON")),
            (Some("end"), Some(300), Some(30_000), Some("ABANDON")),
            (Some("launch"), Some(300), Some(30_000), Some("ABANDON")),
        ]
    );
    let unknown = client.describe_lifecycle_hooks().auto_scaling_group_name("none").send().await;
    assert_eq!(
        refusal(unknown),
        "400 ValidationError: AutoScalingGroup name not found - AutoScalingGroup 'none' not found"
    );
}

/// API Reference, "TerminateInstanceInAutoScalingGroup".
#[tokio::test]
async fn an_instance_is_terminated_by_request_with_or_without_a_successor() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 1).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    let id = members(&lab, "workers").remove(0).instance;
    let end = |id: &str, decrement| {
        client
            .terminate_instance_in_auto_scaling_group()
            .instance_id(id)
            .should_decrement_desired_capacity(decrement)
            .send()
    };
    let ended = end(&id, false).await.expect("a member");
    let cause = ended.activity().and_then(|held| held.cause()).expect("a cause");
    assert!(
        cause.ends_with(&format!(
            "instance {id} was taken out of service in response to a user request."
        )),
        "{cause}"
    );
    assert_eq!(states(&client, "workers").await, ["Pending", "Terminating:Wait"]);
    assert!(
        refusal(end("i-00000000000000001", true).await)
            .starts_with("400 ValidationError: Instance Id not found")
    );

    let second = members(&lab, "workers")
        .into_iter()
        .find(|member| member.instance != id)
        .expect("a successor");
    end(&second.instance, true).await.expect("a member");
    assert_eq!(group(&client, "workers").await.desired_capacity(), Some(0));
}
