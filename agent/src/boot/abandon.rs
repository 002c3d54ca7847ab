//! `windlass abandon`: for an instance whose boot could not say itself that it gives up, since it was
//! killed again and again, or panicked. Systemd starts this when it starts the boot no more. The launch
//! hook is completed with ABANDON, and the report says what is known. Where the node is Ready and only
//! its group was never told, that is told instead.

use anyhow::anyhow;
use tokio::time::Instant;
use tokio::try_join;

use super::end::REPORTS;
use super::stop::Stop;
use super::{Boot, Known};
use crate::cli::{Failure, Started};
use crate::client::Wire;
use crate::client::autoscaling::Completed;
use crate::client::imds::Imds;
use crate::client::s3::Store;
use crate::exchange::InstanceId;
use crate::host::Machine;
use crate::report::{self, Report, Stage, status};

const BOOT: &str = "windlass-boot.service";
/// Of its journal.
const LINES: usize = 5;

/// Gives the instance back to its Auto Scaling group, where that waits for the launch; else nothing is
/// changed. `how` systemd calls it that the boot ended: `signal`, `oom-kill`.
pub async fn abandon(
    machine: &Machine,
    wire: Wire,
    started: Started,
    how: Option<&str>,
) -> Result<(), Failure> {
    let began = Instant::now() - started.0.elapsed();
    let boot = Boot::new(machine, &wire, Stage::Launch, machine.origin()?.ago, began);
    Ok(Box::pin(boot.give_up(how)).await?)
}

impl Boot {
    async fn give_up(&self, how: Option<&str>) -> Result<(), Stop> {
        let (mut known, imds) = (Known::default(), Imds::new(&self.wire));
        let (document, user_data, sdk) = self.metadata(&imds, &mut known).await?;
        let instance = document.instance_id.clone();
        let store = Store::new(&sdk, &user_data.bucket);
        let (facts, revision) =
            try_join!(self.facts(&imds, document), self.configuration(&store, &user_data))?;
        self.introduce(&mut known, &sdk, &store, &facts, &revision).await?;

        let before = last_failure(&self.machine, &instance);
        if before.as_ref().is_some_and(|before| before.ready_ms.is_some()) {
            self.complete_hook(&known).await?;
            let said = "the node is Ready: its launch is not abandoned";
            status(said);
            tracing::info!("{said}");
            return Ok(());
        }
        let why = self.why(how, before.as_ref()).await;
        let replaced = self.replaced(&mut known, &why).await.map_err(anyhow::Error::from)?;
        let Some(Completed::Now) = replaced else {
            let said = "no launch of this instance is pending: nothing is abandoned";
            status(said);
            tracing::info!("{said}");
            return Ok(());
        };
        status("abandoned; its group replaces this instance");
        let report = self.report(&known, Some(&Stop::because(why)));
        let steps = before.map(|before| before.steps);
        let report = report.map(|report| match steps {
            Some(steps) => Report { steps, ..report },
            None => report,
        });
        self.keep_report(&known, report).await;
        self.see_off_unless_drained(&known).await;
        Ok(())
    }

    /// In the words of the boot's last report, or of its journal.
    async fn why(&self, how: Option<&str>, before: Option<&Report>) -> anyhow::Error {
        let how = how.map(|how| format!(" ({how})")).unwrap_or_default();
        if let Some(failure) = before.and_then(|report| report.failure.as_ref()) {
            return anyhow!(
                "{BOOT} is not started any more{how}; it failed at last since {failure}"
            );
        }
        let said = self.machine.last_words(BOOT, LINES).await;
        let said = if said.is_empty() { "nothing" } else { &said };
        anyhow!(
            "{BOOT} is not started any more{how}, and ended before it could say why; its journal \
             says last:\n{said}"
        )
    }
}

/// The report of this instance's last boot, if that failed and could say so.
fn last_failure(machine: &Machine, instance: &InstanceId) -> Option<Report> {
    let report = machine.read(REPORTS[1]).ok()??;
    let report: Report = report::read(&report).ok()?;
    (report.instance == *instance && report.failure.is_some()).then_some(report)
}
