//! The credentials of an instance's role: Amazon EC2 User Guide, "Retrieve security credentials
//! from instance metadata".

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Machine;
use crate::region::iam::Credentials;
use crate::region::state::State;

/// Credentials and when they were made.
#[derive(Clone, Debug)]
pub struct Handed {
    pub(super) credentials: Credentials,
    at: OffsetDateTime,
}

/// What `iam/` shows of the role: its name, `info` and the credentials.
pub struct RoleTexts {
    pub name: String,
    pub info: String,
    pub credentials: String,
}

/// The role of the instance's profile with credentials that are good for at least half of their
/// lifetime; nothing without a profile, or in the first moment after the launch. `now` is the
/// region's time, `client_now` what clients' own clocks show.
pub fn texts(
    state: &mut State,
    machine: &Machine,
    now: OffsetDateTime,
    client_now: OffsetDateTime,
) -> Option<RoleTexts> {
    let profile = machine.instance_profile.as_deref()?;
    let role = state.iam.role_of_profile(profile)?;
    let (name, profile_id) = (role.name.clone(), role.profile_id.clone());
    if now - machine.launched_at < state.imds.credentials_delay {
        return None;
    }
    let handed = current(state, machine, &name, client_now)?;
    let info = json!({
        "Code": "Success",
        "LastUpdated": seconds(handed.at),
        "InstanceProfileArn": profile,
        "InstanceProfileId": profile_id,
    });
    let credentials = json!({
        "Code": "Success",
        "LastUpdated": seconds(handed.at),
        "Type": "AWS-HMAC",
        "AccessKeyId": handed.credentials.access_key,
        "SecretAccessKey": handed.credentials.secret,
        "Token": handed.credentials.session_token,
        "Expiration": handed.credentials.expires.map(seconds),
    });
    Some(RoleTexts { name, info: pretty(&info), credentials: pretty(&credentials) })
}

/// "We make new credentials available at least five minutes before the expiration of the old
/// credentials": at half their lifetime, which is that for any lifetime of ten minutes or more.
fn current(
    state: &mut State,
    machine: &Machine,
    role: &str,
    now: OffsetDateTime,
) -> Option<Handed> {
    let lifetime = state.imds.credentials_lifetime;
    let fresh = |handed: &Handed| {
        handed.credentials.expires.is_some_and(|expires| expires - now > lifetime / 2)
    };
    if let Some(handed) = state.imds.of(machine).role.clone().filter(fresh) {
        return Some(handed);
    }
    let credentials =
        state.iam.open_session(&mut state.ids, role, &machine.instance_id, now, lifetime)?;
    let handed = Handed { credentials, at: now };
    state.imds.of(machine).role = Some(handed.clone());
    Some(handed)
}

/// ISO 8601 without fractions, as all times of the metadata service.
pub fn seconds(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_default()
}

/// The service's own JSON is indented by two.
pub fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
