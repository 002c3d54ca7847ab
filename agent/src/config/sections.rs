//! The tables that a configuration revision and an operator's `cluster.toml` have in common.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::entry::Entry;
use super::raw::Section;
use super::{
    Boot, Cluster, Drain, Hooks, NodeNames, OnRebalance, Registry, Role, Treatment, WhenRefused,
    defaults, rules,
};

/// The table `[cluster]`.
pub(super) fn cluster(section: &Section<'_>) -> Option<Cluster> {
    let name = section.required("name", "the cluster's name").and_then(|entry| rules::name(&entry));
    let region = section.required("region", "an AWS region");
    let region = region.and_then(|entry| rules::region(&entry));
    let vpc = section.required("vpc", "the id of the cluster's VPC");
    let vpc = vpc.and_then(|entry| rules::vpc(&entry));
    let node_names = section.or("node_names", defaults::NODE_NAMES, |entry| {
        entry.choice(&[
            ("instance-id", NodeNames::InstanceId),
            ("private-dns", NodeNames::PrivateDns),
        ])
    });
    Some(Cluster { name: name?, region: region?, vpc: vpc?, node_names: node_names? })
}

/// How long an instance may ask and how long its first certificate lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub window: Duration,
    pub certificate_lifetime: Duration,
}

/// The part of `[admission]` that is the same for all groups.
pub(super) fn limits(section: &Section<'_>) -> Option<Limits> {
    let window = section.or("window", defaults::ADMISSION_WINDOW, |entry| {
        entry.duration(minutes(1)..=minutes(7 * 24 * 60))
    });
    let lifetime = section.or("certificate_lifetime", defaults::CERTIFICATE_LIFETIME, |entry| {
        entry.duration(minutes(1)..=minutes(24 * 60))
    });
    Some(Limits { window: window?, certificate_lifetime: lifetime? })
}

/// Who may become a node of a group: its role ids and its instance profile.
pub(super) fn identities(section: &Section<'_>) -> Option<(Vec<String>, String)> {
    let wanted = "a list of IAM role ids (`AROA…`)";
    let role_ids = section.required("role_ids", wanted).and_then(|entry| {
        let role_ids = entry.list(wanted, rules::role_id)?;
        if role_ids.is_empty() {
            entry.problem("is empty: nobody could join")
        } else {
            Some(role_ids)
        }
    });
    let profile = section.required("instance_profile", "the ARN of an instance profile");
    let profile = profile.and_then(|entry| rules::instance_profile(&entry));
    Some((role_ids?, profile?))
}

pub(super) fn role(section: &Section<'_>) -> Option<Role> {
    section.or("role", defaults::ROLE, |entry| {
        entry.choice(&[("worker", Role::Worker), ("control-plane", Role::ControlPlane)])
    })
}

/// The table `[registry]`.
pub(super) fn registry(section: &Section<'_>) -> Option<Registry> {
    let mirrors = section.or("mirrors", BTreeMap::new(), |entry| {
        entry.map(|host, entry| {
            if !is_registry(host) {
                return entry.problem("is not a registry, wanted `HOST[:PORT]` or `_default`");
            }
            let mirrors = entry.list("a list of URLs", mirror)?;
            if mirrors.is_empty() {
                entry.problem("is empty, wanted a mirror")
            } else {
                Some(mirrors)
            }
        })
    });
    Some(Registry { mirrors: mirrors? })
}

/// Source: "Registry Configuration", registry host namespace (containerd). The name becomes that
/// of a folder.
fn is_registry(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "443"));
    text == "_default" || (rules::is_dns_subdomain(host) && port.parse::<u16>().is_ok())
}

fn mirror(entry: Entry<'_>) -> Option<String> {
    let wanted = "a mirror's URL, such as `https://mirror.example:5000`";
    let text = entry.string(wanted)?;
    let uri = text
        .parse::<http::Uri>()
        .ok()
        .filter(|uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.query().is_none());
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    match uri.and_then(|uri| uri.authority().cloned()) {
        Some(_) if text.bytes().all(plain) => Some(text.to_owned()),
        _ => entry.problem(format!("is `{text}`, wanted {wanted}")),
    }
}

/// The table `[hooks]`.
pub(super) fn hooks(section: &Section<'_>) -> Option<Hooks> {
    let launch = section.or("launch", None, |entry| rules::hook(entry).map(Some));
    let termination = section.or("termination", None, |entry| rules::hook(entry).map(Some));
    // As Auto Scaling's PutLifecycleHook bounds `HeartbeatTimeout`.
    let within = Duration::from_secs(30)..=Duration::from_secs(7200);
    let timeout = section
        .or("termination_timeout", defaults::TERMINATION_TIMEOUT, |entry| entry.duration(within));
    Some(Hooks { launch: launch?, termination: termination?, termination_timeout: timeout? })
}

/// The table `[boot]`; what it does not say is as in `base`.
pub(super) fn boot(section: &Section<'_>, base: Boot) -> Option<Boot> {
    let within: RangeInclusive<Duration> = Duration::from_secs(5)..=minutes(120);
    let deadline = section.or("deadline", base.deadline, |entry| entry.duration(within));
    Some(Boot { deadline: deadline? })
}

/// The table `[drain]`; what it does not say is as in `base`.
pub(super) fn drain(section: &Section<'_>, base: Drain) -> Option<Drain> {
    let when_refused = section.or("when_refused", base.when_refused, |entry| {
        entry.choice(&[("wait", WhenRefused::Wait), ("delete", WhenRefused::Delete)])
    });
    let deadline = section.or("deadline", base.deadline, |entry| {
        entry.duration(Duration::from_secs(10)..=minutes(48 * 60))
    });
    let delay = section.or("deregistration_delay", base.deregistration_delay, |entry| {
        entry.duration(Duration::ZERO..=minutes(60))
    });
    let on_rebalance = section.or("on_rebalance", base.on_rebalance, |entry| {
        entry.choice(&[("cordon", OnRebalance::Cordon), ("drain", OnRebalance::Drain)])
    });
    let treatment =
        |entry: Entry<'_>| entry.choice(&[("evict", Treatment::Evict), ("keep", Treatment::Keep)]);
    let bare_pods = section.or("bare_pods", base.bare_pods, treatment);
    let local_data = section.or("local_data", base.local_data, treatment);
    Some(Drain {
        when_refused: when_refused?,
        deadline: deadline?,
        deregistration_delay: delay?,
        on_rebalance: on_rebalance?,
        bare_pods: bare_pods?,
        local_data: local_data?,
    })
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}
