//! What EC2 and S3 said last, and who is expected because of it. Pure but for what is put in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;

use crate::client::ec2::{Instance, State};
use crate::exchange::InstanceId;

/// No decision rests on a description older than this: who asks is looked up by id then, and an
/// admitter that EC2 does not answer waits. (Collection ends no lease before an instance was gone
/// for much longer: see `collect`.)
pub const TOO_OLD: Duration = Duration::from_secs(10);

/// Which instances there are and which have had their answer.
#[derive(Debug, Default)]
pub struct Seen {
    /// Described by the latest listing, or by a look-up since.
    described: BTreeMap<InstanceId, (Instance, OffsetDateTime)>,
    /// When each instance was last answered, by whichever admitter.
    answered: BTreeMap<InstanceId, OffsetDateTime>,
    /// Instances that ask and that EC2 does not know yet.
    unknown: BTreeMap<InstanceId, Unknown>,
    latest_listing: Option<OffsetDateTime>,
}

#[derive(Clone, Copy, Debug)]
struct Unknown {
    /// EC2's first and its latest answer that there is no such instance.
    absent: Option<(OffsetDateTime, OffsetDateTime)>,
    /// When EC2 was asked last, whether it answered or not.
    asked: OffsetDateTime,
}

impl Seen {
    /// A listing of all that are pending or running in the cluster: whoever is not in it, is not.
    pub fn listed(&mut self, instances: Vec<Instance>, now: OffsetDateTime) {
        self.latest_listing = Some(now);
        self.described.clear();
        self.described(instances, now);
        let Self { described, answered, .. } = self;
        answered.retain(|id, _| described.contains_key(id));
    }

    /// When EC2 listed the cluster's instances last.
    pub fn latest_listing(&self) -> Option<OffsetDateTime> {
        self.latest_listing
    }

    /// Some instances, by id.
    pub fn described(&mut self, instances: Vec<Instance>, now: OffsetDateTime) {
        for instance in instances {
            self.unknown.remove(&instance.id);
            self.described.insert(instance.id.clone(), (instance, now));
        }
    }

    /// The instance, if EC2 described it lately.
    pub fn instance(&self, id: &InstanceId, now: OffsetDateTime) -> Option<&Instance> {
        let (instance, at) = self.described.get(id)?;
        (now - *at < TOO_OLD).then_some(instance)
    }

    /// Every instance that EC2 described last, however long ago.
    pub fn all(&self) -> impl Iterator<Item = &Instance> {
        self.described.values().map(|(instance, _)| instance)
    }

    /// Every instance that EC2 described within `age`.
    pub fn instances(&self, age: Duration, now: OffsetDateTime) -> impl Iterator<Item = &Instance> {
        let lately = self.described.values().filter(move |(_, at)| now - *at < age);
        lately.map(|(instance, _)| instance)
    }

    /// An answer to `id` was written.
    pub fn answered(&mut self, id: &InstanceId, at: OffsetDateTime) {
        self.unknown.remove(id);
        let known = self.answered.entry(id.clone()).or_insert(at);
        *known = at.max(*known);
    }

