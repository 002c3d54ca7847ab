//! A Service that is served: its listener, its targets, and whoever checks them. All of it ends when
//! dropped.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::DEREGISTRATION_DELAY;
use super::forward::Forward;
use super::health;
use super::status::Status;
use super::targets::Targets;
use super::wanted::Front;
use crate::lab::network::Namespace;

#[derive(Debug)]
pub struct Serving {
    router: Namespace,
    front: Front,
    targets: Targets,
    tasks: JoinSet<()>,
}

impl Serving {
    /// Listens, and has no targets yet.
    pub fn start(router: &Namespace, front: &Front) -> Result<Self> {
        let listener = router.listen(SocketAddr::V4(front.address()))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let targets = Targets::default();
        let forward = Forward {
            router: router.clone(),
            targets: targets.clone(),
            node_port: front.node_port,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(forward.serve(listener));
        Ok(Self { router: router.clone(), front: front.clone(), targets, tasks })
    }

    /// From now on these Nodes are its targets. A new one is checked at once; one that goes has until the
    /// end of the deregistration delay.
    pub fn register(&mut self, nodes: &BTreeMap<String, Ipv4Addr>) {
        let changes = self.targets.register(nodes, Instant::now());
        for joined in changes.joined {
            let (router, targets) = (self.router.clone(), self.targets.clone());
            let front = self.front.clone();
            self.tasks.spawn(health::check(joined, front, router, targets));
        }
        for node in changes.left {
            let targets = self.targets.clone();
            self.tasks.spawn(async move {
                tokio::time::sleep(DEREGISTRATION_DELAY).await;
                targets.forget(&node, Instant::now());
            });
        }
        while self.tasks.try_join_next().is_some() {}
    }

    pub fn front(&self) -> &Front {
        &self.front
    }

    pub fn status(&self) -> Status {
        self.targets.status(&self.front, Instant::now())
    }

    pub(super) fn targets(&self) -> &Targets {
        &self.targets
    }
}
