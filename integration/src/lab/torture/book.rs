//! What happened in a scene and when, by the region's clock: judged when it is over, and shown when
//! something was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::region::Region;

/// Clones are the same book.
#[derive(Clone)]
pub struct Book(Arc<Inner>);

struct Inner {
    region: Region,
    kept: Mutex<Kept>,
    reached: watch::Sender<BTreeSet<Milestone>>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    story: Vec<(OffsetDateTime, String)>,
    lives: BTreeMap<String, Life>,
    cordons: Vec<(OffsetDateTime, bool)>,
}

/// How far a drain has come, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// Auto Scaling waits for the hook.
    Announced,
    Cordoned,
    /// The first pod was asked to leave.
    Asked,
    /// All pods that leave have left.
    Empty,
    /// The hook's action is over.
    Over,
}

/// One pod of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// It has to leave; others stay.
    pub leaves: bool,
    /// When it had a deletion timestamp.
    pub asked: Option<OffsetDateTime>,
    /// Until then it was there for certain; afterwards nobody held it.
    pub there_until: Option<OffsetDateTime>,
    pub gone: bool,
}

impl Book {
    pub fn new(region: &Region) -> Self {
        let inner = Inner {
            region: region.clone(),
            kept: Mutex::default(),
            reached: watch::Sender::default(),
        };
        Self(Arc::new(inner))
    }

    pub fn now(&self) -> OffsetDateTime {
        self.0.region.clock().now()
    }

    /// Something happened now.
    pub fn tell(&self, what: impl Into<String>) {
        let now = self.now();
        self.kept().story.push((now, what.into()));
    }

    pub fn reach(&self, milestone: Milestone) {
        let new = self.0.reached.send_if_modified(|reached| reached.insert(milestone));
        if new {
            self.tell(format!("== {milestone:?}"));
        }
    }

    /// Waits for so long after the milestone, which may never come.
    pub async fn after(&self, milestone: Milestone, delay: Duration) {
        let mut reached = self.0.reached.subscribe();
        // The sender lives as long as this book.
        let _ = reached.wait_for(|reached| reached.contains(&milestone)).await;
        sleep(delay).await;
    }

    /// A pod of the node that is there from now on.
    pub fn born(&self, pod: &str, leaves: bool) {
        let life = Life { leaves, asked: None, there_until: None, gone: false };
        self.kept().lives.insert(pod.to_owned(), life);
    }

    pub fn asked(&self, pod: &str) {
        let now = self.now();
        if let Some(life) = self.kept().lives.get_mut(pod).filter(|life| life.asked.is_none()) {
            life.asked = Some(now);
        }
        self.tell(format!("pod {pod} was asked to leave"));
        self.reach(Milestone::Asked);
    }

    /// The pod is there, and is ended now.
    pub fn ends(&self, pod: &str) {
        let now = self.now();
        if let Some(life) = self.kept().lives.get_mut(pod) {
            life.there_until.get_or_insert(now);
        }
    }

    /// The pod is no more.
    pub fn gone(&self, pod: &str) {
        let now = self.now();
        let mut kept = self.kept();
        let Some(life) = kept.lives.get_mut(pod).filter(|life| !life.gone) else { return };
        life.there_until.get_or_insert(now);
        life.gone = true;
        let empty = kept.lives.values().all(|life| !life.leaves || life.gone);
        drop(kept);
        self.tell(format!("pod {pod} is gone"));
        if empty {
            self.reach(Milestone::Empty);
        }
    }

    /// Whether the Node takes pods, as it is seen now.
    pub fn cordoned(&self, cordoned: bool) {
        let now = self.now();
        let mut kept = self.kept();
        if kept.cordons.last().is_some_and(|(_, last)| *last) == cordoned {
            return;
        }
        kept.cordons.push((now, cordoned));
        drop(kept);
        self.tell(if cordoned { "the Node is cordoned" } else { "the Node takes pods again" });
        if cordoned {
            self.reach(Milestone::Cordoned);
        }
    }

    pub fn lives(&self) -> BTreeMap<String, Life> {
        self.kept().lives.clone()
    }

    pub fn cordons(&self) -> Vec<(OffsetDateTime, bool)> {
        self.kept().cordons.clone()
    }

    /// Whether a line of the story has this in it.
    pub fn says(&self, what: &str) -> bool {
        self.kept().story.iter().any(|(_, line)| line.contains(what))
    }

    /// All of it in order, with other lines of the same clock, in seconds since `origin`.
    pub fn shown(&self, more: Vec<(OffsetDateTime, String)>, origin: OffsetDateTime) -> String {
        let mut lines = self.kept().story.clone();
        lines.extend(more);
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().fold(String::new(), |mut text, (at, line)| {
            let _ = writeln!(text, "{:>9.3} s  {line}", (at - origin).as_seconds_f64());
            text
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().expect("nobody panics while writing the book")
    }
}
