//! A scene: an instance that will leave, its pods, and the real `windlass watch` on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::aws::{self, Aws, HOOK};
use super::book::{Book, Milestone};
use super::ground::Ground;
use super::node::{self, Node};
use super::pods::{self, Budget, Pods};
use super::service::Service;
use crate::region::Profile;
use crate::region::autoscaling::Finished;

/// What is set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// No other scene of the ground has it.
    pub name: String,
    pub aws: aws::Wanted,
    pub node: node::Wanted,
    pub pods: Vec<pods::Wanted>,
    pub budget: Budget,
}

/// It. Dropped, it is gone.
pub struct Scene {
    pub aws: Arc<Aws>,
    pub book: Book,
    pub node: Arc<Node>,
    pub service: Service,
    _pods: Pods,
    _telling: JoinSet<()>,
}

impl Setting {
    /// An AWS without latencies, and no pods.
    pub fn usual(name: &str, drain: &str) -> Self {
        Self {
            name: name.to_owned(),
            aws: aws::Wanted {
                seed: name.bytes().fold(1, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte)),
                latency: Profile::None,
                lag: Duration::ZERO,
                others_hook: false,
            },
            node: node::Wanted {
                drain: drain.to_owned(),
                hook: HOOK,
                certificate_lifetime: Duration::from_secs(3600),
                full_disk: false,
            },
            pods: Vec::new(),
            budget: Budget::OneAway,
        }
    }
}

impl Scene {
    /// Sets it, and starts `windlass watch` as soon as all else is there; what is done before that is
    /// `prepare`.
    pub async fn set(
        ground: &Arc<Ground>,
        setting: &Setting,
        prepare: impl FnOnce(&Aws, &Node) -> Result<()>,
    ) -> Result<Self> {
        let aws = Arc::new(Aws::new(&setting.aws)?);
        let book = Book::new(&aws.region);
        let making = {
            let (ground, aws, setting) = (ground.clone(), aws.clone(), setting.clone());
            // Commands of `ip` block.
            tokio::task::spawn_blocking(move || {
                Node::make(&ground, &setting.name, &aws, &setting.node)
            })
        };
        let Setting { pods, budget, .. } = setting;
        let pods = Pods::create(&ground.client, &aws.instance, pods, *budget, &book).await;
        let node = Arc::new(making.await?.context("cannot make the node")?);
        let pods = pods.context("cannot make the pods")?;
        prepare(&aws, &node)?;
        let service = Service::start(node.clone(), aws.region.clone(), book.clone());
        let mut telling = JoinSet::new();
        telling.spawn(tell_when_over(aws.clone(), book.clone()));
        Ok(Self { aws, book, node, service, _pods: pods, _telling: telling })
    }

    /// The group takes the instance out of service, and waits for the hook from now on.
    pub fn terminate(&self) -> Result<()> {
        self.aws.terminate()?;
        self.book.reach(Milestone::Announced);
        Ok(())
    }

    /// How the node's own hook ended, if it did in this time.
    pub async fn over(&self, within: Duration) -> Option<Finished> {
        timeout(within, self.aws.own_hook_over()).await.ok()
    }
}

async fn tell_when_over(aws: Arc<Aws>, book: Book) {
    let over = aws.own_hook_over().await;
    book.tell(format!("the hook is over: {:?}, {}", over.by, over.result.name()));
    book.reach(Milestone::Over);
}
