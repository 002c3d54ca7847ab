//! A boot storm: many instances launched at once, real admitters, and an AWS that throttles and
//! delays as the real one does. All of it is in one thread on a paused clock, so that minutes of
//! the region's time take as long as the work in them, and the same seed gives the same storm.
//!
//! [`run`] is the storm; [`scene`] and [`agent`] are what it is made of, and the admission tests too.

pub mod agent;
mod cluster;
mod drawing;
mod outcome;
mod run;
pub mod scene;
mod watch;

use serde::Serialize;

pub use self::outcome::{Life, Outcome, Target};
pub use self::run::{Killed, run};
use crate::region::ec2::Limits;

/// What storm is wanted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Storm {
    /// Instances that are launched at once.
    pub nodes: u32,
    /// Route tables that are tagged for the cluster.
    pub tables: u32,
    /// Of several, the one that leads is killed in the middle.
    pub admitters: u32,
    pub seed: u64,
}

impl Storm {
    /// What AWS' throttle lets nobody be faster than: a bucket holds 50 requests of an action and
    /// is filled with 5 a second, and `nodes × tables` routes and `nodes` interfaces are to be
    /// changed by one request each. With one table or more that is (nodes × tables − 50) / 5.
    ///
    /// Source: "Request throttling for the Amazon EC2 API".
    pub fn floor_seconds(&self) -> f64 {
        let Some(rate) = Limits::default().mutations else { return 0.0 };
        let of_action = |requests: u32| {
            f64::from(requests.saturating_sub(rate.burst)) / f64::from(rate.per_second)
        };
        of_action(self.nodes * self.tables).max(of_action(self.nodes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_what_the_fullest_bucket_takes() {
        let floor = |nodes, tables| Storm { nodes, tables, admitters: 1, seed: 1 }.floor_seconds();
        assert_eq!([floor(500, 3), floor(500, 0), floor(10, 5)], [290.0, 90.0, 0.0]);
    }
}
