//! A region with one instance, and wires into it.

use std::net::{Ipv4Addr, TcpListener};

use aws_config::{BehaviorVersion, SdkConfig};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use integration::region::ec2::{
    IMAGE_X86_64, LaunchSpec, Market, MetadataChange, Order, ProfileSpec, Tags,
};
use integration::region::iam::{ADMINISTRATOR, Credentials};
use integration::region::inprocess::InProcess;
use integration::region::{Profile, Region, Settings, State};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::net::TcpStream;

pub const START: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// A region, an operator who may do everything, and one instance whose role may describe
/// instances.
pub struct Fixture {
    pub region: Region,
    pub operator: Credentials,
    pub instance: String,
    pub address: Ipv4Addr,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(Settings::new(1, START))
    }

    /// With AWS' latencies.
    pub fn slow(seed: u64) -> Self {
        Self::with(Settings { latency: Profile::Aws, ..Settings::new(seed, START) })
    }

    /// Whose instance may be interrupted.
    pub fn of_spot() -> Self {
        Self::of(Settings::new(1, START), Market::Spot)
    }

    pub fn with(settings: Settings) -> Self {
        Self::of(settings, Market::OnDemand)
    }

    fn of(settings: Settings, market: Market) -> Self {
        let region = Region::new(settings);
        let (operator, instance, address) = region.with(|state, now| {
            let State { ec2, iam, ids, imds, .. } = state;
            imds.credentials_delay = std::time::Duration::ZERO;
            let operator = iam.add_user(ids, "operator", &[("all", ADMINISTRATOR)]).unwrap();
            let describe = r#"{"Version":"2012-10-17","Statement":[
                {"Effect":"Allow","Action":"ec2:DescribeInstances","Resource":"*"}]}"#;
            iam.add_role(ids, "worker", &[("describe", describe)]).unwrap();
            let vpc = ec2.create_vpc(ids, "10.0.0.0/16").unwrap();
            let subnet = ec2.create_subnet(ids, &vpc, None, "10.0.1.0/24").unwrap();
            let spec = LaunchSpec {
                image: Some(IMAGE_X86_64.to_owned()),
                instance_type: Some("m5.large".to_owned()),
                market: Some(market),
                subnet: Some(subnet),
                profile: Some(ProfileSpec::Name("worker".to_owned())),
                metadata: MetadataChange {
                    tokens_required: Some(true),
                    hop_limit: Some(1),
                    ..MetadataChange::default()
                },
                ..LaunchSpec::default()
            };
            let order = Order { spec, count: 1, client_token: None, aws_tags: Tags::new(), now };
            let id = ec2.launch(ids, iam, &order).unwrap().remove(0);
            let address = ec2.instance(&id).unwrap().address;
            (operator, id, address)
        });
        Self { region, operator, instance, address }
    }

    /// The SDK's configuration of somebody with these credentials, in process.
    pub fn sdk(&self, credentials: &Credentials) -> SdkConfig {
        let wire = InProcess::outside(&self.region);
        let credentials = aws_credential_types::Credentials::new(
            &credentials.access_key,
            &credentials.secret,
            credentials.session_token.clone(),
            None,
            "test",
        );
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_config::Region::new("eu-west-1"))
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(
                credentials,
            ))
            .http_client(wire.client())
            .time_source(wire.time())
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build()
    }
}

/// Any free port on loopback.
pub fn loopback() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// One kept-alive connection.
pub struct Connection(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

impl Connection {
    pub async fn to(listener: std::net::SocketAddr) -> Self {
        Self::over(TcpStream::connect(listener).await.unwrap()).await
    }

    pub async fn over<S>(stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self(sender)
    }

    /// The head; the body is still to be read.
    pub async fn head(
        &mut self,
        request: http::request::Builder,
        body: &str,
    ) -> hyper::Result<Response<Incoming>> {
        let request: Request<Full<Bytes>> =
            request.header("host", "region.test").body(Full::from(body.to_owned())).unwrap();
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    /// The whole answer, as text.
    pub async fn send(&mut self, request: http::request::Builder) -> Response<String> {
        self.post(request, "").await
    }

    pub async fn post(&mut self, request: http::request::Builder, body: &str) -> Response<String> {
        let (parts, body) = self.head(request, body).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response::from_parts(parts, String::from_utf8_lossy(&body).into_owned())
    }
}
