//! Capacity rebalancing, driven by the Rust SDK.

use integration::region::ec2::{LaunchSpec, Market};
use integration::region::iam::ADMINISTRATOR;

use crate::region_autoscaling::{SECONDS_UNTIL_RUNNING, group, states};
use crate::region_clients::Lab;
use crate::region_members::in_service;

/// API Reference, "UpdateAutoScalingGroup", CapacityRebalance; User Guide, "Use Capacity Rebalancing
/// to handle Amazon EC2 Spot Interruptions".
#[tokio::test]
async fn a_group_with_capacity_rebalancing_heeds_a_recommendation() {
    let lab = Lab::new(ADMINISTRATOR);
    lab.new_version(LaunchSpec { market: Some(Market::Spot), ..LaunchSpec::default() });
    let client = lab.autoscaling(&lab.operator());
    let ids = in_service(&lab, &client, 1).await;
    assert_eq!(group(&client, "workers").await.capacity_rebalance(), Some(false));
    let recommend =
        || lab.region.with(|state, now| state.ec2.recommend_rebalance(&ids[0], now)).unwrap();
    recommend();
    assert_eq!(states(&client, "workers").await, ["InService"]);

    let update = client.update_auto_scaling_group().auto_scaling_group_name("workers");
    update.capacity_rebalance(true).send().await.expect("a group");
    assert_eq!(group(&client, "workers").await.capacity_rebalance(), Some(true));
    recommend();
    assert_eq!(states(&client, "workers").await, ["InService", "Pending"]);
    lab.after(SECONDS_UNTIL_RUNNING);
    assert_eq!(states(&client, "workers").await, ["InService", "Pending:Wait"]);
}
