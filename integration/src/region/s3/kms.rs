//! The little of AWS KMS that S3 rests on: which keys exist, and what an object is encrypted with.
//!
//! Nothing is encrypted here; what matters is who may use which key, and that a key which does not
//! exist is refused. After "Using server-side encryption with AWS KMS keys (SSE-KMS)".

use std::collections::{BTreeMap, BTreeSet};

use s3s::dto::ServerSideEncryption;
use s3s::{S3Error, S3ErrorCode, S3Result};

/// What an object is encrypted with, and by default the objects of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// SSE-S3, `AES256`.
    S3,
    /// SSE-KMS, `aws:kms`.
    Kms { key: KeyArn, bucket_key: bool },
}

/// The ARN of a KMS key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyArn(pub String);

/// The KMS keys and aliases of the account.
#[derive(Debug, Default)]
pub struct Keys {
    arns: BTreeSet<KeyArn>,
    aliases: BTreeMap<String, KeyArn>,
}

/// The account and region that a short key name is completed with.
#[derive(Debug, Clone, Copy)]
pub struct Home<'a> {
    pub region: &'a str,
    pub account: &'a str,
}

impl Keys {
    /// Makes the key `arn:aws:kms:REGION:ACCOUNT:key/ID` known.
    pub fn create_key(&mut self, home: Home<'_>, id: &str) -> KeyArn {
        let arn = home.arn(&format!("key/{id}"));
        self.arns.insert(arn.clone());
        arn
    }

    /// Makes `alias/NAME` known as another name of the key.
    pub fn create_alias(&mut self, home: Home<'_>, alias: &str, key: &KeyArn) {
        self.aliases.insert(home.arn(alias).0, key.clone());
    }

    /// The key that a request names by ID, ARN or alias; the AWS managed key `aws/s3` for none.
    ///
    /// Errors: `KMS.NotFoundException`.
    pub fn resolve(&self, home: Home<'_>, name: Option<&str>) -> S3Result<KeyArn> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(home.managed_key());
        };
        let arn = if name.starts_with("arn:") {
            KeyArn(name.to_owned())
        } else if name.starts_with("alias/") {
            home.arn(name)
        } else {
            home.arn(&format!("key/{name}"))
        };
        if arn == home.managed_key() || arn == home.arn("alias/aws/s3") {
            return Ok(home.managed_key());
        }
        match self.arns.get(&arn).or_else(|| self.aliases.get(&arn.0)) {
            Some(key) => Ok(key.clone()),
            None => Err(not_found(&arn)),
        }
    }
}

fn not_found(arn: &KeyArn) -> S3Error {
    let message = match arn.0.rsplit_once(":alias/") {
        Some(_) => format!("Alias {} is not found.", arn.0),
        None => format!("Key '{}' does not exist", arn.0),
    };
    let mut error =
        S3Error::with_message(S3ErrorCode::Custom("KMS.NotFoundException".into()), message);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

impl Home<'_> {
    fn arn(self, resource: &str) -> KeyArn {
        KeyArn(format!("arn:aws:kms:{}:{}:{resource}", self.region, self.account))
    }

    /// The key behind `alias/aws/s3`. Its key policy lets everybody in the account use it through
    /// S3, so IAM is not asked.
    pub fn managed_key(self) -> KeyArn {
        self.arn("key/00000000-0000-4000-8000-000000000053")
    }
}

impl Encryption {
    /// As `x-amz-server-side-encryption` says it.
    pub fn algorithm(&self) -> ServerSideEncryption {
        ServerSideEncryption::from_static(match self {
            Self::S3 => ServerSideEncryption::AES256,
            Self::Kms { .. } => ServerSideEncryption::AWS_KMS,
        })
    }

    pub fn key_id(&self) -> Option<String> {
        match self {
            Self::S3 => None,
            Self::Kms { key, .. } => Some(key.0.clone()),
        }
    }

    /// Answers mention an S3 Bucket Key only where there is one.
    pub fn bucket_key(&self) -> Option<bool> {
        matches!(self, Self::Kms { bucket_key: true, .. }).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_id_arn_and_alias_and_nothing_else_is() {
        let home = Home { region: "eu-west-1", account: "123456789012" };
        let mut keys = Keys::default();
        let key = keys.create_key(home, "1234");
        keys.create_alias(home, "alias/prod", &key);

        for name in ["1234", "alias/prod", "arn:aws:kms:eu-west-1:123456789012:key/1234"] {
            assert_eq!(keys.resolve(home, Some(name)).unwrap(), key, "{name}");
        }
        assert_eq!(keys.resolve(home, None).unwrap(), home.managed_key());
        assert_eq!(keys.resolve(home, Some("alias/aws/s3")).unwrap(), home.managed_key());
        for name in ["4321", "alias/test", "arn:aws:kms:us-east-1:123456789012:key/1234"] {
            assert_eq!(
                keys.resolve(home, Some(name)).unwrap_err().code().as_str(),
                "KMS.NotFoundException",
                "{name}"
            );
        }
    }
}
