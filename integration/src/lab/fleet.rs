//! The machine room: a machine is switched on for each instance that EC2 launches, and off when
//! EC2 says that it stops or goes.
//!
//! What happens to one machine happens in the order in which EC2 said so; machines do not wait for
//! one another.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use super::account::{self, Account};
use super::artifacts::containerd_store;
use super::certificates::Authority;
use super::control_plane::ControlPlane;
use super::network::{Attachment, Namespace, Provisioning, Router, dhcp};
use super::node::{self, Node, Spec, cgroups};
use super::site::Site;
use super::vm::{self, Disk, Shape, Vm, Wiring};
use crate::region::ec2::Instance;
use crate::region::{Event, Region};

/// How long a guest may take to power off before it is cut, as EC2 does after a while.
const POWER_OFF: Duration = Duration::from_secs(10);

/// Between two looks whether a machine went down by itself.
const LOOK: Duration = Duration::from_millis(200);

/// Where machines stand and what they are made of.
pub struct Room {
    /// Names of namespaces and control groups begin so.
    pub prefix: String,
    /// Each machine's folder is in here.
    pub folder: PathBuf,
    /// The program that is run again inside.
    pub program: PathBuf,
    pub region: Region,
    pub account: Account,
    pub router: Router,
    pub resolver: std::net::Ipv4Addr,
    pub domain: String,
    /// The lab's own authority, PEM.
    pub authority: String,
    /// The API server's name.
    pub api: String,
    /// Of kubelets' client certificates, the first and the later ones.
    pub certificate_lifetime: Duration,
    pub debian: PathBuf,
    pub baked: PathBuf,
    pub control_plane: PathBuf,
    pub service_proxy: PathBuf,
    /// What `/var/lib/containerd` is at first.
    pub images: PathBuf,
    /// Where workers are virtual machines.
    pub vms: Option<Vms>,
}

/// What virtual machines are made of.
#[derive(Debug)]
pub struct Vms {
    pub disk: Disk,
    /// Where their sockets are.
    pub sockets: PathBuf,
    /// What those are like that are switched on from now on.
    pub shape: Mutex<Shape>,
}

/// All machines.
pub struct Fleet {
    room: Arc<Room>,
    machines: Mutex<BTreeMap<String, Machine>>,
}

struct Machine {
    orders: mpsc::UnboundedSender<Order>,
    state: Arc<Mutex<State>>,
    obeying: JoinHandle<()>,
}

/// What a machine is, for whoever looks.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// PID 1 or, of a virtual machine, qemu, while it runs.
    pub pid: Option<u32>,
    /// The guest agent's socket of a virtual machine.
    pub agent: Option<PathBuf>,
    /// When a virtual machine was switched on.
    pub powered_on: Option<SystemTime>,
    /// Why it could not be switched on.
    pub trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    On,
    Off,
    Restart,
    /// The power goes.
    Cut,
    Remove,
}

impl Fleet {
    pub fn new(room: Room) -> Arc<Self> {
        Arc::new(Self { room: Arc::new(room), machines: Mutex::default() })
    }

    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Follows EC2 until the task is dropped.
    pub fn follow(self: &Arc<Self>) -> JoinHandle<()> {
        let (fleet, mut events) = (self.clone(), self.room.region.events());
        tokio::spawn(async move {
            loop {
                match next(&mut events).await {
                    // A container boots at once; the time until now stands for what EC2's placement,
                    // firmware and kernel take.
                    Some(Event::InstanceRunning { id }) => fleet.order(&id, &[Order::On]),
                    Some(Event::InstanceRebooted { id }) => fleet.order(&id, &[Order::Restart]),
                    Some(
                        Event::InstanceStopping { id }
                        | Event::InstanceStopped { id }
                        | Event::InstanceShuttingDown { id },
                    ) => fleet.order(&id, &[Order::Off]),
                    Some(Event::InstanceTerminated { id }) => {
                        fleet.order(&id, &[Order::Off, Order::Remove])
                    }
                    Some(
                        Event::InstancePending { .. }
                        | Event::InterruptionAnnounced { .. }
                        | Event::RebalanceRecommended { .. },
                    ) => {}
                    None => return,
                }
            }
        })
    }

