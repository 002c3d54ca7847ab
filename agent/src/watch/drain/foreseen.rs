//! What a drain would do, in its order: the same decisions, in a world where all goes well.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::event::{Announced, Moment};
use super::evictions::Answer;
use super::pod::{Pod, Told, stays};
use super::rules::Rules;
use super::state::{Leaving, State};
use super::step::{Effect, NodeAnswer, Observation, step};

/// What would be done, and which pods would stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Foreseen {
    /// One after the other.
    pub steps: Vec<String>,
    pub stay: Vec<Staying>,
}

/// A pod that would not be asked to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Staying {
    pub pod: String,
    pub because: String,
}

/// Of a node with these pods.
pub(super) fn foresee(pods: &[Told], announced: Announced, rules: &Rules) -> Foreseen {
    let leave: Vec<Pod> = pods.iter().filter_map(Pod::of).collect();
    let mut foreseen = Foreseen { stay: staying(pods, &leave, rules), ..Foreseen::default() };
    let mut observed = VecDeque::from([Observation::Standing(vec![announced])]);
    let (mut leaving, mut now) = (Leaving::default(), Moment::after_boot(Duration::ZERO));
    loop {
        let effects;
        (leaving, effects) =
            step(leaving, observed.pop_front().unwrap_or(Observation::Tick), rules, now);
        foreseen.steps.extend(said(&effects));
        observed.extend(effects.into_iter().flat_map(|effect| went_well(effect, &leave)));
        if let State::Left { .. } = leaving.state {
            return foreseen;
        }
        if observed.is_empty() {
            let Some(wake) = leaving.wake(rules, now) else { return foreseen };
            let waits = leaving.waits_for(rules, now).join("; ");
            foreseen.steps.push(format!("wait for {waits}"));
            now = wake;
        }
    }
}

fn staying(pods: &[Told], leave: &[Pod], rules: &Rules) -> Vec<Staying> {
    let kept = leave.iter().filter_map(|pod| {
        Some(Staying { pod: pod.to_string(), because: rules.keeps(pod)?.to_owned() })
    });
    let named = |pod: &Told| {
        let meta = &pod.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        format!("{namespace}/{}", meta.name.as_deref().unwrap_or_default())
    };
    let others = pods
        .iter()
        .filter_map(|pod| Some(Staying { pod: named(pod), because: stays(pod)?.to_owned() }));
    others.chain(kept).collect()
}

/// What is seen when `effect` is done as it should be.
fn went_well(effect: Effect, pods: &[Pod]) -> Vec<Observation> {
    match effect {
        Effect::Cordon { .. } => {
            let ending = pods.iter().filter(|pod| pod.ending);
            let gone = ending.map(|pod| Observation::PodGone(pod.uid.clone()));
            let listed = Observation::Pods(pods.to_vec());
            [Observation::Cordoned(NodeAnswer::Done), listed].into_iter().chain(gone).collect()
        }
        Effect::Evict { pod, .. } | Effect::Delete { pod, .. } => {
            let uid = pod.uid;
            vec![Observation::Answered(uid.clone(), Answer::Granted), Observation::PodGone(uid)]
        }
        Effect::LookAtVolumes => vec![Observation::Volumes(Ok(0))],
        Effect::Uncordon | Effect::Heartbeat | Effect::Complete => Vec::new(),
    }
}

/// One line for what is begun at the same time.
fn said(effects: &[Effect]) -> Vec<String> {
    let pods: Vec<String> = effects.iter().filter_map(leaves).collect();
    let evictions = (!pods.is_empty()).then(|| format!("evict {}", pods.join(", ")));
    let others = effects.iter().filter_map(|effect| match effect {
        Effect::Cordon { .. } => Some("cordon, and leave external load balancers"),
        Effect::LookAtVolumes => Some("wait until their volumes are detached"),
        _ => None,
    });
    evictions.into_iter().chain(others.map(str::to_owned)).collect()
}

/// `shop/web-1 (30 s to end; its local data goes)`
fn leaves(effect: &Effect) -> Option<String> {
    let Effect::Evict { pod, grace } = effect else { return None };
    let grace = grace.unwrap_or(pod.grace).as_secs();
    Some(format!("{pod} ({grace} s to end{})", pod.loses()))
}

impl fmt::Display for Foreseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number}. {step}")?;
        }
        for Staying { pod, because } in &self.stay {
            writeln!(f, "stays: {pod}, which {because}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::event::{EventId, Kind};
    use super::*;
    use crate::config::{Drain, Treatment};

    fn pod(name: &str, owner: &str, priority: i32) -> Told {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "shop", "uid": name,
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "o", "controller": true }],
            },
            "spec": { "priority": priority, "volumes": [{ "name": "scratch", "emptyDir": {} }] },
            "status": { "phase": "Running" },
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn foreseen(drain: &Drain) -> String {
        let pods = [
            pod("web-1", "ReplicaSet", 0),
            pod("dns-1", "ReplicaSet", 2_000_000_000),
            pod("proxy-1", "DaemonSet", 2_000_001_000),
        ];
        let id = EventId { kind: Kind::ByHand, name: "windlass drain".to_owned() };
        foresee(&pods, Announced { id, at: None }, &Rules::of_drain(drain)).to_string()
    }

    #[test]
    fn a_drain_is_foreseen_in_its_order() {
        let wanted = "\
1. cordon, and leave external load balancers
2. wait for load balancers, that they let go: 30 s more
3. evict shop/web-1 (30 s to end; its local data goes)
4. evict shop/dns-1 (30 s to end; its local data goes)
stays: shop/proxy-1, which is of a DaemonSet
";
        assert_eq!(foreseen(&Drain::default()), wanted);
    }

    #[test]
    fn what_the_operator_keeps_is_said() {
        let said = foreseen(&Drain { local_data: Treatment::Keep, ..Drain::default() });
        assert!(!said.contains("evict"), "{said}");
        assert!(said.contains("stays: shop/web-1, which has local data\n"), "{said}");
    }
}
