//! The VPC's routers as one namespace: each network interface of an instance is a veth whose other
//! end is here, or a virtual machine's, whose tap is here.
//!
//! As in a VPC there is no layer 2 between instances: the router answers ARP for every neighbour
//! (proxy ARP), owns each subnet's first address, and knows the hardware address of each interface
//! without asking. Where a packet goes is what EC2's route tables say, and nothing else: the router
//! follows them in the order in which the API took the changes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use ipnet::{Ipv4Net, Ipv6Net};
use tokio::task::JoinHandle;

use super::checks::{self, Drops};
use super::forwarding::{
    ABSENT, BLACKHOLE, NO_ROUTE, Numbers, OUTSIDE, OUTSIDE_HOST, OUTSIDE_HOST_IPV6, Plan,
    link_local,
};
use super::namespace::Namespace;
use super::vpc::Network;
use crate::lab::run::{command, output};
use crate::region::Region;
use crate::region::ec2::Ec2;

/// The instance metadata service.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The VPC's resolver, at the address that is the same in every VPC.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The Amazon Time Sync Service, at the address that is the same in every VPC.
pub const TIME: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 123);
/// What Nitro instances have; "Network maximum transmission unit (MTU) for your EC2 instance".
pub const MTU: u16 = 9001;
/// "Traffic over an internet gateway … is limited to an MTU of 1500."
const OUTSIDE_MTU: u16 = 1500;
/// The gateway's addresses on the way to the host outside (TEST-NET-3, RFC 5737; RFC 9637).
const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const GATEWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1);
/// A Nitro instance's first interface is called so by Debian and Amazon Linux.
pub const NODE_INTERFACE: &str = "ens5";

/// An instance's primary network interface.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub instance_id: String,
    pub mac: String,
    pub address: Ipv4Addr,
    pub subnet: Ipv4Net,
    /// If its subnet has any.
    pub ipv6: Option<Ipv6>,
}

/// What an interface has of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    pub subnet: Ipv6Net,
    /// The first that it was assigned; a subnet with IPv6 may hold interfaces without.
    pub address: Option<Ipv6Addr>,
}

impl Attachment {
    /// The primary interface of an instance, as EC2 has it now.
    pub fn of(ec2: &Ec2, instance: &str) -> Option<Self> {
        let interface = *ec2.interfaces_of(instance).first()?;
        let subnet = ec2.subnet(&interface.subnet).ok()?;
        let address = interface.ipv6.first().copied();
        Some(Self {
            instance_id: instance.to_owned(),
            mac: interface.mac.clone(),
            address: interface.address(),
            subnet: subnet.cidr,
            ipv6: subnet.ipv6_block.as_ref().map(|block| Ipv6 { subnet: block.cidr, address }),
        })
    }

    /// The router's address in this subnet: "the first four IP addresses and the last … are not
    /// available", the second is the VPC router ("Subnet CIDR blocks").
    pub fn gateway(&self) -> Ipv4Addr {
        nth_address(self.subnet, 1)
    }

    /// The router's end of the veth. 15 characters at most, so the tail of the instance's id.
    pub fn router_interface(&self) -> String {
        let tail = self.instance_id.len().saturating_sub(13);
        format!("v{}", &self.instance_id[tail..])
    }
}

#[derive(Clone, Debug)]
pub struct Router {
    namespace: Namespace,
    outside: Namespace,
    forwarding: Arc<Mutex<Forwarding>>,
}

/// What the router goes by. Whoever changes it holds the lock until the kernel has it too.
#[derive(Debug, Default)]
struct Forwarding {
    wired: BTreeMap<String, Attachment>,
    network: Option<Network>,
    numbers: Numbers,
    plan: Plan,
}

impl Router {
    /// A router with these addresses of its own. Until it follows a region, its machines reach one
    /// another directly.
    pub fn create(name: &str, own: &[Ipv4Addr]) -> Result<Self> {
        let namespace = Namespace::create(name)?;
        let addresses: String =
            own.iter().map(|address| format!("addr add {address}/32 dev lo\n")).collect();
        let ends = [ABSENT, BLACKHOLE, NO_ROUTE].map(|reason| {
            format!(
                "link add {reason} mtu {MTU} type veth peer name {reason}-end\n\
                 link set {reason} up\nlink set {reason}-end up\n"
            )
        });
        namespace.ip(&format!("link set lo up\n{addresses}{}", ends.concat()))?;
        namespace.sysctl(&[
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv6.conf.all.proxy_ndp", "1"),
            // Nobody else has the router's addresses, and a node waits for the first answer.
            ("net.ipv6.conf.default.accept_dad", "0"),
            // The source check is the interface's own, and has a count.
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.default.send_redirects", "0"),
        ])?;
        checks::install(&namespace)?;
        let outside = outside(&namespace)?;
        Ok(Self { namespace, outside, forwarding: Arc::default() })
    }

