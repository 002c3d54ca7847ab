//! The region's S3 on real sockets: TLS and plain, virtual-host and path style, uploads that the
//! SDK streams in chunks with the checksum behind them. After "Virtual hosting of general purpose
//! buckets" and "Signature calculations for the authorization header: transferring payload in
//! multiple chunks".

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use integration::region::iam::{ADMINISTRATOR, Credentials};
use integration::region::{Region, Settings, serve};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;

const BUCKET: &str = "acme-kubernetes";
const HOSTS: [&str; 2] =
    ["s3.eu-west-1.amazonaws.com", "acme-kubernetes.s3.eu-west-1.amazonaws.com"];

fn region() -> (Region, Credentials) {
    let region = Region::new(Settings::new(4, OffsetDateTime::now_utc()));
    let credentials = region.with(|state, now| {
        state.s3.create_bucket(BUCKET, now);
        state.iam.add_user(&mut state.ids, "operator", &[("all", ADMINISTRATOR)]).unwrap()
    });
    (region, credentials)
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn config(credentials: &Credentials, http: SharedHttpClient) -> aws_sdk_s3::config::Builder {
    let (key, secret) = (&credentials.access_key, &credentials.secret);
    aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_s3::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(key, secret, None, None, "test"))
        .http_client(http)
        .retry_config(RetryConfig::disabled())
}

/// An HTTP client for which AWS' names are the listener's address, as a VPC's resolver would have it.
fn resolving_to(address: SocketAddr, trusted: RootCertStore) -> SharedHttpClient {
    on_a_wire(address, trusted, None)
}

fn on_a_wire(
    address: SocketAddr,
    trusted: RootCertStore,
    change: Option<(&'static str, &'static str)>,
) -> SharedHttpClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let tls = tls.with_root_certificates(trusted).with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls);
    let client = HOSTS.iter().fold(client, |client, host| client.resolve(host, address));
    let client = client.resolve("acme-kubernetes.localhost", address).build().unwrap();
    http_client_fn(move |_, _| {
        SharedHttpConnector::new(Connector { client: client.clone(), change })
    })
}

#[derive(Debug)]
struct Connector {
    client: reqwest::Client,
    /// What is changed on the way, into what.
    change: Option<(&'static str, &'static str)>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, change) = (self.client.clone(), self.change);
        HttpConnectorFuture::new(async move {
            let (parts, body) = request.try_into_http1x().unwrap().into_parts();
            let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
            let body = match change {
                Some((from, into)) => String::from_utf8_lossy(&body).replace(from, into).into(),
                None => body,
            };
            let request = http::Request::from_parts(parts, body)
                .try_into()
                .map_err(|error: reqwest::Error| ConnectorError::user(error.into()))?;
            let answer =
                client.execute(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            let mut response = http::Response::builder().status(answer.status());
            *response.headers_mut().unwrap() = answer.headers().clone();
            let body = answer.bytes().await.map_err(|error| ConnectorError::io(error.into()))?;
            Ok(response.body(SdkBody::from(body)).unwrap().try_into().unwrap())
        })
    }
}

/// A body of which the SDK cannot know the checksum before it has sent it.
fn streamed(chunks: &[&'static [u8]]) -> ByteStream {
    let frames: Vec<_> = chunks
        .iter()
        .map(|chunk| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(chunk))))
        .collect();
    ByteStream::new(SdkBody::from_body_1_x(StreamBody::new(futures_util::stream::iter(frames))))
}

async fn there_and_back(s3: &Client, region: &Region) {
    let sent = s3
        .put_object()
        .bucket(BUCKET)
        .key("prod/a b")
        .body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .unwrap();
    assert!(sent.checksum_crc32().is_some());
    let got = s3.get_object().bucket(BUCKET).key("prod/a b").send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "hello");
    let listed = s3.list_objects_v2().bucket(BUCKET).prefix("prod/").send().await.unwrap();
    assert_eq!(listed.contents()[0].key(), Some("prod/a b"));

    let body = streamed(&[b"one ", b"two ", b"three"]);
    s3.put_object()
        .bucket(BUCKET)
        .key("streamed")
        .content_length(13)
        .body(body)
        .send()
        .await
        .unwrap();
    let object = region.with(|state, _| state.s3.object(BUCKET, "streamed").cloned().unwrap());
    assert_eq!(object.bytes, "one two three");
    // zlib.crc32(b"one two three").to_bytes(4, "big"), by Python
    assert_eq!(object.checksum.value, "eCXT1w==", "the trailer's");
    assert_eq!(object.headers.content_encoding, None, "aws-chunked is not the object's");
}

#[tokio::test]
async fn over_tls_in_virtual_host_style() {
    let (region, credentials) = region();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(HOSTS.map(str::to_owned)).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(cert.der().clone()).unwrap();
    let tls = serve::tls(vec![cert.der().clone()], key).unwrap();
    let listening = serve::https(&region, loopback(), tls).unwrap();
    let s3 =
        Client::from_conf(config(&credentials, resolving_to(listening.address(), trusted)).build());
    there_and_back(&s3, &region).await;
    // Over TLS the SDK leaves the payload to TLS and the trailer.
    let records = region.calls().records();
    assert!(
        records.iter().all(|it| it.service == "s3" && it.resource.starts_with(BUCKET)),
        "{records:?}"
    );
    assert_eq!(records[0].resource, "acme-kubernetes/prod/a b");
}

#[tokio::test]
async fn over_plain_http_in_both_styles() {
    let (region, credentials) = region();
    let listening = serve::http(&region, loopback()).unwrap();
    let port = listening.address().port();
    let http = resolving_to(listening.address(), RootCertStore::empty());
    for (endpoint, path_style) in [
        (format!("http://127.0.0.1:{port}"), true),
        (format!("http://localhost:{port}"), false),
        ("http://s3.eu-west-1.amazonaws.com".to_owned(), false),
    ] {
        let config =
            config(&credentials, http.clone()).endpoint_url(endpoint).force_path_style(path_style);
        there_and_back(&Client::from_conf(config.build()), &region).await;
    }
}

#[tokio::test]
async fn a_body_that_was_changed_on_the_way_is_refused() {
    let (region, credentials) = region();
    let listening = serve::http(&region, loopback()).unwrap();
    let http = on_a_wire(listening.address(), RootCertStore::empty(), Some(("he", "je")));
    let s3 = Client::from_conf(
        config(&credentials, http).endpoint_url("http://s3.eu-west-1.amazonaws.com").build(),
    );
    for (body, code) in [
        (ByteStream::from_static(b"hello"), "XAmzContentSHA256Mismatch"),
        (streamed(&[b"he", b"llo"]), "SignatureDoesNotMatch"),
    ] {
        let refused = s3
            .put_object()
            .bucket(BUCKET)
            .key("k")
            .content_length(5)
            .body(body)
            .send()
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Some(code));
    }
    assert!(region.with(|state, _| state.s3.object(BUCKET, "k").is_none()));
}
