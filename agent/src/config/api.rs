//! How nodes reach and trust the API server: its endpoint and the CA certificates.

use http::Uri;
use x509_parser::pem::Pem;

use super::entry::Entry;

/// `https://HOST[:PORT]`, without a slash at its end.
pub(super) fn endpoint(entry: &Entry<'_>) -> Option<String> {
    let wanted = "a URL `https://HOST[:PORT]`";
    let found = entry.string(wanted)?;
    let Ok(uri) = found.parse::<Uri>() else {
        return entry.problem(format!("is `{found}`, wanted {wanted}"));
    };
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("https")) else {
        return entry.problem(format!("is `{found}`, wanted {wanted}"));
    };
    if authority.as_str().contains('@') {
        return entry.problem(format!("is `{found}` with a user's name in it, wanted {wanted}"));
    }
    match uri.path_and_query().map_or("/", |rest| rest.as_str()) {
        "/" => Some(format!("https://{authority}")),
        rest => entry.problem(format!("is `{found}` with the path `{rest}`, wanted {wanted}")),
    }
}

/// CA certificates, PEM, concatenated.
pub(super) fn certificate_authorities(entry: &Entry<'_>) -> Option<String> {
    let wanted = "CA certificates as PEM";
    let text = entry.string(wanted)?;
    let mut count = 0;
    for (index, block) in Pem::iter_from_buffer(text.as_bytes()).enumerate() {
        let number = index + 1;
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                return entry.problem(format!("has a broken PEM block {number}: {error}"));
            }
        };
        if block.label != "CERTIFICATE" {
            let label = &block.label;
            let message = format!("has a block `{label}` as number {number}, wanted {wanted}");
            return entry.problem(message);
        }
        if let Err(why) = authority(&block) {
            return entry.problem(format!("has as number {number} {why}, wanted {wanted}"));
        }
        count += 1;
    }
    match count {
        0 => entry.problem(format!("holds no certificate, wanted {wanted}")),
        _ => Some(text.to_owned()),
    }
}

fn authority(block: &Pem) -> Result<(), String> {
    let certificate = block.parse_x509().map_err(|error| format!("no certificate ({error})"))?;
    if certificate.is_ca() {
        Ok(())
    } else {
        Err(format!("`{}`, which is not a CA's certificate", certificate.subject()))
    }
}
