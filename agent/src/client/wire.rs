//! What all clients share: one HTTP client, one resolver, one source of time.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::timeout::TimeoutConfig;

use super::dns::Dns;
use super::http::Http;

/// A server that accepts a request and then says nothing is given up after this, and the request
/// tried again: the SDK by itself would wait for ever.
const SILENCE: Duration = Duration::from_secs(5);

/// The way out of this program.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Speaks HTTP for the AWS SDK and for IMDS.
    pub http: SharedHttpClient,
    /// The time that signatures carry and that certificates are judged by.
    pub time: SharedTimeSource,
    /// Resolves the API server's name; absent where a test has no network.
    pub dns: Option<Dns>,
}

impl Wire {
    /// Real sockets, the system's resolver, trust store and clock. Must be called within a tokio
    /// runtime.
    pub fn real() -> Self {
        let dns = Dns::system();
        let http = Http::new(dns.clone());
        http.begin();
        Self::of(http, dns)
    }

    /// The same for who asks IMDS alone for days: TLS waits until it is needed.
    pub fn idle() -> Self {
        let dns = Dns::system();
        Self::of(Http::new(dns.clone()), dns)
    }

    fn of(http: Http, dns: Dns) -> Self {
        let time = SharedTimeSource::new(SystemTimeSource::new());
        Self { http: SharedHttpClient::new(http), time, dns: Some(dns) }
    }

    /// The SDK's configuration on an instance: its region, its role's credentials.
    pub async fn instance(&self, region: &str, role: SharedCredentialsProvider) -> SdkConfig {
        self.loader().region(Region::new(region.to_owned())).credentials_provider(role).load().await
    }

    /// The SDK's configuration for an operator: environment, profile, whatever the AWS CLI reads.
    /// A region that is known is not looked for: the SDK would end by asking IMDS.
    pub async fn operator(&self, region: Option<&str>) -> SdkConfig {
        let loader = self.loader();
        let loader = match region {
            Some(region) => loader.region(Region::new(region.to_owned())),
            None => loader,
        };
        loader.load().await
    }

    fn loader(&self) -> aws_config::ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .time_source(self.time.clone())
            .timeout_config(TimeoutConfig::builder().read_timeout(SILENCE).build())
    }
}
