//! What is done to single instances of a group, driven by the Rust SDK.

use aws_sdk_autoscaling::Client;
use integration::region::iam::ADMINISTRATOR;

use crate::region_autoscaling::{SECONDS_UNTIL_RUNNING, create, group, members, states};
use crate::region_clients::{Lab, allow, refusal};

/// A group of so many in service, which have completed the hook of their launch.
pub async fn in_service(lab: &Lab, client: &Client, count: i32) -> Vec<String> {
    create(lab, client, "workers", count).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    let ids: Vec<String> =
        members(lab, "workers").into_iter().map(|member| member.instance).collect();
    for id in &ids {
        complete(client, "launch", id).await;
    }
    ids
}

pub async fn complete(client: &Client, hook: &str, instance: &str) {
    client
        .complete_lifecycle_action()
        .auto_scaling_group_name("workers")
        .lifecycle_hook_name(hook)
        .instance_id(instance)
        .lifecycle_action_result("CONTINUE")
        .send()
        .await
        .expect("it is waited for");
}

/// API Reference, "EnterStandby" and "ExitStandby".
#[tokio::test]
async fn an_instance_goes_to_standby_and_comes_back() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let ids = in_service(&lab, &client, 2).await;
    let enter = |id: &str| {
        client
            .enter_standby()
            .auto_scaling_group_name("workers")
            .instance_ids(id)
            .should_decrement_desired_capacity(true)
            .send()
    };
    let told = enter(&ids[0]).await.expect("in service");
    assert_eq!(
        told.activities()[0].description(),
        Some(format!("Moving EC2 instance to Standby: {}", ids[0]).as_str())
    );
    assert_eq!(states(&client, "workers").await, ["InService", "Standby"]);
    assert_eq!(group(&client, "workers").await.desired_capacity(), Some(1));
    assert_eq!(
        refusal(enter(&ids[0]).await),
        format!(
            "400 ValidationError: The instance {} is not in InService: it is in Standby.",
            ids[0]
        )
    );
    let exit = client.exit_standby().auto_scaling_group_name("workers").instance_ids(&ids[0]);
    assert_eq!(exit.send().await.expect("in standby").activities().len(), 1);
    assert_eq!(states(&client, "workers").await, ["InService", "Pending:Wait"]);
    complete(&client, "launch", &ids[0]).await;
    assert_eq!(states(&client, "workers").await, ["InService", "InService"]);
}

/// API Reference, "DetachInstances".
#[tokio::test]
async fn a_detached_instance_is_in_no_group() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let ids = in_service(&lab, &client, 2).await;
    let detach = |id: &str| {
        client
            .detach_instances()
            .auto_scaling_group_name("workers")
            .instance_ids(id)
            .should_decrement_desired_capacity(true)
            .send()
    };
    detach(&ids[0]).await.expect("in service");
    let told = client.describe_auto_scaling_instances().send().await.expect("instances");
    let told: Vec<_> =
        told.auto_scaling_instances().iter().filter_map(|held| held.instance_id()).collect();
    assert_eq!(told, [ids[1].as_str()]);
    assert_eq!(
        refusal(detach(&ids[0]).await),
        format!(
            "400 ValidationError: The instance {} is not part of Auto Scaling group workers.",
            ids[0]
        )
    );
}

/// API Reference, "SetInstanceHealth" and "SetInstanceProtection".
#[tokio::test]
async fn an_instance_is_called_unhealthy_or_protected() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let ids = in_service(&lab, &client, 2).await;
    let protect = client.set_instance_protection().auto_scaling_group_name("workers");
    let protect = protect.set_instance_ids(Some(ids.clone())).protected_from_scale_in(true);
    protect.send().await.expect("members");
    let held = group(&client, "workers").await;
    assert!(held.instances().iter().all(|held| held.protected_from_scale_in() == Some(true)));
    let scale = client.set_desired_capacity().auto_scaling_group_name("workers");
    scale.desired_capacity(1).send().await.expect("within bounds");
    assert_eq!(states(&client, "workers").await, ["InService", "InService"]);

    let judge = |status: &str| {
        client.set_instance_health().instance_id(&ids[0]).health_status(status).send()
    };
    assert_eq!(
        refusal(judge("Ill").await),
        "400 ValidationError: Unknown health status 'Ill': it is neither Healthy nor Unhealthy"
    );
    judge("Unhealthy").await.expect("a member");
    assert_eq!(states(&client, "workers").await, ["InService", "Terminating:Wait"]);
    complete(&client, "end", &ids[0]).await;
    lab.after(2);
    assert_eq!(states(&client, "workers").await, ["InService"], "one is what was wished for");
}

/// Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2 Auto
/// Scaling": all of these are actions on the group, whose tags are condition keys.
#[tokio::test]
async fn what_is_done_to_an_instance_needs_the_right_to_its_group() {
    let lab = Lab::new(ADMINISTRATOR);
    let operator = lab.autoscaling(&lab.operator());
    let ids = in_service(&lab, &operator, 1).await;
    let own = |cluster: &str| {
        let condition = serde_json::json!({"StringEquals": {"autoscaling:ResourceTag/windlass:cluster": cluster}});
        let actions = ["SetInstanceHealth", "EnterStandby", "ExitStandby", "DetachInstances"];
        let actions = actions.map(|action| format!("autoscaling:{action}"));
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        allow(&actions, "*", condition)
    };
    let other = lab.autoscaling(&lab.user("other", &own("other")));
    let health = |client: &Client| {
        client.set_instance_health().instance_id(&ids[0]).health_status("Healthy").send()
    };
    assert!(refusal(health(&other).await).starts_with("403 AccessDenied: "));
    let enter = |client: &Client| {
        client
            .enter_standby()
            .auto_scaling_group_name("workers")
            .instance_ids(&ids[0])
            .should_decrement_desired_capacity(true)
            .send()
    };
    assert!(refusal(enter(&other).await).starts_with("403 AccessDenied: "));
    let owner = lab.autoscaling(&lab.user("owner", &own("lab")));
    health(&owner).await.expect("its own group");
    enter(&owner).await.expect("its own group");
    let protect = owner.set_instance_protection().auto_scaling_group_name("workers");
    let protect = protect.instance_ids(&ids[0]).protected_from_scale_in(true).send().await;
    assert!(refusal(protect).starts_with("403 AccessDenied: "), "it is not listed");
}

/// API Reference, "DeleteLifecycleHook": outstanding actions are completed first.
#[tokio::test]
async fn completing_the_action_of_a_deleted_hook_is_refused() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let ids = in_service(&lab, &client, 1).await;
    let scale = client.set_desired_capacity().auto_scaling_group_name("workers");
    scale.desired_capacity(0).send().await.expect("within bounds");
    assert_eq!(states(&client, "workers").await, ["Terminating:Wait"]);
    let delete = client.delete_lifecycle_hook().auto_scaling_group_name("workers");
    delete.lifecycle_hook_name("end").send().await.expect("there is one");
    assert_eq!(states(&client, "workers").await, ["Terminating"]);
    let beat = client
        .record_lifecycle_action_heartbeat()
        .auto_scaling_group_name("workers")
        .lifecycle_hook_name("end")
        .instance_id(&ids[0]);
    assert_eq!(
        refusal(beat.send().await),
        format!(
            "400 ValidationError: No active Lifecycle Action found with instance ID {}",
            ids[0]
        )
    );
}
