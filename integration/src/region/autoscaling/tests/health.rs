//! Unhealthy instances, and protected ones.

use super::*;

impl Fixture {
    fn judge(&mut self, instance: &str, verdict: Verdict) {
        set_health(&mut self.state, instance, verdict, self.now).expect("a member");
        self.after(0);
    }
}

const UNHEALTHY: Verdict = Verdict { healthy: false, respect_grace: true };

/// API Reference, "SetInstanceHealth"; Auto Scaling User Guide, "Health checks for instances in an
/// Auto Scaling group": the unhealthy one leaves through its hooks while another one comes.
#[test]
fn an_instance_that_is_called_unhealthy_is_replaced() {
    let mut lab = Fixture::with_hooks(vec![hook(OUT, Transition::Terminating, 300)]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.judge(&first, UNHEALTHY);
    assert_eq!(lab.states(), ["Terminating:Wait", "Pending"]);
    let cause = &lab.state.autoscaling.activities()[1].cause;
    assert_eq!(
        cause,
        "At 2026-11-23T12:00:02Z an instance was taken out of service in response to a user health-check."
    );
    let (_, member) = lab.state.autoscaling.member(&first).expect("still a member");
    assert!(!member.healthy);
    let unknown = set_health(&mut lab.state, "i-00000000000000001", UNHEALTHY, lab.now);
    assert_eq!(unknown.expect_err("no member").code, "ValidationError");
}

/// API Reference, "SetInstanceHealth", ShouldRespectGracePeriod.
#[test]
fn in_its_grace_period_an_instance_stays_unless_grace_is_not_to_be_respected() {
    let mut lab = Fixture::new();
    lab.group_mut().health_check_grace = 60;
    lab.desire(1);
    let first = lab.only();
    lab.judge(&first, UNHEALTHY);
    assert_eq!(lab.states(), ["Pending"], "its grace has not even begun");
    lab.after(61);
    lab.judge(&first, UNHEALTHY);
    assert_eq!(lab.states(), ["InService"]);
    lab.judge(&first, Verdict { respect_grace: false, ..UNHEALTHY });
    assert_eq!(lab.states(), ["Terminating", "Pending"]);

    lab.after(2);
    let second = lab.only();
    lab.after(60);
    lab.judge(&second, Verdict { healthy: true, ..UNHEALTHY });
    assert_eq!(lab.states(), ["InService"]);
    lab.judge(&second, UNHEALTHY);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
}

/// The same page: EC2's own status.
#[test]
fn a_stopped_instance_is_replaced_and_an_interrupted_one_when_it_goes() {
    let mut lab = Fixture::of_spot(vec![]);
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.state.ec2.stop(&first, lab.now).expect("it runs");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
    lab.after(10);
    let second = lab.only();
    let action = ec2::InterruptionAction::Terminate;
    let ec2 = &mut lab.state.ec2;
    ec2.interrupt(&second, action, ec2::INTERRUPTION_NOTICE, lab.now).expect("it runs");
    lab.after(119);
    assert_eq!(lab.states(), ["InService"], "a notice alone changes nothing");
    lab.after(1);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
}

/// Auto Scaling User Guide, "Use instance scale-in protection": from scale-in, and from nothing
/// else.
#[test]
fn a_protected_instance_does_not_leave_by_scale_in() {
    let mut lab = Fixture::new();
    lab.desire(2);
    lab.after(2);
    let [first, second] = lab.members().try_into().expect("two");
    let all = [first.as_str(), second.as_str()];
    lab.state.autoscaling.set_protection("workers", &all[..1], true).expect("members");
    lab.desire(0);
    assert_eq!(lab.states(), ["InService", "Terminating"]);
    lab.after(2);
    assert_eq!(lab.only(), first);

    lab.state.autoscaling.set_protection("workers", &all[..1], false).expect("a member");
    lab.after(0);
    assert_eq!(lab.states(), ["Terminating"]);
    let gone = lab.state.autoscaling.set_protection("workers", &all[1..], true);
    assert_eq!(
        gone.expect_err("no member").message,
        format!("The instance {second} is not part of Auto Scaling group workers.")
    );
}

#[test]
fn protection_does_not_keep_an_unhealthy_instance() {
    let mut lab = Fixture::new();
    lab.group_mut().new_instances_protected = true;
    lab.desire(1);
    lab.after(2);
    let first = lab.only();
    lab.judge(&first, UNHEALTHY);
    assert_eq!(lab.states(), ["Terminating", "Pending"]);
}
