//! How a boot ends: the launch lifecycle hook is completed one way or the other, the report is
//! written, systemd is told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use aws_config::SdkConfig;
use sd_notify::NotifyState;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::pool::Arrived;
use super::ready::{self, Waiting};
use super::stop::{Kind, Stop};
use super::{Boot, Done, Known};
use crate::basis::Basis;
use crate::client::autoscaling::{Completed, Error as NotTaken, Hook, Verdict};
use crate::client::s3::Condition;
use crate::config::NodeConfig;
use crate::converge::ensure_file;
use crate::exchange::Keys;
use crate::facts::Instance;
use crate::host::UnitState;
use crate::report::{BootStep, Outcome, Report, VERSION, status};

/// Time for a second try after one that S3 never answered; more the report is not worth.
const UPLOAD: Duration = Duration::from_secs(15);
/// Until Auto Scaling begins to terminate an instance that it was told to abandon, and twice that.
const SEE_OFF: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const WATCH: &str = "windlass-watch.service";
/// For who is on the machine now, and for who comes after a reboot.
pub(super) const REPORTS: [&str; 2] =
    ["/run/windlass/report.json", "/var/lib/windlass/report.json"];

/// The launch hook that the configuration names, where the instance is in an Auto Scaling group.
pub fn launch_hook(
    sdk: &SdkConfig,
    instance: &Instance,
    config: &NodeConfig,
) -> Result<Option<Hook>, Stop> {
    let (Some(hook), Some(_)) = (&config.hooks.launch, &instance.lifecycle_state) else {
        return Ok(None);
    };
    let group = instance.auto_scaling_group.as_ref().ok_or_else(|| {
        Stop::because(anyhow!(
            "the configuration names the launch hook `{hook}`, but IMDS does not say which Auto Scaling group this instance is of\n\
             hint: the launch template needs `InstanceMetadataTags: enabled` in its MetadataOptions"
        ))
    })?;
    Ok(Some(Hook::new(sdk, group, hook, &instance.id)))
}

impl Boot {
    /// Auto Scaling may count on the instance.
    pub(super) async fn complete_hook(&self, known: &Known) -> Result<(), Stop> {
        let Some(hook) = &known.hook else { return Ok(()) };
        let work = async {
            let completed = hook.complete(Verdict::Continue).await.map_err(anyhow::Error::from)?;
            let (outcome, detail) = match completed {
                Completed::Now => (Outcome::Changed, format!("hook `{}`: CONTINUE", hook.name())),
                Completed::Already => {
                    (Outcome::Unchanged, format!("hook `{}` was completed before", hook.name()))
                }
            };
            Ok(Done { value: (), outcome, detail })
        };
        self.step(BootStep::Hook, Some("autoscaling"), work).await
    }

    /// Whatever `ended` is, it is said, and kept.
    pub(super) async fn conclude(
        &self,
        known: &mut Known,
        ended: Result<Arrived, Stop>,
    ) -> Result<Arrived, Stop> {
        let mut abandoned = false;
        if let Err(stop) = &ended {
            status(&format!("failed: {:#}", stop.reason));
            abandoned = stop.kind != Kind::Curable && self.abandon(known, stop).await;
        }
        let changed = self.recorder.steps().iter().any(|step| step.outcome != Outcome::Unchanged);
        if changed {
            let report = self.report(known, ended.as_ref().err());
            self.keep_report(known, report).await;
        }
        // On a node that is Ready there may be pods, and the drain sees it off.
        if abandoned && known.ready_ms.is_none() {
            see_off(known).await;
        }
        if matches!(ended, Ok(Arrived::Ready)) {
            let node = known.node.as_deref().unwrap_or_default();
            let said = if changed { "is Ready" } else { "is Ready; nothing was to be changed" };
            tracing::info!("node `{node}` {said}");
            let ready = [NotifyState::Ready, NotifyState::Status(&format!("node `{node}` {said}"))];
            // Nobody listens where systemd did not start us.
            let _ = sd_notify::notify(false, &ready);
        }
        ended
    }

    /// As [`Boot::replaced`]. An Auto Scaling that does not take it is one more thing to say.
    async fn abandon(&self, known: &mut Known, stop: &Stop) -> bool {
        match self.replaced(known, &stop.reason).await {
            Ok(completed) => completed == Some(Completed::Now),
            Err(error) => {
                tracing::error!(step = "hook", "{error}");
                known.notes.push(error.to_string());
                false
            }
        }
    }

    /// Auto Scaling replaces the instance, where it waits for it. What it found; nothing where there
    /// is no hook.
    pub(super) async fn replaced(
        &self,
        known: &mut Known,
        why: &anyhow::Error,
    ) -> Result<Option<Completed>, NotTaken> {
        let Some(hook) = &known.hook else { return Ok(None) };
        let completed = hook.complete(Verdict::Abandon).await?;
        let note = match completed {
            Completed::Now => {
                tracing::error!(step = "hook", "hook `{}`: ABANDON, since {why:#}", hook.name());
                format!("completed hook `{}` with ABANDON", hook.name())
            }
            Completed::Already => {
                format!("hook `{}` had no pending action to abandon", hook.name())
            }
        };
        known.notes.push(note);
        Ok(Some(completed))
    }

