//! What a drain waits for, as a person reads it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::attempt::Attempt;
use super::event::Moment;
use super::evictions::{Evictee, Progress, Time};
use super::rules::Rules;
use super::state::{Draining, Leaving, State, Volumes};

impl Leaving {
    /// What it waits for now; nothing where nothing goes on.
    pub fn waits_for(&self, rules: &Rules, now: Moment) -> Vec<String> {
        match &self.state {
            State::Serving | State::Left { .. } => Vec::new(),
            State::Cordoned { cordon } => attempt("the cordon", cordon),
            State::Returning { uncordon } => attempt("the end of the cordon", uncordon),
            State::Completing { call, .. } => attempt("the completion of the hook", call),
            State::Draining(draining) => {
                let end = self.end(rules, now).unwrap_or(now);
                draining.waits_for(Time { began: draining.began, now, end }, rules)
            }
        }
    }
}

impl Draining {
    fn waits_for(&self, time: Time, rules: &Rules) -> Vec<String> {
        let cordon = attempt("the cordon", &self.cordon);
        if !cordon.is_empty() {
            return cordon;
        }
        if let Some(until) = self.deregistered(time, rules).filter(|until| *until > time.now) {
            let seconds = until.since(time.now).as_secs();
            return vec![format!("load balancers, that they let go: {seconds} s more")];
        }
        if !self.evictions.listed {
            return vec!["the API server, which has not said yet what pods there are".to_owned()];
        }
        let pods: Vec<String> = self.evictions.left().map(|it| pod(it, time.now)).collect();
        match &self.volumes {
            Volumes::Attached { count, .. } if pods.is_empty() => {
                vec![format!("{count} volumes, that they are detached")]
            }
            _ => pods,
        }
    }
}

fn attempt(what: &str, attempt: &Attempt) -> Vec<String> {
    match attempt {
        Attempt::Done | Attempt::Refused(_) => Vec::new(),
        Attempt::Due { failures: 0, .. } | Attempt::UnderWay { failures: 0 } => {
            vec![what.to_owned()]
        }
        Attempt::Due { failures, .. } | Attempt::UnderWay { failures } => {
            vec![format!("{what}, which failed {failures} times")]
        }
    }
}

/// `pod shop/web-1, ending, asked 12 s ago; refused 3 times: Cannot evict pod …`
fn pod(evictee: &Evictee, now: Moment) -> String {
    let asked = evictee.asked.map(|at| format!(", asked {} s ago", now.since(at).as_secs()));
    let waiting = matches!(evictee.progress, Progress::Waits { .. });
    let said = evictee.said.as_ref().filter(|_| waiting);
    let said = said.map(|said| match evictee.refusals {
        0 => format!("; {said}"),
        1 => format!("; refused once: {said}"),
        times => format!("; refused {times} times: {said}"),
    });
    format!(
        "pod {}, {}{}{}",
        evictee.pod,
        evictee.progress.name(),
        asked.unwrap_or_default(),
        said.unwrap_or_default()
    )
}
