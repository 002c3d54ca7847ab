//! What is refused: without permission, by a dry run, or by the throttle.

use integration::region::ec2::Rate;
use integration::region::iam::ADMINISTRATOR;

use super::{launch, order, tag};
use crate::region_clients::{Lab, allow, refusal};

/// EC2 API Reference, "Common query parameters": DryRun.
#[tokio::test]
async fn a_dry_run_says_whether_it_would_be_allowed_and_does_nothing() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    let dry = order(&lab, &ec2, 1, &[]).dry_run(true).send().await;
    assert_eq!(
        refusal(dry),
        "412 DryRunOperation: Request would have succeeded, but DryRun flag is set."
    );
    assert_eq!(lab.region.with(|state, _| state.ec2.instances().count()), 0);

    let reader =
        lab.ec2(&lab.user("somebody", &allow(&["ec2:Describe*"], "*", serde_json::json!({}))));
    let dry = order(&lab, &reader, 1, &[]).dry_run(true).send().await;
    assert!(refusal(dry).starts_with("403 UnauthorizedOperation: "));
    assert!(reader.describe_instances().send().await.is_ok());
}

/// EC2 API Reference, "Request throttling for the Amazon EC2 API".
#[tokio::test]
async fn a_call_too_many_is_throttled_until_tokens_come_back() {
    let lab = Lab::new(ADMINISTRATOR);
    let ec2 = lab.ec2(&lab.operator());
    lab.region.with(|state, _| {
        state
            .ec2
            .limits
            .by_action
            .insert("DescribeInstances".to_owned(), Rate { burst: 2, per_second: 1 });
    });
    for _ in 0..2 {
        ec2.describe_instances().send().await.expect("within the burst");
    }
    let refused = refusal(ec2.describe_instances().send().await);
    assert_eq!(refused, "503 RequestLimitExceeded: Request limit exceeded.");
    ec2.describe_vpcs().send().await.expect("another bucket");
    lab.after(1);
    ec2.describe_instances().send().await.expect("a token came back");
}

/// Service Authorization Reference, "Actions, resources, and condition keys for Amazon EC2".
#[tokio::test]
async fn permissions_hold_for_resources_with_the_right_tags() {
    let lab = Lab::new(ADMINISTRATOR);
    let operator = lab.ec2(&lab.operator());
    let ours = launch(&lab, &operator, 1, &[("cluster", "lab")]).await.remove(0);
    let theirs = launch(&lab, &operator, 1, &[("cluster", "other")]).await.remove(0);
    let condition = serde_json::json!({"StringEquals": {"aws:ResourceTag/cluster": "lab"}});
    let arn = "arn:aws:ec2:eu-west-1:123456789012:instance/*";
    let ec2 =
        lab.ec2(&lab.user(
            "somebody",
            &allow(&["ec2:TerminateInstances", "ec2:CreateTags"], arn, condition),
        ));

    let refused = ec2.terminate_instances().instance_ids(&ours).instance_ids(&theirs).send().await;
    assert!(refusal(refused).starts_with("403 UnauthorizedOperation: "));
    assert_eq!(
        lab.region.with(|state, _| state.ec2.instance(&ours).map(|held| held.state.is_ending())),
        Some(false)
    );
    ec2.create_tags().resources(&ours).tags(tag("seen", "yes")).send().await.expect("ours");
    let refused = ec2.create_tags().resources(&theirs).tags(tag("cluster", "lab")).send().await;
    assert!(refusal(refused).starts_with("403 UnauthorizedOperation: "));
    ec2.terminate_instances().instance_ids(&ours).send().await.expect("ours");
}
