//! Faults, each as a client meets it, and latencies, on a paused clock.

use std::time::Duration;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use http::Request;
use http_body_util::BodyExt;
use integration::region::call::{Service, ServiceError};
use integration::region::{Fault, Profile, Rule, Settings, serve};
use tokio::time::{Instant, timeout};

use crate::region_fixture::{Connection, Fixture, START, loopback};

fn ec2(fixture: &Fixture) -> aws_sdk_ec2::Client {
    aws_sdk_ec2::Client::new(&fixture.sdk(&fixture.operator))
}

/// The code that a describe is refused with; none when it is answered.
async fn refused(client: &aws_sdk_ec2::Client) -> Option<String> {
    let answer = client.describe_instances().send().await;
    answer.err().map(|error| error.into_service_error().code().unwrap_or("no answer").to_owned())
}

/// Amazon EC2 API Reference, "Error codes", server errors.
#[tokio::test]
async fn refusals_strike_the_call_that_is_meant_and_are_logged() {
    let fixture = Fixture::new();
    let client = ec2(&fixture);
    let faults = [
        (Fault::Throttle, "RequestLimitExceeded"),
        (Fault::InternalError, "InternalError"),
        (Fault::Unavailable, "Unavailable"),
        (Fault::Refuse(ServiceError::client("Odd", "as asked")), "Odd"),
    ];
    for (fault, code) in faults {
        fixture.region.faults().add(
            Rule::always(fault)
                .on(Service::Ec2, "DescribeInstances")
                .by("operator")
                .from_call(2)
                .times(1),
        );
        assert_eq!(refused(&client).await, None);
        assert_eq!(refused(&client).await.as_deref(), Some(code));
        assert_eq!(refused(&client).await, None);
        fixture.region.faults().clear();
    }
    let codes: Vec<_> =
        fixture.region.calls().records().into_iter().filter_map(|record| record.code).collect();
    assert_eq!(codes, ["RequestLimitExceeded", "InternalError", "Unavailable", "Odd"]);
    assert_eq!(fixture.region.calls().count("operator", "ec2:DescribeInstances"), 12);
}

/// Amazon S3 API Reference, "Error Responses"; Amazon EC2 Auto Scaling API Reference, "Common
/// errors"; AWS STS API Reference, "Common Errors".
#[tokio::test]
async fn each_service_has_its_own_word_for_slow_down() {
    let fixture = Fixture::new();
    fixture.region.faults().add(Rule::always(Fault::Throttle));
    let sdk = fixture.sdk(&fixture.operator);
    let s3 = aws_sdk_s3::Client::new(&sdk);
    let listed = s3.list_buckets().send().await.expect_err("throttled");
    assert_eq!(listed.raw_response().unwrap().status().as_u16(), 503);
    assert_eq!(listed.into_service_error().code(), Some("SlowDown"));
    // The answer to a HEAD has no body, an error's neither.
    let head = s3.head_bucket().bucket("some-bucket").send().await.expect_err("throttled");
    let response = head.raw_response().unwrap();
    assert_eq!((response.status().as_u16(), response.body().bytes()), (503, Some(&b""[..])));
    let sts =
        aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.expect_err("throttled");
    assert_eq!(sts.into_service_error().code(), Some("Throttling"));
    let groups = aws_sdk_autoscaling::Client::new(&sdk).describe_auto_scaling_groups().send().await;
    assert_eq!(groups.expect_err("throttled").into_service_error().code(), Some("Throttling"));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_does_nothing_and_a_lost_answer_has_done_it() {
    let fixture = Fixture::new();
    let client = ec2(&fixture);
    let state = || {
        fixture.region.with(|state, _| state.ec2.instance(&fixture.instance).unwrap().state.name())
    };
    for (fault, done) in [(Fault::Timeout, false), (Fault::Lost, true)] {
        fixture
            .region
            .faults()
            .add(Rule::always(fault).on(Service::Ec2, "TerminateInstances").times(1));
        let asked = client.terminate_instances().instance_ids(&fixture.instance).send();
        assert!(timeout(Duration::from_secs(600), asked).await.is_err(), "never answered");
        assert_eq!(state() == "terminated", done);
    }
}

#[tokio::test]
async fn a_cut_ends_the_connection_in_the_middle_of_the_body() {
    let fixture = Fixture::new();
    fixture.region.faults().add(Rule::always(Fault::Cut));
    let refused = ec2(&fixture).describe_instances().send().await.expect_err("half an answer");
    assert!(refused.as_service_error().is_none(), "{refused:?}");

    let listening = serve::http(&fixture.region, loopback()).unwrap();
    let mut connection = Connection::to(listening.address()).await;
    let answer = connection
        .head(Request::get("/?Action=GetCallerIdentity&Version=2011-06-15"), "")
        .await
        .unwrap();
    let promised: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = answer.into_body();
    let half = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(half.len(), promised / 2);
    assert!(body.frame().await.unwrap().is_err());

    // An answer without a body has no middle: it does not come at all.
    let mut connection = Connection::to(listening.address()).await;
    assert!(connection.head(Request::head("/some-bucket"), "").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn slow_is_as_slow_as_it_says() {
    let fixture = Fixture::new();
    fixture
        .region
        .faults()
        .add(Rule::always(Fault::Slow(Duration::from_secs(7))).service(Service::Ec2));
    let begun = Instant::now();
    assert_eq!(refused(&ec2(&fixture)).await, None);
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
    assert_eq!(fixture.region.calls().records()[0].ms, 7000.0);
}

/// Amazon EC2 API Reference, "Eventual consistency in the Amazon EC2 API".
#[tokio::test(start_paused = true)]
async fn a_stale_describe_answers_as_of_so_long_ago() {
    let fixture = Fixture::new();
    let client = ec2(&fixture);
    fixture.region.faults().add(
        Rule::always(Fault::Stale(Duration::from_secs(5))).on(Service::Ec2, "DescribeInstances"),
    );
    let described = async || {
        let answer = client.describe_instances().send().await.unwrap();
        let instance = answer.reservations()[0].instances()[0].clone();
        instance.state.unwrap().name.unwrap().as_str().to_owned()
    };
    assert_eq!(described().await, "running");
    client.terminate_instances().instance_ids(&fixture.instance).send().await.unwrap();
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(described().await, "running");
    let really =
        fixture.region.with(|state, _| state.ec2.instance(&fixture.instance).unwrap().state.name());
    assert_eq!(really, "terminated");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(described().await, "terminated");
}

#[tokio::test(start_paused = true)]
async fn the_aws_profile_sleeps_on_tokios_clock_and_is_logged() {
    let fixture = Fixture::with(Settings { latency: Profile::Aws, ..Settings::new(9, START) });
    let client = ec2(&fixture);
    let (really, begun) = (std::time::Instant::now(), Instant::now());
    for _ in 0..100 {
        assert_eq!(refused(&client).await, None);
    }
    let mut ms: Vec<f64> =
        fixture.region.calls().records().iter().map(|record| record.ms).collect();
    ms.sort_by(f64::total_cmp);
    assert!((60.0..105.0).contains(&ms[50]), "median {} ms, wanted about 80", ms[50]);
    assert!(begun.elapsed() > Duration::from_secs(6));
    assert!(really.elapsed() < Duration::from_secs(5), "the clock is not paused");
}
