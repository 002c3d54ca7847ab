//! Health checks: "Health checks for Application Load Balancer target groups". Faster than AWS' defaults,
//! and as fast as it allows.

use std::net::SocketAddrV4;
use std::time::Duration;

use anyhow::Result;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Bytes;

use super::forward::exchange;
use super::targets::{Registered, Targets};
use crate::lab::network::Namespace;

/// HealthCheckIntervalSeconds: "The range is 5–300 seconds. The default is 30 seconds if the target type
/// is instance".
const INTERVAL: Duration = Duration::from_secs(5);
/// HealthCheckTimeoutSeconds: "The range is 2–120 seconds. The default is 5 seconds".
const TIMEOUT: Duration = Duration::from_secs(2);
/// As kube-proxy has it.
const PATH: &str = "/healthz";

/// Checks a target until it leaves.
pub async fn check(of: Registered, port: u16, router: Namespace, targets: Targets) {
    let address = SocketAddrV4::new(of.address, port);
    loop {
        let asked = tokio::time::timeout(TIMEOUT, ask(&router, address)).await;
        let passed = matches!(asked, Ok(Ok(StatusCode::OK)));
        if !targets.checked(&of, passed) {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ask(router: &Namespace, address: SocketAddrV4) -> Result<StatusCode> {
    let request = Request::get(PATH)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let stream = router.connect(address).await?;
    Ok(exchange(stream, request).await?.status())
}
