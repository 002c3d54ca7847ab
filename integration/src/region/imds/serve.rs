//! One request of the metadata service, from the wire to the wire.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::door::{Entered, TOKEN_TTL, VERSIONS, below_version, enter};
use super::tree::tree;
use crate::region::call::Service;
use crate::region::faults::Fault;
use crate::region::request::{Answer, Entry, pause, whatever_the_caller_does};
use crate::region::{Arrival, Region};

impl Region {
    /// Serves one request to 169.254.169.254 from the instance that has this address. An address
    /// that no running instance has is not answered at all.
    pub async fn serve_imds(&self, from: IpAddr, request: Request<Bytes>) -> Answer {
        let region = self.clone();
        whatever_the_caller_does(async move { region.serve_imds_here(from, request).await }).await
    }

    async fn serve_imds_here(&self, from: IpAddr, request: Request<Bytes>) -> Answer {
        let (mut parts, body) = request.into_parts();
        let arrival: Arrival = parts.extensions.get().copied().unwrap_or_default();
        parts.extensions.insert(Arrival { peer: Some(from), ..arrival });
        let request = Request::from_parts(parts, body);
        let mut entry = Entry::new(self, &request);
        let parts = request.into_parts().0;
        let instance =
            self.with(|state, _| state.ec2.machine_at(from).map(|machine| machine.instance_id));
        if let Some(instance) = &instance {
            entry.record.caller = instance.clone();
        }
        entry.record.service = Service::Imds.name().to_owned();
        entry.record.action = action(&parts);
        entry.record.resource = parts.uri.path().to_owned();

        let fault = self.faults().strike(Service::Imds, &entry.record.action, &entry.record.caller);
        entry.record.fault = fault.as_ref().map(Fault::to_string);
        if instance.is_none() || fault == Some(Fault::Timeout) {
            entry.close(self, None);
            return Answer::Silence;
        }
        let slow = if let Some(Fault::Slow(more)) = fault { more } else { Duration::ZERO };
        pause(self.0.latency.draw(Service::Imds) + slow).await;
        let response = match fault.as_ref().and_then(refusal) {
            Some(status) => error(status),
            None => self.read_metadata(from, &parts),
        };
        if fault == Some(Fault::Lost) {
            entry.close(self, None);
            return Answer::Silence;
        }
        entry.close(self, Some(&response));
        if fault == Some(Fault::Cut) { Answer::Cut(response) } else { Answer::Whole(response) }
    }

    /// The hop limit of the instance that has this address: the TTL of its token's answer.
    pub fn hop_limit(&self, from: IpAddr) -> Option<u8> {
        self.with(|state, _| Some(state.ec2.machine_at(from)?.options.http_put_response_hop_limit))
    }

    fn read_metadata(&self, from: IpAddr, request: &Parts) -> Response<Bytes> {
        let client_now = self.clock().unmoved();
        self.with(|state, now| {
            // Gone while the answer was on its way.
            let Some(machine) = state.ec2.machine_at(from) else {
                return error(StatusCode::NOT_FOUND);
            };
            match enter(&mut state.imds, &mut state.ids, &machine, request, now) {
                Err(status) => error(status),
                Ok(Entered::Token { token, ttl }) => text(token.into(), "text/plain", Some(ttl)),
                Ok(Entered::Versions) => text(VERSIONS.join("\n").into(), "text/plain", None),
                Ok(Entered::Read { path, left }) => {
                    match tree(state, &machine, now, client_now).read(&path) {
                        Some(body) => text(body, kind(&path), left),
                        None => error(StatusCode::NOT_FOUND),
                    }
                }
            }
        })
    }
}

/// As rules and counters name it: `PUT api/token`, `GET meta-data/instance-id`.
fn action(request: &Parts) -> String {
    let path = match below_version(request.uri.path()) {
        Ok(Some(below)) => below,
        _ => request.uri.path(),
    };
    format!(
        "{} {path}",
        if request.method == Method::HEAD { &Method::GET } else { &request.method }
    )
}

fn kind(path: &str) -> &'static str {
    if path == "user-data" { "application/octet-stream" } else { "text/plain" }
}

fn text(body: Bytes, kind: &'static str, ttl: Option<Duration>) -> Response<Bytes> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::SERVER, HeaderValue::from_static("EC2ws"));
    if let Some(ttl) = ttl {
        headers.insert(TOKEN_TTL, ttl.as_secs().into());
    }
    response
}

fn refusal(fault: &Fault) -> Option<StatusCode> {
    match fault {
        // "The request could not be completed. Retry the request."
        Fault::Throttle | Fault::Unavailable => Some(StatusCode::SERVICE_UNAVAILABLE),
        Fault::InternalError => Some(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Refuse(error) => StatusCode::from_u16(error.status).ok(),
        _ => None,
    }
}

/// The service's own page.
fn error(status: StatusCode) -> Response<Bytes> {
    let title = format!("{} - {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let page = format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
         <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\
         \t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n \
         <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    );
    let mut response = text(page.into(), "text/html", None);
    *response.status_mut() = status;
    response
}
