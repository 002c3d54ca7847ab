//! The metadata service's `autoscaling/target-lifecycle-state`: Auto Scaling User Guide, "Retrieve
//! the target lifecycle state through instance metadata". It is remembered since when, because the
//! service tells it with a lag, and beyond membership, because a detached instance reads it still.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::AutoScaling;

/// The steady states that each instance was on its way to, the latest last.
#[derive(Clone, Debug, Default)]
pub struct Targets(BTreeMap<String, Vec<(OffsetDateTime, &'static str)>>);

impl Targets {
    /// The instance is on its way to that state, or in it.
    pub fn aim(&mut self, instance: &str, target: &'static str, now: OffsetDateTime) {
        let held = self.0.entry(instance.to_owned()).or_default();
        if held.last().is_none_or(|(_, latest)| *latest != target) {
            held.push((now, target));
        }
    }

    pub fn forget(&mut self, instance: &str) {
        self.0.remove(instance);
    }

    fn as_of(&self, instance: &str, at: OffsetDateTime) -> Option<&'static str> {
        let held = self.0.get(instance)?;
        held.iter().rev().find(|(since, _)| *since <= at).map(|(_, target)| *target)
    }
}

impl AutoScaling {
    /// `InService` on the way in and while it is in service, `Terminated` on the way out; nothing
    /// outside of groups.
    pub fn target_lifecycle_state(&self, instance: &str) -> Option<String> {
        let (_, latest) = self.targets.0.get(instance)?.last()?;
        Some((*latest).to_owned())
    }

    /// The same as it was at that time.
    pub fn target_shown(&self, instance: &str, at: OffsetDateTime) -> Option<&'static str> {
        self.targets.as_of(instance, at)
    }
}
