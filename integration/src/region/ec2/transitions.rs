//! How instances change: by what is asked of them, and by time.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::instance::{InstanceState, Reason};
use super::{Ec2, errors};
use crate::region::call::ServiceError;
use crate::region::state::Event;

impl Ec2 {
    /// Ends an instance, whatever state it is in; one that is ending stays as it is.
    pub fn terminate(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        if !self.state_of(id)?.is_ending() {
            self.end(id, Reason::by_user(now), now);
        }
        Ok(())
    }

    /// Stops a running instance; a stopping or stopped one stays so.
    pub fn stop(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        match self.state_of(id)? {
            InstanceState::Stopping { .. } | InstanceState::Stopped => {}
            InstanceState::Running => self.halt(id, Reason::by_user(now), now),
            _ => return Err(errors::wrong_state(id, "stopped")),
        }
        Ok(())
    }

    /// Starts a stopped instance: it keeps its addresses, and its LaunchTime becomes `now`.
    pub fn start(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        match self.state_of(id)? {
            state if state.is_up() => {}
            InstanceState::Stopped => {
                let until = now + self.timing.pending;
                self.enter(id, InstanceState::Pending { until }, None);
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.launched_at = now;
                    instance.settled_at = until + self.timing.settling;
                }
                self.started_elsewhere(id, now);
                self.events.push(Event::InstancePending { id: id.to_owned() });
            }
            _ => return Err(errors::wrong_state(id, "started")),
        }
        Ok(())
    }

    /// Restarts a running instance; its state and LaunchTime stay.
    pub fn reboot(&mut self, id: &str, now: OffsetDateTime) -> Result<(), ServiceError> {
        if self.state_of(id)? != InstanceState::Running {
            return Err(errors::wrong_state(id, "rebooted"));
        }
        self.rebooted_by_user(id, now);
        self.events.push(Event::InstanceRebooted { id: id.to_owned() });
        Ok(())
    }

    /// It shuts down, for whatever reason.
    pub(super) fn end(&mut self, id: &str, reason: Reason, now: OffsetDateTime) {
        let until = now + self.timing.shutting_down;
        self.enter(id, InstanceState::ShuttingDown { until }, Some(reason));
        self.events.push(Event::InstanceShuttingDown { id: id.to_owned() });
        self.appoint(id);
    }

    /// It stops, for whatever reason.
    pub(super) fn halt(&mut self, id: &str, reason: Reason, now: OffsetDateTime) {
        let until = now + self.timing.stopping;
        self.enter(id, InstanceState::Stopping { until }, Some(reason));
        self.events.push(Event::InstanceStopping { id: id.to_owned() });
        self.appoint(id);
    }

    /// Moves every state whose time has come, and carries out what was announced for then.
    pub(super) fn advance_instances(&mut self, now: OffsetDateTime) {
        while let Some(at) = self.next_change().filter(|at| *at <= now) {
            if self.agenda.first().is_some_and(|(due, _)| *due == at) {
                let due = self.agenda.pop_first();
                due.into_iter().for_each(|(_, id)| self.change(id));
            } else if let Some((_, id)) = self.appointments.pop_first() {
                self.interrupt_if_due(&id, at);
                self.hold_scheduled(&id, at);
                self.appoint(&id);
            }
        }
    }

    /// When the next instance changes.
    pub(super) fn next_change(&self) -> Option<OffsetDateTime> {
        let first = |due: &BTreeSet<(OffsetDateTime, String)>| due.first().map(|(at, _)| *at);
        [first(&self.agenda), first(&self.appointments)].into_iter().flatten().min()
    }

    /// Notes when the next of what is announced to an instance is due; one that is on its way out
    /// has nothing more to expect.
    pub(super) fn appoint(&mut self, id: &str) {
        self.appointments.retain(|(_, held)| held != id);
        let Some(instance) = self.instances.get(id).filter(|held| held.state.is_up()) else {
            return;
        };
        if let Some(at) = instance.announced.next() {
            self.appointments.insert((at, id.to_owned()));
        }
    }

    /// A new state and why it is so. Every change goes this way, that the agenda be right.
    pub(super) fn enter(&mut self, id: &str, state: InstanceState, reason: Option<Reason>) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        if let Some(at) = instance.state.changes_at() {
            self.agenda.remove(&(at, id.to_owned()));
        }
        (instance.state, instance.reason) = (state, reason);
        self.touch_network();
        if let Some(at) = state.changes_at() {
            self.agenda.insert((at, id.to_owned()));
        }
    }

    /// The change that time brings.
    fn change(&mut self, id: String) {
        let Some(instance) = self.instances.get(&id) else { return };
        let reason = instance.reason.clone();
        match instance.state {
            InstanceState::Pending { .. } => {
                self.enter(&id, InstanceState::Running, None);
                self.events.push(Event::InstanceRunning { id });
            }
            InstanceState::Stopping { .. } => {
                self.enter(&id, InstanceState::Stopped, reason);
                self.events.push(Event::InstanceStopped { id });
            }
            InstanceState::ShuttingDown { until } => {
                let forgotten_at = until + self.timing.terminated_listed;
                self.enter(&id, InstanceState::Terminated { forgotten_at }, reason);
                self.let_interfaces_go(&id);
                self.events.push(Event::InstanceTerminated { id });
            }
            InstanceState::Terminated { .. } => {
                self.instances.remove(&id);
                self.tags.remove(&id);
            }
            InstanceState::Running | InstanceState::Stopped => {}
        }
    }

    /// EC2 User Guide, "Terminate Amazon EC2 instances": interfaces made with the instance go with
    /// it, others are detached.
    fn let_interfaces_go(&mut self, instance: &str) {
        let held =
            self.instances.get_mut(instance).map(|held| std::mem::take(&mut held.interfaces));
        self.touch_network();
        for id in held.into_iter().flatten() {
            let Some(interface) = self.interfaces.get_mut(&id) else { continue };
            let with = interface.attachment.take();
            if with.is_some_and(|with| with.delete_on_termination) {
                self.interfaces.remove(&id);
                self.tags.remove(&id);
            }
        }
    }

    fn state_of(&self, id: &str) -> Result<InstanceState, ServiceError> {
        let instance = self.instances.get(id).ok_or_else(|| errors::no_instances(&[id]))?;
        Ok(instance.state)
    }
}
