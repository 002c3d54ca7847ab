//! The node's identity: a private key that never leaves the instance, and the certificate that
//! kubelet starts with.
//!
//! kubelet finds its certificate behind the link `kubelet-client-current.pem`, which it moves to
//! another dated file when it renews. With a regular file in that place it would renew in memory
//! only, and be locked out at its next restart.

use std::path::Path;

use anyhow::{Context, anyhow};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Done, outcome};
use crate::config::NodeConfig;
use crate::converge::{Ensured, ensure_file, ensure_symlink};
use crate::exchange::{Grant, InstanceId};
use crate::host::Machine;
use crate::pki::{Certificate, PrivateKey, Subject};
use crate::plan::CLIENT_CERTIFICATE;

const KEY: &str = "/var/lib/windlass/identity/key.pem";
/// The grant that was installed: its pod CIDRs are needed at every boot.
const GRANT: &str = "/var/lib/windlass/grant.json";

/// kubelet must still have the time to ask for the next one.
const LEFT: time::Duration = time::Duration::seconds(30);

/// Whom a grant must be for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub instance: &'a InstanceId,
    /// The Node's name.
    pub node: &'a str,
    pub config: &'a NodeConfig,
    pub now: OffsetDateTime,
}

/// The private key, made at the first boot. It is on disk before anybody hears of it: a request
/// with a key that is lost would block the instance's admission for good.
pub fn ensure_key(machine: &Machine) -> anyhow::Result<Done<PrivateKey>> {
    if let Some(pem) = machine.read_text(KEY)? {
        let value = PrivateKey::from_pem(&pem).with_context(|| format!("reading {KEY}"))?;
        let detail = format!("the key of an earlier run, {}", fingerprint(&value));
        return Ok(Done { value, outcome: crate::report::Outcome::Unchanged, detail });
    }
    let value = PrivateKey::generate()?;
    let ensured = ensure_file(machine, KEY, 0o600, value.to_pem().as_bytes())?;
    let detail = format!("a new P-256 key, {}", fingerprint(&value));
    Ok(Done { value, outcome: outcome(&[ensured]), detail })
}

fn fingerprint(key: &PrivateKey) -> String {
    format!("SHA-256 {}…", &key.public_key_sha256()[..12])
}

/// The grant that is installed, where kubelet still has a certificate by it. It may have renewed
/// that certificate itself.
pub fn installed(machine: &Machine, wanted: Wanted<'_>) -> Option<Grant> {
    let grant: Grant = serde_json::from_slice(&machine.read(GRANT).ok()??).ok()?;
    let pem = machine.read_text(CLIENT_CERTIFICATE).ok()??;
    let certificate = Certificate::from_pem(&pem).ok()?;
    let ours = grant.instance == *wanted.instance && grant.node == wanted.node;
    let usable = pem.contains("PRIVATE KEY-----") && unusable(&certificate, wanted).is_none();
    (ours && usable && grant.group == wanted.config.group).then_some(grant)
}

/// Whether kubelet has a certificate that is not over: a node comes back by it with what is on its disk.
pub fn is_current(machine: &Machine, now: OffsetDateTime) -> bool {
    let pem = machine.read_text(CLIENT_CERTIFICATE).ok().flatten();
    let certificate = pem.and_then(|pem| Certificate::from_pem(&pem).ok());
    certificate.is_some_and(|it| it.is_current(now) && it.not_after > now + LEFT)
}

/// What a grant that was read is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Worth {
    Counts,
    /// It is an earlier one; the admitter will write another.
    Waits(String),
    /// It is of no use, and no admitter will replace it.
    Unusable(String),
}

