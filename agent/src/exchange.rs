//! What nodes and admitters say to each other through S3: where each object lies and what is in it.
//!
//! The layout is section 3 of the design. IAM authenticates the sender: a policy resource such as
//! `…/inbox/${aws:userid}` lets an instance write its own key and nobody else's, so a key's
//! [`UserId`] can be believed and an object's content cannot.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// IAM's `aws:userid` of an instance's role session: `ROLE-ID:INSTANCE-ID`.
///
/// Source: "IAM JSON policy elements: Variables and tags", principal key values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId {
    /// The role's unique id, `AROA…`.
    pub role_id: String,
    /// The instance, `i-…`.
    pub instance: InstanceId,
}

/// An EC2 instance id, `i-` and 8 or 17 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// A string that is not the identifier that it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{found}` is not {wanted}")]
pub struct Malformed {
    found: String,
    wanted: &'static str,
}

/// What an instance asks: its identity and the facts that an operator may want to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The layout of this object; 1.
    pub version: u32,
    /// The group that the instance's UserData names.
    pub group: String,
    /// The configuration revision that the instance verified, as 64 hexadecimal digits.
    pub revision: String,
    /// A PKCS#10 certificate signing request, PEM.
    pub csr: String,
    /// When the instance wrote this, by its own clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// What an instance gets: proof that certificate, pod CIDR and routes are real.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The layout of this object; 1.
    pub version: u32,
    /// Whose it is.
    pub instance: InstanceId,
    /// The Node's name, which is also in the certificate's subject.
    pub node: String,
    /// The group that let it in.
    pub group: String,
    /// The client certificate, PEM; no chain, the cluster's CA signed it itself.
    pub certificate: String,
    /// When the certificate ends.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The leased pod CIDRs: at most one of each address family.
    pub pod_cidrs: Vec<IpNet>,
    /// When the admitter decided.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Lowercase hexadecimal SHA-256 of the request's SubjectPublicKeyInfo (DER): says whether a
    /// later request brings the same key.
    pub public_key_sha256: String,
}

/// Why an instance was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The layout of this object; 1.
    pub version: u32,
    /// Whose request it was.
    pub instance: InstanceId,
    /// A stable word for metrics and tests, such as `role-not-listed`.
    pub reason: String,
    /// The whole sentence: found against wanted.
    pub message: String,
    /// When the admitter decided.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Where a cluster's objects lie in its bucket. Keys start with the cluster's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    cluster: String,
}

impl Keys {
    /// The keys of one cluster.
    pub fn of(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned() }
    }

    /// An immutable configuration revision, named by its hash.
    pub fn config(&self, sha256: &str) -> String {
        format!("{}/config/{sha256}.toml", self.cluster)
    }

    /// A group's pointer to its current revision.
    pub fn group(&self, group: &str) -> String {
        format!("{}/groups/{group}", self.cluster)
    }

    /// All group pointers.
    pub fn groups(&self) -> String {
        format!("{}/groups/", self.cluster)
    }

    /// Requests that no admitter has answered yet.
    pub fn inbox(&self) -> String {
        format!("{}/inbox/", self.cluster)
    }

    /// One instance's request.
    pub fn request(&self, of: &UserId) -> String {
        format!("{}/inbox/{of}", self.cluster)
    }

    /// All that was written for or by nodes.
    pub fn nodes(&self) -> String {
        format!("{}/nodes/", self.cluster)
    }

    /// One instance's grant.
    pub fn grant(&self, of: &UserId) -> String {
        format!("{}/nodes/{of}/grant.json", self.cluster)
    }

    /// Why one instance was refused.
    pub fn denied(&self, of: &UserId) -> String {
        format!("{}/nodes/{of}/denied.json", self.cluster)
    }

    /// One instance's boot report.
    pub fn report(&self, of: &UserId) -> String {
        format!("{}/nodes/{of}/report.json", self.cluster)
    }

    /// How one instance left.
    pub fn drain(&self, of: &UserId) -> String {
        format!("{}/nodes/{of}/drain.json", self.cluster)
    }

    /// Every pod CIDR that is held.
    pub fn leases(&self) -> String {
        format!("{}/leases.json", self.cluster)
    }

    /// All generations of a CA, certificates and keys.
    pub fn authority(&self, ca: &str) -> String {
        format!("{}/pki/{ca}/", self.cluster)
    }

    /// A CA certificate; `ca` is `kubernetes`, generations count from 1.
    pub fn ca_certificate(&self, ca: &str, generation: u32) -> String {
        format!("{}/pki/{ca}/{generation}.crt", self.cluster)
    }

    /// A CA's private key.
    pub fn ca_key(&self, ca: &str, generation: u32) -> String {
        format!("{}/pki/{ca}/{generation}.key", self.cluster)
    }

    /// The object by which admitters pace themselves.
    pub fn leader(&self) -> String {
        format!("{}/leader", self.cluster)
    }

    /// One decision; `name` is unique within its day.
    pub fn audit(&self, date: time::Date, name: &str) -> String {
        format!("{}/audit/{date}/{name}", self.cluster)
    }
}

// === impl UserId, InstanceId ===

impl UserId {
    /// The user id in the last component of an inbox key, or before the file name of a node's key.
    pub fn in_key(key: &str) -> Option<Self> {
        key.split('/').find_map(|part| part.contains(':').then(|| part.parse().ok())?)
    }
}

impl FromStr for UserId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wanted = "a role session's user id, ROLE-ID:INSTANCE-ID";
        let malformed = || Malformed { found: text.to_owned(), wanted };
        let (role_id, instance) = text.split_once(':').ok_or_else(malformed)?;
        let plain = !role_id.is_empty() && role_id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain {
            return Err(malformed());
        }
        Ok(Self { role_id: role_id.to_owned(), instance: instance.parse()? })
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role_id, self.instance)
    }
}

impl TryFrom<String> for UserId {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.to_string()
    }
}

impl InstanceId {
    /// The id as AWS writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = text.strip_prefix("i-").unwrap_or_default();
        let hexadecimal = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hexadecimal && matches!(digits.len(), 8 | 17) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Malformed { found: text.to_owned(), wanted: "an instance id, i-…" })
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_found_in_every_key_that_carries_one() {
        let id: UserId = "AROAEXAMPLE:i-0123456789abcdef0".parse().expect("a user id");
        let keys = Keys::of("prod");
        for key in [keys.request(&id), keys.grant(&id), keys.denied(&id), keys.report(&id)] {
            assert_eq!(UserId::in_key(&key), Some(id.clone()), "{key}");
        }
        assert_eq!(UserId::in_key("prod/groups/workers"), None);
    }

    #[test]
    fn what_is_no_instance_id_is_named_in_the_error() {
        let error = "AROAEXAMPLE:../../pki".parse::<UserId>().expect_err("no instance id");
        assert_eq!(error.to_string(), "`../../pki` is not an instance id, i-…");
    }
}
