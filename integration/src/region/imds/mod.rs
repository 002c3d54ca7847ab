//! The instance metadata service, version 2: Amazon EC2 User Guide, "Use the Instance Metadata
//! Service to access instance metadata". Instances are told apart by their source address alone.
//!
//! [`door`] holds the rules about method, token and proxies; what lies behind it is a tree
//! of texts ([`tree`]), made anew for each request from EC2's state.

mod announced;
mod door;
mod machine;
mod role;
mod serve;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

pub use self::machine::{Interface, Machine, MetadataOptions, SecurityGroup};
use super::iam::Credentials;
use super::latency::Profile;

/// AWS promises no time, and gives notices "on a best effort basis": this one is the region's own.
const LAG: Duration = Duration::from_secs(2);

/// What the metadata service itself remembers, and how it behaves.
#[derive(Clone, Debug)]
pub struct Imds {
    /// A role's credentials are not there for a moment after a launch: 404.
    pub credentials_delay: Duration,
    /// How long after something is announced to an instance, or its target lifecycle state changes,
    /// its metadata say so.
    pub lag: Duration,
    /// New credentials are handed out when half of this is over.
    pub credentials_lifetime: Duration,
    instances: BTreeMap<String, Remembered>,
}

/// What it remembers of one instance.
#[derive(Clone, Debug, Default)]
struct Remembered {
    /// Tokens and when they expire. They do not survive a stop.
    tokens: BTreeMap<String, OffsetDateTime>,
    started: Option<OffsetDateTime>,
    role: Option<role::Handed>,
}

impl Default for Imds {
    fn default() -> Self {
        Self {
            credentials_delay: Duration::from_millis(500),
            lag: Duration::ZERO,
            credentials_lifetime: Duration::from_secs(6 * 3600),
            instances: BTreeMap::new(),
        }
    }
}

impl Imds {
    /// With AWS' lag where it has AWS' latencies.
    pub fn new(latency: Profile) -> Self {
        let lag = if latency == Profile::Aws { LAG } else { Duration::ZERO };
        Self { lag, ..Self::default() }
    }

    /// The role credentials that the instance holds now, if it has asked for any.
    pub fn handed_to(&self, instance: &str) -> Option<&Credentials> {
        Some(&self.instances.get(instance)?.role.as_ref()?.credentials)
    }

    /// Forgets every token: each instance gets 401 until it asks for another.
    pub fn expire_tokens(&mut self) {
        self.instances.values_mut().for_each(|instance| instance.tokens.clear());
    }

    /// What is remembered of this start of the instance.
    fn of(&mut self, machine: &Machine) -> &mut Remembered {
        let remembered = self.instances.entry(machine.instance_id.clone()).or_default();
        if remembered.started != Some(machine.launched_at) {
            remembered.tokens.clear();
            remembered.role = None;
            remembered.started = Some(machine.launched_at);
        }
        remembered
    }
}
