//! What AWS announces, through the SDK and the metadata service as an instance meets them.

use aws_sdk_ec2::types::{Filter, InstanceStatusEvent};
use http::Request;
use integration::region::ec2::{EventCode, INTERRUPTION_NOTICE, InterruptionAction};
use integration::region::serve::{Who, imds};

use crate::region_fixture::{Connection, Fixture, loopback};

/// The instance's own look at a path; nothing where there is a 404.
async fn read(fixture: &Fixture, path: &str) -> Option<String> {
    let listening =
        imds(&fixture.region, loopback(), Who::Instance(fixture.address.into())).unwrap();
    let mut connection = Connection::to(listening.address()).await;
    let token =
        Request::put("/latest/api/token").header("x-aws-ec2-metadata-token-ttl-seconds", 60);
    let token = connection.send(token).await.into_body();
    let path = format!("/latest/meta-data/{path}");
    let answer =
        connection.send(Request::get(path).header("x-aws-ec2-metadata-token", token)).await;
    match answer.status().as_u16() {
        200 => Some(answer.into_body()),
        404 => None,
        other => panic!("wanted 200 or 404, got {other}"),
    }
}

async fn events(ec2: &aws_sdk_ec2::Client) -> Vec<InstanceStatusEvent> {
    let told = ec2.describe_instance_status().send().await.unwrap();
    told.instance_statuses()[0].events().to_vec()
}

/// EC2 User Guide, "Spot Instance interruption notices".
#[tokio::test]
async fn an_instance_reads_of_its_interruption_two_minutes_before() {
    let fixture = Fixture::of_spot();
    assert_eq!(read(&fixture, "spot/instance-action").await, None);
    let at = fixture.region.with(|state, now| {
        let action = InterruptionAction::Terminate;
        state.ec2.interrupt(&fixture.instance, action, INTERRUPTION_NOTICE, now).unwrap()
    });
    let told: serde_json::Value =
        serde_json::from_str(&read(&fixture, "spot/instance-action").await.unwrap()).unwrap();
    assert_eq!(told["action"], "terminate");
    let time = read(&fixture, "spot/termination-time").await.unwrap();
    assert_eq!(told["time"], time);
    assert_eq!(at.unix_timestamp(), parsed(&time).unix_timestamp());

    fixture.region.clock().advance(INTERRUPTION_NOTICE);
    let ec2 = aws_sdk_ec2::Client::new(&fixture.sdk(&fixture.operator));
    let told = ec2.describe_instances().instance_ids(&fixture.instance).send().await.unwrap();
    let held = &told.reservations()[0].instances()[0];
    let reason = held.state_reason().unwrap();
    assert_eq!(reason.code(), Some("Server.SpotInstanceTermination"));
    assert_eq!(held.state().unwrap().name().unwrap().as_str(), "terminated");
}

/// EC2 User Guide, "EC2 instance rebalance recommendations".
#[tokio::test]
async fn an_instance_reads_of_a_recommendation() {
    let fixture = Fixture::of_spot();
    assert_eq!(read(&fixture, "events/recommendations/rebalance").await, None);
    fixture
        .region
        .with(|state, now| state.ec2.recommend_rebalance(&fixture.instance, now))
        .unwrap();
    let told = read(&fixture, "events/recommendations/rebalance").await.unwrap();
    assert!(told.starts_with(r#"{"noticeTime":"2026-11-23T12:00:0"#), "{told}");
}

/// EC2 API Reference, "DescribeInstanceStatus" and "InstanceStatusEvent"; EC2 User Guide, "View
/// scheduled events".
#[tokio::test]
async fn a_scheduled_event_is_told_by_ec2_and_by_the_instances_metadata() {
    let fixture = Fixture::new();
    let ec2 = aws_sdk_ec2::Client::new(&fixture.sdk(&fixture.operator));
    assert_eq!(events(&ec2).await, []);
    let schedule = |code| {
        fixture.region.with(|state, now| {
            let not_before = now + std::time::Duration::from_secs(600);
            state.ec2.schedule(&mut state.ids, &fixture.instance, code, not_before, now).unwrap()
        })
    };
    let id = schedule(EventCode::SystemReboot);
    let told = events(&ec2).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].instance_event_id(), Some(id.as_str()));
    assert_eq!(told[0].code().unwrap().as_str(), "system-reboot");
    assert_eq!(told[0].description(), Some("scheduled reboot"));
    let window = told[0].not_after().unwrap().secs() - told[0].not_before().unwrap().secs();
    assert_eq!(window, 1000);
    let with = async |code: &str| {
        let filter = Filter::builder().name("event.code").values(code).build();
        let told = ec2.describe_instance_status().filters(filter).send().await.unwrap();
        told.instance_statuses().len()
    };
    assert_eq!((with("system-reboot").await, with("instance-stop").await), (1, 0));

    let in_metadata = async |list: &str| -> serde_json::Value {
        let told = read(&fixture, &format!("events/maintenance/{list}")).await.unwrap();
        serde_json::from_str(&told).unwrap()
    };
    assert_eq!(in_metadata("scheduled").await[0]["EventId"], id);
    fixture.region.clock().advance(std::time::Duration::from_secs(600));
    let told = events(&ec2).await;
    assert_eq!(told[0].description(), Some("[Completed] scheduled reboot"));
    assert_eq!(in_metadata("scheduled").await, serde_json::json!([]));
    assert_eq!(in_metadata("history").await[0]["State"], "completed");

    schedule(EventCode::InstanceStop);
    let canceled =
        fixture.region.with(|state, now| state.ec2.cancel_scheduled(&fixture.instance, now));
    assert_eq!(canceled, Ok(1));
    assert_eq!(events(&ec2).await.len(), 1, "a canceled one is not told");
    assert_eq!(in_metadata("history").await[1]["State"], "canceled");
    let week = std::time::Duration::from_secs(7 * 24 * 3600);
    fixture.region.clock().advance(week);
    assert_eq!(events(&ec2).await, []);
}

fn parsed(time: &str) -> time::OffsetDateTime {
    time::OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).unwrap()
}
