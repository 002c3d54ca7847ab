//! Requests for a kubelet's serving certificate: as a node's, but with names and addresses.

use std::net::IpAddr;

use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::request::{der, exact_subject, parse};
use super::{Subject, Unacceptable};

/// A request for a serving certificate whose sender has proved that it holds the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingRequest {
    pub subject: Subject,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl ServingRequest {
    /// Reads and checks a request: as [`super::SigningRequest::verify`], but DNS names and
    /// addresses may be asked for, and nothing else.
    pub fn verify(pem: &str) -> Result<Self, Unacceptable> {
        let der = der(pem)?;
        let (request, _) = parse(&der)?;
        let info = &request.certification_request_info;
        let subject = exact_subject(&info.subject)?;
        let mut serving = Self { subject, dns_names: Vec::new(), addresses: Vec::new() };
        for attribute in info.attributes() {
            let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() else {
                continue;
            };
            for extension in &asked.extensions {
                let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension()
                else {
                    let found = format!("the extension {}", extension.oid);
                    return Err(Unacceptable::Names { found });
                };
                names.general_names.iter().try_for_each(|name| serving.take(name))?;
            }
        }
        Ok(serving)
    }

    fn take(&mut self, name: &GeneralName<'_>) -> Result<(), Unacceptable> {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                    (Ok(v4), _) => self.addresses.push(v4.into()),
                    (_, Ok(v6)) => self.addresses.push(v6.into()),
                    _ => return Err(Unacceptable::Names { found: name.to_string() }),
                }
            }
            other => return Err(Unacceptable::Names { found: other.to_string() }),
        }
        Ok(())
    }
}
