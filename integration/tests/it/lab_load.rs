//! Clients of a lab's load balancer, on the host beyond its VPC. Nothing is asked a second time.

use std::net::SocketAddrV4;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use integration::lab::network::Namespace;
use integration::lab::network::router::outside_of;
use integration::lab::running::router;

use crate::lab_scene::Lab;
use crate::region_fixture::Connection;

/// Of each kind.
const CLIENTS: usize = 3;
/// Between an answer and the next request of a client.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than the load balancer waits for a target to take a connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who asks, and whom.
pub struct Load {
    from: Namespace,
    to: SocketAddrV4,
}

/// How many requests there were, and how those ended that were not answered.
#[derive(Debug, Default)]
pub struct Asked {
    /// Each client's one after the other on one connection.
    pub kept: usize,
    /// Each on a connection of its own.
    pub fresh: usize,
    pub failed: Vec<String>,
}

impl Load {
    /// The load balancer serves somebody already.
    pub fn of(lab: &Lab) -> Self {
        let host = outside_of(&router(&lab.0));
        let from = Namespace::with_prefix(&host).unwrap().remove(0);
        let to = lab.balancer().address.expect("a load balancer that serves").parse().unwrap();
        Self { from, to }
    }

    /// Asks without an end while `what` happens.
    pub fn during(&self, what: impl FnOnce()) -> Asked {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(self.ask_until(&over))
            });
            let ended = catch_unwind(AssertUnwindSafe(what));
            over.store(true, Ordering::Relaxed);
            let asked = asking.join().unwrap();
            ended.unwrap_or_else(|panic| resume_unwind(panic));
            asked
        })
    }

    async fn ask_until(&self, over: &AtomicBool) -> Asked {
        let kept = join_all((0..CLIENTS).map(|_| self.client(true, over)));
        let fresh = join_all((0..CLIENTS).map(|_| self.client(false, over)));
        let (kept, fresh) = futures_util::future::join(kept, fresh).await;
        let sum = |all: &[(usize, Vec<String>)]| all.iter().map(|(asked, _)| asked).sum::<usize>();
        Asked {
            kept: sum(&kept),
            fresh: sum(&fresh),
            failed: kept.into_iter().chain(fresh).flat_map(|(_, failed)| failed).collect(),
        }
    }

    async fn client(&self, keeps: bool, over: &AtomicBool) -> (usize, Vec<String>) {
        let (mut asked, mut failed, mut connection) = (0, Vec::new(), None);
        while !over.load(Ordering::Relaxed) {
            asked += 1;
            let answer = tokio::time::timeout(PATIENCE, self.ask(&mut connection)).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if !keeps || answer.is_err() {
                connection = None;
            }
            failed.extend(answer.err());
            tokio::time::sleep(PAUSE).await;
        }
        (asked, failed)
    }

    /// Once, over the connection that there is.
    async fn ask(&self, connection: &mut Option<Connection>) -> Result<(), String> {
        let open = match connection {
            Some(open) => open,
            None => {
                let stream = self.from.connect(self.to).await;
                let stream = stream.map_err(|error| format!("{error:#}"))?;
                connection.insert(Connection::over(stream).await)
            }
        };
        let said = |error: hyper::Error| error.to_string();
        let response = open.head(Request::get("/hostname"), "").await.map_err(said)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(said)?.to_bytes();
        if status == StatusCode::OK && body.starts_with(b"web-") {
            Ok(())
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&body)))
        }
    }
}

impl Asked {
    pub fn all(&self) -> usize {
        self.kept + self.fresh
    }
}
