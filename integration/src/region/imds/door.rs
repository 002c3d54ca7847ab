//! Who may come in: method, version, token. Amazon EC2 User Guide, "How Instance Metadata Service
//! Version 2 works" and "Access instance metadata" (its table of response codes).

use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};
use time::OffsetDateTime;

use super::{Imds, Machine};
use crate::region::ids::Ids;

const TOKEN: &str = "x-aws-ec2-metadata-token";
pub const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// A session of a token lasts from a second to six hours.
const TTL_SECONDS: std::ops::RangeInclusive<u64> = 1..=21_600;

/// The versions that the service lists; `latest` is the newest.
pub const VERSIONS: &[&str] = &[
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-07-09",
    "2022-09-24",
    "2024-04-11",
    "latest",
];

/// What a request that is let in asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered {
    /// `PUT /latest/api/token`: the new token.
    Token { token: String, ttl: Duration },
    /// A read of the path below the version, and how long the token is still good.
    Read { path: String, left: Option<Duration> },
    /// The list of versions itself.
    Versions,
}

/// The path below the version; nothing for the root. `Err` for a version that is none.
pub fn below_version(path: &str) -> Result<Option<&str>, StatusCode> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Ok(None);
    }
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if VERSIONS.contains(&version) { Ok(Some(rest)) } else { Err(StatusCode::NOT_FOUND) }
}

/// Lets a request in, or says with which status not.
pub fn enter(
    imds: &mut Imds,
    ids: &mut Ids,
    machine: &Machine,
    request: &Parts,
    now: OffsetDateTime,
) -> Result<Entered, StatusCode> {
    if !machine.options.endpoint_enabled {
        return Err(StatusCode::FORBIDDEN);
    }
    let below = below_version(request.uri.path());
    let asks_for_token = below == Ok(Some("api/token"));
    if request.method == Method::PUT {
        if !asks_for_token {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        return grant_token(imds, ids, machine, request, now);
    }
    if !matches!(request.method, Method::GET | Method::HEAD) || asks_for_token {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    let left = check_token(imds, machine, request, now)?;
    Ok(match below? {
        Some(path) => Entered::Read { path: path.to_owned(), left },
        None => Entered::Versions,
    })
}

fn grant_token(
    imds: &mut Imds,
    ids: &mut Ids,
    machine: &Machine,
    request: &Parts,
    now: OffsetDateTime,
) -> Result<Entered, StatusCode> {
    // A proxy that forwards adds it; a token must never leave through one.
    if request.headers.contains_key("x-forwarded-for") {
        return Err(StatusCode::FORBIDDEN);
    }
    let asked = request
        .headers
        .get(TOKEN_TTL)
        .and_then(|ttl| ttl.to_str().ok()?.trim().parse::<u64>().ok());
    let seconds =
        asked.filter(|seconds| TTL_SECONDS.contains(seconds)).ok_or(StatusCode::BAD_REQUEST)?;
    let (token, ttl) = (format!("AQAEA{}==", ids.token(49)), Duration::from_secs(seconds));
    let tokens = &mut imds.of(machine).tokens;
    tokens.retain(|_, expires| *expires > now);
    tokens.insert(token.clone(), now + ttl);
    Ok(Entered::Token { token, ttl })
}

/// 401 for a token that is missing, expired, or another instance's. Where version 1 is allowed a
/// request may come without; a token that is there must be good all the same.
fn check_token(
    imds: &mut Imds,
    machine: &Machine,
    request: &Parts,
    now: OffsetDateTime,
) -> Result<Option<Duration>, StatusCode> {
    let Some(token) = request.headers.get(TOKEN) else {
        return if machine.options.tokens_required {
            Err(StatusCode::UNAUTHORIZED)
        } else {
            Ok(None)
        };
    };
    let expires = token.to_str().ok().and_then(|token| imds.of(machine).tokens.get(token).copied());
    let left = expires
        .and_then(|expires| Duration::try_from(expires - now).ok())
        .filter(|left| !left.is_zero());
    left.map(Some).ok_or(StatusCode::UNAUTHORIZED)
}
