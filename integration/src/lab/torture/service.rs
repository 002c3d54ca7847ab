//! `windlass watch` as systemd keeps it: it is started again whenever it has ended, and here it ends
//! above all because it is killed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::book::Book;
use super::node::Node;
use crate::region::{Region, Rule};

/// After it has ended by itself (`RestartSec` of its unit).
const RESTART: Duration = Duration::from_secs(1);

/// One kill.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Until it is started again.
    pub pause: Duration,
    /// What AWS does wrong from then on.
    pub faults: Vec<Rule>,
}

/// It; killed for good when dropped.
pub struct Service {
    kills: mpsc::UnboundedSender<Kill>,
    running: JoinSet<()>,
}

impl Service {
    pub fn start(node: Arc<Node>, region: Region, book: Book) -> Self {
        let (kills, orders) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        running.spawn(async move {
            if let Err(error) = keep(&node, &region, &book, orders).await {
                book.tell(format!("windlass watch is not kept any more: {error:#}"));
            }
        });
        Self { kills, running }
    }

    /// By which it can be killed.
    pub fn kills(&self) -> mpsc::UnboundedSender<Kill> {
        self.kills.clone()
    }

    /// Kills it for good.
    pub async fn stop(mut self) {
        self.running.shutdown().await;
    }
}

async fn keep(
    node: &Node,
    region: &Region,
    book: &Book,
    mut orders: mpsc::UnboundedReceiver<Kill>,
) -> Result<()> {
    loop {
        book.tell("windlass watch is started");
        let mut child = node.watch()?;
        let hearing = tokio::spawn(hear(&mut child, book.clone())?);
        let pause = tokio::select! {
            status = child.wait() => {
                book.tell(format!("windlass watch ended by itself: {}", status?));
                RESTART
            }
            Some(kill) = orders.recv() => {
                child.kill().await.context("cannot kill windlass watch")?;
                book.tell("windlass watch is killed");
                kill.faults.into_iter().for_each(|rule| region.faults().add(rule));
                kill.pause
            }
        };
        let _ = hearing.await;
        sleep(pause).await;
    }
}

/// Writes down what it says, with the time.
pub fn hear(child: &mut Child, book: Book) -> Result<impl Future<Output = ()> + Send + use<>> {
    let said = child.stderr.take().context("windlass watch says nothing")?;
    Ok(async move {
        let mut lines = BufReader::new(said).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            book.tell(format!("    {line}"));
        }
    })
}