    /// The host beyond the VPC, at [`OUTSIDE_HOST`] and [`OUTSIDE_HOST_IPV6`]. A route to an internet
    /// gateway leads there, and it sees an instance under the instance's own address: with IPv4 as
    /// if that were its public one, with IPv6 because there is no NAT.
    pub fn outside(&self) -> &Namespace {
        &self.outside
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Connects a node's namespace, which then has its interface, down and without an address.
    pub fn attach(&self, node: &Namespace, to: &Attachment) -> Result<()> {
        let (here, there, mac) = (to.router_interface(), NODE_INTERFACE, &to.mac);
        let wire = format!(
            "link add {here} mtu {MTU} type veth peer name {there} mtu {MTU} address {mac} netns {}\n",
            node.name(),
        );
        self.wire(&wire, to)
    }

    /// Makes the router's end of a virtual machine's wire, a tap, which whoever emulates its network
    /// card opens by its name.
    pub fn attach_tap(&self, to: &Attachment) -> Result<()> {
        let here = to.router_interface();
        self.wire(&format!("tuntap add dev {here} mode tap\nlink set {here} mtu {MTU}\n"), to)
    }

    fn wire(&self, wire: &str, to: &Attachment) -> Result<()> {
        let here = to.router_interface();
        let (address, mac, gateway) = (to.address, &to.mac, to.gateway());
        let link_local = link_local(mac);
        self.namespace.ip(&format!(
            "{wire}\
             addr add {gateway}/32 dev {here}\n\
             link set {here} up\n\
             neigh replace {address} lladdr {mac} dev {here} nud permanent\n\
             neigh replace {link_local} lladdr {mac} dev {here} nud permanent\n",
        ))?;
        self.namespace.sysctl(&[
            (&format!("net.ipv4.conf.{here}.proxy_arp"), "1"),
            // Without a delay: by default the kernel waits up to 0.8 s before it answers for another.
            (&format!("net.ipv4.neigh.{here}.proxy_delay"), "0"),
            (&format!("net.ipv6.neigh.{here}.proxy_delay"), "0"),
            (&format!("net.ipv4.conf.{here}.rp_filter"), "0"),
        ])?;
        self.change(|forwarding| {
            forwarding.wired.insert(to.instance_id.clone(), to.clone());
        })
    }

    /// Takes an interface away at once; the kernel does so a while after its namespace went, and may
    /// have been faster.
    pub fn detach(&self, from: &Attachment) -> Result<()> {
        self.change(|forwarding| drop(forwarding.wired.remove(&from.instance_id)))?;
        let interface = from.router_interface();
        let deleted = self.namespace.ip(&format!("link delete {interface}\n"));
        let mut show = command("ip", ["-n", self.namespace.name(), "link", "show", &interface]);
        if output(&mut show).is_err() { Ok(()) } else { deleted }
    }

    /// Forwards by this network from now on.
    pub fn obey(&self, network: Network) -> Result<()> {
        self.change(|forwarding| forwarding.network = Some(network))
    }

    /// Obeys a region until the task is dropped. A change is a packet's law a few milliseconds after
    /// it was made.
    pub fn follow(&self, region: &Region) -> JoinHandle<()> {
        let (router, region, mut changes) =
            (self.clone(), region.clone(), region.network_changes());
        tokio::spawn(async move {
            loop {
                changes.borrow_and_update();
                let (router, region) = (router.clone(), region.clone());
                let obeyed = tokio::task::spawn_blocking(move || {
                    router.obey(region.with(|state, _| Network::of(&state.ec2)))
                });
                if let Ok(Err(error)) = obeyed.await {
                    tracing::error!("the router cannot follow EC2: {error:#}");
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    /// What was dropped so far.
    pub fn drops(&self) -> Result<Drops> {
        checks::drops(&self.namespace)
    }

    fn change(&self, change: impl FnOnce(&mut Forwarding)) -> Result<()> {
        let mut held = self.forwarding.lock().expect("the router's forwarding");
        change(&mut held);
        let Forwarding { wired, network, numbers, plan } = &mut *held;
        let next = Plan::of(wired, network.as_ref(), numbers);
        let batch = next.since(plan);
        self.namespace.ip_as_far_as_possible(&batch.v4, &[])?;
        self.namespace.ip_as_far_as_possible(&batch.v6, &["-6"])?;
        let checks =
            |plan: &Plan| (plan.checked.clone(), plan.unchecked.clone(), plan.addresses.clone());
        if checks(&next) != checks(plan) {
            checks::update(&self.namespace, &next)?;
        }
        *plan = next;
        Ok(())
    }
}

/// The namespace of the host beyond the VPC, by its router's.
pub fn outside_of(router: &str) -> String {
    format!("{router}-outside")
}

/// The router itself reaches the host only to answer it.
fn outside(router: &Namespace) -> Result<Namespace> {
    let host = Namespace::create(&outside_of(router.name()))?;
    router.ip(&format!(
        "link add {OUTSIDE} mtu {OUTSIDE_MTU} type veth peer name eth0 mtu {OUTSIDE_MTU} netns {}\n\
         addr add {GATEWAY}/32 dev {OUTSIDE}\naddr add {GATEWAY_IPV6}/128 dev {OUTSIDE} nodad\n\
         link set {OUTSIDE} up\nroute add {OUTSIDE_HOST}/32 dev {OUTSIDE}\n",
        host.name(),
    ))?;
    router.sysctl(&[(&format!("net.ipv4.conf.{OUTSIDE}.rp_filter"), "0")])?;
    host.ip(&format!(
        "link set lo up\nlink set eth0 up\naddr add {OUTSIDE_HOST}/24 dev eth0\n\
         route add default via {GATEWAY}\naddr add {OUTSIDE_HOST_IPV6}/64 dev eth0 nodad\n\
         route add default via {GATEWAY_IPV6}\n"
    ))?;
    Ok(host)
}

/// The network's address plus `n`.
pub fn nth_address(network: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(network.network().to_bits() + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_instance_id_makes_an_interface_name_that_the_kernel_takes() {
        let attachment = Attachment {
            instance_id: "i-0123456789abcdef0".into(),
            mac: "02:00:00:00:00:01".into(),
            address: Ipv4Addr::new(10, 0, 1, 17),
            subnet: "10.0.1.0/24".parse().unwrap(),
            ipv6: None,
        };
        assert_eq!(attachment.router_interface(), "v456789abcdef0");
        assert!(attachment.router_interface().len() <= 15);
        assert_eq!(attachment.gateway(), Ipv4Addr::new(10, 0, 1, 1));
    }
}
