//! The IAM policies that Windlass ships, filled in for one cluster.
//!
//! They lie as JSON in `agent/policies/`, so that a reviewer reads what IAM will read. Their
//! placeholders are written `@BUCKET@`: IAM's own variables (`${aws:userid}`) stay as they are.
//! `docs/policies.md` says for each permission why it is there.

use std::fmt;
use std::str::FromStr;

/// Whose policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    Worker,
    ControlPlane,
    Operator,
}

/// What a policy is narrowed to. Parts that are not known become `*`, which IAM matches with any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub cluster: String,
    pub bucket: String,
    /// `eu-west-1`; also says the partition (`aws-cn`, `aws-us-gov`).
    pub region: Option<String>,
    /// Twelve digits.
    pub account: Option<String>,
    /// ARN of the KMS key that encrypts the CA key.
    pub kms_key: Option<String>,
}

/// A value that would widen a policy or break its JSON.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} `{found}` is not {wanted}")]
pub struct Unusable {
    what: &'static str,
    found: String,
    wanted: &'static str,
}

/// The policy of `identity`, narrowed to `scope`, as JSON with a line end.
pub fn render(identity: Identity, scope: &Scope) -> Result<String, Unusable> {
    scope.check()?;
    let any = || "*".to_owned();
    let region = scope.region.clone().unwrap_or_else(any);
    let account = scope.account.clone().unwrap_or_else(any);
    let partition = partition(&region);
    let kms_key = scope.kms_key.clone();
    let kms_key =
        kms_key.unwrap_or_else(|| format!("arn:{partition}:kms:{region}:{account}:key/*"));
    let filled = [
        ("@CLUSTER@", scope.cluster.as_str()),
        ("@BUCKET@", &scope.bucket),
        ("@KMS_KEY@", &kms_key),
        ("@PARTITION@", partition),
        ("@REGION@", &region),
        ("@ACCOUNT@", &account),
    ];
    let template = identity.template().to_owned();
    Ok(filled.iter().fold(template, |text, (name, value)| text.replace(name, value)))
}

/// The tag that instances, Auto Scaling groups and route tables of a cluster carry; its value is the
/// cluster's name. No `/` in it: an instance whose tags are in its metadata (by which it knows its
/// Auto Scaling group) is not launched with such a key ("Tag your Amazon EC2 resources").
pub const CLUSTER_TAG: &str = "windlass:cluster";

// === impl Identity, Scope ===

impl Identity {
    fn template(self) -> &'static str {
        match self {
            Self::Worker => include_str!("../policies/worker.json"),
            Self::ControlPlane => include_str!("../policies/control-plane.json"),
            Self::Operator => include_str!("../policies/operator.json"),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::ControlPlane => "control-plane",
            Self::Operator => "operator",
        })
    }
}

impl FromStr for Identity {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        let all = [Self::Worker, Self::ControlPlane, Self::Operator];
        all.into_iter().find(|identity| identity.to_string() == text).ok_or_else(|| Unusable {
            what: "identity",
            found: text.to_owned(),
            wanted: "`worker`, `control-plane` or `operator`",
        })
    }
}

impl Scope {
    /// A star in a name would open the policy to every cluster, a `$` to IAM's variables.
    fn check(&self) -> Result<(), Unusable> {
        let plain = |text: &str, also: &str| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c);
            !text.is_empty() && text.chars().all(known)
        };
        let refuse =
            |what, found: &str, wanted| Err(Unusable { what, found: found.to_owned(), wanted });
        if !plain(&self.cluster, "-") {
            return refuse("cluster", &self.cluster, "lower-case letters, digits and `-`");
        }
        if !plain(&self.bucket, "-.") {
            return refuse(
                "bucket",
                &self.bucket,
                "a bucket's name: lower-case letters, digits, `-` and `.`",
            );
        }
        match &self.region {
            Some(region) if !plain(region, "-") => {
                return refuse("region", region, "a region such as `eu-west-1`");
            }
            _ => {}
        }
        match &self.account {
            Some(id) if id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit()) => {
                return refuse("account", id, "an AWS account id of 12 digits");
            }
            _ => {}
        }
        match &self.kms_key {
            Some(arn) if !is_key_arn(arn) => refuse(
                "KMS key",
                arn,
                "a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID (an alias cannot be named in a policy's Resource)",
            ),
            _ => Ok(()),
        }
    }
}

