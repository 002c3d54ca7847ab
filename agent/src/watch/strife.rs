//! Who else wants it otherwise: what is removed again as soon as it was put back. Each such thing is
//! put back after waits that double, and nothing else waits for it. Pure, as [`super::pace`] is.

use std::collections::BTreeMap;
use std::time::Duration;

/// So often in a row it is put back at once: a restart may remove a thing more than once.
const AT_ONCE: u32 = 3;

/// The first wait, and the longest.
const WAIT: Duration = Duration::from_secs(1);
pub(super) const LONGEST: Duration = Duration::from_secs(64);

/// Over is what has lasted for so many of its last wait, or of [`WAIT`].
const CALM: u32 = 10;

/// All that was put back of late.
#[derive(Clone, Debug, Default)]
pub struct Strife(BTreeMap<String, Thing>);

#[derive(Clone, Copy, Debug)]
struct Thing {
    /// In a row, and in all.
    times: u32,
    since: Duration,
    last: Duration,
}

/// What is worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quarrel {
    /// It was removed so often since `since` that it is put back after waits from now on.
    Began { what: String, times: u32, within: Duration },
    /// It stays.
    Over { what: String, times: u32 },
}

impl Strife {
    /// It was put back. Says when that begins to be a quarrel.
    pub fn put_back(&mut self, what: &str, at: Duration) -> Option<Quarrel> {
        let new = Thing { times: 0, since: at, last: at };
        let thing = self.0.entry(what.to_owned()).or_insert(new);
        if at > thing.calm_at() {
            *thing = new;
        }
        thing.times += 1;
        thing.last = at;
        (thing.times == AT_ONCE + 1).then(|| Quarrel::Began {
            what: what.to_owned(),
            times: thing.times,
            within: at - thing.since,
        })
    }

    /// Whether it must not be put back yet.
    pub fn waits(&self, what: &str, at: Duration) -> bool {
        self.0.get(what).is_some_and(|thing| at < thing.next())
    }

    /// When the first of them may be put back that may not be now.
    pub fn next(&self, at: Duration) -> Option<Duration> {
        self.0.values().map(Thing::next).filter(|next| *next > at).min()
    }

    /// Forgets what has lasted, and says what of it was a quarrel.
    pub fn settle(&mut self, at: Duration) -> Vec<Quarrel> {
        let mut over = Vec::new();
        self.0.retain(|what, thing| {
            let lasts = at <= thing.calm_at();
            if !lasts && thing.times > AT_ONCE {
                over.push(Quarrel::Over { what: what.clone(), times: thing.times });
            }
            lasts
        });
        over
    }
}

impl Thing {
    /// How long it waits before it is put back again.
    fn wait(&self) -> Duration {
        match self.times.checked_sub(AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(doublings) => LONGEST.min(WAIT * 2_u32.pow(doublings.min(16))),
        }
    }

    fn next(&self) -> Duration {
        self.last + self.wait()
    }

    fn calm_at(&self) -> Duration {
        self.next() + CALM * self.wait().max(WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "route blackhole 10.64.3.0/24 metric 4096";

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_removed_at_once_every_time_is_put_back_after_waits_that_double_and_said_once() {
        let mut strife = Strife::default();
        let (mut now, mut waits, mut said) = (s(100), Vec::new(), Vec::new());
        for _ in 0..12 {
            said.extend(strife.put_back(ROUTE, now));
            let next = strife.next(now).unwrap_or(now);
            assert_eq!(strife.waits(ROUTE, now), next > now);
            assert!(!strife.waits(ROUTE, next) && !strife.waits("another", now));
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 64, 64]);
        let what = ROUTE.to_owned();
        assert_eq!(said, [Quarrel::Began { what, times: 4, within: s(0) }]);
    }

    #[test]
    fn what_lasts_is_calm_again_and_said_to_be() {
        let mut strife = Strife::default();
        for _ in 0..5 {
            strife.put_back(ROUTE, s(100));
        }
        assert_eq!(strife.settle(s(122)), [], "ten waits of 2 s after the one that it is in");
        let what = ROUTE.to_owned();
        assert_eq!(strife.settle(s(123)), [Quarrel::Over { what, times: 5 }]);
        assert_eq!((strife.settle(s(123)), strife.next(s(100))), (vec![], None));
        assert_eq!(strife.put_back(ROUTE, s(124)), None);
        assert!(!strife.waits(ROUTE, s(124)), "as if nothing had been");
    }

    #[test]
    fn what_is_removed_now_and_then_is_put_back_at_once_every_time() {
        let mut strife = Strife::default();
        for minute in 0..60 {
            assert_eq!(strife.put_back(ROUTE, s(minute * 60)), None);
            assert!(!strife.waits(ROUTE, s(minute * 60)));
        }
    }

    #[test]
    fn nothing_that_was_no_quarrel_is_said_to_be_over() {
        let mut strife = Strife::default();
        strife.put_back(ROUTE, s(1));
        strife.put_back("another", s(5));
        assert_eq!(strife.settle(s(3600)), []);
    }
}
