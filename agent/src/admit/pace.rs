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

/// Until the next listing of the inbox.
pub fn inbox(lead: Lead, anybody_is_expected: bool) -> Duration {
    match (lead, anybody_is_expected) {
        (Lead::Leader, true) => Duration::from_millis(100),
        (Lead::Follower, true) => Duration::from_secs(1),
        (Lead::Leader, false) => Duration::from_secs(10),
        (Lead::Follower, false) => Duration::from_secs(30),
    }
}

/// Until the next listing of the cluster's instances. DescribeInstances costs nothing and, filtered
/// and paged, is allowed ten times as often ("Request throttling for the Amazon EC2 API").
pub fn instances(lead: Lead) -> Duration {
    match lead {
        Lead::Leader => Duration::from_secs(3),
        Lead::Follower => Duration::from_secs(9),
    }
}

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
