//! Where AWS answers: in the VPC at addresses of their own with real TLS, and for clients on this
//! machine at a loopback address without.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::JoinHandle;

use super::certificates::{Authority, Usage};
use super::network::router::{METADATA, RESOLVER, TIME, nth_address};
use super::network::{Namespace, resolver, time};
use crate::region::serve::{self, Listening, Who};
use crate::region::{Region, State};

/// From TEST-NET-1 (RFC 5737), which is nobody's: S3, EC2, Auto Scaling, STS.
const SERVICES: [(&str, Ipv4Addr); 4] = [
    ("s3", Ipv4Addr::new(192, 0, 2, 10)),
    ("ec2", Ipv4Addr::new(192, 0, 2, 11)),
    ("autoscaling", Ipv4Addr::new(192, 0, 2, 12)),
    ("sts", Ipv4Addr::new(192, 0, 2, 13)),
];

/// All that answers; dropping it ends it.
pub struct Endpoints {
    /// The four services over plain HTTP, at a loopback address.
    pub local: SocketAddr,
    _listening: Vec<Listening>,
    tasks: Vec<JoinHandle<()>>,
}

/// The addresses that the router must have.
pub fn addresses(resolver: Ipv4Addr) -> Vec<Ipv4Addr> {
    SERVICES
        .map(|(_, address)| address)
        .into_iter()
        .chain([METADATA, RESOLVER, TIME, resolver])
        .collect()
}

/// The VPC's resolver: "the base of the VPC network range plus two".
pub fn resolver_of(vpc: ipnet::Ipv4Net) -> Ipv4Addr {
    nth_address(vpc, 2)
}

impl Endpoints {
    /// Starts listening. `api` is the API server's name, which leads to control-plane instances.
    pub fn start(
        region: &Region,
        router: &Namespace,
        vpc: ipnet::Ipv4Net,
        authority: &Authority,
        api: &str,
    ) -> Result<Self> {
        let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("cannot listen on a loopback address")?;
        let local = outside.local_addr()?;
        let mut listening = vec![serve::http(region, outside)?];
        let metadata = router.listen(SocketAddr::from((METADATA, 80)))?;
        listening.push(serve::imds(region, metadata, Who::Peer)?);
        for (service, address) in SERVICES {
            let config = tls(authority, service, &region.settings().name)?;
            listening.push(serve::https(
                region,
                router.listen(SocketAddr::from((address, 443)))?,
                config,
            )?);
        }
        let mut tasks = vec![tokio::spawn(time::serve(time::listen(router)?))];
        for address in [RESOLVER, resolver_of(vpc)] {
            let (region, api) = (region.clone(), api.to_owned());
            let lookup: resolver::Lookup = Arc::new(move |name| lookup(&region, &api, name));
            tasks.push(tokio::spawn(resolver::serve(resolver::listen(router, address)?, lookup)));
        }
        Ok(Self { local, _listening: listening, tasks })
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A certificate for the service's names in that region.
pub fn tls(
    authority: &Authority,
    service: &str,
    region: &str,
) -> Result<Arc<rustls::ServerConfig>> {
    let host = format!("{service}.{region}.amazonaws.com");
    // Buckets are hosts of their own.
    let names =
        if service == "s3" { vec![format!("*.{host}"), host.clone()] } else { vec![host.clone()] };
    let pair = authority.issue(&host, None, Usage::Server, &names)?;
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
    Ok(serve::tls(vec![certificate], PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?)?)
}

/// What the VPC's resolver knows.
fn lookup(region: &Region, api: &str, name: &str) -> Option<Vec<Ipv4Addr>> {
    if let Some(below) = name.strip_suffix(&format!(".{}.amazonaws.com", region.settings().name)) {
        let service = below.rsplit('.').next()?;
        let bucket = below.len() > service.len();
        let (_, address) = SERVICES.into_iter().find(|(name, _)| *name == service)?;
        return (!bucket || service == "s3").then(|| vec![address]);
    }
    region.with(
        |state, _| if name == api { Some(control_plane(state)) } else { instance(state, name) },
    )
}

fn instance(state: &State, name: &str) -> Option<Vec<Ipv4Addr>> {
    let mut up = state.ec2.instances().filter(|instance| instance.state.is_up());
    up.find(|instance| instance.private_dns_name == name).map(|instance| vec![instance.address])
}

/// The addresses of the control-plane instances, as a name in a private zone would have them.
pub fn control_plane(state: &State) -> Vec<Ipv4Addr> {
    let instances = state.ec2.instances().filter(|instance| instance.state.is_up());
    instances
        .filter(|instance| super::account::is_control_plane(instance))
        .map(|instance| instance.address)
        .collect()
}
