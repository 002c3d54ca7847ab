//! Warm pools, driven by the Rust SDK.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::operation::describe_warm_pool::DescribeWarmPoolOutput;
use aws_sdk_autoscaling::types::{InstanceReusePolicy, WarmPoolState};
use integration::region::iam::ADMINISTRATOR;

use crate::region_autoscaling::{SECONDS_UNTIL_RUNNING, create, group, members, states};
use crate::region_clients::{Lab, refusal};
use crate::region_members::complete;

async fn pool(client: &Client) -> DescribeWarmPoolOutput {
    let told = client.describe_warm_pool().auto_scaling_group_name("workers").send().await;
    told.expect("a group")
}

fn pool_states(told: &DescribeWarmPoolOutput) -> Vec<&str> {
    let held = told.instances().iter();
    held.filter_map(|held| Some(held.lifecycle_state()?.as_str())).collect()
}

/// API Reference, "PutWarmPool" and "DescribeWarmPool"; User Guide, "Use lifecycle hooks with a warm
/// pool" and "Retrieve the target lifecycle state through instance metadata".
#[tokio::test]
async fn a_pool_is_made_drawn_from_returned_to_and_deleted() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    create(&lab, &client, "workers", 0).await;
    let reuse = InstanceReusePolicy::builder().reuse_on_scale_in(true).build();
    let put = client
        .put_warm_pool()
        .auto_scaling_group_name("workers")
        .max_group_prepared_capacity(1)
        .pool_state(WarmPoolState::Stopped)
        .instance_reuse_policy(reuse);
    put.send().await.expect("a pool");
    let id = members(&lab, "workers").remove(0).instance;
    let target = || lab.region.with(|state, _| state.autoscaling.target_lifecycle_state(&id));
    assert_eq!(target().as_deref(), Some("Warmed:Stopped"));
    lab.after(SECONDS_UNTIL_RUNNING);
    assert_eq!(pool_states(&pool(&client).await), ["Warmed:Pending:Wait"]);
    assert_eq!(states(&client, "workers").await, [""; 0], "the pool is told apart");
    complete(&client, "launch", &id).await;
    lab.after(2);
    let told = pool(&client).await;
    assert_eq!(pool_states(&told), ["Warmed:Stopped"]);
    let configuration = told.warm_pool_configuration().expect("a configuration");
    assert_eq!(
        (configuration.max_group_prepared_capacity(), configuration.min_size()),
        (Some(1), Some(0))
    );
    let reuse = configuration.instance_reuse_policy().and_then(|held| held.reuse_on_scale_in());
    assert_eq!(reuse, Some(true));
    assert_eq!(group(&client, "workers").await.warm_pool_size(), Some(1));

    let scale = |desired| {
        let scale = client.set_desired_capacity().auto_scaling_group_name("workers");
        scale.desired_capacity(desired).send()
    };
    scale(1).await.expect("within bounds");
    lab.after(SECONDS_UNTIL_RUNNING);
    assert_eq!(states(&client, "workers").await, ["Pending:Wait"]);
    complete(&client, "launch", &id).await;
    assert_eq!(target().as_deref(), Some("InService"));
    scale(0).await.expect("within bounds");
    assert_eq!(pool_states(&pool(&client).await), ["Warmed:Pending:Wait"]);
    assert_eq!(target().as_deref(), Some("Warmed:Stopped"));
    complete(&client, "end", &id).await;
    lab.after(2);
    assert_eq!(pool_states(&pool(&client).await), ["Warmed:Stopped"]);

    let delete = || client.delete_warm_pool().auto_scaling_group_name("workers").send();
    delete().await.expect("there is one");
    let told = pool(&client).await;
    assert_eq!(pool_states(&told), ["Warmed:Terminating:Wait"]);
    let status = told.warm_pool_configuration().and_then(|held| held.status());
    assert_eq!(status.map(|status| status.as_str()), Some("PendingDelete"));
    complete(&client, "end", &id).await;
    lab.after(2);
    assert!(pool(&client).await.warm_pool_configuration().is_none());
    assert_eq!(
        refusal(delete().await),
        "400 ValidationError: No warm pool found for Auto Scaling group workers"
    );
}
