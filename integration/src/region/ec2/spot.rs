//! Interruptions and rebalance recommendations: EC2 User Guide, "Spot Instance interruptions" and
//! "EC2 instance rebalance recommendations".
//!
//! AWS gives them to Spot Instances alone.

use std::time::Duration;

use time::OffsetDateTime;

use super::announced::{Interruption, InterruptionAction};
use super::instance::{InstanceState, Market, Reason};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::state::Event;

/// "We provide a Spot Instance interruption notice … two minutes before."
pub const INTERRUPTION_NOTICE: Duration = Duration::from_secs(120);

impl Ec2 {
    /// Announces that EC2 takes a running instance away in so long; an earlier notice holds. The
    /// answer is when. A hibernation begins at once: "you receive an interruption notice, but not
    /// two minutes in advance".
    pub fn interrupt(
        &mut self,
        id: &str,
        action: InterruptionAction,
        notice: Duration,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, ServiceError> {
        let notice = if action == InterruptionAction::Hibernate { Duration::ZERO } else { notice };
        let instance = self.spot_mut(id, "interrupted")?;
        let at = match instance.announced.interruption {
            Some(earlier) => earlier.at,
            None => now + notice,
        };
        instance.announced.interruption.get_or_insert(Interruption { action, given_at: now, at });
        self.appoint(id);
        self.events.push(Event::InterruptionAnnounced { id: id.to_owned() });
        Ok(at)
    }

    /// Tells a running instance that it is at elevated risk of interruption; once told stays told.
    pub fn recommend_rebalance(
        &mut self,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<(), ServiceError> {
        let instance = self.spot_mut(id, "recommended for rebalance")?;
        instance.announced.rebalance.get_or_insert(now);
        self.events.push(Event::RebalanceRecommended { id: id.to_owned() });
        Ok(())
    }

    /// What was announced and is due by now, if the instance is still there for it.
    pub(super) fn interrupt_if_due(&mut self, id: &str, now: OffsetDateTime) {
        let Some(instance) = self.instances.get(id) else { return };
        let due = instance.announced.interruption.filter(|held| held.at <= now);
        let Some(interruption) = due.filter(|_| instance.state == InstanceState::Running) else {
            return;
        };
        match interruption.action {
            InterruptionAction::Terminate => self.end(id, Reason::spot_termination(), now),
            InterruptionAction::Stop | InterruptionAction::Hibernate => {
                self.halt(id, Reason::spot_shutdown(), now);
            }
        }
    }

    fn spot_mut(&mut self, id: &str, wish: &str) -> Result<&mut super::Instance, ServiceError> {
        let instance = self.running_mut(id, wish)?;
        if instance.market != Market::Spot {
            return Err(errors::no_spot_instance(id, wish));
        }
        Ok(instance)
    }

    pub(super) fn running_mut(
        &mut self,
        id: &str,
        wish: &str,
    ) -> Result<&mut super::Instance, ServiceError> {
        let instance = self.instances.get_mut(id).ok_or_else(|| errors::no_instances(&[id]))?;
        if instance.state != InstanceState::Running {
            return Err(errors::wrong_state(id, wish));
        }
        Ok(instance)
    }
}
