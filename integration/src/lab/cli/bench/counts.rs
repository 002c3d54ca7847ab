//! What workers asked of AWS on their way in, and what they may ask at most.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::boots::Boot;
use crate::lab::cli::cost;

/// S3 and Auto Scaling together.
const MOST_API: u64 = 8;
const MOST_IMDS: u64 = 12;

/// Over several boots.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// By `service:Action`: the fewest and the most that a boot made.
    pub by_action: BTreeMap<String, [u64; 2]>,
    /// S3 and Auto Scaling together.
    pub api: [u64; 2],
    pub imds: [u64; 2],
    pub imds_connections: [u64; 2],
    pub ec2: [u64; 2],
    /// Boots whose report says otherwise than the region.
    pub misreported: Vec<String>,
}

impl Requests {
    pub fn of(boots: &[Boot]) -> Self {
        let counted: Vec<_> = boots.iter().map(|boot| cost::count(&boot.calls)).collect();
        let actions: BTreeSet<&String> = counted.iter().flat_map(BTreeMap::keys).collect();
        let by_action = actions.into_iter().map(|action| {
            let each = counted.iter().map(|counts| counts.get(action).copied().unwrap_or_default());
            (action.clone(), range(each))
        });
        let of = |services: &[&str]| {
            let ours = |action: &str| {
                services.iter().any(|service| action.split(':').next() == Some(service))
            };
            range(counted.iter().map(|counts| {
                counts.iter().filter(|(action, _)| ours(action)).map(|(_, count)| count).sum()
            }))
        };
        Self {
            by_action: by_action.collect(),
            api: of(&["s3", "autoscaling"]),
            imds: of(&["imds"]),
            imds_connections: range(boots.iter().map(connections)),
            ec2: of(&["ec2"]),
            misreported: boots.iter().zip(&counted).filter_map(misreported).collect(),
        }
    }

    /// The limits that do not hold, as a reader is told.
    pub fn broken_limits(&self) -> Vec<String> {
        let mut broken = self.misreported.clone();
        for (what, [_, found], most) in [
            ("requests to EC2", self.ec2, 0),
            ("requests to S3 and Auto Scaling", self.api, MOST_API),
            ("requests to IMDS", self.imds, MOST_IMDS),
            ("connections to IMDS", self.imds_connections, 1),
        ] {
            if found > most {
                broken.push(format!("a worker's boot made {found} {what}, wanted at most {most}"));
            }
        }
        broken
    }
}

fn connections(boot: &Boot) -> u64 {
    let imds = boot.calls.iter().filter(|record| record["service"] == "imds");
    imds.filter_map(|record| record["connection"].as_u64()).collect::<BTreeSet<_>>().len() as u64
}

/// The boot report counts what left the node; the region counts what arrived.
fn misreported((boot, counted): (&Boot, &cost::Counts)) -> Option<String> {
    let api = |counts: &cost::Counts| -> cost::Counts {
        let ours = |action: &str| !action.starts_with("imds:");
        counts.iter().filter(|(action, _)| ours(action)).map(|(a, b)| (a.clone(), *b)).collect()
    };
    let (said, found) = (api(&boot.report.calls), api(counted));
    (said != found)
        .then(|| format!("{} reports {said:?}, the region counted {found:?}", boot.report.instance))
}

fn range(counts: impl Iterator<Item = u64>) -> [u64; 2] {
    let counts: Vec<u64> = counts.collect();
    let of = |found: Option<&u64>| found.copied().unwrap_or_default();
    [of(counts.iter().min()), of(counts.iter().max())]
}

/// `3`, or `3–5` where boots differ.
pub fn shown([fewest, most]: [u64; 2]) -> String {
    if fewest == most { fewest.to_string() } else { format!("{fewest}–{most}") }
}
