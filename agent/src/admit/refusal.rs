//! Why a request is refused: a stable word for metrics, audit and tests, and a sentence that says
//! what was found and what was wanted.

use std::time::Duration;

use crate::client::ec2::State;
use crate::exchange::InstanceId;
use crate::pki::{Subject, Unacceptable};

/// One broken rule of admission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request is not what this version understands: {why}")]
    Malformed { why: String },
    #[error("there is no group `{group}` in cluster `{cluster}`")]
    GroupUnknown { group: String, cluster: String },
    #[error("revision `{revision}` of group `{group}` cannot be used: {why}")]
    RevisionUnusable { revision: String, group: String, why: String },
    #[error("role id `{role_id}` is not listed for group `{group}`, wanted {}", one_of(listed))]
    RoleNotListed { role_id: String, group: String, listed: Vec<String> },
    #[error("EC2 does not know instance `{instance}`, {} after it asked", minutes(waited))]
    InstanceUnknown { instance: InstanceId, waited: Duration },
    #[error("instance `{instance}` is {found}, wanted pending or running")]
    NotRunning { instance: InstanceId, found: State },
    #[error("instance `{instance}` is in VPC `{}`, wanted `{wanted}`", found.as_deref().unwrap_or("none"))]
    OtherVpc { instance: InstanceId, found: Option<String>, wanted: String },
    #[error(
        "instance `{instance}` has the instance profile `{}`, group `{group}` wants `{wanted}`",
        found.as_deref().unwrap_or("none")
    )]
    OtherProfile { instance: InstanceId, found: Option<String>, group: String, wanted: String },
    #[error(
        "instance `{instance}` has the tag `{key}` = `{}`, wanted `{wanted}`",
        found.as_deref().unwrap_or("")
    )]
    NotTagged { instance: InstanceId, key: &'static str, found: Option<String>, wanted: String },
    #[error(
        "instance `{instance}` asked {} after its launch, group `{group}` admits within {}",
        minutes(after),
        minutes(window)
    )]
    AskedTooLate { instance: InstanceId, after: Duration, group: String, window: Duration },
    #[error("{0}")]
    Request(#[from] Unacceptable),
    #[error("the request's subject is `{found}`, EC2 and the configuration say `{wanted}`")]
    OtherName { found: Subject, wanted: Subject },
    #[error("EC2 has no private DNS name for instance `{instance}`, by which nodes are named here")]
    Nameless { instance: InstanceId },
    #[error(
        "instance `{instance}` has a grant for the public key {}…, the request brings {}…",
        short(granted),
        short(found)
    )]
    OtherKey { instance: InstanceId, granted: String, found: String },
    #[error("the pod network has no free CIDR for instance `{instance}`: {why}")]
    NoPodCidr { instance: InstanceId, why: String },
    #[error("the VPC cannot route pods to instance `{instance}`: {why}")]
    NoRoute { instance: InstanceId, why: String },
}

impl Refusal {
    /// Never changes between versions.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "request-malformed",
            Self::GroupUnknown { .. } => "group-unknown",
            Self::RevisionUnusable { .. } => "revision-unusable",
            Self::RoleNotListed { .. } => "role-not-listed",
            Self::InstanceUnknown { .. } => "instance-unknown",
            Self::NotRunning { .. } => "instance-not-running",
            Self::OtherVpc { .. } => "other-vpc",
            Self::OtherProfile { .. } => "other-instance-profile",
            Self::NotTagged { .. } => "not-tagged",
            Self::AskedTooLate { .. } => "launched-too-long-ago",
            Self::Request(Unacceptable::Malformed(_)) => "csr-malformed",
            Self::Request(Unacceptable::WeakKey { .. }) => "weak-key",
            Self::Request(Unacceptable::NotTheKeysOwner) => "no-proof-of-possession",
            Self::Request(Unacceptable::Extensions { .. } | Unacceptable::Names { .. }) => {
                "extensions-requested"
            }
            Self::Request(Unacceptable::Subject { .. }) => "subject-malformed",
            Self::OtherName { .. } => "other-name",
            Self::Nameless { .. } => "nameless",
            Self::OtherKey { .. } => "other-key",
            Self::NoPodCidr { .. } => "no-pod-cidr",
            Self::NoRoute { .. } => "no-route",
        }
    }
}

fn one_of(listed: &[String]) -> String {
    match listed {
        [] => "any, but none is listed".to_owned(),
        [only] => format!("`{only}`"),
        many => format!("one of `{}`", many.join("`, `")),
    }
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// `16m 3s`, `45s`
fn minutes(duration: &Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m {seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::testing::instance;

    fn said(refusal: &Refusal) -> (&'static str, String) {
        (refusal.word(), refusal.to_string())
    }

    fn wanted(word: &'static str, sentence: &str) -> (&'static str, String) {
        (word, sentence.to_owned())
    }

    #[test]
    fn another_key_is_named_by_its_first_digits() {
        let refusal = Refusal::OtherKey {
            instance: instance(1).id,
            granted: "0123456789abcdef".repeat(4),
            found: "fedcba9876543210".repeat(4),
        };
        let sentence = "instance `i-00000000000000001` has a grant for the public key \
                        0123456789ab…, the request brings fedcba987654…";
        assert_eq!(said(&refusal), wanted("other-key", sentence));
    }

    #[test]
    fn a_group_or_revision_that_is_not_there_is_named() {
        let (group, cluster) = ("wrokers".to_owned(), "prod".to_owned());
        assert_eq!(
            said(&Refusal::GroupUnknown { group, cluster }),
            wanted("group-unknown", "there is no group `wrokers` in cluster `prod`")
        );
        let refusal = Refusal::RevisionUnusable {
            revision: "0123".to_owned(),
            group: "workers".to_owned(),
            why: "it is of group `batch`".to_owned(),
        };
        let sentence = "revision `0123` of group `workers` cannot be used: it is of group `batch`";
        assert_eq!(said(&refusal), wanted("revision-unusable", sentence));
    }

    #[test]
    fn an_instance_that_ec2_never_knew_is_refused_after_a_while() {
        let waited = Duration::from_secs(61);
        let refusal = Refusal::InstanceUnknown { instance: instance(1).id, waited };
        let sentence = "EC2 does not know instance `i-00000000000000001`, 1m 1s after it asked";
        assert_eq!(said(&refusal), wanted("instance-unknown", sentence));
    }

    #[test]
    fn roles_are_listed_however_many_there_are() {
        let refusal = |listed: &[&str]| Refusal::RoleNotListed {
            role_id: "AROAX".to_owned(),
            group: "workers".to_owned(),
            listed: listed.iter().map(|&id| id.to_owned()).collect(),
        };
        let start = "role id `AROAX` is not listed for group `workers`, wanted";
        for (listed, end) in [
            (&[][..], "any, but none is listed"),
            (&["AROAA"], "`AROAA`"),
            (&["AROAA", "AROAB"], "one of `AROAA`, `AROAB`"),
        ] {
            assert_eq!(refusal(listed).to_string(), format!("{start} {end}"));
        }
    }
}
