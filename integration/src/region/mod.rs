//! One AWS region in one process: IMDSv2, S3, EC2, Auto Scaling and STS over their real wire
//! protocols, with one state under one lock, one clock that tests can move, and faults by rule.
//!
//! Every request, from a socket or in process, takes the same way: [`Region::serve`] (the four
//! services) or [`Region::serve_imds`].

pub mod arrival;
pub mod autoscaling;
pub mod call;
pub mod calls;
pub mod clock;
pub mod ec2;
pub mod envelope;
pub mod faults;
mod history;
pub mod iam;
pub mod ids;
pub mod imds;
pub mod inprocess;
pub mod latency;
pub mod params;
mod request;
pub mod s3;
pub mod serve;
pub mod sigv4;
pub mod state;
pub mod sts;
pub mod tracked;
pub mod xml;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use time::OffsetDateTime;
use tokio::sync::{Notify, broadcast, watch};

pub use self::arrival::Arrival;
pub use self::calls::CallLog;
pub use self::clock::Clock;
pub use self::faults::{Fault, Faults, Rule};
use self::history::History;
use self::ids::Ids;
pub use self::latency::{Latency, Profile};
pub use self::request::Answer;
pub use self::state::{Event, State};

/// What a region is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `eu-west-1`
    pub name: String,
    /// Twelve digits.
    pub account: String,
    /// Where IDs, secrets, latencies and chance come from.
    pub seed: u64,
    pub latency: Profile,
    pub start: OffsetDateTime,
}

/// The region. Clones are the same region.
#[derive(Clone)]
pub struct Region(Arc<Shared>);

struct Shared {
    settings: Settings,
    state: Mutex<State>,
    /// Something moves by itself at another time than before.
    changed: Notify,
    clock: Clock,
    faults: Faults,
    latency: Latency,
    calls: CallLog,
    history: Mutex<History>,
    /// Apart from the state's, so that a request more does not rename every instance.
    request_ids: Mutex<Ids>,
    connections: AtomicU64,
    events: broadcast::Sender<Event>,
    /// Counts what changed of EC2's network.
    network: watch::Sender<u64>,
}

impl Settings {
    /// `eu-west-1`, account 123456789012, no latencies.
    pub fn new(seed: u64, start: OffsetDateTime) -> Self {
        Self {
            name: "eu-west-1".into(),
            account: "123456789012".into(),
            seed,
            latency: Profile::None,
            start,
        }
    }
}

impl Region {
    /// A region without anything in it. Its time starts now; within a runtime, please.
    pub fn new(settings: Settings) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(settings.clone())),
            changed: Notify::new(),
            clock: Clock::starting_at(settings.start),
            faults: Faults::default(),
            latency: Latency::new(settings.latency, settings.seed),
            calls: CallLog::default(),
            history: Mutex::default(),
            request_ids: Mutex::new(Ids::new(!settings.seed)),
            connections: AtomicU64::new(0),
            events: broadcast::channel(4096).0,
            network: watch::Sender::default(),
            settings,
        };
        Self(Arc::new(shared))
    }

    /// Direct access to the state. What is due by now has happened before `f` sees it; what `f`
    /// makes happen, what is due at once included, is published afterwards. `f` must not call the region.
    pub fn with<T>(&self, f: impl FnOnce(&mut State, OffsetDateTime) -> T) -> T {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().expect("the state's lock");
        let before = state.next_deadline();
        state.advance(now);
        let answer = f(&mut state, now);
        // What takes no time has happened before anybody else looks.
        state.advance(now);
        self.remember(&mut state, now);
        // Within the lock, so that events are seen in the order in which they happened. Nobody
        // listening is no error.
        state.events.drain(..).for_each(|event| drop(self.0.events.send(event)));
        let version = state.ec2.network_version();
        self.0.network.send_if_modified(|held| std::mem::replace(held, version) != version);
        let moved = state.next_deadline() != before;
        drop(state);
        if moved {
            self.0.changed.notify_waiters();
        }
        answer
    }

    /// Lets time-driven states move by themselves; runs until it is dropped. Spawn it once.
    pub async fn run(self) {
        loop {
            let changed = self.0.changed.notified();
            let deadline = self.0.state.lock().expect("the state's lock").next_deadline();
            // In order, since a branch chosen by chance would make each run another.
            tokio::select! {
                biased;
                () = self.0.clock.reaches(deadline) => self.with(|_, _| ()),
                () = changed => {}
            }
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    pub fn calls(&self) -> &CallLog {
        &self.0.calls
    }

    /// Wakes whoever forwards packets, whenever EC2's network may have changed.
    pub fn network_changes(&self) -> watch::Receiver<u64> {
        self.0.network.subscribe()
    }

    fn next_connection(&self) -> u64 {
        self.0.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What happens from now on that a machine room must act on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Region").field(&self.0.settings.name).finish()
    }
}
