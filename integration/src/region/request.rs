//! The way of one request through the region: seen, struck by a fault, delayed, authenticated,
//! allowed, done, logged.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep};

use super::arrival::{Arrival, Seen};
use super::call::{Call, Caller, Service, ServiceError};
use super::calls::Record;
use super::faults::Fault;
use super::sigv4::Refusal;
use super::xml::{Element, timestamp};
use super::{Region, autoscaling, ec2, envelope, s3, sts};

/// What the caller gets.
#[derive(Debug)]
pub enum Answer {
    Whole(Response<Bytes>),
    /// The connection ends in the middle of the body, or before the head of an empty one.
    Cut(Response<Bytes>),
    /// Nothing, for as long as the caller waits.
    Silence,
}

impl Region {
    /// Serves one request of EC2, Auto Scaling, STS or S3, however it arrived. It is carried out
    /// even if the caller hangs up meanwhile, as AWS would.
    pub async fn serve(&self, request: Request<Bytes>) -> Answer {
        let region = self.clone();
        whatever_the_caller_does(async move { region.serve_here(request).await }).await
    }

    async fn serve_here(&self, request: Request<Bytes>) -> Answer {
        let mut entry = Entry::new(self, &request);
        let head = request.method() == Method::HEAD;
        let (seen, mut request) = Seen::of(request);
        let request_id = self.request_id(seen.service);
        entry.about(self, &seen);

        let fault = self.faults().strike(seen.service, &seen.action, &entry.record.caller);
        entry.record.fault = fault.as_ref().map(Fault::to_string);
        if fault == Some(Fault::Timeout) {
            entry.close(self, None);
            return Answer::Silence;
        }
        if seen.service == Service::S3 {
            let writes = self.with(|state, _| state.s3.writes());
            request.extensions_mut().insert(s3::Arrived(writes));
        }
        // What a call changes, it changes on half its way: others may see it before its caller.
        let half = self.0.latency.draw(seen.service) / 2;
        pause(half).await;
        let response = match refusal(seen.service, fault.as_ref()) {
            Some(error) => envelope::error(seen.service, &error, &request_id),
            None => self.carry_out(seen, request, &request_id, fault.as_ref()).await,
        };
        pause(half + if let Some(Fault::Slow(more)) = fault { more } else { Duration::ZERO }).await;
        match fault {
            Some(Fault::Lost) => {
                entry.close(self, None);
                Answer::Silence
            }
            fault => {
                entry.close(self, Some(&response));
                let response = if head { response.map(|_| Bytes::new()) } else { response };
                if fault == Some(Fault::Cut) {
                    Answer::Cut(response)
                } else {
                    Answer::Whole(response)
                }
            }
        }
    }

    async fn carry_out(
        &self,
        seen: Seen,
        request: Request<Bytes>,
        request_id: &str,
        fault: Option<&Fault>,
    ) -> Response<Bytes> {
        let service = seen.service;
        let caller = match self.authenticate(&seen, &request) {
            Ok(caller) => caller,
            Err(refusal) => return envelope::error(service, &refusal.error(service), request_id),
        };
        if service == Service::S3 {
            return s3::serve(self, caller, request, request_id).await;
        }
        let Some(caller) = caller else {
            return envelope::error(service, &Refusal::Unsigned.error(service), request_id);
        };
        let arrival = request.extensions().get().copied().unwrap_or_default();
        let stale = if let Some(Fault::Stale(by)) = fault { Some(*by) } else { None };
        match self.perform(&seen, &caller, arrival, request_id, stale) {
            Ok(content) => envelope::answer(service, &seen.action, request_id, content),
            Err(error) => envelope::error(service, &error, request_id),
        }
    }

    /// Who signed; nobody, for an unsigned request. S3's signatures are verified by `s3s`.
    fn authenticate(
        &self,
        seen: &Seen,
        request: &Request<Bytes>,
    ) -> Result<Option<Caller>, Refusal> {
        let Some(claim) = seen.claim.as_ref().map_err(Refusal::clone)? else { return Ok(None) };
        let now = self.clock().signing();
        self.with(|state, _| {
            let caller = claim.caller(&state.iam, seen.service, &state.settings.name, now)?;
            if seen.service != Service::S3 {
                let key = state.iam.secret_of(&claim.access_key).ok_or(Refusal::UnknownKey)?;
                claim.verify(request, key)?;
            }
            Ok(Some(caller))
        })
    }

