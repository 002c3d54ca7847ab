//! What a lab can be asked.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::lab::vm::Shape;
use crate::region::call::Service;
use crate::region::{Fault, Rule};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Instances and machines.
    Status,
    /// Variables for clients on this machine.
    Environment,
    /// Scales a group up by so many.
    Launch {
        group: String,
        count: i32,
    },
    /// Scales a group to so many.
    Scale {
        group: String,
        to: i32,
    },
    /// Replaces every instance of a group.
    Refresh {
        group: String,
        #[serde(flatten)]
        how: RefreshPace,
    },
    /// A group's refreshes, the latest first.
    Refreshes {
        group: String,
    },
    /// Gives a group a warm pool, or changes it.
    WarmPool {
        group: String,
        #[serde(flatten)]
        pool: PoolShape,
    },
    /// Launches one of a group that no Auto Scaling group looks after.
    LaunchAlone {
        group: String,
    },
    /// Terminates one instance; its group, if it has one, gets smaller.
    Terminate {
        node: String,
    },
    Reboot {
        node: String,
    },
    /// Stops an instance; an Auto Scaling group would replace it.
    Stop {
        node: String,
    },
    /// Starts a stopped one.
    Start {
        node: String,
    },
    /// Cuts a virtual machine's power.
    Cut {
        node: String,
    },
    /// Switches it on again.
    PowerOn {
        node: String,
    },
    /// What virtual machines are like that are switched on from now on.
    Shape(Shape),
    /// Announces that EC2 takes an instance away.
    Spot {
        node: String,
        /// terminate, stop or hibernate
        action: String,
        seconds: u64,
    },
    /// Tells an instance that it is at elevated risk of that.
    Rebalance {
        node: String,
    },
    /// Schedules an event for an instance.
    Maintenance {
        node: String,
        /// system-reboot, for one
        code: String,
        seconds: u64,
    },
    /// Takes back what is scheduled for an instance.
    CancelMaintenance {
        node: String,
    },
    /// The instance that a person means by a name.
    Find {
        node: String,
    },
    AddFault(FaultRule),
    ListFaults,
    ClearFaults,
    /// The load balancer's targets and counters.
    Balancer,
    /// How many packets the VPC dropped, by reason.
    Drops,
    /// Moves the region's clock forward.
    Advance {
        seconds: u64,
    },
    /// Makes clients' clocks appear wrong.
    Skew {
        seconds: i64,
    },
    /// The calls from that place of the log on.
    Calls {
        since: usize,
    },
    End,
}

/// A rule of faults, as words.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
pub struct FaultRule {
    /// throttle, internal-error, unavailable, timeout, lost, cut, slow=TIME, stale=TIME, refuse=STATUS/CODE
    pub fault: String,
    /// ec2, autoscaling, sts, s3 or imds; every one if not given
    #[arg(long)]
    pub service: Option<String>,
    /// GetObject, `Describe*`, or a path of the metadata service
    #[arg(long)]
    pub action: Option<String>,
    /// Part of the caller's name: an instance id, a user
    #[arg(long)]
    pub caller: Option<String>,
    /// The first call that is hit, counted from 1
    #[arg(long, default_value_t = 1)]
    pub nth: u64,
    /// How many are hit; all from there on if not given
    #[arg(long)]
    pub times: Option<u64>,
}

impl FaultRule {
    pub fn to_rule(&self) -> Result<Rule> {
        let service = self.service.as_ref().map(|name| {
            Service::named(name).ok_or_else(|| {
                anyhow!("`{name}` is no service\nhint: one of ec2, autoscaling, sts, s3, imds")
            })
        });
        Ok(Rule {
            service: service.transpose()?,
            action: self.action.clone(),
            caller: self.caller.clone(),
            nth: self.nth,
            count: self.times,
            fault: self.fault.parse::<Fault>()?,
        })
    }

    pub fn of(rule: &Rule) -> Self {
        Self {
            fault: rule.fault.to_string(),
            service: rule.service.map(|service| service.name().to_owned()),
            action: rule.action.clone(),
            caller: rule.caller.clone(),
            nth: rule.nth,
            times: rule.count,
        }
    }
}

/// How fast a group's instances are replaced.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, clap::Args)]
pub struct RefreshPace {
    /// Percent of the group that stays in service
    #[arg(long, default_value_t = 90)]
    pub min_healthy: i32,
    /// Percent of the group that there may be; above 100 new ones come before old ones go
    #[arg(long, default_value_t = 100)]
    pub max_healthy: i32,
    /// Seconds in service before the next one is replaced
    #[arg(long, default_value_t = 0)]
    pub warmup: i32,
}

/// What a group's warm pool is like.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
pub struct PoolShape {
    /// How many instances there are in service and in the pool together
    #[arg(long)]
    pub prepared: i32,
    /// Stopped, Running or Hibernated
    #[arg(long, default_value = "Stopped")]
    pub state: String,
    /// Whoever leaves by a scale-in goes back into the pool, if it has a place
    #[arg(long)]
    pub reuse: bool,
}

/// `90`, `90s`, `5m` or `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("`{text}` is no duration, wanted 90s, 5m or 2h")),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is no duration, wanted 90s, 5m or 2h"))?;
    Ok(Duration::from_secs(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(
            duration("5 minutes").unwrap_err(),
            "`5 minutes` is no duration, wanted 90s, 5m or 2h"
        );
    }

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        let rule = FaultRule {
            fault: "slow=7000ms".into(),
            service: Some("s3".into()),
            action: Some("GetObject".into()),
            caller: None,
            nth: 2,
            times: Some(3),
        };
        let again = FaultRule::of(&rule.to_rule().unwrap());
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&rule).unwrap());
        let wrong = FaultRule { service: Some("sqs".into()), ..rule };
        assert!(wrong.to_rule().unwrap_err().to_string().starts_with("`sqs` is no service"));
    }
}
