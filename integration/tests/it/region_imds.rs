//! The metadata service on a socket, as an instance meets it. Its rules one by one are unit tests
//! beside the code.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use integration::region::call::Service;
use integration::region::serve::{Listening, Who, imds};
use integration::region::{Fault, Rule};

use crate::region_fixture::{Connection, Fixture, loopback};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

fn listening(fixture: &Fixture) -> Listening {
    imds(&fixture.region, loopback(), Who::Instance(fixture.address.into())).unwrap()
}

async fn token(connection: &mut Connection) -> String {
    let answer = connection.send(Request::put("/latest/api/token").header(TTL, "21600")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[TTL], "21600");
    answer.into_body()
}

fn get(path: &str, token: &str) -> http::request::Builder {
    Request::get(path).header("x-aws-ec2-metadata-token", token)
}

/// Amazon EC2 User Guide, "How Instance Metadata Service Version 2 works".
#[tokio::test]
async fn a_boot_reads_what_it_needs_on_one_connection() {
    let fixture = Fixture::new();
    let listening = listening(&fixture);
    let mut connection = Connection::to(listening.address()).await;
    let unasked = connection.send(Request::get("/latest/meta-data/instance-id")).await;
    assert_eq!(unasked.status(), StatusCode::UNAUTHORIZED);
    let token = token(&mut connection).await;
    let mut read = async |path: &str| {
        let answer = connection.send(get(path, &token)).await;
        (answer.status().as_u16(), answer.into_body())
    };
    assert_eq!(read("/latest/meta-data/instance-id").await, (200, fixture.instance.clone()));
    assert_eq!(read("/2021-07-15/meta-data/local-ipv4").await, (200, fixture.address.to_string()));
    assert_eq!(
        read("/latest/meta-data/iam/security-credentials/").await,
        (200, "worker".to_owned())
    );
    let (status, page) = read("/latest/meta-data/spot/instance-action").await;
    assert_eq!(status, 404);
    assert!(page.contains("<title>404 - Not Found</title>"), "{page}");

    let records = fixture.region.calls().records();
    assert_eq!(records.len(), 6);
    assert!(
        records.iter().all(|record| record.connection == records[0].connection),
        "one connection"
    );
    assert!(records.iter().all(|record| record.caller == fixture.instance));
    let actions: Vec<&str> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(
        actions[..3],
        ["GET meta-data/instance-id", "PUT api/token", "GET meta-data/instance-id"]
    );
    assert_eq!(fixture.region.calls().count(&fixture.instance, "imds:GET"), 5);
}

#[tokio::test]
async fn each_connection_has_its_number_in_the_log() {
    let fixture = Fixture::new();
    let listening = listening(&fixture);
    for _ in 0..2 {
        token(&mut Connection::to(listening.address()).await).await;
    }
    let numbers: Vec<_> =
        fixture.region.calls().records().iter().map(|record| record.connection).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
}

/// An address that no instance has is no instance: nothing is said to it.
#[tokio::test]
async fn a_stranger_hears_nothing() {
    let fixture = Fixture::new();
    let listening = imds(&fixture.region, loopback(), Who::Peer).unwrap();
    let mut connection = Connection::to(listening.address()).await;
    let asked = connection.send(Request::put("/latest/api/token").header(TTL, "60"));
    assert!(tokio::time::timeout(Duration::from_millis(300), asked).await.is_err());
    assert_eq!(fixture.region.calls().records()[0].status, 0);
}

/// Amazon EC2 User Guide, "Access instance metadata", 503: "Retry the request".
#[tokio::test]
async fn faults_strike_by_path() {
    let fixture = Fixture::new();
    let listening = listening(&fixture);
    let faults = fixture.region.faults();
    faults.add(Rule::always(Fault::Unavailable).on(Service::Imds, "PUT api/token").times(1));
    faults.add(Rule::always(Fault::Cut).on(Service::Imds, "GET meta-data/mac"));
    faults.add(Rule::always(Fault::Timeout).on(Service::Imds, "GET meta-data/ami-id"));
    let mut connection = Connection::to(listening.address()).await;
    let refused = connection.send(Request::put("/latest/api/token").header(TTL, "60")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let token = token(&mut connection).await;

    let cut = connection.head(get("/latest/meta-data/mac", &token), "").await.unwrap();
    assert_eq!(cut.status(), StatusCode::OK);
    assert_eq!(cut.headers()["content-length"], "17");
    assert!(cut.into_body().collect().await.is_err(), "the body ends early");

    let mut connection = Connection::to(listening.address()).await;
    let silent = connection.send(get("/latest/meta-data/ami-id", &token));
    assert!(tokio::time::timeout(Duration::from_millis(300), silent).await.is_err());
}
