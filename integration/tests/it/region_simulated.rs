//! Agents' own clients and the region in one thread on a paused clock: the same seed gives the
//! same trace.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use integration::region::call::Service;
use integration::region::inprocess::InProcess;
use integration::region::{Fault, Region, Rule};
use windlass::client::Wire;
use windlass::client::imds::Imds;

use crate::region_fixture::Fixture;

fn metadata(region: &Region, address: Ipv4Addr) -> Imds {
    let wire = InProcess::instance(region, address);
    Imds::new(&Wire { http: wire.client(), time: wire.time(), dns: None })
}

async fn text(imds: &Imds, path: &str) -> Option<String> {
    let found = imds.get(path).await.unwrap();
    found.map(|bytes| String::from_utf8(bytes).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_agents_metadata_client_works_through_the_region() {
    let fixture = Fixture::new();
    let imds = metadata(&fixture.region, fixture.address);
    assert_eq!(
        text(&imds, "meta-data/instance-id").await.as_deref(),
        Some(fixture.instance.as_str())
    );
    assert_eq!(text(&imds, "meta-data/spot/instance-action").await, None);
    // A token that is no good any more is replaced.
    tokio::time::advance(Duration::from_secs(6 * 3600)).await;
    assert_eq!(text(&imds, "meta-data/local-ipv4").await, Some(fixture.address.to_string()));
    assert_eq!(fixture.region.calls().count("", "imds:PUT api/token"), 2);
}

/// The SDK's own way from nothing to a signed call, as it is on every instance; and again when the
/// credentials are about to expire.
#[tokio::test(start_paused = true)]
async fn the_sdk_gets_the_roles_credentials_and_renews_them() {
    let fixture = Fixture::new();
    let lifetime = Duration::from_secs(3600);
    fixture.region.with(|state, _| state.imds.credentials_lifetime = lifetime);
    let wire = InProcess::instance(&fixture.region, fixture.address);
    let environment = ProviderConfig::without_region()
        .with_http_client(wire.client())
        .with_time_source(wire.time())
        .with_sleep_impl(TokioSleep::new());
    let role = ImdsCredentialsProvider::builder().configure(&environment).build();
    let sdk = fixture
        .sdk(&fixture.operator)
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(role))
        .build();
    let client = aws_sdk_sts::Client::new(&sdk);
    let mut keys = BTreeSet::new();
    for _ in 0..4 {
        let who = client.get_caller_identity().send().await.unwrap();
        assert!(who.user_id.unwrap().ends_with(&format!(":{}", fixture.instance)));
        let held = fixture.region.with(|state, _| state.imds.handed_to(&fixture.instance).cloned());
        keys.insert(held.unwrap().access_key);
        tokio::time::advance(lifetime).await;
    }
    assert_eq!(keys.len(), 4, "new ones each hour");
    assert_eq!(fixture.region.calls().count(&fixture.instance, "sts:GetCallerIdentity"), 4);
}

/// What happened, as the region's log has it, of four clients under faults and latencies.
fn trace(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    // The clients' jitter and the SDK's.
    fastrand::seed(seed);
    runtime.block_on(async {
        let fixture = Fixture::slow(seed);
        fixture
            .region
            .faults()
            .add(Rule::always(Fault::Unavailable).service(Service::Imds).from_call(3).times(4));
        fixture
            .region
            .faults()
            .add(Rule::always(Fault::Throttle).service(Service::Ec2).from_call(2).times(1));
        let clients = (0..4).map(|_| {
            let imds = metadata(&fixture.region, fixture.address);
            let ec2 = aws_sdk_ec2::Client::new(&fixture.sdk(&fixture.operator));
            tokio::spawn(async move {
                text(&imds, "meta-data/instance-id").await;
                text(&imds, "meta-data/mac").await;
                drop(ec2.describe_instances().send().await);
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let records = fixture.region.calls().records();
        records.iter().map(|record| serde_json::to_string(record).unwrap()).collect()
    })
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = trace(42);
    assert!(first.len() >= 4 * 4, "{first:#?}");
    assert_eq!(first, trace(42));
    assert_ne!(first, trace(43));
}
