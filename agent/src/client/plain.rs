//! Requests that are neither signed nor retried by the SDK: its HTTP client without its orchestrator,
//! which takes as long as the rest of a request to IMDS, and `watch` sends two of them a second.

use anyhow::Context;
use aws_smithy_runtime::client::auth::no_auth::{NO_AUTH_SCHEME_ID, NoAuthScheme};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::identity::no_auth::NoAuthIdentityResolver;
use aws_smithy_runtime::client::orchestrator::endpoints::StaticUriEndpointResolver;
use aws_smithy_runtime::client::retries::strategy::NeverRetryStrategy;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::body::SdkBody;

use super::{Chain, Wire};

/// Posts JSON; the status of the answer. Errors do not say the URL, which may be a secret.
pub async fn post_json(wire: &Wire, url: &str, body: String) -> anyhow::Result<u16> {
    let request = http::Request::post(url).header("content-type", "application/json");
    let request = request.header("content-length", body.len()).body(SdkBody::from(body));
    let request = HttpRequest::try_from(request.context("the URL is none")?)?;
    let answer = connector(&wire.http).call(request).await;
    let answer = answer.map_err(|error| anyhow::anyhow!("{}", Chain(error)))?;
    Ok(answer.status().as_u16())
}

/// Sends requests as they are. There is no limit of time.
pub(super) fn connector(http: &SharedHttpClient) -> SharedHttpConnector {
    let anonymous = StaticAuthSchemeOptionResolver::new(vec![NO_AUTH_SCHEME_ID]);
    let nobody = SharedIdentityResolver::new(NoAuthIdentityResolver::new());
    // None of these is ever asked for anything.
    let components = RuntimeComponentsBuilder::new("plain")
        .with_auth_scheme_option_resolver(Some(anonymous))
        .with_auth_scheme(NoAuthScheme::default())
        .with_endpoint_resolver(Some(StaticUriEndpointResolver::http_localhost(0)))
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_identity_resolver(NO_AUTH_SCHEME_ID, nobody)
        .with_retry_strategy(Some(NeverRetryStrategy::new()))
        .build()
        .expect("all that is required is there");
    http.http_connector(&HttpConnectorSettings::builder().build(), &components)
}