fn is_key_arn(arn: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || ":/-".contains(c);
    let parts: Vec<&str> = arn.split(':').collect();
    arn.chars().all(safe)
        && matches!(parts[..], ["arn", _, "kms", _, _, key] if key.starts_with("key/"))
}

/// Source: "Amazon Resource Names (ARNs)", AWS partitions.
fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Identity; 3] = [Identity::Worker, Identity::ControlPlane, Identity::Operator];

    fn prod() -> Scope {
        Scope {
            cluster: "prod".into(),
            bucket: "acme-kubernetes".into(),
            region: Some("eu-west-1".into()),
            account: Some("111122223333".into()),
            kms_key: None,
        }
    }

    fn render(identity: Identity) -> serde_json::Value {
        let text = super::render(identity, &prod()).expect("a policy");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn nothing_is_left_to_fill_in_and_iam_variables_stay() {
        for identity in ALL {
            let text = super::render(identity, &prod()).expect("a policy");
            assert!(!text.contains('@'), "{identity}: {text}");
        }
        let worker = super::render(Identity::Worker, &prod()).expect("a policy");
        assert!(worker.contains("arn:aws:s3:::acme-kubernetes/prod/inbox/${aws:userid}"));
    }

    /// "IAM and AWS STS quotas": 6,144 characters a managed policy, white space not counted.
    #[test]
    fn every_policy_fits_a_managed_policy_with_room_for_long_names() {
        for identity in ALL {
            let scope = Scope { cluster: "c".repeat(40), bucket: "b".repeat(63), ..prod() };
            let text = super::render(identity, &scope).expect("a policy");
            let counted = text.chars().filter(|c| !c.is_whitespace()).count();
            assert!(counted < 6144, "{identity} has {counted} characters");
        }
    }

    #[test]
    fn a_worker_may_change_nothing_in_ec2_and_list_nothing() {
        let worker = render(Identity::Worker).to_string();
        for absent in ["ec2:", "kms:", "s3:List", "s3:Delete", "iam:", "\"*\""] {
            assert!(!worker.contains(absent), "{absent}");
        }
    }

    #[test]
    fn no_statement_allows_a_whole_service() {
        for identity in ALL {
            let policy = render(identity);
            for statement in policy["Statement"].as_array().expect("statements") {
                let actions = statement["Action"].to_string();
                assert!(!actions.contains('*'), "{identity}: {actions}");
            }
        }
    }

    #[test]
    fn another_partition_is_known_by_its_region() {
        let scope = Scope { region: Some("cn-north-1".into()), ..prod() };
        let text = super::render(Identity::Worker, &scope).expect("a policy");
        assert!(text.contains("arn:aws-cn:s3:::acme-kubernetes/prod/config/*"), "{text}");
    }

    #[test]
    fn a_name_that_would_widen_the_policy_is_refused() {
        let cases = [
            (
                Scope { cluster: "*".into(), ..prod() },
                "cluster `*` is not lower-case letters, digits and `-`",
            ),
            (
                Scope { bucket: "b/${aws:userid}".into(), ..prod() },
                "bucket `b/${aws:userid}` is not a bucket's name: lower-case letters, digits, `-` and `.`",
            ),
            (
                Scope { account: Some("*".into()), ..prod() },
                "account `*` is not an AWS account id of 12 digits",
            ),
            (
                Scope { kms_key: Some("alias/windlass".into()), ..prod() },
                "KMS key `alias/windlass` is not a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID (an alias cannot be named in a policy's Resource)",
            ),
        ];
        for (scope, message) in cases {
            let error = super::render(Identity::Worker, &scope).expect_err("refused");
            assert_eq!(error.to_string(), message);
        }
    }
}
