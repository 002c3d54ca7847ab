//! One look: what is not as planned is made so, thing by thing, and what came of it is a value.
//! Whatever fails or has to wait, the rest is put right.

use std::collections::BTreeSet;

use super::strife::Quarrel;
use crate::converge::network::{Change, Filter, Foreign, reconcile_but};
use crate::converge::{Ensured, ensure_file, ensure_sysctl, in_order};
use crate::host::{Machine, Stirred};
use crate::plan::HostPlan;
use crate::plan::network::{PacketFilter, PodNetwork};

/// What a look found and did. A thing is named in the words of a log line, always the same ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What was looked at.
    pub what: Stirred,
    /// What the plan is made from now, where that is not what it was made from before.
    pub planned_anew: Option<String>,
    /// What is different now.
    pub changes: Vec<String>,
    /// What is not as planned and has to wait, since it was put back too often.
    pub put_off: BTreeSet<String>,
    /// What is in the place that ours should have.
    pub foreign: BTreeSet<Foreign>,
    /// What is not as planned, and why.
    pub failed: BTreeSet<String>,
    pub quarrels: Vec<Quarrel>,
    /// How often the kernel had more to tell than could be heard, since the look before.
    pub lost: u32,
}

impl Look {
    /// Everything that was looked at is as planned.
    pub fn is_well(&self) -> bool {
        self.failed.is_empty() && self.put_off.is_empty()
    }
}

/// Looks at `what` and makes it as planned, but for what `waits`.
pub(super) async fn look(
    machine: &Machine,
    plan: &HostPlan,
    filter: &mut Filter,
    what: Stirred,
    waits: impl Fn(&str) -> bool,
) -> Look {
    let mut pass = Pass { machine, waits, look: Look { what, ..Look::default() } };
    if what.ways {
        pass.files_and_settings(plan);
    }
    if let Some(wanted) = plan.packet_filter.as_ref().filter(|_| what.filter) {
        pass.filter(filter, wanted).await;
    }
    if let Some(wanted) = plan.network.as_ref().filter(|_| what.ways) {
        pass.ways(wanted).await;
    }
    pass.look
}

struct Pass<'a, W> {
    machine: &'a Machine,
    waits: W,
    look: Look,
}

impl<W: Fn(&str) -> bool> Pass<'_, W> {
    fn files_and_settings(&mut self, plan: &HostPlan) {
        let machine = self.machine;
        for file in &plan.files {
            let name = file.path.display().to_string();
            self.ensure(name, || {
                ensure_file(machine, &file.path, file.mode, file.contents.as_bytes())
            });
        }
        for (name, value) in in_order(plan.sysctls.iter()) {
            self.ensure(format!("{name} = {value}"), || ensure_sysctl(machine, name, value));
        }
    }

    /// What was put back too often is not even looked at before its time.
    fn ensure(&mut self, name: String, ensure: impl FnOnce() -> anyhow::Result<Ensured>) {
        if (self.waits)(&name) {
            return;
        }
        match ensure() {
            Ok(Ensured::Unchanged) => {}
            Ok(Ensured::Changed) => self.look.changes.push(name),
            Err(error) => self.fail(&error),
        }
    }

    async fn filter(&mut self, filter: &mut Filter, wanted: &PacketFilter) {
        let name = Change::FilterReplaced.to_string();
        if (self.waits)(&name) {
            return;
        }
        match filter.ensure(self.machine, wanted).await {
            Ok(Ensured::Unchanged) => {}
            Ok(Ensured::Changed) => self.look.changes.push(name),
            Err(error) => self.fail(&error),
        }
    }

    async fn ways(&mut self, wanted: &PodNetwork) {
        let waits = |change: &Change| (self.waits)(&change.to_string());
        match reconcile_but(self.machine, wanted, waits).await {
            Ok(reconciled) => {
                let said = |change: &Change| change.to_string();
                self.look.changes.extend(reconciled.changes.iter().map(said));
                self.look.put_off.extend(reconciled.put_off.iter().map(said));
                self.look.foreign.extend(reconciled.foreign);
                self.look.failed.extend(reconciled.failed.iter().map(ToString::to_string));
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &anyhow::Error) {
        self.look.failed.insert(format!("{error:#}"));
    }
}
