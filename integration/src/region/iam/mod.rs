//! Identities, their keys and their policies: who signed, and may they.
//!
//! Policies are evaluated as the IAM User Guide's "Policy evaluation logic" says for identity-based
//! policies within one account. Each permission that decided a call is counted, so that a test can
//! ask which permissions no run has used.

mod condition;
mod identity;
mod pattern;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::identity::{Credentials, Key, Role};
pub use self::policy::{Policy, PolicyError};
use super::call::{Caller, Principal};

/// A policy that allows everything, for an operator without a policy of its own.
pub const ADMINISTRATOR: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// Values of condition keys, as `aws:ResourceTag/cluster` → `prod`. A key may have many.
pub type Context = BTreeMap<String, Vec<String>>;

/// One thing that a call wants to do to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `s3:PutObject`
    pub action: String,
    /// The ARN, or `*` for an action without resource-level permissions.
    pub resource: String,
    /// What the service adds to the request context; the global keys are added here.
    pub context: Context,
}

impl Access {
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: Context::new() }
    }

    /// With one more value of a condition key.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.context.entry(key.into()).or_default().push(value.into());
        self
    }
}

/// What the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// No statement allows it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// A permission as written: one action pattern of one statement of one policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub policy: String,
    /// The statement's `Sid`, or its place in the policy, from 1.
    pub statement: String,
    pub action: String,
}

/// Identities of one account.
#[derive(Debug)]
pub struct Iam {
    account: String,
    region: String,
    users: BTreeMap<String, Vec<Policy>>,
    roles: BTreeMap<String, Role>,
    keys: BTreeMap<String, Key>,
    used: BTreeMap<Permission, u64>,
}

impl Iam {
    pub fn new(account: &str, region: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            keys: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }

    /// Whether the caller's policies allow it.
    pub fn allows(&mut self, caller: &Caller, access: &Access) -> Decision {
        let context = self.context(caller, access);
        let policies = match &caller.principal {
            Principal::User { name, .. } => self.users.get(name),
            Principal::Role { name, .. } => self.roles.get(name).map(|role| &role.policies),
        };
        let mut allowed = Vec::new();
        for policy in policies.into_iter().flatten() {
            for (permission, effect) in policy.matches(access, &context) {
                if effect == policy::Effect::Deny {
                    *self.used.entry(permission).or_default() += 1;
                    return Decision::Denied;
                }
                allowed.push(permission);
            }
        }
        if allowed.is_empty() {
            return Decision::NotAllowed;
        }
        allowed.into_iter().for_each(|permission| *self.used.entry(permission).or_default() += 1);
        Decision::Allowed
    }

    /// What the permissions that decided calls were, and how often.
    pub fn used(&self) -> &BTreeMap<Permission, u64> {
        &self.used
    }

    /// The permissions in the policies of all users and roles that no call has needed yet.
    pub fn unused(&self) -> Vec<Permission> {
        let policies = self
            .users
            .values()
            .flatten()
            .chain(self.roles.values().flat_map(|role| &role.policies));
        let mut all: Vec<Permission> = policies.flat_map(Policy::permissions).collect();
        all.sort();
        all.dedup();
        all.retain(|permission| !self.used.contains_key(permission));
        all
    }

    /// IAM User Guide, "AWS global condition context keys", those that identities have.
    fn context(&self, caller: &Caller, access: &Access) -> Context {
        let mut context = access.context.clone();
        let mut set = |key: &str, value: String| {
            context.entry(key.to_owned()).or_insert_with(|| vec![value]);
        };
        set("aws:userid", caller.userid());
        set("aws:PrincipalAccount", self.account.clone());
        set("aws:RequestedRegion", self.region.clone());
        match &caller.principal {
            Principal::User { name, .. } => {
                set("aws:username", name.clone());
                set("aws:PrincipalType", "User".into());
                set("aws:PrincipalArn", caller.arn());
            }
            Principal::Role { name, session, account, .. } => {
                set("aws:PrincipalType", "AssumedRole".into());
                set("aws:PrincipalArn", format!("arn:aws:iam::{account}:role/{name}"));
                if session.starts_with("i-") {
                    set("ec2:RoleDelivery", "2.0".into());
                    let region = &self.region;
                    set(
                        "ec2:SourceInstanceARN",
                        format!("arn:aws:ec2:{region}:{account}:instance/{session}"),
                    );
                }
                let tags = self.roles.get(name).map(|role| role.tags.clone()).unwrap_or_default();
                tags.into_iter()
                    .for_each(|(tag, value)| set(&format!("aws:PrincipalTag/{tag}"), value));
            }
        }
        context
    }
}

impl Decision {
    /// Nothing, or AWS' sentence about the refusal.
    pub fn refusal(self, caller: &Caller, access: &Access) -> Option<String> {
        let Access { action, resource, .. } = access;
        // S3 alone puts the resource in quotes.
        let quote = if action.starts_with("s3:") { "\"" } else { "" };
        let who = format!(
            "User: {} is not authorized to perform: {action} on resource: {quote}{resource}{quote}",
            caller.arn()
        );
        match self {
            Self::Allowed => None,
            Self::NotAllowed => {
                Some(format!("{who} because no identity-based policy allows the {action} action"))
            }
            Self::Denied => {
                Some(format!("{who} with an explicit deny in an identity-based policy"))
            }
        }
    }
}
