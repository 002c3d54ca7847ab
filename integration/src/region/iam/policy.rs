//! A policy document: the JSON mirror, and what it is checked into.

use serde::Deserialize;
use serde_json::Value;

use super::condition::Condition;
use super::pattern::{matches_action, matches_arn};
use super::{Access, Context, Permission};

/// A policy under the name that permissions are counted by.
#[derive(Clone, Debug)]
pub struct Policy {
    name: String,
    statements: Vec<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug)]
struct Statement {
    name: String,
    effect: Effect,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug)]
enum Patterns {
    Any(Vec<String>),
    NoneOf(Vec<String>),
}

/// What is wrong with a policy document.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("policy `{policy}` is not a policy document")]
    Json { policy: String, source: serde_json::Error },
    #[error(
        "policy `{policy}` has version `{found}`, wanted `2012-10-17`: variables mean nothing in older ones"
    )]
    Version { policy: String, found: String },
    #[error("policy `{policy}`, statement {statement}: {problem}")]
    Statement { policy: String, statement: String, problem: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawPolicy {
    version: String,
    #[serde(default)]
    #[allow(dead_code, reason = "allowed in a document, and without effect")]
    id: Option<String>,
    statement: OneOrMany<RawStatement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStatement {
    sid: Option<String>,
    effect: Effect,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl Policy {
    /// Reads a policy document.
    pub fn parse(name: &str, json: &str) -> Result<Self, PolicyError> {
        let raw: RawPolicy = serde_json::from_str(json)
            .map_err(|source| PolicyError::Json { policy: name.to_owned(), source })?;
        if raw.version != "2012-10-17" {
            return Err(PolicyError::Version { policy: name.to_owned(), found: raw.version });
        }
        let statements = raw.statement.into_vec().into_iter().enumerate().map(|(at, raw)| {
            let label = raw.sid.clone().unwrap_or_else(|| (at + 1).to_string());
            Statement::checked(label.clone(), raw).map_err(|problem| PolicyError::Statement {
                policy: name.to_owned(),
                statement: label,
                problem,
            })
        });
        Ok(Self { name: name.to_owned(), statements: statements.collect::<Result<_, _>>()? })
    }

    /// The permissions of this policy that speak about the access, in order.
    pub(super) fn matches(&self, access: &Access, context: &Context) -> Vec<(Permission, Effect)> {
        self.statements
            .iter()
            .filter_map(|statement| {
                let action = statement.speaks_of(access, context)?;
                Some((self.permission(statement, action), statement.effect))
            })
            .collect()
    }

    /// All permissions as written.
    pub fn permissions(&self) -> Vec<Permission> {
        let written = |statement: &Statement| {
            let (Patterns::Any(actions) | Patterns::NoneOf(actions)) = &statement.actions;
            actions.iter().map(|action| self.permission(statement, action)).collect::<Vec<_>>()
        };
        self.statements.iter().flat_map(written).collect()
    }

    fn permission(&self, statement: &Statement, action: &str) -> Permission {
        Permission {
            policy: self.name.clone(),
            statement: statement.name.clone(),
            action: action.to_owned(),
        }
    }
}

impl Statement {
    fn checked(name: String, raw: RawStatement) -> Result<Self, String> {
        let actions = one_of(raw.action, raw.not_action, "Action", "NotAction")?;
        let resources = one_of(raw.resource, raw.not_resource, "Resource", "NotResource")?;
        let (Patterns::Any(written) | Patterns::NoneOf(written)) = &actions;
        if let Some(odd) = written.iter().find(|action| *action != "*" && !action.contains(':')) {
            return Err(format!("action `{odd}` has no service prefix"));
        }
        Ok(Self {
            name,
            effect: raw.effect,
            actions,
            resources,
            conditions: conditions(raw.condition)?,
        })
    }

    /// The action pattern that matched, when action, resource and all conditions do.
    fn speaks_of(&self, access: &Access, context: &Context) -> Option<&str> {
        let action = match &self.actions {
            Patterns::Any(actions) => {
                actions.iter().find(|pattern| matches_action(pattern, &access.action))?
            }
            Patterns::NoneOf(actions) => {
                let excluded =
                    actions.iter().any(|pattern| matches_action(pattern, &access.action));
                actions.first().filter(|_| !excluded)?
            }
        };
        let resource = |pattern: &String| matches_arn(pattern, &access.resource, context);
        let about = match &self.resources {
            Patterns::Any(resources) => resources.iter().any(resource),
            Patterns::NoneOf(resources) => !resources.iter().any(resource),
        };
        (about && self.conditions.iter().all(|condition| condition.holds(context)))
            .then_some(action.as_str())
    }
}

fn one_of(
    any: Option<OneOrMany<String>>,
    none_of: Option<OneOrMany<String>>,
    name: &str,
    not_name: &str,
) -> Result<Patterns, String> {
    match (any, none_of) {
        (Some(any), None) => Ok(Patterns::Any(any.into_vec())),
        (None, Some(none_of)) => Ok(Patterns::NoneOf(none_of.into_vec())),
        _ => Err(format!("wants exactly one of `{name}` and `{not_name}`")),
    }
}

fn conditions(raw: serde_json::Map<String, Value>) -> Result<Vec<Condition>, String> {
    let mut conditions = Vec::new();
    for (operator, keys) in raw {
        let Value::Object(keys) = keys else {
            return Err(format!("condition `{operator}` wants an object of keys"));
        };
        for (key, values) in keys {
            let values = match values {
                Value::Array(values) => values.iter().map(text).collect::<Result<Vec<_>, _>>()?,
                one => vec![text(&one)?],
            };
            let condition = Condition::new(&operator, &key, values);
            conditions
                .push(condition.ok_or_else(|| format!("unknown condition operator `{operator}`"))?);
        }
    }
    Ok(conditions)
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("condition value `{other}` is neither text, number nor boolean")),
    }
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
