//! The instance metadata service, version 2: a token by PUT, then GETs that carry it.
//!
//! Requests go out one after the other, so that all of them share one kept-alive connection: the
//! link-local service counts packets (1024 a second an interface) and answers in a millisecond or
//! two. Who needs an answer early asks early.
//!
//! Source: "Use the Instance Metadata Service to access instance metadata" (Amazon EC2 User Guide).

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::plain;
use super::{Chain, Wire};

/// The service's address, the same on every instance; IPv6 has another that is off by default.
pub(super) const HOST: &str = "169.254.169.254";
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The longest that IMDS grants: a boot needs one token, a daemon four a day.
const TOKEN_TTL_SECONDS: &str = "21600";
/// An answer takes a millisecond or two; after a second there will be none.
const ATTEMPT: Duration = Duration::from_secs(1);
/// A network that DHCP has not configured yet and a throttled service both recover in seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Before the nth try: anything between nothing and this, doubled n times (full jitter), so that
/// instances that were started together do not ask together.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A client of IMDS. Clones share token and connection.
#[derive(Clone, Debug)]
pub struct Imds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: SharedHttpConnector,
    token: Mutex<Option<String>>,
}

/// Why IMDS gave no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "IMDS at 169.254.169.254 did not answer {asked} within {} s ({attempts} attempts; the last: {last})\nhint: {}",
        PATIENCE.as_secs(), last.hint()
    )]
    Silent { asked: String, attempts: u32, last: Trouble },
    #[error("IMDS answered {asked} with status {status}{}", refused_hint(*status))]
    Refused { asked: String, status: u16 },
}

/// What may be better at the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("no answer within {} s", ATTEMPT.as_secs())]
    Nothing,
    #[error("status {0}")]
    Busy(u16),
    #[error("{0}")]
    Unreachable(String),
}

impl Imds {
    /// A client that has not asked anything yet.
    pub fn new(wire: &Wire) -> Self {
        let connector = plain::connector(&wire.http);
        Self(Arc::new(Inner { connector, token: Mutex::new(None) }))
    }

    /// What lies under `/latest/PATH`; `None` where there is nothing (404).
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        // Held while the request is out: this is what makes requests follow one another.
        let mut token = self.0.token.lock().await;
        let mut renewed = false;
        loop {
            let held = match &*token {
                Some(held) => held.clone(),
                None => {
                    renewed = true;
                    token.insert(self.new_token().await?).clone()
                }
            };
            let ask = Ask::Get { path: path.to_owned(), token: held };
            let answer = self.persistently(&ask).await?;
            match answer.status {
                200 => return Ok(Some(answer.body)),
                404 => return Ok(None),
                // The token expired (or the instance was stopped and started): another one, once.
                401 if !renewed => *token = None,
                status => return Err(Error::Refused { asked: ask.to_string(), status }),
            }
        }
    }

    async fn new_token(&self) -> Result<String, Error> {
        let answer = self.persistently(&Ask::Token).await?;
        match (answer.status, String::from_utf8(answer.body)) {
            (200, Ok(token)) => Ok(token),
            (status, _) => Err(Error::Refused { asked: Ask::Token.to_string(), status }),
        }
    }

    /// Asks until there is an answer that another attempt would not change, or patience ends.
    async fn persistently(&self, ask: &Ask) -> Result<Answer, Error> {
        let give_up = Instant::now() + PATIENCE;
        let mut attempts = 0;
        loop {
            let last = match self.once(ask, attempts).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            let pause = pause(attempts);
            attempts += 1;
            tracing::debug!("IMDS, attempt {attempts} at {ask}: {last}");
            if Instant::now() + pause >= give_up {
                return Err(Error::Silent { asked: ask.to_string(), attempts, last });
            }
            sleep(pause).await;
        }
    }

    async fn once(&self, ask: &Ask, earlier: u32) -> Result<Answer, Trouble> {
        match timeout(ATTEMPT, self.answer(ask, earlier)).await {
            Ok(Ok(answer)) if matches!(answer.status, 429 | 500..) => {
                Err(Trouble::Busy(answer.status))
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Trouble::Unreachable(Chain(&*error).to_string())),
            Err(_) => Err(Trouble::Nothing),
        }
    }

    async fn answer(&self, ask: &Ask, earlier: u32) -> Result<Answer, BoxError> {
        let response = self.0.connector.call(ask.request(earlier)?).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes().to_vec();
        Ok(Answer { status, body })
    }
}

fn pause(attempt: u32) -> Duration {
    let longest = (FIRST_PAUSE * 2u32.saturating_pow(attempt.min(10))).min(LONGEST_PAUSE);
    Duration::from_micros(fastrand::u64(0..=longest.as_micros() as u64))
}

fn refused_hint(status: u16) -> &'static str {
    match status {
        401 => ", although the token was new",
        403 => {
            "\nhint: the instance's metadata options may have switched IMDS off, or a proxy is in between"
        }
        _ => "",
    }
}

impl Trouble {
    fn hint(&self) -> &'static str {
        match self {
            Self::Nothing => {
                "IMDS says nothing to a request that comes over more hops than \
                 `http-put-response-hop-limit` allows: run windlass on the instance itself, not in a \
                 container's network; if it is, look whether the instance's metadata options have \
                 IMDS enabled"
            }
            Self::Busy(_) => {
                "IMDS throttles each network interface: something else on this machine may ask all the time"
            }
            Self::Unreachable(_) => {
                "is this an EC2 instance, and is its network interface up with a route to 169.254.169.254?"
            }
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
enum Ask {
    Token,
    Get { path: String, token: String },
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("`PUT /latest/api/token`"),
            Self::Get { path, .. } => write!(f, "`GET /latest/{path}`"),
        }
    }
}

impl Ask {
    /// `earlier` is how often it was sent before.
    fn request(&self, earlier: u32) -> Result<HttpRequest, BoxError> {
        let request = match self {
            Self::Token => http::Request::put(format!("http://{HOST}/latest/api/token"))
                .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL_SECONDS),
            Self::Get { path, token } => http::Request::get(format!("http://{HOST}/latest/{path}"))
                .header("x-aws-ec2-metadata-token", token),
        };
        // As the SDK numbers its own, for whoever counts.
        let number = format!("attempt={}", earlier + 1);
        let request = request.header("amz-sdk-request", number).body(SdkBody::empty())?;
        Ok(request.try_into()?)
    }
}

/// What IMDS said. UserData may be binary, so a body is bytes.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}