    fn perform(
        &self,
        seen: &Seen,
        caller: &Caller,
        arrival: Arrival,
        request_id: &str,
        stale: Option<Duration>,
    ) -> Result<Element, ServiceError> {
        if seen.action.is_empty() {
            return Err(ServiceError::client(
                "MissingAction",
                "The request must contain the parameter Action",
            ));
        }
        self.with_history(
            seen.action.starts_with("Describe").then_some(stale).flatten(),
            |state, now| {
                let (service, action, params) = (seen.service, seen.action.as_str(), &seen.params);
                let call = Call { service, action, params, caller, now, request_id };
                let wanted = match service {
                    Service::Ec2 => ec2::requires(state, &call),
                    Service::AutoScaling => autoscaling::requires(state, &call),
                    _ => Vec::new(),
                };
                for access in wanted {
                    let access = arrival.onto(access);
                    if let Some(reason) = state.iam.allows(caller, &access).refusal(caller, &access)
                    {
                        return Err(not_allowed(service, reason));
                    }
                }
                match service {
                    Service::Ec2 => ec2::handle(state, &call),
                    Service::AutoScaling => autoscaling::handle(state, &call),
                    _ => sts::handle(state, &call),
                }
            },
        )
    }

    /// S3's are sixteen characters, the others' UUIDs.
    fn request_id(&self, service: Service) -> String {
        let mut ids = self.0.request_ids.lock().expect("the request IDs' lock");
        if service == Service::S3 { ids.hex(16).to_uppercase() } else { ids.uuid() }
    }
}

/// Runs to its end even if nobody waits for it any more.
pub(super) async fn whatever_the_caller_does(
    answer: impl Future<Output = Answer> + Send + 'static,
) -> Answer {
    match tokio::spawn(answer).await {
        Ok(answer) => answer,
        Err(failure) if failure.is_panic() => std::panic::resume_unwind(failure.into_panic()),
        // The runtime is going down.
        Err(_) => Answer::Silence,
    }
}

/// A line of the call log in the making.
pub(super) struct Entry {
    pub(super) record: Record,
    begun: Instant,
}

impl Entry {
    pub(super) fn new(region: &Region, request: &Request<Bytes>) -> Self {
        let arrival: Arrival = request.extensions().get().copied().unwrap_or_default();
        let record = Record {
            at: timestamp(region.clock().now()),
            connection: arrival.connection,
            bytes_in: request.body().len(),
            caller: arrival.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            ..Record::default()
        };
        Self { record, begun: Instant::now() }
    }

    /// The caller is who the claimed key belongs to; whether rightly, the result tells.
    fn about(&mut self, region: &Region, seen: &Seen) {
        self.record.service = seen.service.name().to_owned();
        self.record.action = seen.action.clone();
        self.record.resource = seen.resource.clone();
        if let Ok(Some(claim)) = &seen.claim {
            let label = region.with(|state, _| {
                state.iam.secret_of(&claim.access_key).map(|key| key.principal.label().to_owned())
            });
            self.record.caller = label.unwrap_or_else(|| claim.access_key.clone());
        }
    }

    pub(super) fn close(mut self, region: &Region, response: Option<&Response<Bytes>>) {
        self.record.ms = self.begun.elapsed().as_secs_f64() * 1000.0;
        if let Some(response) = response {
            self.record.status = response.status().as_u16();
            self.record.bytes_out = response.body().len();
            self.record.code =
                (self.record.status >= 400).then(|| error_code(response.body())).flatten();
        }
        region.calls().add(self.record);
    }
}

/// What a fault says instead of carrying the request out.
fn refusal(service: Service, fault: Option<&Fault>) -> Option<ServiceError> {
    match fault? {
        Fault::Throttle => Some(throttled(service)),
        Fault::InternalError => Some(ServiceError::new(
            500,
            internal(service),
            "We encountered an internal error. Please try again.",
        )),
        Fault::Unavailable => Some(ServiceError::new(
            503,
            unavailable(service),
            "The service is unavailable. Please try again.",
        )),
        Fault::Refuse(error) => Some(error.clone()),
        _ => None,
    }
}

/// Amazon EC2 API Reference, "Request throttling"; Amazon S3 User Guide, "Best practices design
/// patterns"; Amazon EC2 Auto Scaling API Reference, "Common errors".
fn throttled(service: Service) -> ServiceError {
    match service {
        Service::Ec2 => ServiceError::new(503, "RequestLimitExceeded", "Request limit exceeded."),
        Service::S3 => ServiceError::new(503, "SlowDown", "Please reduce your request rate."),
        _ => ServiceError::client("Throttling", "Rate exceeded"),
    }
}

fn internal(service: Service) -> &'static str {
    match service {
        Service::Ec2 | Service::S3 => "InternalError",
        _ => "InternalFailure",
    }
}

fn unavailable(service: Service) -> &'static str {
    match service {
        Service::Ec2 => "Unavailable",
        _ => "ServiceUnavailable",
    }
}

fn not_allowed(service: Service, reason: String) -> ServiceError {
    if service == Service::Ec2 {
        let message = format!("You are not authorized to perform this operation. {reason}");
        return ServiceError::new(403, "UnauthorizedOperation", message);
    }
    ServiceError::new(403, "AccessDenied", reason)
}

/// The `Code` of any of the three error documents.
fn error_code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0.to_owned())
}

/// Sleeps on tokio's clock; nothing at all without latency, not even a yield.
pub(super) async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
