//! Instances that are stopped, started and rebooted.

use integration::region::Event;
use integration::region::iam::ADMINISTRATOR;

use super::{SECONDS_UNTIL_RUNNING, launch, one};
use crate::region_clients::{Lab, refusal};

/// EC2 User Guide, "Stop and start Amazon EC2 instances": LaunchTime is that of the last start.
#[tokio::test]
async fn a_restart_is_a_launch_as_far_as_the_launch_time_goes() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let id = launch(&lab, &ec2, 1, &[]).await.remove(0);
    lab.after(SECONDS_UNTIL_RUNNING);
    ec2.stop_instances().instance_ids(&id).send().await.expect("stopping");
    let early = refusal(ec2.start_instances().instance_ids(&id).send().await);
    assert!(early.starts_with("400 IncorrectInstanceState: "), "{early}");
    lab.after(60);
    ec2.start_instances().instance_ids(&id).send().await.expect("starting");
    lab.after(SECONDS_UNTIL_RUNNING);
    let held = one(&ec2, &id).await;
    assert_eq!(held.launch_time().expect("a time").to_string(), "2026-11-23T12:01:02Z");
    assert_eq!(held.private_ip_address(), Some("10.0.1.4"));
    let status = ec2.describe_instance_status().send().await.expect("statuses");
    assert_eq!(status.instance_statuses().len(), 1);
}

/// EC2 API Reference, "StopInstances", "RebootInstances" and "InstanceState": all instances named, or
/// with an error none.
#[tokio::test]
async fn instances_are_stopped_and_rebooted_when_their_state_allows_it() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let ids = launch(&lab, &ec2, 2, &[]).await;
    let reboot =
        |ids: &[String]| ec2.reboot_instances().set_instance_ids(Some(ids.to_vec())).send();
    let wrong = |id: &str, wish: &str| {
        format!(
            "400 IncorrectInstanceState: The instance '{id}' is not in a state from which it can be {wish}."
        )
    };
    assert_eq!(refusal(reboot(&ids[..1]).await), wrong(&ids[0], "rebooted"), "it is pending");
    lab.after(SECONDS_UNTIL_RUNNING);
    let mut events = lab.region.events();
    reboot(&ids).await.expect("both run");
    for id in &ids {
        assert_eq!(events.recv().await, Ok(Event::InstanceRebooted { id: id.clone() }));
    }
    let stopped = ec2.stop_instances().instance_ids(&ids[0]).send().await.expect("it runs");
    let change = &stopped.stopping_instances()[0];
    let name = |state: Option<&aws_sdk_ec2::types::InstanceState>| {
        state.and_then(|state| state.name()).map(|name| name.as_str().to_owned())
    };
    assert_eq!(name(change.previous_state()).as_deref(), Some("running"));
    assert_eq!(name(change.current_state()).as_deref(), Some("stopping"));
    lab.after(2);
    let held = one(&ec2, &ids[0]).await;
    assert_eq!(name(held.state()).as_deref(), Some("stopped"));
    assert_eq!(
        held.state_reason().and_then(|reason| reason.code()),
        Some("Client.UserInitiatedShutdown")
    );
    let mut events = lab.region.events();
    let both = [ids[1].clone(), ids[0].clone()];
    assert_eq!(refusal(reboot(&both).await), wrong(&ids[0], "rebooted"));
    lab.region.with(|_, _| ());
    assert!(events.try_recv().is_err(), "the other one is not rebooted either");
}
