//! The pod network and the services: address ranges that must not meet.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::entry::Entry;
use super::raw::Section;
use super::{Network, defaults, rules};

/// The table `[network]`.
pub(super) fn read(section: &Section<'_>) -> Option<Network> {
    let pods_at = section.required("pods", "a list of CIDRs, such as [\"10.64.0.0/14\"]");
    let pods = pods_at.as_ref().and_then(cidrs);
    let services_at = section.required("services", "a list of CIDRs, such as [\"10.96.0.0/16\"]");
    let services = services_at.as_ref().and_then(cidrs);
    let mask = |key, default, allowed, of: fn(&&IpNet) -> bool| {
        let cidr = pods.iter().flatten().copied().find(|cidr| of(&cidr));
        section.or(key, default, |entry| node_mask(&entry, allowed, cidr))
    };
    let node_mask_ipv4 = mask("node_mask_ipv4", defaults::NODE_MASK_IPV4, 8..=28, is_ipv4);
    let node_mask_ipv6 = mask("node_mask_ipv6", defaults::NODE_MASK_IPV6, 32..=112, is_ipv6);
    let dns = section.or("dns", Vec::new(), |entry| {
        entry.list("a list of IP addresses", |entry| entry.parsed("an IP address"))
    });
    let domain = section.or("domain", defaults::DOMAIN.to_owned(), rules::domain);
    let routes_per_table =
        section.or("routes_per_table", defaults::ROUTES_PER_TABLE, |entry| entry.integer(1..=5000));
    let (pods, services) = (pods?, services?);
    let fits = fit_services(&services_at?, &services, &pods);
    let dns = dns.map(|dns| if dns.is_empty() { defaults::dns(&services) } else { dns });
    let (node_mask_ipv4, node_mask_ipv6) = (node_mask_ipv4?, node_mask_ipv6?);
    let masks = fit_pods(&pods_at?, &pods, node_mask_ipv4, node_mask_ipv6);
    let (dns, domain, routes_per_table) = (dns?, domain?, routes_per_table?);
    (fits.is_some() && masks.is_some()).then_some(Network {
        pods,
        node_mask_ipv4,
        node_mask_ipv6,
        services,
        dns,
        domain,
        routes_per_table,
    })
}

fn is_ipv4(cidr: &&IpNet) -> bool {
    matches!(cidr, IpNet::V4(_))
}

fn is_ipv6(cidr: &&IpNet) -> bool {
    matches!(cidr, IpNet::V6(_))
}

/// One CIDR of each address family at most, one at least.
fn cidrs(entry: &Entry<'_>) -> Option<Vec<IpNet>> {
    let wanted = "a list of CIDRs, one of each address family at most";
    let cidrs: Vec<IpNet> = entry.list(wanted, cidr)?;
    let count = |family: fn(&&IpNet) -> bool| cidrs.iter().filter(family).count();
    if cidrs.is_empty() {
        return entry.problem(format!("is empty, wanted {wanted}"));
    }
    for (family, count) in [("IPv4", count(is_ipv4)), ("IPv6", count(is_ipv6))] {
        if count > 1 {
            return entry.problem(format!("has {count} CIDRs of {family}, wanted one at most"));
        }
    }
    Some(cidrs)
}

fn cidr(entry: Entry<'_>) -> Option<IpNet> {
    let cidr: IpNet = entry.parsed("a CIDR, such as `10.64.0.0/14`")?;
    if cidr.trunc() != cidr {
        let message = format!("is `{cidr}`, which has bits set beyond its mask");
        return entry.problem_with_hint(message, format!("the network is `{}`", cidr.trunc()));
    }
    let taken = TAKEN.iter().find_map(|(taken, why)| {
        let taken: IpNet = taken.parse().ok()?;
        overlap(&taken, &cidr).then_some((taken, why))
    });
    match taken {
        Some((taken, why)) => entry.problem(format!("is `{cidr}`, which meets {why} ({taken})")),
        None => Some(cidr),
    }
}

/// Source: "IANA IPv4 Special-Purpose Address Registry" and the same for IPv6.
const TAKEN: [(&str, &str); 6] = [
    ("127.0.0.0/8", "the loopback addresses"),
    ("169.254.0.0/16", "the link-local addresses, where IMDS is"),
    ("224.0.0.0/4", "the multicast addresses"),
    ("::1/128", "the loopback address"),
    ("fe80::/10", "the link-local addresses"),
    ("ff00::/8", "the multicast addresses"),
];

/// Whether the two have an address in common: one contains the other.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The default is checked too, with [`fit_pods`]; this one knows the line of a mask that is given.
fn node_mask(entry: &Entry<'_>, allowed: RangeInclusive<u8>, pods: Option<IpNet>) -> Option<u8> {
    let mask = entry.integer(u32::from(*allowed.start())..=u32::from(*allowed.end()))?;
    let mask = u8::try_from(mask).ok()?;
    match pods {
        Some(pods) if mask <= pods.prefix_len() => entry.problem(format!(
            "is {mask}, wanted a longer prefix than that of the pods (`{pods}`): each node gets a \
             part of them"
        )),
        _ => Some(mask),
    }
}

fn fit_pods(entry: &Entry<'_>, pods: &[IpNet], ipv4: u8, ipv6: u8) -> Option<()> {
    for cidr in pods {
        let (key, mask) = match cidr {
            IpNet::V4(_) => ("node_mask_ipv4", ipv4),
            IpNet::V6(_) => ("node_mask_ipv6", ipv6),
        };
        if cidr.prefix_len() >= mask {
            return entry.problem_with_hint(
                format!("is `{cidr}`, too small to give each node a /{mask} of it"),
                format!("take a larger network or set `network.{key}`"),
            );
        }
    }
    Some(())
}

/// kube-apiserver takes no service CIDR of more than 20 host bits.
fn fit_services(entry: &Entry<'_>, services: &[IpNet], pods: &[IpNet]) -> Option<()> {
    let mut good = Some(());
    for service in services {
        let shortest = service.max_prefix_len() - 20;
        if service.prefix_len() < shortest {
            let message = format!("has `{service}`, wanted a prefix of /{shortest} or longer");
            good = entry.problem_with_hint(message, "kube-apiserver refuses a larger one");
        }
        if let Some(pods) = pods.iter().find(|pods| overlap(pods, service)) {
            good = entry.problem(format!("has `{service}`, which overlaps the pods' `{pods}`"));
        }
        let same_family = |pods: &IpNet| pods.max_prefix_len() == service.max_prefix_len();
        if !pods.iter().any(same_family) {
            let message = format!("has `{service}`, but no pod has an address of that family");
            good = entry.problem(message);
        }
    }
    good
}
