//! What a service is given to answer one request, and what it may say instead of an answer.

use std::fmt;

use time::OffsetDateTime;

use super::params::Params;

/// The services that one endpoint of the region answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Ec2,
    AutoScaling,
    Sts,
    S3,
    Imds,
}

impl Service {
    /// As in a credential scope, an IAM action's prefix and the call log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::AutoScaling => "autoscaling",
            Self::Sts => "sts",
            Self::S3 => "s3",
            Self::Imds => "imds",
        }
    }

    /// The service of a credential scope.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Ec2, Self::AutoScaling, Self::Sts, Self::S3, Self::Imds]
            .into_iter()
            .find(|service| service.name() == name)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One authenticated, allowed request of a query-protocol service.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub service: Service,
    pub action: &'a str,
    pub params: &'a Params,
    pub caller: &'a Caller,
    /// The region's time, offset included.
    pub now: OffsetDateTime,
    pub request_id: &'a str,
}

/// Whose key signed the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub access_key: String,
    pub principal: Principal,
}

/// A user with its own keys, or a session of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    User {
        name: String,
        user_id: String,
        account: String,
    },
    /// For an instance profile the session's name is the instance ID.
    Role {
        name: String,
        role_id: String,
        session: String,
        account: String,
    },
}

impl Caller {
    /// `aws:userid`: `AIDA…` of a user, `AROA…:SESSION` of a role's session.
    pub fn userid(&self) -> String {
        self.principal.userid()
    }

    /// The ARN that STS names: of the user, or of the assumed role.
    pub fn arn(&self) -> String {
        self.principal.arn()
    }
}

impl Principal {
    pub fn userid(&self) -> String {
        match self {
            Self::User { user_id, .. } => user_id.clone(),
            Self::Role { role_id, session, .. } => format!("{role_id}:{session}"),
        }
    }

    pub fn arn(&self) -> String {
        match self {
            Self::User { name, account, .. } => format!("arn:aws:iam::{account}:user/{name}"),
            Self::Role { name, session, account, .. } => {
                format!("arn:aws:sts::{account}:assumed-role/{name}/{session}")
            }
        }
    }

    /// Short, for logs and counters: the instance ID or other session, or the user's name.
    pub fn label(&self) -> &str {
        match self {
            Self::User { name, .. } => name,
            Self::Role { session, .. } => session,
        }
    }
}

/// A refusal or failure, with the code and message that AWS would give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({status}): {message}")]
pub struct ServiceError {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl ServiceError {
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// A refusal of what was asked: status 400.
    pub fn client(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub fn invalid_action(action: &str) -> Self {
        Self::client(
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        )
    }

    pub fn missing_parameter(name: &str) -> Self {
        Self::client("MissingParameter", format!("The request must contain the parameter {name}"))
    }
}
