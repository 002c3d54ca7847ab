//! What a storm came to: how long it took and what it asked of AWS, held against its targets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use windlass::exchange::InstanceId;

use super::{Killed, Storm};
use crate::region::calls::Record;

/// By how much of the throttle's floor a storm may last.
const MOST_OF_FLOOR: f64 = 1.10;
/// The same where an admitter is killed.
const MOST_OF_FLOOR_KILLED: f64 = 1.15;
/// A floor that is lower says little: an instance is called running after seconds anyway.
const TELLING_FLOOR_SECONDS: f64 = 200.0;
/// Reads of EC2 for each node, of one admitter.
const MOST_READS: f64 = 0.1;

/// A storm that is over. Times are the region's.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub storm: Storm,
    /// From the launch until everybody is routed and has its grant.
    pub seconds: f64,
    pub floor_seconds: f64,
    /// What the admitters asked, by `service:Action`.
    pub calls: BTreeMap<String, u64>,
    /// How much of that EC2 refused, by `ec2:Action Code`.
    pub refusals: BTreeMap<String, u64>,
    pub killed: Option<Killed>,
    /// Whoever was granted first comes first.
    #[serde(skip)]
    pub lives: Vec<Life>,
}

/// One node's way in: times since the launch.
#[derive(Clone, Debug)]
pub struct Life {
    pub instance: InstanceId,
    /// EC2 called it running.
    pub running: Duration,
    /// It held its pod CIDR.
    pub leased: Duration,
    /// Its request was in the inbox.
    pub asked: Duration,
    /// The first table had its route.
    pub first_route: Duration,
    /// Every table had, and its interface carried pods' packets.
    pub routed: Duration,
    /// It had read its grant.
    pub granted: Duration,
}

/// What was asked of AWS.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    calls: BTreeMap<String, u64>,
    refusals: BTreeMap<String, u64>,
}

/// What was found and what is allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub what: &'static str,
    pub found: f64,
    pub most: f64,
}

impl Outcome {
    pub fn new(storm: Storm, mut lives: Vec<Life>, tally: Tally, killed: Option<Killed>) -> Self {
        lives.sort_by(|a, b| (a.granted, &a.instance).cmp(&(b.granted, &b.instance)));
        let last = lives.iter().map(|life| life.granted.max(life.routed)).max();
        Self {
            storm,
            seconds: last.unwrap_or_default().as_secs_f64(),
            floor_seconds: storm.floor_seconds(),
            calls: tally.calls,
            refusals: tally.refusals,
            killed,
            lives,
        }
    }

    /// What storm it was, as a reader is told.
    pub fn setting(&self) -> [String; 5] {
        let Storm { nodes, tables, admitters, seed } = self.storm;
        [
            counted(nodes, "instance"),
            counted(tables, "route table"),
            counted(admitters, "admitter"),
            "EC2 and S3 as slow as AWS, EC2 throttled as by AWS".to_owned(),
            format!("seed {seed}"),
        ]
    }

    /// How many calls of `action` EC2 carried out.
    pub fn carried_out(&self, action: &str) -> u64 {
        let of = |counts: &BTreeMap<String, u64>, name: &str| -> u64 {
            let named = counts.iter().filter(|(key, _)| key.split(' ').next() == Some(name));
            named.map(|(_, count)| count).sum()
        };
        of(&self.calls, action) - of(&self.refusals, action)
    }

    /// How many calls EC2 refused with `code`.
    pub fn refused(&self, code: &str) -> u64 {
        let with = self.refusals.iter().filter(|(key, _)| key.split(' ').nth(1) == Some(code));
        with.map(|(_, count)| count).sum()
    }

    pub fn reads(&self) -> u64 {
        let reads = self.calls.iter().filter(|(action, _)| action.starts_with("ec2:Describe"));
        reads.map(|(_, count)| count).sum()
    }

    /// What is promised of such a storm.
    pub fn targets(&self) -> Vec<Target> {
        let (alone, nodes) = (self.storm.admitters == 1, f64::from(self.storm.nodes));
        let mut targets = Vec::new();
        if self.floor_seconds >= TELLING_FLOOR_SECONDS {
            targets.push(Target {
                what: "of the throttle's floor",
                found: self.seconds / self.floor_seconds,
                most: if alone { MOST_OF_FLOOR } else { MOST_OF_FLOOR_KILLED },
            });
            if alone {
                let found = self.reads() as f64 / nodes;
                targets.push(Target { what: "reads a node", found, most: MOST_READS });
            }
        }
        targets
    }
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Target {
    pub fn is_met(&self) -> bool {
        self.found <= self.most
    }
}

impl Tally {
    /// Of the calls of `callers`.
    pub fn of(records: &[Record], callers: &[InstanceId]) -> Self {
        let mut tally = Self::default();
        for it in records.iter().filter(|it| callers.iter().any(|by| by.as_str() == it.caller)) {
            let action = format!("{}:{}", it.service, it.action);
            if let (Some(code), "ec2") = (&it.code, it.service.as_str()) {
                *tally.refusals.entry(format!("{action} {code}")).or_default() += 1;
            }
            *tally.calls.entry(action).or_default() += 1;
        }
        tally
    }
}
