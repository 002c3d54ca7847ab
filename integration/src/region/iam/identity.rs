//! Users, roles with their instance profiles, sessions of roles: whose key it is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;

use super::{Iam, Policy, PolicyError};
use crate::region::call::Principal;
use crate::region::ids::Ids;

/// What is known of an access key.
#[derive(Clone)]
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
    pub(super) policies: Vec<Policy>,
}

/// What a client signs with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key: String,
    pub secret: String,
    pub session_token: Option<String>,
    pub expires: Option<OffsetDateTime>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Iam {
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
}

fn parse(policies: &[(&str, &str)]) -> Result<Vec<Policy>, PolicyError> {
    policies.iter().map(|(name, json)| Policy::parse(name, json)).collect()
}
