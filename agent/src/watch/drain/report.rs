//! What is reported of a drain, from what is known of it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::event::{At, Moment};
use super::evictions::{Evictee, Progress};
use super::said::hook_over;
use super::state::{Drained, Event, Leaving, State};
use crate::exchange::InstanceId;
use crate::report::{Announcement, DrainReport, LeavingPod, VERSION};

/// Whose drain it is.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub instance: InstanceId,
    pub cluster: String,
    pub group: String,
    pub node: String,
}

/// The report, where a drain is over. `at` is when this became known.
pub(super) fn report(leaving: &Leaving, subject: &Subject, at: At) -> Option<DrainReport> {
    let (drained, left) = match &leaving.state {
        State::Completing { drained, .. } => (drained, false),
        State::Left { drained } => (drained, true),
        _ => return None,
    };
    let asked = drained.evictions.pods.values().filter_map(|it| it.asked);
    let origin = asked.chain([drained.began]).min()?;
    let since = |moment: Moment| moment.since(origin).as_millis() as u64;
    let hook_over = leaving.events.iter().any(|event| event.hook.is_some());
    let Subject { instance, cluster, group, node } = subject.clone();
    Some(DrainReport {
        version: VERSION,
        instance,
        cluster,
        group,
        node,
        origin: at.time_of(origin),
        announced: leaving.events.iter().map(|event| announcement(event, origin)).collect(),
        cordoned_ms: drained.cordoned.map(since),
        ended_ms: since(drained.ended),
        left_ms: (left && hook_over).then(|| since(at.moment)),
        listed: drained.evictions.listed,
        pods: pods(drained, since),
    })
}

fn announcement(event: &Event, origin: Moment) -> Announcement {
    let ms = |duration: Duration| duration.as_millis() as i64;
    let relative = |at: Moment| ms(at.since(origin)) - ms(origin.since(at));
    Announcement {
        kind: event.announced.id.kind.name().to_owned(),
        name: event.announced.id.name.clone(),
        seen_ms: relative(event.seen),
        end_ms: relative(event.end),
        hook: event.hook.as_ref().map(|end| hook_over(end).message),
    }
}

fn pods(drained: &Drained, since: impl Fn(Moment) -> u64) -> Vec<LeavingPod> {
    let mut pods: Vec<&Evictee> = drained.evictions.pods.values().collect();
    pods.sort_by_key(|it| (it.asked, &it.pod.namespace, &it.pod.name));
    let reported = pods.into_iter().map(|evictee| LeavingPod {
        namespace: evictee.pod.namespace.clone(),
        name: evictee.pod.name.clone(),
        asked_ms: evictee.asked.map(&since),
        gone_ms: match evictee.progress {
            Progress::Gone { at } => Some(since(at)),
            _ => None,
        },
        refusals: evictee.refusals,
        said: evictee.said.clone(),
        forced: evictee.forced,
    });
    reported.collect()
}
