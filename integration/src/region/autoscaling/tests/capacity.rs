//! Scaling out and in.

use super::*;

/// Auto Scaling User Guide, "Availability Zone distribution".
#[test]
fn instances_are_spread_over_the_zones_and_leave_the_fullest_first() {
    let mut lab = Fixture::new();
    lab.desire(3);
    assert_eq!(lab.zones(), ["eu-west-1a", "eu-west-1a", "eu-west-1b"]);
    lab.after(2);
    assert_eq!(lab.states(), ["InService"; 3]);
    lab.desire(2);
    assert_eq!(lab.zones(), ["eu-west-1a", "eu-west-1b"]);
    lab.after(2);
    assert_eq!(lab.states(), ["InService"; 2]);
}

/// Auto Scaling User Guide, "Tag Auto Scaling groups and instances".
#[test]
fn an_instance_has_the_tags_of_its_group_and_template() {
    let mut lab = Fixture::new();
    lab.desire(1);
    let template = lab.state.autoscaling.group("workers").expect("the group").template.id.clone();
    let tags: Vec<(String, String)> = lab
        .state
        .ec2
        .tags_of(&lab.only())
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        tags,
        [
            tag("aws:autoscaling:groupName", "workers"),
            tag("aws:ec2launchtemplate:id", &template),
            tag("aws:ec2launchtemplate:version", "1"),
            tag("role", "worker"),
        ]
    );
}

/// Auto Scaling User Guide, "Health checks for instances in an Auto Scaling group".
#[test]
fn an_instance_that_somebody_else_ended_is_replaced() {
    let mut lab = Fixture::new();
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.state.ec2.terminate(&first, lab.now).expect("known");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
    lab.after(2);
    assert_ne!(lab.only(), first);
}

#[test]
fn a_launch_that_ec2_refuses_is_told_and_tried_again_after_a_pause() {
    let mut lab = Fixture::new();
    let unknown = LaunchSpec { image: Some("ami-00000000".into()), ..LaunchSpec::default() };
    let by = Author { arn: "arn:aws:iam::123456789012:user/operator", now: NOON };
    let name = TemplateName::Name("workers".into());
    lab.state.ec2.create_template_version(&name, None, None, unknown, by).expect("a version");
    lab.state.autoscaling.group_mut("workers").expect("the group").template.version =
        "$Latest".into();
    lab.desire(2);
    assert_eq!(lab.states(), [""; 0]);
    assert_eq!(
        lab.last_activity().status_message.as_deref(),
        Some("The image id '[ami-00000000]' does not exist Launching EC2 instance failed.")
    );
    assert_eq!(lab.state.next_deadline(), Some(NOON + Duration::from_secs(30)));
    lab.state.autoscaling.group_mut("workers").expect("the group").template.version = "1".into();
    lab.after(30);
    assert_eq!(lab.states(), ["Pending"; 2]);
}

#[test]
fn a_group_that_is_deleted_by_force_goes_with_its_last_instance_and_asks_no_hook() {
    let mut lab = Fixture::with_hooks(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.desire(2);
    lab.after(2);
    let refused =
        delete_group(&mut lab.state, "workers", false, lab.now).expect_err("it has instances");
    assert_eq!(refused.code, "ResourceInUse");
    delete_group(&mut lab.state, "workers", true, lab.now).expect("by force");
    assert_eq!(lab.states(), ["Terminating"; 2]);
    lab.after(2);
    assert_eq!(lab.state.autoscaling.groups().count(), 0);
}

#[test]
fn a_termination_by_request_is_replaced_unless_the_capacity_shrinks() {
    let mut lab = Fixture::new();
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    terminate_member(&mut lab.state, &first, false, lab.now).expect("a member");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
    lab.after(2);
    let second = lab.only();
    terminate_member(&mut lab.state, &second, true, lab.now).expect("a member");
    lab.after(2);
    assert_eq!(lab.states(), [""; 0]);
}

/// A clock that leaps over everything leaves what one leaves that goes second by second.
#[test]
fn a_leap_of_the_clock_is_like_waiting() {
    let region = |steps: u64| {
        let mut lab = Fixture::with_hooks(vec![hook(IN, Transition::Launching, 45)]);
        lab.desire(2);
        for _ in 0..steps {
            lab.after(600 / steps);
        }
        let told = lab.state.autoscaling.activities().to_vec();
        (told, lab.state.events.clone(), lab.states().len())
    };
    assert_eq!(region(1), region(600));
}
