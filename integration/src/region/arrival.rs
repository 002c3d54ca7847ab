//! How a request arrived, and what is told of it before anything is checked.

use std::net::IpAddr;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HOST};

use super::call::Service;
use super::iam::Access;
use super::params::Params;
use super::s3;
use super::sigv4::{Claim, Refusal};

/// How a request came, set as its extension by whoever accepted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Numbered by [`super::serve`]; none in process.
    pub connection: Option<u64>,
    pub peer: Option<IpAddr>,
    pub tls: bool,
}

impl Arrival {
    /// The condition keys that come from the connection.
    pub fn onto(&self, access: Access) -> Access {
        let access = access.with("aws:SecureTransport", self.tls.to_string());
        match self.peer {
            Some(peer) => access.with("aws:SourceIp", peer.to_string()),
            None => access,
        }
    }
}

/// A request's address on the envelope: enough for faults, latency and the log.
#[derive(Debug)]
pub struct Seen {
    pub service: Service,
    pub action: String,
    /// Bucket and key; of the query services the first identifier among the parameters.
    pub resource: String,
    pub params: Params,
    pub claim: Result<Option<Claim>, Refusal>,
}

impl Seen {
    /// The service is that of the credential scope, whatever the endpoint; of an unsigned request
    /// that of the host, or of the API version.
    pub fn of(request: Request<Bytes>) -> (Self, Request<Bytes>) {
        let (parts, body) = request.into_parts();
        let claim = Claim::of(&parts);
        let scope = claim.as_ref().ok().and_then(|claim| Service::named(&claim.as_ref()?.service));
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let mut params = Params::default();
        let form = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        if scope != Some(Service::S3) {
            params.extend(Params::parse(parts.uri.query().unwrap_or_default()));
            if form {
                params.extend(Params::parse(&String::from_utf8_lossy(&body)));
            }
        }
        let service = of_host(host).or(scope).unwrap_or_else(|| of_version(&params));
        let (action, resource) = if service == Service::S3 {
            let operation = s3::operation(&parts);
            (operation.name, operation.resource)
        } else {
            (params.get("Action").unwrap_or_default().to_owned(), first_identifier(&params))
        };
        (Self { service, action, resource, params, claim }, Request::from_parts(parts, body))
    }
}

/// The service of AWS' own host names, dual-stack and FIPS ones too.
fn of_host(host: &str) -> Option<Service> {
    let host = host.split(':').next()?;
    let name = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".api.aws"))?;
    let label = |label: &str| match label.trim_end_matches("-fips") {
        "ec2" => Some(Service::Ec2),
        "autoscaling" => Some(Service::AutoScaling),
        "sts" => Some(Service::Sts),
        "s3" => Some(Service::S3),
        _ => None,
    };
    let mut labels = name.split('.');
    // A bucket may be called `ec2`: its host still has an `s3` behind it.
    let first = labels.next().and_then(label);
    if labels.any(|later| label(later) == Some(Service::S3)) { Some(Service::S3) } else { first }
}

fn of_version(params: &Params) -> Service {
    match params.get("Version") {
        Some("2016-11-15") => Service::Ec2,
        Some("2011-01-01") => Service::AutoScaling,
        Some("2011-06-15") => Service::Sts,
        _ => Service::S3,
    }
}

/// For the log: what the call is about.
fn first_identifier(params: &Params) -> String {
    let identifies = |name: &str| {
        let name = name.split('.').next().unwrap_or(name);
        name.ends_with("Id")
            || name.ends_with("Name")
            || name.ends_with("Ids")
            || name.ends_with("Names")
    };
    params
        .iter()
        .find(|(name, _)| identifies(name))
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_host_names_tell_the_service() {
        assert_eq!(of_host("ec2.eu-west-1.amazonaws.com"), Some(Service::Ec2));
        assert_eq!(of_host("sts.amazonaws.com:443"), Some(Service::Sts));
        assert_eq!(of_host("s3.dualstack.eu-west-1.amazonaws.com"), Some(Service::S3));
        assert_eq!(of_host("my.bucket.s3.eu-west-1.amazonaws.com"), Some(Service::S3));
        assert_eq!(of_host("ec2.s3.eu-west-1.amazonaws.com"), Some(Service::S3));
        assert_eq!(of_host("127.0.0.1:4566"), None);
    }
}
