//! Instance refreshes, driven by the Rust SDK.

use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{
    DesiredConfiguration, InstanceRefresh, LaunchTemplateSpecification, RefreshPreferences,
};
use integration::region::ec2::LaunchSpec;
use integration::region::iam::ADMINISTRATOR;

use crate::region_autoscaling::{SECONDS_UNTIL_RUNNING, group, members, states};
use crate::region_clients::{Lab, refusal};
use crate::region_members::{complete, in_service};

fn percent(min: i32, max: i32) -> RefreshPreferences {
    RefreshPreferences::builder().min_healthy_percentage(min).max_healthy_percentage(max).build()
}

async fn refreshes(client: &Client) -> Vec<InstanceRefresh> {
    let told = client.describe_instance_refreshes().auto_scaling_group_name("workers").send().await;
    told.expect("refreshes").instance_refreshes().to_vec()
}

/// Status, percent complete and instances to update.
fn standing(refresh: &InstanceRefresh) -> (&str, Option<i32>, Option<i32>) {
    let status = refresh.status().expect("a status").as_str();
    (status, refresh.percentage_complete(), refresh.instances_to_update())
}

/// The members in that state.
fn in_state(lab: &Lab, state: &str) -> Vec<String> {
    let members = members(lab, "workers").into_iter();
    members.filter(|held| held.state.name() == state).map(|held| held.instance).collect()
}

/// API Reference, "StartInstanceRefresh" and "DescribeInstanceRefreshes"; User Guide, "How an
/// instance refresh works in an Auto Scaling group".
#[tokio::test]
async fn a_refresh_replaces_everybody_through_the_hooks_with_a_successor_first() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let old = in_service(&lab, &client, 2).await;
    lab.new_version(LaunchSpec { instance_type: Some("m5.xlarge".into()), ..Default::default() });
    let start = client
        .start_instance_refresh()
        .auto_scaling_group_name("workers")
        .preferences(percent(100, 150));
    let id = start.send().await.expect("none is under way").instance_refresh_id;
    for (done, left) in [(0, 2), (50, 1)] {
        assert_eq!((in_state(&lab, "InService").len(), in_state(&lab, "Pending").len()), (2, 1));
        let told = refreshes(&client).await;
        assert_eq!(told[0].instance_refresh_id(), id.as_deref());
        assert_eq!(standing(&told[0]), ("InProgress", Some(done), Some(left)));

        lab.after(SECONDS_UNTIL_RUNNING);
        complete(&client, "launch", &in_state(&lab, "Pending:Wait")[0]).await;
        let leaving = in_state(&lab, "Terminating:Wait").remove(0);
        assert!(old.contains(&leaving));
        complete(&client, "end", &leaving).await;
    }
    assert_eq!(standing(&refreshes(&client).await[0]), ("InProgress", Some(100), Some(0)));
    lab.after(2);
    let told = refreshes(&client).await;
    assert_eq!(standing(&told[0]), ("Successful", Some(100), Some(0)));
    assert!(told[0].end_time().is_some());
    let told = told[0].preferences().expect("preferences");
    assert_eq!(
        (told.min_healthy_percentage(), told.max_healthy_percentage(), told.skip_matching()),
        (Some(100), Some(150), Some(false))
    );
    let now = members(&lab, "workers");
    assert_eq!(now.len(), 2);
    assert!(now.iter().all(|held| !old.contains(&held.instance)));
    assert!(now.iter().all(|held| held.instance_type == "m5.xlarge"));
}

/// API Reference, "StartInstanceRefresh", DesiredConfiguration: the group has it after the success.
#[tokio::test]
async fn a_desired_configuration_becomes_the_groups() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let old = in_service(&lab, &client, 1).await;
    lab.new_version(LaunchSpec { instance_type: Some("m5.xlarge".into()), ..Default::default() });
    let template = LaunchTemplateSpecification::builder()
        .launch_template_id(&lab.template)
        .version("2")
        .build();
    let start = client
        .start_instance_refresh()
        .auto_scaling_group_name("workers")
        .desired_configuration(DesiredConfiguration::builder().launch_template(template).build());
    start.send().await.expect("none is under way");
    assert_eq!(states(&client, "workers").await, ["Pending", "Terminating:Wait"]);
    let version = async || {
        let held = group(&client, "workers").await;
        held.launch_template().and_then(|held| held.version()).map(str::to_owned)
    };
    assert_eq!(version().await.as_deref(), Some("$Latest"));
    complete(&client, "end", &old[0]).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    complete(&client, "launch", &in_state(&lab, "Pending:Wait")[0]).await;
    let told = refreshes(&client).await;
    assert_eq!(standing(&told[0]).0, "Successful");
    let wanted = told[0].desired_configuration().and_then(|held| held.launch_template());
    assert_eq!(wanted.and_then(|held| held.version()), Some("2"));
    assert_eq!(version().await.as_deref(), Some("2"));
}

/// API Reference, "CancelInstanceRefresh", and the errors of both.
#[tokio::test]
async fn one_refresh_at_a_time_can_be_cancelled() {
    let lab = Lab::new(ADMINISTRATOR);
    let client = lab.autoscaling(&lab.operator());
    let old = in_service(&lab, &client, 2).await;
    let start = || client.start_instance_refresh().auto_scaling_group_name("workers");
    let cancel = || client.cancel_instance_refresh().auto_scaling_group_name("workers").send();
    assert_eq!(
        refusal(cancel().await),
        "400 ActiveInstanceRefreshNotFound: No in progress or pending Instance Refresh found for Auto Scaling group workers"
    );
    let wrong = RefreshPreferences::builder().max_healthy_percentage(150).build();
    assert_eq!(
        refusal(start().preferences(wrong).send().await),
        "400 ValidationError: If you specify MaxHealthyPercentage, you must also specify MinHealthyPercentage"
    );
    let checkpoints = RefreshPreferences::builder().checkpoint_percentages(50).build();
    assert_eq!(
        refusal(start().preferences(checkpoints).send().await),
        "400 ValidationError: this region refreshes without CheckpointPercentages"
    );
    start().send().await.expect("none is under way");
    assert_eq!(
        refusal(start().send().await),
        "400 InstanceRefreshInProgress: An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
    );
    cancel().await.expect("under way");
    assert_eq!(standing(&refreshes(&client).await[0]).0, "Cancelling");
    let leaving = in_state(&lab, "Terminating:Wait").remove(0);
    complete(&client, "end", &leaving).await;
    lab.after(SECONDS_UNTIL_RUNNING);
    complete(&client, "launch", &in_state(&lab, "Pending:Wait")[0]).await;
    assert_eq!(standing(&refreshes(&client).await[0]).0, "Cancelled");
    let kept = members(&lab, "workers").into_iter().filter(|held| old.contains(&held.instance));
    assert_eq!(kept.count(), 1);
    start().send().await.expect("the other one is over");
    assert_eq!(refreshes(&client).await.len(), 2);
}