/// Judges a grant for the key `key`.
pub fn judge(grant: &Grant, key: &PrivateKey, wanted: Wanted<'_>) -> Worth {
    let ours = key.public_key_sha256();
    if grant.public_key_sha256 != ours {
        return Worth::Waits(format!(
            "the grant is for the key {}…, this instance's is {}…",
            grant.public_key_sha256.get(..12).unwrap_or_default(),
            &ours[..12]
        ));
    }
    if grant.not_after <= wanted.now + LEFT {
        return Worth::Waits(format!(
            "the grant's certificate ended at {}",
            written(grant.not_after)
        ));
    }
    let certificate = match Certificate::from_pem(&grant.certificate) {
        Ok(certificate) => certificate,
        Err(error) => return Worth::Unusable(format!("its certificate cannot be read: {error:#}")),
    };
    if certificate.public_key_sha256 != ours {
        return Worth::Unusable("its certificate is for another key".to_owned());
    }
    if grant.instance != *wanted.instance || grant.node != wanted.node {
        return Worth::Unusable(format!(
            "it is for {} (node `{}`), wanted {} (node `{}`)",
            grant.instance, grant.node, wanted.instance, wanted.node
        ));
    }
    unusable(&certificate, wanted).map_or(Worth::Counts, Worth::Unusable)
}

/// Why kubelet could not start with this certificate.
fn unusable(certificate: &Certificate, wanted: Wanted<'_>) -> Option<String> {
    let subject = Subject::node(wanted.node);
    let organization = subject.organization.as_slice();
    if certificate.common_name != subject.common_name || certificate.organizations != organization {
        return Some(format!(
            "its certificate is for `CN={}, O={}`, wanted `{subject}`",
            certificate.common_name,
            certificate.organizations.join(", O=")
        ));
    }
    if !certificate.is_current(wanted.now) || certificate.not_after <= wanted.now + LEFT {
        return Some(format!(
            "its certificate is valid from {} until {}, and it is {} now",
            written(certificate.not_before),
            written(certificate.not_after),
            written(wanted.now)
        ));
    }
    let authorities = authorities(&wanted.config.api.certificate_authorities);
    if !authorities.iter().any(|authority| certificate.is_signed_by(authority)) {
        return Some("its certificate is signed by none of the configuration's CAs".to_owned());
    }
    None
}

/// Each certificate of a bundle.
fn authorities(bundle: &str) -> Vec<Certificate> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = bundle.split_inclusive(END);
    blocks.filter_map(|pem| Certificate::from_pem(pem).ok()).collect()
}

/// Certificate and key (PEM) where kubelet looks for them, and the grant for the next boot.
pub fn ensure_installed(machine: &Machine, grant: &Grant, key: &str) -> anyhow::Result<Ensured> {
    // Named by the grant's time, not by ours, so that a run after a killed one writes the same file.
    let name = dated(grant.at)?;
    let beside = Path::new(CLIENT_CERTIFICATE).with_file_name(&name);
    let pem = format!("{}\n{}\n", grant.certificate.trim_end(), key.trim_end());
    let file = ensure_file(machine, beside, 0o600, pem.as_bytes())?;
    let link = ensure_symlink(machine, CLIENT_CERTIFICATE, &name)?;
    let kept = ensure_file(machine, GRANT, 0o644, &serde_json::to_vec_pretty(grant)?)?;
    let all = [file, link, kept];
    Ok(if all.contains(&Ensured::Changed) { Ensured::Changed } else { Ensured::Unchanged })
}

/// A time as a person reads it, in UTC.
pub fn written(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at.format(format).unwrap_or_else(|_| at.to_string())
}

/// As kubelet names its own.
fn dated(at: OffsetDateTime) -> anyhow::Result<String> {
    let format =
        format_description!("kubelet-client-[year]-[month]-[day]-[hour]-[minute]-[second].pem");
    at.to_offset(time::UtcOffset::UTC).format(format).map_err(|error| anyhow!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_certificates_file_is_named_as_kubelet_names_its_own() {
        let name = dated(datetime!(2026-11-22 22:38:19 +1)).expect("a name");
        assert_eq!(name, "kubelet-client-2026-11-22-21-38-19.pem");
    }
}