    /// Takes no more orders; returns when those that were given have been carried out.
    pub async fn close(&self) {
        let machines = std::mem::take(&mut *self.machines());
        for machine in machines.into_values() {
            drop(machine.orders);
            let _ = machine.obeying.await;
        }
    }

    pub fn states(&self) -> BTreeMap<String, State> {
        let state = |machine: &Machine| machine.state.lock().expect("a machine's state").clone();
        self.machines().iter().map(|(id, machine)| (id.clone(), state(machine))).collect()
    }

    /// The node's console: what its systemd and its journal said.
    pub fn console(&self, id: &str) -> PathBuf {
        self.room.folder.join(id).join("console.log")
    }

    /// Cuts a virtual machine's power, of which EC2 knows nothing.
    pub fn cut(&self, id: &str) {
        self.order(id, &[Order::Cut]);
    }

    /// Switches a machine on whose power was cut.
    pub fn power_on(&self, id: &str) {
        self.order(id, &[Order::On]);
    }

    fn order(&self, id: &str, orders: &[Order]) {
        let mut machines = self.machines();
        let machine = machines.entry(id.to_owned()).or_insert_with(|| Machine::new(&self.room, id));
        for order in orders {
            // The other end lives as long as this one.
            let _ = machine.orders.send(*order);
        }
    }

    fn machines(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().expect("the machines")
    }
}

impl Machine {
    fn new(room: &Arc<Room>, id: &str) -> Self {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let state = Arc::<Mutex<State>>::default();
        let (room, id, told) = (room.clone(), id.to_owned(), state.clone());
        let obeying = tokio::spawn(async move {
            let mut running = None;
            while let Some(order) = next_order(&mut inbox, running.as_ref()).await {
                let result = room.obey(&id, order, &mut running).await;
                if let Err(error) = &result {
                    tracing::error!("{order:?} of {id}: {error:#}");
                }
                let trouble = result.err().map(|error| format!("{error:#}"));
                let state = running.as_ref().map(Running::state).unwrap_or_default();
                *told.lock().expect("a machine's state") = State { trouble, ..state };
            }
        });
        Self { orders, state, obeying }
    }
}

/// What EC2 wants of the machine, or the machine itself: to be started again.
async fn next_order(
    inbox: &mut mpsc::UnboundedReceiver<Order>,
    running: Option<&Running>,
) -> Option<Order> {
    let restarts = async {
        while running.is_none_or(|running| !running.machine.restarts()) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        order = inbox.recv() => order,
        () = restarts => Some(Order::Restart),
    }
}

/// A container has no firmware and brings no kernel up. A machine of EC2's does, after EC2 calls it
/// running, and takes longer for it than EC2 for taking routes to it.
const FIRMWARE_AND_KERNEL: Duration = Duration::from_secs(2);

struct Running {
    machine: Body,
    attachment: Attachment,
    provisioning: Provisioning,
}

/// What a machine is.
enum Body {
    Container(Node),
    Virtual(Vm),
}

impl Body {
    /// A virtual machine that is told to starts again by itself.
    fn restarts(&self) -> bool {
        matches!(self, Self::Container(node) if node.restarts())
    }

    fn end(&self) -> Result<()> {
        match self {
            Self::Container(node) => node.end(POWER_OFF),
            Self::Virtual(vm) => vm.end(),
        }
    }

    fn cut(&self) -> Result<()> {
        match self {
            Self::Container(node) => node.end(Duration::ZERO),
            Self::Virtual(vm) => vm.cut(),
        }
    }
}

impl Running {
    fn state(&self) -> State {
        match &self.machine {
            Body::Container(node) => State { pid: Some(node.pid), ..State::default() },
            Body::Virtual(vm) => State {
                pid: Some(vm.pid),
                agent: Some(vm.agent()),
                powered_on: Some(vm.powered_on),
                trouble: None,
            },
        }
    }
}

