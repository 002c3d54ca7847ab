//! Faults by rule: on a service, an action, a caller and the nth call that fits, so many times.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::call::{Service, ServiceError};

/// The faults that need no more than a name.
const PLAIN: [(&str, Fault); 6] = [
    ("throttle", Fault::Throttle),
    ("internal-error", Fault::InternalError),
    ("unavailable", Fault::Unavailable),
    ("timeout", Fault::Timeout),
    ("lost", Fault::Lost),
    ("cut", Fault::Cut),
];

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused with the service's own throttling code; nothing is done.
    Throttle,
    /// 500; nothing is done.
    InternalError,
    /// 503; nothing is done.
    Unavailable,
    /// Another refusal, such as S3's 409; nothing is done.
    Refuse(ServiceError),
    /// Accepted and never answered; nothing is done.
    Timeout,
    /// Done, but never answered.
    Lost,
    /// Done, and the answer is cut in the middle of its body.
    Cut,
    /// Answered so much later.
    Slow(Duration),
    /// A describe answers as of so long ago.
    Stale(Duration),
}

impl fmt::Display for Fault {
    /// As it is read again: `throttle`, `slow=7000ms`, `refuse=409/ConditionalRequestConflict`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = PLAIN.iter().find(|(_, fault)| fault == self) {
            return f.write_str(name);
        }
        match self {
            Self::Refuse(error) => write!(f, "refuse={}/{}", error.status, error.code),
            Self::Slow(time) => write!(f, "slow={}ms", time.as_millis()),
            Self::Stale(lag) => write!(f, "stale={}ms", lag.as_millis()),
            plain => write!(f, "{plain:?}"),
        }
    }
}

/// Text that is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no fault\nhint: one of throttle, internal-error, unavailable, timeout, lost, cut, \
     slow=TIME, stale=TIME (7s, 200ms), refuse=STATUS/CODE"
)]
pub struct NoFault(String);

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        if let Some((_, fault)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(fault.clone());
        }
        let fault = text.split_once('=').and_then(|(name, value)| match name {
            "slow" => Some(Self::Slow(duration(value)?)),
            "stale" => Some(Self::Stale(duration(value)?)),
            "refuse" => {
                let (status, code) = value.split_once('/')?;
                let status = status.parse().ok().filter(|status| (400..600).contains(status))?;
                Some(Self::Refuse(ServiceError::new(status, code, "Refused by a rule of the lab.")))
            }
            _ => None,
        });
        fault.ok_or_else(|| NoFault(text.to_owned()))
    }
}

fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

/// When it goes wrong. What is not said fits every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub service: Option<Service>,
    /// `GetObject`; `Describe*`; for the metadata service the path, `latest/meta-data/mac`.
    pub action: Option<String>,
    /// Part of the caller's label: instance ID, user or access key.
    pub caller: Option<String>,
    /// The first call that fits and is hit, from 1.
    pub nth: u64,
    /// How many are hit from there on; `None` is all.
    pub count: Option<u64>,
    pub fault: Fault,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<(Rule, u64)>>);

impl Rule {
    /// Every call, for ever.
    pub fn always(fault: Fault) -> Self {
        Self { service: None, action: None, caller: None, nth: 1, count: None, fault }
    }

    pub fn on(self, service: Service, action: &str) -> Self {
        Self { service: Some(service), action: Some(action.to_owned()), ..self }
    }

    pub fn service(self, service: Service) -> Self {
        Self { service: Some(service), ..self }
    }

    pub fn by(self, caller: &str) -> Self {
        Self { caller: Some(caller.to_owned()), ..self }
    }

    /// Only from the nth call that fits.
    pub fn from_call(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// Only so many of them.
    pub fn times(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }
}

impl Faults {
    /// Adds a rule; earlier ones come first.
    pub fn add(&self, rule: Rule) {
        self.lock().push((rule, 0));
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The rules and how many calls have fitted each.
    pub fn list(&self) -> Vec<(Rule, u64)> {
        self.lock().clone()
    }

    /// Counts the call on every rule that it fits, and says what the first one in force does to it.
    pub fn strike(&self, service: Service, action: &str, caller: &str) -> Option<Fault> {
        let mut struck = None;
        for (rule, seen) in
            self.lock().iter_mut().filter(|(rule, _)| rule.fits(service, action, caller))
        {
            *seen += 1;
            if struck.is_none() && rule.hits(*seen) {
                struck = Some(rule.fault.clone());
            }
        }
        struck
    }

    /// The longest of what the rules' faults have, such as a lag.
    pub fn longest(&self, of: impl Fn(&Fault) -> Option<Duration>) -> Option<Duration> {
        self.lock().iter().filter_map(|(rule, _)| of(&rule.fault)).max()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Rule, u64)>> {
        self.0.lock().expect("the rules' lock")
    }
}

impl Rule {
    fn fits(&self, service: Service, action: &str, caller: &str) -> bool {
        let action_fits =
            self.action.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(start) => action.starts_with(start),
                None => wanted == action,
            });
        self.service.is_none_or(|wanted| wanted == service)
            && action_fits
            && self.caller.as_deref().is_none_or(|wanted| caller.contains(wanted))
    }

    fn hits(&self, seen: u64) -> bool {
        seen >= self.nth && self.count.is_none_or(|count| seen < self.nth + count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_the_calls_that_fit_and_hits_the_nth_and_so_many_more() {
        let faults = Faults::default();
        faults.add(
            Rule::always(Fault::Throttle)
                .on(Service::S3, "GetObject")
                .by("i-0a")
                .from_call(2)
                .times(2),
        );
        let strike = || faults.strike(Service::S3, "GetObject", "i-0a");
        assert_eq!(
            [strike(), strike(), strike(), strike()],
            [None, Some(Fault::Throttle), Some(Fault::Throttle), None]
        );
        assert_eq!(faults.strike(Service::S3, "GetObject", "i-0b"), None);
        assert_eq!(faults.strike(Service::S3, "PutObject", "i-0a"), None);
        assert_eq!(faults.list()[0].1, 4);
    }

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        for text in [
            "throttle",
            "internal-error",
            "timeout",
            "slow=200ms",
            "stale=5000ms",
            "refuse=409/Busy",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("slow=7s".parse(), Ok(Fault::Slow(Duration::from_secs(7))));
        for odd in ["", "slow", "slow=7", "refuse=200/OK", "refuse=409"] {
            assert_eq!(odd.parse::<Fault>(), Err(NoFault(odd.to_owned())));
        }
    }

    #[test]
    fn the_first_rule_in_force_wins_and_the_others_count_on() {
        let faults = Faults::default();
        faults.add(Rule::always(Fault::InternalError).service(Service::Ec2).times(1));
        faults.add(Rule::always(Fault::Lost).on(Service::Ec2, "Describe*"));
        let strike = || faults.strike(Service::Ec2, "DescribeInstances", "i-0a");
        assert_eq!([strike(), strike()], [Some(Fault::InternalError), Some(Fault::Lost)]);
        faults.clear();
        assert_eq!(strike(), None);
    }
}
