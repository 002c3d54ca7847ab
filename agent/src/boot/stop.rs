//! Why a boot stops, and which failures are waited out before it does.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::Failure;
use crate::client::s3;
use crate::config::Problems;

/// The end of a boot that did not reach Ready.
#[derive(Debug)]
pub struct Stop {
    pub kind: Kind,
    pub reason: anyhow::Error,
}

/// What another try would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may succeed: systemd starts the unit again.
    Curable,
    /// It would fail in the same way until an operator changes something.
    Final,
    /// There is no time for one.
    Deadline,
}

/// Until when the node must be Ready.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    pub at: Instant,
    /// How long that was when the boot began.
    pub after: Duration,
}

impl Stop {
    /// No retry cures it.
    pub fn because(reason: anyhow::Error) -> Self {
        Self { kind: Kind::Final, reason }
    }

    /// Time is up.
    pub fn late(reason: anyhow::Error) -> Self {
        Self { kind: Kind::Deadline, reason }
    }
}

impl From<anyhow::Error> for Stop {
    fn from(reason: anyhow::Error) -> Self {
        Self { kind: Kind::Curable, reason }
    }
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Self::because(problems.into())
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop.kind {
            Kind::Final => Self::Configuration(stop.reason),
            Kind::Curable | Kind::Deadline => Self::Failed(stop.reason),
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after.as_secs() {
            seconds if seconds % 60 == 0 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{seconds} s"),
        }
    }
}

/// Between two tries at S3; the SDK has already tried three times, with its own backoff.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the same request is worth repeating. IAM is eventually consistent: a role that was made
/// a moment ago is denied for some seconds ("Troubleshoot IAM", changes that are not immediately
/// visible). A clock is set by chrony within a minute of a boot. What is left is S3 itself.
fn patience(error: &s3::Error) -> Duration {
    match error {
        s3::Error::NoBucket { .. } | s3::Error::TooLarge { .. } => Duration::ZERO,
        s3::Error::Denied { .. } => Duration::from_secs(15),
        s3::Error::Clock { .. } => Duration::from_secs(60),
        s3::Error::Failed { .. } => Duration::from_secs(300),
    }
}

/// Repeats what S3 failed to do for as long as that is worth it.
pub async fn persistently<T>(
    ask: impl AsyncFnMut() -> Result<T, s3::Error>,
) -> Result<T, s3::Error> {
    persistently_within(Duration::MAX, ask).await
}

/// The same, for so long at most: where there is another way.
pub async fn persistently_within<T>(
    most: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, s3::Error>,
) -> Result<T, s3::Error> {
    let began = Instant::now();
    loop {
        match ask().await {
            Err(error) if began.elapsed() + PAUSE < patience(&error).min(most) => {
                tracing::debug!("trying again: {error}");
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
