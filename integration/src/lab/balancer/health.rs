//! Health checks, as fast as AWS allows ("Health checks for Application Load Balancer target groups"), of
//! what the AWS Load Balancer Controller has a Network Load Balancer check by default ("Service annotations":
//! TCP, `traffic-port`): whether the NodePort takes a connection.
//!
//! Not kube-proxy's own port 10256, which other clouds' controllers ask (Kubernetes Enhancement Proposal 3836
//! names GCP's): kube-proxy says 200 there before it has written its first rules (`ProxyHealthServer.Health`,
//! Kubernetes 1.37). In a lab a new Node refused connections to its NodePort for 0.1 to 0.3 s after that
//! (docs/measured.md), and what is sent there meanwhile is lost.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::Result;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Bytes;

use super::forward::exchange;
use super::targets::{Registered, Targets};
use super::wanted::Front;
use crate::lab::network::Namespace;

/// HealthCheckIntervalSeconds: "The range is 5–300 seconds. The default is 30 seconds if the target type
/// is instance".
const INTERVAL: Duration = Duration::from_secs(5);
/// HealthCheckTimeoutSeconds: "The range is 2–120 seconds. The default is 5 seconds".
const TIMEOUT: Duration = Duration::from_secs(2);
/// As kube-proxy has it at a Service's `healthCheckNodePort`.
const PATH: &str = "/healthz";

/// Checks a target until it leaves.
pub async fn check(of: Registered, front: Front, router: Namespace, targets: Targets) {
    loop {
        let passed = tokio::time::timeout(TIMEOUT, passes(&router, of.address, &front)).await;
        let passed = passed.unwrap_or(false);
        if !targets.checked(&of, passed) {
            return;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn passes(router: &Namespace, node: Ipv4Addr, front: &Front) -> bool {
    let at = |port| SocketAddrV4::new(node, port);
    match front.health_check_node_port {
        // kube-proxy listens there only once it has written its rules (`syncProxyRules`).
        Some(port) => matches!(ask(router, at(port)).await, Ok(StatusCode::OK)),
        None => router.connect(at(front.node_port)).await.is_ok(),
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
