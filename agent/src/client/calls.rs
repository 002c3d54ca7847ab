//! Counts every request that leaves through the SDK's HTTP client, as the wire sees it: retries,
//! token requests and all. A report that says "one call" is then true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::{Wire, imds};

/// What left so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<String, Count>>>);

/// Of one `service:Action`, or of all of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub calls: u64,
    /// Those of `calls` that repeat one that failed.
    pub retries: u64,
    /// Length of the answers' bodies, as their headers state it.
    pub bytes: u64,
}

impl Wire {
    /// The same way out, with every request counted.
    pub fn counted(self) -> (Self, Calls) {
        let calls = Calls::default();
        let http = SharedHttpClient::new(Counted { inner: self.http, calls: calls.clone() });
        (Self { http, ..self }, calls)
    }
}

impl Calls {
    /// `service:Action` → how often.
    pub fn by_action(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().expect("nobody panics while counting");
        counts.iter().map(|(action, count)| (action.clone(), count.calls)).collect()
    }

    /// All calls of one service.
    pub fn of(&self, service: &str) -> Count {
        let counts = self.0.lock().expect("nobody panics while counting");
        let of_service =
            counts.iter().filter(|(action, _)| action.split(':').next() == Some(service));
        of_service.fold(Count::default(), |sum, (_, count)| Count {
            calls: sum.calls + count.calls,
            retries: sum.retries + count.retries,
            bytes: sum.bytes + count.bytes,
        })
    }

    fn change(&self, action: &str, change: impl FnOnce(&mut Count)) {
        let mut counts = self.0.lock().expect("nobody panics while counting");
        change(counts.entry(action.to_owned()).or_default());
    }
}

#[derive(Debug)]
struct Counted<T> {
    inner: T,
    calls: Calls,
}

impl HttpClient for Counted<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Counted { inner, calls: self.calls.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

impl HttpConnector for Counted<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (calls, action) = (self.calls.clone(), action(&request));
        calls.change(&action, |count| {
            count.calls += 1;
            count.retries += u64::from(is_retry(&request));
        });
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            let length = answer.headers().get("content-length").and_then(|text| text.parse().ok());
            calls.change(&action, |count| count.bytes += length.unwrap_or(0));
            Ok(answer)
        })
    }
}

/// `s3:GetObject`, `autoscaling:CompleteLifecycleAction`, `imds:GET`; `other:POST` of a webhook.
fn action(request: &HttpRequest) -> String {
    let Some(service) = service(request) else {
        let host = request.uri().strip_prefix("http://").unwrap_or_default();
        let of_imds = host.starts_with(imds::HOST);
        return format!("{}:{}", if of_imds { "imds" } else { "other" }, request.method());
    };
    let action = form_value(request.uri().split_once('?').map_or("", |(_, query)| query), "x-id")
        .or_else(|| {
            let body = std::str::from_utf8(request.body().bytes()?).ok()?;
            form_value(body, "Action")
        })
        .or_else(|| request.uri().contains("list-type=2").then_some("ListObjectsV2"));
    format!("{service}:{}", action.unwrap_or_else(|| request.method()))
}

/// The service that the request is signed for, from the credential scope
/// (`KEY/DATE/REGION/SERVICE/aws4_request`); who is not of AWS, and IMDS, is asked without one.
fn service(request: &HttpRequest) -> Option<&str> {
    let scope = request.headers().get("authorization")?.split_once("Credential=")?.1;
    scope.split(',').next()?.split('/').nth(3)
}

fn form_value<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The SDK numbers its attempts (`amz-sdk-request: attempt=2; max=3`).
fn is_retry(request: &HttpRequest) -> bool {
    let attempt = request.headers().get("amz-sdk-request").unwrap_or_default();
    attempt.contains("attempt=") && !attempt.contains("attempt=1")
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn request(uri: &str, body: &str, headers: &[(&str, &str)]) -> HttpRequest {
        let mut builder = http::Request::builder().uri(uri).method("POST");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(SdkBody::from(body)).expect("a request");
        HttpRequest::try_from(request).expect("a request of the SDK")
    }

    #[test]
    fn a_call_is_named_by_its_signature_and_its_action() {
        let signed = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=ASIAX/20261123/eu-west-1/{service}/aws4_request, SignedHeaders=host"
            )
        };
        let cases = [
            ("https://b.s3.eu-west-1.amazonaws.com/k?x-id=GetObject", "", "s3", "s3:GetObject"),
            (
                "https://b.s3.eu-west-1.amazonaws.com/?list-type=2&prefix=a",
                "",
                "s3",
                "s3:ListObjectsV2",
            ),
            (
                "https://autoscaling.eu-west-1.amazonaws.com/",
                "Action=CompleteLifecycleAction&Version=2011-01-01",
                "autoscaling",
                "autoscaling:CompleteLifecycleAction",
            ),
        ];
        for (uri, body, service, wanted) in cases {
            assert_eq!(action(&request(uri, body, &[("authorization", &signed(service))])), wanted);
        }
        assert_eq!(
            action(&request("http://169.254.169.254/latest/api/token", "", &[])),
            "imds:POST"
        );
        assert_eq!(action(&request("https://hooks.example/secret", "", &[])), "other:POST");
    }

    #[test]
    fn only_a_second_attempt_is_a_retry() {
        let attempt = |text| request("https://s3.amazonaws.com/", "", &[("amz-sdk-request", text)]);
        assert!(!is_retry(&attempt("attempt=1; max=3")));
        assert!(is_retry(&attempt("attempt=2; max=3")));
        assert!(!is_retry(&request("http://169.254.169.254/", "", &[])));
    }
}