impl Room {
    async fn obey(
        self: &Arc<Self>,
        id: &str,
        order: Order,
        running: &mut Option<Running>,
    ) -> Result<()> {
        match (order, running.take()) {
            (Order::On, None) => *running = Some(self.switch_on(id).await?),
            (Order::On, already) => *running = already,
            (Order::Off, Some(on)) => self.switch_off(on, Body::end).await?,
            (Order::Cut, Some(on)) => self.switch_off(on, Body::cut).await?,
            (Order::Restart, Some(on)) => {
                self.switch_off(on, Body::end).await?;
                *running = Some(self.switch_on(id).await?);
            }
            (Order::Off | Order::Cut | Order::Restart, None) => {}
            (Order::Remove, _) => self.remove(id)?,
        }
        Ok(())
    }

    async fn switch_on(self: &Arc<Self>, id: &str) -> Result<Running> {
        let instance = self.region.with(|state, _| state.ec2.instance(id).cloned());
        let instance = instance.with_context(|| format!("EC2 knows no instance `{id}`"))?;
        let attachment = self.region.with(|state, _| Attachment::of(&state.ec2, id));
        let attachment = attachment.with_context(|| format!("{id} has no network interface"))?;
        let offer = dhcp::Offer {
            attachment: attachment.clone(),
            resolver: self.resolver,
            domain: self.domain.clone(),
        };
        let (machine, provisioning) = match &self.vms {
            Some(_) if !account::is_control_plane(&instance) => {
                self.switch_on_vm(id, offer).await?
            }
            _ => self.switch_on_container(&instance, offer).await?,
        };
        Ok(Running { machine, attachment, provisioning })
    }

    async fn switch_on_container(
        self: &Arc<Self>,
        instance: &Instance,
        offer: dhcp::Offer,
    ) -> Result<(Body, Provisioning)> {
        let authority = if account::is_control_plane(instance) {
            Some(self.cluster_authority().await?)
        } else {
            None
        };
        let room = self.clone();
        let (made, attached) = (instance.clone(), offer.attachment.clone());
        // Mounts, links and copies block.
        let namespace =
            tokio::task::spawn_blocking(move || room.install(&made, &attached, authority.as_ref()))
                .await??;
        let provisioning = Provisioning::start(self.router.namespace(), offer)?;
        let (room, spec) = (self.clone(), self.spec(instance, &namespace));
        tokio::time::sleep(FIRMWARE_AND_KERNEL).await;
        let node = tokio::task::spawn_blocking(move || Node::start(&room.program, spec)).await??;
        Ok((Body::Container(node), provisioning))
    }

    /// It brings firmware and kernel of its own.
    async fn switch_on_vm(
        self: &Arc<Self>,
        id: &str,
        offer: dhcp::Offer,
    ) -> Result<(Body, Provisioning)> {
        let (room, attachment) = (self.clone(), offer.attachment.clone());
        tokio::task::spawn_blocking(move || room.router.attach_tap(&attachment)).await??;
        let wiring = Wiring {
            namespace: self.router.namespace().path(),
            tap: offer.attachment.router_interface(),
            mac: offer.attachment.mac.clone(),
        };
        let provisioning = Provisioning::start(self.router.namespace(), offer)?;
        let (room, id) = (self.clone(), id.to_owned());
        let vm = tokio::task::spawn_blocking(move || room.start_vm(&id, &wiring)).await??;
        Ok((Body::Virtual(vm), provisioning))
    }

    /// A machine that was only off has its disk already.
    fn start_vm(&self, id: &str, wiring: &Wiring) -> Result<Vm> {
        let vms = self.vms.as_ref().context("this lab has no virtual machines")?;
        let place = vm::Place { folder: self.folder.join(id), sockets: vms.sockets.join(id) };
        fs::create_dir_all(&place.folder)
            .with_context(|| format!("cannot make {}", place.folder.display()))?;
        if !place.disk().exists() {
            vms.disk.layer(&place.disk())?;
        }
        let shape = vms.shape.lock().expect("the machines' shape").clone();
        Vm::start(&self.program, &vms.disk, self.name(id), place, &shape, wiring)
    }

