//! Condition operators: IAM User Guide, "IAM JSON policy elements: Condition operators".

use std::net::IpAddr;

use ipnet::IpNet;

use super::Context;
use super::pattern::{lookup, matches, matches_arn, resolve};

/// One operator with one key and its values.
#[derive(Clone, Debug)]
pub struct Condition {
    operator: Operator,
    set: Option<Set>,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    AnyValue,
    AllValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    StringEquals { ignore_case: bool, not: bool },
    StringLike { not: bool },
    Arn { not: bool },
    Numeric(Comparison),
    Bool,
    Null,
    IpAddress { not: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    /// Reads `ForAnyValue:StringLikeIfExists` and the like; `None` when there is no such operator.
    pub fn new(written: &str, key: &str, values: Vec<String>) -> Option<Self> {
        let (set, name) = match written.split_once(':') {
            Some(("ForAnyValue", name)) => (Some(Set::AnyValue), name),
            Some(("ForAllValues", name)) => (Some(Set::AllValues), name),
            Some(_) => return None,
            None => (None, written),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        Some(Self { operator: operator(name)?, set, if_exists, key: key.to_owned(), values })
    }

    /// Whether the request's context meets it.
    pub fn holds(&self, context: &Context) -> bool {
        let found = lookup(&self.key, context);
        if self.operator == Operator::Null {
            return self.values.iter().any(|wanted| (wanted == "true") == found.is_none());
        }
        let Some(found) = found.filter(|values| !values.is_empty()) else {
            return self.if_exists
                || self.set == Some(Set::AllValues)
                || (self.set.is_none() && self.negated());
        };
        match (self.set, self.negated()) {
            (Some(Set::AllValues), _) | (None, true) => {
                found.iter().all(|value| self.meets(value, context))
            }
            (Some(Set::AnyValue), _) | (None, false) => {
                found.iter().any(|value| self.meets(value, context))
            }
        }
    }

    /// One value of the request against all of the policy's: any for a plain operator, none for a
    /// negated one.
    fn meets(&self, found: &str, context: &Context) -> bool {
        let any = self.values.iter().any(|wanted| compare(self.operator, found, wanted, context));
        any != self.negated()
    }

    fn negated(&self) -> bool {
        matches!(
            self.operator,
            Operator::StringEquals { not: true, .. }
                | Operator::StringLike { not: true }
                | Operator::Arn { not: true }
                | Operator::IpAddress { not: true }
                | Operator::Numeric(Comparison::NotEqual)
        )
    }
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        "StringEquals" => Operator::StringEquals { ignore_case: false, not: false },
        "StringNotEquals" => Operator::StringEquals { ignore_case: false, not: true },
        "StringEqualsIgnoreCase" => Operator::StringEquals { ignore_case: true, not: false },
        "StringNotEqualsIgnoreCase" => Operator::StringEquals { ignore_case: true, not: true },
        "StringLike" => Operator::StringLike { not: false },
        "StringNotLike" => Operator::StringLike { not: true },
        "ArnEquals" | "ArnLike" => Operator::Arn { not: false },
        "ArnNotEquals" | "ArnNotLike" => Operator::Arn { not: true },
        "NumericEquals" => Operator::Numeric(Comparison::Equal),
        "NumericNotEquals" => Operator::Numeric(Comparison::NotEqual),
        "NumericLessThan" => Operator::Numeric(Comparison::Less),
        "NumericLessThanEquals" => Operator::Numeric(Comparison::LessOrEqual),
        "NumericGreaterThan" => Operator::Numeric(Comparison::Greater),
        "NumericGreaterThanEquals" => Operator::Numeric(Comparison::GreaterOrEqual),
        "Bool" => Operator::Bool,
        "Null" => Operator::Null,
        "IpAddress" => Operator::IpAddress { not: false },
        "NotIpAddress" => Operator::IpAddress { not: true },
        _ => return None,
    })
}

/// The operator without its negation.
fn compare(operator: Operator, found: &str, wanted: &str, context: &Context) -> bool {
    match operator {
        Operator::StringEquals { ignore_case: false, .. } => {
            resolve(wanted, context).is_some_and(|wanted| wanted == found)
        }
        Operator::StringEquals { ignore_case: true, .. } => {
            resolve(wanted, context).is_some_and(|wanted| wanted.eq_ignore_ascii_case(found))
        }
        Operator::StringLike { .. } => matches(wanted, found, context),
        Operator::Arn { .. } => matches_arn(wanted, found, context),
        Operator::Numeric(comparison) => numbers(comparison, found, wanted),
        Operator::Bool => wanted.eq_ignore_ascii_case(found),
        Operator::Null => false,
        Operator::IpAddress { .. } => within(found, wanted),
    }
}

fn numbers(comparison: Comparison, found: &str, wanted: &str) -> bool {
    let (Ok(found), Ok(wanted)) = (found.parse::<f64>(), wanted.parse::<f64>()) else {
        return false;
    };
    match comparison {
        // The negation is the caller's.
        Comparison::Equal | Comparison::NotEqual => found == wanted,
        Comparison::Less => found < wanted,
        Comparison::LessOrEqual => found <= wanted,
        Comparison::Greater => found > wanted,
        Comparison::GreaterOrEqual => found >= wanted,
    }
}

fn within(found: &str, wanted: &str) -> bool {
    let Ok(address) = found.parse::<IpAddr>() else { return false };
    match wanted.parse::<IpNet>() {
        Ok(network) => network.contains(&address),
        Err(_) => wanted.parse() == Ok(address),
    }
}
