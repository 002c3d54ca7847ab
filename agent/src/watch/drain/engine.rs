//! Lets [`step`] decide on what is observed, and does what it decided. Whoever drives it tells it the
//! time, and writes decisions down before they are carried out.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::cluster::Cluster;
use super::event::Moment;
use super::hook;
use super::pods::follow;
use super::rules::Rules;
use super::said::{self, Turned};
use super::state::Leaving;
use super::step::{Effect, HookAnswer, Observation, step};
use crate::client::autoscaling::Hook;

/// What may wait unread of what somebody tells.
const UNREAD: usize = 64;

/// What is known of the node's leaving, and how more becomes known.
pub(super) struct Engine {
    pub leaving: Leaving,
    pub rules: Rules,
    pub cluster: Cluster,
    pub hook: Option<Hook>,
    pods: Option<Told>,
    /// What was begun and is not answered yet.
    under_way: FuturesUnordered<BoxFuture<'static, Observation>>,
}

/// What followed from an observation.
pub(super) struct Decision {
    pub effects: Vec<Effect>,
    /// The node went on to another state.
    pub turned: Option<Turned>,
    /// Something else is announced, or load balancers have their time from now on.
    pub counts: bool,
    /// Anything at all is known that was not.
    pub changed: bool,
}

impl Decision {
    /// Whether it has to be known in another run of the program.
    pub(super) fn is_to_be_kept(&self) -> bool {
        !self.effects.is_empty() || self.turned.is_some() || self.counts
    }
}

/// What a task tells, for as long as it is listened to. A task of its own, so that a request is not
/// cut off because something else was observed first.
pub(super) struct Told {
    task: JoinHandle<()>,
    pub told: Receiver<Observation>,
}

impl Told {
    pub(super) fn by<T: Future<Output = ()> + Send + 'static>(
        teller: impl FnOnce(Sender<Observation>) -> T,
    ) -> Self {
        let (tell, told) = channel(UNREAD);
        Self { task: tokio::spawn(teller(tell)), told }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    pub(super) fn new(
        leaving: Leaving,
        rules: Rules,
        cluster: Cluster,
        hook: Option<Hook>,
    ) -> Self {
        Self { leaving, rules, cluster, hook, pods: None, under_way: FuturesUnordered::new() }
    }

    /// What is observed next: an answer, a pod, or that it is time.
    pub(super) async fn next(&mut self, now: Moment) -> Observation {
        let within = self.leaving.wake(&self.rules, now).map(|at| at.since(now));
        let wake = Instant::now() + within.unwrap_or(Duration::ZERO);
        let pods = async {
            match &mut self.pods {
                Some(pods) => pods.told.recv().await,
                None => None,
            }
        };
        tokio::select! {
            Some(done) = self.under_way.next() => done,
            Some(told) = pods => told,
            () = sleep_until(wake), if within.is_some() => Observation::Tick,
            else => std::future::pending().await,
        }
    }

    /// What follows from `observed`. Nothing is done yet.
    pub(super) fn decide(&mut self, observed: Observation, now: Moment) -> Decision {
        said::answer(&observed);
        let cordoned = matches!(observed, Observation::Cordoned(_));
        let before = std::mem::take(&mut self.leaving);
        let (after, effects) = step(before.clone(), observed, &self.rules, now);
        let turned = said::turn(&before, &after, &self.rules, now);
        let counts = cordoned || before.events != after.events;
        let changed = before != after;
        self.leaving = after;
        Decision { effects, turned, counts, changed }
    }

    /// Begins what was decided.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        if !self.leaving.wants_pods() {
            self.pods = None;
        } else if self.pods.is_none() {
            let cluster = self.cluster.clone();
            self.pods = Some(Told::by(|to| follow(cluster, to)));
        }
        for effect in effects {
            said::effect(&effect);
            if let Effect::Delete { pod, grace } = &effect {
                let (cluster, said) = (self.cluster.clone(), said::forced(pod, *grace));
                self.beside(async move { cluster.event(true, "PodDeleted", &said).await });
            }
            self.begin(carried_out(effect, self.cluster.clone(), self.hook.clone()));
        }
    }

    /// What it comes to is observed.
    pub(super) fn begin(&self, work: impl Future<Output = Observation> + Send + 'static) {
        self.under_way.push(Box::pin(work));
    }

    /// Nothing waits for what it comes to.
    pub(super) fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.begin(async {
            work.await;
            Observation::Tick
        });
    }
}

async fn carried_out(effect: Effect, cluster: Cluster, hook: Option<Hook>) -> Observation {
    match effect {
        Effect::Cordon { exclude } => Observation::Cordoned(cluster.cordon(exclude).await),
        Effect::Uncordon => Observation::Uncordoned(cluster.uncordon().await),
        Effect::Evict { pod, grace } => {
            let answer = cluster.evict(&pod, grace).await;
            Observation::Answered(pod.uid, answer)
        }
        Effect::Delete { pod, grace } => {
            let answer = cluster.delete(&pod, grace).await;
            Observation::Answered(pod.uid, answer)
        }
        Effect::LookAtVolumes => Observation::Volumes(cluster.volumes().await),
        Effect::Heartbeat => Observation::Beaten(match &hook {
            Some(hook) => hook::heartbeat(hook).await,
            None => HookAnswer::NothingPending,
        }),
        Effect::Complete => Observation::Completed(match &hook {
            Some(hook) => hook::complete(hook).await,
            None => HookAnswer::NothingPending,
        }),
    }
}