    async fn switch_off(
        self: &Arc<Self>,
        running: Running,
        off: fn(&Body) -> Result<()>,
    ) -> Result<()> {
        drop(running.provisioning);
        let room = self.clone();
        tokio::task::spawn_blocking(move || {
            off(&running.machine)?;
            room.router.detach(&running.attachment)
        })
        .await?
    }

    /// Its disk goes; its console stays, as EC2 keeps it for a while.
    fn remove(&self, id: &str) -> Result<()> {
        let folder = self.folder.join(id);
        for part in ["upper", "work", "root", "containerd"] {
            let path = folder.join(part);
            if path.exists() {
                fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        let disk = folder.join("disk.qcow2");
        if disk.exists() {
            fs::remove_file(&disk).with_context(|| format!("cannot remove {}", disk.display()))?;
        }
        Ok(())
    }

    /// Network and disk of a machine. A machine that was only off has its disk already.
    fn install(
        &self,
        instance: &Instance,
        attachment: &Attachment,
        authority: Option<&Authority>,
    ) -> Result<Namespace> {
        let name = self.name(&instance.id);
        let namespace = Namespace::create(&name)?;
        self.router.attach(&namespace, attachment)?;
        let spec = self.spec(instance, &namespace);
        let new = !spec.upper().exists();
        Node::prepare(&spec)?;
        if new {
            let site = Site {
                hostname: &spec.hostname,
                domain: &self.domain,
                authority: &self.authority,
                cgroup_v1: cgroups::is_v1()?,
            };
            site.install(&self.debian, &spec.upper())?;
            containerd_store::copy(&self.images, &spec.folder.join("containerd"))?;
            if let Some(authority) = authority {
                let ipv6 = attachment.ipv6.and_then(|ipv6| ipv6.address).map(IpAddr::V6);
                let control_plane = ControlPlane {
                    addresses: [instance.address.into()].into_iter().chain(ipv6).collect(),
                    names: vec![self.api.clone()],
                    services: self.account.family.services(),
                    certificate_lifetime: self.certificate_lifetime,
                };
                control_plane.install(authority, &spec.upper())?;
            }
        }
        Ok(namespace)
    }

    fn spec(&self, instance: &Instance, namespace: &Namespace) -> Spec {
        let mut layers = vec![self.service_proxy.clone(), self.baked.clone(), self.debian.clone()];
        if account::is_control_plane(instance) {
            layers.insert(0, self.control_plane.clone());
        }
        let hostname = instance.private_dns_name.split('.').next().unwrap_or_default().to_owned();
        Spec {
            name: self.name(&instance.id),
            hostname,
            namespace: namespace.path(),
            folder: self.folder.join(&instance.id),
            layers,
        }
    }

    fn name(&self, id: &str) -> String {
        format!("{}-{id}", self.prefix)
    }

    /// The cluster's authority as the operator reads it from S3.
    pub async fn cluster_authority(&self) -> Result<Authority> {
        let s3 = aws_sdk_s3::Client::new(&account::sdk(&self.region, &self.account.operator));
        let mut parts = Vec::new();
        for part in ["crt", "key"] {
            let key = format!("{}/pki/kubernetes/1.{part}", self.account.cluster);
            let object = s3.get_object().bucket(&self.account.bucket).key(&key).send().await;
            let object = object
                .with_context(|| format!("cannot read s3://{}/{key}", self.account.bucket))?;
            parts.push(String::from_utf8(object.body.collect().await?.to_vec())?);
        }
        Authority::load(&parts[0], &parts[1])
    }
}

/// The next event; after a gap, which a lab of this size does not have, the one behind it.
async fn next(events: &mut broadcast::Receiver<Event>) -> Option<Event> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            Err(RecvError::Lagged(lost)) => tracing::error!("{lost} events of EC2 were missed"),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// Ends every machine whose name begins so, and takes away what it had.
pub fn clean(prefix: &str) -> Result<()> {
    for name in cgroups::with_prefix(prefix)? {
        node::clean(&name)?;
    }
    for namespace in Namespace::with_prefix(prefix)? {
        namespace.delete()?;
    }
    Ok(())
}