    /// As [`see_off`], unless a drain is possible: pods may be here then, and `windlass watch`
    /// completes the hook when they have left.
    pub(super) async fn see_off_unless_drained(&self, known: &Known) {
        let units = self.machine.unit_states(&[WATCH]).await.unwrap_or_default();
        let watched = matches!(units.get(WATCH), Some(UnitState::Running { .. }));
        if !(watched && self.is_registered().await) {
            see_off(known).await;
        }
    }

    /// As the drain sees it, which goes by what the last boot left: the group may have another
    /// configuration by now.
    async fn is_registered(&self) -> bool {
        let Ok(basis) = Basis::kept(&self.machine) else { return false };
        let (machine, wire, config) = (&self.machine, &self.wire, &basis.config);
        let node = &basis.node_name();
        ready::is_registered(Waiting { machine, wire, config, node, since: None }).await
    }

    /// The report, once the instance is known.
    pub(super) fn report(&self, known: &Known, failed: Option<&Stop>) -> Option<Report> {
        let document = known.document.as_ref()?;
        let user_data = known.user_data.as_ref();
        let now_ms = self.recorder.now_ms();
        let since_origin = time::Duration::seconds_f64(now_ms / 1000.0);
        let started_ms = now_ms - self.began.elapsed().as_micros() as f64 / 1000.0;
        let rounded = |ms: f64| (ms * 1000.0).round() / 1000.0;
        Some(Report {
            version: VERSION,
            instance: document.instance_id.clone(),
            cluster: user_data.map(|data| data.cluster.clone()).unwrap_or_default(),
            group: user_data.map(|data| data.group.clone()).unwrap_or_default(),
            node: known.node.clone(),
            revision: known.revision.as_ref().map(|revision| revision.hash.to_string()),
            zone: Some(document.availability_zone.clone()),
            instance_type: Some(document.instance_type.clone()),
            origin: OffsetDateTime::from(self.wire.time.now()) - since_origin,
            steps: self.recorder.steps(),
            started_ms: Some(rounded(started_ms)),
            own_ms: known.kubelet_ms.map(|ms| rounded(ms - started_ms)),
            ready_ms: known.ready_ms,
            stage: known.stage,
            peak_memory_bytes: self.machine.peak_memory_bytes(),
            calls: self.calls_with_the_reports(known),
            notes: known.notes.clone(),
            failure: failed.map(|stop| format!("{:#}", stop.reason)),
        })
    }

    /// The upload of the report is a call too, made after the report was written.
    fn calls_with_the_reports(&self, known: &Known) -> BTreeMap<String, u64> {
        let mut calls = self.calls.by_action();
        if known.mailbox.is_some() {
            *calls.entry("s3:PutObject".to_owned()).or_default() += 1;
        }
        calls
    }

    /// A boot does not fail for its report.
    pub(super) async fn keep_report(&self, known: &Known, report: Option<Report>) {
        let Some(report) = report else { return };
        let kept = async {
            let bytes = serde_json::to_vec_pretty(&report)?;
            for path in REPORTS {
                ensure_file(&self.machine, path, 0o644, &bytes)?;
            }
            let Some((store, user)) = &known.mailbox else { return Ok(()) };
            let key = Keys::of(&report.cluster).report(user);
            let put = timeout(UPLOAD, store.put(&key, bytes, Condition::Always));
            put.await.context("S3 did not take it in time")??;
            anyhow::Ok(())
        };
        if let Err(error) = kept.await {
            tracing::warn!("the boot report is not everywhere it should be: {error:#}");
        }
    }
}

/// The group also waits for the termination hook of an instance that it was told to abandon, or takes
/// out of its warm pool. No pod was ever here, and nobody else would complete it before it times out.
async fn see_off(known: &Known) {
    let termination = known.revision.as_ref().and_then(|it| it.config.hooks.termination.as_ref());
    let (Some(launch), Some(name)) = (&known.hook, termination) else { return };
    let hook = launch.sibling(name);
    let completing = async {
        loop {
            match hook.complete(Verdict::Continue).await {
                Ok(Completed::Now) => {
                    return tracing::info!(step = "hook", "hook `{name}`: CONTINUE");
                }
                Ok(Completed::Already) => {}
                Err(error) => tracing::warn!(step = "hook", "{error}"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if timeout(SEE_OFF, completing).await.is_err() {
        tracing::warn!(
            step = "hook",
            "hook `{name}` had no pending action within {} s",
            SEE_OFF.as_secs()
        );
    }
}