    /// Who was started within `window` and has had no answer since.
    pub fn expected(
        &self,
        window: Duration,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = &Instance> {
        let expected = move |instance: &&Instance| {
            let alive = matches!(instance.state, State::Pending | State::Running);
            let answered = self.answered.get(&instance.id);
            alive
                && now - instance.launched <= window
                && answered.is_none_or(|at| *at < instance.launched)
        };
        self.instances(window, now).filter(expected)
    }

    /// Who was started longer ago than `window` and has had no answer since: it rests in a warm pool,
    /// and asks when its group calls.
    pub fn resting(
        &self,
        window: Duration,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = &Instance> {
        let resting = move |instance: &&Instance| {
            let answered = self.answered.get(&instance.id);
            instance.state == State::Running
                && now - instance.launched > window
                && answered.is_none_or(|at| *at < instance.launched)
        };
        self.instances(TOO_OLD, now).filter(resting)
    }

    /// Which of `asking` must be looked up by id now: EC2 has not described them lately, and was
    /// not asked within `pause`.
    pub fn due_for_look_up(
        &mut self,
        asking: &BTreeSet<InstanceId>,
        pause: Duration,
        now: OffsetDateTime,
    ) -> Vec<InstanceId> {
        self.unknown.retain(|id, _| asking.contains(id));
        let mut wanted = Vec::new();
        for id in asking {
            let asked = self.unknown.get(id).map(|unknown| unknown.asked);
            if self.instance(id, now).is_some() || asked.is_some_and(|at| now - at < pause) {
                continue;
            }
            let unknown = self.unknown.entry(id.clone());
            unknown.or_insert(Unknown { absent: None, asked: now }).asked = now;
            wanted.push(id.clone());
        }
        wanted
    }

    /// EC2's answer to a look-up of `wanted`.
    pub fn looked_up(&mut self, wanted: &[InstanceId], found: Vec<Instance>, now: OffsetDateTime) {
        self.described(found, now);
        for id in wanted {
            if let Some(unknown) = self.unknown.get_mut(id) {
                let first = unknown.absent.map_or(now, |(first, _)| first);
                unknown.absent = Some((first, now));
            }
        }
    }

    /// How long EC2 has kept saying that it does not know an instance that asks. Silence does not
    /// count.
    pub fn unknown_for(&self, id: &InstanceId) -> Option<Duration> {
        let (first, latest) = self.unknown.get(id)?.absent?;
        (latest - first).try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::admit::testing::instance;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
    const MINUTE: Duration = Duration::from_secs(60);

    fn expected(seen: &Seen, window: Duration, now: OffsetDateTime) -> Vec<Instance> {
        seen.expected(window, now).cloned().collect()
    }

    #[test]
    fn an_instance_is_expected_from_its_start_until_its_answer() {
        let mut seen = Seen::default();
        let one = Instance { launched: NOW - MINUTE, ..instance(1) };
        seen.listed(vec![one.clone()], NOW);
        assert_eq!(expected(&seen, 15 * MINUTE, NOW), std::slice::from_ref(&one));
        assert_eq!(expected(&seen, MINUTE / 2, NOW), []);
        seen.answered(&one.id, NOW);
        assert_eq!(expected(&seen, 15 * MINUTE, NOW), []);
        // Stopped and started: the answer was to the start before.
        let again = Instance { launched: NOW + MINUTE, ..one };
        seen.listed(vec![again.clone()], NOW + MINUTE);
        assert_eq!(expected(&seen, 15 * MINUTE, NOW + MINUTE), [again]);
    }

    #[test]
    fn an_instance_that_never_asked_rests_when_the_window_is_over() {
        let mut seen = Seen::default();
        let resting = |seen: &Seen| seen.resting(15 * MINUTE, NOW).cloned().collect::<Vec<_>>();
        let one = Instance { launched: NOW - 16 * MINUTE, ..instance(1) };
        let expected = Instance { launched: NOW - 14 * MINUTE, ..instance(2) };
        seen.listed(vec![one.clone(), expected], NOW);
        assert_eq!(resting(&seen), std::slice::from_ref(&one));
        seen.answered(&one.id, NOW);
        assert_eq!(resting(&seen), []);
    }

    #[test]
    fn who_is_in_a_listing_no_more_is_not_known_from_the_one_before() {
        let mut seen = Seen::default();
        seen.listed(vec![instance(1), instance(2)], NOW);
        seen.listed(vec![instance(2)], NOW + Duration::from_secs(3));
        assert_eq!(seen.instance(&instance(1).id, NOW + Duration::from_secs(3)), None);
    }

    #[test]
    fn an_old_description_is_none() {
        let mut seen = Seen::default();
        seen.listed(vec![instance(1)], NOW);
        let id = instance(1).id;
        assert!(seen.instance(&id, NOW + TOO_OLD / 2).is_some());
        assert!(seen.instance(&id, NOW + TOO_OLD).is_none());
    }

    #[test]
    fn who_is_unknown_is_looked_up_now_and_then_and_only_answers_count() {
        let mut seen = Seen::default();
        let id = instance(1).id;
        let asking = BTreeSet::from([id.clone()]);
        let second = Duration::from_secs(1);
        assert_eq!(seen.due_for_look_up(&asking, second, NOW), std::slice::from_ref(&id));
        assert_eq!(seen.due_for_look_up(&asking, second, NOW + second / 2), []);
        assert_eq!(seen.due_for_look_up(&asking, second, NOW + MINUTE), std::slice::from_ref(&id));
        assert_eq!(seen.unknown_for(&id), None, "EC2 did not answer");
        seen.looked_up(std::slice::from_ref(&id), vec![], NOW + MINUTE);
        seen.looked_up(std::slice::from_ref(&id), vec![], NOW + 2 * MINUTE);
        assert_eq!(seen.unknown_for(&id), Some(MINUTE));
        seen.looked_up(std::slice::from_ref(&id), vec![instance(1)], NOW + 2 * MINUTE);
        assert_eq!(seen.due_for_look_up(&asking, second, NOW + 2 * MINUTE), []);
        assert_eq!(seen.unknown_for(&id), None);
    }
}
