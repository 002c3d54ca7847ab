//! One small object for each decision, so that an operator can say a year later who was let in,
//! who was not, and why.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::client::s3::{Condition, Error, Store};
use crate::exchange::{Grant, InstanceId, Keys, UserId};

/// A decision and what it rested on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The layout of this object; 1.
    pub version: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Which admitter decided.
    pub admitter: InstanceId,
    pub decision: Decision,
    /// Whose request it was.
    pub user: UserId,
    /// The Node's name, where it came so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A stable word for a refusal or a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The whole sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<IpNet>,
    /// The grant that was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A first certificate.
    Granted,
    /// The same key asked again: the grant stands as it is.
    DeliveredAgain,
    /// The same key asked again after the certificate's end: signed anew.
    SignedAfresh,
    Denied,
    /// The instance is gone: grant and lease taken back.
    Collected,
}

impl Entry {
    /// A decision about `user`, to be completed.
    pub fn new(
        admitter: &InstanceId,
        decision: Decision,
        user: &UserId,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            version: 1,
            at,
            admitter: admitter.clone(),
            decision,
            user: user.clone(),
            node: None,
            group: None,
            reason: None,
            message: None,
            pod_cidrs: Vec::new(),
            grant: None,
        }
    }

    /// Where it is kept: sorted by time within its day, unique by instance and admitter.
    fn key(&self, keys: &Keys) -> String {
        let format = format_description!("[hour][minute][second].[subsecond digits:9]");
        let time = self.at.time().format(format).unwrap_or_default();
        let decision = self.decision.word();
        let name = format!("{time}-{}-{decision}-by-{}.json", self.user.instance, self.admitter);
        keys.audit(self.at.date(), &name)
    }

    /// Writes it.
    pub async fn put(&self, store: &Store, keys: &Keys) -> Result<(), Error> {
        let bytes = serde_json::to_vec(self).expect("an audit entry is representable as JSON");
        store.put(&self.key(keys), bytes, Condition::Always).await.map(drop)
    }
}

impl Decision {
    /// As in metrics and in keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::DeliveredAgain => "delivered-again",
            Self::SignedAfresh => "signed-afresh",
            Self::Denied => "denied",
            Self::Collected => "collected",
        }
    }
}
