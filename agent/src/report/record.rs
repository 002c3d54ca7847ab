//! Steps as they run: each is logged, told to systemd and kept for the report.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::{Outcome, Step};
use crate::client::calls::{Calls, Count};

/// Collects the steps of one boot. Clones share what they collect.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// A moment, and how long after the origin it was.
    at: Instant,
    since_origin: Duration,
    calls: Calls,
    steps: Arc<Mutex<Vec<Step>>>,
}

/// A step that has begun. One that is dropped was given up, because another step failed or the
/// deadline came.
#[derive(Debug)]
#[must_use = "a step must end, well or badly"]
pub struct Running {
    recorder: Recorder,
    step: BootStep,
    start_ms: f64,
    waited_for: Option<&'static str>,
    before: Count,
    ended: bool,
}

impl Recorder {
    /// Counts from `since_origin` ago on.
    pub fn new(since_origin: Duration, calls: Calls) -> Self {
        Self { at: Instant::now(), since_origin, calls, steps: Arc::default() }
    }

    /// Milliseconds since the origin, to the microsecond.
    pub fn now_ms(&self) -> f64 {
        milliseconds(self.since_origin + self.at.elapsed())
    }

    /// Begins a step; `waits_for` names the service whose answers it waits for, as in
    /// [`Step::waited_for`].
    pub fn begin(&self, step: BootStep, waits_for: Option<&'static str>) -> Running {
        status(&format!("{step}: running"));
        let before = waits_for.map(|service| self.calls.of(service)).unwrap_or_default();
        let start_ms = self.now_ms();
        Running {
            recorder: self.clone(),
            step,
            start_ms,
            waited_for: waits_for,
            before,
            ended: false,
        }
    }

    /// The steps that have ended, in the order in which they began.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = self.lock().clone();
        steps.sort_by(|a, b| a.start_ms.total_cmp(&b.start_ms));
        steps
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().expect("nobody panics while holding the steps")
    }
}

impl Running {
    /// Ends the step well.
    pub fn end(mut self, outcome: Outcome, detail: &str) {
        let ms = self.keep(outcome, detail);
        tracing::info!(step = self.step.name(), ms, "{detail}");
    }

    /// Ends the step badly; the error itself goes on to whoever prints it.
    pub fn fail(mut self, error: &anyhow::Error) {
        let ms = self.keep(Outcome::Failed, &format!("{error:#}"));
        tracing::info!(step = self.step.name(), ms, "failed");
    }

    /// Whole milliseconds that the step took.
    fn keep(&mut self, outcome: Outcome, detail: &str) -> u64 {
        self.ended = true;
        let end_ms = self.recorder.now_ms();
        let after = self.waited_for.map(|name| self.recorder.calls.of(name)).unwrap_or_default();
        self.recorder.lock().push(Step {
            name: self.step.name().to_owned(),
            start_ms: self.start_ms,
            end_ms,
            outcome,
            detail: detail.to_owned(),
            retries: after.retries - self.before.retries,
            bytes: after.bytes - self.before.bytes,
            waited_for: self.waited_for.map(str::to_owned),
        });
        (end_ms - self.start_ms).round() as u64
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.keep(Outcome::Failed, "given up");
        }
    }
}

/// Says to systemd what goes on (`systemctl status`); nothing where systemd did not start us.
pub fn status(text: &str) {
    let first = text.lines().next().unwrap_or_default();
    if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Status(first)]) {
        tracing::debug!("telling systemd the status: {error}");
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// The steps of a boot. Some run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootStep {
    /// Waiting for a route to IMDS.
    Network,
    /// IMDS: identity document, UserData, the role's credentials.
    Metadata,
    /// The configuration revision, from S3 or kept locally.
    Configuration,
    /// The rest of IMDS, and the host itself.
    Facts,
    /// The private key.
    Key,
    /// The request into the inbox.
    Request,
    /// The disk that the group keeps its nodes' data on.
    Storage,
    /// All that needs no grant.
    Prepare,
    /// Waiting for admission.
    Grant,
    /// Waiting for the instance's IPv6 address and router.
    Ipv6,
    /// Certificate, CNI configuration, what else needs the grant.
    Install,
    /// kubelet's start is requested.
    Kubelet,
    /// Waiting until the Node is Ready.
    Ready,
    /// The launch lifecycle hook.
    Hook,
}

impl BootStep {
    /// As it is called in logs, reports and `STATUS=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Metadata => "metadata",
            Self::Configuration => "configuration",
            Self::Facts => "facts",
            Self::Key => "key",
            Self::Request => "request",
            Self::Storage => "storage",
            Self::Prepare => "prepare",
            Self::Grant => "grant",
            Self::Ipv6 => "ipv6",
            Self::Install => "install",
            Self::Kubelet => "kubelet",
            Self::Ready => "ready",
            Self::Hook => "hook",
        }
    }
}

impl fmt::Display for BootStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
