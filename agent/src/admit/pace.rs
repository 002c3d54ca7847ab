//! How often an admitter looks, as a pure function of what it waits for. Only the leader looks
//! often, so that three admitters cost little more than one; what they write is right whoever
//! leads.

use std::time::Duration;

/// Whether this admitter is the one that looks often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    Leader,
    Follower,
}

/// How many requests may come soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crowd {
    Nobody,
    /// So few that the leader looks under each one's key.
    Few,
    Many,
}

impl Crowd {
    /// Of those `expected`, who are counted no further than needed. A listing costs as much as 12
    /// GETs ("Amazon S3 pricing").
    pub fn of<T>(expected: impl Iterator<Item = T>) -> Self {
        match expected.take(5).count() {
            0 => Self::Nobody,
            1..=4 => Self::Few,
            _ => Self::Many,
        }
    }
}

/// Between two looks under the keys of those few who are expected, the youngest of whom was started
/// so long ago. Most ask within 20 s, and wait for no more than this. Who is not [`PUNCTUAL`] any more
/// rests in a warm pool, where to be looked for so often costs a dollar a month.
pub fn doorstep(age: Duration) -> Duration {
    if age < Duration::from_secs(20) {
        Duration::from_millis(25)
    } else if age < PUNCTUAL {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(1)
    }
}

/// A look that takes longer is given up; the next one, or a listing, finds the request.
pub const LOOK: Duration = Duration::from_millis(500);

/// More keys than this are not looked under, however few instances they are of: a listing would
/// cost less.
pub const DOORS: usize = 6;

/// For how long after its start an instance is looked for so often. Who comes later than this is slow
/// for a reason, and a second more is nothing to it.
pub const PUNCTUAL: Duration = Duration::from_secs(60);

/// Until the next listing of the inbox, which finds also those whom nobody expected.
pub fn inbox(lead: Lead, crowd: Crowd) -> Duration {
    match (lead, crowd) {
        (Lead::Leader, Crowd::Many) => Duration::from_millis(100),
        (_, Crowd::Few | Crowd::Many) => Duration::from_secs(1),
        (Lead::Leader, Crowd::Nobody) => Duration::from_secs(30),
        (Lead::Follower, Crowd::Nobody) => Duration::from_secs(60),
    }
}

/// Until the next listing of the cluster's instances. DescribeInstances costs nothing and, filtered
/// and paged, is allowed ten times as often ("Request throttling for the Amazon EC2 API"). A newcomer
/// for whose routes there would be no token within the `backlog` misses nothing by being seen late.
pub fn instances(lead: Lead, backlog: Duration) -> Duration {
    // A little less than a description is believed for ([`super::seen::TOO_OLD`]).
    const SELDOM: Duration = Duration::from_secs(9);
    match lead {
        Lead::Leader if backlog < SELDOM => Duration::from_secs(3),
        _ => SELDOM,
    }
}

/// Between two rounds of changes to routes, and how long one waits for answers. While EC2's throttle
/// makes everybody wait anyway, for a `backlog`, fewer rounds do the same: tokens gather meanwhile, and
/// none is lost.
pub fn round(backlog: Duration) -> Duration {
    if backlog < Duration::from_secs(8) {
        Duration::from_millis(200)
    } else {
        Duration::from_secs(1)
    }
}

/// Until routes are compared again when there is nothing to do. It costs nothing: EC2 is asked anew
/// only when what it said is [`ROUTES_DRIFT`] old.
pub fn routes(lead: Lead, awaited: bool) -> Duration {
    match (lead, awaited) {
        (Lead::Leader, _) => Duration::from_secs(10),
        (Lead::Follower, true) => Duration::from_secs(1),
        (Lead::Follower, false) => Duration::from_secs(30),
    }
}

/// How long a change of somebody else's goes unnoticed.
pub const ROUTES_DRIFT: Duration = Duration::from_secs(60);

/// The same, where an answer waits for what another admitter does.
pub const ROUTES_AWAITED: Duration = Duration::from_secs(10);

/// Between two looks, also where the first has failed, or has not helped.
pub const ROUTES_DOUBTED: Duration = Duration::from_secs(2);

/// Between two looks at what terminated instances left. A follower lets most pass.
pub const COLLECTION: Duration = Duration::from_secs(60);

/// Every so many looks a follower collects, too, should every leader fail at it, and answers are
/// looked at that no lease leads to.
pub const SELDOM: u32 = 10;

/// Between two questions to EC2 about an instance that asks and that EC2 does not know yet.
pub const LOOK_UP: Duration = Duration::from_secs(1);

/// How long EC2 may lag behind a launch before a request is refused for it.
pub const EC2_LAG: Duration = Duration::from_secs(60);

/// Before a request is looked at again whose answer failed.
pub const AFTER_FAILURE: Duration = Duration::from_secs(1);
