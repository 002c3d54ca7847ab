//! Identities, their keys and their policies: who signed, and may they.
//!
//! Policies are evaluated as the IAM User Guide's "Policy evaluation logic" says for identity-based
//! policies within one account. Each permission that decided a call is counted, so that a test can
//! ask which permissions no run has used.

mod condition;
mod pattern;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

pub use self::policy::{Policy, PolicyError};
use super::call::{Caller, Principal};
use super::ids::Ids;

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

/// What is known of an access key.
#[derive(Clone, Debug)]
pub struct Key {
    pub secret: String,
    /// Temporary credentials must come with this token.
    pub session_token: Option<String>,
    pub expires: Option<OffsetDateTime>,
    pub principal: Principal,
}

/// A role and the instance profile of the same name.
#[derive(Clone, Debug)]
pub struct Role {
    pub name: String,
    pub role_id: String,
    pub profile_id: String,
    pub tags: BTreeMap<String, String>,
    policies: Vec<Policy>,
}

/// What a client signs with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key: String,
    pub secret: String,
    pub session_token: Option<String>,
    pub expires: Option<OffsetDateTime>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
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

    /// Adds a user with one access key. Policies are (name, JSON).
    pub fn add_user(
        &mut self,
        ids: &mut Ids,
        name: &str,
        policies: &[(&str, &str)],
    ) -> Result<Credentials, PolicyError> {
        self.users.insert(name.to_owned(), parse(policies)?);
        let (access_key, secret) = (ids.unique("AKIA"), ids.secret());
        let principal = Principal::User {
            name: name.to_owned(),
            user_id: ids.unique("AIDA"),
            account: self.account.clone(),
        };
        let key = Key { secret: secret.clone(), session_token: None, expires: None, principal };
        self.keys.insert(access_key.clone(), key);
        Ok(Credentials { access_key, secret, session_token: None, expires: None })
    }

    /// Adds a role with an instance profile of the same name. Policies are (name, JSON).
    pub fn add_role(
        &mut self,
        ids: &mut Ids,
        name: &str,
        policies: &[(&str, &str)],
    ) -> Result<&mut Role, PolicyError> {
        let role = Role {
            name: name.to_owned(),
            role_id: ids.unique("AROA"),
            profile_id: ids.unique("AIPA"),
            tags: BTreeMap::new(),
            policies: parse(policies)?,
        };
        self.roles.insert(name.to_owned(), role);
        Ok(self.roles.get_mut(name).expect("just inserted"))
    }

    /// The role of that name, which is also its instance profile's name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// The role of an instance profile, given its ARN or its name.
    pub fn role_of_profile(&self, profile: &str) -> Option<&Role> {
        self.roles.get(profile.rsplit('/').next().unwrap_or(profile))
    }

    /// The ARN of the instance profile of that name.
    pub fn profile_arn(&self, name: &str) -> String {
        format!("arn:aws:iam::{}:instance-profile/{name}", self.account)
    }

    /// New temporary credentials for a role's session; `None` without such a role.
    pub fn open_session(
        &mut self,
        ids: &mut Ids,
        role: &str,
        session: &str,
        now: OffsetDateTime,
        lifetime: Duration,
    ) -> Option<Credentials> {
        let role = self.roles.get(role)?;
        let principal = Principal::Role {
            name: role.name.clone(),
            role_id: role.role_id.clone(),
            session: session.to_owned(),
            account: self.account.clone(),
        };
        let credentials = Credentials {
            access_key: ids.unique("ASIA"),
            secret: ids.secret(),
            session_token: Some(ids.token(356)),
            expires: Some(now + lifetime),
        };
        let key = Key {
            secret: credentials.secret.clone(),
            session_token: credentials.session_token.clone(),
            expires: credentials.expires,
            principal,
        };
        self.keys.insert(credentials.access_key.clone(), key);
        Some(credentials)
    }

    /// The key that requests with this access key must be signed with.
    pub fn secret_of(&self, access_key: &str) -> Option<&Key> {
        self.keys.get(access_key)
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

fn parse(policies: &[(&str, &str)]) -> Result<Vec<Policy>, PolicyError> {
    policies.iter().map(|(name, json)| Policy::parse(name, json)).collect()
}
