//! What calls cost by AWS' list prices, from calls that were counted.
//!
//! Sources: "Amazon S3 pricing" (S3 Standard, eu-west-1, requests), "AWS KMS pricing". Calls of
//! EC2, Auto Scaling, STS and IMDS cost nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// PUT, COPY, POST and LIST: 0.005 USD a thousand.
const WRITE_USD: f64 = 0.005 / 1000.0;
/// GET and all others: 0.0004 USD a thousand. DELETE is free.
const READ_USD: f64 = 0.0004 / 1000.0;
/// A request that KMS answers for S3: 0.03 USD for ten thousand.
const KMS_USD: f64 = 0.03 / 10_000.0;
const MONTH_SECONDS: f64 = 30.0 * 24.0 * 3600.0;

/// Counts by `service:Action`.
pub type Counts = BTreeMap<String, u64>;

/// A cluster in which nothing happens.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    pub watched_seconds: f64,
    pub calls: Counts,
    pub usd_a_month: f64,
}

impl Idle {
    /// From what was counted within `watched`, all callers but people.
    pub fn of(records: &[Value], watched: Duration) -> Self {
        let nodes: Vec<&Value> = records.iter().filter(|record| is_instance(record)).collect();
        let spent: f64 = nodes.iter().map(|record| usd(record)).sum();
        Self {
            watched_seconds: watched.as_secs_f64(),
            calls: count(nodes),
            usd_a_month: spent / watched.as_secs_f64() * MONTH_SECONDS,
        }
    }
}

/// The price of one call.
pub fn usd(record: &Value) -> f64 {
    if record["service"] != "s3" {
        return 0.0;
    }
    // The cluster's private keys are the objects that KMS encrypts.
    let resource = record["resource"].as_str().unwrap_or_default();
    let kms = if resource.contains("/pki/") && resource.ends_with(".key") { KMS_USD } else { 0.0 };
    let action = record["action"].as_str().unwrap_or_default();
    kms + match action {
        _ if action.starts_with("Delete") => 0.0,
        _ if ["Put", "Copy", "Post", "List"].iter().any(|verb| action.starts_with(verb)) => {
            WRITE_USD
        }
        _ => READ_USD,
    }
}

/// How often each call was made. The metadata service's paths are one kind of call.
pub fn count<'a>(records: impl IntoIterator<Item = &'a Value>) -> Counts {
    let mut counts = Counts::new();
    for record in records {
        let word = |key: &str| record[key].as_str().unwrap_or_default();
        let action = match word("service") {
            "imds" => word("action").split(' ').next().unwrap_or_default(),
            _ => word("action"),
        };
        *counts.entry(format!("{}:{action}", word("service"))).or_default() += 1;
    }
    counts
}

/// What an instance asked for on its way in: up to its boot report, which is the last of it. What
/// comes then is `windlass watch`'s.
pub fn way_in(records: Vec<Value>, instance: &str) -> Vec<Value> {
    let mut own: Vec<Value> =
        records.into_iter().filter(|record| record["caller"] == instance).collect();
    let is_report = |record: &Value| {
        record["action"] == "PutObject"
            && record["resource"].as_str().is_some_and(|it| it.ends_with("/report.json"))
    };
    let end = own.iter().position(is_report).map_or(own.len(), |at| at + 1);
    own.truncate(end);
    own
}

pub fn is_instance(record: &Value) -> bool {
    record["caller"].as_str().is_some_and(|caller| caller.starts_with("i-"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_month_of_one_listing_in_ten_seconds_costs_what_the_price_list_says() {
        let listing =
            json!({"caller": "i-1", "service": "s3", "action": "ListObjectsV2", "resource": "b"});
        let free = json!({"caller": "i-1", "service": "ec2", "action": "DescribeInstances"});
        let person = json!({"caller": "operator", "service": "s3", "action": "GetObject", "resource": "b/k"});
        let idle = Idle::of(&[listing, free, person], Duration::from_secs(10));
        // 259,200 listings at 0.005 USD a thousand.
        assert!((idle.usd_a_month - 1.296).abs() < 1e-9, "{}", idle.usd_a_month);
        assert_eq!(
            idle.calls.keys().collect::<Vec<_>>(),
            ["ec2:DescribeInstances", "s3:ListObjectsV2"]
        );
    }

    #[test]
    fn reading_a_private_key_asks_kms_too_and_deleting_is_free() {
        let call = |action: &str, resource: &str| json!({"service": "s3", "action": action, "resource": resource});
        assert!(
            (usd(&call("GetObject", "b/c/pki/kubernetes/1.key")) - (READ_USD + KMS_USD)).abs()
                < 1e-12
        );
        assert_eq!(usd(&call("DeleteObject", "b/c/inbox/x")), 0.0);
    }
}
