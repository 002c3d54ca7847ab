//! Who may do what to which bucket or object, by IAM's names for S3's actions.
//!
//! After "Actions, resources, and condition keys for Amazon S3" and "Required permissions for
//! Amazon S3 API operations". There are no bucket policies and no ACLs here: one account, whose
//! identities' policies decide alone.

use s3s::{S3Error, S3Result, s3_error};
use time::OffsetDateTime;

use super::kms::{Encryption, Home, KeyArn};
use super::store::Store;
use crate::region::Arrival;
use crate::region::call::Caller;
use crate::region::iam::Access;
use crate::region::state::State;

/// The state while one request is answered, and who asks.
pub struct Asked<'a> {
    pub state: &'a mut State,
    pub now: OffsetDateTime,
    pub caller: &'a Caller,
    pub arrival: Arrival,
    /// The store's count of writes when the request arrived.
    pub arrived: u64,
}

impl Asked<'_> {
    pub fn store(&mut self) -> &mut Store {
        &mut self.state.s3
    }

    /// Errors: `AccessDenied`, with the sentence that says which permission is missing on what.
    pub fn require(&mut self, access: Access) -> S3Result<()> {
        let access = self.arrival.onto(access);
        match self.state.iam.allows(self.caller, &access).refusal(self.caller, &access) {
            None => Ok(()),
            Some(refusal) => Err(s3_error!(AccessDenied, "{refusal}")),
        }
    }

    /// `NoSuchBucket` comes before any question of permission, for a bucket's name is the world's;
    /// then what the header `x-amz-expected-bucket-owner` says must be so.
    pub fn bucket_of(&mut self, bucket: &str, expected_owner: Option<&str>) -> S3Result<()> {
        self.store().bucket(bucket)?;
        match expected_owner {
            Some(owner) if owner != self.state.settings.account => {
                Err(s3_error!(AccessDenied, "Access Denied"))
            }
            _ => Ok(()),
        }
    }

    /// A key that is not there is told apart only for those who may list ("GetObject",
    /// Permissions): the others get 403.
    pub fn absent(&mut self, bucket: &str, absence: S3Error) -> S3Error {
        self.require(on_bucket("s3:ListBucket", bucket)).err().unwrap_or(absence)
    }

    /// Whether the caller may use the key for an object, as S3 asks KMS on the caller's behalf
    /// ("Protecting data with server-side encryption", "AWS KMS condition keys": `kms:ViaService`).
    pub fn require_kms(
        &mut self,
        action: &str,
        encryption: &Encryption,
        bucket: &str,
        key: &str,
    ) -> S3Result<()> {
        let Encryption::Kms { key: kms_key, bucket_key } = encryption else { return Ok(()) };
        if *kms_key == self.home().managed_key() {
            return Ok(());
        }
        let region = &self.state.settings.name;
        let context = if *bucket_key { bucket_arn(bucket) } else { object_arn(bucket, key) };
        let access = Access::new(action, kms_key.0.clone())
            .with("kms:ViaService", format!("s3.{region}.amazonaws.com"))
            .with("kms:CallerAccount", self.state.settings.account.clone())
            .with("kms:EncryptionContext:aws:s3:arn", context);
        self.require(access)
    }

    pub fn home(&self) -> Home<'_> {
        Home { region: &self.state.settings.name, account: &self.state.settings.account }
    }

    /// The KMS key that a request names, or the managed one.
    pub fn kms_key(&self, name: Option<&str>) -> S3Result<KeyArn> {
        self.state.s3.kms.resolve(self.home(), name)
    }
}

/// An action on a whole bucket.
pub fn on_bucket(action: &str, bucket: &str) -> Access {
    Access::new(action, bucket_arn(bucket))
}

/// An action on an object.
pub fn on_object(action: &str, bucket: &str, key: &str) -> Access {
    Access::new(action, object_arn(bucket, key))
}

fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}
