//! The region's S3 where it is stricter than other emulators, driven by the Rust SDK. Each test
//! names the page of the AWS documentation that it follows.

mod access;
mod conditions;
mod history;
mod objects;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use integration::region::iam::{ADMINISTRATOR, Credentials};
use integration::region::inprocess::InProcess;
use integration::region::{Region, Settings};
use time::macros::datetime;

const BUCKET: &str = "acme-kubernetes";

/// A region with one versioned bucket.
fn region() -> Region {
    region_with(Settings::new(3, datetime!(2026-11-23 06:00 UTC)))
}

fn region_with(settings: Settings) -> Region {
    let region = Region::new(settings);
    region.with(|state, now| {
        state.s3.create_bucket(BUCKET, now);
    });
    region
}

fn user(region: &Region, name: &str, policy: &str) -> Credentials {
    region.with(|state, _| state.iam.add_user(&mut state.ids, name, &[("test", policy)]).unwrap())
}

fn config(region: &Region, credentials: &Credentials) -> aws_sdk_s3::config::Builder {
    let from = InProcess::outside(region);
    let token = credentials.session_token.clone();
    let (key, secret) = (credentials.access_key.clone(), credentials.secret.clone());
    aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_s3::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            key, secret, token, None, "test",
        ))
        .http_client(from.client())
        .time_source(from.time())
        .retry_config(RetryConfig::disabled())
}

/// A client of somebody who may do everything.
fn operator(region: &Region) -> Client {
    let credentials = user(region, "operator", ADMINISTRATOR);
    Client::from_conf(config(region, &credentials).build())
}

/// A client of somebody who may do that much.
fn client(region: &Region, policy: &str) -> Client {
    Client::from_conf(config(region, &user(region, "somebody", policy)).build())
}

fn allow(statements: &[(&[&str], &str)]) -> String {
    let statements: Vec<_> = statements
        .iter()
        .map(|(actions, resource)| serde_json::json!({"Effect": "Allow", "Action": actions, "Resource": resource}))
        .collect();
    serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// `412 PreconditionFailed`; without a body to say the code, as of HEAD, `404`.
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::error::Error + 'static>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> String {
    let error = result.expect_err("a refusal");
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    match error.code() {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}

async fn put(client: &Client, key: &str, body: &'static str) -> String {
    let put =
        client.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(body.as_bytes()));
    put.send().await.unwrap().e_tag.unwrap()
}

async fn version(client: &Client, status: BucketVersioningStatus) {
    let configuration = VersioningConfiguration::builder().status(status).build();
    client
        .put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(configuration)
        .send()
        .await
        .unwrap();
}
