//! A load balancer in front of the lab's nodes: an Application Load Balancer and the service controller
//! that fills its target group, as one, for the first Service of `type: LoadBalancer`.
//!
//! It listens in the router namespace and sends each request to one Node's NodePort. No request is tried
//! a second time, so that whatever is lost on the way is counted: here, and by its client.
//!
//! Followed of AWS ("Elastic Load Balancing, User Guide for Application Load Balancers"): "Health checks for
//! Application Load Balancer target groups", "Edit target group attributes for your Application Load
//! Balancer" (deregistration delay), "Edit attributes for your Application Load Balancer" (idle timeout),
//! "Troubleshoot your Application Load Balancers" (which failure has which status). Different: nobody is
//! sent to where no target is healthy (AWS' fail open), answers are passed on when they are whole, a
//! connection to a target carries one request (`forward` says why), and a target is checked by a connection
//! alone, as a Network Load Balancer's is (`health`).

mod controller;
mod counts;
mod forward;
mod health;
mod serving;
mod status;
mod target;
mod targets;
mod wanted;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use kube::Client;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use windlass::client::Wire;
use windlass::client::apiserver::{Identity, connect};

use self::controller::Controller;
use self::targets::Targets;
use super::certificates::Pair;
use super::network::Namespace;

pub use self::counts::Counts;
pub use self::serving::Serving;
pub use self::status::{Failure, Status, TargetStatus};
pub use self::wanted::Front;

/// Where clients reach it: from TEST-NET-1 (RFC 5737), as the lab's other services.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);

/// How long a target that leaves is still sent new requests: what AWS takes to tell a change to all of a
/// load balancer. AWS states no time for it; "Avoiding Errors & Timeouts with Kubernetes Applications and
/// AWS Load Balancers" (EKS Best Practices) lets pods wait for it.
pub const PROPAGATION: Duration = Duration::from_secs(2);

/// After so long a target that leaves is gone, and what it has not answered is cut. AWS allows 0 to 3600 s
/// and has 300 by default; a lab's nodes wait as long before they evict, so it is short.
pub const DEREGISTRATION_DELAY: Duration = Duration::from_secs(5);

/// The load balancer, and what it serves now. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Balancer {
    router: Namespace,
    shown: Shown,
}

/// What is served, for whoever looks.
type Shown = Arc<Mutex<Option<(Front, Targets)>>>;

impl Balancer {
    /// One that serves nothing yet. The router must have [`ADDRESS`].
    pub fn of(router: &Namespace) -> Self {
        Self { router: router.clone(), shown: Shown::default() }
    }

    /// Follows the cluster's Services and Nodes until the task is dropped.
    pub fn follow(&self, client: Client) -> JoinHandle<()> {
        let controller = Controller::new(client, &self.router, self.shown.clone());
        tokio::spawn(controller.run())
    }

    pub fn status(&self) -> Status {
        let shown = self.shown.lock().expect("what is served");
        match &*shown {
            Some((front, targets)) => targets.status(front, Instant::now()),
            None => Status::default(),
        }
    }
}

/// The API server at `server`, as whoever has this credential.
pub fn client(server: &str, authority: &str, pair: Pair) -> Result<Client> {
    let identity = Identity { certificate: pair.certificate, private_key: pair.key };
    connect(&Wire::real(), server, authority, &identity)
}
