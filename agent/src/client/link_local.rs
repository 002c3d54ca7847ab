//! One kept-alive HTTP/1.1 connection for requests that follow one another, as those to IMDS do.
//!
//! A pool is no good for them: it takes a connection back a moment after the body of an answer was
//! read, and a request that comes within that moment opens another one.

use std::error::Error;
use std::sync::Arc;

use aws_smithy_types::body::SdkBody;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::http::CONNECT;

type Failed = Box<dyn Error + Send + Sync>;

/// The connection, if there is one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct OneConnection(Arc<Mutex<Option<SendRequest<SdkBody>>>>);

impl OneConnection {
    /// The answer's head, its body to follow. The next request waits until that is read or dropped.
    pub async fn send(&self, request: Request<SdkBody>) -> Result<Response<Incoming>, Failed> {
        let mut held = self.0.lock().await;
        let (authority, request) = in_origin_form(request)?;
        let kept = match held.take() {
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect(&authority).await?,
        };
        let answer = connection.send_request(request).await?;
        *held = Some(connection);
        Ok(answer)
    }
}

async fn connect(authority: &str) -> Result<SendRequest<SdkBody>, Failed> {
    let stream = timeout(CONNECT, TcpStream::connect(authority)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Whom to ask, `169.254.169.254:80`, and the request as it is written to them (RFC 9112, "Origin
/// Form").
fn in_origin_form(mut request: Request<SdkBody>) -> Result<(String, Request<SdkBody>), Failed> {
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let authority = uri.authority.ok_or("a request without a host")?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = Uri::from(uri.path_and_query.ok_or("a request without a path")?);
    Ok((format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)), request))
}
